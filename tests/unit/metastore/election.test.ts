// Who leads: one at a time, each with a greater epoch, also when sessions are lost and candidates come and go.
import { expect, test } from "bun:test";
import { type Leadership, leaderRecord, standForElection } from "../../../src/metastore/election.ts";
import type { Metastore } from "../../../src/metastore/metastore.ts";
import { MemoryMetastoreServer } from "../../../src/metastore/metastore-memory.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";

const path = "/conductor";
const epochPath = "/conductor-epoch";

class Candidate {
  readonly terms: Leadership[] = [];
  readonly stop = new AbortController();
  readonly session: Metastore;
  readonly done: Promise<void>;
  leading = false;

  constructor(
    env: SimulatedEnv,
    server: MemoryMetastoreServer,
    name: string,
    onLead: (candidate: Candidate) => void = () => {},
  ) {
    this.session = server.session("/r");
    const options = { path, epochPath, record: new TextEncoder().encode(name) };
    this.done = standForElection(
      env,
      this.session,
      options,
      async (leadership) => {
        this.terms.push(leadership);
        this.leading = true;
        onLead(this);
        await new Promise<void>((resolve) =>
          leadership.signal.addEventListener("abort", () => resolve(), { once: true }),
        );
        this.leading = false;
      },
      this.stop.signal,
    );
  }
}

async function until(env: SimulatedEnv, condition: () => boolean): Promise<void> {
  await env.run(env.monotonicMs() + 60_000, condition);
  expect(condition()).toBe(true);
}

test("one candidate leads at a time, and another takes over with a greater epoch when it stops", async () => {
  const env = new SimulatedEnv({ seed: 1 });
  const server = new MemoryMetastoreServer(env);
  const a = new Candidate(env, server, "a");
  await until(env, () => a.leading);
  const b = new Candidate(env, server, "b");
  await env.advance(1_000);
  expect([a.leading, b.leading]).toEqual([true, false]);
  const watcher = server.session("/r");
  expect(new TextDecoder().decode(await leaderRecord(watcher, { path }))).toBe("a");
  a.stop.abort();
  await until(env, () => b.leading);
  await a.done;
  expect(b.terms[0]!.epoch).toBeGreaterThan(a.terms[0]!.epoch);
  // The version is what a leader's multi checks.
  expect((await watcher.get(epochPath))?.version).toBe(b.terms[0]!.epochVersion);
});

test("a leader whose session is lost steps down, and whoever leads then has a new epoch", async () => {
  const env = new SimulatedEnv({ seed: 2 });
  const server = new MemoryMetastoreServer(env);
  const a = new Candidate(env, server, "a");
  await until(env, () => a.leading);
  const b = new Candidate(env, server, "b");
  server.expire(a.session, 500);
  await until(env, () => b.leading && !a.leading);
  expect(a.terms[0]!.signal.aborted).toBe(true);
  server.kill(b.session);
  await until(env, () => a.leading && a.terms.length === 2);
  expect(a.terms[1]!.epoch).toBeGreaterThan(b.terms[0]!.epoch);
});

test("a lone leader whose session is lost leads again with a new epoch", async () => {
  const env = new SimulatedEnv({ seed: 3 });
  const server = new MemoryMetastoreServer(env);
  const a = new Candidate(env, server, "a");
  await until(env, () => a.leading);
  server.expire(a.session, 100);
  await until(env, () => a.terms.length === 2 && a.leading);
  expect(a.terms[1]!.epoch).toBeGreaterThan(a.terms[0]!.epoch);
});

test("epochs grow in the order of leadership through many lost sessions and outages", async () => {
  let terms = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const env = new SimulatedEnv({ seed });
    const server = new MemoryMetastoreServer(env, { requestTimeoutMs: 300 });
    const order: number[] = [];
    const onLead = (candidate: Candidate) => order.push(candidate.terms.at(-1)!.epoch);
    const all = ["a", "b", "c"].map((name) => new Candidate(env, server, name, onLead));
    for (let i = 0; i < 40; i++) {
      await env.advance(env.random() * 400);
      const chosen = all[Math.floor(env.random() * all.length)]!;
      if (env.random() < 0.6) server.expire(chosen.session, env.random() * 200);
      else {
        server.setReachable(false);
        await env.advance(env.random() * 500);
        server.setReachable(true);
      }
    }
    await until(env, () => all.some((candidate) => candidate.leading));
    terms += order.length;
    expect([...order].sort((x, y) => x - y)).toEqual(order);
    expect(new Set(order).size).toBe(order.length);
  }
  expect(terms).toBeGreaterThan(100);
});
