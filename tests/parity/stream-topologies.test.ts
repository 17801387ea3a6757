// language.md 11: stream topologies, retries, ack returns, start points, throttling.
import { expect, test } from "bun:test";
import {
  AckLevel,
  Agg,
  Block,
  CompoundAgg,
  Depot,
  expr,
  LoopVars,
  OffsetAgo,
  Ops,
  Path,
  PState,
  StreamSourceOptions,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2, workers: 2 };

/** Reads until `reached`, at most ten seconds. */
async function eventually<T>(read: () => Promise<T>, reached: (value: T) => boolean): Promise<T> {
  const until = performance.now() + 10_000;
  for (;;) {
    const value = await read();
    if (reached(value) || performance.now() > until) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("a topology has many sources with scopes of their own, which share its PStates", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("ManySources", (setup, topologies) => {
      setup.declareDepot("*a", Depot.random());
      setup.declareDepot("*b", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, Number));
      s.source("*a").out("*x").hashPartition("*x").compoundAgg("$$p", CompoundAgg.map("*x", Agg.count()));
      s.source("*b")
        .out("*x")
        .hashPartition("*x")
        .compoundAgg("$$p", CompoundAgg.map("*x", Agg.sum(10)));
    }),
    launch,
  );
  await module.depot("*a").append("k");
  await module.depot("*b").append("k");
  expect(await module.pstate("$$p").selectOne(Path.key("k"))).toBe(11);
  expect(await module.pstate("$$p").selectOne("k", Path.key("k"))).toBe(11);
});

test("two topologies and a second source with sourceId see every record of a depot", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Twice", (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      for (const name of ["one", "two"]) {
        const s = topologies.stream(name);
        s.pstate(`$$${name}`, PState.mapSchema(String, Number));
        s.source("*d").out("*x").compoundAgg(`$$${name}`, CompoundAgg.map("*x", Agg.count())).ackReturn(name);
        s.source("*d", StreamSourceOptions.sourceId("again"))
          .out("*x")
          .compoundAgg(`$$${name}`, CompoundAgg.map("*x", Agg.sum(100)));
      }
    }),
    launch,
  );
  expect(await module.depot("*d").append("k")).toEqual({ one: "one", two: "two" });
  for (const name of ["$$one", "$$two"]) expect(await module.pstate(name).selectOne(Path.key("k"))).toBe(101);
});

// ack returns: what the record's tree returns, by the option of the source
const longer = { combine: (a: string, b: string) => (a.length >= b.length ? a : b), zeroVal: () => "" };
const counted = { accumulate: (n: number, _value: unknown) => n + 1, initVal: () => 0 };
const ackReturns: [string, StreamSourceOptions | undefined, unknown[], unknown][] = [
  ["the last one by default", undefined, [5], 5],
  ["sum", StreamSourceOptions.ackReturnAgg(Agg.sum), [1, 2, 3], 6],
  ["count", StreamSourceOptions.ackReturnAgg(Agg.count), [1, 2, 3], 3],
  ["min", StreamSourceOptions.ackReturnAgg(Agg.min), [3, 1, 2], 1],
  ["max", StreamSourceOptions.ackReturnAgg(Agg.max), [3, 1, 2], 3],
  ["and", StreamSourceOptions.ackReturnAgg(Agg.and), [1, false], false],
  ["or", StreamSourceOptions.ackReturnAgg(Agg.or), [false, 7], 7],
  ["set", StreamSourceOptions.ackReturnAgg(Agg.set), [1, 2, 1], new Set([1, 2])],
  ["a combiner", StreamSourceOptions.ackReturnAgg(longer), ["a", "ccc", "bb"], "ccc"],
  ["an accumulator", StreamSourceOptions.ackReturnAgg(counted), ["a", "b"], 2],
  ["no value, no entry", undefined, [], undefined],
  ["null, no entry", undefined, [null], undefined],
];

test.each(ackReturns)("ack returns: %s", async (_name, options, values, expected) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("AckReturns", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies
        .stream("s")
        .source("*d", options)
        .out("*values")
        .each(Ops.EXPLODE, "*values")
        .out("*v")
        .shufflePartition()
        .ackReturn("*v");
    }),
    launch,
  );
  expect(await module.depot("*d").append(values)).toEqual(expected === undefined ? {} : { s: expected });
  expect(await module.depot("*d").append(values, AckLevel.APPEND_ACK)).toEqual({});
});

test("ackReturnAgg list gathers all", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("AckList", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies
        .stream("s")
        .source("*d", StreamSourceOptions.ackReturnAgg(Agg.list))
        .out("*n")
        .allPartition()
        .each(Ops.CURRENT_TASK_ID)
        .out("*t")
        .ackReturn("*t");
    }),
    launch,
  );
  const returned = (await module.depot("*d").append(1)) as { s: number[] };
  expect([...returned.s].sort()).toEqual([0, 1, 2, 3]);
});

