// Conductor and supervisor over the memory platform, with played worker processes: launches, failures, restarts and destroys, and what survives a killed role.
import { afterEach, expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import { CONTRACT_VERSION } from "../../src/module/contract.ts";
import type { WorkerReport } from "../../src/protocol/cluster-records.ts";
import {
  DESTROY,
  LAUNCH,
  type LaunchAnswer,
  MODULE_STATUS,
  type ModuleStatusAnswer,
  PUT_BUNDLE,
  UPDATE,
  type UpdateRequest,
} from "../../src/protocol/conductor.ts";
import type { ModuleRoutes } from "../../src/protocol/routes.ts";
import type { PauseTopology } from "../../src/protocol/control.ts";
import { GET_ROUTES, PAUSE_TOPOLOGY } from "../../src/protocol/table.ts";
import { type ControlHandler, listenForCalls } from "../../src/roles/control-calls.ts";
import { sha256 } from "../../src/roles/conductor/bundles.ts";
import { WorkerFiles } from "../../src/roles/supervisor/worker-files.ts";
import { StuckRecords } from "../../src/roles/worker/stuck-records.ts";
import type { MemoryPlatform } from "../../src/testing/platform-memory.ts";

import { bundle, caller, cleanUp, cleanups, cluster, launched, launchRequest, until } from "./played-cluster.ts";

afterEach(cleanUp);

test("a launched module runs on the supervisor and its routes name every group's port", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("com.example/M"));
  const routes = await call<ModuleRoutes>(GET_ROUTES, { moduleName: "com.example/M", side: "external" });
  expect(routes.groups.map((group) => group.port)).toEqual([6000, 6000]);
  expect(routes.numTasks).toBe(4);
});

test("a second launch of the same name is refused and leaves the first one alone", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  await expect(call(LAUNCH, launchRequest("M"))).rejects.toMatchObject({ code: "MODULE_EXISTS" });
  const status = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
  expect(status.module.state).toBe("[:running]");
});

test("a worker that cannot start fails the launch with its last words and leaves nothing behind", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  c.workers.dieAtStart = true;
  const error = await call(LAUNCH, launchRequest("M")).then(
    () => undefined,
    (e: unknown) => e as RamaError,
  );
  expect(error?.message).toContain("the module's class throws");
  await expect(call(MODULE_STATUS, { moduleName: "M" })).rejects.toMatchObject({ code: "MODULE_NOT_FOUND" });
  expect(WorkerFiles.list(c.platform.disk, "/local/supervisor")).toEqual([]);
});

test("destroy stops the workers and deletes their data; the bundle stays while a launch that names it may be on its way", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  await call(DESTROY, { moduleName: "M" });
  expect(c.workers.running.size).toBe(0);
  expect(c.platform.disk.list("/local/supervisor/workers")).toEqual([]);
  expect(c.platform.disk.list("/local/conductor/bundles")).toEqual([`${sha256(bundle)}.js`]);
});

test("a worker's directory stays until its report is gone, so that a destroy ends although the metastore was out of reach", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  const session = c.platform.sessions.at(-1)!;
  const remove = session.remove.bind(session);
  const left: string[][] = [];
  session.remove = async (path, version) => {
    if (path.startsWith("/workers/") && left.length === 0) {
      left.push(c.platform.disk.list("/local/supervisor/workers"));
      throw new RamaError("METASTORE_UNAVAILABLE", "out of reach");
    }
    return remove(path, version);
  };
  await call(DESTROY, { moduleName: "M" });
  expect(left[0]).toHaveLength(1);
  expect(c.platform.disk.list("/local/supervisor/workers")).toEqual([]);
});

test("a worker that dies is started again and clients are told its new port", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  const before = await call<ModuleRoutes>(GET_ROUTES, { moduleName: "M", side: "external" });
  c.workers.running.clear();
  const report = await until(async () => {
    const { workers } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
    return workers.find((w: WorkerReport) => w.state === "running" && w.starts === 2);
  });
  expect(report.starts).toBe(2);
  const after = await call<ModuleRoutes>(GET_ROUTES, { moduleName: "M", side: "external" });
  expect(after.groups[0]!.port).not.toBe(before.groups[0]!.port);
  expect(after.version).toBeGreaterThan(before.version);
});

test("a supervisor that is started again adopts its workers instead of starting them twice", async () => {
  const c = await cluster();
  const { call, supervisor } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  c.closing.pop();
  await supervisor.stop();
  expect(c.workers.running.size).toBe(1);
  const second = await c.startSupervisor(c.platform);
  c.closing.push(() => second.stop());
  expect(second.id).toBe(supervisor.id);
  expect(second.adopted).toBe(1);
  await call(DESTROY, { moduleName: "M" });
  expect(c.workers.started).toBe(1);
});

