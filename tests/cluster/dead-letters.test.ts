// Dead letters of stream sources: a record that has failed as often as its source allows is set aside with its error, listed, run again or dropped; and a power cut at
// any moment leaves each record either processed or set aside. Guards the turn that holds both the letter and the progress.
import { expect, test } from "bun:test";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { allEntries, append, count, handModule, openHand, realWorld, stage, until } from "./engine-harness.ts";

/** Words with a `!` fail while `bad` says so. */
function picky(bad: { now: boolean }, options: object): CompiledModule {
  return handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0, ...options }],
        stages: [
          stage("count", (x, [word]) => {
            count(x, 0, word);
            if (bad.now && word.endsWith("!")) throw new Error(`bad word ${word}`);
          }),
        ],
      },
    ],
  });
}

const quick = { "topology.stream.retry.backoff.millis": 1, "topology.stream.retry.backoff.max.millis": 2 };

const statusOf = (engine: Engine) => engine.status().topologies[0]!;

for (const retry of ["individual", "allAfter"] as const) {
  test(`a record that fails three times is set aside, the others go on, retry ${retry}`, async () => {
    const world = realWorld();
    const bad = { now: true };
    const module = picky(bad, { retry, deadLetterAfter: 3 });
    let engine = await openHand(world, module, { set: quick });
    await append(engine, 1, ["a", "b!", "c"], { level: "appendAck" });
    await until("the record is set aside", () => statusOf(engine).deadLetters === 1);
    await append(engine, 1, ["d"]);
    await until("the rest is processed", async () => Object.keys(await allEntries(engine)).length === 3);
    const [letter] = engine.deadLetters();
    expect(letter).toMatchObject({ topology: "counts", depot: "*depot0", partition: 1, offset: 1, failures: 3 });
    expect(letter!.error).toContain("bad word b!");
    expect(statusOf(engine)).toMatchObject({ processed: 4, blocked: null });
    // It stays over a restart, is refused nothing by it, and can be run again.
    await engine.close();
    engine = await openHand(world, module, { set: quick });
    expect(engine.deadLetters()).toHaveLength(1);
    expect(await engine.changeDeadLetters("retry", {})).toBe(1);
    await until("it has failed again", () => engine.deadLetters()[0]?.retrying === false);
    expect(await allEntries(engine)).toEqual({ a: 1, c: 1, d: 1 });
    bad.now = false;
    expect(
      await engine.changeDeadLetters("retry", { topology: "counts", depot: "*depot0", partition: 1, offset: 1 }),
    ).toBe(1);
    await until("it is processed", () => engine.deadLetters().length === 0);
    expect(await allEntries(engine)).toEqual({ a: 1, "b!": 1, c: 1, d: 1 });
    expect(await engine.changeDeadLetters("retry", {})).toBe(0);
    await engine.close();
  });
}

test("an append waits for the outcome and fails when its record is set aside; a duplicate is told the same", async () => {
  const world = realWorld();
  const module = picky({ now: true }, { deadLetterAfter: 2 });
  const set = { ...quick, "depot.ack.failure.on.any.streaming.failure": false };
  const engine = await openHand(world, module, { set });
  const token = { client: new Uint8Array(16), seq: 1 };
  const { failures } = await append(engine, 0, ["x!"], { token });
  expect(failures?.get(0)).toMatchObject({ code: "PROCESSING_FAILED" });
  const again = await append(engine, 0, ["x!"], { token });
  expect(again.failures?.get(0)).toMatchObject({ code: "PROCESSING_FAILED" });
  expect(await engine.changeDeadLetters("drop", { partition: 3 })).toBe(0);
  expect(await engine.changeDeadLetters("drop", { partition: 0 })).toBe(1);
  expect(engine.deadLetters()).toEqual([]);
  expect(await allEntries(engine)).toEqual({});
  await engine.close();
});

test("retryNone with dead letters keeps what would be lost", async () => {
  const engine = await openHand(realWorld(), picky({ now: true }, { retry: "none", deadLetterAfter: 5 }));
  await append(engine, 0, ["x!", "y"], { level: "appendAck" });
  await until("it is set aside", () => engine.deadLetters().length === 1);
  expect(engine.deadLetters()[0]).toMatchObject({ offset: 0, failures: 1 });
  await engine.close();
});

test("without the option nothing is set aside, and the status names the record that fails", async () => {
  const bad = { now: true };
  const engine = await openHand(realWorld(), picky(bad, { retry: "allAfter" }), { set: quick });
  await append(engine, 2, ["a", "b!", "c"], { level: "appendAck" });
  await until("it failed several times", () => (statusOf(engine).blocked?.failures ?? 0) > 5);
  expect(statusOf(engine)).toMatchObject({
    deadLetters: 0,
    blocked: { depot: "*depot0", partition: 2, offset: 1 },
  });
  expect(statusOf(engine).blocked!.error).toContain("bad word b!");
  bad.now = false;
  await until("all are processed", () => statusOf(engine).processed === 3);
  expect(statusOf(engine).blocked).toBeNull();
  await engine.close();
});

for (let seed = 1; seed <= 12; seed++) {
  test(`over power cuts each record is either processed once or set aside once (seed ${seed})`, async () => {
    const env = new SimulatedEnv({ seed, onFailure: () => {} });
    const disk = new MemoryDisk({ syncDelay: async () => void (await env.sleep(env.random() * 2)) });
    const world = { env, disk, kv: memoryKv({ disk }) };
    const bad = { now: true };
    const module = picky(bad, { retry: seed % 3 === 0 ? "allAfter" : "individual", deadLetterAfter: 1 + (seed % 3) });
    const sent: string[] = [];
    const check = async (engine: Engine, done: boolean) => {
      const ends = [0, 1, 2, 3].map((task) => engine.partitionInfo(0, task).endOffset);
      const stored = ends.reduce((sum, end) => sum + end, 0);
      for (let waited = 0; ; waited += 20) {
        if (waited > 60_000) throw new Error("not all records come to an end");
        const { processed, executing } = statusOf(engine);
        if (processed === stored && executing === 0 && engine.deadLetters().every(({ retrying }) => !retrying)) break;
        await env.advance(20);
      }
      const counted = await env.complete(allEntries(engine));
      const aside = engine.deadLetters().length;
      expect(Object.values(counted).every((n) => n === 1)).toBe(true);
      expect(Object.keys(counted).length + aside).toBe(stored);
      if (done) expect(aside).toBe(0);
    };
    let engine: Engine | undefined;
    for (let life = 0; life < 6; life++) {
      engine = await env.complete(openHand(world, module, { set: quick }));
      if (env.random() < 0.4) await check(engine, false);
      for (let step = 0; step < 20; step++) {
        const word = `w${sent.length}${env.random() < 0.4 ? "!" : ""}`;
        sent.push(word);
        append(engine, Math.floor(env.random() * 4), [word], { level: "appendAck" }).catch(() => {});
        await env.advance(env.random() * 4);
        if (env.random() < 0.15) {
          bad.now = env.random() < 0.6;
          engine.changeDeadLetters("retry", { partition: Math.floor(env.random() * 4) });
        }
      }
      bad.now = true;
      disk.powerCut(() => env.random());
      world.kv.powerCut(() => env.random());
      engine.abort();
    }
    engine = await env.complete(openHand(world, module, { set: quick }));
    await check(engine, false);
    bad.now = false;
    await env.complete(engine.changeDeadLetters("retry", {}));
    await check(engine, true);
    await env.complete(engine.close());
  });
}
