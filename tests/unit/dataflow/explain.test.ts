// The explained plan: what it says of stages, moves, carried vars, reads, writes and transactions, and that its drawing can be read.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  dec,
  expr,
  gt,
  LoopVars,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  type Topologies,
} from "../../../src/index.ts";
import { planDiagram } from "../../../src/dataflow/explain/diagram.ts";
import type { ExplainedModule } from "../../../src/dataflow/explain/explained.ts";
import { layOut } from "../../../src/dataflow/explain/layout.ts";
import { explainModule } from "../../../src/dataflow/explain/outline.ts";
import { planWords } from "../../../src/dataflow/explain/words.ts";
import { defineModule } from "../../../src/module/build.ts";

function explained(define: (setup: Setup, topologies: Topologies) => void): ExplainedModule {
  class Explained extends RamaModule {
    define(setup: Setup, topologies: Topologies): void {
      define(setup, topologies);
    }
  }
  return explainModule(defineModule(Explained));
}

const words = explained((setup, topologies) => {
  setup.declareDepot("*sentences", Depot.random());
  const counts = topologies.stream("wordCount");
  counts.pstate("$$counts", PState.mapSchema(String, Number));
  counts
    .source("*sentences")
    .out("*sentence")
    .each((s: string) => s.split(" "), "*sentence")
    .out("*words")
    .each(Ops.EXPLODE, "*words")
    .out("*word")
    .hashPartition("*word")
    .compoundAgg("$$counts", CompoundAgg.map("*word", Agg.count()));
});

test("the words name objects, stages, what each takes, what is read and written, and where a move goes with what", () => {
  expect(planWords(words).replace(/explain\.test\.ts:\d+/g, "here:1")).toBe(
    [
      "Explained",
      "",
      "  *sentences  appends go to random partitions",
      "  $$counts    map of String to Number; written by wordCount",
      "",
      "stream wordCount",
      "  Each record of a source starts on the task of its partition, as it is appended.",
      `  ${words.topologies[0]!.transaction}`,
      "  Writes $$counts.",
      "",
      "  Stage 1: source(*sentences), on the task of the record's partition",
      "    takes *sentence",
      '    here:1  ((s) => s.split(" "))(*sentence) → *words',
      "    here:1  EXPLODE(*words) → *word",
      "    here:1  goes to the task of hash(*word), then stage 2, with *word",
      "",
      "  Stage 2: hashPartition(*word), on the task of hash(*word)",
      "    takes *word",
      "    here:1  writes $$counts at key(*word).count()",
    ].join("\n"),
  );
});

test("a loop over tasks leads back, and what was written before a move is committed first", () => {
  const { topologies } = explained((setup, all) => {
    setup.declareDepot("*d", Depot.random());
    const s = all.stream("walk");
    s.pstate("$$seen", PState.mapSchema(Number, Number));
    s.source("*d")
      .out("*n")
      .localTransform("$$seen", Path.key("*n").termVal(1))
      .loopWithVars(
        LoopVars.var("*i", "*n"),
        Block.ifTrue(
          gt("*i", 0),
          Block.emitLoop("*i")
            .directPartition(expr((i: number) => i % 2, "*i"))
            .continueLoop(dec("*i")),
        ),
      )
      .out("*j")
      .ackReturn("*j");
  });
  expect(topologies[0]!.edges).toEqual([
    { from: 1, to: 2, kind: "move", how: "task ((i) => i % 2)(*i)", carries: ["*i"], commits: true },
    { from: 2, to: 2, kind: "move", how: "task ((i) => i % 2)(*i)", carries: ["*i"], commits: false },
  ]);
});

test("phases of a batch say where they run, and what follows stands on task 0", () => {
  const { topologies } = explained((setup, all) => {
    setup.declareDepot("*d", Depot.random());
    const mb = all.microbatch("mb");
    mb.pstate("$$sum", Number).global().initialValue(0);
    mb.source("*d")
      .out("*mb")
      .batchBlock(Block.explodeMicrobatch("*mb").out("*n").globalPartition().agg("$$sum", Agg.sum("*n")))
      .each(Ops.PRINTLN, "done");
  });
  const [mb] = topologies;
  expect(mb!.stages.map(({ title, where, batch }) => [title, where, batch?.phase])).toEqual([
    ["source(*d)", "on task 0", undefined],
    ["explodeMicrobatch(*mb)", "on the task that runs the batch", 1],
    ["explodeMicrobatch(*mb)", "on the task of each record's partition", undefined],
    ["after the aggregation", "on task 0", 2],
    ["batchBlock()", "on task 0, when the batch is done", undefined],
  ]);
  expect([mb!.reads, mb!.writes]).toEqual([[], ["$$sum"]]);
});

const examples = join(import.meta.dir, "../../../examples");
// Not a module but a client's program.
const sources = readdirSync(examples).filter((name) => name.endsWith(".ts") && name !== "append-and-read.ts");

test.each(sources)("the plan of examples/%s is told and drawn without one box on another", async (name) => {
  const exported = Object.values((await import(join(examples, name))) as Record<string, unknown>);
  const modules = exported.filter(
    (each) => typeof each === "function" && each.prototype instanceof RamaModule,
  ) as (typeof RamaModule)[];
  expect(modules.length).toBeGreaterThan(0);
  for (const each of modules) {
    const plan = explainModule(defineModule(each as never));
    expect(planWords(plan)).not.toMatch(/undefined|\[object/);
    const svg = planDiagram([plan]);
    expect(svg).not.toMatch(/NaN|undefined|Infinity|\[object/);
    expect(svg.match(/<g[ >]/g)!.length).toBe(svg.match(/<\/g>/g)!.length);
    for (const topology of plan.topologies) {
      const { boxes } = layOut(topology);
      expect(boxes.length).toBe(topology.stages.length);
      const overlaps = boxes.flatMap((a, i) =>
        boxes
          .slice(i + 1)
          .filter((b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height)
          .map((b) => [a.stage.stage, b.stage.stage]),
      );
      expect(overlaps).toEqual([]);
    }
  }
});
