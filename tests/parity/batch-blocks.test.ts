// language.md 3.5, 6.7-6.9, 7: batch blocks, by claim. Most are run as detached blocks; what needs tasks runs as a query.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  emitStream,
  expr,
  gt,
  LimitAgg,
  LoopVars,
  lt,
  Ops,
  Path,
  PState,
  SubBatch,
  type ValueVar,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

const allEntries = Path.all();
const allOfKey = Path.key("a");

/** Rows at the end of a batch block; one var gives plain values. */
async function batch(block: Block, ...vars: ValueVar[]): Promise<unknown[]> {
  const seen: unknown[] = [];
  const look = (...values: unknown[]) => {
    seen.push(vars.length === 1 ? values[0] : values);
  };
  await Block.batchBlock(block.each(look, ...vars)).execute();
  return seen;
}

const list = (...items: unknown[]) => Block.each(Ops.EXPLODE, items);
const pairs = (items: readonly (readonly unknown[])[], a: ValueVar, b: ValueVar, n = 0) =>
  Block.each(Ops.EXPLODE, items)
    .out(`*___e${n}` as ValueVar)
    .each(Ops.EXPAND, `*___e${n}` as ValueVar)
    .out(a, b);
const sorted = (rows: unknown[]) => rows.toSorted((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));

const orders = [
  ["a", 1],
  ["a", 2],
  ["b", 3],
] as const;
const coupons = [
  ["a", 10],
  ["c", 30],
  ["a", 11],
] as const;

