// Source of the module that a soak keeps busy: a stream that counts with a hop, and a microbatch that moves money, within a group of accounts and over all tasks.
export const soakTasks = 8;

export const soakModule = (name: string): string => `
import { Agg, CompoundAgg, Depot, Path, PState, RamaModule } from "rama";
const plus = (a, b) => a + b;
const minus = (a, b) => a - b;
export class ${name} extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.random());
    setup.declareDepot("*transfers", Depot.hashBy("from"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts.source("*events").out({ userId: "*userId" })
      .hashPartition("*userId")
      .compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
    const bank = topologies.microbatch("bank");
    bank.pstate("$$funds", PState.mapSchema(String, Number));
    bank.pstate("$$groups", PState.mapSchema(String, PState.mapSchema(String, Number)));
    bank.source("*transfers").out("*mb")
      .explodeMicrobatch("*mb").out({ from: "*from", to: "*to", amount: "*amount", group: "*group" })
      .localTransform("$$funds", Path.key("*from").nullToVal(0).term(minus, "*amount"))
      .hashPartition("*to")
      .localTransform("$$funds", Path.key("*to").nullToVal(0).term(plus, "*amount"))
      .hashPartition("*group")
      .localTransform("$$groups", Path.key("*group", "*from").nullToVal(0).term(minus, "*amount"))
      .localTransform("$$groups", Path.key("*group", "*to").nullToVal(0).term(plus, "*amount"));
  }
}`;