/** A module whose records fail as often as `failures` says, then are stored. */
function failingModule(options: StreamSourceOptions | undefined, failures: Map<string, number>) {
  const mayFail = (record: string) => {
    const left = failures.get(record) ?? 0;
    if (left === 0) return record;
    failures.set(record, left - 1);
    throw new Error(`no ${record}`);
  };
  return moduleOf("Failing", (setup, topologies) => {
    setup.declareDepot("*payments", Depot.random()).global();
    const s = topologies.stream("payments");
    s.pstate("$$seen", Array).global().initialValue([]);
    s.pstate("$$before", PState.mapSchema(String, Number)).global();
    s.source("*payments", options)
      .out("*record")
      .compoundAgg("$$before", CompoundAgg.map("*record", Agg.count()))
      .each(mayFail, "*record")
      .out("*r")
      .agg("$$seen", Agg.list("*r"));
  });
}
const seenOf = (module: LaunchedModule) => () => module.pstate("$$seen").selectOne<string[]>(Path.stay());

test("a record whose code fails is told with topology, line, partition, offset and cause; it is stored and retried", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(failingModule(undefined, new Map([["b", 1]])), launch);
  const depot = module.depot("*payments");
  await depot.append("a");
  const error = await errorOf(depot.append("b"));
  expect(error.code).toBe("PROCESSING_FAILED");
  expect(error.message).toMatch(/^payments at stream-topologies\.test\.ts:\d+: \*payments partition 0 offset 1: no b$/);
  expect(error).toMatchObject({ stored: true, topology: "payments" });
  expect(error.cause).toMatchObject({ name: "Error", message: "no b" });
  await depot.append("c");
  expect((await eventually(seenOf(module), (seen) => seen.length === 3)).sort()).toEqual(["a", "b", "c"]);
  await module.waitForProcessed("payments", 3);
});

test("writes of a failed attempt are discarded", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(failingModule(undefined, new Map([["b", 3]])), launch);
  expect(await codeOf(module.depot("*payments").append("b"))).toBe("PROCESSING_FAILED");
  await eventually(seenOf(module), (seen) => seen.length === 1);
  expect(await module.pstate("$$before").selectOne(Path.key("b"))).toBe(1);
});

test("retryNone: never again", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(failingModule(StreamSourceOptions.retryNone(), new Map([["b", 1]])), launch);
  expect(await codeOf(module.depot("*payments").append("b"))).toBe("PROCESSING_FAILED");
  await module.depot("*payments").append("c");
  expect(await seenOf(module)()).toEqual(["c"]);
});

test("retryAllAfter: the record and every later one of its partition come again, in order", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    failingModule(StreamSourceOptions.retryAllAfter(), new Map([["b", 2]])),
    launch,
  );
  const depot = module.depot("*payments");
  const outcomes = ["a", "b", "c", "d"].map((record) => codeOf(depot.append(record)));
  await Promise.all(outcomes);
  const seen = await eventually(seenOf(module), (list) => list.includes("b") && list.at(-1) === "d");
  const last = seen.lastIndexOf("b");
  expect(seen.slice(last)).toEqual(["b", "c", "d"]);
});

test("a poison record does not stop others, with individual retry", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(failingModule(undefined, new Map([["poison", 1_000_000]])), launch);
  expect(await codeOf(module.depot("*payments").append("poison"))).toBe("PROCESSING_FAILED");
  for (let i = 0; i < 20; i++) await module.depot("*payments").append(`r${i}`);
  expect(await seenOf(module)()).toHaveLength(20);
});

test("a failure behind a partitioner fails the append; earlier writes of other tasks stay", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Behind", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$first", PState.mapSchema(String, Number)).global();
      s.source("*d", StreamSourceOptions.retryNone())
        .out("*k")
        .globalPartition()
        .compoundAgg("$$first", CompoundAgg.map("*k", Agg.count()))
        .directPartition(3)
        .each(() => {
          throw new Error("behind");
        });
    }),
    launch,
  );
  const error = await errorOf(module.depot("*d").append("k"));
  expect([error.code, (error.cause as Error).message]).toEqual(["PROCESSING_FAILED", "behind"]);
  expect(await module.pstate("$$first").selectOne(Path.key("k"))).toBe(1);
});

test("start points: the end by default; the beginning, records ago, a time", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated" });
  const sources: [string, StreamSourceOptions | undefined, number][] = [
    ["end", undefined, 0],
    ["beginning", StreamSourceOptions.startFromBeginning(), 6],
    ["two", StreamSourceOptions.startFromOffsetAgo(2, OffsetAgo.RECORDS), 2],
    ["later", StreamSourceOptions.startFromOffsetAfterTimestamp(1500), 3],
    ["minute", StreamSourceOptions.startFromOffsetAgo(1, OffsetAgo.MINUTES), 6],
  ];
  const module = await ipc.launchModule(
    moduleOf("Starts", (setup, topologies) => {
      setup.declareDepot("*in", Depot.random()).global();
      setup.declareDepot("*d", Depot.disallow());
      for (const [name, options] of sources) {
        const s = topologies.stream(name);
        s.pstate(`$$${name}`, Number).global().initialValue(0);
        s.source("*in", options).out("*x").agg(`$$${name}`, Agg.count());
      }
    }),
    { tasks: 1 },
  );
  for (let i = 0; i < 6; i++) {
    if (i === 3) await ipc.advanceTime(2000);
    await module.depot("*in").append(i);
  }
  // A new module has an empty depot: every source has seen all that came after its launch.
  for (const [name] of sources) expect(await module.pstate(`$$${name}`).selectOne(Path.stay())).toBe(6);
});

