// Who to follow: people whom many of those follow whom I follow, without those whom I follow already.
//
//   rama deploy --action launch --jar examples/who-to-follow.ts --module WhoToFollowModule --tasks 4 --threads 2 --workers 1
//   rama append WhoToFollowModule '*follows' '{"from": "ann", "to": "bob", "follows": true}'
//   rama query WhoToFollowModule whoToFollow '"ann"' 10
import {
  Agg,
  Block,
  Depot,
  ne,
  not,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  SubBatch,
  type Topologies,
  tuple,
} from "rama";

/** How many are asked whom they follow, and how many names of each are looked at: the work for one answer has a bound. */
const friendsMax = 300;
const namesMax = 300;
const suggestionsMax = 50;

export interface Follow {
  readonly from: string;
  readonly to: string;
  /** false: no longer. */
  readonly follows: boolean;
}

export class WhoToFollowModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*follows", Depot.hashBy("from"));

    const graph = topologies.stream("graph");
    graph.pstate("$$following", PState.mapSchema(String, PState.setSchema(String).subindexed()));
    graph
      .source("*follows")
      .out({ from: "*from", to: "*to", follows: "*follows" })
      .ifTrue(
        "*follows",
        Block.localTransform("$$following", Path.key("*from").voidSetElem().termVal("*to")),
        Block.localTransform("$$following", Path.key("*from").setElem("*to").termVoid()),
      );

    // From the user to friends, from each of them to whom they follow; then the names are counted, each on the task that is its own.
    const counted = new SubBatch(
      Block.hashPartition("*user")
        .localSelect("$$following", Path.key("*user").sortedSetRangeFromStart(friendsMax).all())
        .out("*friend")
        .hashPartition("*friend")
        .localSelect("$$following", Path.key("*friend").sortedSetRangeFromStart(namesMax).all())
        .out("*name")
        .keepTrue(ne("*name", "*user"))
        .hashPartition("*name")
        .groupBy("*name", Block.agg(Agg.count()).out("*friends")),
      "*name",
      "*friends",
    );

    topologies
      .query("whoToFollow", "*user", "*amount")
      .out("*suggestions")
      .subBatch(counted)
      .out("*name", "*friends")
      .hashPartition("*user")
      .localSelect("$$following", Path.key("*user").contains("*name"))
      .out("*known")
      .keepTrue(not("*known"))
      .originPartition()
      .agg(Agg.topMonotonic(suggestionsMax, tuple("*name", "*friends")).idFunction(Ops.FIRST).sortValFunction(Ops.LAST))
      .out("*best")
      .each((best: unknown[], amount: number) => best.slice(0, amount), "*best", "*amount")
      .out("*suggestions");
  }
}
