// language.md 3.5, 6.7-6.9, 7: batch blocks, by claim. Most are run as detached blocks; what needs tasks runs as a query.
import { describe, expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  emitStream,
  expr,
  gt,
  LimitAgg,
  LoopVars,
  lt,
  Ops,
  SubBatch,
  type ValueVar,
} from "rama";
import { errorOf } from "./observed.ts";

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
