// language.md 7.4, 6.7: batch blocks over tasks of several workers, as bodies of queries: final partitioners, subbatches, groups.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, expr, gt, LimitAgg, Ops, Path, PState, SubBatch, type ValueVar } from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

const allEntries = Path.all();

const launch = { tasks: 4, threads: 2, workers: 2 };

const onTasks = moduleOf("BatchQueries", (setup, topologies) => {
  setup.declareDepot("*pairs", Depot.hashBy(Ops.FIRST));
  const s = topologies.stream("s");
  s.pstate("$$left", PState.mapSchema(String, Number));
  s.source("*pairs")
    .out(["*k", "*v"])
    .compoundAgg("$$left", CompoundAgg.map("*k", Agg.sum("*v")));
  const scan = (k: ValueVar, v: ValueVar, n: number) =>
    Block.allPartition()
      .localSelect("$$left", allEntries)
      .out(`*___s${n}` as ValueVar)
      .each(Ops.EXPAND, `*___s${n}` as ValueVar)
      .out(k, v);
  topologies
    .query("perTask")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0).hashPartition("*k").agg(Agg.count()).out("*n").each(Ops.CURRENT_TASK_ID).out("*task"),
        "*task",
        "*n",
      ),
    )
    .out("*task", "*n")
    .originPartition()
    .agg(Agg.map("*task", "*n"))
    .out("*r");
  topologies
    .query("joined", "*least")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .freshBatchSource()
    .macro(scan("*k", "*w", 1))
    .keepTrue(gt("*v", "*least"))
    .each(Ops.PLUS, "*v", "*w")
    .out("*sum")
    .originPartition()
    .agg(Agg.map("*k", "*sum"))
    .out("*r");
  topologies
    .query("average")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .originPartition()
    .agg(Agg.avg("*v"))
    .out("*r");
  topologies
    .query("groups")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0)
          .each((v: number) => v % 3, "*v")
          .out("*rest")
          .groupBy("*rest", Block.agg(Agg.list("*k")).out("*ks").agg(Agg.sum("*v")).out("*s")),
        "*rest",
        "*ks",
        "*s",
      ),
    )
    .out("*rest", "*ks", "*s")
    .each(Ops.TUPLE, expr(Ops.SIZE, "*ks"), "*s")
    .out("*t")
    .originPartition()
    .agg(Agg.map("*rest", "*t"))
    .out("*r");
  topologies
    .query("taskOfGroup")
    .out("*r")
    .subBatch(
      new SubBatch(
        scan("*k", "*v", 0)
          .groupBy("*k", Block.agg(Agg.set(expr(Ops.CURRENT_TASK_ID))).out("*tasks"))
          .each(Ops.CURRENT_TASK_ID)
          .out("*here"),
        "*tasks",
        "*here",
      ),
    )
    .out("*tasks", "*here")
    .each(Ops.CONTAINS, "*tasks", "*here")
    .out("*same")
    .originPartition()
    .agg(Agg.and("*same"))
    .out("*r");
  topologies
    .query("limited", "*n")
    .out("*r")
    .macro(scan("*k", "*v", 0))
    .originPartition()
    .limitAgg(LimitAgg.create("*n", "*k", "*v").sort("*v").reverse())
    .each(Ops.TUPLE, "*k", "*v")
    .out("*r");
});

describe("on tasks of two workers", () => {
  let ipc: InProcessCluster;
  let module: LaunchedModule;
  const values = Array.from({ length: 20 }, (_, i) => [`k${i}`, i] as const);
  beforeAll(async () => {
    ipc = await InProcessCluster.create();
    module = await ipc.launchModule(onTasks, launch);
    for (const pair of values) await module.depot("*pairs").append(pair);
  });
  afterAll(() => ipc.close());

  test("post-agg runs on every task, also where no row came", async () => {
    const counts: Map<number, number> = await module.query("perTask").invoke();
    expect([...counts.keys()].toSorted()).toEqual([0, 1, 2, 3]);
    expect([...counts.values()].reduce((a, b) => a + b)).toBe(20);
  });

  test("joins move rows between workers; inputs are in scope in every phase", async () => {
    const wanted = new Map(values.filter(([, v]) => v > 16).map(([k, v]) => [k, 2 * v]));
    expect(await module.query("joined").invoke(16)).toEqual(wanted);
  });

  test("aggregators that cannot be merged get every row", async () => {
    expect(await module.query("average").invoke()).toBe(9.5);
  });

  test("groups gather partial states of several workers", async () => {
    const groups: Map<number, unknown> = await module.query("groups").invoke();
    const of = (rest: number) => values.filter(([, v]) => v % 3 === rest);
    for (const rest of [0, 1, 2])
      expect(groups.get(rest)).toEqual([of(rest).length, of(rest).reduce((s, [, v]) => s + v, 0)]);
  });

  test("expressions inside aggregators are evaluated where the aggregator takes its input", async () => {
    expect(await module.query("taskOfGroup").invoke()).toBe(true);
  });

  test("a query's output must come exactly once", async () => {
    expect(await module.query("limited").invoke(1)).toEqual(["k19", 19]);
    expect((await errorOf(module.query("limited").invoke(2))).code).toBe("NOT_EXACTLY_ONE");
  });
});
