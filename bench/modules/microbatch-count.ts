// Page views counted per user by microbatches; the peer of `count.ts`.
import { Agg, Block, CompoundAgg, Depot, PState, RamaModule, type Setup, type Topologies } from "rama";

export class MicrobatchCountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    setup.setLaunchDepotDynamicOption("*events", "depot.microbatch.max.records", 50_000);
    const counts = topologies.microbatch("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts
      .source("*events")
      .out("*microbatch")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ userId: "*userId" })
          .hashPartition("*userId")
          .compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count())),
      );
  }
}