test("a branch of the tree that waits keeps the append waiting; the code after the last branch has been seen", async () => {
  await using ipc = await InProcessCluster.create();
  let release: (value: string) => void = () => {};
  const gate = new Promise<string>((resolve) => {
    release = resolve;
  });
  const module = await ipc.launchModule(
    moduleOf("Waits", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, String));
      s.source("*d")
        .out("*k")
        .eachAsync(() => gate)
        .out("*v")
        .hashPartition("*k")
        .localTransform("$$p", Path.key("*k").termVal("*v"));
    }),
    launch,
  );
  let acked = false;
  const append = module
    .depot("*d")
    .append("k")
    .then(() => {
      acked = true;
    });
  await module.depot("*d").append("stored", AckLevel.APPEND_ACK);
  expect(acked).toBe(false);
  release("done");
  await append;
  expect(await module.pstate("$$p").selectOne(Path.key("k"))).toBe("done");
});

test("at the pending limit an ACK append is refused with OVERLOADED and is not stored", async () => {
  await using ipc = await InProcessCluster.create();
  const gate = new Promise<null>(() => {});
  const module = await ipc.launchModule(
    moduleOf("Limited", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      setup.setLaunchModuleDynamicOption("replication.depot.append.timeout.millis", 50);
      setup.setLaunchTopologyDynamicOption("s", "topology.stream.max.executing.per.task", 3);
      topologies
        .stream("s")
        .source("*d")
        .out("*x")
        .eachAsync(() => gate)
        .out("*v");
    }),
    { tasks: 1 },
  );
  for (const n of [1, 2, 3]) await module.depot("*d").append(n, AckLevel.APPEND_ACK);
  expect(await codeOf(module.depot("*d").append(4))).toBe("OVERLOADED");
  expect(await module.depot("*d").getPartitionInfo(0)).toEqual({ startOffset: 0, endOffset: 3 });
});

test("atomicBlock goes on once around a partitioner that leaves the task", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Atomic", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$inside", Number).initialValue(0);
      s.pstate("$$after", Number).global().initialValue(0);
      s.source("*d")
        .out("*n")
        .atomicBlock(Block.each(Ops.RANGE, 0, "*n").out("*i").shufflePartition().agg("$$inside", Agg.count()))
        .agg("$$after", Agg.count());
    }),
    launch,
  );
  for (const n of [0, 1, 8]) await module.depot("*d").append(n);
  expect(await module.pstate("$$after").selectOne(Path.stay())).toBe(3);
});

test("yieldIfOvertime lets other events of the thread run, and the loop goes on", async () => {
  await using ipc = await InProcessCluster.create();
  const spin = () => {
    const until = performance.now() + 2;
    while (performance.now() < until);
  };
  const module = await ipc.launchModule(
    moduleOf("Yields", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$n", Number).global().initialValue(0);
      s.source("*d").out("*n").each(Ops.RANGE, 0, "*n").out("*i").each(spin).yieldIfOvertime().agg("$$n", Agg.count());
    }),
    { tasks: 1 },
  );
  await module.depot("*d").append(20);
  expect(await module.pstate("$$n").selectOne(Path.stay())).toBe(20);
});

test("pause and resume", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(failingModule(undefined, new Map()), launch);
  await module.pause("payments");
  await module.pause("payments");
  const append = module.depot("*payments").append("a");
  await module.depot("*payments").append("b", AckLevel.APPEND_ACK);
  expect(await seenOf(module)()).toEqual([]);
  await module.resume("payments");
  await append;
  await module.waitForProcessed("payments", 2);
  expect(await seenOf(module)()).toEqual(["a", "b"]);
});

test("a paused topology stays paused over an update, until it is resumed", async () => {
  await using ipc = await InProcessCluster.create();
  const version = failingModule(undefined, new Map());
  const module = await ipc.launchModule(version, launch);
  await module.pause("payments");
  await module.update(version);
  await module.depot("*payments").append("a", AckLevel.APPEND_ACK);
  expect(await seenOf(module)()).toEqual([]);
  await module.resume("payments");
  await module.waitForProcessed("payments", 1);
  expect(await seenOf(module)()).toEqual(["a"]);
});

test("a loop that walks over tasks", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Walk", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$hits", Number).initialValue(0);
      s.source("*d", StreamSourceOptions.ackReturnAgg(Agg.count))
        .out("*n")
        .loopWithVars(
          LoopVars.var("*i", 0),
          Block.ifTrue(
            expr(Ops.LESS_THAN, "*i", 4),
            Block.directPartition("*i").agg("$$hits", Agg.count()).emitLoop("*i").continueLoop(expr(Ops.INC, "*i")),
          ),
        )
        .out("*task")
        .ackReturn("*task");
    }),
    launch,
  );
  expect(await module.depot("*d").append(1)).toEqual({ s: 4 });
});
