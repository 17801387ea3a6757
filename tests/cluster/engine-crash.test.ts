// Power cuts at random moments, from seeds: whatever was acknowledged is there once and in order, and every PState equals a plain fold over the depots,
// also where records hopped between groups of the engine. Time is simulated; disk and kv lose what was not synced.
import { expect, test } from "bun:test";
import { decodeValue } from "../../src/base/value-codec.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import {
  append,
  count,
  entries,
  handModule,
  localCount,
  openHand,
  recordsOf,
  stage,
  wordCount,
  type World,
} from "./engine-harness.ts";

const tasks = 4;

const pad = "y".repeat(30);
const filler = "x".repeat(500);

interface Run {
  readonly env: SimulatedEnv;
  readonly world: World;
  readonly random: () => number;
  readonly acked: Map<string, number>;
  sent: number;
}

function start(seed: number): Run {
  const env = new SimulatedEnv({ seed, onFailure: () => {} });
  return { env, world: machine(env), random: () => env.random(), acked: new Map(), sent: 0 };
}

function machine(env: SimulatedEnv): World {
  const disk = new MemoryDisk({
    syncDelay: async () => {
      await env.sleep(env.random() * 2);
    },
  });
  return { env, disk, kv: memoryKv({ disk }) };
}

/** Appends for a while; the power goes in the middle of it. */
async function live(run: Run, module: CompiledModule, engine: Engine): Promise<void> {
  const { env, random } = run;
  const untilMs = env.monotonicMs() + 1 + random() * 100;
  while (env.monotonicMs() < untilMs) {
    const task = Math.floor(random() * tasks);
    // Large commits are synced beside the thread, so that the power can go while they are on their way.
    const large = random() < 0.5;
    const values = Array.from({ length: large ? 40 : 1 + Math.floor(random() * 4) }, () => {
      return `r${run.sent++} w${Math.floor(random() * 20)} all${large ? ` ${filler}` : ""}`;
    });
    append(engine, task, values).then(
      ({ offset }) => {
        for (const [i, value] of values.entries()) run.acked.set(`${task}/${value}`, offset + i);
      },
      () => {},
    );
    if (random() < 0.3) await env.advance(random() * 3);
  }
  expect(module.definition.name).toBe("HandModule");
}

function readAll(engine: Engine, task: number): string[] {
  const { startOffset, endOffset } = engine.partitionInfo(0, task);
  const records: string[] = [];
  while (startOffset + records.length < endOffset) {
    for (const bytes of engine.readDepot(0, task, startOffset + records.length, endOffset))
      records.push(decodeValue(bytes) as string);
  }
  return records;
}

async function check(run: Run, engine: Engine, fold: (records: string[][]) => Record<string, number>): Promise<void> {
  const depots = Array.from({ length: tasks }, (_, task) => readAll(engine, task));
  for (const [key, offset] of run.acked) {
    const [task, value] = [Number(key[0]), key.slice(2)];
    expect(depots[task]![offset]).toBe(value);
  }
  for (const records of depots) expect(new Set(records).size).toBe(records.length);
  expect(difference(await run.env.complete(everything(engine)), fold(depots))).toEqual({});
}

/** Keys with [got, wanted]; short, so that a failure can be read. */
function difference(got: Record<string, number>, wanted: Record<string, number>): Record<string, unknown> {
  const keys = [...new Set([...Object.keys(got), ...Object.keys(wanted)])].filter((key) => got[key] !== wanted[key]);
  return Object.fromEntries(keys.slice(0, 10).map((key) => [key.slice(0, 20), [got[key], wanted[key], keys.length]]));
}

async function everything(engine: Engine): Promise<Record<string, number>> {
  await engine.settled();
  const all: Record<string, number> = {};
  for (let task = 0; task < tasks; task++) {
    await new Promise<void>((resolve, reject) => {
      engine.select({
        pstate: 0,
        task,
        select: (root) => (root.get() as any).range({}),
        reply: (error, rows) => {
          if (error !== null) return reject(error);
          for (const [word, n] of rows as [string, number][]) all[word] = (all[word] ?? 0) + n;
          resolve();
        },
      });
    });
  }
  return all;
}

const wholeRecords = (depots: string[][]) => Object.fromEntries(depots.flat().map((record) => [record, 1]));
const words = (depots: string[][]) => {
  const all: Record<string, number> = {};
  for (const word of depots.flat().flatMap((record) => record.split(" "))) all[word] = (all[word] ?? 0) + 1;
  return all;
};

async function survive(
  seed: number,
  module: () => CompiledModule,
  fold: (depots: string[][]) => Record<string, number>,
): Promise<void> {
  const run = start(seed);
  const { env, world, random } = run;
  for (let life = 0; life < 4; life++) {
    const engine = await env.complete(openHand(world, module(), { tasks, threads: 2 }));
    await check(run, engine, fold);
    await live(run, module(), engine);
    world.disk.powerCut(random);
    world.kv.powerCut(random);
    engine.abort();
    await env.advance(1);
  }
  const engine = await env.complete(openHand(world, module(), { tasks, threads: 2 }));
  await check(run, engine, fold);
  expect(run.acked.size).toBeGreaterThan(0);
  await env.complete(engine.close());
}

for (let seed = 1; seed <= 15; seed++) {
  test(`counting records on their task survives power cuts (seed ${seed})`, () =>
    survive(seed, localCount, wholeRecords));
  test(`counting words that hop survives power cuts (seed ${seed})`, () => survive(1000 + seed, wordCount, words));
}

