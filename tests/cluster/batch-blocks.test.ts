// Batch blocks in microbatches, as users write them.
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
import { InProcessCluster, type LaunchedModule } from "rama/test";

const launches = [
  { tasks: 1, threads: 1, workers: 1 },
  { tasks: 4, threads: 2, workers: 1 },
  { tasks: 8, threads: 4, workers: 2 },
];

class TopUsers extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*purchases", Depot.random());
    const mb = topologies.microbatch("mb");
    mb.pstate("$$total", PState.mapSchema(String, Number));
    mb.pstate("$$top", Array).global();
    mb.source("*purchases")
      .out("*mb")
      .batchBlock(
        Block.subBatch(
          new SubBatch(
            Block.explodeMicrobatch("*mb")
              .out({ userId: "*userId", cents: "*cents" })
              .hashPartition("*userId")
              .compoundAgg("$$total", CompoundAgg.map("*userId", Agg.sum("*cents").captureNewValInto("*sum"))),
            "*userId",
            "*sum",
          ),
        )
          .out("*userId", "*sum")
          .each(Ops.TUPLE, "*userId", "*sum")
          .out("*t")
          .globalPartition()
          .agg("$$top", Agg.topMonotonic(3, "*t").idFunction(Ops.FIRST).sortValFunction(Ops.LAST)),
      );
  }
}

test.each(launches)("the top three users by total: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(TopUsers, launch);
  const purchases = module.depot("*purchases");
  const totals = new Map<string, number>();
  let count = 0;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 40; i++) {
      const userId = `u${(i * 7 + round) % 13}`;
      const cents = (i * 31 + round * 17) % 100;
      totals.set(userId, (totals.get(userId) ?? 0) + cents);
      await purchases.append({ userId, cents });
      count++;
    }
    await module.waitForProcessed("mb", count);
    const want = [...totals].sort((a, b) => b[1] - a[1]).slice(0, 3);
    const got = await module.pstate("$$top").selectOne(Path.stay());
    expect(got.map((each: [string, number]) => each[1])).toEqual(want.map((each) => each[1]));
  }
  for (const [userId, cents] of totals) expect(await module.pstate("$$total").selectOne(Path.key(userId))).toBe(cents);
});

/** One depot of rows with a kind, so that both sides come in one microbatch. */
class Joined extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*rows", Depot.random());
    const mb = topologies.microbatch("mb");
    for (const name of ["$$left", "$$inner", "$$full"] as const) mb.pstate(name, PState.mapSchema(String, Object));
    mb.pstate("$$stats", PState.mapSchema(String, Object)).global();
    const side = (kind: string) =>
      Block.explodeMicrobatch("*mb")
        .out(`*___row_${kind}` as "*x")
        .each((row: { kind: string }) => row.kind === kind, `*___row_${kind}`)
        .out(`*___is_${kind}` as "*x")
        .keepTrue(`*___is_${kind}`);
    const orders = side("order").bind("*___row_order", { id: "*id", amt: "*amt" });
    mb.source("*rows")
      .out("*mb")
      .batchBlock(
        orders
          .freshBatchSource()
          .macro(side("coupon"))
          .bind("*___row_coupon", { id: "*id", pct: "**pct" })
          .each(Ops.TUPLE, "*amt", "**pct")
          .hashPartition("*id")
          .compoundAgg("$$left", CompoundAgg.map("*id", Agg.list("**pct"))),
      )
      .batchBlock(
        orders
          .freshBatchSource()
          .macro(side("coupon"))
          .bind("*___row_coupon", { id: "*id", pct: "*pct" })
          .each(Ops.TUPLE, "*amt", "*pct")
          .out("*pair")
          .hashPartition("*id")
          .compoundAgg("$$inner", CompoundAgg.map("*id", Agg.list("*pair"))),
      )
      .batchBlock(
        side("order")
          .bind("*___row_order", { id: "*id", amt: "**amt" })
          .freshBatchSource()
          .macro(side("coupon"))
          .bind("*___row_coupon", { id: "*id", pct: "**pct" })
          .each(Ops.TUPLE, "**amt", "**pct")
          .out("*pair")
          .hashPartition("*id")
          .compoundAgg("$$full", CompoundAgg.map("*id", Agg.list("*pair"))),
      )
      .batchBlock(
        orders
          .groupBy("*id", Block.agg(Agg.count()).out("*n").agg(Agg.sum("*amt")).out("*sum"))
          .localTransform("$$inner", Path.key("*id").afterElem().termVal("*sum"))
          .each(Ops.TUPLE, "*id", "*n", "*sum")
          .out("*t")
          .materialize("*t")
          .out("$$groups"),
      )
      .batchBlock(
        Block.explodeMaterialized("$$groups")
          .out("*t")
          .globalPartition()
          .agg(Agg.count())
          .out("*count")
          .limitAgg(LimitAgg.create(2, "*t").sort("*t").indexVar("*rank"))
          .localTransform("$$stats", Path.key("count").termVal("*count"))
          .each((rank: number) => `rank${rank}`, "*rank")
          .out("*key")
          .localTransform("$$stats", Path.key("*key").termVal("*t")),
      );
  }
}

