// Power cuts while values are read in a new form, written over by the topology and rewritten in the background, from seeds: counts equal a plain fold over the depots,
// and no value has gone through the migration's function twice. The function counts how often it has seen a value, so a second time is seen.
import { expect, test } from "bun:test";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { decodeValue } from "../../src/base/value-codec.ts";
import type { SchemaNode } from "../../src/module/schema.ts";
import type { IndexedMap } from "../../src/paths/indexed.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, handModule, openHand, stage, type World } from "../cluster/engine-harness.ts";

const tasks = 4;
const set = {
  "topology.stream.migration.max.paths.per.batch": 3,
  "topology.stream.migration.max.paths.per.second": 300,
};
const number: SchemaNode = { kind: "leaf", type: Number };
const top = (value: SchemaNode): SchemaNode => ({ kind: "map", key: String, value });

interface Version {
  readonly schema: SchemaNode;
  /** One word of the bucket `key` more. */
  readonly add: (map: IndexedMap, key: string, word: string) => void;
  /** What is there: bucket/word → count, and what must not be. */
  readonly read: (map: IndexedMap) => [string, unknown][];
}

const migrated = (to: SchemaNode, migrate: (value: any) => unknown, toSubindexed = false): SchemaNode => ({
  kind: "migrated",
  to,
  id: "m",
  migrate,
  options: { toSubindexed, addedKeys: [], removedKeys: [] },
});

const moduleOf = ({ schema, add }: Version): CompiledModule =>
  handModule({
    depots: [{}],
    pstates: [{ topology: 0, schema }],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0 }],
        stages: [
          stage("count", (x, [word]) => add(x.root(0).get() as IndexedMap, `b${word.length}${word.at(-1)}`, word)),
        ],
      },
    ],
  });

/** bucket → number, then bucket → { n, seen }. */
const asRecord: readonly Version[] = (() => {
  const record: SchemaNode = {
    kind: "fixed",
    fields: new Map([
      ["n", number],
      ["seen", number],
    ]),
  };
  const before: Version = {
    schema: top(number),
    add: (map, key) => map.set(key, ((map.get(key) as number | undefined) ?? 0) + 1),
    read: (map) => map.range({}) as [string, unknown][],
  };
  const after = (value: SchemaNode): Version => ({
    schema: top(value),
    add: (map, key) => {
      const old = (map.get(key) as { n: number; seen: number } | undefined) ?? { n: 0, seen: 0 };
      map.set(key, { ...old, n: old.n + 1 });
    },
    read: (map) =>
      (map.range({}) as [string, { n: number; seen: number }][]).map(([key, { n, seen }]) => [
        key,
        seen > 1 ? `seen ${seen} times` : n,
      ]),
  });
  const step = (old: number | { n: number; seen: number }) =>
    typeof old === "number" ? { n: old, seen: 1 } : { ...old, seen: old.seen + 1 };
  return [before, after(migrated(record, step)), after(record)];
})();

/** bucket → Map word → number, then subindexed with 1000 added to each, once. */
const subindexed: readonly Version[] = (() => {
  const inner = (more: object): SchemaNode => ({ kind: "map", key: String, value: number, ...more });
  const before: Version = {
    schema: top(inner({})),
    add: (map, key, word) => {
      const old = new Map(map.get(key) as Map<string, number> | undefined);
      map.set(key, old.set(word, (old.get(word) ?? 0) + 1));
    },
    read: (map) =>
      (map.range({}) as [string, Map<string, number>][]).flatMap(([key, words]) =>
        [...words].map(([word, n]): [string, number] => [`${key}/${word}`, n % 1000]),
      ),
  };
  const after = (value: SchemaNode): Version => ({
    schema: top(value),
    add: (map, key, word) => {
      if (map.get(key) === undefined) map.set(key, new Map());
      const words = map.get(key) as IndexedMap;
      words.set(word, ((words.get(word) as number | undefined) ?? 0) + 1);
    },
    read: (map) =>
      (map.range({}) as [string, IndexedMap][]).flatMap(([key, words]) => {
        const all = words.range({}) as [string, number][];
        const wrong =
          all.length !== words.size() ? [[key, `size ${words.size()} of ${all.length}`] as [string, string]] : [];
        return [
          ...wrong,
          ...all.map(([word, n]): [string, unknown] => [`${key}/${word}`, n < 2000 ? n % 1000 : `${n}`]),
        ];
      }),
  });
  const sub = { subindexed: { sizeTracking: true } };
  const step = (old: Map<string, number>) => new Map([...old].map(([word, n]) => [word, n + 1000]));
  return [before, after(migrated(inner(sub), step, true)), after(inner(sub))];
})();

