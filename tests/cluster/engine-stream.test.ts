// A stream topology on one engine, from append to read: what an acknowledgement promises, what a failure costs, what a crash leaves.
import { afterEach, expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import { taskOf } from "../../src/base/hash.ts";
import type { Engine } from "../../src/task/engine.ts";
import {
  allEntries,
  append,
  count,
  entries,
  handModule,
  localCount,
  openHand,
  realWorld,
  stage,
  until,
  wordCount,
} from "./engine-harness.ts";

const open: Engine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});
async function started(...args: Parameters<typeof openHand>): Promise<Engine> {
  const engine = await openHand(...args);
  open.push(engine);
  return engine;
}

test("an acknowledged record has been counted and can be read", async () => {
  const engine = await started(realWorld(), localCount());
  expect(await append(engine, 1, ["a", "b", "a"])).toEqual({ offset: 0, returns: null, failures: null });
  expect(await entries(engine, 1)).toEqual({ a: 2, b: 1 });
  expect(await append(engine, 1, ["b"])).toMatchObject({ offset: 3 });
  expect(await entries(engine, 1)).toEqual({ a: 2, b: 2 });
  expect(engine.partitionInfo(0, 1)).toEqual({ startOffset: 0, endOffset: 4 });
});

test("words hop to the task of their hash", async () => {
  const engine = await started(realWorld(), wordCount());
  await Promise.all([append(engine, 0, ["to be or not to be"]), append(engine, 3, ["to do"])]);
  const expected: Record<string, number> = { to: 3, be: 2, or: 1, not: 1, do: 1 };
  for (const [word, times] of Object.entries(expected)) {
    expect((await entries(engine, taskOf(word, 4)))[word]).toBe(times);
  }
});

test("what was closed is there after opening again, and counting goes on", async () => {
  const world = realWorld();
  const first = await openHand(world, wordCount());
  await append(first, 2, ["a b", "a"]);
  await first.close();
  const second = await started(world, wordCount());
  expect(await allEntries(second)).toEqual({ a: 2, b: 1 });
  await append(second, 2, ["a"]);
  expect(await allEntries(second)).toEqual({ a: 3, b: 1 });
  expect(second.status().topologies[0]).toMatchObject({ processed: 3, executing: 0, failures: 0 });
});

test("the same batch with the same token lands once, and is acknowledged again", async () => {
  const engine = await started(realWorld(), localCount());
  const token = { client: new Uint8Array(16).fill(7), seq: 0 };
  const [first, again] = await Promise.all([append(engine, 0, ["x"], { token }), append(engine, 0, ["x"], { token })]);
  expect(first.offset).toBe(0);
  expect(again.offset).toBe(0);
  expect(await append(engine, 0, ["x"], { token })).toMatchObject({ offset: 0, failures: null });
  expect(await entries(engine, 0)).toEqual({ x: 1 });
});

test("levels: appendAck answers when stored, none at once", async () => {
  const engine = await started(realWorld(), localCount());
  expect(await append(engine, 0, ["a"], { level: "appendAck" })).toMatchObject({ offset: 0 });
  expect(await append(engine, 0, ["a"], { level: "none" })).toMatchObject({ offset: -1 });
  await until("both counted", async () => (await entries(engine, 0))["a"] === 2);
});

test("ack returns come back per record, the last one unless an aggregator combines them", async () => {
  const sum = { zeroVal: () => 0, combine: (a: number, b: number) => a + b };
  const returning = {
    stages: [
      stage("start", (x, [n]) => {
        x.ackReturn(n);
        x.send(1, (x.taskId + 1) % x.numTasks, [n]);
      }),
      stage("there", (x, [n]) => x.ackReturn(n === 0 ? null : n * 10)),
    ],
  };
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      { name: "last", sources: [{ on: 0 }], ...returning },
      { name: "sum", sources: [{ on: 0, ackReturnAgg: sum }], ...returning },
      { name: "silent", sources: [{ on: 0 }], stages: [stage("nothing", () => {})] },
    ],
  });
  const engine = await started(realWorld(), module);
  const { returns } = await append(engine, 0, [3, 0]);
  expect(returns).toEqual([
    { last: 30, sum: 33 },
    { last: 0, sum: 0 },
  ]);
});

