// Bank transfer exactly once: money leaves one account and arrives at another one, whichever tasks hold them, or does neither. A transfer that the account
// cannot pay is refused and changes nothing. Deploy it, append { id, from, to, amount } to *transfers; read accounts from $$funds and outcomes from $$outcomes.
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  gte,
  isNull,
  MicrobatchSourceOptions,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  type Topologies,
} from "rama";

export interface Deposit {
  readonly user: string;
  readonly amount: number;
}

export interface Transfer {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export class BankTransfers extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*deposits", Depot.hashBy("user"));
    setup.declareDepot("*transfers", Depot.hashBy("from"));

    const bank = topologies.microbatch("bank");
    bank.pstate("$$funds", PState.mapSchema(String, Number));
    bank.pstate("$$outcomes", PState.mapSchema(String, String));

    bank
      .source("*deposits", MicrobatchSourceOptions.startFromBeginning())
      .out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ user: "*user", amount: "*amount" })
      .hashPartition("*user")
      .compoundAgg("$$funds", CompoundAgg.map("*user", Agg.sum("*amount")));

    // One microbatch is one transaction over all tasks: both accounts and the outcome change together, once, whatever fails in between.
    bank
      .source("*transfers", MicrobatchSourceOptions.startFromBeginning())
      .out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ id: "*id", from: "*from", to: "*to", amount: "*amount" })
      .hashPartition("*id")
      .localSelect("$$outcomes", Path.key("*id"))
      .out("*before")
      .keepTrue(isNull("*before"))
      // In the same event: another transfer with this id finds it taken, in this microbatch too.
      .localTransform("$$outcomes", Path.key("*id").termVal("pending"))
      .hashPartition("*from")
      .localSelect("$$funds", Path.key("*from").nullToVal(0))
      .out("*funds")
      .ifTrue(
        gte("*funds", "*amount"),
        Block.localTransform("$$funds", Path.key("*from").term(Ops.MINUS, "*amount"))
          .hashPartition("*to")
          .compoundAgg("$$funds", CompoundAgg.map("*to", Agg.sum("*amount")))
          .each(Ops.IDENTITY, "done")
          .out("*outcome"),
        Block.each(Ops.IDENTITY, "refused").out("*outcome"),
      )
      .hashPartition("*id")
      .localTransform("$$outcomes", Path.key("*id").termVal("*outcome"));
  }
}
