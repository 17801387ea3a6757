// The first program of the documentation, as a user writes it.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";

class WordCountModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*sentences", Depot.random());
    const counts = topologies.stream("wordCount");
    counts.pstate("$$wordCounts", PState.mapSchema(String, Number));
    counts
      .source("*sentences")
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
])("words of acknowledged sentences are counted: %o", async (launch) => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(WordCountModule, launch);
  expect(module.name).toBe("WordCountModule");
  const sentences = ipc.clusterDepot("WordCountModule", "*sentences");
  expect(await sentences.append("to be or not to be")).toEqual({});
  const counts = module.pstate<number>("$$wordCounts");
  expect(await counts.selectOne(Path.key("be"))).toBe(2);
  expect(await counts.selectOne(Path.key("or"))).toBe(1);
  expect(await counts.selectOne(Path.key("absent"))).toBe(null as unknown as number);
  await Promise.all(Array.from({ length: 200 }, () => sentences.append("be be")));
  expect(await counts.selectOne(Path.key("be"))).toBe(402);
});

test("a cluster without modules is created and closed in no time", async () => {
  const started = performance.now();
  const ipc = await InProcessCluster.create();
  await ipc.close();
  expect(performance.now() - started).toBeLessThan(100);
});
