// language.md 7.8: mistakes in the structure of batch blocks, each refused with its code, the documented words and the line.
import { describe, expect, test } from "bun:test";
import { Agg, Block, emitStream, Ops, Path, PState } from "rama";
import { InProcessCluster } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

const allOfKey = Path.key("a");

const list = (...items: unknown[]) => Block.each(Ops.EXPLODE, items);

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
      expect(error.message).toMatch(/^batch-block-errors\.test\.ts:\d+: /);
    });
  }
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
