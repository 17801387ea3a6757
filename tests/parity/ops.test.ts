// language.md 5: functions and built-in operations.
import { expect, test } from "bun:test";
import { Agg, Block, Depot, Helpers, Ops, Path, PState } from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf, rows } from "./observed.ts";

const map = new Map<string, number>([
  ["a", 1],
  ["b", 2],
]);

type Case = [string, (typeof Ops)[keyof typeof Ops], unknown[], unknown];
const cases: Case[] = [
  ["IDENTITY", Ops.IDENTITY, [5], 5],
  ["TO_STRING", Ops.TO_STRING, ["a", 1, "b"], "a1b"],
  ["TUPLE", Ops.TUPLE, [1, "x", null], [1, "x", null]],
  ["GET of a map", Ops.GET, [map, "b"], 2],
  ["GET of an array", Ops.GET, [[7, 8], 1], 8],
  ["GET of a plain object", Ops.GET, [{ a: 1 }, "a"], 1],
  ["GET of what is absent", Ops.GET, [map, "z"], null],
  ["GET of null", Ops.GET, [null, "z"], null],
  ["FIRST", Ops.FIRST, [[1, 2]], 1],
  ["FIRST of nothing", Ops.FIRST, [[]], null],
  ["LAST", Ops.LAST, [[1, 2]], 2],
  ["LAST of null", Ops.LAST, [null], null],
  ["SIZE of a list", Ops.SIZE, [[1, 2]], 2],
  ["SIZE of a map", Ops.SIZE, [map], 2],
  ["SIZE of a string", Ops.SIZE, ["abc"], 3],
  ["SIZE of a set", Ops.SIZE, [new Set([1])], 1],
  ["SIZE of a plain object", Ops.SIZE, [{ a: 1, b: 2 }], 2],
  ["SIZE of null", Ops.SIZE, [null], 0],
  ["CONTAINS in a list", Ops.CONTAINS, [[1, 2], 2], true],
  ["CONTAINS by value", Ops.CONTAINS, [[[1], [2]], [2]], true],
  ["CONTAINS in a set", Ops.CONTAINS, [new Set(["x"]), "y"], false],
  ["CONTAINS of a map's keys", Ops.CONTAINS, [map, "a"], true],
  ["CONTAINS in null", Ops.CONTAINS, [null, "a"], false],
  ["EQUAL", Ops.EQUAL, [1, 1, 1], true],
  ["EQUAL by value", Ops.EQUAL, [{ a: [1] }, { a: [1] }], true],
  ["EQUAL of number and bigint", Ops.EQUAL, [1, 1n], true],
  ["NOT_EQUAL", Ops.NOT_EQUAL, [1, 2], true],
  ["LESS_THAN chained", Ops.LESS_THAN, [1, 2, 3], true],
  ["LESS_THAN chained false", Ops.LESS_THAN, [1, 3, 2], false],
  ["LESS_THAN_OR_EQUAL", Ops.LESS_THAN_OR_EQUAL, [1, 1, 2], true],
  ["GREATER_THAN", Ops.GREATER_THAN, [3, 2, 1], true],
  ["GREATER_THAN_OR_EQUAL", Ops.GREATER_THAN_OR_EQUAL, [1, 2], false],
  ["AND: last truthy", Ops.AND, [1, 2], 2],
  ["AND: first falsy", Ops.AND, [1, null, false], null],
  ["OR: first truthy", Ops.OR, [false, 3, 4], 3],
  ["OR: last falsy", Ops.OR, [null, false], false],
  ["NOT", Ops.NOT, [0], false],
  ["IS_NULL", Ops.IS_NULL, [null], true],
  ["IS_NOT_NULL", Ops.IS_NOT_NULL, [null], false],
  ["IS_INSTANCE_OF class first", Ops.IS_INSTANCE_OF, [String, "x"], true],
  ["IS_INSTANCE_OF Number", Ops.IS_INSTANCE_OF, [Number, "x"], false],
  ["IS_INSTANCE_OF Map", Ops.IS_INSTANCE_OF, [Map, map], true],
  ["IS_EVEN", Ops.IS_EVEN, [4], true],
  ["IS_ODD", Ops.IS_ODD, [4], false],
  ["IS_ODD of a negative", Ops.IS_ODD, [-3], true],
  ["PLUS", Ops.PLUS, [1, 2, 3], 6],
  ["PLUS of mixed kinds", Ops.PLUS, [1, 2n], 3n],
  ["MINUS", Ops.MINUS, [10, 1, 2], 7],
  ["TIMES", Ops.TIMES, [2, 3, 4], 24],
  ["INC", Ops.INC, [1], 2],
  ["INC of a bigint", Ops.INC, [1n], 2n],
  ["DEC", Ops.DEC, [1], 0],
  ["DIV", Ops.DIV, [6, 3], 2],
  ["DIV of bigints", Ops.DIV, [7n, 2n], 3n],
  ["MIN", Ops.MIN, [3, 1, 2], 1],
  ["MAX", Ops.MAX, [3, 1, 2], 3],
  ["SUM", Ops.SUM, [[1, 2, 3]], 6],
  ["SUM of null", Ops.SUM, [null], 0],
  ["CURRENT_TOPOLOGY_TYPE outside", Ops.CURRENT_TOPOLOGY_TYPE, [], null],
];

