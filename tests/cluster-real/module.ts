// Source of the module that stands the faults: records hop to the task of their user, where a stream counts them; transfers move money between two accounts of one group, by way
// of another task, in a microbatch, so that the group's accounts hold 0 together at every read, and each transfer counts once.
export const moduleName = "WithstandModule";

export const moduleSource = `
import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule } from "rama";
export class ${moduleName} extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.random());
    setup.declareDepot("*transfers", Depot.hashBy("group"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts.source("*events").out("*event").bind("*event", { user: "*user" })
      .hashPartition("*user")
      .compoundAgg("$$counts", CompoundAgg.map("*user", Agg.count()));
    const bank = topologies.microbatch("bank");
    bank.pstate("$$funds", PState.mapSchema(String, PState.mapSchema(String, Number)));
    bank.pstate("$$passed", PState.mapSchema(Number, Number));
    bank.source("*transfers").out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ group: "*group", from: "*from", to: "*to", amount: "*amount", seq: "*seq" })
      .localTransform("$$funds", Path.key("*group").nullToVal({}).key("*from").nullToVal(0).term(Ops.MINUS, "*amount"))
      .hashPartition("*seq")
      .localTransform("$$passed", Path.key("*seq").nullToVal(0).term(Ops.PLUS, 1))
      .hashPartition("*group")
      .localTransform("$$funds", Path.key("*group").nullToVal({}).key("*to").nullToVal(0).term(Ops.PLUS, "*amount"));
  }
}`;
