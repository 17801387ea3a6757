// Where a source begins in a depot that has records already, and several sources on one depot (language.md 11.2, 12.2): each row with a stream and a microbatch topology.
import { describe, expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  MicrobatchSourceOptions,
  OffsetAgo,
  Path,
  PState,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";
import { moduleOf } from "./observed.ts";

const one = { tasks: 1, threads: 1 };
type Kind = "stream" | "microbatch";
type Start = (options: typeof StreamSourceOptions | typeof MicrobatchSourceOptions) => any;
type Source = readonly [name: string, start: Start | undefined, sourceId?: string];

/** A depot of numbers; each source of the one topology notes what it saw in a PState of its own. */
const reading = (kind: Kind, sources: readonly Source[]) =>
  moduleOf("Starts", (setup: Setup, topologies: Topologies) => {
    setup.declareDepot("*d", Depot.random());
    if (sources.length === 0) return;
    const t = kind === "stream" ? topologies.stream("t") : topologies.microbatch("t");
    const options: any = kind === "stream" ? StreamSourceOptions : MicrobatchSourceOptions;
    for (const [name, start, sourceId] of sources) {
      t.pstate(`$$${name}`, PState.mapSchema(Number, Number));
      let made = start?.(options);
      if (sourceId !== undefined) made = made === undefined ? options.sourceId(sourceId) : made.sourceId(sourceId);
      const code = t.source("*d", made).out(kind === "stream" ? "*n" : "*mb");
      (kind === "stream" ? code : code.explodeMicrobatch("*mb").out("*n")).compoundAgg(
        `$$${name}`,
        CompoundAgg.map("*n", Agg.count()),
      );
    }
  });

const seenBy = async (m: { pstate(name: string): any }, name: string): Promise<unknown[]> =>
  (await m.pstate(`$$${name}`).select(Path.all())).map(([n, count]: [number, number]) =>
    count === 1 ? n : [n, count],
  );

const starts: readonly (readonly [claim: string, start: Start | undefined, first: number])[] = [
  ["the end by default", undefined, 10],
  ["startFromBeginning: the first record", (o) => o.startFromBeginning(), 0],
  [
    "startFromOffsetAfterTimestamp: the first one that was appended then or later",
    (o) => o.startFromOffsetAfterTimestamp(3500),
    4,
  ],
  ["startFromOffsetAfterTimestamp before all: the first record", (o) => o.startFromOffsetAfterTimestamp(0), 0],
  ["startFromOffsetAfterTimestamp after all: the end", (o) => o.startFromOffsetAfterTimestamp(99_000), 10],
  ["startFromOffsetAfterTimestamp takes a bigint", (o) => o.startFromOffsetAfterTimestamp(3500n), 4],
  ["startFromOffsetAgo of records", (o) => o.startFromOffsetAgo(3, OffsetAgo.RECORDS), 7],
  [
    "startFromOffsetAgo of more records than there are: the first",
    (o) => o.startFromOffsetAgo(99, OffsetAgo.RECORDS),
    0,
  ],
  ["startFromOffsetAgo of no records: the end", (o) => o.startFromOffsetAgo(0, OffsetAgo.RECORDS), 10],
  ["startFromOffsetAgo of milliseconds", (o) => o.startFromOffsetAgo(5000, OffsetAgo.MILLIS), 5],
  ["startFromOffsetAgo of seconds", (o) => o.startFromOffsetAgo(2, OffsetAgo.SECONDS), 8],
  ["startFromOffsetAgo of days", (o) => o.startFromOffsetAgo(1, OffsetAgo.DAYS), 0],
  ["startFromOffsetAgo of months", (o) => o.startFromOffsetAgo(1, OffsetAgo.MONTHS), 0],
];

describe.each(["stream", "microbatch"] as const)("%s", (kind) => {
  test.each(starts)("%s", async (_, start, first) => {
    await using ipc = await InProcessCluster.create({ clock: "simulated" });
    const m = await ipc.launchModule(reading(kind, []), one);
    // Record n is appended at n seconds.
    for (let n = 0; n < 10; n++) {
      await m.depot("*d").append(n);
      await ipc.advanceTime(1000);
    }
    await m.update(reading(kind, [["seen", start]]));
    await m.depot("*d").append(10);
    await m.waitForProcessed("t", 11 - first);
    expect(await seenBy(m, "seen")).toEqual(Array.from({ length: 11 - first }, (__, i) => first + i));
  });

  test("where a source begins counts the first time only: afterwards it goes on where it was", async () => {
    await using ipc = await InProcessCluster.create();
    const m = await ipc.launchModule(reading(kind, [["seen", undefined]]), one);
    for (let n = 0; n < 5; n++) await m.depot("*d").append(n);
    await m.waitForProcessed("t", 5);
    for (const start of [(o: any) => o.startFromBeginning(), undefined] as (Start | undefined)[]) {
      await m.update(reading(kind, [["seen", start]]));
      await m.depot("*d").append(5);
    }
    await m.waitForProcessed("t", 7);
    expect(await seenBy(m, "seen")).toEqual([0, 1, 2, 3, 4, [5, 2]]);
  });

  test("sources of one depot with a sourceId each begin for themselves; one may come later, and one may go", async () => {
    await using ipc = await InProcessCluster.create();
    const m = await ipc.launchModule(reading(kind, [["first", undefined]]), one);
    for (let n = 0; n < 5; n++) await m.depot("*d").append(n);
    await m.waitForProcessed("t", 5);
    const later: Start = (o) => o.startFromOffsetAgo(2, OffsetAgo.RECORDS);
    const all: Start = (o) => o.startFromBeginning();
    await m.update(
      reading(kind, [
        ["first", undefined],
        ["second", later, "b"],
        ["third", all, "c"],
      ]),
    );
    await m.depot("*d").append(5);
    await m.waitForProcessed("t", 5 + 1 + 3 + 6);
    expect([await seenBy(m, "first"), await seenBy(m, "second"), await seenBy(m, "third")]).toEqual([
      [0, 1, 2, 3, 4, 5],
      [3, 4, 5],
      [0, 1, 2, 3, 4, 5],
    ]);
    await m.update(
      reading(kind, [
        ["first", undefined],
        ["third", all, "c"],
      ]),
      { objectsToDelete: ["$$second"] },
    );
    await m.depot("*d").append(6);
    await m.waitForProcessed("t", 6 + 6 + 2);
    expect([await seenBy(m, "first"), await seenBy(m, "third")]).toEqual([
      [0, 1, 2, 3, 4, 5, 6],
      [0, 1, 2, 3, 4, 5, 6],
    ]);
  });
});

test("two stream sources that have caught up are through with a record together: a reader sees the effects of both, or of none", async () => {
  await using ipc = await InProcessCluster.create();
  const counting = moduleOf("Together", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    for (const [name, options] of [
      ["a", undefined],
      ["b", StreamSourceOptions.sourceId("b")],
    ] as const) {
      s.pstate(`$$${name}`, Number).initialValue(0);
      s.source("*d", options).out("*n").agg(`$$${name}`, Agg.count());
    }
    topologies
      .query("both")
      .out("*both")
      .localSelect("$$a", Path.stay())
      .out("*a")
      .localSelect("$$b", Path.stay())
      .out("*b")
      .each((a: number, b: number) => [a, b], "*a", "*b")
      .out("*both")
      .originPartition();
  });
  const m = await ipc.launchModule(counting, one);
  let stopped = false;
  const appending = (async () => {
    for (let n = 0; n < 300; n++) await m.depot("*d").append(n);
    stopped = true;
  })();
  while (!stopped) {
    const [a, b] = (await m.query("both").invoke()) as [number, number];
    expect(a).toBe(b);
  }
  await appending;
  expect(await m.query("both").invoke()).toEqual([300, 300]);
});