test.each(cases)("%s", async (_, op, args, expected) => {
  expect(await rows(Block.each(op, ...args).out("*x"), "*x")).toEqual([expected]);
});

test("EXPAND binds each element; another number of outs fails", async () => {
  expect(await rows(Block.each(Ops.EXPAND, [1, 2]).out("*a", "*b"), "*a", "*b")).toEqual([[1, 2]]);
  expect(await codeOf(Block.each(Ops.EXPAND, [1, 2, 3]).out("*a", "*b").execute())).toBe("WRONG_OUTPUT_COUNT");
});

test("EXPLODE of lists, sets and maps; EXPLODE_INDEXED; EXPLODE_MAP; RANGE", async () => {
  expect(await rows(Block.each(Ops.EXPLODE, new Set(["x", "y"])).out("*v"), "*v")).toEqual(["x", "y"]);
  expect(await rows(Block.each(Ops.EXPLODE, map).out("*v"), "*v")).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(await rows(Block.each(Ops.EXPLODE_INDEXED, ["x", "y"]).out("*i", "*v"), "*i", "*v")).toEqual([
    [0, "x"],
    [1, "y"],
  ]);
  expect(await rows(Block.each(Ops.EXPLODE_MAP, map).out("*k", "*v"), "*k", "*v")).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(await rows(Block.each(Ops.EXPLODE_MAP, { a: 1 }).out("*k", "*v"), "*k", "*v")).toEqual([["a", 1]]);
  expect(await rows(Block.each(Ops.EXPLODE_MAP, null).out("*k", "*v"), "*k")).toEqual([]);
  expect(await rows(Block.each(Ops.RANGE, 2, 5).out("*v"), "*v")).toEqual([2, 3, 4]);
  expect(await rows(Block.each(Ops.RANGE, 5, 2).out("*v"), "*v")).toEqual([]);
});

test("PRINTLN prints its arguments separated by a space and emits null", async () => {
  const lines: unknown[][] = [];
  const { log } = console;
  console.log = (...parts: unknown[]) => {
    lines.push(parts);
  };
  try {
    expect(await rows(Block.each(Ops.PRINTLN, "a", 1).out("*x"), "*x")).toEqual([null]);
  } finally {
    console.log = log;
  }
  expect(lines.map((parts) => parts.join(" ").trimEnd())).toEqual(["a 1"]);
});

test("RANDOM_UUID7 ascends strictly, and is version 7", async () => {
  const ids = (await rows(Block.each(Ops.RANGE, 0, 50).out("*i").each(Ops.RANDOM_UUID7).out("*id"), "*id")) as string[];
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids).size).toBe(50);
  expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(Helpers.uuid7() > ids[49]!).toBe(true);
});

test("CURRENT_MICROBATCH_ID throws outside a microbatch topology", async () => {
  expect(await codeOf(Block.each(Ops.CURRENT_MICROBATCH_ID).out("*x").execute())).not.toMatch(/^resolved|not a Rama/);
});

