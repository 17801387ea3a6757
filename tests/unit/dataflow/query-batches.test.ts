// Aggregating queries: pre-agg, aggregation where the final partitioner says, post-agg; groups, limits, sub-batches. Guards the phases of language.md 7.
import { expect, test } from "bun:test";
import { Agg } from "../../../src/aggregators/agg.ts";
import { CompoundAgg } from "../../../src/aggregators/compound.ts";
import { LimitAgg } from "../../../src/aggregators/limit.ts";
import { Block } from "../../../src/dataflow/builder.ts";
import { SubBatch } from "../../../src/dataflow/builder-parts.ts";
import { compileModule } from "../../../src/dataflow/compile.ts";
import { gt, plus } from "../../../src/dataflow/expr.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import { Path } from "../../../src/paths/path.ts";
import { definition, TestTasks } from "./stage-context.ts";

/** Runs a query `(*in) → *out` over four tasks; task t holds the counts of words w<t>0 … w<t>2, which are t, t+1, t+2. */
function ask(code: (query: Block) => unknown, input: unknown = null, task = 1): unknown[] {
  const module = compileModule(
    definition((_, topologies) => {
      topologies.stream("s").pstate("$$counts", PState.mapSchema(String, Number));
      code(topologies.query("q", "*in").out("*out"));
    }),
  );
  const tasks = new TestTasks(module, module.topologies[1]!);
  for (let t = 0; t < 4; t++) tasks.set("$$counts", t, new Map([0, 1, 2].map((i) => [`w${t}${i}`, t + i])));
  return tasks.query([input], task);
}

const scan = (query: Block) =>
  query.allPartition().localSelect("$$counts", Path.all()).out("*entry").each(Ops.EXPAND, "*entry").out("*word", "*n");

test("rows of all tasks are aggregated at the origin, once", () => {
  const found = ask((query) =>
    scan(query)
      .originPartition()
      .agg(Agg.sum("*n"))
      .out("*sum")
      .agg(Agg.count())
      .out("*count")
      .compoundAgg(CompoundAgg.map("*n", Agg.list("*word")))
      .out("*byCount")
      .each(
        (sum: number, count: number, by: Map<number, string[]>) => [sum, count, by.get(5)],
        "*sum",
        "*count",
        "*byCount",
      )
      .out("*out"),
  );
  expect(found).toEqual([[30, 12, ["w32"]]]);
});

test("without rows aggregators give their start values", () => {
  const found = ask((query) =>
    scan(query)
      .keepTrue(false)
      .originPartition()
      .agg(Agg.count())
      .out("*c")
      .agg(Agg.max("*n"))
      .out("*m")
      .each(Ops.TUPLE, "*c", "*m")
      .out("*out"),
  );
  expect(found).toEqual([[0, null]]);
});

test("inputs stay in scope after the aggregation, other vars do not", () => {
  const found = ask(
    (query) => scan(query).originPartition().agg(Agg.count()).out("*c").each(Ops.PLUS, "*c", "*in").out("*out"),
    100,
  );
  expect(found).toEqual([112]);
  expect(() =>
    ask((query) => scan(query).originPartition().agg(Agg.count()).out("*c").each(Ops.INC, "*n").out("*out")),
  ).toThrow(/\*n is not bound here/);
});

test("a limit keeps the first rows by an order and numbers them", () => {
  const found = ask((query) =>
    scan(query)
      .originPartition()
      .limitAgg(LimitAgg.create(2, "*word", "*n").sort("*n", "*word").reverse().indexVar("*rank"))
      .each(Ops.TUPLE, "*rank", "*word", "*n")
      .out("*out"),
  );
  expect(found).toEqual([
    [0, "w32", 5],
    [1, "w31", 4],
  ]);
});

test("a grouped sub-batch feeds the batch around it", () => {
  const found = ask(
    (query) =>
      query
        .subBatch(
          new SubBatch(
            scan(Block.create())
              .keepTrue(gt("*n", "*in"))
              .groupBy("*n", Block.agg(Agg.count()).out("*words").agg(Agg.list("*word")).out("*list")),
            "*n",
            "*words",
          ),
        )
        .out("*k", "*v")
        .originPartition()
        .agg(Agg.map("*k", "*v"))
        .out("*out"),
    2,
  );
  expect(found).toEqual([
    new Map([
      [3, 3],
      [4, 2],
      [5, 1],
    ]),
  ]);
});

test("a sub-batch on every task gives a row from each, also where nothing came", () => {
  const found = ask((query) =>
    query
      .subBatch(new SubBatch(Block.hashPartition("a").agg(Agg.count()).out("*n"), "*n"))
      .out("*n")
      .originPartition()
      .agg(Agg.list("*n"))
      .out("*out"),
  );
  expect((found[0] as number[]).toSorted()).toEqual([0, 0, 0, 1]);
});

test("groups by several keys, two in a chain of batches", () => {
  const inner = new SubBatch(
    scan(Block.create())
      .each((w: string) => w[1], "*word")
      .out("*task")
      .groupBy("*task", "*n", Block.agg(Agg.count()).out("*c")),
    "*task",
    "*n",
  );
  const outer = new SubBatch(
    Block.subBatch(inner)
      .out("*t", "*n")
      .groupBy("*t", Block.agg(Agg.sum("*n")).out("*s")),
    "*t",
    "*s",
  );
  const found = ask((query) =>
    query
      .subBatch(outer)
      .out("*t", "*s")
      .originPartition()
      .agg(Agg.map("*t", plus("*s", 0)))
      .out("*out"),
  );
  expect(found).toEqual([
    new Map([
      ["0", 3],
      ["1", 6],
      ["2", 9],
      ["3", 12],
    ]),
  ]);
});

test("refusals of batches name their lines", () => {
  const message = (code: (query: Block) => unknown) => {
    try {
      ask(code);
    } catch (error) {
      return String((error as Error).message);
    }
    return "nothing was refused";
  };
  const aggregated = (query: Block) => scan(query).originPartition().agg(Agg.count()).out("*out");
  expect(message((q) => aggregated(q).globalPartition())).toMatch(/Partitioning not allowed in postagg/);
  expect(message((q) => aggregated(q).agg(Agg.count()).each(Ops.INC, 1).agg(Agg.count()))).toMatch(
    /wrap that one in a SubBatch/,
  );
  expect(message((q) => q.agg(Agg.count()).out("*out"))).toMatch(/needs a partitioner before it/);
  expect(message((q) => scan(q).groupBy("*n", Block.agg(Agg.count()).out("*out")))).toMatch(/originPartition\(\)/);
  expect(message((q) => scan(q).freshBatchSource().originPartition())).toMatch(/Expected single tail, found multiple/);
  expect(message((q) => scan(q).groupBy("*n", Block.each(Ops.INC, 1)))).toMatch(/groupBy holds aggregators only/);
  expect(message((q) => scan(q).originPartition().agg(Agg.count()).out("$$t"))).toMatch(/belong into microbatches/);
  expect(message((q) => scan(q).originPartition().agg(Agg.count()).out("*a", "*b"))).toMatch(
    /emits 1 fields, out binds 2/,
  );
});
