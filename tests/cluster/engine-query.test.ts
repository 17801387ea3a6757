// Query topologies on one and on two engines: scatter, gather, one result, errors to the caller, temporary state of one invoke.
import { afterEach, expect, test } from "bun:test";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import type { IndexedMap } from "../../src/paths/indexed.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, count, entries, handModule, invoke, openHand, realWorld, stage, until } from "./engine-harness.ts";

const open: Engine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close();
});

/** Topology 0 counts; 1 sums a word over all tasks; 2 is recursive; 3 never answers; 4 throws; 5 answers twice. */
function module(): CompiledModule {
  return handModule({
    depots: [{}],
    pstates: [{ topology: 0 }],
    topologies: [
      {
        name: "counts",
        sources: [{ on: 0 }],
        stages: [
          stage("count", (x, [word]) => {
            count(x, 0, word);
            if (word === "ask") x.invokeQuery(1, [], 1, ["ask"]);
          }),
          stage("asked", (x, [total]) => x.ackReturn(total)),
        ],
      },
      {
        name: "sum",
        kind: "query",
        inputs: ["*word"],
        stages: [
          stage("scatter", (x, [word]) => x.sendAll(1, [word])),
          stage("read", (x, [word]) => x.send(2, x.originTask(), [(x.root(0).get() as IndexedMap).get(word) ?? 0])),
          stage("gather", (x, [n]) => {
            const sum = x.temporary(0);
            const state = (sum.get() as { n: number; seen: number } | null) ?? { n: 0, seen: 0 };
            const next = { n: state.n + n, seen: state.seen + 1 };
            sum.set(next);
            if (next.seen === x.numTasks) x.result(next.n);
          }),
        ],
      },
      {
        name: "factorial",
        kind: "query",
        inputs: ["*n"],
        stages: [
          stage("start", (x, [n]) => {
            if (n < 2) x.result(1);
            else x.invokeQuery(1, [n], 2, [n - 1]);
          }),
          stage("multiply", (x, [n, rest]) => x.result(n * rest)),
        ],
      },
      { name: "silent", kind: "query", stages: [stage("start", () => {})] },
      {
        name: "throws",
        kind: "query",
        start: { kind: "task", task: 1 },
        stages: [
          stage("start", (x) => x.send(1, 3, [])),
          stage("there", (x) => {
            x.at = 1;
            throw new Error("no");
          }),
        ],
      },
      {
        name: "twice",
        kind: "query",
        stages: [
          stage("start", (x) => {
            x.result(1);
            x.result(2);
          }),
        ],
      },
      { name: "hangs", kind: "query", stages: [stage("start", (x) => x.awaitPromise(0, [], new Promise(() => {})))] },
      {
        name: "elsewhere",
        kind: "query",
        stages: [stage("start", (x) => x.send(1, 3, [])), stage("there", (x) => x.result(1))],
      },
    ],
  });
}

async function one(): Promise<Engine[]> {
  const engine = await openHand(realWorld(), module());
  open.push(engine);
  return [engine];
}

/** Two engines with a group each, joined by a router that delivers in later turns. */
async function two(): Promise<Engine[]> {
  const world = realWorld();
  const engines: Engine[] = [];
  const router = {
    send: (task: number, frame: Uint8Array) => setImmediate(() => engines[task % 2]!.deliver(task, frame)),
  };
  for (const group of [0, 1]) {
    engines.push(await openHand(world, module(), { groups: [group], router, dir: `/engine${group}` }));
  }
  open.push(...engines);
  return engines;
}

