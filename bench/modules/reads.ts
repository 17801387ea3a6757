// What the read rows ask: a value three levels deep, 20 neighbours out of a million, a question to all tasks.
import { Agg, CompoundAgg, Depot, Path, PState, RamaModule, type Setup, type Topologies } from "rama";

export class ReadsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*views", Depot.hashBy("user"));
    setup.declareDepot("*points", Depot.hashBy("series"));
    const core = topologies.stream("core");
    const pages = PState.mapSchema(String, Number).subindexed();
    core.pstate("$$views", PState.mapSchema(String, PState.mapSchema(Number, pages).subindexed()));
    core.pstate("$$series", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed()));
    core.pstate("$$total", Number).initialValue(0);
    core
      .source("*views")
      .out({ user: "*user", day: "*day", page: "*page" })
      .compoundAgg("$$views", CompoundAgg.path("*user", "*day", "*page", Agg.count()))
      .agg("$$total", Agg.count());
    core
      .source("*points")
      .out({ series: "*series", at: "*at", value: "*value" })
      .localTransform("$$series", Path.key("*series", "*at").termVal("*value"));
    topologies
      .query("total")
      .out("*total")
      .allPartition()
      .localSelect("$$total", Path.stay())
      .out("*here")
      .originPartition()
      .agg(Agg.sum("*here"))
      .out("*total");
  }
}
