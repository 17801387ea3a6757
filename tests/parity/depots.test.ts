// language.md 10 and 1.3: depots, their schemes, appends, reads, ticks, appends of topologies.
import { expect, test } from "bun:test";
import { AckLevel, Agg, CompoundAgg, Depot, Helpers, Ops, Path, PState } from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const tasks = 4;
const launch = { tasks, threads: 2 };
const keys = Helpers.genHashingIndexKeys(tasks);

class Modulo implements Depot.Partitioning<number> {
  choosePartitionIndex(record: number, numPartitions: number): number {
    return record % numPartitions;
  }
}

const depots = moduleOf("Depots", (setup) => {
  setup.declareDepot("*random", Depot.random());
  setup.declareDepot("*byOp", Depot.hashBy(Ops.FIRST));
  setup.declareDepot("*byField", Depot.hashBy("id"));
  setup.declareDepot(
    "*byFunction",
    Depot.hashBy((r: { user: { id: string } }) => r.user.id),
  );
  setup.declareDepot("*custom", new Modulo());
  setup.declareDepot("*customClass", Modulo);
  setup.declareDepot("*global", Depot.hashBy("id")).global();
  setup.declareDepot("*closed", Depot.disallow());
  setup.declareTickDepot("*tick", 1000);
});

test("each scheme sends a record to its partition", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  const records: [`*${string}`, (task: number) => unknown][] = [
    ["*byOp", (task) => [keys[task], "x"]],
    ["*byField", (task) => ({ id: keys[task] })],
    ["*byField", (task) => new Map([["id", keys[task]]])],
    ["*byFunction", (task) => ({ user: { id: keys[task] } })],
    ["*custom", (task) => task],
    ["*customClass", (task) => task],
  ];
  for (const [name, record] of records) {
    const depot = module.depot(name);
    for (let task = 0; task < tasks; task++) {
      const before = await depot.getPartitionInfo(task);
      await depot.append(record(task));
      const { endOffset } = await depot.getPartitionInfo(task);
      expect([name, endOffset]).toEqual([name, before.endOffset + 1]);
      expect(await depot.read(task, before.endOffset, endOffset)).toEqual([record(task)] as never);
    }
  }
});

test("a missing field hashes like null", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  const depot = module.depot("*byField");
  await depot.append({});
  await depot.append({ id: null });
  const counts = await Promise.all([0, 1, 2, 3].map(async (i) => (await depot.getPartitionInfo(i)).endOffset));
  expect(counts.sort()).toEqual([0, 0, 0, 2]);
});

test("getObjectInfo; a global depot has one partition", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  expect(await module.depot("*random").getObjectInfo()).toMatchObject({ name: "*random", numPartitions: 4 });
  expect(await module.depot("*global").getObjectInfo()).toMatchObject({ numPartitions: 1 });
  for (const id of keys) await module.depot("*global").append({ id });
  expect(await module.depot("*global").getPartitionInfo(0)).toEqual({ startOffset: 0, endOffset: 4 });
});

test.each([
  ["null", null],
  ["undefined, as null", undefined],
  ["a number", 5],
  ["a bigint", 5n],
  ["a string like a var", "*x"],
  ["a map", new Map([["a", new Set([1])]])],
  ["a date", new Date(7)],
  ["bytes", new Uint8Array([1, 2])],
  ["a typed array", new Float64Array([1.5])],
  ["nested plain data", { a: [{ b: null }], "": 1 }],
  ["NaN as a value", Number.NaN],
])("a record may be %s and keeps its kind", async (_name, record) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  await module.depot("*global").append(record);
  expect(await module.depot("*global").read(0, 0, 1)).toEqual([(record ?? null) as never]);
});

test("ack levels: appends of every level are stored in call order", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  const depot = module.depot("*global");
  const levels = [AckLevel.NONE, AckLevel.APPEND_ACK, AckLevel.ACK];
  const acks = Array.from({ length: 30 }, (_, i) => depot.append({ i }, levels[i % 3]));
  expect(await Promise.all(acks)).toEqual(Array.from({ length: 30 }, () => ({})));
  await depot.append({ i: 30 });
  expect(await depot.read(0, 0, 31)).toEqual(Array.from({ length: 31 }, (_, i) => ({ i })));
});

