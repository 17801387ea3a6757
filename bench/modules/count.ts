// Page views counted per user by a stream topology, like `bench/peers/1-wordcount.mjs`.
import { Agg, CompoundAgg, Depot, PState, RamaModule, type Setup, type Topologies } from "rama";

export class CountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts
      .source("*events")
      .out({ userId: "*userId" })
      .compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
  }
}
