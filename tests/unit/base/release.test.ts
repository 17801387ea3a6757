import { expect, test } from "bun:test";
import packageJson from "../../../package.json";
import { release } from "../../../src/base/release.ts";

test("the release in the code is the package's version", () => {
  expect(release).toBe(packageJson.version);
});
