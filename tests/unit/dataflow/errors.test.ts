// What is refused when a module is built, with the line of the builder call and a hint. Guards authors from errors that show only when records come.
import { expect, test } from "bun:test";
import { Agg } from "../../../src/aggregators/agg.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { Block } from "../../../src/dataflow/builder.ts";
import { LoopVars } from "../../../src/dataflow/builder-parts.ts";
import { expr } from "../../../src/dataflow/expr.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { Depot } from "../../../src/module/depot-partitioning.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import type { Topologies } from "../../../src/module/topologies.ts";
import type { Op } from "../../../src/paths/arg.ts";
import { Path } from "../../../src/paths/path.ts";
import { tasksOf } from "./stage-context.ts";

function refusal(build: () => unknown): RamaError {
  try {
    build();
  } catch (error) {
    if (error instanceof RamaError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

function inStream(code: (source: Block) => unknown, more?: (topologies: Topologies) => void): RamaError {
  return refusal(() =>
    tasksOf((setup, topologies) => {
      setup.declareDepot("*orders", Depot.random());
      setup.declareTickDepot("*tick", 1000);
      const topology = topologies.stream("s");
      topology.pstate("$$funds", PState.mapSchema(String, Number));
      topologies.stream("other").pstate("$$others", PState.mapSchema(String, Number));
      more?.(topologies);
      code(topology.source("*orders"));
    }),
  );
}

type Case = readonly [what: string, code: (source: Block) => unknown, errorCode: string, message: RegExp];

const cases: readonly Case[] = [
  [
    "an unknown var",
    (s) => s.out("*word").each(Ops.INC, "*wrod"),
    "UNKNOWN_VAR",
    /\*wrod is not bound here; did you mean \*word\?/,
  ],
  ["a var inside an expression", (s) => s.each(Ops.INC, expr(Ops.INC, "*n")), "UNKNOWN_VAR", /\*n is not bound/],
  ["a var inside a path", (s) => s.localSelect("$$funds", Path.key("*k")), "UNKNOWN_VAR", /\*k is not bound/],
  [
    "a var of one branch only",
    (s) => s.ifTrue(true, Block.each(Ops.IDENTITY, 1).out("*a")).each(Ops.INC, "*a"),
    "UNKNOWN_VAR",
    /\*a/,
  ],
  [
    "a loop's inner var after it",
    (s) => s.loop(Block.each(Ops.IDENTITY, 1).out("*a").emitLoop()).each(Ops.INC, "*a"),
    "UNKNOWN_VAR",
    /\*a/,
  ],
  [
    "an unknown PState",
    (s) => s.localSelect("$$fund", Path.all()),
    "UNKNOWN_OBJECT",
    /\$\$fund; did you mean \$\$funds\?/,
  ],
  ["an unknown depot", (s) => s.depotPartitionAppend("*order", 1), "UNKNOWN_OBJECT", /did you mean \*orders/],
  ["an unknown object of a partitioner", (s) => s.hashPartition("$$no", 1), "UNKNOWN_OBJECT", /\$\$no/],
  ["an unknown query", (s) => s.invokeQuery("q"), "UNKNOWN_OBJECT", /no query q/],
  ["an unknown anchor", (s) => s.anchor("root").hook("rot"), "UNKNOWN_OBJECT", /no anchor rot here; did you mean root/],
  [
    "a write to another topology's PState",
    (s) => s.localTransform("$$others", Path.key("a").termVal(1)),
    "NOT_OWNER",
    /belongs to other/,
  ],
  ["an aggregator on another's PState", (s) => s.agg("$$others", Agg.count()), "NOT_OWNER", /belongs to other/],
  ["too many outs", (s) => s.each(Ops.INC, 1).out("*a", "*b"), "WRONG_OUTPUT_COUNT", /emits 1 field, out binds 2 vars/],
  [
    "too few outs",
    (s) => s.each(Ops.EXPLODE_MAP, 1).out("*a"),
    "WRONG_OUTPUT_COUNT",
    /emits 2 fields, out binds 1 var/,
  ],
  ["an out without a value", (s) => s.keepTrue(true).out("*a"), "NOT_ALLOWED_HERE", /out stands directly after/],
  ["two outs", (s) => s.out("*a").out("*b"), "NOT_ALLOWED_HERE", /out stands directly after/],
  [
    "a pattern for several fields",
    (s) => s.each(Ops.EXPLODE_MAP, 1).out({ a: "*a" }),
    "NOT_ALLOWED_HERE",
    /a pattern takes one value/,
  ],
  ["an anchor twice", (s) => s.anchor("a").anchor("a"), "DUPLICATE_NAME", /anchor a/],
  ["a var twice in one pattern", (s) => s.out({ a: "*x", b: "*x" }), "DUPLICATE_NAME", /binds \*x twice/],
  ["continueLoop outside of a loop", (s) => s.continueLoop(), "NOT_ALLOWED_HERE", /inside a loop/],
  [
    "a wrong number of loop values",
    (s) => s.loopWithVars(LoopVars.var("*i", 0), Block.continueLoop()),
    "WRONG_ARGUMENT_COUNT",
    /has 1 vars, continueLoop gives 0/,
  ],
  [
    "a wrong number of loop outputs",
    (s) => s.loop(Block.emitLoop(1)).out("*a", "*b"),
    "WRONG_ARGUMENT_COUNT",
    /has 2 outputs, emitLoop gives 1/,
  ],
  ["a batch block in a stream", (s) => s.batchBlock(Block.create()), "NOT_ALLOWED_HERE", /use a microbatch topology/],
  ["originPartition in a stream", (s) => s.originPartition(), "NOT_ALLOWED_HERE", /only queries have an origin/],
  ["an aggregator without a PState", (s) => s.agg(Agg.count()), "NOT_ALLOWED_HERE", /belongs into a batch block/],
  ["an append to a tick depot", (s) => s.depotPartitionAppend("*tick", 1), "NOT_APPENDABLE", /tick depot/],
  ["select without a key", (s) => s.select("$$funds", Path.all()), "KEY_REQUIRED", /must begin with key/],
  ["a transform without an end", (s) => s.localTransform("$$funds", Path.key("a")), "NO_TERMINAL", /terminal/],
  ["an object as a constant", (s) => s.each(Ops.IDENTITY, new WeakMap()), "BAD_CONSTANT", /object cache disallowed/],
  ["an async function in each", (s) => s.each(async () => 1), "NOT_ALLOWED_HERE", /use eachAsync/],
  [
    "a wrong number of arguments of an op",
    (s) => s.each(Ops.INC as Op, 1, 2),
    "WRONG_ARGUMENT_COUNT",
    /Ops.INC takes 1/,
  ],
  [
    "no PState where one is needed",
    (s) => s.localTransform("funds" as never, Path.key("a").termVal(1)),
    "BAD_MODULE",
    /named "\$\$name"/,
  ],
  ["no block where one is needed", (s) => s.atomicBlock({} as never), "BAD_MODULE", /takes a block/],
  ["a bad out", (s) => s.out("word" as never), "BAD_MODULE", /out binds vars/],
];

for (const [what, code, errorCode, message] of cases) {
  test(`refused with its line: ${what}`, () => {
    const error = inStream(code);
    expect(error.code as string).toBe(errorCode);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^errors\.test\.ts:\d+: /);
    expect(error.facts["line"]).toMatch(/^errors\.test\.ts:\d+$/);
  });
}

test("the line is that of the call, not of the whole chain", () => {
  // Bodies in braces: a call that a function returns leaves no frame behind.
  const lines = [1, 2].map((which) => {
    const error = inStream((source) => {
      const block = source.out("*a");
      block.each(Ops.INC, which === 1 ? "*b" : "*a");
      block.each(Ops.INC, which === 2 ? "*b" : "*a");
      return block;
    });
    return Number(/:(\d+)/.exec(error.message)![1]);
  });
  expect(lines[1]! - lines[0]!).toBe(1);
});

function inQuery(code: (block: Block) => unknown): RamaError {
  return refusal(() =>
    tasksOf((setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, Number));
      code(topologies.query("q", "*k").out("*v"));
    }),
  );
}

test("a query ends at its origin with its output bound, and writes no PState", () => {
  expect(inQuery((q) => q.each(Ops.INC, "*k").out("*v")).code).toBe("NO_FINAL_ORIGIN");
  expect(inQuery((q) => q.originPartition().hashPartition("*k").each(Ops.INC, "*k").out("*v")).code).toBe(
    "NO_FINAL_ORIGIN",
  );
  expect(inQuery((q) => q.originPartition()).message).toMatch(/output \*v of the query is not bound/);
  expect(inQuery((q) => q.localTransform("$$p", Path.key("a").termVal(1)).originPartition()).code).toBe("NOT_OWNER");
  expect(inQuery((q) => q.invokeQuery("q").out("*v").originPartition()).message).toMatch(/takes 1 arguments, not 0/);
  expect(inQuery((q) => q.ackReturn(1).originPartition()).code).toBe("NOT_ALLOWED_HERE");
});
