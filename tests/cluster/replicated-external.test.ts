// Sources that are not the module's own depots, in a replicated module: progress is on every replica, so that the next leader goes on and each record counts once.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  type ExternalDepot,
  type ExternalRecord,
  Helpers,
  MicrobatchSourceOptions,
  Path,
  PState,
  RamaModule,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { compileModule } from "../../src/dataflow/compile.ts";
import { defineModule } from "../../src/module/build.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";
import { ReplicatedModule } from "../../src/testing/replicated-module.ts";
import { waitFor } from "../../src/testing/wait-for.ts";

const partitions = 4;
/** Records of each partition so far: their data is their offset. */
const outside = { end: 0 };

class Outside implements ExternalDepot<null, number> {
  getNumPartitions = () => partitions;
  endOffset = () => outside.end;
  offsetAfterTimestampMillis = () => null;
  fetchFrom(_partition: number, from: number, to = outside.end): ExternalRecord<null, number>[] {
    const records: ExternalRecord<null, number>[] = [];
    for (let offset = from; offset < Math.min(to, outside.end, from + 50); offset++)
      records.push([offset, null, offset]);
    return records;
  }
}

class Counter extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareObject("*outside", () => new Outside());
    const s = topologies.stream("stream");
    s.pstate("$$streamed", PState.mapSchema(String, Number));
    s.source("*outside", StreamSourceOptions.startFromBeginning()).compoundAgg(
      "$$streamed",
      CompoundAgg.map("all", Agg.count()),
    );
    const m = topologies.microbatch("micro");
    m.pstate("$$micro", PState.mapSchema(String, Number));
    m.source("*outside", MicrobatchSourceOptions.startFromBeginning())
      .out("*mb")
      .explodeMicrobatch("*mb")
      .compoundAgg("$$micro", CompoundAgg.map("all", Agg.count()));
  }
}

test("leaders are killed while records come: the next ones go on, and each record counts once", async () => {
  const failures: unknown[] = [];
  const world = new MemoryWorld({ onFailure: (name, error) => failures.push({ name, error }) });
  const replicated = await ReplicatedModule.launch({
    world,
    module: compileModule(defineModule(Counter)),
    tasks: 2,
    threads: 1,
    workers: 1,
    replicationFactor: 3,
    hosts: ["n0", "n1", "n2"],
    settings: [{ scope: "module", object: "", name: "replication.max.time.lag.millis", value: 500 } as const],
    onBroken: (host, error) => failures.push({ host, error }),
  });
  const core = replicated.client();
  const { env } = world;
  // Each task counts its two partitions: keys that lead to either.
  const keys = Helpers.genHashingIndexKeys(2) as string[];
  const total = async (pstate: string) => {
    let sum = 0;
    for (const key of keys) sum += (await core.pstate("Counter", pstate).selectOne<number>(key, Path.key("all"))) ?? 0;
    return sum;
  };
  const counted = (count: number) =>
    waitFor(async () => (await total("$$streamed")) >= count && (await total("$$micro")) >= count, {
      env,
      timeoutMs: 50_000,
      what: `${count} records`,
    });
  for (let round = 0; round < 4; round++) {
    outside.end += 200;
    const victim = replicated.leaderOf(0)!;
    if (round > 0) replicated.kill(victim, { powerCut: round % 2 === 0 });
    outside.end += 200;
    await counted(outside.end * partitions);
    if (round === 0) continue;
    await replicated.start(victim);
    await waitFor(
      () => {
        const leader = replicated.leaderOf(0);
        return leader !== undefined && replicated.statusOf(leader, 0)?.inSync.length === 3;
      },
      { env, timeoutMs: 50_000, what: "the killed worker to be in sync again" },
    );
  }
  expect(await total("$$streamed")).toBe(outside.end * partitions);
  expect(await total("$$micro")).toBe(outside.end * partitions);
  await core.close();
  await replicated.close();
  expect(failures).toEqual([]);
}, 120_000);