async function fill(module: LaunchedModule): Promise<void> {
  await module.pause("mb");
  const rows = [
    { kind: "order", id: "a", amt: 1 },
    { kind: "order", id: "a", amt: 2 },
    { kind: "order", id: "b", amt: 3 },
    { kind: "coupon", id: "a", pct: 10 },
    { kind: "coupon", id: "c", pct: 30 },
  ];
  for (const row of rows) await module.depot("*rows").append(row);
  await module.resume("mb");
  await module.waitForProcessed("mb", rows.length);
}

test.each(launches)("joins, groups, kept rows: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(Joined, launch);
  await fill(module);
  const at = async (name: string, key: string) => (await module.pstate(name).selectOne(Path.key(key))) ?? null;
  expect(await at("$$left", "a")).toEqual([10, 10]);
  expect(await at("$$left", "b")).toEqual([null]);
  expect(await at("$$left", "c")).toBe(null);
  const inner = (await at("$$inner", "a")) as unknown[];
  expect(inner.pop()).toBe(3);
  expect(inner.sort()).toEqual([
    [1, 10],
    [2, 10],
  ]);
  expect(await at("$$inner", "b")).toEqual([3]);
  expect(await at("$$full", "b")).toEqual([[3, null]]);
  expect(await at("$$full", "c")).toEqual([[null, 30]]);
  expect(((await at("$$full", "a")) as unknown[]).length).toBe(2);
  const stats = module.pstate("$$stats");
  expect(await stats.selectOne(Path.key("count"))).toBe(2);
  expect(await stats.selectOne(Path.key("rank0"))).toEqual(["a", 2, 3]);
  expect(await stats.selectOne(Path.key("rank1"))).toEqual(["b", 1, 3]);
});

class Merged extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*rows", Depot.random());
    const mb = topologies.microbatch("mb");
    const list = PState.listSchema(Number);
    mb.pstate("$$stats", PState.mapSchema(String, PState.mapSchema(Number, PState.listSchema(Number)).subindexed()));
    mb.pstate("$$lists", PState.mapSchema(String, list));
    mb.pstate("$$sets", PState.mapSchema(String, PState.setSchema(Number).subindexed()));
    mb.pstate("$$occurrences", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed()));
    mb.pstate("$$all", Number).global().initialValue(100);
    mb.pstate("$$own", PState.mapSchema(String, String));
    const joined = { combine: (a: string, b: string) => [...a, ...b].toSorted().join(""), zeroVal: () => "" };
    const rows = () => Block.explodeMicrobatch("*mb").out({ k: "*k", n: "*n" });
    mb.source("*rows")
      .out("*mb")
      .batchBlock(
        rows()
          .hashPartition("*k")
          .compoundAgg(
            "$$stats",
            CompoundAgg.path("*k", "*n", CompoundAgg.list(Agg.count(), Agg.sum("*n"), Agg.max(1))),
          )
          .compoundAgg("$$lists", CompoundAgg.map("*k", Agg.list("*n")))
          .compoundAgg("$$sets", CompoundAgg.map("*k", Agg.set("*n")))
          .compoundAgg("$$occurrences", CompoundAgg.map("*k", Agg.multiSet("*n")))
          .compoundAgg("$$own", CompoundAgg.map("*k", Agg.combiner(joined, "*k"))),
      )
      .batchBlock(rows().globalPartition().agg("$$all", Agg.sum("*n")));
  }
}

test.each(launches)("states are combined per key path, whatever the structure: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(Merged, launch);
  const all: { k: string; n: number }[] = [];
  for (let round = 0; round < 3; round++) {
    await module.pause("mb");
    for (let i = 0; i < 30; i++) {
      const row = { k: `k${(i * 7 + round) % 4}`, n: (i * 5 + round) % 6 };
      all.push(row);
      await module.depot("*rows").append(row);
    }
    await module.resume("mb");
    await module.waitForProcessed("mb", all.length);
  }
  const at = (name: string, key: string) => module.pstate(name).selectOne(Path.key(key));
  for (const k of ["k0", "k1", "k2", "k3"]) {
    const ns = all.filter((row) => row.k === k).map((row) => row.n);
    expect((await at("$$lists", k)).toSorted()).toEqual(ns.toSorted());
    expect(await at("$$own", k)).toBe([..."k".repeat(ns.length), ...k[1]!.repeat(ns.length)].toSorted().join(""));
    for (const n of new Set(ns)) {
      const times = ns.filter((each) => each === n).length;
      expect(await module.pstate("$$stats").selectOne(Path.key(k, n))).toEqual([times, times * n, 1]);
      expect(await module.pstate("$$occurrences").selectOne(Path.key(k, n))).toBe(times);
      expect(await module.pstate("$$sets").selectOne(Path.key(k).contains(n))).toBe(true);
    }
  }
  expect(await module.pstate("$$all").selectOne(Path.stay())).toBe(100 + all.reduce((sum, { n }) => sum + n, 0));
});
