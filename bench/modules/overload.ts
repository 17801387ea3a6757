// What a cluster is overloaded with: a stream that counts, a stream and a microbatch whose code takes longer than their input leaves it, a query over all tasks.
import { Agg, CompoundAgg, Depot, Path, PState, RamaModule, type Setup, type Topologies } from "rama";

/** Holds the thread for so long. */
function busy(ms: number): null {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return null;
}

export class OverloadModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    for (const depot of ["*events", "*slow", "*late"] as const) setup.declareDepot(depot, Depot.hashBy("userId"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts
      .source("*events")
      .out({ userId: "*userId" })
      .compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
    const slow = topologies.stream("slow");
    slow.pstate("$$slow", PState.mapSchema(String, Number));
    slow
      .source("*slow")
      .out({ userId: "*userId" })
      .each(() => busy(1))
      .compoundAgg("$$slow", CompoundAgg.map("*userId", Agg.count()));
    const late = topologies.microbatch("late");
    late.pstate("$$late", PState.mapSchema(String, Number));
    late
      .source("*late")
      .out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ userId: "*userId" })
      .each(() => busy(0.2))
      .compoundAgg("$$late", CompoundAgg.map("*userId", Agg.count()));
    topologies
      .query("total")
      .out("*total")
      .allPartition()
      .localSelect("$$counts", Path.mapVals())
      .out("*count")
      .originPartition()
      .agg(Agg.sum("*count"))
      .out("*total");
  }
}
