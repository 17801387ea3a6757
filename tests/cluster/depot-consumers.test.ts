// Topologies of other modules that read a depot, over restarts of its owner: what a consumer that is down may still ask for is not trimmed away meanwhile.
import { expect, test } from "bun:test";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, handModule, openHand, type World } from "./engine-harness.ts";

const module = () => handModule({ depots: [{}], pstates: [], topologies: [] });
const set = { "depot.trim.interval.millis": 100, "depot.max.entries.per.partition": 5 };
const day = 24 * 3600 * 1000;

function start() {
  const env = new SimulatedEnv({ seed: 1, onFailure: () => {} });
  const disk = new MemoryDisk();
  const world: World = { env, disk, kv: memoryKv({ disk }) };
  const open = (more = {}) =>
    env.complete(openHand(world, module(), { tasks: 2, threads: 1, set: { ...set, ...more } }));
  const fill = async (engine: Engine, count: number) => {
    for (let i = 0; i < count; i++) await env.complete(append(engine, 0, [i]));
  };
  /** As a source of another module asks. */
  const fetch = (engine: Engine, consumer: string, neededFrom: number) => {
    const reply = () => {};
    engine.fetchDepot(0, 0, { from: neededFrom, to: 1000, bytes: 1, waitMs: 0, consumer, neededFrom, reply });
  };
  const startOf = (engine: Engine) => engine.partitionInfo(0, 0).startOffset;
  return { env, world, open, fill, fetch, startOf };
}

test("a consumer that does not come back at once after its owner's restart is waited for", async () => {
  const { env, open, fill, fetch, startOf } = start();
  const first = await open({ "depot.trim.interval.millis": 1e9 });
  await fill(first, 40);
  fetch(first, "theirs micro", 3);
  await env.advance(50);
  await env.complete(first.close());
  const second = await open();
  await fill(second, 40);
  await env.advance(1000);
  expect(startOf(second)).toBe(3);
  // It has read on meanwhile.
  fetch(second, "theirs micro", 60);
  await env.advance(1000);
  expect(startOf(second)).toBe(60);
  await env.complete(second.close());
});

test("after a power cut what is noted stands in the log before any trimming", async () => {
  const { env, world, open, fill, fetch, startOf } = start();
  const first = await open();
  await fill(first, 40);
  fetch(first, "theirs micro", 30);
  await env.advance(1000);
  expect(startOf(first)).toBe(30);
  world.disk.powerCut(() => 0.5);
  world.kv.powerCut(() => 0.5);
  first.abort();
  const second = await open();
  await fill(second, 40);
  await env.advance(1000);
  expect(startOf(second)).toBe(30);
  await env.complete(second.close());
});

test("a consumer that has not been heard of for a day holds nothing back any more, over restarts too", async () => {
  const { env, open, fill, fetch, startOf } = start();
  const first = await open();
  await fill(first, 40);
  fetch(first, "theirs micro", 3);
  await env.advance(1000);
  await env.complete(first.close());
  const second = await open({ "depot.trim.interval.millis": day / 2 });
  await env.advance(day);
  expect(startOf(second)).toBe(3);
  await env.advance(day);
  expect(startOf(second)).toBeGreaterThan(30);
  await env.complete(second.close());
  const third = await open();
  await fill(third, 40);
  await env.advance(1000);
  expect(startOf(third)).toBeGreaterThan(70);
  await env.complete(third.close());
});
