// Power cuts while depots are trimmed and migrated, from seeds: what is left of each partition are its newest records, each as the migration makes it and mapped once; every
// record has been counted exactly once, however far it has been trimmed since; the start never goes back; files below it are gone.
import { expect, test } from "bun:test";
import { decodeValue } from "../../src/base/value-codec.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { Depot } from "../../src/module/depot-partitioning.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, count, entries, handModule, openHand, stage, type World } from "../cluster/engine-harness.ts";

const tasks = 4;
const entriesMax = 40;
const kept = 50;
const segmentBytes = 600;

type Migration = { readonly id: string; readonly fn: (record: string) => unknown } | undefined;

/** Counts letters, so that the count does not depend on what a migration makes of the record. */
const moduleOf = (migration: Migration): CompiledModule =>
  handModule({
    depots: [{ ...(migration === undefined ? {} : { migration }) }],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0 }],
        stages: [stage("count", (x, [record]) => count(x, 0, record.replace(/[^0-9]/g, "")))],
      },
    ],
  });

const isRemoved = (record: string) => Number(record.replace(/[^0-9]/g, "")) % 5 === 0;
/** Not idempotent: a second time shows. */
const starred: Migration = { id: "star", fn: (record) => (isRemoved(record) ? Depot.TOMBSTONE : `${record}*`) };

interface Run {
  readonly env: SimulatedEnv;
  readonly world: World;
  /** By partition and offset: the number of the record. */
  readonly acked: Map<string, number>;
  /** Numbers by partition that were acknowledged before the migration began: those that it removes have been counted. */
  readonly starts: number[];
  sent: number;
}

function machine(seed: number): Run {
  const env = new SimulatedEnv({ seed, onFailure: () => {} });
  const disk = new MemoryDisk({ syncDelay: async () => void (await env.sleep(env.random() * 2)) });
  return { env, world: { env, disk, kv: memoryKv({ disk }) }, acked: new Map(), starts: Array(tasks).fill(0), sent: 0 };
}

function open(run: Run, migration: Migration, trims: boolean): Promise<Engine> {
  const set: Record<string, unknown> = { "depot.trim.interval.millis": 100 };
  if (trims) set["depot.max.entries.per.partition"] = entriesMax;
  return run.env.complete(
    openHand(run.world, moduleOf(migration), { tasks, threads: 2, set, more: { depotSegmentBytes: segmentBytes } }),
  );
}

async function live(run: Run, engine: Engine): Promise<void> {
  const { env } = run;
  const untilMs = env.monotonicMs() + 50 + env.random() * 2500;
  while (env.monotonicMs() < untilMs) {
    const task = Math.floor(env.random() * tasks);
    const numbers = Array.from({ length: 1 + Math.floor(env.random() * 6) }, () => ++run.sent);
    append(
      engine,
      task,
      numbers.map((n) => `r${n}`),
    ).then(
      ({ offset }) => {
        for (const [i, n] of numbers.entries()) run.acked.set(`${task}/${offset + i}`, n);
      },
      () => {},
    );
    if (env.random() < 0.5) await env.advance(env.random() * 60);
  }
}

/** `form`: what a record looks like now; null: it is removed. */
async function check(run: Run, engine: Engine, form: (n: number) => string | null, trims: boolean): Promise<void> {
  await run.env.complete(engine.settled());
  for (let task = 0; task < tasks; task++) {
    const { startOffset, endOffset } = engine.partitionInfo(0, task);
    expect(startOffset).toBeGreaterThanOrEqual(run.starts[task]!);
    run.starts[task] = startOffset;
    if (trims) expect(endOffset - startOffset).toBeGreaterThanOrEqual(Math.min(endOffset, kept));
    const found: (string | null)[] = [];
    while (startOffset + found.length < endOffset) {
      for (const bytes of engine.readDepot(0, task, startOffset + found.length, endOffset))
        found.push(bytes.length === 0 ? null : (decodeValue(bytes) as string));
    }
    for (const [key, n] of run.acked) {
      const [at, offset] = key.split("/").map(Number) as [number, number];
      if (at === task && offset >= startOffset) expect([key, found[offset - startOffset]]).toEqual([key, form(n)]);
    }
    expect(() => engine.readDepot(0, task, startOffset - 1, endOffset)).toThrow("is not within");
  }
  expect(await run.env.complete(wronglyCounted(run, engine))).toEqual({});
}