const claims: readonly [claim: string, block: Block, vars: ValueVar[], rows: unknown[]][] = [
  [
    "inner join on the common var, all matching pairs",
    pairs(orders, "*id", "*amt")
      .freshBatchSource()
      .macro(pairs(coupons, "*id", "*pct", 1))
      .each(Ops.TUPLE, "*amt", "*pct")
      .out("*row"),
    ["*id", "*row"],
    [
      ["a", [1, 10]],
      ["a", [1, 11]],
      ["a", [2, 10]],
      ["a", [2, 11]],
    ],
  ],
  [
    "left outer join: ** vars of the optional side are null where it has no partner",
    pairs(orders, "*id", "*amt")
      .freshBatchSource()
      .macro(pairs(coupons, "*id", "**pct", 1))
      .each(Ops.TUPLE, "*amt", "**pct")
      .out("*row"),
    ["*id", "*row"],
    [
      ["a", [1, 10]],
      ["a", [1, 11]],
      ["a", [2, 10]],
      ["a", [2, 11]],
      ["b", [3, null]],
    ],
  ],
  [
    "full outer join: every source has a ** var",
    pairs(orders, "*id", "**amt")
      .freshBatchSource()
      .macro(pairs(coupons, "*id", "**pct", 1))
      .each(Ops.TUPLE, "**amt", "**pct")
      .out("*row"),
    ["*id", "*row"],
    [
      ["a", [1, 10]],
      ["a", [1, 11]],
      ["a", [2, 10]],
      ["a", [2, 11]],
      ["b", [3, null]],
      ["c", [null, 30]],
    ],
  ],
  [
    "a null join key matches null",
    pairs([[null, 1]], "*k", "*x")
      .freshBatchSource()
      .macro(pairs([[null, 2]], "*k", "*y", 1))
      .each(Ops.PLUS, "*x", "*y")
      .out("*s"),
    ["*k", "*s"],
    [[null, 3]],
  ],
  [
    "several common vars are one condition",
    pairs(
      [
        [1, 2],
        [1, 3],
      ],
      "*a",
      "*b",
    )
      .each(Ops.PLUS, "*a", "*b")
      .out("*c")
      .freshBatchSource()
      .macro(
        pairs(
          [
            [1, 3],
            [2, 3],
          ],
          "*a",
          "*b",
          1,
        ),
      )
      .each(Ops.TUPLE, "*a", "*c")
      .out("*t"),
    ["*b", "*t"],
    [[3, [1, 4]]],
  ],
  [
    "three sources are joined in whatever order reaches all vars",
    pairs([[1, "x"]], "*a", "*b")
      .freshBatchSource()
      .macro(pairs([["y", 5]], "*c", "*d", 1))
      .freshBatchSource()
      .macro(pairs([["x", "y"]], "*b", "*c", 2))
      .each(Ops.TUPLE, "*a", "*d")
      .out("*row"),
    ["*row"],
    [[1, 5]],
  ],
  [
    "unify merges branches, rows of each, with the vars that all have",
    list(1, 2).out("*x").anchor("a").freshBatchSource().macro(list(2, 3)).out("*x").anchor("b").unify("a", "b"),
    ["*x"],
    [1, 2, 2, 3],
  ],
  [
    "both branches of a condition come back to one",
    list(1, 5)
      .out("*x")
      .ifTrue(gt("*x", 3), Block.each(Ops.IDENTITY, "big").out("*y"), Block.each(Ops.IDENTITY, "small").out("*y")),
    ["*x", "*y"],
    [
      [1, "small"],
      [5, "big"],
    ],
  ],
  [
    "loops stand in pre-agg",
    Block.loopWithVars(
      LoopVars.var("*i", 0),
      Block.ifTrue(lt("*i", 3), Block.emitLoop("*i").continueLoop(expr(Ops.INC, "*i"))),
    )
      .out("*n")
      .agg(Agg.sum("*n"))
      .out("*s"),
    ["*s"],
    [3],
  ],
  [
    "consecutive aggregators each take all rows",
    list(3, 1, 2).out("*x").agg(Agg.count()).out("*n").agg(Agg.sum("*x")).out("*s").agg(Agg.max("*x")).out("*m"),
    ["*n", "*s", "*m"],
    [[3, 6, 3]],
  ],
  [
    "without rows aggregators still fire",
    list()
      .out("*x")
      .agg(Agg.count())
      .out("*n")
      .agg(Agg.list("*x"))
      .out("*l")
      .agg(Agg.and("*x"))
      .out("*and")
      .agg(Agg.or("*x"))
      .out("*or")
      .agg(Agg.min("*x"))
      .out("*min")
      .agg(Agg.avg("*x"))
      .out("*avg")
      .agg(Agg.set("*x"))
      .out("*set"),
    ["*n", "*l", "*and", "*or", "*min", "*avg", "*set"],
    [[0, [], true, false, null, null, new Set()]],
  ],
  [
    "without rows there is no group",
    list().out("*x").groupBy("*x", Block.agg(Agg.count()).out("*n")),
    ["*x", "*n"],
    [],
  ],
  [
    "groupBy aggregates per combination of keys",
    list([1, "a", 10], [1, "b", 20], [1, "a", 5])
      .out("*___r")
      .each(Ops.EXPAND, "*___r")
      .out("*k", "*l", "*v")
      .groupBy("*k", "*l", Block.agg(Agg.sum("*v")).out("*s").agg(Agg.count()).out("*n")),
    ["*k", "*l", "*s", "*n"],
    [
      [1, "a", 15, 2],
      [1, "b", 20, 1],
    ],
  ],
  [
    "limitAgg keeps rows by an order and binds their rank; the sort vars need not be kept",
    pairs(
      [
        ["x", 3],
        ["y", 1],
        ["z", 2],
      ],
      "*k",
      "*v",
    ).limitAgg(LimitAgg.create(2, "*k").sort("*v").reverse().indexVar("*rank")),
    ["*rank", "*k"],
    [
      [0, "x"],
      [1, "z"],
    ],
  ],
  [
    "limitAgg within groupBy is per group",
    pairs(
      [
        ["x", 3],
        ["x", 1],
        ["y", 2],
      ],
      "*k",
      "*v",
    ).groupBy("*k", Block.limitAgg(LimitAgg.create(1, "*v").sort("*v"))),
    ["*k", "*v"],
    [
      ["x", 1],
      ["y", 2],
    ],
  ],
  [
    "topMonotonic is sorted and cut, also in groupBy",
    pairs(
      [
        ["x", 3],
        ["x", 9],
        ["x", 5],
      ],
      "*k",
      "*v",
    ).groupBy("*k", Block.agg(Agg.topMonotonic(2, "*v")).out("*top")),
    ["*k", "*top"],
    [["x", [9, 5]]],
  ],
  [
    "a SubBatch's rows are a source, and are joined like others",
    Block.subBatch(
      new SubBatch(pairs(orders, "*k", "*v").groupBy("*k", Block.agg(Agg.sum("*v")).out("*s")), "*k", "*s"),
    )
      .out("*id", "*sum")
      .freshBatchSource()
      .macro(pairs(coupons, "*id", "*pct", 1))
      .each(Ops.TUPLE, "*sum", "*pct")
      .out("*row"),
    ["*id", "*row"],
    [
      ["a", [3, 10]],
      ["a", [3, 11]],
    ],
  ],
  [
    "SubBatches nest",
    Block.subBatch(
      new SubBatch(
        Block.subBatch(new SubBatch(list(1, 1, 2).out("*x").groupBy("*x", Block.agg(Agg.count()).out("*n")), "*n"))
          .out("*n")
          .groupBy("*n", Block.agg(Agg.count()).out("*m")),
        "*n",
        "*m",
      ),
    ).out("*times", "*values"),
    ["*times", "*values"],
    [
      [1, 1],
      [2, 1],
    ],
  ],
  [
    "CompoundAgg templates are outputs too",
    pairs(orders, "*id", "*amt")
      .compoundAgg(CompoundAgg.map("*id", CompoundAgg.list(Agg.count(), Agg.sum("*amt"))))
      .out("*m"),
    ["*m"],
    [
      new Map([
        ["a", [2, 3]],
        ["b", [1, 3]],
      ]),
    ],
  ],
  [
    "a named stream is a branch, which unify brings back",
    Block.each(Ops.EXPLODE, [1, 2, 3])
      .out("*n")
      .each(function* (n: number) {
        if (n % 2 === 1) yield emitStream("odd", n);
        else yield n;
      }, "*n")
      .outStream("odd", "odds", "*o")
      .out("*e")
      .each(Ops.TUPLE, "even", "*e")
      .out("*r")
      .anchor("evens")
      .hook("odds")
      .each(Ops.TUPLE, "odd", "*o")
      .out("*r")
      .anchor("oddRows")
      .unify("evens", "oddRows")
      .agg(Agg.set("*r"))
      .out("*s"),
    ["*s"],
    [
      new Set([
        ["odd", 1],
        ["even", 2],
        ["odd", 3],
      ]),
    ],
  ],
  [
    "patterns take values of aggregators and sub-batches apart",
    Block.subBatch(new SubBatch(list({ k: 1 }, { k: 2 }).out("*x"), "*x"))
      .out({ k: "*k" })
      .agg(Agg.sortedList("*k"))
      .out(["*a", "*b"])
      .each(Ops.MINUS, "*b", "*a")
      .out("*d"),
    ["*a", "*b", "*d"],
    [[1, 2, 1]],
  ],
  [
    "own combiners and accumulators",
    list("a", "b")
      .out("*x")
      .agg(Agg.combiner({ combine: (s: string, x: string) => s + x, zeroVal: () => "" }, "*x"))
      .out("*joined")
      .agg(Agg.accumulator({ accumulate: (n: number, x: string) => n + x.length, initVal: () => 100 }, "*x"))
      .out("*length"),
    ["*joined", "*length"],
    [["ab", 102]],
  ],
];

