// A worker with real engine threads: loads a bundle by its `rama` doors, serves clients over TCP, stops in order, and finds its data again.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeControl, encodeControl } from "../../src/base/codec.ts";
import { release } from "../../src/base/release.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import { RpcClient } from "../../src/net/rpc.ts";
import { Path } from "../../src/paths/path.ts";
import { WORKER_STATUS } from "../../src/protocol/conductor.ts";
import type { ModuleRoutes } from "../../src/protocol/routes.ts";
import { GET_ROUTES } from "../../src/protocol/table.ts";
import { systemPlatform } from "../../src/roles/platform-system.ts";
import { WorkerFiles } from "../../src/roles/supervisor/worker-files.ts";
import type { WorkerAssignment } from "../../src/roles/worker/assignment.ts";
import { bunThread } from "../../src/roles/worker/engine-handle.ts";
import { runWorker } from "../../src/roles/worker/worker.ts";
import { codeOf } from "../fake-engine.ts";

const dir = mkdtempSync(join(tmpdir(), "rama-worker-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const bundle = join(dir, "app.js");
await Bun.write(
  bundle,
  `import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
   export class Visit { constructor(user) { this.user = user; } }
   export class VisitsModule extends RamaModule {
     getModuleName() { return "com.example.Visits"; }
     define(setup, topologies) {
       setup.declareDepot("*visits", Depot.hashBy("user"));
       const s = topologies.stream("visits");
       s.pstate("$$visits", PState.mapSchema(String, Number));
       s.source("*visits").out({ user: "*user" }).compoundAgg("$$visits", CompoundAgg.map("*user", Agg.count()));
     }
   }`,
);

const platform = systemPlatform({ sink: () => {}, logLevel: "error" });
const assignment = (more: Partial<WorkerAssignment> = {}): WorkerAssignment => ({
  workerId: "m1-w0",
  moduleName: "com.example.Visits",
  instanceId: "m1",
  moduleExport: "com.example.Visits",
  bundlePath: bundle,
  tasks: 4,
  threads: 4,
  workers: 1,
  workerIndex: 0,
  groups: [0, 1, 2, 3],
  dataDir: join(dir, "data"),
  workerDir: dir,
  host: "127.0.0.1",
  helloPort: 0,
  enginePorts: [0, 0],
  config: {},
  options: [],
  ...more,
});

async function start(more: Partial<WorkerAssignment> = {}) {
  const worker = await runWorker({
    platform,
    assignment: assignment(more),
    release,
    pid: process.pid,
    startThread: bunThread(new URL("../../src/engine-main.ts", import.meta.url)),
    abort: (reason) => expect.unreachable(reason),
  });
  const { helloPort } = new WorkerFiles(platform.disk, dir).status(process.pid)!;
  const hello = new RpcClient(platform.env, platform.transport, { host: "127.0.0.1", port: helloPort });
  const ask = async (method: number) => decodeControl(await hello.call(method, encodeControl({}), 5000));
  const core = new ClientCore({
    env: platform.env,
    transport: platform.transport,
    config: configOf({}, "test"),
    release,
    fetchRoutes: async () => (await ask(GET_ROUTES)) as ModuleRoutes,
  });
  return {
    core,
    ask,
    async [Symbol.asyncDispose]() {
      await core.close();
      hello.close();
      await worker.close();
    },
  };
}

test("a bundle runs in engine threads, and what it counted is there after a restart", async () => {
  const users = Array.from({ length: 20 }, (_, n) => `user-${n}`);
  {
    await using worker = await start();
    const visits = worker.core.depot("com.example.Visits", "*visits");
    await Promise.all(users.flatMap((user) => [1, 2, 3].map((at) => visits.append({ user, at }))));
    expect(await worker.core.pstate("com.example.Visits", "$$visits").selectOne(Path.key("user-7"))).toBe(3);
    expect(await worker.ask(WORKER_STATUS)).toMatchObject({ workerId: "m1-w0", engines: [{}, {}] });
  }
  await using worker = await start({ enginePorts: [0] });
  const counts = worker.core.pstate<number>("com.example.Visits", "$$visits");
  expect(await Promise.all(users.map((user) => counts.selectOne(Path.key(user))))).toEqual(users.map(() => 3));
}, 30_000);

test("a bundle without such a module, or that is none, is BAD_BUNDLE with what it exports", async () => {
  const wrong = await start({ moduleExport: "Nope", dataDir: join(dir, "d2") }).then(undefined, (error) => error);
  expect(wrong).toMatchObject({ code: "BAD_BUNDLE", message: expect.stringContaining("VisitsModule") });
  const broken = join(dir, "broken.js");
  await Bun.write(broken, "export const = 1");
  expect(await codeOf(start({ bundlePath: broken, dataDir: join(dir, "d3") }))).toBe("BAD_BUNDLE");
}, 30_000);
