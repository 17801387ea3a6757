// Updates in process: another version of a module takes over depots, PStates and progress while clients append and read; what does not fit leaves the old one running.
import { expect, test } from "bun:test";
import { CompoundAgg, Agg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster, UpdateOptions } from "rama/test";

const size = { tasks: 4, threads: 4, workers: 2 };

type Define = (setup: Setup, topologies: Topologies) => void;

/** A version of the module "M". */
function version(define: Define): RamaModule {
  class M extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      define(setup, topologies);
    }
  }
  return new M();
}

/** Counts per key, each record `by` times. */
const counting = (by: number, more: Define = () => {}): RamaModule =>
  version((setup, topologies) => {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts
      .source("*events")
      .out({ key: "*key" })
      .each(Ops.IDENTITY, by)
      .out("*by")
      .compoundAgg("$$counts", CompoundAgg.map("*key", Agg.sum("*by")));
    more(setup, topologies);
  });

test("an update under load keeps every acknowledged append, counts each once, and fails no call", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  const depot = m.depot("*events");
  const counts = m.pstate("$$counts");
  let stopped = false;
  let appended = 0;
  let reads = 0;
  const lanes = [0, 1, 2, 3].map(async (lane) => {
    for (; !stopped; appended++) await depot.append({ key: `k${lane}` });
  });
  const reader = (async () => {
    for (; !stopped; reads++) await counts.selectOne(Path.key("k1"));
  })();
  for (let update = 0; update < 3; update++) {
    const before = appended;
    while (appended < before + 50) await Bun.sleep(1);
    await m.update(counting(1));
  }
  const before = appended;
  while (appended < before + 50) await Bun.sleep(1);
  stopped = true;
  await Promise.all([...lanes, reader]);
  expect(reads).toBeGreaterThan(0);
  const { total, stored } = await totals(m);
  expect(stored).toBe(appended);
  expect(total).toBe(appended);
});

async function totals(m: Awaited<ReturnType<InProcessCluster["launchModule"]>>) {
  let total = 0;
  let stored = 0;
  for (const lane of [0, 1, 2, 3])
    total += ((await m.pstate("$$counts").selectOne<number>(Path.key(`k${lane}`))) ?? 0) as number;
  for (let partition = 0; partition < size.tasks; partition++) {
    const { startOffset, endOffset } = await m.depot("*events").getPartitionInfo(partition);
    stored += endOffset - startOffset;
  }
  return { total, stored };
}

test("new code goes on where the old one stopped: state, progress and processed counts stay", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  for (let i = 0; i < 10; i++) await m.depot("*events").append({ key: "a" });
  await ipc.updateModule(counting(100));
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(10);
  await m.depot("*events").append({ key: "a" });
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(110);
  await m.waitForProcessed("counts", 11);
  await expect(m.waitForProcessed("counts", 12, 50)).rejects.toMatchObject({ code: "TIMEOUT" });
});

test("an added topology reads the depot from where its source says", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  for (let i = 0; i < 10; i++) await m.depot("*events").append({ key: "a" });
  const seen: Define = (_setup, topologies) => {
    const again = topologies.stream("again");
    again.pstate("$$again", PState.mapSchema(String, Number));
    again
      .source("*events", { startFromBeginning: true })
      .out({ key: "*key" })
      .compoundAgg("$$again", CompoundAgg.map("*key", Agg.count()));
  };
  await m.update(counting(1, seen));
  await m.waitForProcessed("again", 10);
  expect(await m.pstate("$$again").selectOne(Path.key("a"))).toBe(10);
});

