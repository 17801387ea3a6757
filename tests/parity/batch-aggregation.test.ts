// language.md 6.2-6.9, 7.3-7.7: aggregators and their final partitioner in batch blocks, joins with helper vars, sub-batches; detached, and on tasks of two workers.
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  Ops,
  Path,
  PState,
  SubBatch,
  type Setup,
  type Topologies,
  tuple,
  type ValueVar,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { taskOf } from "../../src/base/hash.ts";
import { errorOf, moduleOf } from "./observed.ts";

/** Rows at the end of a detached batch block; one var gives plain values. */
async function batch(block: Block, ...vars: ValueVar[]): Promise<unknown[]> {
  const seen: unknown[] = [];
  const look = (...values: unknown[]) => void seen.push(vars.length === 1 ? values[0] : values);
  await Block.batchBlock(block.each(look, ...vars)).execute();
  return seen;
}
const list = (...items: unknown[]) => Block.each(Ops.EXPLODE, items);

const launch = { tasks: 4, threads: 2, workers: 2 };

async function launched(
  define: (setup: Setup, topologies: Topologies) => void,
  use: (handle: LaunchedModule) => Promise<void>,
): Promise<void> {
  await using ipc = await InProcessCluster.create();
  await use(await ipc.launchModule(moduleOf("M", define), launch));
}

/** A microbatch topology over `*d` with one batch block. */
const batched = (body: (block: Block) => Block, pstates: (mb: ReturnType<Topologies["microbatch"]>) => void) =>
  ((setup, topologies) => {
    setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
    const mb = topologies.microbatch("mb");
    pstates(mb);
    mb.source("*d")
      .out("*mb")
      .batchBlock(body(Block.explodeMicrobatch("*mb").out("*n")));
  }) satisfies Parameters<typeof launched>[0];

async function feed(handle: LaunchedModule, values: readonly unknown[]): Promise<void> {
  await handle.pause("mb");
  await Promise.all(values.map((value) => handle.depot("*d").append(value)));
  await handle.resume("mb");
  await handle.waitForProcessed("mb", values.length);
}

const refusal = (block: Block) => errorOf(Block.batchBlock(block).execute());
const twenty = Array.from({ length: 20 }, (_, i) => i);

test("avg is the mean, null without rows", async () => {
  expect(await batch(list(1, 2, 6).out("*x").agg(Agg.avg("*x")).out("*a"), "*a")).toEqual([3]);
  expect(await batch(list().out("*x").agg(Agg.avg("*x")).out("*a"), "*a")).toEqual([null]);
});

test("topMonotonic: one element per id, the latest; ascending", async () => {
  const elements = [
    ["a", 1],
    ["b", 5],
    ["a", 7],
    ["c", 3],
    ["d", 4],
  ];
  const top = Agg.topMonotonic(2, "*e").idFunction(Ops.FIRST).sortValFunction(Ops.LAST);
  expect(
    await batch(
      list(...elements)
        .out("*e")
        .agg(top)
        .out("*t"),
      "*t",
    ),
  ).toEqual([
    [
      ["a", 7],
      ["b", 5],
    ],
  ]);
  expect(
    await batch(
      list(...elements)
        .out("*e")
        .agg(top.ascending())
        .out("*t"),
      "*t",
    ),
  ).toEqual([
    [
      ["c", 3],
      ["d", 4],
    ],
  ]);
});

test("*___ vars are helpers of the optional side and no join keys", async () => {
  const block = list(["a", 1], ["b", 2])
    .out(["*k", "*x"])
    .freshBatchSource()
    .each(Ops.EXPLODE, [["a", 10]])
    .out("*___row")
    .each(Ops.EXPAND, "*___row")
    .out("*k", "*___y")
    .each(Ops.INC, "*___y")
    .out("**z")
    .each(Ops.TUPLE, "*x", "**z")
    .out("*r");
  expect(await batch(block, "*k", "*r")).toEqual(
    expect.arrayContaining([
      ["a", [1, 11]],
      ["b", [2, null]],
    ]),
  );
});

test("a source that has a ** var is frozen", async () => {
  const block = list(1).out("**x").each(Ops.INC, "**x").out("*y");
  const error = await refusal(block);
  expect([error.code, error.message]).toEqual(["PREAGG_NO_JOIN", expect.stringContaining("waits to be joined")]);
});

test("sub-batches made by a recursive function", async () => {
  const summed = (depth: number): Block =>
    depth === 0
      ? list(1, 2, 3).out("*v")
      : Block.subBatch(
          new SubBatch(
            summed(depth - 1)
              .agg(Agg.sum("*v"))
              .out("*s"),
            "*s",
          ),
        ).out("*v");
  expect(await batch(summed(4), "*v")).toEqual([6]);
});