/** Two engines on machines of their own; the power goes on one or on both. */
async function surviveTwo(seed: number, module: () => CompiledModule): Promise<void> {
  const run = start(seed);
  const { env, random } = run;
  const machines = [run.world, machine(env)];
  const engines: (Engine | undefined)[] = [undefined, undefined];
  const router = {
    send: (task: number, frame: Uint8Array) => {
      env.setTimer(random() * 2, () => engines[task % 2]?.deliver(task, frame));
    },
  };
  const set = { "topology.stream.timeout.seconds": 0.3, "topology.stream.retry.backoff.millis": 5 };
  const openOne = async (i: number) => {
    engines[i] = await openHand(machines[i]!, module(), { tasks, threads: 2, groups: [i], router, set });
  };
  for (let life = 0; life < 4; life++) {
    for (const i of [0, 1]) if (engines[i] === undefined) await env.complete(openOne(i));
    for (let step = 0; step < 30; step++) {
      const task = Math.floor(random() * tasks);
      const values = Array.from(
        { length: 1 + Math.floor(random() * 5) },
        () => `r${run.sent++} w${Math.floor(random() * 9)} all`,
      );
      append(engines[task % 2]!, task, values).then(
        ({ offset }) => {
          for (const [i, value] of values.entries()) run.acked.set(`${task}/${value}`, offset + i);
        },
        () => {},
      );
      if (random() < 0.5) await env.advance(random() * 3);
    }
    for (const i of random() < 0.3 ? [0, 1] : [random() < 0.5 ? 0 : 1]) {
      machines[i]!.disk.powerCut(random);
      machines[i]!.kv.powerCut(random);
      engines[i]!.abort();
      engines[i] = undefined;
    }
    if (random() < 0.5) await env.advance(random() * 500);
  }
  for (const i of [0, 1]) if (engines[i] === undefined) await env.complete(openOne(i));
  const executing = () => engines.some((engine) => engine!.status().topologies[0]!.executing > 0);
  for (let waited = 0; waited === 0 || executing(); waited += 100) {
    expect(waited).toBeLessThan(60_000);
    await env.complete(Promise.all(engines.map((engine) => engine!.settled())));
    await env.advance(100);
  }
  const depots = Array.from({ length: tasks }, (_, task) => readAll(engines[task % 2]!, task));
  for (const [key, offset] of run.acked) expect(depots[Number(key[0])]![offset]).toBe(key.slice(2));
  const counts: Record<string, number> = {};
  for (const i of [0, 1]) {
    for (const task of [i, i + 2]) Object.assign(counts, await env.complete(entries(engines[i]!, task)));
  }
  expect(difference(counts, words(depots))).toEqual({});
  for (const engine of engines) await env.complete(engine!.close());
}

for (let seed = 1; seed <= 15; seed++) {
  test(
    `words that hop to another engine are counted once although either is killed (seed ${seed})`,
    () => surviveTwo(seed, wordCount),
    20_000,
  );
}

test("a turn over two groups that was cut in the middle leaves nothing of itself", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const run = start(seed);
    const { env, world, random } = run;
    const first = await env.complete(openHand(world, wordCount(), { tasks, threads: 2 }));
    const sentences = Array.from(
      { length: 60 },
      (_, i) => `r${i} w${i % 9} ${Array.from({ length: 8 }, (_, k) => `${k}.${i}${pad}`).join(" ")}`,
    );
    append(first, seed % tasks, sentences).catch(() => {});
    await env.advance(0.01);
    world.disk.powerCut(random);
    world.kv.powerCut(random);
    first.abort();
    for (let life = 0; life < 2; life++) {
      const engine = await env.complete(openHand(world, wordCount(), { tasks, threads: 2 }));
      await check(run, engine, words);
      await env.complete(append(engine, 1, [`later ${life}`]));
      if (life === 1) await env.complete(engine.close());
      else engine.abort();
      world.disk.powerCut(random);
      world.kv.powerCut(random);
    }
  }
});

test("records whose processing waits run again after a crash, and none is lost", async () => {
  const run = start(77);
  const { env, world, random } = run;
  const module = (answer: boolean) =>
    handModule({
      depots: [{}],
      pstates: [{ topology: 0 }],
      topologies: [
        {
          name: "slow",
          sources: [{ on: 0 }],
          stages: [
            stage("ask", (x, [word]) => x.awaitPromise(1, [word], answer ? Promise.resolve() : new Promise(() => {}))),
            stage("count", (x, [word]) => count(x, 0, word)),
          ],
        },
      ],
    });
  const first = await env.complete(openHand(world, module(false), { tasks, threads: 2 }));
  await env.complete(append(first, 0, ["a", "b", "a"], { level: "appendAck" }));
  await env.advance(2000);
  world.disk.powerCut(random);
  world.kv.powerCut(random);
  first.abort();
  const second = await env.complete(openHand(world, module(true), { tasks, threads: 2 }));
  expect(await env.complete(everything(second))).toEqual({ a: 2, b: 1 });
  expect(second.recovered.entries).toBeGreaterThan(0);
  await env.complete(second.close());
});

test("an append sent again after a crash lands once", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { env, world, random } = start(seed);
    const first = await env.complete(openHand(world, localCount(), { tasks, threads: 2 }));
    const token = { client: new Uint8Array(16).fill(1), seq: 0 };
    first.append({ depot: 0, task: 0, token, records: recordsOf(["x"]), count: 1, level: "ack", reply: () => {} });
    await env.advance(random() * 3);
    world.disk.powerCut(random);
    world.kv.powerCut(random);
    first.abort();
    const second = await env.complete(openHand(world, localCount(), { tasks, threads: 2 }));
    await env.complete(append(second, 0, ["x"], { token }));
    expect(readAll(second, 0)).toEqual(["x"]);
    expect(await env.complete(everything(second))).toEqual({ x: 1 });
    await env.complete(second.close());
  }
});