test("a removed object has to be named, exactly; its data is deleted, and the name begins anew", async () => {
  await using ipc = await InProcessCluster.create();
  const extra: Define = (setup, topologies) => {
    setup.declareDepot("*old", Depot.hashBy(Ops.IDENTITY));
    const old = topologies.stream("old");
    old.pstate("$$old", PState.mapSchema(String, Number));
    old.source("*old").out("*key").compoundAgg("$$old", CompoundAgg.map("*key", Agg.count()));
  };
  const m = await ipc.launchModule(counting(1, extra), size);
  await m.depot("*old").append("x");
  await m.depot("*events").append({ key: "a" });
  const refused = { code: "DELETION_NOT_NAMED" };
  await expect(m.update(counting(1))).rejects.toMatchObject(refused);
  await expect(m.update(counting(1), UpdateOptions.objectsToDelete("$$old"))).rejects.toMatchObject(refused);
  const tooMany = UpdateOptions.objectsToDelete("$$old", "*old", "$$counts");
  await expect(m.update(counting(1), tooMany)).rejects.toMatchObject(refused);
  expect(await m.pstate("$$old").selectOne(Path.key("x"))).toBe(1);

  await m.update(counting(1), UpdateOptions.objectsToDelete("$$old", "*old"));
  await expect(m.pstate("$$old").selectOne(Path.key("x"))).rejects.toMatchObject({ code: "UNKNOWN_OBJECT" });
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(1);

  await m.update(counting(1, extra));
  expect(await m.pstate("$$old").selectOne(Path.key("x"))).toBeNull();
  expect((await m.depot("*old").getPartitionInfo(0)).endOffset).toBe(0);
});

test("what does not fit the data is refused, and the old version runs on", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  await m.depot("*events").append({ key: "a" });
  const other = version((setup, topologies) => {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, String));
    counts.source("*events").out({ key: "*key" });
  });
  await expect(m.update(other)).rejects.toMatchObject({ code: "INCOMPATIBLE_UPDATE" });
  await m.depot("*events").append({ key: "a" });
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(2);
});

test("a migrated value is read in its new form by clients and by the topology, with what was written before", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  for (let i = 0; i < 3; i++) await m.depot("*events").append({ key: "a" });
  const asRecord = version((setup, topologies) => {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const counts = topologies.stream("counts");
    const schema = PState.migrated(PState.fixedKeysSchema({ count: Number, since: String }), "as-record", (old) =>
      typeof old === "number" ? { count: old, since: "before" } : old,
    );
    counts.pstate("$$counts", PState.mapSchema(String, schema));
    counts
      .source("*events")
      .out({ key: "*key" })
      .localTransform("$$counts", Path.key("*key", "count").nullToVal(0).term(Ops.INC));
  });
  await m.update(asRecord);
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toEqual({ count: 3, since: "before" });
  await m.depot("*events").append({ key: "a" });
  await m.depot("*events").append({ key: "b" });
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toEqual({ count: 4, since: "before" });
  expect(await m.pstate("$$counts").selectOne(Path.key("b"))).toEqual({ count: 1 });
  await m.update(asRecord);
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toEqual({ count: 4, since: "before" });
  await expect(m.update(counting(1))).rejects.toMatchObject({ code: "INCOMPATIBLE_UPDATE" });
});

test("task globals are made anew by an update", async () => {
  await using ipc = await InProcessCluster.create();
  let made = 0;
  const withGlobal = () =>
    counting(1, (setup) => {
      setup.declareObject("*global", () => ({ number: ++made }));
    });
  const m = await ipc.launchModule(withGlobal(), size);
  expect(made).toBe(4);
  await m.update(withGlobal());
  expect(made).toBe(8);
});

test("an update whose code fails at start ends with that error, and the old version serves again", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(counting(1), size);
  await m.depot("*events").append({ key: "a" });
  const failing = counting(1, (setup) => {
    setup.declareObject("*broken", () => {
      throw new Error("no such host");
    });
  });
  await expect(m.update(failing)).rejects.toThrow("no such host");
  await m.depot("*events").append({ key: "a" });
  expect(await m.pstate("$$counts").selectOne(Path.key("a"))).toBe(2);
});
