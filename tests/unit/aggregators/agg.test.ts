// Aggregators: one by one on a PState, and merged from parts in a batch, must tell the same story.
import { describe, expect, test } from "bun:test";
import { Agg, leafOfReference } from "../../../src/aggregators/agg.ts";
import { type Aggregator, type AggregatorLeaf, finished } from "../../../src/aggregators/aggregator.ts";
import {
  type AggTemplate,
  capturedVars,
  CompoundAgg,
  templateArgs,
  templateLeaf,
  toTransformSteps,
} from "../../../src/aggregators/compound.ts";
import { LimitAgg } from "../../../src/aggregators/limit.ts";
import type { RamaError } from "../../../src/base/errors.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { compileTransform } from "../../../src/paths/compile.ts";
import { PlainRoot } from "../../../src/paths/plain-indexed.ts";

/** Aggregates in two halves and merges, as two-phase aggregation does. */
function batch(leaf: AggregatorLeaf, rows: readonly unknown[][]): unknown {
  const run = (part: readonly unknown[][]) =>
    part.reduce<unknown>((state, row) => leaf.accumulate(state, ...row), leaf.init());
  const half = Math.floor(rows.length / 2);
  const state = leaf.combine === undefined ? run(rows) : leaf.combine(run(rows.slice(0, half)), run(rows.slice(half)));
  return finished(leaf, state);
}

/** Aggregates one input at a time at key "k" of a map. */
function onPState(template: AggTemplate, rows: readonly unknown[][]): unknown {
  const change = compileTransform([...toTransformSteps(CompoundAgg.map("k", template))]);
  return rows.reduce<unknown>((root, row) => change(root, row), new Map());
}

const rows = [3, 1, 2, 1].map((n) => [n]);

describe("built-in aggregators", () => {
  const cases: [string, Aggregator, unknown, unknown][] = [
    ["count", Agg.count(), 4, 0],
    ["sum", Agg.sum("*v"), 7, 0],
    ["min", Agg.min("*v"), 1, null],
    ["max", Agg.max("*v"), 3, null],
    ["first", Agg.first("*v"), 3, null],
    ["last", Agg.last("*v"), 1, null],
    ["and", Agg.and("*v"), 1, true],
    ["or", Agg.or("*v"), 3, false],
    ["list", Agg.list("*v"), [3, 1, 2, 1], []],
    ["set", Agg.set("*v"), new Set([3, 1, 2]), new Set()],
    [
      "multiSet",
      Agg.multiSet("*v"),
      new Map([
        [3, 1],
        [1, 2],
        [2, 1],
      ]),
      new Map(),
    ],
    ["sortedList", Agg.sortedList("*v"), [1, 1, 2, 3], []],
    ["combiner", Agg.combiner({ combine: (a, b) => a * b, zeroVal: () => 1 }, "*v"), 6, 1],
    ["accumulator", Agg.accumulator({ accumulate: (s, v) => `${s}${v}`, initVal: () => "" }, "*v"), "3121", ""],
  ];
  for (const [name, agg, expected, empty] of cases) {
    test(`${name} agrees in batches and on a PState, and over no rows gives its start`, () => {
      const inputs = agg.args.length === 0 ? rows.map(() => []) : rows;
      expect(batch(agg.leaf, inputs)).toEqual(expected);
      expect(batch(agg.leaf, [])).toEqual(empty);
      expect(onPState(agg, inputs)).toEqual(new Map([["k", expected]]));
    });
  }

  test("avg is the mean, null over no rows, and no value to store", () => {
    expect([batch(Agg.avg("*v").leaf, rows), batch(Agg.avg("*v").leaf, [])]).toEqual([1.75, null]);
    expect(() => toTransformSteps(Agg.avg("*v"))).toThrow("batch blocks");
  });

  test("map and merge let the later value win", () => {
    expect(
      batch(Agg.map("*k", "*v").leaf, [
        ["a", 1],
        ["b", 2],
        ["a", 3],
      ]),
    ).toEqual(
      new Map([
        ["a", 3],
        ["b", 2],
      ]),
    );
    expect(batch(Agg.merge("*m").leaf, [[new Map([["a", 1]])], [{ a: 2 }]])).toEqual(new Map([["a", 2]]));
  });

  test("setRemove and voided take away, and do nothing where nothing is", () => {
    expect(onPState(Agg.setRemove("*v"), [[1]])).toEqual(new Map());
    const change = compileTransform(toTransformSteps(CompoundAgg.map("k", Agg.setRemove("*v"))));
    expect(change(new Map([["k", new Set([1, 2])]]), [1])).toEqual(new Map([["k", new Set([2])]]));
    expect(compileTransform(toTransformSteps(CompoundAgg.map("*k", Agg.voided())))(new Map([["a", 1]]), ["a"])).toEqual(
      new Map(),
    );
  });

  test("topMonotonic keeps the best by id; a batch ends sorted and cut", () => {
    const agg = Agg.topMonotonic(2, "*t").idFunction(Ops.FIRST).sortValFunction(Ops.LAST);
    const inputs = [
      ["a", 1],
      ["b", 2],
      ["a", 5],
      ["c", 3],
      ["d", 1],
    ].map((row) => [row]);
    expect(batch(agg.leaf, inputs)).toEqual([
      ["a", 5],
      ["c", 3],
    ]);
    expect(batch(agg.ascending().leaf, inputs)).toEqual([
      ["d", 1],
      ["b", 2],
    ]);
    const stored = (onPState(agg, inputs) as Map<string, unknown[]>).get("k")!;
    expect(stored.length).toBeLessThan(4);
  });

  test("states that were given are not changed", () => {
    for (const agg of [
      Agg.list("*v"),
      Agg.set("*v"),
      Agg.multiSet("*v"),
      Agg.topMonotonic(1, "*v"),
      Agg.sortedList("*v"),
    ]) {
      const state = agg.leaf.step(agg.leaf.init(), 1);
      const copy = structuredClone(state);
      agg.leaf.step(state, 2);
      agg.leaf.combine!(state, agg.leaf.step(agg.leaf.init(), 3));
      expect(state).toEqual(copy);
    }
  });
});

