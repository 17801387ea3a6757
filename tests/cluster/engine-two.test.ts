// Two engines of one module: hops between them wait for their cause to be durable, trees end over both, a lost frame is found by the timeout.
import { afterEach, expect, test } from "bun:test";
import { taskOf } from "../../src/base/hash.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, count, entries, handModule, openHand, realWorld, stage, until, wordCount } from "./engine-harness.ts";

const open: Engine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

async function two(module: CompiledModule, lose: (task: number, frame: Uint8Array) => boolean = () => false, set = {}) {
  const world = realWorld();
  const engines: Engine[] = [];
  const router = {
    send: (task: number, frame: Uint8Array) => {
      if (!lose(task, frame)) setImmediate(() => engines[task % 2]!.deliver(task, frame));
    },
  };
  for (const group of [0, 1])
    engines.push(await openHand(world, module, { groups: [group], router, dir: `/engine${group}`, set }));
  open.push(...engines);
  return engines;
}

test("an ACK append is answered when words are counted on the other engine", async () => {
  const engines = await two(wordCount());
  const sentences = Array.from({ length: 50 }, (_, i) => `w${i % 7} w${i % 11} all`);
  await append(engines[0]!, 0, sentences);
  const expected = new Map<string, number>();
  for (const word of sentences.flatMap((sentence) => sentence.split(" ")))
    expected.set(word, (expected.get(word) ?? 0) + 1);
  for (const [word, times] of expected) {
    const task = taskOf(word, 4);
    expect((await entries(engines[task % 2]!, task))[word]).toBe(times);
  }
  expect(engines[0]!.status().topologies[0]).toMatchObject({ processed: 50, executing: 0 });
});

test("ack returns and failures come home", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      {
        name: "there",
        sources: [{ on: 0, retry: "none" }],
        stages: [
          stage("go", (x, [n]) => x.send(1, 1, [n])),
          stage("there", (x, [n]) => {
            x.at = 1;
            if (n === 2) throw new Error("two");
            x.send(2, 2, [n]);
            x.send(2, 3, [n]);
          }),
          stage("back", (x, [n]) => x.ackReturn(n * 10 + x.taskId)),
        ],
      },
    ],
  });
  const engines = await two(module);
  const { returns, failures } = await append(engines[0]!, 0, [1, 2]);
  expect([12, 13]).toContain(returns![0]!["there"] as number);
  expect(failures!.get(1)!.message).toBe("there at hand.ts:11: *depot0 partition 0 offset 1: two");
});

test("what is lost on the way is found by the timeout and runs again", async () => {
  let losing = true;
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "hop",
        sources: [{ on: 0 }],
        stages: [stage("go", (x, [word]) => x.send(1, 1, [word])), stage("count", (x, [word]) => count(x, 0, word))],
      },
    ],
  });
  const set = { "topology.stream.timeout.seconds": 0.01, "topology.stream.retry.backoff.millis": 1 };
  const engines = await two(module, () => losing, set);
  const { failures } = await append(engines[0]!, 0, ["x"]);
  expect(failures!.get(0)!.message).toContain("did not end within");
  losing = false;
  await until("counted", async () => (await entries(engines[1]!, 1))["x"] === 1);
});

test("when the other engine has lost something, records run again at once and their appends do not fail", async () => {
  let losing = true;
  const engines = await two(wordCount(), () => losing, { "topology.stream.retry.backoff.millis": 1 });
  const appended = append(engines[0]!, 0, ["a b c d e f g h"]);
  await until("it runs", () => engines[0]!.status().topologies[0]!.executing === 1);
  losing = false;
  engines[0]!.peerLost();
  expect((await appended).failures).toBeNull();
  const all: Record<string, unknown> = {};
  for (let task = 0; task < 4; task++) Object.assign(all, await entries(engines[task % 2]!, task));
  expect(all).toEqual(Object.fromEntries([..."abcdefgh"].map((word) => [word, 1])));
});

test("a dead letter that failed on the other engine is processed there when it is run again, long after the records behind it", async () => {
  const bad = { now: true };
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "hop",
        sources: [{ on: 0, deadLetterAfter: 2 }],
        stages: [
          stage("go", (x, [word]) => x.send(1, 1, [word])),
          stage("count", (x, [word]) => {
            count(x, 0, word);
            if (bad.now && word === "x") throw new Error("bad");
          }),
        ],
      },
    ],
  });
  const engines = await two(module, undefined, { "topology.stream.retry.backoff.millis": 1 });
  await append(engines[0]!, 0, ["x"], { level: "appendAck" });
  await until("it is set aside", () => engines[0]!.deadLetters().length === 1);
  // The other engine hears that the source has gone on.
  for (let i = 0; i < 20; i++) await append(engines[0]!, 0, ["y"]);
  bad.now = false;
  expect(await engines[0]!.changeDeadLetters("retry", {})).toBe(1);
  await until("it is processed", () => engines[0]!.deadLetters().length === 0);
  expect(await entries(engines[1]!, 1)).toEqual({ x: 1, y: 20 });
});

test("a value that cannot travel fails its record, not the engine", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      { name: "fn", sources: [{ on: 0, retry: "none" }], stages: [stage("go", (x) => x.send(0, 1, [() => 1]))] },
    ],
  });
  const engines = await two(module);
  const { failures } = await append(engines[0]!, 0, [1]);
  expect(failures!.get(0)!.message).toContain("cannot be stored or sent");
});