for (const [name, start] of [
  ["one engine", one],
  ["two engines", two],
] as const) {
  test(`${name}: a query scatters to all tasks and gathers one result`, async () => {
    const engines = await start();
    const last = engines[engines.length - 1]!;
    await append(engines[0]!, 0, ["a", "a"]);
    await append(last, 3, ["a", "b"]);
    expect(await invoke(engines[0]!, 1, ["a"])).toBe(3);
    expect(await invoke(last, 1, ["b"], 3)).toBe(1);
    expect(await Promise.all([1, 2, 3].map(() => invoke(engines[0]!, 1, ["a"])))).toEqual([3, 3, 3]);
  });

  test(`${name}: a stream topology asks a query and goes on with its answer`, async () => {
    const engines = await start();
    await append(engines[0]!, 0, ["ask"], { level: "ack" });
    await until("visible", async () => (await entries(engines[0]!, 0))["ask"] === 1);
    const { returns } = await append(engines[0]!, 0, ["ask"]);
    expect(returns![0]!["counts"]).toBeGreaterThanOrEqual(1);
  });

  test(`${name}: recursion`, async () => {
    const engines = await start();
    expect(await invoke(engines[0]!, 2, [6])).toBe(720);
  });

  test(`${name}: no result, two results, a throw and a result away from home are errors of the caller`, async () => {
    const [engine] = await start();
    await expect(invoke(engine!, 3, [])).rejects.toThrow("query silent produced its result 0 times");
    await expect(invoke(engine!, 5, [])).rejects.toThrow("2 times");
    await expect(invoke(engine!, 4, [])).rejects.toMatchObject({
      code: "USER_CODE_FAILED",
      message: "throws at hand.ts:11: no",
    });
    await expect(invoke(engine!, 7, [])).rejects.toMatchObject({ code: "NO_FINAL_ORIGIN" });
    await expect(invoke(engine!, 2, [1, 2])).rejects.toMatchObject({ code: "WRONG_ARGUMENT_COUNT" });
    await expect(invoke(engine!, 0, [])).rejects.toMatchObject({ code: "UNKNOWN_OBJECT" });
  });

  test(`${name}: a query that hangs ends with its timeout`, async () => {
    const [engine] = await start();
    engine!.setOption("topology.query.timeout.millis", 20);
    await expect(invoke(engine!, 6, [])).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(engine!.status().topologies[6]).toMatchObject({ executing: 0, failures: 1 });
  });
}

// ---- an engine goes away while a query waits for it

/** Four engines with a task each; the one of task 3 gets nothing. */
async function withSilentEngine(): Promise<Engine[]> {
  const world = realWorld();
  const engines: Engine[] = [];
  const router = {
    send: (task: number, frame: Uint8Array) =>
      void setImmediate(() => task !== 3 && engines[task]!.deliver(task, frame)),
  };
  const relay = handModule({
    depots: [],
    pstates: [],
    topologies: [
      { name: "direct", kind: "query", stages: [stage("start", (x) => x.send(1, 3, [])), stage("there", () => {})] },
      {
        name: "relayed",
        kind: "query",
        stages: [
          stage("start", (x) => x.send(1, 1, [])),
          stage("relay", (x) => x.send(2, 3, [])),
          stage("there", () => {}),
        ],
      },
      {
        name: "nested",
        kind: "query",
        stages: [stage("start", (x) => x.invokeQuery(1, [], 3, [])), stage("end", () => {})],
      },
      { name: "there", kind: "query", start: { kind: "task", task: 3 }, stages: [stage("start", () => {})] },
    ],
  });
  for (const group of [0, 1, 2, 3])
    engines.push(await openHand(world, relay, { threads: 4, groups: [group], router, dir: `/engine${group}` }));
  open.push(...engines);
  return engines;
}

for (const [query, name] of ["direct", "relayed", "nested"].entries()) {
  test(`a query that waits for a lost engine fails at once: ${name}`, async () => {
    const engines = await withSilentEngine();
    const answer = invoke(engines[0]!, query, [], 0).catch((error: Error) => error);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (const engine of engines) engine.peerGone(new Set([2]));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(engines[0]!.status().topologies[query]!.executing).toBe(1);
    for (const engine of engines.slice(0, 3)) engine.peerGone(new Set([3]));
    const error = (await answer) as Error;
    expect(error).toMatchObject({ code: "CONNECTION_LOST", retryable: true });
    expect(error.message).toContain("the worker that has task 3 went away while the query ran");
    expect(engines[0]!.status().topologies[query]!.executing).toBe(0);
  });
}
