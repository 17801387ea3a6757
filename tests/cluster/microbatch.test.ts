// Microbatch topologies without batch blocks, as users write them.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";

class WordCountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*sentences", Depot.random());
    const counts = topologies.microbatch("wordCount");
    counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
    counts
      .source("*sentences")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*sentence")
      .each((s: string) => s.split(" "), "*sentence")
      .out("*words")
      .each(Ops.EXPLODE, "*words")
      .out("*word")
      .hashPartition("*word")
      .compoundAgg("$$wordCounts", CompoundAgg.map("*word", Agg.count()));
  }
}

test.each([
  { tasks: 1, threads: 1, workers: 1 },
  { tasks: 4, threads: 2, workers: 1 },
  { tasks: 8, threads: 4, workers: 2 },
  { tasks: 8, threads: 4, workers: 4 },
])("words are counted once each: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(WordCountModule, launch);
  const sentences = module.depot("*sentences");
  await sentences.append("to be or not to be");
  await module.waitForProcessed("wordCount", 1);
  const counts = module.pstate<number>("$$wordCounts");
  expect(await counts.selectOne(Path.key("be"))).toBe(2);
  expect(await counts.selectOne(Path.key("or"))).toBe(1);
  await Promise.all(Array.from({ length: 5000 }, () => sentences.append("be be")));
  await module.waitForProcessed("wordCount", 5001);
  expect(await counts.selectOne(Path.key("be"))).toBe(10002);
});

class GoodLedger extends RamaModule {
  readonly seen: number[] = [];
  readonly failOnce = new Set<number>();

  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*numbers", Depot.hashBy(Ops.IDENTITY));
    setup.declareDepot("*letters", Depot.random());
    const mb = topologies.microbatch("mb");
    mb.pstate("$$sums", PState.mapSchema(String, Number));
    mb.pstate("$$ids", PState.mapSchema(Number, PState.setSchema(Number)));
    const { seen, failOnce } = this;
    mb.source("*numbers")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*n")
      .each(Ops.CURRENT_MICROBATCH_ID)
      .out("*id")
      .compoundAgg("$$ids", CompoundAgg.map("*n", Agg.set("*id")))
      .hashPartition("total")
      .localSelect("$$sums", Path.key("total").nullToVal(0))
      .out("*before")
      .localTransform("$$sums", Path.key("total").nullToVal(0).term(Ops.PLUS, "*n"))
      .localSelect("$$sums", Path.key("total"))
      .out("*after")
      .each(
        (n: number, before: number, after: number) => {
          seen.push(n);
          if (after !== before + n) throw new Error(`${before} and ${n} are not ${after}`);
          if (failOnce.delete(n)) throw new Error(`not ${n}`);
        },
        "*n",
        "*before",
        "*after",
      );
    mb.source("*letters")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*letter")
      .hashPartition("*letter")
      .compoundAgg("$$sums", CompoundAgg.map("*letter", Agg.count()));
  }
}

const launches = [
  { tasks: 4, threads: 2, workers: 1 },
  { tasks: 4, threads: 4, workers: 2 },
];

test.each(launches)(
  "a microbatch that failed runs again with its id and its records, and counts once: %o",
  async (launch) => {
    await using ipc = await InProcessCluster.create();
    const program = new GoodLedger();
    const module = await ipc.launchModule(program, launch);
    await module.pause("mb");
    for (let n = 1; n <= 20; n++) await module.depot("*numbers").append(n);
    await module.depot("*letters").append("a");
    program.failOnce.add(7).add(13);
    await module.resume("mb");
    await module.waitForProcessed("mb", 21);
    const sums = module.pstate<number>("$$sums");
    expect(await sums.selectOne(Path.key("total"))).toBe(210);
    expect(await sums.selectOne(Path.key("a"))).toBe(1);
    expect(program.seen.length).toBeGreaterThan(20);
    const ids = module.pstate<Set<number>>("$$ids");
    const first = await ids.selectOne(Path.key(1));
    expect(first.size).toBe(1);
    for (let n = 2; n <= 20; n++) expect(await ids.selectOne(Path.key(n))).toEqual(first);
  },
);

