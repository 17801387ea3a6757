// The worker's main thread with played engine threads: what it writes for its supervisor, what it answers, how it ends.
import { expect, test } from "bun:test";
import { decodeControl, encodeControl } from "../../../src/base/codec.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { RpcClient } from "../../../src/net/rpc.ts";
import { failureText } from "../../../src/protocol/failure.ts";
import { GET_ROUTES, GET_VERSION, PAUSE_TOPOLOGY, SET_WORKER_OPTIONS } from "../../../src/protocol/table.ts";
import { type ControlHandler, listenForCalls } from "../../../src/roles/control-calls.ts";
import { WorkerFiles } from "../../../src/roles/supervisor/worker-files.ts";
import type { WorkerAssignment } from "../../../src/roles/worker/assignment.ts";
import type { StartThread } from "../../../src/roles/worker/engine-handle.ts";
import type { OpenEngine, ToEngine } from "../../../src/roles/worker/thread-messages.ts";
import { runWorker } from "../../../src/roles/worker/worker.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import { MemoryWorld, type MemoryWorldOptions } from "../../../src/testing/platform-memory.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";
import { codeOf } from "../../fake-engine.ts";

const assignment: WorkerAssignment = {
  workerId: "m1-w0",
  moduleName: "M",
  instanceId: "m1",
  moduleExport: "M",
  bundlePath: "/bundle.js",
  tasks: 8,
  threads: 4,
  workers: 1,
  workerIndex: 0,
  groups: [0, 1, 2, 3],
  dataDir: "/sup/workers/m1-w0/data",
  workerDir: "/sup/workers/m1-w0",
  host: "localhost",
  helloPort: 0,
  enginePorts: [0, 0],
  config: { "worker.heartbeat.frequency.millis": 50 },
  options: [],
};

/** Threads that open at once on ports 500, 501, …; what they are told is kept. */
class PlayedThreads {
  readonly opened: OpenEngine[] = [];
  readonly told: ToEngine[] = [];
  fail: RamaError | undefined;
  end: ((reason: string) => void) | undefined;
  break: ((error: RamaError) => void) | undefined;

  readonly start: StartThread = (onMessage, onEnd) => {
    this.end = onEnd;
    this.break = (error) => onMessage({ kind: "failed", failure: failureText(error) });
    return {
      post: (message) => {
        this.told.push(message);
        queueMicrotask(() => {
          if (message.kind === "close") onMessage({ kind: "closed" });
          if (message.kind !== "open") return;
          this.opened.push(message);
          if (this.fail !== undefined) onMessage({ kind: "failed", failure: failureText(this.fail) });
          else {
            const recovered = { entries: 5, tornBytes: 1, ms: 3 };
            const objects = { depots: [], pstates: [], queries: [] };
            const topologies = [{ name: "work", lines: ["app.ts:1", "app.ts:7"] }];
            onMessage({ kind: "loaded", port: 0, objects, topologies });
            onMessage({ kind: "ready", port: 500 + message.engine, recovered });
          }
        });
      },
    };
  };
}

function setUp(options: MemoryWorldOptions = {}) {
  const platform = new MemoryWorld(options).platform("node");
  const threads = new PlayedThreads();
  const aborted: string[] = [];
  const run = (more: Partial<WorkerAssignment> = {}) =>
    runWorker({
      platform,
      assignment: { ...assignment, ...more },
      release: "0.1.0",
      pid: 77,
      startThread: threads.start,
      abort: (reason) => aborted.push(reason),
    });
  const files = new WorkerFiles(platform.disk, assignment.workerDir);
  platform.disk.mkdir(assignment.dataDir);
  return { platform, threads, aborted, run, files };
}

test("once its engines serve, a worker tells its supervisor the ports and what was recovered", async () => {
  const { platform, threads, run, files } = setUp();
  const worker = await run();
  const status = files.status(77)!;
  expect(status).toMatchObject({
    groupPorts: { 0: 500, 1: 501, 2: 500, 3: 501 },
    recovered: { entries: 10, tornBytes: 2, ms: 3 },
  });
  expect(files.heartbeatMs(77)).toBeGreaterThan(0);
  expect(threads.opened.map(({ groups, dir }) => ({ groups, dir }))).toEqual([
    { groups: [0, 2], dir: "/sup/workers/m1-w0/data/store-0" },
    { groups: [1, 3], dir: "/sup/workers/m1-w0/data/store-1" },
  ]);
  const peer = new RpcClient(platform.env, platform.transport, { host: "localhost", port: status.helloPort });
  const ask = async (method: number) => decodeControl(await peer.call(method, encodeControl({}), 1000));
  expect(await ask(GET_VERSION)).toEqual({ release: "0.1.0", protocol: 1, role: "worker" });
  expect(await ask(GET_ROUTES)).toMatchObject({ moduleName: "M", moduleInstanceId: "m1", numTasks: 8 });
  peer.close();
  await worker.close();
  expect(threads.told.filter(({ kind }) => kind === "close")).toHaveLength(2);
});

test("a worker that has stores keeps its division of groups, whatever it is told later", async () => {
  const { threads, run } = setUp();
  await (await run()).close();
  threads.opened.length = 0;
  await (await run({ enginePorts: [0, 0, 0, 0] })).close();
  expect(threads.opened.map(({ groups }) => groups)).toEqual([
    [0, 2],
    [1, 3],
  ]);
});

