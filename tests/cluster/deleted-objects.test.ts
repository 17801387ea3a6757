// What an update deletes is gone from the disk: files of the depot, keys of the PState, tokens, names; also when the power goes in the middle, and whatever the log still
// says of it. A new object of the same name begins empty.
import { expect, test } from "bun:test";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import type { Engine } from "../../src/task/engine.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import { append, count, entries, handModule, openHand, stage, type World } from "./engine-harness.ts";

const tasks = 4;

/** Two depots, each counted into a PState of its own; `with` false: the second pair is not there. */
const moduleOf = (withSecond: boolean): CompiledModule => {
  const names = withSecond ? ["kept", "gone"] : ["kept"];
  return handModule({
    depots: names.map((name) => ({ name: `*${name}` })),
    pstates: names.map((name, topology) => ({ name: `$$${name}`, topology })),
    topologies: names.map((name, on) => ({
      name,
      sources: [{ on }],
      stages: [stage("count", (x, [word]) => count(x, on, word))],
    })),
  });
};

const open = (world: World, withSecond: boolean, deletedObjects?: string[]) =>
  openHand(world, moduleOf(withSecond), {
    tasks,
    ...(deletedObjects === undefined ? {} : { more: { deletedObjects } }),
  });

async function fill(engine: Engine): Promise<void> {
  const client = new Uint8Array(16).fill(3);
  for (let i = 0; i < 40; i++) {
    for (const depot of [0, 1])
      await append(engine, i % tasks, [`w${i}`, `v${i}`], { depot, token: { client, seq: 2 * i } });
  }
}

/** Everything in the Kv and on the disk that belongs to depot 1 or PState number `pstate`. */
async function leftovers(world: World, pstate: number): Promise<string[]> {
  const kv = await world.kv.open("/engine/kv");
  const all = await kv.range({ gte: Uint8Array.of(0), lt: Uint8Array.of(0xff) });
  await kv.close();
  const found = all
    .map(({ key }) => Buffer.from(key).toString("hex"))
    .filter((key) => key.startsWith(`50${pstate.toString(16).padStart(4, "0")}`) || key.startsWith("44010001"));
  const files = world.disk.list("/engine/depots").filter((name) => name === "1");
  return [...found, ...files];
}

const pstateNumber = 1;

test("data of removed depots and PStates is deleted, that of others stays", async () => {
  const disk = new MemoryDisk();
  const env = new SimulatedEnv({ seed: 1, onFailure: () => {} });
  const world = { env, disk, kv: memoryKv({ disk }) };
  let engine = await env.complete(open(world, true));
  await env.complete(fill(engine));
  await env.complete(engine.close());
  expect((await leftovers(world, pstateNumber)).length).toBeGreaterThan(10);
  engine = await env.complete(open(world, false, ["*gone", "$$gone"]));
  await env.advance(1000);
  expect(Object.keys(await env.complete(entries(engine, 1))).length).toBe(20);
  expect(engine.partitionInfo(0, 1)).toEqual({ startOffset: 0, endOffset: 20 });
  await env.complete(engine.close());
  expect(await leftovers(world, pstateNumber)).toEqual([]);
  engine = await env.complete(open(world, true));
  expect(engine.partitionInfo(1, 1)).toEqual({ startOffset: 0, endOffset: 0 });
  expect(await env.complete(entries(engine, 1, 1))).toEqual({});
  await env.complete(append(engine, 1, ["again"], { depot: 1 }));
  expect(await env.complete(entries(engine, 1, 1))).toEqual({ again: 1 });
  await env.complete(engine.close());
});

for (let seed = 1; seed <= 8; seed++) {
  test(`deleting goes on after a power cut, with entries of the removed objects in the log (seed ${seed})`, async () => {
    const env = new SimulatedEnv({ seed, onFailure: () => {} });
    const disk = new MemoryDisk({ syncDelay: async () => void (await env.sleep(env.random() * 2)) });
    const world = { env, disk, kv: memoryKv({ disk }) };
    const cut = async (engine: Engine) => {
      disk.powerCut(() => env.random());
      world.kv.powerCut(() => env.random());
      engine.abort();
      await env.advance(1);
    };
    let engine = await env.complete(open(world, true));
    await env.complete(fill(engine));
    await env.advance(env.random() * 1500);
    if (env.random() < 0.5) await cut(engine);
    else await env.complete(engine.close());
    for (let life = 0; life < 3; life++) {
      engine = await env.complete(open(world, false, ["*gone", "$$gone"]));
      await env.advance(env.random() * 20);
      await env.complete(append(engine, 1, [`life${life}`]));
      await cut(engine);
    }
    engine = await env.complete(open(world, false, ["*gone", "$$gone"]));
    await env.advance(1000);
    await env.complete(engine.settled());
    expect(Object.keys(await env.complete(entries(engine, 1))).length).toBe(23);
    await env.complete(engine.close());
    expect(await leftovers(world, pstateNumber)).toEqual([]);
  });
}