test("groupBy takes one to six vars", async () => {
  const vars = ["*a", "*b", "*c", "*d", "*e", "*f", "*g"] as const;
  const source = list([1, 2, 3, 4, 5, 6, 7]).out([...vars]);
  const six = source.groupBy(...vars.slice(0, 6), Block.agg(Agg.count()).out("*n"));
  expect(await batch(six, ...vars.slice(0, 6), "*n")).toEqual([[1, 2, 3, 4, 5, 6, 1]]);
  expect((await errorOf(() => source.groupBy(...vars, Block.agg(Agg.count())))).code).toBe("BAD_MODULE");
  expect((await errorOf(() => source.groupBy(Block.agg(Agg.count())))).code).toBe("BAD_MODULE");
});

test("captured leaves on two keys of one map", async () => {
  const define = batched(
    (rows) =>
      rows
        .hashPartition("*n")
        .compoundAgg(
          "$$p",
          CompoundAgg.map("*n", Agg.count().captureNewValInto("*a"), "x", Agg.count().captureNewValInto("*b")),
        ),
    (mb) => void mb.pstate("$$p", PState.mapSchema(Object, Number)),
  );
  const error = await errorOf(launched(define, async () => {}));
  expect(error.message).toMatch(/^batch-aggregation\.test\.ts:\d+: /);
  expect(error.message).toContain("captured values must lie on one chain of maps");
});

test("captureNewValInto on several leaves of one list", () => {
  const seen: unknown[] = [];
  return launched(
    batched(
      (rows) =>
        rows
          .each((n: number) => n % 3, "*n")
          .out("*rest")
          .hashPartition("*rest")
          .compoundAgg(
            "$$stats",
            CompoundAgg.map(
              "*rest",
              CompoundAgg.list(Agg.count().captureNewValInto("*count"), Agg.sum("*n").captureNewValInto("*sum")),
            ),
          )
          .each((...row: unknown[]) => void seen.push(row), "*rest", "*count", "*sum"),
      (mb) => void mb.pstate("$$stats", PState.mapSchema(Number, PState.listSchema(Number))),
    ),
    async (handle) => {
      await feed(handle, [1, 2, 4, 5, 7]);
      expect(seen.toSorted()).toEqual([
        [1, 3, 12],
        [2, 2, 7],
      ]);
    },
  );
});

test("an aggregation without a partitioner", async () => {
  const define = batched(
    (rows) => rows.agg("$$sum", Agg.sum("*n")),
    (mb) => void mb.pstate("$$sum", Number).initialValue(0),
  );
  // explodeMicrobatch moves rows to their partitions, but it is no partitioner that the author has chosen.
  const error = await errorOf(launched(define, async () => {}));
  expect([error.code, error.message]).toEqual([
    "NOT_ALLOWED_HERE",
    expect.stringContaining("needs a partitioner before it"),
  ]);
});

test("a batch block behind explodeMicrobatch or a partitioner is refused", async () => {
  for (const before of [
    (b: Block) => b.explodeMicrobatch("*mb").out("*x"),
    (b: Block) => b.hashPartition(1),
    (b: Block) => b.ifTrue(true, Block.hashPartition(1)),
  ]) {
    const define = (setup: Setup, topologies: Topologies) => {
      setup.declareDepot("*d", Depot.random());
      before(topologies.microbatch("mb").source("*d").out("*mb")).batchBlock(list(1).out("*y"));
    };
    const error = await errorOf(launched(define, async () => {}));
    expect([error.code, error.message]).toEqual([
      "NOT_ALLOWED_HERE",
      expect.stringContaining("batchBlock stands before any explodeMicrobatch or partitioner"),
    ]);
  }
});

test("explodeMaterialized with another number of vars", async () => {
  const define = (setup: Setup, topologies: Topologies) => {
    setup.declareDepot("*d", Depot.random());
    topologies
      .microbatch("mb")
      .source("*d")
      .out("*mb")
      .batchBlock(Block.explodeMicrobatch("*mb").out("*x").materialize("*x").out("$$t"))
      .batchBlock(Block.explodeMaterialized("$$t").out("*a", "*b"));
  };
  expect((await errorOf(launched(define, async () => {}))).code).toBe("WRONG_OUTPUT_COUNT");
});

test("after globalPartition post-agg runs on task 0 only", () => {
  const tasks: number[] = [];
  return launched(
    batched(
      (rows) =>
        rows
          .globalPartition()
          .agg(Agg.sum("*n"))
          .out("*sum")
          .each(Ops.CURRENT_TASK_ID)
          .out("*task")
          .each((task: number) => void tasks.push(task), "*task"),
      () => {},
    ),
    async (handle) => {
      await feed(handle, twenty);
      expect(new Set(tasks)).toEqual(new Set([0]));
    },
  );
});