test("ops of the task: its id, its topology's kind, the module's instance", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Ops", (_setup, topologies) => {
      topologies
        .query("where", "*task")
        .out("*r")
        .directPartition("*task")
        .each(Ops.CURRENT_TASK_ID)
        .out("*id")
        .each(Ops.CURRENT_TOPOLOGY_TYPE)
        .out("*type")
        .each(Ops.MODULE_INSTANCE_INFO)
        .out("*info")
        .each((i: any) => [i.moduleName, i.numTasks, i.numThreads, i.numWorkers], "*info")
        .out("*numbers")
        .each(Ops.TUPLE, "*id", "*type", "*numbers")
        .out("*r")
        .originPartition();
    }),
    { tasks: 4, threads: 2, workers: 1 },
  );
  expect(await module.query("where").invoke(3)).toEqual([3, "query", ["Ops", 4, 2, 1]]);
});

test("genHashingIndexKeys: the i-th key goes to partition i", async () => {
  const keys = Helpers.genHashingIndexKeys(8);
  expect(keys).toHaveLength(8);
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Keys", (_setup, topologies) => {
      topologies
        .query("taskOf", "*k")
        .out("*t")
        .hashPartition("*k")
        .each(Ops.CURRENT_TASK_ID)
        .out("*t")
        .originPartition();
    }),
    { tasks: 8, threads: 2 },
  );
  for (const [i, key] of keys.entries()) expect(await module.query<number>("taskOf").invoke(key)).toBe(i);
});

test("Helpers.get looks up by value", () => {
  expect(Helpers.get(new Map([[[1, 2], "x"]]), [1, 2])).toBe("x");
  expect(Helpers.get(new Map([["a", 1]]), "b")).toBe(null);
});

test("FIRST, LAST, SIZE as views in paths, and SUM over a subselect", () => {
  const data = { list: [1, 2, 3] };
  expect(Path.select(Path.key("list").view(Ops.FIRST), data)).toEqual([1]);
  expect(Path.select(Path.key("list").view(Ops.SIZE), data)).toEqual([3]);
  expect(Path.selectOne(Path.subselect(Path.key("list").all()).view(Ops.SUM), data)).toBe(6);
  expect(Agg.count()).toBeDefined();
});

test("functions receive null, never undefined", async () => {
  const seen: unknown[] = [];
  await Block.each(() => undefined)
    .out("*nothing")
    .each((a: unknown, b: unknown) => void seen.push(a, b), "*nothing", undefined as never)
    .execute();
  expect(seen).toEqual([null, null]);
});

test("ops on a subindexed structure cost one lookup", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Lookups", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$m", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed()));
      s.pstate("$$l", PState.mapSchema(String, PState.listSchema(Number).subindexed()));
      s.source("*d")
        .out("*n")
        .each(Ops.RANGE, 0, "*n")
        .out("*i")
        .hashPartition("k")
        .localTransform("$$m", Path.key("k").key("*i").termVal("*i"))
        .localTransform("$$l", Path.key("k").afterElem().termVal("*i"));
    }),
    { tasks: 1 },
  );
  await module.depot("*d").append(500);
  const reads = async (pstate: string, path: Path): Promise<[unknown, number]> => {
    let count = 0;
    let value: unknown;
    await ipc.withEventHook(
      (type) => {
        if (type.startsWith("pstate-")) count++;
      },
      async () => {
        value = await module.pstate(pstate).selectOne(Path.key("k").append(path));
      },
    );
    return [value, count];
  };
  for (const [pstate, path, wanted] of [
    ["$$m", Path.view(Ops.SIZE), 500],
    ["$$m", Path.view(Ops.GET, 77), 77],
    ["$$m", Path.view(Ops.CONTAINS, 501), false],
    ["$$l", Path.view(Ops.SIZE), 500],
    ["$$l", Path.view(Ops.FIRST), 0],
    ["$$l", Path.view(Ops.LAST), 499],
  ] as const) {
    const [value, count] = await reads(pstate, path);
    expect(value).toEqual(wanted);
    expect(count).toBeLessThanOrEqual(3);
  }
});