test("an engine that cannot open ends the worker, and the reason is left for the supervisor", async () => {
  const { threads, run, files } = setUp();
  threads.fail = new RamaError("BAD_BUNDLE", "/bundle.js exports no module M");
  expect(await codeOf(run())).toBe("BAD_BUNDLE");
  expect(files.failure()).toBe("/bundle.js exports no module M");
  expect(files.status(77)).toBeUndefined();
});

test("an engine that breaks later ends the process: started again, it recovers what is durable", async () => {
  const { threads, aborted, run } = setUp();
  await run();
  threads.break!(new RamaError("DISK_FAILED", "/store/log: input/output error"));
  expect(aborted).toEqual(["engine thread 1: /store/log: input/output error"]);
});

test("a worker that its supervisor does not know of ends once another one has been started in its place, or its directory is gone", async () => {
  for (const noted of [{ pid: 88, birth: "b" }, undefined]) {
    const env = new SimulatedEnv({ seed: 1 });
    const births = new Map([[77, "a"]]);
    const processes = { birth: (pid: number) => births.get(pid), signal: () => {}, start: () => ({ pid: 0 }) };
    const { aborted, run, files } = setUp({ env, processes });
    files.create(assignment);
    const worker = await env.complete(run());
    await env.advance(5_000);
    expect(aborted).toEqual([]);
    if (noted === undefined) files.remove();
    else files.writeProcess({ ...noted, startedMs: 0, starts: 2, startsInARow: 1, everReady: false });
    await env.advance(5_000);
    // The other one is not there (yet): this one is all there is.
    if (noted !== undefined) expect(aborted).toEqual([]);
    births.set(88, "b");
    await env.advance(5_000);
    expect(aborted).toHaveLength(1);
    await env.complete(worker.close());
  }
});

test("an engine thread that ends by itself takes the process with it", async () => {
  const { threads, aborted, run } = setUp();
  const worker = await run();
  threads.end!("out of memory");
  expect(aborted).toEqual(["engine thread 1: an engine thread ended: out of memory"]);
  await worker.close();
});

test("options and pauses that come to the hello port reach every engine", async () => {
  const { platform, threads, run, files } = setUp();
  const worker = await run();
  const address = { host: "localhost", port: files.status(77)!.helloPort };
  const peer = new RpcClient(platform.env, platform.transport, address);
  const options = [{ scope: "module", object: "", name: "depot.max.fetch", value: 7 }];
  await peer.call(SET_WORKER_OPTIONS, encodeControl({ options }), 1000);
  await peer.call(PAUSE_TOPOLOGY, encodeControl({ topology: "work", paused: true }), 1000);
  expect(threads.told.filter(({ kind }) => kind === "options")).toEqual([
    { kind: "options", settings: options as never },
    { kind: "options", settings: options as never },
  ]);
  expect(threads.told.filter(({ kind }) => kind === "pause")).toHaveLength(2);
  expect(await codeOf(peer.call(PAUSE_TOPOLOGY, encodeControl({ topology: "t", paused: true }), 1000))).toBe(
    "UNKNOWN_OBJECT",
  );
  expect(await codeOf(peer.call(PAUSE_TOPOLOGY, encodeControl({ topology: 1 }), 1000))).toBe("BAD_FRAME");
  peer.close();
  await worker.close();
});

test("topologies that the assignment says are paused begin so, and can be resumed and paused", async () => {
  const pauses = { work: { reason: "work at app.ts:7 did not return", stuck: true, sinceMs: 5 } };
  const { platform, threads, run, files } = setUp();
  const worker = await run({ pauses });
  for (const opened of threads.opened) expect(opened.pauses).toEqual(pauses);
  const address = { host: "localhost", port: files.status(77)!.helloPort };
  const peer = new RpcClient(platform.env, platform.transport, address);
  await peer.call(PAUSE_TOPOLOGY, encodeControl({ topology: "work", paused: false }), 1000);
  expect(threads.told.filter(({ kind }) => kind === "pause")).toEqual([
    { kind: "pause", topology: "work", paused: false },
    { kind: "pause", topology: "work", paused: false },
  ]);
  peer.close();
  await worker.close();
});

test("a worker of several learns from the route servers where the others' groups are", async () => {
  const { platform, threads, run } = setUp();
  const groups = [0, 1, 2, 3].map((group) => ({ host: group < 2 ? "localhost" : "other", port: 900 + group }));
  const routes = { moduleName: "M", moduleInstanceId: "m1", version: 7, numTasks: 8, groups };
  const listener = await listenForCalls(
    platform.env,
    platform.transport,
    { host: "localhost", port: 0 },
    new Map<number, ControlHandler>([[GET_ROUTES, () => routes]]),
  );
  const worker = await run({ workers: 2, groups: [0, 1], routeServers: ["nobody:1", `localhost:${listener.port}`] });
  const told = await waitFor(() => threads.told.findLast((m) => m.kind === "groups" && m.groups[2]!.port !== 0), {
    env: platform.env,
    what: "the groups of the other worker",
    timeoutMs: 5000,
  });
  expect(told).toMatchObject({
    groups: [
      { host: "localhost", port: 500 },
      { host: "localhost", port: 501 },
      { host: "other", port: 902 },
      { host: "other", port: 903 },
    ],
  });
  await worker.close();
  await listener.close();
});
