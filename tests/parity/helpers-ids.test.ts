// language.md 22.1: ids that tasks give out.
import { expect, test } from "bun:test";
import { type Block, Depot, Ops, Path, type Topologies } from "rama";
import { ModuleUniqueIdPState, TaskUniqueIdPState } from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

interface Ids {
  declarePState(topology: ReturnType<Topologies["stream"]>): void;
  genId(out: `*${string}`): Block;
}

const moduleWith = (ids: Ids) =>
  moduleOf("Ids", (setup, topologies) => {
    setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
    const s = topologies.stream("s");
    ids.declarePState(s);
    s.source("*d").macro(ids.genId("*id")).ackReturn("*id");
  });

/** Ids that ten records get, by the task that gave them, in order. */
async function idsByTask(ids: Ids, tasks: number): Promise<unknown[][]> {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(moduleWith(ids), { tasks });
  const depot = handle.depot("*d");
  const given: unknown[] = [];
  for (let i = 0; i < 10; i++) given.push((await depot.append(i))["s"]);
  const byTask: unknown[][] = Array.from({ length: tasks }, () => []);
  for (const id of given) byTask[tasks === 1 ? 0 : Number((id as bigint) >> 42n)]!.push(id);
  return byTask;
}

test("ids of a module are bigints: the task in the upper 22 bits, a counter from 0 in the lower 42", async () => {
  const byTask = await idsByTask(new ModuleUniqueIdPState("$$id"), 4);
  expect(byTask.flat().length).toBe(10);
  for (const [task, ids] of byTask.entries()) {
    expect(ids).toEqual(ids.map((_, i) => (BigInt(task) << 42n) + BigInt(i)));
  }
  expect(byTask.filter((ids) => ids.length > 0).length).toBeGreaterThan(1);
});

test("descending ids of a module go down from 2^42 - 1", async () => {
  const byTask = await idsByTask(new ModuleUniqueIdPState("$$id").descending(), 4);
  for (const [task, ids] of byTask.entries()) {
    expect(ids).toEqual(ids.map((_, i) => (BigInt(task) << 42n) + 2n ** 42n - 1n - BigInt(i)));
  }
});

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

test("ids of a task are numbers from 0 up", async () => {
  expect(await idsByTask(new TaskUniqueIdPState("$$id"), 1)).toEqual([upTo(10)]);
});

test("descending ids of a task go down from 2^53 - 1, with integerIds from 2^31 - 1", async () => {
  const down = (from: number) => [upTo(10).map((i) => from - i)];
  expect(await idsByTask(new TaskUniqueIdPState("$$id").descending(), 1)).toEqual(down(2 ** 53 - 1));
  expect(await idsByTask(new TaskUniqueIdPState("$$id").integerIds().descending(), 1)).toEqual(down(2 ** 31 - 1));
  expect(await idsByTask(new TaskUniqueIdPState("$$id").descending().integerIds(), 1)).toEqual(down(2 ** 31 - 1));
});

test("different tasks give out the same task-unique ids", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(moduleWith(new TaskUniqueIdPState("$$id")), { tasks: 4 });
  const ids: unknown[] = [];
  for (let i = 0; i < 12; i++) ids.push((await handle.depot("*d").append(i))["s"]);
  expect(ids.filter((id) => id === 0).length).toBeGreaterThan(1);
});

test("builders are immutable, and the counter is private to its module", async () => {
  const ids = new TaskUniqueIdPState("$$id");
  ids.descending();
  expect(await idsByTask(ids, 1)).toEqual([upTo(10)]);
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(moduleWith(ids), { tasks: 1 });
  expect(await codeOf(handle.pstate("$$id").selectOne(Path.stay()))).toBe("PRIVATE_PSTATE");
});
