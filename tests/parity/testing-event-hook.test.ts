// typescript-api.md 3, Running: `withEventHook` tells what tasks do, and can make steps fail.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState } from "rama";
import { type EventData, type EventType, InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

type Told = [EventType, Omit<EventData, "module">];

/** Everything that is told while the body runs, without the module's name. */
async function toldIn(ipc: InProcessCluster, body: () => Promise<unknown>, ...types: EventType[]): Promise<Told[]> {
  const told: Told[] = [];
  await ipc.withEventHook((type, { module, ...data }) => {
    expect(module).toBe("M");
    if (types.length === 0 || types.includes(type)) told.push([type, data]);
  }, body);
  return told;
}

const count = (told: readonly Told[], type: EventType) => told.filter(([each]) => each === type).length;

const counting = moduleOf("M", (setup, topologies) => {
  setup.declareDepot("*d", Depot.random());
  setup.declareDepot("*s", Depot.random());
  const s = topologies.stream("s");
  s.pstate("$$n", PState.mapSchema(String, Number));
  s.pstate("$$list", PState.mapSchema(String, PState.mapSchema(Number, String).subindexed()));
  s.source("*d").out("*k").hashPartition("*k").localTransform("$$n", Path.key("*k").nullToVal(0).term(Ops.INC));
  s.source("*s").out(["*k", "*i"]).hashPartition("*k").localTransform("$$list", Path.key("*k", "*i").termVal("*k"));
  topologies
    .query("page", "*k")
    .out("*page")
    .hashPartition("*k")
    .localSelect("$$list", Path.key("*k").sortedMapRangeFromStart(2))
    .out("*page")
    .originPartition();
});

test("one append is told step by step: stored, run, hopped, read, written, complete", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  const depot = handle.depot("*d");
  await depot.append("a");
  const told = await toldIn(ipc, () => depot.append("a"));
  const at = { topology: "s", taskId: 0 };
  expect(told).toEqual([
    ["depot-append", { object: "*d", taskId: 0, offset: 1 }],
    ["topology-event", { ...at, topologyType: "stream" }],
    ["partitioner", { ...at, toTaskId: 0 }],
    ["topology-event", { ...at, topologyType: "stream" }],
    ["pstate-read", { ...at, object: "$$n" }],
    ["streaming-complete", { ...at, object: "*d", offset: 1 }],
    ["pstate-commit", { ...at, object: "$$n", writes: 1 }],
  ]);
});

test("several appends of one moment are told one by one", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 4, threads: 2, workers: 2 });
  const depot = handle.depot("*d");
  const told = await toldIn(ipc, () => Promise.all(Array.from({ length: 20 }, (_, i) => depot.append(`k${i % 5}`))));
  expect(count(told, "depot-append")).toBe(20);
  expect(count(told, "partitioner")).toBe(20);
  expect(count(told, "pstate-read")).toBe(20);
  expect(count(told, "streaming-complete")).toBe(20);
  const writes = told.reduce((sum, [type, data]) => sum + (type === "pstate-commit" ? data.writes! : 0), 0);
  expect(writes).toBeGreaterThanOrEqual(5);
  expect(writes).toBeLessThanOrEqual(20);
});

test("reads of clients: an element is a read, a range an iterator and its elements", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  for (let i = 0; i < 5; i++) await handle.depot("*s").append(["a", i]);
  const list = handle.pstate("$$list");
  const one = { object: "$$list", taskId: 0 };
  expect(await toldIn(ipc, () => list.selectOne(Path.key("a", 3)))).toEqual([
    ["pstate-read", one],
    ["pstate-read", one],
  ]);
  expect(await toldIn(ipc, () => list.selectOne(Path.key("a").sortedMapRange(1, 4)))).toEqual([
    ["pstate-read", one],
    ["pstate-iterator", one],
    ["pstate-iterator-read", one],
    ["pstate-iterator-read", one],
    ["pstate-iterator-read", one],
  ]);
  expect(await toldIn(ipc, () => list.selectOne(Path.key("a").view(Ops.SIZE)))).toEqual([
    ["pstate-read", one],
    ["pstate-read", one],
  ]);
});

test("what is counted does not depend on what is in memory", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  for (let i = 0; i < 300; i++) await handle.depot("*s").append(["a", i]);
  const list = handle.pstate("$$list");
  const read = () => list.selectOne(Path.key("a").sortedMapRangeFrom(10, 100));
  const ask = () => handle.query("page").invoke("a");
  const [warmRead, warmAsk] = [await toldIn(ipc, read), await toldIn(ipc, ask)];
  await ipc.updateModule(counting);
  const coldRead = await toldIn(ipc, read);
  expect(coldRead).toEqual(warmRead);
  expect(count(coldRead, "pstate-iterator-read")).toBe(100);
  await ipc.updateModule(counting);
  expect(await toldIn(ipc, ask)).toEqual(warmAsk);
});

test("a query: its events, hops, selects and reads", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  for (let i = 0; i < 5; i++) await handle.depot("*s").append(["a", i]);
  const told = await toldIn(ipc, () => handle.query("page").invoke("a"));
  const at = { topology: "page", taskId: 0 };
  expect(told.filter(([type]) => type !== "topology-event" && type !== "partitioner")).toEqual([
    ["local-select", { ...at, object: "$$list", allowYield: false }],
    ["pstate-read", { ...at, object: "$$list" }],
    ["pstate-iterator", { ...at, object: "$$list" }],
    ["pstate-iterator-read", { ...at, object: "$$list" }],
    ["pstate-iterator-read", { ...at, object: "$$list" }],
  ]);
  expect(told[0]).toEqual(["topology-event", { ...at, topologyType: "query" }]);
});