interface Run {
  readonly env: SimulatedEnv;
  readonly world: World;
  sent: number;
}

async function live({ env }: Run, run: Run, engine: Engine): Promise<void> {
  const untilMs = env.monotonicMs() + 5 + env.random() * 400;
  while (env.monotonicMs() < untilMs) {
    const task = Math.floor(env.random() * tasks);
    const values = Array.from({ length: 1 + Math.floor(env.random() * 4) }, () => {
      run.sent++;
      return `${"x".repeat(Math.floor(env.random() * 12))}${Math.floor(env.random() * 8)}`;
    });
    append(engine, task, values).catch(() => {});
    if (env.random() < 0.4) await env.advance(env.random() * 20);
  }
}

async function check(engine: Engine, version: Version, byWord: boolean): Promise<void> {
  await engine.settled();
  for (let task = 0; task < tasks; task++) {
    const wanted = new Map<string, number>();
    const { endOffset } = engine.partitionInfo(0, task);
    for (let at = 0; at < endOffset; ) {
      for (const bytes of engine.readDepot(0, task, at, endOffset)) {
        const word = decodeValue(bytes) as string;
        const bucket = `b${word.length}${word.at(-1)}`;
        const key = byWord ? `${bucket}/${word}` : bucket;
        wanted.set(key, (wanted.get(key) ?? 0) + 1);
        at++;
      }
    }
    const rows = await new Promise<[string, unknown][]>((resolve, reject) => {
      engine.select({
        pstate: 0,
        task,
        select: (root) => version.read(root.get() as IndexedMap),
        reply: (error, found) => (error === null ? resolve(found as [string, unknown][]) : reject(error)),
      });
    });
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(wanted));
  }
}

async function survive(seed: number, versions: readonly Version[], byWord: boolean): Promise<void> {
  const env = new SimulatedEnv({ seed, onFailure: () => {} });
  const disk = new MemoryDisk({ syncDelay: async () => void (await env.sleep(env.random() * 2)) });
  const run: Run = { env, world: { env, disk, kv: memoryKv({ disk }) }, sent: 0 };
  const open = (version: Version) => env.complete(openHand(run.world, moduleOf(version), { tasks, threads: 2, set }));
  const cut = async (engine: Engine) => {
    disk.powerCut(() => env.random());
    run.world.kv.powerCut(() => env.random());
    engine.abort();
    await env.advance(1);
  };
  const [before, during, after] = versions as [Version, Version, Version];
  let engine = await open(before);
  await live(run, run, engine);
  if (env.random() < 0.5) await cut(engine);
  else await env.complete(engine.close());
  const isDone = () => engine.status().migrations.every(({ done }) => done);
  let lives = 0;
  for (; ; lives++) {
    expect(lives).toBeLessThan(60);
    engine = await open(during);
    await env.complete(check(engine, during, byWord));
    await live(run, run, engine);
    if (isDone()) break;
    await cut(engine);
  }
  await env.complete(check(engine, during, byWord));
  await cut(engine);
  engine = await open(during);
  expect(isDone()).toBe(true);
  await env.complete(engine.close());
  engine = await open(after);
  await env.complete(check(engine, after, byWord));
  await live(run, run, engine);
  await env.complete(check(engine, after, byWord));
  await env.complete(engine.close());
  expect(run.sent).toBeGreaterThan(0);
}

for (let seed = 1; seed <= 12; seed++) {
  test(`numbers become records under power cuts, each once (seed ${seed})`, () => survive(seed, asRecord, false));
  test(`maps become subindexed under power cuts, each once (seed ${seed})`, () => survive(seed, subindexed, true));
}