describe("by claim", () => {
  for (const [claim, block, vars, rows] of claims) {
    test(claim, async () => expect(sorted(await batch(block, ...vars))).toEqual(sorted(rows)));
  }
});

test("vars bound before the block are visible inside and after, those of inside do not leak", async () => {
  const seen: unknown[] = [];
  await Block.each(Ops.IDENTITY, 5)
    .out("*before")
    .batchBlock(
      list(1, 2)
        .out("*x")
        .each(Ops.TIMES, "*x", "*before")
        .out("*y")
        .agg(Agg.sum("*y"))
        .out("*s")
        .each((s: unknown, before: unknown) => void seen.push([s, before]), "*s", "*before"),
    )
    .each((before: unknown) => void seen.push(before), "*before")
    .execute();
  expect(seen).toEqual([[15, 5], 5]);
  const error = await errorOf(Block.batchBlock(list(1).out("*x")).each(Ops.INC, "*x").execute());
  expect(error.code).toBe("UNKNOWN_VAR");
});

test("code after a block without aggregators runs once, when all of it is finished", async () => {
  const seen: unknown[] = [];
  const note = (x: unknown) => void seen.push(x);
  await Block.batchBlock(list(1, 2).out("*x").each(note, "*x"))
    .batchBlock(list(3).out("*x").each(note, "*x"))
    .each(note, "after")
    .execute();
  expect(seen).toEqual([1, 2, 3, "after"]);
});

