// Trimming as the reference has it (language.md 10.5): what stays, where new consumers begin, what is still needed.
import { expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  MicrobatchSourceOptions,
  Path,
  PState,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const one = { tasks: 1, threads: 1 };

interface Trim {
  readonly max?: number;
  readonly local?: boolean;
  readonly more?: (setup: Setup, topologies: Topologies) => void;
}

/** A depot of numbers that is looked at every 20 ms, and topologies that note what they saw. */
const trimmed = ({ max = 10, local = true, more }: Trim = {}) =>
  moduleOf("Trimmed", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.setLaunchModuleDynamicOption("depot.trim.interval.millis", 20);
    setup.setLaunchDepotDynamicOption("*d", "depot.max.entries.per.partition", max);
    setup.setLaunchDepotDynamicOption("*d", "depot.trim.coordinate.local.topologies", local);
    more?.(setup, topologies);
  });

const noted =
  (kind: "stream" | "microbatch", name: string, fromBeginning = false) =>
  (_: Setup, topologies: Topologies) => {
    if (kind === "stream") {
      const s = topologies.stream(name);
      s.pstate(`$$${name}`, PState.mapSchema(Number, Number));
      s.source("*d", fromBeginning ? StreamSourceOptions.startFromBeginning() : undefined)
        .out("*n")
        .compoundAgg(`$$${name}`, CompoundAgg.map("*n", Agg.count()));
    } else {
      const mb = topologies.microbatch(name);
      mb.pstate(`$$${name}`, PState.mapSchema(Number, Number));
      mb.source("*d", fromBeginning ? MicrobatchSourceOptions.startFromBeginning() : undefined)
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .compoundAgg(`$$${name}`, CompoundAgg.map("*n", Agg.count()));
    }
  };

const rowsOf = (m: { pstate(name: string): any }, name: string) => m.pstate(name).select(Path.all());

async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error("the condition did not come true");
    await Bun.sleep(5);
  }
}

const startOf = async (m: { depot(name: string): any }) =>
  (await m.depot("*d").getPartitionInfo(0)).startOffset as number;

test("depot.max.entries.per.partition keeps the newest, with depot.excess.proportion more; reads of what is gone are refused", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(trimmed(), one);
  const depot = m.depot("*d");
  for (let n = 0; n < 30; n++) await depot.append(n);
  await until(async () => (await startOf(m)) === 18);
  expect(await depot.getPartitionInfo(0)).toEqual({ startOffset: 18, endOffset: 30 });
  expect(await depot.read(0, 18, 30)).toEqual(Array.from({ length: 12 }, (_, i) => 18 + i));
  expect(await codeOf(depot.read(0, 17, 30))).toBe("OFFSET_OUT_OF_RANGE");
  await depot.append(30);
  await until(async () => (await startOf(m)) === 19);
  await m.update(trimmed());
  expect(await depot.getPartitionInfo(0)).toEqual({ startOffset: 19, endOffset: 31 });
});

test.each(["stream", "microbatch"] as const)(
  "the beginning for a new %s consumer is the maximum-th record from the end, not the first that is there",
  async (kind) => {
    await using ipc = await InProcessCluster.create();
    const m = await ipc.launchModule(trimmed(), one);
    for (let n = 0; n < 30; n++) await m.depot("*d").append(n);
    await until(async () => (await startOf(m)) === 18);
    await m.update(trimmed({ more: noted(kind, "late", true) }));
    await m.waitForProcessed("late", 10);
    expect((await rowsOf(m, "$$late")).map(([n]: [number]) => n)).toEqual(Array.from({ length: 10 }, (_, i) => 20 + i));
  },
);

test.each(["stream", "microbatch"] as const)(
  "what a %s topology of the module has not processed is kept",
  async (kind) => {
    await using ipc = await InProcessCluster.create();
    const m = await ipc.launchModule(trimmed({ more: noted(kind, "slow") }), one);
    const depot = m.depot("*d");
    await depot.append(0);
    await m.waitForProcessed("slow", 1);
    await m.pause("slow");
    for (let n = 1; n < 40; n++) await depot.append(n, "appendAck");
    await Bun.sleep(100);
    expect(await startOf(m)).toBeLessThanOrEqual(1);
    await m.resume("slow");
    await m.waitForProcessed("slow", 40);
    await until(async () => (await startOf(m)) === 28);
    expect(await rowsOf(m, "$$slow")).toHaveLength(40);
  },
);

test.each(["stream", "microbatch"] as const)(
  "without coordination a %s topology that finds its records gone goes on at the first that is there",
  async (kind) => {
    await using ipc = await InProcessCluster.create();
    const m = await ipc.launchModule(trimmed({ local: false, more: noted(kind, "slow") }), one);
    const depot = m.depot("*d");
    await depot.append(0);
    await m.waitForProcessed("slow", 1);
    await m.pause("slow");
    for (let n = 1; n < 40; n++) await depot.append(n, "appendAck");
    await until(async () => (await startOf(m)) === 28);
    await m.resume("slow");
    await until(async () => (await rowsOf(m, "$$slow")).length === 13);
    expect((await rowsOf(m, "$$slow")).map(([n]: [number]) => n)).toEqual([
      0,
      ...Array.from({ length: 12 }, (_, i) => 28 + i),
    ]);
  },
);