test("groupBy aggregates into PStates, a combiner limit of 1 changes no result", () =>
  launched(
    (setup, topologies) => {
      batched(
        (rows) =>
          rows
            .each((n: number) => n % 4, "*n")
            .out("*rest")
            .groupBy(
              "*rest",
              Block.compoundAgg("$$sums", CompoundAgg.map("*rest", Agg.sum("*n"))).compoundAgg(
                "$$lists",
                CompoundAgg.map("*rest", Agg.set("*n")),
              ),
            ),
        (mb) => {
          mb.pstate("$$sums", PState.mapSchema(Number, Number));
          mb.pstate("$$lists", PState.mapSchema(Number, PState.setSchema(Number)));
        },
      )(setup, topologies);
      setup.setLaunchTopologyDynamicOption("mb", "topology.combiner.limit", 1);
    },
    async (handle) => {
      await feed(handle, twenty);
      for (const rest of [0, 1, 2, 3]) {
        const own = twenty.filter((n) => n % 4 === rest);
        expect(await handle.pstate("$$sums").selectOne(Path.key(rest))).toBe(own.reduce((a, b) => a + b));
        expect(await handle.pstate("$$lists").selectOne(Path.key(rest))).toEqual(new Set(own));
      }
    },
  ));

/** Queries over rows that lie on all tasks: `20 × task + 0…4`. */
const spread = (setup: Setup, topologies: Topologies) => {
  setup.declareDepot("*unused", Depot.random());
  const rows = () =>
    Block.allPartition()
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .each(Ops.RANGE, 0, 5)
      .out("*i")
      .each((task: number, i: number) => 20 * task + i, "*task", "*i")
      .out("*n");
  topologies.query("sorted").out("*r").macro(rows()).originPartition().agg(Agg.sortedList("*n")).out("*r");
  topologies
    .query("down")
    .out("*r")
    .macro(rows())
    .originPartition()
    .agg(Agg.sortedList("*n", (n: number) => -n))
    .out("*r");
  const grouped = (...keys: ValueVar[]) =>
    new SubBatch(
      rows()
        .each((i: number) => i % 2, "*i")
        .out("*odd")
        .groupBy(...keys, Block.agg(Agg.count()).out("*count"))
        .each(Ops.CURRENT_TASK_ID)
        .out("*here"),
      ...keys,
      "*here",
    );
  topologies
    .query("one")
    .out("*r")
    .subBatch(grouped("*n"))
    .out("*n", "*here")
    .originPartition()
    .agg(Agg.map("*n", "*here"))
    .out("*r");
  topologies
    .query("two")
    .out("*r")
    .subBatch(grouped("*n", "*odd"))
    .out("*n", "*odd", "*here")
    .originPartition()
    .agg(Agg.map(tuple("*n", "*odd"), "*here"))
    .out("*r");
  topologies
    .query("where")
    .out("*r")
    .subBatch(new SubBatch(rows().hashPartition(3).agg(Agg.count()).out("*count"), "*count"))
    .out("*count")
    .each(Ops.CURRENT_TASK_ID)
    .out("*here")
    .originPartition()
    .agg(Agg.map("*here", "*count"))
    .out("*r");
};

test("sortedList is in order of its key whatever tasks it came from", () =>
  launched(spread, async (handle) => {
    const all = [0, 1, 2, 3].flatMap((task) => [0, 1, 2, 3, 4].map((i) => 20 * task + i));
    expect(await handle.query("sorted").invoke()).toEqual(all);
    expect(await handle.query("down").invoke()).toEqual(all.toReversed());
  }));

test("groupBy partitions like hashPartition of its key, or of the tuple of its keys", () =>
  launched(spread, async (handle) => {
    for (const query of ["one", "two"]) {
      const groups: Map<unknown, number> = await handle.query(query).invoke();
      expect(groups.size).toBe(20);
      for (const [key, here] of groups) expect([key, here]).toEqual([key, taskOf(key, launch.tasks)]);
    }
  }));

test("rows of a sub-batch come on the task of its final partitioner", () =>
  launched(spread, async (handle) => {
    const counts: Map<number, number> = await handle.query("where").invoke();
    // Every task has its row, and only the one that 3 hashes to has counted any.
    expect([...counts.keys()].toSorted()).toEqual([0, 1, 2, 3]);
    expect([...counts].filter(([, count]) => count > 0)).toEqual([[taskOf(3, launch.tasks), 20]]);
  }));