/** Acknowledged records with another count than one. Removed ones may have none: they may have been appended as tombstones. */
async function wronglyCounted(run: Run, engine: Engine): Promise<Record<string, unknown>> {
  const wrong: Record<string, unknown> = {};
  const counts = await Promise.all(Array.from({ length: tasks }, (_, task) => entries(engine, task)));
  for (const [key, n] of run.acked) {
    const got = counts[Number(key.split("/")[0])]![String(n)];
    if (got !== 1 && !(got === undefined && isRemoved(`r${n}`))) wrong[key] = got;
  }
  return wrong;
}

async function cut({ env, world }: Run, engine: Engine): Promise<void> {
  world.disk.powerCut(() => env.random());
  world.kv.powerCut(() => env.random());
  engine.abort();
  await env.advance(1);
}

const plain = (n: number) => `r${n}`;
const star = (n: number) => (n % 5 === 0 ? null : `r${n}*`);

for (let seed = 1; seed <= 10; seed++) {
  test(`trimmed depots survive power cuts (seed ${seed})`, async () => {
    const run = machine(seed);
    for (let life = 0; life < 5; life++) {
      const engine = await open(run, undefined, true);
      await check(run, engine, plain, true);
      await live(run, engine);
      await cut(run, engine);
    }
    const engine = await open(run, undefined, true);
    await live(run, engine);
    await run.env.complete(engine.settled());
    // The next flush after ten seconds syncs the files, and lets those before them go.
    await run.env.advance(11_000);
    for (let task = 0; task < tasks; task++) append(engine, task, [`r${++run.sent}`]).catch(() => {});
    await run.env.advance(2_000);
    await check(run, engine, plain, true);
    for (let task = 0; task < tasks; task++) {
      const { startOffset, endOffset } = engine.partitionInfo(0, task);
      expect(endOffset - startOffset).toBe(kept);
      const names = run.world.disk.list(`/engine/depots/0/${task}`);
      expect(names.filter((name) => Number(name.slice(0, 16)) < startOffset).length).toBeLessThanOrEqual(1);
    }
    await run.env.complete(engine.close());
  });

  test(`migrated depots survive power cuts, trimmed or not (seed ${seed})`, async () => {
    const run = machine(1000 + seed);
    const trims = run.env.random() < 0.5;
    let engine = await open(run, undefined, trims);
    await live(run, engine);
    if (run.env.random() < 0.5) await cut(run, engine);
    else await run.env.complete(engine.close());
    const isDone = () => engine.status().migrations.every(({ done }) => done);
    for (let lives = 0; ; lives++) {
      expect(lives).toBeLessThan(60);
      engine = await open(run, starred, trims);
      await check(run, engine, star, trims);
      await live(run, engine);
      if (isDone()) break;
      await cut(run, engine);
    }
    await cut(run, engine);
    engine = await open(run, starred, trims);
    expect(isDone()).toBe(true);
    await check(run, engine, star, trims);
    await run.env.complete(engine.close());
    engine = await open(run, undefined, trims);
    await check(run, engine, star, trims);
    await cut(run, engine);
    engine = await open(run, { id: "star", fn: (record) => `${record}+` }, trims);
    await check(run, engine, (n) => (star(n) === null ? null : `${star(n)}+`), trims);
    await run.env.complete(engine.close());
    for (let task = 0; task < tasks; task++) {
      const dirs = run.world.disk.list("/engine/depots/0").filter((name) => name.split(".")[0] === String(task));
      expect(dirs.length).toBeLessThanOrEqual(2);
    }
  });
}