describe("structural errors name their code, the documented words and a line", () => {
  const split = Block.each(function* (n: number) {
    if (n % 2 === 1) yield emitStream("odd", n);
    else yield n;
  }, 1);
  const cases: readonly [string, Block, string, RegExp][] = [
    [
      "a var rebound in pre-agg",
      list(1).out("*x").each(Ops.INC, "*x").out("*x"),
      "PREAGG_SHADOWED",
      /Could not produce valid preagg configuration :shadowed \*x/,
    ],
    [
      "needed vars never in one branch",
      list(1).out("*x").freshBatchSource().macro(list(2)).out("*y").each(Ops.PLUS, "*x", "*y"),
      "PREAGG_NO_JOIN",
      /Could not produce valid preagg configuration.*:missing-input \*x.*:no-possible-joins/,
    ],
    [
      "helper vars of an optional source that are ground",
      list(["a", 1])
        .out("*t")
        .each(Ops.EXPAND, "*t")
        .out("*k", "**v")
        .freshBatchSource()
        .macro(list("a"))
        .out("*k")
        .each(Ops.TUPLE, "*k", "**v")
        .out("*r"),
      "PREAGG_NO_JOIN",
      /:missing-input \*\*v.*one with \*\* vars on all its others.*\*t as \*___t\)/,
    ],
    [
      "sources left unjoined",
      list(1).out("*x").freshBatchSource().macro(list(2)).out("*y").agg(Agg.count()).out("*n"),
      "UNJOINED_SOURCES",
      /Expected single tail, found multiple - missing join fields\? 2 sources.*\*x.*\*y/,
    ],
    [
      "a named stream that is not drained",
      split.outStream("odd", "oddOnes", "*o").out("*e").agg(Agg.count()).out("*n"),
      "UNDRAINED_STREAM",
      /Cannot add root to a non-empty DAG/,
    ],
    ["a misspelt var", list(1).out("*xyz").each(Ops.INC, "*xzy"), "UNKNOWN_VAR", /\*xzy is not bound here.*\*xyz/],
    [
      "a var of pre-agg in post-agg",
      list(1).out("*x").agg(Agg.count()).out("*n").each(Ops.INC, "*x"),
      "UNKNOWN_VAR",
      /\*x is not bound here/,
    ],
    [
      "an aggregator after post-agg",
      list(1).out("*x").agg(Agg.count()).out("*n").each(Ops.INC, "*n").agg(Agg.count()),
      "NOT_ALLOWED_HERE",
      /SubBatch/,
    ],
    [
      "another call than an aggregator in groupBy",
      list(1).out("*x").groupBy("*x", Block.each(Ops.INC, "*x")),
      "NOT_ALLOWED_HERE",
      /groupBy holds aggregators only/,
    ],
  ];
  for (const [name, block, code, words] of cases) {
    test(name, async () => {
      const error = await errorOf(Block.batchBlock(block).execute());
      expect([error.code, error.message]).toEqual([code as never, expect.stringMatching(words)]);
      expect(error.message).toMatch(/^batch-blocks\.test\.ts:\d+: /);
    });
  }
});

// ---- on tasks

const launch = { tasks: 4, threads: 2, workers: 2 };

const onTasks = moduleOf("BatchQueries", (setup, topologies) => {
  setup.declareDepot("*pairs", Depot.hashBy(Ops.FIRST));
  const s = topologies.stream("s");
  s.pstate("$$left", PState.mapSchema(String, Number));
  s.source("*pairs")
    .out(["*k", "*v"])
    .compoundAgg("$$left", CompoundAgg.map("*k", Agg.sum("*v")));
  const scan = (k: ValueVar, v: ValueVar, n: number) =>
    Block.allPartition()
      .localSelect("$$left", allEntries)
      .out(`*___s${n}` as ValueVar)
      .each(Ops.EXPAND, `*___s${n}` as ValueVar)
      .out(k, v);
  topologies
    .query("perTask")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0).hashPartition("*k").agg(Agg.count()).out("*n").each(Ops.CURRENT_TASK_ID).out("*task"),
        "*task",
        "*n",
      ),
    )
    .out("*task", "*n")
    .originPartition()
    .agg(Agg.map("*task", "*n"))
    .out("*r");
  topologies
    .query("joined", "*least")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .freshBatchSource()
    .macro(scan("*k", "*w", 1))
    .keepTrue(gt("*v", "*least"))
    .each(Ops.PLUS, "*v", "*w")
    .out("*sum")
    .originPartition()
    .agg(Agg.map("*k", "*sum"))
    .out("*r");
  topologies
    .query("average")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .originPartition()
    .agg(Agg.avg("*v"))
    .out("*r");
  topologies
    .query("groups")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0)
          .each((v: number) => v % 3, "*v")
          .out("*rest")
          .groupBy("*rest", Block.agg(Agg.list("*k")).out("*ks").agg(Agg.sum("*v")).out("*s")),
        "*rest",
        "*ks",
        "*s",
      ),
    )
    .out("*rest", "*ks", "*s")
    .each(Ops.TUPLE, expr(Ops.SIZE, "*ks"), "*s")
    .out("*t")
    .originPartition()
    .agg(Agg.map("*rest", "*t"))
    .out("*r");
  topologies
    .query("taskOfGroup")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0)
          .groupBy("*k", Block.agg(Agg.set(expr(Ops.CURRENT_TASK_ID))).out("*tasks"))
          .each(Ops.CURRENT_TASK_ID)
          .out("*here"),
        "*tasks",
        "*here",
      ),
    )
    .out("*tasks", "*here")
    .each(Ops.CONTAINS, "*tasks", "*here")
    .out("*same")
    .originPartition()
    .agg(Agg.and("*same"))
    .out("*r");
  topologies
    .query("limited", "*n")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .originPartition()
    .limitAgg(LimitAgg.create("*n", "*k", "*v").sort("*v").reverse())
    .each(Ops.TUPLE, "*k", "*v")
    .out("*r");
});

