// What happens on the pages of a site: how often each page is seen and for how long, by whom, and where each visitor went.
// Records of *visits: { visitor: "ada", page: "/docs", durationMs: 5200, at: 1714560000000 }
//
// Three indexes of different shape from one stream of records, each chosen for the question it answers in one read:
//   $$pages     a page's totals, and its visits by day for range questions
//   $$visitors  who has seen a page; its size is known without counting
//   $$history   where a visitor went, by time
import { Agg, CompoundAgg, Depot, PState, Path, RamaModule, type Setup, type Topologies } from "rama";

const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);

export class PageAnalyticsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    // Hashed by visitor: one visitor's records keep their order, and $$history is written without a hop.
    setup.declareDepot("*visits", Depot.hashBy("visitor"));

    const analytics = topologies.stream("analytics");
    analytics.pstate("$$history", PState.mapSchema(String, PState.mapSchema(Number, String).subindexed()));
    analytics.pstate("$$visitors", PState.mapSchema(String, PState.setSchema(String).subindexed()));
    analytics.pstate(
      "$$pages",
      PState.mapSchema(
        String,
        PState.fixedKeysSchema({
          visits: Number,
          durationMs: Number,
          byDay: PState.mapSchema(String, Number).subindexed(),
        }),
      ),
    );
    analytics
      .source("*visits")
      .out({ visitor: "*visitor", page: "*page", durationMs: "*durationMs", at: "*at" })
      .localTransform("$$history", Path.key("*visitor").key("*at").termVal("*page"))
      .each(dayOf, "*at")
      .out("*day")
      .hashPartition("*page")
      .compoundAgg("$$visitors", CompoundAgg.map("*page", Agg.set("*visitor")))
      .compoundAgg(
        "$$pages",
        CompoundAgg.map(
          "*page",
          CompoundAgg.fields({
            visits: Agg.count(),
            durationMs: Agg.sum("*durationMs"),
            byDay: CompoundAgg.map("*day", Agg.count()),
          }),
        ),
      );
  }
}
