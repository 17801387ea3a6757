// A depot of a replicated module as a source of another one: what a feed is told is committed, comes as it is committed, and goes on with the next leader.
import { expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import { decodeValue } from "../../src/base/value-codec.ts";
import { DepotFeed } from "../../src/client/depot-feed.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";
import { ReplicatedModule } from "../../src/testing/replicated-module.ts";
import { waitFor } from "../../src/testing/wait-for.ts";
import { localCount } from "./engine-harness.ts";

test("a feed follows the leaders: every acknowledged record comes once, in order, without waiting for its time to be up", async () => {
  const failures: unknown[] = [];
  const world = new MemoryWorld({ onFailure: (name, error) => failures.push({ name, error }) });
  const replicated = await ReplicatedModule.launch({
    world,
    module: localCount(),
    tasks: 1,
    threads: 1,
    workers: 1,
    replicationFactor: 3,
    hosts: ["n0", "n1", "n2"],
    settings: [{ scope: "module", object: "", name: "replication.max.time.lag.millis", value: 500 } as const],
    onBroken: (host, error) => failures.push({ host, error }),
  });
  const core = replicated.client();
  const { env } = world;
  const feed = new DepotFeed(core.context, "HandModule", "*depot0", 0, "test");
  const told: string[] = [];
  let stop = false;
  const reading = (async () => {
    for (let next = 0; !stop; ) {
      const { nextOffset, records } = await feed.fetch(next);
      expect(records.map(({ offset }) => offset)).toEqual(records.map((_, i) => next + i));
      for (const { bytes, start, end } of records) told.push(decodeValue(bytes, start, end) as string);
      next = nextOffset;
    }
  })();
  const acked: string[] = [];
  const append = async (text: string) => {
    for (;;) {
      try {
        await core.depot("HandModule", "*depot0").append(text, "appendAck");
        acked.push(text);
        return;
      } catch (error) {
        if (!(error instanceof RamaError && error.code === "IN_SYNC_TOO_SMALL")) throw error;
        await env.sleep(10);
      }
    }
  };
  const until = (what: string, condition: () => boolean, timeoutMs = 50_000) =>
    waitFor(condition, { env, timeoutMs, what, present: () => `${told.length} of ${acked.length} are told` });
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) await append(`${round} ${i}`);
    // A fetch that waits for its time would take 5 s.
    await until("what is acknowledged", () => told.length === acked.length, 3_000);
    const victim = replicated.leaderOf(0)!;
    replicated.kill(victim, { powerCut: round === 1 });
    await append(`${round} after`);
    await until("what the next leader has", () => told.length === acked.length);
    await replicated.start(victim);
    await until("the killed worker to be in sync again", () => {
      const leader = replicated.leaderOf(0);
      return leader !== undefined && replicated.statusOf(leader, 0)?.inSync.length === 3;
    });
  }
  expect(told).toEqual(acked);
  stop = true;
  await append("last");
  await reading;
  await core.close();
  await replicated.close();
  expect(failures).toEqual([]);
}, 60_000);
