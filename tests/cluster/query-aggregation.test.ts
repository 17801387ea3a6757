// Aggregating queries over several workers: every phase begins when all of the one before has ended everywhere. Guards results against lost or early rows.
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  LimitAgg,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  SubBatch,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";

class ShopModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*purchases", Depot.hashBy("user"));
    const s = topologies.stream("shop");
    s.pstate("$$cents", PState.mapSchema(String, PState.mapSchema(String, Number)));
    s.source("*purchases")
      .out({ user: "*user", item: "*item", cents: "*cents" })
      .compoundAgg("$$cents", CompoundAgg.path("*user", "*item", Agg.sum("*cents")));

    const entries = (block: Block) =>
      block
        .allPartition()
        .localSelect("$$cents", Path.mapVals().all())
        .out("*entry")
        .each(Ops.EXPAND, "*entry")
        .out("*item", "*cents");

    entries(topologies.query("total").out("*total")).originPartition().agg(Agg.sum("*cents")).out("*total");
    topologies
      .query("best", "*n")
      .out("*best")
      .subBatch(
        new SubBatch(
          entries(Block.create()).groupBy("*item", Block.agg(Agg.sum("*cents")).out("*sum")),
          "*item",
          "*sum",
        ),
      )
      .out("*item", "*sum")
      .originPartition()
      .limitAgg(LimitAgg.create("*n", "*item", "*sum").sort("*sum", "*item").reverse().indexVar("*rank"))
      .each(Ops.TUPLE, "*item", "*sum")
      .out("*best");
    topologies
      .query("bestTwo")
      .out("*list")
      .subBatch(
        new SubBatch(
          entries(Block.create()).groupBy("*item", Block.agg(Agg.sum("*cents")).out("*sum")),
          "*item",
          "*sum",
        ),
      )
      .out("*item", "*sum")
      .each(Ops.TUPLE, "*item", "*sum")
      .out("*row")
      .originPartition()
      .agg(Agg.topMonotonic(2, "*row").idFunction(Ops.FIRST).sortValFunction(Ops.LAST))
      .out("*list");
  }
}

test.each([
  { tasks: 1, threads: 1, workers: 1 },
  { tasks: 8, threads: 4, workers: 2 },
])("sums, groups and limits over all tasks: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const shop = await ipc.launchModule(ShopModule, launch);
  expect(await shop.query("total").invoke()).toBe(0);
  const purchases = shop.depot("*purchases");
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => purchases.append({ user: `u${i % 40}`, item: `i${i % 7}`, cents: i })),
  );
  expect(await shop.query("total").invoke()).toBe((299 * 300) / 2);
  const sums = Array.from({ length: 7 }, (_, item) => {
    const cents = Array.from({ length: 300 }, (_, i) => i).filter((i) => i % 7 === item);
    return [`i${item}`, cents.reduce((a, b) => a + b, 0)] as const;
  }).toSorted((a, b) => b[1] - a[1]);
  expect(await shop.query("best").invoke(1)).toEqual([...sums[0]!]);
  for (let round = 0; round < 20; round++) {
    expect(await shop.query("bestTwo").invoke()).toEqual(sums.slice(0, 2).map((each) => [...each]));
  }
});
