// Counts words: the smallest useful module. Append sentences to *sentences, read how often a word came from $$wordCounts.
//
//   rama deploy --action launch --jar examples/word-count.ts --module WordCountModule --tasks 4 --threads 2 --workers 1
//   rama append WordCountModule '*sentences' '"to be or not to be"'
//   rama select WordCountModule '$$wordCounts' '["be"]'
import { Agg, CompoundAgg, Depot, Ops, PState, RamaModule, type Setup, type Topologies } from "rama";

export class WordCountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    // A sentence may lie anywhere: no order between sentences is needed.
    setup.declareDepot("*sentences", Depot.random());

    const counts = topologies.stream("wordCount");
    counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
    counts
      .source("*sentences")
      .out("*sentence")
      .each((sentence: string) => sentence.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [], "*sentence")
      .out("*words")
      .each(Ops.EXPLODE, "*words")
      .out("*word")
      // Each word has one owner: the task that its hash names keeps its count, and clients ask there.
      .hashPartition("*word")
      .compoundAgg("$$wordCounts", CompoundAgg.map("*word", Agg.count()));
  }
}
