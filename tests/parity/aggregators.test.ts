// language.md 6.1-6.3: aggregators in stream topologies.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  expr,
  Ops,
  Path,
  PState,
  plus,
  type RamaAccumulatorAgg,
  type RamaCombinerAgg,
} from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const longest: RamaCombinerAgg<string> = {
  combine: (a, b) => (b.length > a.length ? b : a),
  zeroVal: () => "",
};
const joined: RamaAccumulatorAgg<string> = {
  accumulate: (state: string, k: string, n: number) => `${state}${k}${n} `,
  initVal: () => ">",
};
const numbers = PState.listSchema(Number);
const counted = PState.mapSchema(Number, Number);

// name, schema of the leaf, aggregator over *n, inputs, what is stored
const table = [
  ["count", Number, Agg.count(), [5, 5, 5], 3],
  ["sum", Number, Agg.sum("*n"), [1, 2, 3.5], 6.5],
  ["sum as bigint", BigInt, Agg.sum("*n"), [1, 2], 3n],
  ["sum of an expression", Number, Agg.sum(plus("*n", 1)), [1, 2], 5],
  ["min", Number, Agg.min("*n"), [3, 1, 2], 1],
  ["max", Number, Agg.max("*n"), [3, 1, 7, 2], 7],
  ["max of strings", String, Agg.max("*n"), ["b", "c", "a"], "c"],
  ["first", Object, Agg.first("*n"), [3, 1], 3],
  ["last", Object, Agg.last("*n"), [3, 1], 1],
  ["and truthy", Object, Agg.and("*n"), [3, 1], 1],
  ["and falsy", Object, Agg.and("*n"), [3, false, 1], false],
  ["or truthy", Object, Agg.or("*n"), [null, 4, 1], 4],
  ["or falsy", Object, Agg.or("*n"), [false, null], null],
  ["list", numbers, Agg.list("*n"), [3, 1, 3], [3, 1, 3]],
  ["list subindexed", numbers.subindexed(), Agg.list("*n"), [3, 1, 3], [3, 1, 3]],
  ["set", PState.setSchema(Number), Agg.set("*n"), [3, 1, 3], [3, 1]],
  ["set subindexed", PState.setSchema(Number).subindexed(), Agg.set("*n"), [3, 1, 3], [1, 3]],
  [
    "map",
    PState.mapSchema(Number, String),
    Agg.map("*n", "k"),
    [1, 2, 1],
    [
      [1, "k"],
      [2, "k"],
    ],
  ],
  [
    "map subindexed",
    PState.mapSchema(Number, String).subindexed(),
    Agg.map("*n", "k"),
    [2, 1],
    [
      [1, "k"],
      [2, "k"],
    ],
  ],
  [
    "multiSet",
    counted,
    Agg.multiSet("*n"),
    [1, 2, 1],
    [
      [1, 2],
      [2, 1],
    ],
  ],
  [
    "merge",
    PState.mapSchema(String, Number),
    Agg.merge("*n"),
    [{ a: 1 }, new Map([["b", 2]]), { a: 3 }],
    [
      ["a", 3],
      ["b", 2],
    ],
  ],
  ["combiner", String, Agg.combiner(longest, "*n"), ["a", "ccc", "bb"], "ccc"],
  ["accumulator", String, Agg.accumulator(joined, "k", "*n"), [1, 2], ">k1 k2 "],
] as const;

const module = moduleOf("Aggregators", (setup, topologies) => {
  const s = topologies.stream("s");
  table.forEach(([_name, schema, agg], i) => {
    setup.declareDepot(`*d${i}`, Depot.random()).global();
    s.pstate(`$$p${i}`, PState.mapSchema(String, schema));
    s.source(`*d${i}`).out("*n").hashPartition("x").compoundAgg(`$$p${i}`, CompoundAgg.map("x", agg));
  });
});

let ipc: InProcessCluster;
beforeAll(async () => {
  ipc = await InProcessCluster.create();
  await ipc.launchModule(module, { tasks: 2, threads: 1 });
});
afterAll(() => ipc.close());

