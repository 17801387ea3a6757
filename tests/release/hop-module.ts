// Source of a module for tests over real processes: records go to a random partition and hop to the task of their user, where they are counted. Fits `load.ts`.
export const hopModule = `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class HopModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.random());
    const s = topologies.stream("counts");
    s.pstate("$$counts", PState.mapSchema(String, Number));
    s.source("*events").out("*event").bind("*event", { userId: "*userId" })
      .hashPartition("*userId")
      .compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
  }
}`;