test("a conductor that is started again finishes the destroy that the first one began", async () => {
  const c = await cluster();
  const conductor = await c.startConductor(c.platform);
  const supervisor = await c.startSupervisor(c.platform);
  c.closing.push(() => supervisor.stop());
  const call = caller(c.platform, conductor.port);
  await call(PUT_BUNDLE, { hash: sha256(bundle), offset: 0, total: bundle.length, bytes: bundle });
  await call(LAUNCH, launchRequest("M"));
  c.workers.stubborn = true;
  const destroyed = call(DESTROY, { moduleName: "M" }).catch(() => "cut off");
  await until(async () => {
    const { module } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
    return module.state === "[:destroying]" || undefined;
  });
  await conductor.stop();
  expect(await destroyed).toBe("cut off");
  c.workers.running.clear();
  const second = await c.startConductor(c.platform);
  c.closing.push(() => second.stop());
  const again = caller(c.platform, second.port);
  await until(async () =>
    again(MODULE_STATUS, { moduleName: "M" }).then(
      () => undefined,
      (error: RamaError) => error.code === "MODULE_NOT_FOUND" || undefined,
    ),
  );
  expect(c.workers.running.size).toBe(0);
});

const declared = { version: CONTRACT_VERSION, depots: [], pstates: [], topologies: [], mirrors: [] };
const objects = { depots: [], pstates: [], queries: [], contract: declared };

const updateRequest = (name: string, more: Partial<UpdateRequest> = {}): UpdateRequest => ({
  moduleName: name,
  moduleExport: "M",
  bundleHash: sha256(bundle),
  ramaVersion: "0.1.0",
  configOverrides: {},
  options: [],
  launchOptions: [],
  objects,
  dependencies: [],
  objectsToDelete: [],
  resetConfig: false,
  ...more,
});

test("a stranger with the pid of a worker that is gone is neither adopted nor killed", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("M"));
  const [pid] = [...c.workers.running.keys()];
  c.workers.births.set(pid!, "stranger");
  const again = await until(async () => {
    const { workers } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
    return workers.find((worker) => worker.state === "running" && worker.pid !== pid);
  });
  expect(again.starts).toBe(2);
  expect(c.workers.running.has(pid!)).toBe(true);
});

test("a worker that cannot be started, for want of its bundle, does not keep others from being started again", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  await call(LAUNCH, launchRequest("A"));
  const lacking = new TextEncoder().encode("export class Other {}");
  await call(PUT_BUNDLE, { hash: sha256(lacking), offset: 0, total: lacking.length, bytes: lacking });
  // Damaged on the conductor's disk: no supervisor takes it.
  c.platform.disk.writeFile(`/local/conductor/bundles/${sha256(lacking)}.js`, bundle);
  const launching = call(LAUNCH, launchRequest("0", { bundleHash: sha256(lacking) })).catch(
    (error: RamaError) => error,
  );
  await until(() => call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "0" }).catch(() => undefined));
  const [pid] = [...c.workers.running.keys()];
  c.workers.running.delete(pid!);
  await until(async () =>
    [...c.workers.running.values()].some(({ moduleName }) => moduleName === "A") ? true : undefined,
  );
  await call(DESTROY, { moduleName: "0" });
  await launching;
});

