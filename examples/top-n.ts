// Top N: the ten best sellers of a shop, and the five of each category, always ready to be read.
//
//   rama deploy --action launch --jar examples/top-n.ts --module TopNModule --tasks 4 --threads 2 --workers 1
//   rama append TopNModule '*sales' '{"product": "teapot", "category": "kitchen", "amount": 3}'
//   rama select TopNModule '$$bestSellers' '[]'
//   rama query TopNModule best '"kitchen"'
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  type Topologies,
  tuple,
} from "rama";

/** A product belongs to one category. */
export interface Sale {
  readonly product: string;
  readonly category: string;
  readonly amount: number;
}

/** [product, how many were sold] */
export type Ranked = readonly [string, number];

export class TopNModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*sales", Depot.hashBy("product"));

    const sales = topologies.microbatch("sales");
    sales.pstate("$$sold", PState.mapSchema(String, PState.mapSchema(String, Number)));
    sales.pstate("$$bestSellers", Array).global().initialValue([]);
    sales.pstate("$$bestIn", PState.mapSchema(String, Array));

    // First the totals. What has become of each product of the microbatch is kept for the two lists, in which it then competes for a place. A total only
    // grows, so whoever drops out of a list comes back the next time it is sold: that is what makes "topMonotonic" right.
    const top = (n: number) =>
      Agg.topMonotonic(n, tuple("*product", "*total")).idFunction(Ops.FIRST).sortValFunction(Ops.LAST);
    sales
      .source("*sales")
      .out("*microbatch")
      .batchBlock(
        Block.explodeMicrobatch("*microbatch")
          .out({ product: "*product", category: "*category", amount: "*amount" })
          .hashPartition("*product")
          .compoundAgg(
            "$$sold",
            CompoundAgg.map("*product", CompoundAgg.map("*category", Agg.sum("*amount").captureNewValInto("*total"))),
          )
          .materialize("*product", "*category", "*total")
          .out("$$changed"),
      )
      .batchBlock(
        Block.explodeMaterialized("$$changed")
          .out("*product", "*category", "*total")
          .hashPartition("*category")
          .compoundAgg("$$bestIn", CompoundAgg.map("*category", top(5))),
      )
      .batchBlock(
        Block.explodeMaterialized("$$changed")
          .out("*product", "*category", "*total")
          .globalPartition()
          .agg("$$bestSellers", top(10)),
      );

    // Below a key the list keeps a few more than N, unsorted: a reader sorts and cuts.
    topologies
      .query("best", "*category")
      .out("*best")
      .hashPartition("*category")
      .localSelect("$$bestIn", Path.key("*category").nullToList())
      .out("*kept")
      .each(ranked, "*kept")
      .out("*best")
      .originPartition();
  }
}

/** The five best of what a list has kept; of a product that stands there twice, the newer total. */
function ranked(kept: readonly Ranked[]): Ranked[] {
  return [...new Map(kept)].sort((a, b) => b[1] - a[1]).slice(0, 5);
}
