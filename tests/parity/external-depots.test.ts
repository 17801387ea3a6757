// language.md 19.3: depots of other systems as sources - a queue in memory that keeps its records, and a directory of files that grow.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Agg,
  CompoundAgg,
  type ExternalDepot,
  type ExternalRecord,
  Helpers,
  MicrobatchSourceOptions,
  Ops,
  Path,
  PState,
  StreamSourceOptions,
} from "rama";
import { DirectoryDepot } from "rama/helpers";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

/** Another system: partitions of records with gaps in their offsets, and everything that was asked of it. */
class OtherSystem {
  readonly partitions: { offset: number; key: string; data: number; ms: number }[][];
  readonly ranges: [partition: number, from: number, to: number | undefined, offsets: number[]][] = [];
  down = false;
  first = 0;

  /** `gap`: offsets that are left out before each record. */
  constructor(
    partitions: number,
    readonly gap = 1,
  ) {
    this.partitions = Array.from({ length: partitions }, () => []);
  }

  put(partition: number, data: number, ms = 0): void {
    const records = this.partitions[partition]!;
    const offset = records.length === 0 ? this.gap : records.at(-1)!.offset + 1 + this.gap;
    records.push({ offset, key: `k${data % 3}`, data, ms });
  }
}

class Adapter implements ExternalDepot<string, number> {
  constructor(readonly system: OtherSystem) {}

  prepareForTask(): void {}

  #up(): void {
    if (this.system.down) throw new Error("the other system is down");
  }

  getNumPartitions(): number {
    this.#up();
    return this.system.partitions.length;
  }

  startOffset(): number {
    return this.system.first;
  }

  async endOffset(partition: number): Promise<number> {
    this.#up();
    const last = this.system.partitions[partition]!.at(-1);
    return last === undefined ? 0 : last.offset + 1;
  }

  async offsetAfterTimestampMillis(partition: number, epochMs: number): Promise<number | null> {
    return this.system.partitions[partition]!.find(({ ms }) => ms >= epochMs)?.offset ?? null;
  }

  async fetchFrom(partition: number, from: number, to?: number): Promise<ExternalRecord<string, number>[]> {
    this.#up();
    const found = this.system.partitions[partition]!.filter(
      ({ offset }) => offset >= from && offset < (to ?? Number.POSITIVE_INFINITY),
    ).slice(0, 7);
    this.system.ranges.push([partition, from, to, found.map(({ offset }) => offset)]);
    return found.map(({ offset, key, data }) => [offset, key, data]);
  }
}

interface SourceOptions {
  readonly stream?: StreamSourceOptions;
  readonly microbatch?: MicrobatchSourceOptions;
}

/** Counts by key and sums by data, by stream and by microbatch. */
function counter(make: () => ExternalDepot, options: SourceOptions = {}) {
  return moduleOf("Counter", (setup, topologies) => {
    setup.declareObject("*external", make);
    const s = topologies.stream("stream");
    s.pstate("$$streamed", PState.mapSchema(Number, Number));
    s.pstate("$$tasks", PState.mapSchema(Number, PState.setSchema(Number)));
    s.source("*external", options.stream)
      .out(["*offset", "*key", "*n"])
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .compoundAgg("$$tasks", CompoundAgg.map("*task", Agg.set("*n")))
      .hashPartition("*n")
      .compoundAgg("$$streamed", CompoundAgg.map("*n", Agg.count()));
    const m = topologies.microbatch("micro");
    m.pstate("$$micro", PState.mapSchema(Number, Number));
    m.pstate("$$keys", PState.mapSchema(Object, Number));
    m.source("*external", options.microbatch)
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*record", ["*offset", "*key", "*n"])
      .hashPartition("*n")
      .compoundAgg("$$micro", CompoundAgg.map("*n", Agg.count()))
      .hashPartition("*key")
      .compoundAgg("$$keys", CompoundAgg.map("*key", Agg.count()));
  });
}

const everything = {
  stream: StreamSourceOptions.startFromBeginning(),
  microbatch: MicrobatchSourceOptions.startFromBeginning(),
};
const launch = { tasks: 4, threads: 2, workers: 2 };
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

const counts = (module: LaunchedModule, pstate: string, values: readonly number[]) =>
  Promise.all(values.map((n) => module.pstate(pstate).selectOne(Path.key(n))));