test("an update hands the data over, keeps config overrides and options, and forgets the old instance", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  const option = (name: string, value: unknown) => ({ scope: "module" as const, object: "", name, value });
  const first = {
    configOverrides: { "limit.record.bytes": 1000000, "limit.answer.bytes": 1000000 },
    options: [option("x", 1)],
    objects,
  };
  const before = await call<LaunchAnswer>(LAUNCH, launchRequest("M", first));
  const data = c.platform.disk.list("/local/supervisor/data");
  const routes = await call<ModuleRoutes>(GET_ROUTES, { moduleName: "M", side: "external" });
  const after = await call<LaunchAnswer>(
    UPDATE,
    updateRequest("M", {
      configOverrides: { "limit.answer.bytes": 2000000 },
      options: [option("y", 2)],
      launchOptions: [option("x", 9)],
    }),
  );
  expect(after.instanceId).not.toBe(before.instanceId);
  const { module, workers } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
  expect(module).toMatchObject({ state: "[:running]", readTarget: after.instanceId });
  expect(module.instances.map((instance) => instance.configOverrides)).toEqual([
    { "limit.record.bytes": 1000000, "limit.answer.bytes": 2000000 },
  ]);
  expect(module.options).toEqual([option("x", 1), option("y", 2)]);
  expect(workers.map((worker) => worker.state)).toEqual(["running"]);
  expect(c.platform.disk.list("/local/supervisor/data")).toEqual(data);
  expect([...c.workers.running.values()].map(({ dataDir }) => dataDir)).toEqual([`/local/supervisor/data/${data[0]}`]);
  const moved = await call<ModuleRoutes>(GET_ROUTES, { moduleName: "M", side: "external" });
  expect(moved.moduleInstanceId).toBe(after.instanceId);
  expect(moved.version).toBeGreaterThan(routes.version);
  await call(UPDATE, updateRequest("M", { configOverrides: { "limit.frame.bytes": 3000000 }, resetConfig: true }));
  const reset = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
  expect(reset.module.instances[0]!.configOverrides).toEqual({ "limit.frame.bytes": 3000000 });
  await call(DESTROY, { moduleName: "M" });
  expect(c.platform.disk.list("/local/supervisor/data")).toEqual([]);
});

/** The hello port of played workers: what they are told. */
async function pausesTold({ env, transport }: MemoryPlatform): Promise<PauseTopology[]> {
  const told: PauseTopology[] = [];
  const handler: ControlHandler = (body) => {
    if (body["topology"] === "none") throw new RamaError("UNKNOWN_OBJECT", "no such topology");
    told.push(body as unknown as PauseTopology);
    return {};
  };
  const address = { host: "localhost", port: 4000 };
  const listener = await listenForCalls(env, transport, address, new Map([[PAUSE_TOPOLOGY, handler]]));
  cleanups.push(() => listener.close());
  return told;
}

test("a pause reaches the workers that run, those that are started later, and the next version of the module", async () => {
  const c = await cluster();
  const { workers } = c;
  const { call } = await launched(c);
  const told = await pausesTold(c.platform);
  await call(LAUNCH, launchRequest("M", { objects }));
  await call(PAUSE_TOPOLOGY, { moduleName: "M", topology: "work", paused: true });
  expect(told[0]).toEqual({ topology: "work", paused: true });
  const unknown = call(PAUSE_TOPOLOGY, { moduleName: "M", topology: "none", paused: true });
  expect(await unknown.catch((error: RamaError) => error.code)).toBe("UNKNOWN_OBJECT");
  const [first] = workers.running.keys();
  workers.running.delete(first!);
  await until(async () => workers.running.size === 1 || undefined);
  const latest = () => [...workers.running.values()].at(-1)!;
  expect(latest().pauses).toMatchObject({ work: { reason: "by pauseTopology", stuck: false } });
  await call<LaunchAnswer>(UPDATE, updateRequest("M"));
  expect(latest().pauses).toMatchObject({ work: { reason: "by pauseTopology", stuck: false } });
  await call(PAUSE_TOPOLOGY, { moduleName: "M", topology: "work", paused: false });
  expect(told.at(-1)).toEqual({ topology: "work", paused: false });
  const { log } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
  expect(log.map(({ text }) => text)).toContain("work is paused");
  expect(log.map(({ text }) => text)).toContain("work is resumed");
  for (const pid of workers.running.keys()) workers.running.delete(pid);
  await until(async () => workers.running.size === 1 || undefined);
  expect(latest().pauses).toEqual({});
});

test("the conductor's API pauses and resumes topologies; other content types and bodies are refused", async () => {
  const c = await cluster();
  const { conductor, call } = await launched(c);
  const told = await pausesTold(c.platform);
  await call(LAUNCH, launchRequest("M", { objects }));
  const post = (path: string, body: string, type = "application/json") =>
    c.platform.http.fetch(`http://localhost:${conductor.uiPort}/api/modules/M/${path}`, {
      method: "POST",
      body,
      headers: { "content-type": type },
    });
  const paused = await post("topologies/work", '{"paused": true}');
  expect([paused.status, await paused.json()]).toEqual([200, { paused: true }]);
  expect(told.at(-1)).toEqual({ topology: "work", paused: true });
  expect((await post("topologies/work", '{"paused": false}')).status).toBe(200);
  expect(told.at(-1)).toEqual({ topology: "work", paused: false });
  for (const [body, type] of [
    ['{"paused": true}', "text/plain"],
    ['{"paused": 1}', "application/json"],
    ["[]", "application/json"],
    ["no", "application/json"],
  ] as const)
    expect((await post("topologies/work", body, type)).status).toBe(400);
  expect((await post("deadLetters", '{"action": "list"}')).status).toBe(400);
  expect((await post("topologies/none", '{"paused": true}')).status).toBe(404);
});

