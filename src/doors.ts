// What module code may import: the package's doors, as the running release's own instances.
import * as client from "./client.ts";
import * as helpers from "./helpers.ts";
import * as main from "./index.ts";
import * as test from "./test.ts";

export const doors = { rama: main, "rama/client": client, "rama/helpers": helpers, "rama/test": test } as const;
