// Money between two accounts on any tasks, once per transfer id, never below zero (`bench/peers/6-transfer.mjs`), in two ways.
import {
  Agg,
  and,
  Block,
  Depot,
  eq,
  isNull,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  type Topologies,
  tuple,
} from "rama";

/**
 * One microbatch is one transaction over all tasks: nobody ever sees money under way. The outcomes of a microbatch go to the mailbox of the client that asked,
 * as one value which it watches; they also stay in $$outcomes for good.
 */
export class MicrobatchTransfers extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*transfers", Depot.hashBy("from"));
    setup.declareDepot("*deposits", Depot.hashBy("user"));
    const bank = topologies.microbatch("bank");
    bank.pstate("$$funds", PState.mapSchema(Number, Number));
    bank.pstate("$$outcomes", PState.mapSchema(Number, Boolean));
    bank.pstate("$$mailboxes", PState.mapSchema(String, Array));
    bank
      .source("*deposits")
      .out("*microbatch")
      .explodeMicrobatch("*microbatch")
      .out({ user: "*user", amount: "*amount" })
      .localTransform("$$funds", Path.key("*user").nullToVal(0).term(Ops.PLUS, "*amount"));
    bank
      .source("*transfers")
      .out("*microbatch")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ id: "*id", from: "*from", to: "*to", amount: "*amount", client: "*client" })
          // An id comes with the same account whenever it comes: what became of it stands there.
          .localSelect("$$outcomes", Path.key("*id"))
          .out("*before")
          .localSelect("$$funds", Path.key("*from").nullToVal(0))
          .out("*funds")
          .each((before: boolean | null, funds: number, amount: number) => before ?? funds >= amount, "*before", "*funds", "*amount")
          .out("*done")
          .ifTrue(isNull("*before"), Block.localTransform("$$outcomes", Path.key("*id").termVal("*done")))
          .ifTrue(
            and("*done", isNull("*before")),
            Block.localTransform("$$funds", Path.key("*from").term(Ops.MINUS, "*amount"))
              .hashPartition("*to")
              .localTransform("$$funds", Path.key("*to").nullToVal(0).term(Ops.PLUS, "*amount")),
          )
          .hashPartition("*client")
          .groupBy("*client", Block.agg(Agg.list(tuple("*id", "*done"))).out("*outcomes"))
          .localTransform("$$mailboxes", Path.key("*client").termVal("*outcomes")),
      );
  }
}

/**
 * By a stream: both halves remember the ids they have done, in the same event as the change of the account, so a record that is processed again does
 * only what is missing. The append's ack return is the outcome. Between the two halves the money is under way.
 */
export class StreamTransfers extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*transfers", Depot.hashBy("from"));
    setup.declareDepot("*deposits", Depot.hashBy("user"));
    const bank = topologies.stream("bank");
    bank.pstate("$$funds", PState.mapSchema(Number, Number));
    bank.pstate("$$outcomes", PState.mapSchema(Number, Boolean));
    bank.pstate("$$received", PState.mapSchema(Number, Boolean));
    bank
      .source("*deposits")
      .out({ user: "*user", amount: "*amount" })
      .localTransform("$$funds", Path.key("*user").nullToVal(0).term(Ops.PLUS, "*amount"));
    bank
      .source("*transfers")
      .out({ id: "*id", from: "*from", to: "*to", amount: "*amount" })
      .localSelect("$$outcomes", Path.key("*id"))
      .out("*before")
      .ifTrue(
        isNull("*before"),
        Block.localSelect("$$funds", Path.key("*from").nullToVal(0))
          .out("*funds")
          .each((funds: number, amount: number) => funds >= amount, "*funds", "*amount")
          .out("*done")
          .localTransform("$$outcomes", Path.key("*id").termVal("*done"))
          .ifTrue("*done", Block.localTransform("$$funds", Path.key("*from").term(Ops.MINUS, "*amount"))),
        Block.each(Ops.IDENTITY, "*before").out("*done"),
      )
      .ackReturn("*done")
      .keepTrue(eq("*done", true))
      .hashPartition("*to")
      .localSelect("$$received", Path.key("*id"))
      .out("*there")
      .keepTrue(isNull("*there"))
      .localTransform("$$received", Path.key("*id").termVal(true))
      .localTransform("$$funds", Path.key("*to").nullToVal(0).term(Ops.PLUS, "*amount"));
  }
}