test("a worker whose user code hung for the third time pauses the topology in all workers of the module", async () => {
  const c = await cluster();
  const { workers, platform } = c;
  const { call } = await launched(c);
  const told = await pausesTold(platform);
  await call(LAUNCH, launchRequest("M", { workers: 2 }));
  const [pid, { workerDir }] = [...workers.running.entries()][0]!;
  const stuck = new StuckRecords(platform.disk, workerDir);
  for (let i = 0; i < 3; i++)
    stuck.note({ topology: "work", line: "app.ts:7", depot: "*events", partition: 1, offset: 5 });
  workers.running.delete(pid);
  const reason = "work at app.ts:7: *events partition 1 offset 5 did not return, 3 times";
  await until(async () => told.length > 0 || undefined);
  expect(told[0]).toEqual({ topology: "work", paused: true, reason, stuck: true });
  await until(async () => workers.running.size === 2 || undefined);
  expect([...workers.running.values()].at(-1)!.pauses).toMatchObject({ work: { reason, stuck: true } });
  await call(PAUSE_TOPOLOGY, { moduleName: "M", topology: "work", paused: false });
  for (const each of [...workers.running.keys()]) workers.running.delete(each);
  await until(async () => workers.running.size === 2 || undefined);
  for (const { pauses } of workers.running.values()) expect(pauses).toEqual({});
});

test("an update whose workers cannot start is rolled back and leaves nothing behind", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  const { instanceId } = await call<LaunchAnswer>(LAUNCH, launchRequest("M", { objects }));
  c.workers.dieAtStart = true;
  await expect(call(UPDATE, updateRequest("M"))).rejects.toThrow("the module's class throws");
  const { module } = await call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: "M" });
  expect(module).toMatchObject({ state: "[:running]", readTarget: instanceId });
  expect(module.instances.map(({ id }) => id)).toEqual([instanceId]);
  expect(c.platform.disk.list("/local/supervisor/workers")).toEqual([`${instanceId}-w0`]);
  expect(c.workers.running.size).toBe(1);
});

test("a removal that other modules depend on, or that is not named, is refused before anything starts", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  const withDepot = { ...objects, contract: { ...declared, depots: [{ name: "*d", global: false, tick: false }] } };
  const depot = { index: 0, name: "*d", global: false, tick: false, partitioning: { kind: "random" as const } };
  await call(LAUNCH, launchRequest("M", { objects: { ...withDepot, depots: [depot] } }));
  const mirrors = [{ module: "M", kind: "depot" as const, object: "*d" }];
  const user = { objects: { ...objects, contract: { ...declared, mirrors } }, dependencies: mirrors };
  await call(LAUNCH, launchRequest("User", user));
  const started = c.workers.started;
  const dependedOn = { code: "DEPENDED_ON" };
  await expect(call(UPDATE, updateRequest("M", { objectsToDelete: ["*d"] }))).rejects.toMatchObject(dependedOn);
  await call(DESTROY, { moduleName: "User" });
  await expect(call(UPDATE, updateRequest("M"))).rejects.toMatchObject({ code: "DELETION_NOT_NAMED" });
  expect(c.workers.started).toBe(started);
});

test("a second conductor on the same local.dir is refused and told who has it", async () => {
  const c = await cluster();
  await launched(c);
  await expect(c.startConductor(c.platform)).rejects.toMatchObject({ code: "STORE_LOCKED" });
});

test("without supervisors a launch is refused with what to do", async () => {
  const c = await cluster();
  const conductor = await c.startConductor(c.platform);
  c.closing.push(() => conductor.stop());
  const call = caller(c.platform, conductor.port);
  await call(PUT_BUNDLE, { hash: sha256(bundle), offset: 0, total: bundle.length, bytes: bundle });
  await expect(call(LAUNCH, launchRequest("M"))).rejects.toMatchObject({ code: "NOT_ENOUGH_SUPERVISORS" });
});

test("a bundle whose bytes do not have its hash is refused", async () => {
  const c = await cluster();
  const { call } = await launched(c);
  const body = { hash: sha256(new Uint8Array(1)), offset: 0, total: bundle.length, bytes: bundle };
  await expect(call(PUT_BUNDLE, body)).rejects.toMatchObject({ code: "BAD_BUNDLE" });
});
