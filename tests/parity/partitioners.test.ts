// language.md 4: where each partitioner goes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Block, CompoundAgg, Agg, Depot, Helpers, Ops, Path, PState, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const tasks = 8;
const launch = { tasks, threads: 4, workers: 2 };
const keys = Helpers.genHashingIndexKeys(tasks);

/** A query that answers the id of the task that `go` leads to. */
function where(topologies: Topologies, name: string, go: Block): void {
  topologies.query(name, "*k").out("*task").macro(go).each(Ops.CURRENT_TASK_ID).out("*task").originPartition();
}

const module = moduleOf("Partitioners", (setup, topologies) => {
  setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
  setup.declareDepot("*globalDepot", Depot.random()).global();
  const s = topologies.stream("s");
  s.pstate("$$p", PState.mapSchema(String, Number));
  s.pstate("$$global", PState.mapSchema(String, Number)).global();
  s.pstate("$$keyed", PState.mapSchema(Number, Number)).keyPartitioner((n: number, key: number) => key % n);
  s.pstate("$$seen", PState.mapSchema(Number, PState.listSchema(Number)));
  s.source("*d")
    .out("*n")
    .hashPartition(0)
    .each(Ops.RANGE, 0, 20)
    .out("*i")
    .hashPartition("*n")
    .compoundAgg("$$seen", CompoundAgg.map("*n", Agg.list("*i")));
  where(topologies, "hash", Block.hashPartition("*k"));
  where(topologies, "hashOfPState", Block.hashPartition("$$p", "*k"));
  where(topologies, "hashOfDepot", Block.hashPartition("*d", "*k"));
  where(topologies, "hashOfGlobal", Block.hashPartition("$$global", "*k"));
  where(topologies, "hashOfGlobalDepot", Block.hashPartition("*globalDepot", "*k"));
  where(topologies, "global", Block.directPartition(5).globalPartition());
  where(topologies, "direct", Block.directPartition("*k"));
  where(topologies, "directOfPState", Block.directPartition("$$p", "*k"));
  where(topologies, "path", Block.pathPartition("$$keyed", Path.key("*k")));
  where(topologies, "pathOfHash", Block.pathPartition("$$p", Path.key("*k", "deeper")));
  where(
    topologies,
    "custom",
    Block.customPartition((n: number, a: number, b: number) => (a + b) % n, "*k", 1),
  );
  where(
    topologies,
    "customOfGlobal",
    Block.customPartition("$$global", (n: number) => n - 1, "*k"),
  );
  where(
    topologies,
    "customOutside",
    Block.customPartition((n: number) => n, "*k"),
  );
  where(topologies, "expression", Block.hashPartition(Helpers.genHashingIndexKeys(tasks)[6]));
  where(topologies, "select", Block.select("$$keyed", Path.key("*k")).out("*v"));
});

let ipc: InProcessCluster;
beforeAll(async () => {
  ipc = await InProcessCluster.create();
  await ipc.launchModule(module, launch);
});
afterAll(() => ipc.close());

const ask = (query: string, key: unknown) => ipc.clusterQuery("Partitioners", query).invoke(key);

test.each([
  ["hash", "the key's hash"],
  ["hashOfPState", "the key's hash among the PState's partitions"],
  ["hashOfDepot", "the key's hash among the depot's partitions"],
  ["pathOfHash", "the partition of the path's leading key"],
])("%s goes to %s", async (query) => {
  for (const [task, key] of keys.entries()) expect(await ask(query, key)).toBe(task);
});

test.each(["global", "hashOfGlobal", "hashOfGlobalDepot", "customOfGlobal"])("%s goes to task 0", async (query) => {
  for (const key of keys) expect(await ask(query, key)).toBe(0);
});

test.each([
  ["direct", 6, 6],
  ["directOfPState", 3, 3],
  ["path", 13, 5],
  ["select", 14, 6],
  ["custom", 13, 6],
  ["expression", null, 6],
])("%s of %p goes to %p", async (query, key, task) => {
  expect(await ask(query, key)).toBe(task);
});

test.each([
  ["direct", 8],
  ["direct", -1],
  ["customOutside", 0],
])("%s with the result %p out of range fails with BAD_PARTITION", async (query, key) => {
  const error = await errorOf(ask(query, key));
  expect([error.code, (error.cause as { code?: string } | undefined)?.code]).toContain("BAD_PARTITION");
});

test("what one task sends another is processed there in sending order", async () => {
  const depot = ipc.clusterDepot("Partitioners", "*d");
  await Promise.all([1, 2, 3, 4, 5].map((n) => depot.append(n)));
  const seen = ipc.clusterPState("Partitioners", "$$seen");
  for (const n of [1, 2, 3, 4, 5])
    expect(await seen.selectOne(Path.key(n))).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

test("allPartition goes to every task once, shufflePartition to all in turns", async () => {
  await using own = await InProcessCluster.create();
  const launched = await own.launchModule(
    moduleOf("AllAndShuffle", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$all", Number).initialValue(0);
      s.pstate("$$shuffled", Number).initialValue(0);
      s.source("*d")
        .out("*n")
        .anchor("root")
        .allPartition()
        .agg("$$all", Agg.sum("*n"))
        .hook("root")
        .shufflePartition()
        .agg("$$shuffled", Agg.count());
    }),
    launch,
  );
  const depot = launched.depot("*d");
  await Promise.all(Array.from({ length: 2 * tasks }, () => depot.append(2)));
  const read = (name: `$$${string}`) =>
    Promise.all(keys.map((key) => launched.pstate(name).selectOne(key, Path.stay())));
  expect(await read("$$all")).toEqual(keys.map(() => 4 * tasks));
  expect(await read("$$shuffled")).toEqual(keys.map(() => 2));
});

test("the first of two arguments of an object partitioner must be declared", async () => {
  const code = codeOf(() =>
    ipc.launchModule(
      moduleOf("Undeclared", (setup, topologies) => {
        setup.declareDepot("*d", Depot.random());
        topologies.stream("s").source("*d").out("*n").hashPartition("*n", "*n");
      }),
      launch,
    ),
  );
  expect(await code).toBe("UNKNOWN_OBJECT");
});

test("originPartition stands in queries only", async () => {
  const code = codeOf(() =>
    ipc.launchModule(
      moduleOf("Origin", (setup, topologies) => {
        setup.declareDepot("*d", Depot.random());
        topologies.stream("s").source("*d").out("*n").originPartition();
      }),
      launch,
    ),
  );
  expect(await code).toBe("NOT_ALLOWED_HERE");
});