test("nothing of a microbatch is visible before all of it is", async () => {
  await using ipc = await InProcessCluster.create();
  const program = new GoodLedger();
  const module = await ipc.launchModule(program, { tasks: 4, threads: 2 });
  const sums = module.pstate<number>("$$sums");
  const wrong: number[] = [];
  for (let round = 1; round <= 20; round++) {
    await Promise.all(Array.from({ length: 10 }, () => module.depot("*numbers").append(1)));
    const value = (await sums.selectOne(Path.key("total"))) ?? 0;
    if (value > round * 10) wrong.push(value);
  }
  await module.waitForProcessed("mb", 200);
  expect(await sums.selectOne(Path.key("total"))).toBe(200);
  expect(wrong).toEqual([]);
});

class Ticks extends RamaModule {
  readonly runs: number[] = [];
  define(setup: Setup, topologies: Topologies) {
    setup.declareTickDepot("*tick", 1_000_000);
    const mb = topologies.microbatch("mb");
    mb.pstate("$$ticks", Number).global().initialValue(0);
    mb.pstate("$$batches", Number).global().initialValue(0);
    mb.source("*tick")
      .out("*mb")
      .localTransform("$$batches", Path.term(Ops.INC))
      .explodeMicrobatch("*mb")
      .localTransform("$$ticks", Path.term(Ops.INC));
  }
}

test("code before the records runs in empty microbatches too; a tick is one record", async () => {
  await using ipc = await InProcessCluster.create({ manualTicks: true });
  const module = await ipc.launchModule(new Ticks(), { tasks: 2, threads: 1 });
  const ticks = module.pstate<number>("$$ticks");
  const batches = module.pstate<number>("$$batches");
  await ipc.tick(module.name, "*tick");
  await ipc.waitForMicrobatchProcessedCount(module.name, "mb", 1);
  expect(await ticks.selectOne(Path.stay())).toBe(1);
  const before = await batches.selectOne(Path.stay());
  expect(before).toBeGreaterThanOrEqual(2);
  await ipc.tick(module.name, "*tick");
  await module.waitForProcessed("mb", 2);
  expect(await ticks.selectOne(Path.stay())).toBe(2);
  // Idle microbatches come within half a second.
  const endMs = performance.now() + 3000;
  const then = await batches.selectOne(Path.stay());
  while ((await batches.selectOne(Path.stay())) === then && performance.now() < endMs) await Bun.sleep(20);
  expect(await batches.selectOne(Path.stay())).toBeGreaterThan(then);
});

test("paused, records gather and are taken in one microbatch", async () => {
  await using ipc = await InProcessCluster.create();
  const program = new GoodLedger();
  const module = await ipc.launchModule(program, { tasks: 1, threads: 1 });
  await ipc.pauseMicrobatchTopology(module.name, "mb");
  await Promise.all(Array.from({ length: 500 }, (_, n) => module.depot("*numbers").append(n)));
  await ipc.resumeMicrobatchTopology(module.name, "mb");
  await ipc.waitForMicrobatchProcessedCount(module.name, "mb", 500);
  const ids = new Set<number>();
  for (let n = 0; n < 500; n += 50) {
    for (const id of await module.pstate<Set<number>>("$$ids").selectOne(Path.key(n))) ids.add(id);
  }
  expect(ids.size).toBe(1);
});

test("what blocks a topology is named: line, depot, partition and offset of the record", async () => {
  class Blocked extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      setup.declareDepot("*d", Depot.random());
      topologies
        .microbatch("mb")
        .source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .each((n: number) => {
          if (n === 3) throw new Error("three is too many");
        }, "*n");
    }
  }
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(Blocked, { tasks: 1, threads: 1 });
  for (const n of [1, 2, 3]) await module.depot("*d").append(n);
  const error = await module.waitForProcessed("mb", 3, 300).then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  expect(error?.message).toMatch(
    /last failure: mb at microbatch\.test\.ts:\d+: \*d partition 0 offset 2: three is too many/,
  );
});