describe("on tasks of two workers", () => {
  let ipc: InProcessCluster;
  let module: LaunchedModule;
  const values = Array.from({ length: 20 }, (_, i) => [`k${i}`, i] as const);
  beforeAll(async () => {
    ipc = await InProcessCluster.create();
    module = await ipc.launchModule(onTasks, launch);
    for (const pair of values) await module.depot("*pairs").append(pair);
  });
  afterAll(() => ipc.close());

  test("post-agg runs on every task, also where no row came", async () => {
    const counts: Map<number, number> = await module.query("perTask").invoke();
    expect([...counts.keys()].toSorted()).toEqual([0, 1, 2, 3]);
    expect([...counts.values()].reduce((a, b) => a + b)).toBe(20);
  });

  test("joins move rows between workers; inputs are in scope in every phase", async () => {
    const wanted = new Map(values.filter(([, v]) => v > 16).map(([k, v]) => [k, 2 * v]));
    expect(await module.query("joined").invoke(16)).toEqual(wanted);
  });

  test("aggregators that cannot be merged get every row", async () => {
    expect(await module.query("average").invoke()).toBe(9.5);
  });

  test("groups gather partial states of several workers", async () => {
    const groups: Map<number, unknown> = await module.query("groups").invoke();
    const of = (rest: number) => values.filter(([, v]) => v % 3 === rest);
    for (const rest of [0, 1, 2])
      expect(groups.get(rest)).toEqual([of(rest).length, of(rest).reduce((s, [, v]) => s + v, 0)]);
  });

  test("expressions inside aggregators are evaluated where the aggregator takes its input", async () => {
    expect(await module.query("taskOfGroup").invoke()).toBe(true);
  });

  test("a query's output must come exactly once", async () => {
    expect(await module.query("limited").invoke(1)).toEqual(["k19", 19]);
    expect((await errorOf(module.query("limited").invoke(2))).code).toBe("NOT_EXACTLY_ONE");
  });
});

test("structural errors of queries", async () => {
  const refusal = async (code: (query: Block) => unknown) => {
    await using ipc = await InProcessCluster.create();
    const module = moduleOf("Refused", (_setup, topologies) => {
      topologies.stream("s").pstate("$$p", PState.mapSchema(String, Number));
      code(topologies.query("q").out("*r"));
    });
    return errorOf(ipc.launchModule(module, { tasks: 1, threads: 1 }));
  };
  const counted = (q: Block) => q.originPartition().agg(Agg.count()).out("*r");
  const partitioned = await refusal((q) => counted(q).hashPartition("*r"));
  expect([partitioned.code, partitioned.message]).toEqual([
    "PARTITIONER_IN_POSTAGG",
    expect.stringMatching(/Partitioning not allowed in postagg/),
  ]);
  const selecting = await refusal((q) => counted(q).select("$$p", allOfKey).out("*x"));
  expect(selecting.code).toBe("PARTITIONER_IN_POSTAGG");
  const elsewhere = await refusal((q) => q.globalPartition().agg(Agg.count()).out("*r"));
  expect([elsewhere.code, elsewhere.message]).toEqual(["NO_FINAL_ORIGIN", expect.stringMatching(/originPartition/)]);
  expect((await refusal((q) => q.agg(Agg.count()).out("*r").originPartition())).code).toBe("NOT_ALLOWED_HERE");
  expect((await refusal((q) => q.originPartition().agg("$$p", Agg.count()))).code).toBe("NOT_OWNER");
});
