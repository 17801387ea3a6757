// Guards reads at a leader that may have been succeeded without knowing it: answered too early they show what is old, never answered they hang.
import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { decodeReplicaRound, encodeConfirm, encodeConfirmed } from "../../../src/protocol/replication.ts";
import { REPLICA_CONFIRM, REPLICA_CONFIRMED } from "../../../src/protocol/table.ts";
import { ReadGate } from "../../../src/replication/read-gate.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";

function gate(options: { confirm?: () => Promise<number>; others?: number[] } = {}) {
  const env = new SimulatedEnv({ seed: 1 });
  const rounds: number[] = [];
  const confirm = options.confirm ?? (async () => 0);
  const others = options.others ?? [1, 2];
  const reads = new ReadGate({ env, group: 0, confirm, others: () => others, ask: (round) => rounds.push(round) });
  const answers: string[] = [];
  const read = (name: string) =>
    reads.wait((error: RamaError | null) => answers.push(`${name} ${error?.code ?? "ok"}`));
  return { env, reads, rounds, answers, read };
}

test("a follower's gate is open, and a leader's while the metastore's word is fresh; it is asked again in the background", async () => {
  let asked = 0;
  const { env, reads } = gate({
    confirm: async () => {
      asked++;
      return 1_000;
    },
  });
  expect(reads.open).toBe(true);
  reads.lead();
  expect(reads.open).toBe(false);
  await env.advance(1);
  expect(reads.open).toBe(true);
  await env.advance(400);
  expect(reads.open).toBe(true);
  expect(asked).toBe(1);
  await env.advance(200);
  expect(reads.open).toBe(true);
  await env.advance(900);
  expect(reads.open).toBe(true);
  expect(asked).toBe(3);
  // Nobody reads: nobody asks. Then the next read has to wait.
  await env.advance(60_000);
  expect(asked).toBe(3);
  expect(reads.open).toBe(false);
});

test("without a lease reads wait until every rival has answered a question that was asked after them", async () => {
  const { env, reads, rounds, answers, read } = gate();
  reads.lead();
  await env.advance(1);
  expect(reads.open).toBe(false);
  read("a");
  reads.answered(1, 1);
  read("b");
  expect(answers).toEqual([]);
  reads.answered(2, 1);
  expect(answers).toEqual(["a ok"]);
  expect(rounds).toEqual([1, 2]);
  reads.answered(1, 1);
  reads.answered(2, 2);
  expect(answers).toEqual(["a ok"]);
  reads.look();
  expect(rounds).toEqual([1, 2, 2]);
  reads.answered(1, 2);
  expect(answers).toEqual(["a ok", "b ok"]);
});

test("a leader that nobody could have succeeded answers at once", () => {
  const { reads, answers, read } = gate({ others: [] });
  reads.lead();
  read("a");
  expect(answers).toEqual(["a ok"]);
});

test("a lease that comes lets all go that wait, in order", async () => {
  const { env, reads, answers, read } = gate({ confirm: async () => 1_000 });
  reads.lead();
  read("a");
  read("b");
  await env.advance(1);
  expect(answers).toEqual(["a ok", "b ok"]);
});

test("what the metastore says while a successor is being written is no lease", async () => {
  let say: (leaseMs: number) => void = () => {};
  const { env, reads } = gate({
    confirm: () =>
      new Promise((resolve) => {
        say = resolve;
      }),
  });
  reads.lead();
  await env.advance(1);
  reads.suspend();
  say(1_000);
  await env.advance(1);
  expect(reads.open).toBe(false);
  reads.resume();
  expect(reads.open).toBe(false);
  await env.advance(1);
  say(1_000);
  await env.advance(1);
  expect(reads.open).toBe(true);
});

test("reads that nobody can confirm, and those at a leader that stops, are told to look elsewhere", async () => {
  const { env, reads, answers, read } = gate();
  reads.lead();
  read("a");
  await env.advance(1_500);
  read("b");
  reads.look();
  expect(answers).toEqual([]);
  await env.advance(1_000);
  reads.look();
  expect(answers).toEqual(["a MOVED"]);
  reads.stop();
  expect(answers).toEqual(["a MOVED", "b MOVED"]);
});

test("question and answer carry epoch and round", () => {
  const asked = { epoch: 7, round: 2 ** 40 };
  expect(decodeReplicaRound(encodeConfirm(asked))).toEqual(asked);
  expect(decodeReplicaRound(encodeConfirmed(asked))).toEqual(asked);
  expect([encodeConfirm(asked)[0], encodeConfirmed(asked)[0]]).toEqual([REPLICA_CONFIRM, REPLICA_CONFIRMED]);
});