test.each(table.map(([name], i) => [name, i] as const))("%s", async (_, i) => {
  const [, schema, , inputs, expected] = table[i]!;
  for (const input of inputs) await ipc.clusterDepot("Aggregators", `*d${i}`).append(input);
  const state = ipc.clusterPState("Aggregators", `$$p${i}`);
  const whole = typeof schema === "function";
  const found = whole ? await state.selectOne(Path.key("x")) : await state.select(Path.key("x").all());
  expect(found).toEqual(expected as never);
});

test("compoundAgg: templates of maps and lists initialise what is missing, several keys, fields, path, voided", async () => {
  await using own = await InProcessCluster.create();
  const launched = await own.launchModule(
    moduleOf("Templates", (setup, topologies) => {
      setup.declareDepot("*sales", Depot.random()).global();
      const s = topologies.stream("s");
      const stats = PState.listSchema(Number);
      s.pstate("$$stats", PState.mapSchema(String, PState.mapSchema(String, stats))).global();
      s.pstate("$$indexed", PState.mapSchema(String, PState.mapSchema(String, stats).subindexed())).global();
      s.pstate("$$two", PState.mapSchema(String, Number)).global();
      s.pstate("$$fixed", PState.fixedKeysSchema({ count: Number, total: Number })).global();
      s.pstate("$$fields", PState.mapSchema(String, PState.fixedKeysSchema({ count: Number, total: Number }))).global();
      s.pstate("$$path", PState.mapSchema(String, PState.mapSchema(String, Number))).global();
      s.pstate("$$gone", PState.mapSchema(String, Number)).global();
      const leaf = CompoundAgg.list(Agg.count(), Agg.sum("*amt"));
      s.source("*sales")
        .out({ cat: "*cat", region: "*region", amt: "*amt" })
        .compoundAgg("$$stats", CompoundAgg.map("*cat", CompoundAgg.map("*region", leaf)))
        .compoundAgg("$$indexed", CompoundAgg.map("*cat", CompoundAgg.map("*region", leaf)))
        .compoundAgg("$$two", CompoundAgg.map("all", Agg.count(), expr(Ops.TO_STRING, "in ", "*cat"), Agg.sum("*amt")))
        .compoundAgg("$$fixed", CompoundAgg.map("count", Agg.count(), "total", Agg.sum("*amt")))
        .compoundAgg(
          "$$fields",
          CompoundAgg.map("*cat", CompoundAgg.fields({ count: Agg.count(), total: Agg.sum("*amt") })),
        )
        .compoundAgg("$$path", CompoundAgg.path("*cat", "*region", Agg.count()))
        .localTransform("$$gone", Path.key("*cat").termVal(1))
        .compoundAgg("$$gone", CompoundAgg.map("*cat", Agg.voided()));
    }),
    { tasks: 2, threads: 1 },
  );
  const sales = launched.depot("*sales");
  await sales.append({ cat: "a", region: "n", amt: 5 });
  await sales.append({ cat: "a", region: "s", amt: 7 });
  await sales.append({ cat: "a", region: "n", amt: 1 });
  const read = (name: `$$${string}`, path: Path) => launched.pstate(name).selectOne(path);
  expect(await read("$$stats", Path.key("a", "n"))).toEqual([2, 6]);
  expect(await read("$$indexed", Path.key("a", "s"))).toEqual([1, 7]);
  expect(await read("$$two", Path.key("in a"))).toBe(13);
  expect(await read("$$two", Path.key("all"))).toBe(3);
  expect(await read("$$fixed", Path.key("total"))).toBe(13);
  expect(await read("$$fields", Path.key("a"))).toEqual({ count: 3, total: 13 });
  expect(await read("$$path", Path.key("a"))).toEqual(
    new Map([
      ["n", 2],
      ["s", 1],
    ]),
  );
  expect(await read("$$gone", Path.subselect(Path.mapKeys()))).toEqual([]);
});