/** Fails records "bad" until `heal()`. */
function failing(retry: "individual" | "allAfter" | "none") {
  let broken = true;
  const seen: unknown[] = [];
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "payments",
        sources: [{ on: 0, retry }],
        stages: [
          stage("count", (x, [word]) => {
            seen.push(word);
            count(x, 0, word);
            x.at = 1;
            if (word === "bad" && broken) throw new Error("no such account");
          }),
        ],
      },
    ],
  });
  return { module, seen, heal: () => (broken = false) };
}

test("a failed record fails its append with the place, takes back its writes, and others of the batch are not touched", async () => {
  const { module } = failing("none");
  const engine = await started(realWorld(), module);
  const { failures, offset } = await append(engine, 2, ["a", "bad", "b"]);
  expect(offset).toBe(0);
  expect([...failures!.keys()]).toEqual([1]);
  const error = failures!.get(1)!;
  expect(error.code).toBe("PROCESSING_FAILED");
  expect(error.message).toBe("payments at hand.ts:11: *depot0 partition 2 offset 1: no such account");
  expect(error.facts).toMatchObject({ stored: true, topology: "payments", offset: 1, partition: 2 });
  expect((error.cause as Error).message).toBe("no such account");
  expect(await entries(engine, 2)).toEqual({ a: 1, b: 1 });
  expect(engine.status().topologies[0]).toMatchObject({ executing: 0, failures: 1 });
});

test("individual: the failed record alone runs again until it succeeds", async () => {
  const { module, heal } = failing("individual");
  const engine = await started(realWorld(), module, { set: { "topology.stream.retry.backoff.millis": 1 } });
  await append(engine, 0, ["bad", "a"]);
  await until("it failed again", () => engine.status().topologies[0]!.failures > 2);
  heal();
  await until("it is through", async () => (await entries(engine, 0))["bad"] === 1);
  expect(await entries(engine, 0)).toEqual({ a: 1, bad: 1 });
});

test("allAfter: the failed record and all later ones run again in order", async () => {
  const { module, seen, heal } = failing("allAfter");
  const engine = await started(realWorld(), module, { set: { "topology.stream.retry.backoff.millis": 1 } });
  await append(engine, 0, ["a", "bad", "b"], { level: "appendAck" });
  await until("it failed again", () => engine.status().topologies[0]!.failures > 1);
  const late = append(engine, 0, ["c"]);
  heal();
  expect((await late).failures).toBeNull();
  expect(seen.slice(-3)).toEqual(["bad", "b", "c"]);
  expect(await entries(engine, 0)).toEqual({ a: 1, b: 1, bad: 1, c: 1 });
});

test("a failure on another task of the tree fails the record too", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "hops",
        sources: [{ on: 0, retry: "none" }],
        stages: [
          stage("first", (x, [n]) => x.sendAll(1, [n])),
          stage("second", (x, [n]) => {
            count(x, 0, `task${x.taskId}`);
            if (n === 1 && x.taskId === 3) throw new RamaError("SCHEMA_MISMATCH", "not a number");
          }),
        ],
      },
    ],
  });
  const engine = await started(realWorld(), module);
  const { failures } = await append(engine, 0, [0, 1]);
  expect(failures!.get(1)!.message).toContain("not a number");
  expect(await allEntries(engine)).toEqual({ task0: 2, task1: 2, task2: 2, task3: 1 });
});

test("a task outside the module is refused", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [{ name: "wild", sources: [{ on: 0, retry: "none" }], stages: [stage("go", (x) => x.send(0, 4, []))] }],
  });
  const engine = await started(realWorld(), module);
  const { failures } = await append(engine, 0, [0]);
  expect(failures!.get(0)!.message).toContain("task 4 is not in [0, 4)");
});

test("eachAsync: the record waits for the promise, and fails with it", async () => {
  const waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = [];
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "async",
        sources: [{ on: 0, retry: "none" }],
        stages: [
          stage("ask", (x, [word]) => {
            const promise = new Promise((resolve, reject) => waiting.push({ resolve, reject }));
            x.awaitPromise(1, [word], promise);
          }),
          stage("answered", (x, [word, value]) => {
            count(x, 0, word, value);
            x.ackReturn(value);
          }),
        ],
      },
    ],
  });
  const engine = await started(realWorld(), module);
  const appended = append(engine, 0, ["a", "b"]);
  await until("both asked", () => waiting.length === 2);
  expect(await entries(engine, 0)).toEqual({});
  waiting[0]!.resolve(5);
  waiting[1]!.reject(new Error("no answer"));
  const { returns, failures } = await appended;
  expect(returns).toEqual([{ async: 5 }, null]);
  expect(failures!.get(1)!.message).toContain("no answer");
  expect(await entries(engine, 0)).toEqual({ a: 5 });
});