test("refusals: closed and tick depots, custom results out of range, offsets outside", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(depots, launch);
  expect(await codeOf(module.depot("*closed").append(1))).toBe("NOT_APPENDABLE");
  expect(await codeOf(module.depot("*tick").append(1))).toBe("NOT_APPENDABLE");
  expect(await codeOf(module.depot("*custom").append(-1))).toBe("BAD_PARTITION");
  expect(await codeOf(module.depot("*custom").append(1.5))).toBe("BAD_PARTITION");
  expect(await codeOf(module.depot("*random").read(0, 0, 1))).toBe("OFFSET_OUT_OF_RANGE");
  expect(await codeOf(module.depot("*nothing").append(1))).toBe("UNKNOWN_OBJECT");
  expect(await codeOf(module.depot("*random").append(() => 1))).toBe("NOT_SERIALIZABLE");
  expect(await codeOf(module.depot("*random").getPartitionInfo(9))).toBe("BAD_PARTITION");
});

test("depotPartitionAppend appends to the current task's partition, also of a closed depot, and goes on", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Forward", (setup, topologies) => {
      setup.declareDepot("*in", Depot.random());
      setup.declareDepot("*out", Depot.disallow());
      const s = topologies.stream("first");
      s.pstate("$$done", PState.mapSchema(String, Number));
      s.source("*in")
        .out("*k")
        .hashPartition("*k")
        .depotPartitionAppend("*out", "*k")
        .depotPartitionAppend("*out", "*k", AckLevel.NONE)
        .depotPartitionAppend("*out", "*k", AckLevel.ACK)
        .compoundAgg("$$done", CompoundAgg.map("*k", Agg.count()));
      const second = topologies.stream("second");
      second.pstate("$$seen", PState.mapSchema(String, Number));
      second.source("*out").out("*k").compoundAgg("$$seen", CompoundAgg.map("*k", Agg.count()));
    }),
    launch,
  );
  for (const key of keys) await module.depot("*in").append(key);
  for (const [task, key] of keys.entries()) {
    expect(await module.depot("*out").getPartitionInfo(task)).toEqual({ startOffset: 0, endOffset: 3 });
    expect(await module.depot("*out").read(task, 0, 3)).toEqual([key, key, key]);
    expect(await module.pstate("$$done").selectOne(Path.key(key))).toBe(1);
    expect(await module.pstate("$$seen").selectOne(Path.key(key))).toBe(3);
  }
});

const ticks = moduleOf("Ticks", (setup, topologies) => {
  setup.declareTickDepot("*tick", 40);
  const s = topologies.stream("s");
  s.pstate("$$ticks", PState.mapSchema(Number, Number)).global();
  s.source("*tick").each(Ops.CURRENT_TASK_ID).out("*t").compoundAgg("$$ticks", CompoundAgg.map("*t", Agg.count()));
});

test("ticks come on task 0, the first one period after the start, and count as processed", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(ticks, launch);
  expect(await module.pstate("$$ticks").select(Path.all())).toEqual([]);
  await module.waitForProcessed("s", 2);
  const [entry] = await module.pstate("$$ticks").select(Path.all());
  expect(entry[0]).toBe(0);
  expect(entry[1]).toBeGreaterThanOrEqual(2);
});

test("with manualTicks ticks come by ipc.tick alone", async () => {
  await using ipc = await InProcessCluster.create({ manualTicks: true });
  const module = await ipc.launchModule(ticks, launch);
  await ipc.tick(module.name, "*tick");
  await ipc.tick("Ticks", "*tick");
  expect(await module.pstate("$$ticks").select(Path.all())).toEqual([[0, 2]]);
});

test("ipc.tick without manualTicks is refused", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(ticks, launch);
  expect(await codeOf(ipc.tick("Ticks", "*tick"))).toBe("NOT_ALLOWED_HERE");
});
