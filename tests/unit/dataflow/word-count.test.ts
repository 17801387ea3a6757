// The first module that everyone writes, from the source to the PState. Guards the whole way through builder, scope, plan and emission.
import { expect, test } from "bun:test";
import { taskOf } from "../../../src/base/hash.ts";
import { Agg } from "../../../src/aggregators/agg.ts";
import { CompoundAgg } from "../../../src/aggregators/compound.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { Depot } from "../../../src/module/depot-partitioning.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import type { Setup } from "../../../src/module/setup.ts";
import type { Topologies } from "../../../src/module/topologies.ts";
import { tasksOf } from "./stage-context.ts";

function wordCount(setup: Setup, topologies: Topologies): void {
  setup.declareDepot("*sentences", Depot.random());
  const counts = topologies.stream("wordCount");
  counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
  counts
    .source("*sentences")
    .out("*sentence")
    .each((s: string) => s.split(" "), "*sentence")
    .out("*words")
    .each(Ops.EXPLODE, "*words")
    .out("*word")
    .hashPartition("*word")
    .compoundAgg("$$wordCounts", CompoundAgg.map("*word", Agg.count()));
}

test("words are counted on the tasks that their hashes name", () => {
  const tasks = tasksOf(wordCount);
  tasks.record("to be or not to be");
  const partitions = tasks.partitions("$$wordCounts") as (Map<string, number> | null)[];
  for (const [word, count] of [
    ["to", 2],
    ["be", 2],
    ["or", 1],
    ["not", 1],
  ] as const) {
    expect(partitions[taskOf(word, 4)]?.get(word)).toBe(count);
  }
});

test("a hop carries the word alone", () => {
  const tasks = tasksOf(wordCount);
  tasks.record("a b");
  expect(tasks.hops.map(([, , vars]) => vars)).toEqual([["a"], ["b"]]);
});

test("lines name the builder calls of the test", () => {
  const { topology } = tasksOf(wordCount);
  expect(topology.lines.map(({ what }) => what)).toEqual([
    "source(*sentences)",
    "each((…) => …, *sentence)",
    "each(Ops.EXPLODE, *words)",
    "hashPartition(*word)",
    "compoundAgg($$wordCounts)",
  ]);
  for (const { line } of topology.lines) expect(line).toMatch(/^word-count\.test\.ts:\d+$/);
});
