// An engine with mirrors opens whether or not the other module can be reached; what needs it says why it cannot, and works once it is there.
import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { ClientCore } from "../../../src/client/client-core.ts";
import { Mirrors } from "../../../src/client/mirrors.ts";
import { configOf } from "../../../src/config/rama-yaml.ts";
import { MemoryNetwork, MemoryTransport } from "../../../src/net/transport-memory.ts";
import type { ModuleRoutes } from "../../../src/protocol/routes.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";

const lines: string[] = [];
const env = systemEnv({ logLevel: "warn", sink: (line) => lines.push(line) });
const routes = (pstates: ModuleRoutes["pstates"], instance = "i1"): ModuleRoutes => ({
  moduleName: "Other",
  moduleInstanceId: instance,
  version: 1,
  numTasks: 8,
  groups: [{ host: "", port: 0 }],
  depots: [],
  pstates,
  queries: [],
});
const counts: ModuleRoutes["pstates"][number] = {
  index: 0,
  name: "$$counts",
  global: false,
  private: false,
  ownPartitioner: false,
};

function mirrorsOf(fetchRoutes: () => Promise<ModuleRoutes>) {
  const core = new ClientCore({
    env,
    transport: new MemoryTransport(new MemoryNetwork(env), "here"),
    config: configOf({}, "test"),
    release: "0.0.0",
    fetchRoutes,
  });
  const mirror = { index: 0, name: "$$theirs", kind: "pstate", module: "Other", object: "$$counts" } as const;
  return new Mirrors(core, [mirror]);
}

const code = (run: () => unknown) => {
  try {
    return run();
  } catch (error) {
    return (error as RamaError).code;
  }
};

test("it opens without the other module and says so; the routes are had when they are there", async () => {
  let deployed = false;
  const mirrors = mirrorsOf(async () => {
    if (!deployed) throw new RamaError("MODULE_NOT_FOUND", "there is no module Other");
    return routes([counts]);
  });
  await mirrors.open();
  expect(lines.join("\n")).toContain("an object of another module is out of reach");
  expect(lines.join("\n")).toContain("$$counts");
  expect(code(() => mirrors.partitions(0))).toBe("MODULE_NOT_RUNNING");
  deployed = true;
  await waitFor(() => code(() => mirrors.partitions(0)) === 8, { env, timeoutMs: 5000, what: "the partitions" });
});

test("an object that has come by an update is found", async () => {
  let updated = false;
  const mirrors = mirrorsOf(async () => (updated ? routes([counts], "i2") : routes([])));
  await mirrors.open();
  expect(code(() => mirrors.partitions(0))).toBe("UNKNOWN_OBJECT");
  updated = true;
  await waitFor(() => code(() => mirrors.partitions(0)) === 8, { env, timeoutMs: 5000, what: "the partitions" });
});