describe("templates", () => {
  const template = CompoundAgg.path("*cat", "*region", CompoundAgg.fields({ n: Agg.count(), total: Agg.sum("*amt") }));
  const inputs = [
    ["x", "eu", 1],
    ["x", "us", 2],
    ["y", "eu", 3],
    ["x", "eu", 4],
  ];
  const expected = new Map([
    [
      "x",
      new Map([
        ["eu", { n: 2, total: 5 }],
        ["us", { n: 1, total: 2 }],
      ]),
    ],
    ["y", new Map([["eu", { n: 1, total: 3 }]])],
  ]);

  test("agree in batches and on a PState, subindexed or not", () => {
    expect(templateArgs(template).map((arg) => (arg as { name: string }).name)).toEqual(["*cat", "*region", "*amt"]);
    expect(batch(templateLeaf(template), inputs)).toEqual(expected);
    const change = compileTransform(toTransformSteps(template));
    expect(inputs.reduce<unknown>((root, row) => change(root, row), null)).toEqual(expected);
    const schema = { kind: "map", value: { kind: "map", value: { kind: "leaf" }, subindexed: {} } };
    const root = new PlainRoot(schema);
    for (const row of inputs) compileTransform(toTransformSteps(template), { schema })(root.get(), row);
    expect(root.plain()).toEqual(expected);
  });

  test("several pairs and lists aggregate each leaf on its own", () => {
    const several = CompoundAgg.map(
      "count",
      Agg.count(),
      "last",
      Agg.last("*v"),
      "list",
      CompoundAgg.list(Agg.sum("*v"), Agg.max("*v")),
    );
    const result = new Map<string, unknown>([
      ["count", 4],
      ["last", 1],
      ["list", [7, 3]],
    ]);
    const change = compileTransform(toTransformSteps(several));
    expect(rows.reduce<unknown>((root, row) => change(root, row), null)).toEqual(result);
    const args = rows.map(([v]) => ["count", "last", v, "list", v, v]);
    expect(batch(templateLeaf(several), args)).toEqual(result);
  });

  test("collections on subindexed places are changed in place", () => {
    const schema = { kind: "map", value: { kind: "list", element: { kind: "leaf" }, subindexed: {} } };
    const root = new PlainRoot(schema);
    const change = compileTransform(toTransformSteps(CompoundAgg.map("*k", Agg.list("*v"))), { schema });
    for (const row of [
      ["a", 1],
      ["a", 2],
      ["b", 3],
    ])
      change(root.get(), row);
    expect(root.plain()).toEqual(
      new Map([
        ["a", [1, 2]],
        ["b", [3]],
      ]),
    );
  });

  test("captured vars are known, references give leaves, mistakes are told", () => {
    expect(capturedVars(CompoundAgg.map("*k", Agg.sum("*v").captureNewValInto("*sum")))).toEqual(["*sum"]);
    expect(leafOfReference(Agg.sum).name).toBe("sum");
    expect(leafOfReference({ combine: (a: number, b: number) => a + b, zeroVal: () => 0 }).name).toBe("combiner");
    const codes = [() => CompoundAgg.map("*k"), () => leafOfReference(5), () => Agg.topMonotonic(0, "*v")].map((fn) => {
      try {
        fn();
      } catch (error) {
        return (error as RamaError).code;
      }
      return "none";
    });
    expect(codes).toEqual(["BAD_MODULE", "BAD_MODULE", "BAD_MODULE"]);
  });

  test("limits are immutable", () => {
    const limit = LimitAgg.create(3, "*a", "*b");
    const sorted = limit.sort("*b").reverse().indexVar("*rank");
    expect([limit.sortArgs.length, sorted.sortArgs.length, sorted.descending, sorted.rankVar]).toEqual([
      0,
      1,
      true,
      "*rank",
    ]);
  });
});