test("defer goes on in a later event; a yielding select gives its rows one by one, with the event's own writes", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }, { topology: 0 }],
    topologies: [
      {
        name: "select",
        sources: [{ on: 0 }],
        stages: [
          stage("write", (x, [word]) => {
            count(x, 0, word);
            x.defer(1, []);
          }),
          stage("read", (x) => {
            x.selectYielding(2, ["row"], 0, (root) => (root.get() as any).range({}));
          }),
          stage("row", (x, [label, [word, n]]) => count(x, 1, `${label} ${word}`, n)),
        ],
      },
    ],
  });
  const engine = await started(realWorld(), module);
  await append(engine, 0, ["a"]);
  expect(await entries(engine, 0, 1)).toEqual({ "row a": 1 });
  await append(engine, 0, ["b"]);
  expect(await entries(engine, 0, 1)).toEqual({ "row a": 2, "row b": 1 });
});

test("depotPartitionAppend: the other depot's topologies see the record, and the event goes on", async () => {
  const module = handModule({
    depots: [{}, { partitioning: { kind: "disallow" } }],
    pstates: [{ topology: 0 }, { topology: 1 }],
    topologies: [
      {
        name: "first",
        sources: [{ on: 0 }],
        stages: [
          stage("append", (x, [word]) =>
            x.appendToDepot(1, [word], 1, `${word}!`, word === "wait" ? "ack" : "appendAck"),
          ),
          stage("after", (x, [word]) => count(x, 0, word)),
        ],
      },
      { name: "second", sources: [{ on: 1 }], stages: [stage("count", (x, [word]) => count(x, 1, word))] },
    ],
  });
  const engine = await started(realWorld(), module);
  await append(engine, 1, ["a", "wait"]);
  expect(await entries(engine, 1, 0)).toEqual({ a: 1, wait: 1 });
  expect(await entries(engine, 1, 1)).toEqual({ "a!": 1, "wait!": 1 });
  await expect(append(engine, 1, ["x"], { depot: 1 })).rejects.toMatchObject({ code: "NOT_APPENDABLE" });
});

test("at the pending limit ACK appends are held back unstored and rejected after the timeout", async () => {
  const waiting: (() => void)[] = [];
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      {
        name: "slow",
        sources: [{ on: 0 }],
        stages: [
          stage("wait", (x) => x.awaitPromise(1, [], new Promise<void>((go) => waiting.push(go)))),
          stage("done", () => {}),
        ],
      },
    ],
  });
  const set = { "topology.stream.max.executing.per.task": 1, "replication.depot.append.timeout.millis": 40 };
  const engine = await started(realWorld(), module, { set });
  const first = append(engine, 0, ["first"]);
  await until("it runs", () => waiting.length === 1);
  await expect(append(engine, 0, ["second"])).rejects.toMatchObject({ code: "OVERLOADED" });
  expect(engine.partitionInfo(0, 0).endOffset).toBe(1);
  engine.setOption("replication.depot.append.timeout.millis", 10000);
  const third = append(engine, 0, ["third"]);
  waiting[0]!();
  await first;
  await until("the held one runs", () => waiting.length === 2);
  waiting[1]!();
  expect(await third).toMatchObject({ offset: 1 });
});

test("a tree that does not end in time fails", async () => {
  const module = handModule({
    depots: [{}],
    pstates: [],
    topologies: [
      {
        name: "hangs",
        sources: [{ on: 0, retry: "none" }],
        stages: [stage("wait", (x) => x.awaitPromise(0, [], new Promise(() => {})))],
      },
    ],
  });
  const engine = await started(realWorld(), module, { set: { "topology.stream.timeout.seconds": 0.001 } });
  const { failures } = await append(engine, 0, ["x"]);
  expect(failures!.get(0)!.message).toContain("did not end within 1 ms");
});