describe("the contract", () => {
  test("a task global with it is a source of stream and microbatch topologies; each record is an array of offset, key and data", async () => {
    const system = new OtherSystem(3);
    for (const n of numbers(0, 90)) system.put(n % 3, n);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), everything),
      launch,
    );
    for (const n of numbers(90, 150)) system.put(n % 3, n);
    await eachCounted(module, numbers(0, 150));
    expect(await module.pstate("$$keys").selectOne(Path.key("k1"))).toBe(50);
  });

  test("partitions are spread over the tasks; those that come later are read from their beginning", async () => {
    const system = new OtherSystem(6);
    for (const n of numbers(0, 60)) system.put(n % 6, n);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), everything),
      launch,
    );
    await eachCounted(module, numbers(0, 60));
    const keys = Helpers.genHashingIndexKeys(launch.tasks) as string[];
    for (const task of numbers(0, 4)) {
      const seen = await module.pstate("$$tasks").selectOne<Set<number>>(keys[task], Path.key(task));
      expect([...seen].sort((a, b) => a - b)).toEqual(numbers(0, 60).filter((n) => (n % 6) % 4 === task));
    }
    system.partitions.push([]);
    system.put(6, 100);
    // The count is asked for again every 30 s, and at the start of an instance.
    await module.update(counter(() => new Adapter(system)));
    await eachCounted(module, [100]);
  });

  test("sources start where their options say: end, offset, time", async () => {
    const system = new OtherSystem(2);
    for (const n of numbers(0, 20)) system.put(n % 2, n, 1000 + n);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), {
        stream: StreamSourceOptions.none(),
        microbatch: MicrobatchSourceOptions.startFromOffsetAfterTimestamp(1010),
      }),
      launch,
    );
    for (const n of numbers(20, 24)) system.put(n % 2, n, 1000 + n);
    await eachCounted(module, numbers(20, 24), ["$$streamed"]);
    await eachCounted(module, numbers(10, 24), ["$$micro"]);
    expect(await counts(module, "$$micro", [0, 9])).toEqual([null, null]);
  });

  test("a microbatch that fails asks for the same range again, and nothing counts twice", async () => {
    const system = new OtherSystem(1, 0);
    for (const n of numbers(0, 30)) system.put(0, n);
    let failures = 3;
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      moduleOf("Counter", (setup, topologies) => {
        setup.declareObject("*external", () => new Adapter(system));
        const m = topologies.microbatch("micro");
        m.pstate("$$sum", PState.mapSchema(String, Number)).global();
        m.source("*external", MicrobatchSourceOptions.startFromBeginning())
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out(["*offset", "*key", "*n"])
          .each((n: number) => {
            if (n === 20 && failures-- > 0) throw new Error("again");
          }, "*n")
          .globalPartition()
          .compoundAgg("$$sum", CompoundAgg.map("all", Agg.sum("*n")));
      }),
      launch,
    );
    await module.waitForProcessed("micro", 30, 20_000);
    expect(await ipc.clusterPState("Counter", "$$sum").selectOne(Path.key("all"))).toBe(435);
    for (const [, from, to, offsets] of system.ranges) {
      expect(offsets.every((offset) => offset >= from && offset < to!)).toBe(true);
    }
  });

  test("progress is kept by partition over an update", async () => {
    const system = new OtherSystem(3);
    for (const n of numbers(0, 30)) system.put(n % 3, n);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), everything),
      launch,
    );
    await eachCounted(module, numbers(0, 30));
    await module.update(counter(() => new Adapter(system), everything));
    for (const n of numbers(30, 45)) system.put(n % 3, n);
    await eachCounted(module, numbers(0, 45));
  });

  test("records that fail are fetched again by themselves", async () => {
    const system = new OtherSystem(1);
    const failed = new Set<number>();
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      moduleOf("Counter", (setup, topologies) => {
        setup.declareObject("*external", () => new Adapter(system));
        const s = topologies.stream("stream");
        s.pstate("$$streamed", PState.mapSchema(Number, Number));
        s.source("*external")
          .out(["*offset", "*key", "*n"])
          .each((n: number) => {
            if (n % 5 === 2 && !failed.has(n)) {
              failed.add(n);
              throw new Error("first time");
            }
          }, "*n")
          .hashPartition("*n")
          .compoundAgg("$$streamed", CompoundAgg.map("*n", Agg.count()));
      }),
      launch,
    );
    for (const n of numbers(0, 20)) system.put(0, n);
    await eachCounted(module, numbers(0, 20), ["$$streamed"]);
    expect(failed.size).toBe(4);
  });

  test("while the other system is down the status says so, and nothing is lost", async () => {
    const system = new OtherSystem(2);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), everything),
      launch,
    );
    system.down = true;
    for (const n of numbers(0, 10)) system.put(n % 2, n);
    const stuck = await module.waitForProcessed("stream", 10, 300).catch((error: Error) => error.message);
    expect(stuck).toMatch(/partition [01] of \*external cannot be read: the other system is down/);
    system.down = false;
    await eachCounted(module, numbers(0, 10));
  });

  test("records before the start offset are passed", async () => {
    const system = new OtherSystem(1);
    for (const n of numbers(0, 10)) system.put(0, n);
    system.first = system.partitions[0]![4]!.offset;
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      counter(() => new Adapter(system), everything),
      launch,
    );
    await eachCounted(module, numbers(4, 10));
  });

  test("a task global without the methods cannot be a source: the launch names what it lacks", async () => {
    await using ipc = await InProcessCluster.create();
    const bad = moduleOf("Bad", (setup, topologies) => {
      setup.declareObject("*external", () => ({ endOffset: () => 0 }));
      topologies.stream("stream").source("*external").out("*record");
    });
    const refused = await errorOf(ipc.launchModule(bad, { tasks: 1, threads: 1, workers: 1 }));
    expect(refused.message).toContain(
      "*external is a source of stream, but no ExternalDepot: it lacks getNumPartitions, offsetAfterTimestampMillis, fetchFrom",
    );
  });
});