test("agg on a top-level value steps from its initial value; collections take null as empty", async () => {
  await using own = await InProcessCluster.create();
  const launched = await own.launchModule(
    moduleOf("TopLevel", (setup, topologies) => {
      setup.declareDepot("*n", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$count", Number).global().initialValue(10);
      s.pstate("$$list", Object).global();
      s.pstate("$$set", Object).global();
      s.pstate("$$top", Object).global();
      s.pstate("$$removed", PState.mapSchema(String, PState.setSchema(Number))).global();
      s.source("*n")
        .out("*n")
        .agg("$$count", Agg.count())
        .agg("$$list", Agg.list("*n"))
        .agg("$$set", Agg.set("*n"))
        .agg("$$top", Agg.topMonotonic(2, "*n"))
        .compoundAgg("$$removed", CompoundAgg.map("s", Agg.set("*n")))
        .compoundAgg("$$removed", CompoundAgg.map("s", Agg.setRemove(expr(Ops.MINUS, "*n", 1))));
    }),
    { tasks: 1 },
  );
  for (const n of [1, 2, 3]) await launched.depot("*n").append(n);
  const read = (name: `$$${string}`, path = Path.stay()) => launched.pstate(name).selectOne(path);
  expect(await read("$$count")).toBe(13);
  expect(await read("$$list")).toEqual([1, 2, 3]);
  expect(await read("$$set")).toEqual(new Set([1, 2, 3]));
  expect(await read("$$removed", Path.key("s"))).toEqual(new Set([3]));
  expect(((await read("$$top")) as number[]).includes(3)).toBe(true);
});

test("localClear sets this task's partition back to its start", async () => {
  await using own = await InProcessCluster.create();
  const launched = await own.launchModule(
    moduleOf("Clear", (setup, topologies) => {
      setup.declareDepot("*n", Depot.random()).global();
      setup.declareDepot("*clear", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$count", Number).global().initialValue(10);
      s.pstate("$$map", PState.mapSchema(Number, PState.setSchema(Number).subindexed())).global();
      s.source("*n")
        .out("*n")
        .agg("$$count", Agg.count())
        .compoundAgg("$$map", CompoundAgg.map("*n", Agg.set("*n")));
      s.source("*clear").localClear("$$count").localClear("$$map");
    }),
    { tasks: 1 },
  );
  for (const n of [1, 2, 3]) await launched.depot("*n").append(n);
  expect(await launched.pstate("$$map").select(Path.mapKeys())).toEqual([1, 2, 3]);
  await launched.depot("*clear").append(null);
  expect(await launched.pstate("$$count").selectOne(Path.stay())).toBe(10);
  expect(await launched.pstate("$$map").select(Path.mapKeys())).toEqual([]);
  await launched.depot("*n").append(2);
  expect(await launched.pstate("$$map").select(Path.key(2).all())).toEqual([2]);
});

test("aggregators without a PState and limitAgg are refused outside batch blocks", async () => {
  await using own = await InProcessCluster.create();
  const launch = own.launchModule(
    moduleOf("NoBatch", (setup, topologies) => {
      setup.declareDepot("*n", Depot.random());
      topologies.stream("s").source("*n").out("*n").agg(Agg.count()).out("*c");
    }),
    { tasks: 1 },
  );
  expect(await codeOf(launch)).toBe("NOT_ALLOWED_HERE");
});

test("topMonotonic in a stream cuts at 2n", async () => {
  await using own = await InProcessCluster.create();
  const launched = await own.launchModule(
    moduleOf("Top", (setup, topologies) => {
      setup.declareDepot("*n", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$top", Object).global();
      s.source("*n").out("*n").agg("$$top", Agg.topMonotonic(3, "*n"));
    }),
    { tasks: 1 },
  );
  const sizes: number[] = [];
  for (let n = 1; n <= 12; n++) {
    await launched.depot("*n").append(n);
    const top = (await launched.pstate("$$top").selectOne(Path.stay())) as number[];
    sizes.push(top.length);
    for (const best of [n, n - 1, n - 2]) if (best > 0) expect(top).toContain(best);
  }
  expect(Math.max(...sizes)).toBeLessThanOrEqual(5);
});