test("a yielding select says so; transforms are no selects", async () => {
  const module = moduleOf("M", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(String, Number));
    s.source("*d")
      .out("*k")
      .localTransform("$$p", Path.key("*k").termVal(1))
      .localSelect("$$p", Path.all(), { allowYield: true })
      .out("*each");
  });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(module, { tasks: 1 });
  const told = await toldIn(ipc, () => handle.depot("*d").append("a"), "local-select");
  expect(told).toEqual([["local-select", { topology: "s", object: "$$p", taskId: 0, allowYield: true }]]);
});

test("what a subindexed structure costs: the element, its size, and once the place that refers to it", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  const writes = async () => {
    const told = await toldIn(ipc, () => handle.depot("*s").append(["a", next++]), "pstate-commit");
    return told.map(([, data]) => data.writes);
  };
  let next = 0;
  expect(await writes()).toEqual([3]);
  expect(await writes()).toEqual([2]);
});

test.each(["topology-event", "streaming-complete"] as const)(
  "failing %s fails the record, undoes what it wrote, and it runs again",
  async (type) => {
    await using ipc = await InProcessCluster.create();
    const handle = await ipc.launchModule(counting, { tasks: 1 });
    let failures = 0;
    await ipc.withEventHook(
      (each) => (each === type && failures++ === 0 ? "fail" : undefined),
      async () => {
        expect(await codeOf(handle.depot("*d").append("a"))).toBe("PROCESSING_FAILED");
        await handle.waitForProcessed("s", 1);
      },
    );
    expect(failures).toBeGreaterThan(1);
    expect(await handle.pstate("$$n").selectOne(Path.key("a"))).toBe(1);
  },
);

test("a record that ends at once fails at its completion without a trace", async () => {
  const module = moduleOf("M", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$n", Number).initialValue(0);
    s.source("*d", { retryNone: true }).agg("$$n", Agg.count());
  });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(module, { tasks: 1 });
  const fail = (type: EventType) => (type === "streaming-complete" ? "fail" : undefined);
  expect(await codeOf(ipc.withEventHook(fail, () => handle.depot("*d").append(1)))).toBe("PROCESSING_FAILED");
});

test("failing an event of a query fails the invoke", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  const fail = (type: EventType) => (type === "topology-event" ? "fail" : undefined);
  expect(await codeOf(ipc.withEventHook(fail, () => handle.query("page").invoke("a")))).toBe("USER_CODE_FAILED");
  expect(await handle.query("page").invoke("a")).toEqual(new Map());
});

test.each(["prime", "process", "prepare", "decide"] as const)(
  "a microbatch that fails in its phase %s runs again with the same records, once each",
  async (phase) => {
    const module = moduleOf("M", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const mb = topologies.microbatch("mb");
      mb.pstate("$$n", PState.mapSchema(String, Number));
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*k")
        .hashPartition("*k")
        .compoundAgg("$$n", CompoundAgg.map("*k", Agg.count()));
    });
    await using ipc = await InProcessCluster.create();
    const handle = await ipc.launchModule(module, { tasks: 2, threads: 2, workers: 2 });
    const seen: unknown[] = [];
    await ipc.withEventHook(
      (type, data) => {
        if (type !== "microbatch-attempt") return;
        seen.push(data.phase);
        if (data.phase === phase && seen.filter((each) => each === phase).length === 1) return "fail";
      },
      async () => {
        for (const k of ["a", "b", "a"]) await handle.depot("*d").append(k);
        await handle.waitForProcessed("mb", 3);
        await handle.depot("*d").append("a");
        await handle.waitForProcessed("mb", 4);
      },
    );
    expect(seen.filter((each) => each === phase).length).toBeGreaterThan(1);
    expect(await handle.pstate("$$n").selectOne(Path.key("a"))).toBe(3);
    expect(await handle.pstate("$$n").selectOne(Path.key("b"))).toBe(1);
  },
);

test("reads of a depot are told with how many records came", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  for (const k of ["a", "b", "c"]) await handle.depot("*d").append(k);
  const told = await toldIn(ipc, () => handle.depot("*d").read(0, 1, 3), "depot-read");
  expect(told).toEqual([["depot-read", { object: "*d", taskId: 0, offset: 1, records: 2 }]]);
});

test("one hook at a time; what it throws is thrown at the end; afterwards nothing is told", async () => {
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(counting, { tasks: 1 });
  let told = 0;
  const hook = () => {
    told++;
  };
  await ipc.withEventHook(hook, async () => {
    expect(await codeOf(ipc.withEventHook(hook, async () => {}))).toBe("NOT_ALLOWED_HERE");
    await handle.depot("*d").append("a");
  });
  const before = told;
  expect(before).toBeGreaterThan(0);
  await handle.depot("*d").append("a");
  expect(told).toBe(before);
  const thrown = ipc.withEventHook(
    () => {
      throw new Error("no such budget");
    },
    () => handle.depot("*d").append("a"),
  );
  await expect(thrown).rejects.toThrow("no such budget");
  expect(await ipc.withEventHook(hook, () => 5)).toBe(5);
  expect(await handle.pstate("$$n").selectOne(Path.key("a"))).toBe(3);
});