/** Each of the values has been counted once; waits until all are there. */
async function eachCounted(
  module: LaunchedModule,
  values: readonly number[],
  pstates: readonly string[] = ["$$streamed", "$$micro"],
): Promise<void> {
  for (const pstate of pstates) {
    const deadline = performance.now() + 20_000;
    let found: unknown[] = [];
    do found = await counts(module, pstate, values);
    while (found.includes(null) && performance.now() < deadline);
    expect(found).toEqual(values.map(() => 1));
  }
}

describe("DirectoryDepot", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "rama-directory-depot-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const append = (partition: number, values: readonly number[]) =>
    appendFileSync(join(dir, `${partition}.log`), values.map((n) => `{"n": ${n}, "at": ${1000 + n}}\n`).join(""));
  const depot = () =>
    new DirectoryDepot<{ n: number; at: number }>(dir, { keyOf: ({ n }) => `k${n % 2}`, timeOf: ({ at }) => at });

  test("a file is a partition, a line a record; a line counts once its newline is there", async () => {
    append(0, numbers(0, 3));
    append(2, [7]);
    appendFileSync(join(dir, "0.log"), '{"n": 3');
    writeFileSync(join(dir, "readme.txt"), "no partition");
    const files = depot();
    expect(await files.getNumPartitions()).toBe(3);
    expect(await Promise.all([0, 1, 2].map((p) => files.endOffset(p)))).toEqual([3, 0, 1]);
    expect(await files.fetchFrom(0, 1)).toEqual([
      [1, "k1", { n: 1, at: 1001 }],
      [2, "k0", { n: 2, at: 1002 }],
    ]);
    appendFileSync(join(dir, "0.log"), ', "at": 5}\n');
    expect(await files.fetchFrom(0, 3, 9)).toEqual([[3, "k1", { n: 3, at: 5 }]]);
    expect(await files.fetchFrom(1, 0)).toEqual([]);
    await files.close();
  });

  test("any range of a large file is found, in bounded answers, the same each time", async () => {
    append(0, numbers(0, 30_000));
    const files = depot();
    expect(await files.endOffset(0)).toBe(30_000);
    for (const from of [0, 1, 4095, 12_345, 29_999]) {
      const records = await files.fetchFrom(0, from, from + 50);
      expect(records.map(([offset]) => offset)).toEqual(numbers(from, Math.min(30_000, from + 50)));
      expect(records.every(([offset, , data]) => data.n === offset)).toBe(true);
    }
    expect((await files.fetchFrom(0, 0)).length).toBe(1000);
    expect(await files.offsetAfterTimestampMillis(0, 1000 + 20_000)).toBe(20_000);
    expect(await files.offsetAfterTimestampMillis(0, 999_999)).toBe(null);
    await files.close();
  });

  test("a line that cannot be decoded, a file that shrinks, a time without timeOf are named", async () => {
    append(0, [1]);
    appendFileSync(join(dir, "0.log"), "nonsense\n");
    const files = depot();
    await expect(files.fetchFrom(0, 0)).rejects.toThrow(/0\.log, line 2 cannot be decoded/);
    truncateSync(join(dir, "0.log"), 5);
    await expect(files.endOffset(0)).rejects.toThrow("has become shorter");
    await files.close();
    await expect(new DirectoryDepot(dir).offsetAfterTimestampMillis(0, 1)).rejects.toThrow("timeOf");
  });

  test("it is a source of both kinds of topology", async () => {
    for (const n of numbers(0, 40)) append(n % 3, [n]);
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(
      moduleOf("Counter", (setup, topologies) => {
        setup.declareObject("*files", depot);
        const s = topologies.stream("stream");
        s.pstate("$$streamed", PState.mapSchema(Number, Number));
        s.source("*files", StreamSourceOptions.startFromBeginning())
          .out(["*offset", "*key", { n: "*n" }])
          .hashPartition("*n")
          .compoundAgg("$$streamed", CompoundAgg.map("*n", Agg.count()));
        const m = topologies.microbatch("micro");
        m.pstate("$$micro", PState.mapSchema(Number, Number));
        m.source("*files", MicrobatchSourceOptions.startFromOffsetAfterTimestamp(1010))
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out(["*offset", "*key", { n: "*n" }])
          .hashPartition("*n")
          .compoundAgg("$$micro", CompoundAgg.map("*n", Agg.count()));
      }),
      launch,
    );
    for (const n of numbers(40, 50)) append(n % 3, [n]);
    await eachCounted(module, numbers(0, 50), ["$$streamed"]);
    await eachCounted(module, numbers(10, 50), ["$$micro"]);
  });
});