test("a paused topology takes no records and catches up after", async () => {
  const engine = await started(realWorld(), localCount());
  engine.pauseTopology("counts");
  await append(engine, 0, ["a", "a"], { level: "appendAck" });
  expect(await entries(engine, 0)).toEqual({});
  engine.resumeTopology("counts");
  await append(engine, 0, ["a"]);
  expect(await entries(engine, 0)).toEqual({ a: 3 });
  expect(() => engine.pauseTopology("none")).toThrow("no topology");
});

test("ticks: by hand one at a time, resolved when the tree has ended", async () => {
  const module = handModule({
    depots: [{ tickMs: 1000 }],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "clock",
        sources: [{ on: 0 }],
        stages: [
          stage("tick", (x, [value]) => x.send(1, 3, [value])),
          stage("there", (x, [value]) => count(x, 0, String(value))),
        ],
      },
    ],
  });
  const engine = await started(realWorld(), module, { more: { manualTicks: true } });
  const tick = () => new Promise<unknown>((resolve) => engine.tick(0, resolve));
  expect(await tick()).toBeNull();
  expect(await tick()).toBeNull();
  expect(await entries(engine, 3)).toEqual({ null: 2 });
  await expect(append(engine, 0, ["x"])).rejects.toMatchObject({ code: "NOT_APPENDABLE" });
});

test("start from: end sees what comes after the first opening, beginning what was there before", async () => {
  const world = realWorld();
  const plain = handModule({ depots: [{}], pstates: [], topologies: [] });
  const first = await openHand(world, plain);
  await append(first, 0, ["old", "old"], { level: "appendAck" });
  await first.close();
  const counting = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }, { topology: 1 }, { topology: 2 }],
    topologies: [
      { name: "end", sources: [{ on: 0 }], stages: [stage("count", (x, [word]) => count(x, 0, word))] },
      {
        name: "beginning",
        sources: [{ on: 0, startFrom: { kind: "beginning" } }],
        stages: [stage("count", (x, [word]) => count(x, 1, word))],
      },
      {
        name: "ago",
        sources: [{ on: 0, startFrom: { kind: "ago", amount: 1, unit: "RECORDS" } }],
        stages: [stage("count", (x, [word]) => count(x, 2, word))],
      },
    ],
  });
  const second = await openHand(world, counting);
  await append(second, 0, ["new"]);
  await second.close();
  const third = await started(world, counting);
  await append(third, 0, ["new"]);
  expect(await entries(third, 0, 0)).toEqual({ new: 2 });
  expect(await entries(third, 0, 1)).toEqual({ old: 2, new: 2 });
  expect(await entries(third, 0, 2)).toEqual({ old: 1, new: 2 });
});

test("mistakes of callers are errors of theirs", async () => {
  const engine = await started(realWorld(), localCount());
  await expect(append(engine, 0, ["x"], { depot: 5 })).rejects.toMatchObject({ code: "UNKNOWN_OBJECT" });
  await expect(append(engine, 9, ["x"])).rejects.toMatchObject({ code: "BAD_PARTITION" });
  expect(() => engine.readDepot(0, 0, 3, 5)).toThrow();
  await expect(entries(engine, 0, 7)).rejects.toMatchObject({ code: "UNKNOWN_OBJECT" });
});

test("task globals are made once per task, and closed", async () => {
  const log: string[] = [];
  const module = handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    globals: [
      { index: 0, name: "*config", value: { limit: 3 } },
      {
        index: 1,
        name: "*own",
        value: (task: number, context: any) => ({
          seen: 0,
          prepareForTask: () => log.push(`prepare ${task} of ${context.getTaskGroup()}`),
          close: () => log.push(`close ${task}`),
        }),
      },
    ],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0 }],
        stages: [
          stage("count", (x) => {
            const own = x.global(1) as { seen: number };
            own.seen++;
            x.ackReturn(own.seen + (x.global(0) as { limit: number }).limit);
          }),
        ],
      },
    ],
  });
  const engine = await openHand(realWorld(), module);
  expect((await append(engine, 2, ["x", "y"])).returns).toEqual([{ counts: 4 }, { counts: 5 }]);
  expect((await append(engine, 3, ["x"])).returns).toEqual([{ counts: 4 }]);
  await engine.close();
  expect(log.slice(0, 4).sort()).toEqual([
    "prepare 0 of 0,2",
    "prepare 1 of 1,3",
    "prepare 2 of 0,2",
    "prepare 3 of 1,3",
  ]);
  expect(log.slice(4).sort()).toEqual(["close 0", "close 1", "close 2", "close 3"]);
});
