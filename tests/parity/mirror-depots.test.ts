// language.md 4, 11, 12, 15; cluster.md 6.6: depots of other modules as sources of stream and microbatch topologies, with more and with fewer tasks than the other
// module has.
import { describe, expect, test } from "bun:test";
import {
  Agg,
  CompoundAgg,
  Depot,
  Helpers,
  MicrobatchSourceOptions,
  OffsetAgo,
  Ops,
  Path,
  PState,
  type RamaModule,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const remoteTasks = 4;
const owner = (more?: (setup: Setup, topologies: Topologies) => void) =>
  moduleOf("Owner", (setup, topologies) => {
    setup.declareDepot("*numbers", Depot.hashBy(Ops.IDENTITY));
    setup.declareDepot("*global", Depot.random()).global();
    setup.declareTickDepot("*tick", 1000);
    more?.(setup, topologies);
  });

type Source = ReturnType<ReturnType<Topologies["stream"]>["source"]>;

/** Counts each record by stream and by microbatch; keeps the order in which a task saw them. */
function counter(name: string, options: { stream?: StreamSourceOptions; microbatch?: MicrobatchSourceOptions } = {}) {
  return moduleOf(name, (setup, topologies) => {
    setup.clusterDepot("*theirs", "Owner", "*numbers");
    const s = topologies.stream("stream");
    s.pstate("$$streamed", PState.mapSchema(Number, Number));
    s.pstate("$$tasks", PState.mapSchema(Number, PState.listSchema(Number)));
    s.source("*theirs", options.stream)
      .out("*n")
      .each(Ops.CURRENT_TASK_ID)
      .out("*task")
      .compoundAgg("$$tasks", CompoundAgg.map("*task", Agg.list("*n")))
      .hashPartition("*n")
      .compoundAgg("$$streamed", CompoundAgg.map("*n", Agg.count()));
    const m = topologies.microbatch("micro");
    m.pstate("$$micro", PState.mapSchema(Number, Number));
    m.source("*theirs", options.microbatch)
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*n")
      .hashPartition("*n")
      .compoundAgg("$$micro", CompoundAgg.map("*n", Agg.count()));
  });
}

const everything = {
  stream: StreamSourceOptions.startFromBeginning(),
  microbatch: MicrobatchSourceOptions.startFromBeginning(),
};

const appendAll = (to: LaunchedModule, values: readonly number[], level: "appendAck" | "ack" = "appendAck") =>
  Promise.all(values.map((value) => to.depot("*numbers").append(value, level)));

async function countsOf(module: LaunchedModule, pstate: string, values: readonly number[]): Promise<unknown[]> {
  return Promise.all(values.map((n) => module.pstate(pstate).selectOne(Path.key(n))));
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
const ones = (values: readonly unknown[]) => values.map(() => 1);

async function bothProcessed(module: LaunchedModule, count: number): Promise<void> {
  await module.waitForProcessed("stream", count, 20_000);
  await module.waitForProcessed("micro", count, 20_000);
}

async function cluster(
  use: (ipc: InProcessCluster, theirs: LaunchedModule) => Promise<void>,
  module: RamaModule = owner(),
): Promise<void> {
  await using ipc = await InProcessCluster.create();
  await use(ipc, await ipc.launchModule(module, { tasks: remoteTasks, threads: 2, workers: 2 }));
}

const shapes = [
  ["as many tasks", { tasks: 4, threads: 2, workers: 1 }],
  ["more tasks, two workers", { tasks: 8, threads: 4, workers: 2 }],
  ["fewer tasks", { tasks: 2, threads: 2, workers: 2 }],
  ["one task", { tasks: 1, threads: 1, workers: 1 }],
] as const;

describe("15 mirror depots as sources", () => {
  test.each(shapes)("every record is processed once by stream and by microbatch, with %s", (_what, launch) =>
    cluster(async (ipc, theirs) => {
      const values = numbers(0, 400);
      await appendAll(theirs, values.slice(0, 200));
      const mine = await ipc.launchModule(counter("Mine", everything), launch);
      await appendAll(theirs, values.slice(200));
      await bothProcessed(mine, 400);
      expect(await countsOf(mine, "$$streamed", values)).toEqual(ones(values));
      expect(await countsOf(mine, "$$micro", values)).toEqual(ones(values));
    }),
  );

  test.each(shapes)("each remote partition is read on one task, in order, with %s", (_what, launch) =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(counter("Mine", everything), launch);
      for (const n of numbers(0, 100)) await theirs.depot("*numbers").append(n, "appendAck");
      await bothProcessed(mine, 100);
      const seen = new Map<number, number[]>();
      const keys = Helpers.genHashingIndexKeys(launch.tasks) as string[];
      for (let task = 0; task < launch.tasks; task++) {
        const list = await mine.pstate("$$tasks").selectOne<number[]>(keys[task], Path.key(task));
        if (list !== null && list !== undefined) seen.set(task, list);
      }
      for (let partition = 0; partition < remoteTasks; partition++) {
        const { endOffset } = await theirs.depot("*numbers").getPartitionInfo(partition);
        const records = await theirs.depot("*numbers").read(partition, 0, endOffset);
        const list = seen.get(partition % launch.tasks)!;
        expect(list.filter((n) => records.includes(n))).toEqual(records);
      }
      expect([...seen.values()].flat().length).toBe(100);
    }),
  );

  test("a source starts at the end, which is fixed before the launch resolves", () =>
    cluster(async (ipc, theirs) => {
      await appendAll(theirs, numbers(0, 50));
      const mine = await ipc.launchModule(counter("Mine"), { tasks: 2, threads: 1, workers: 1 });
      await appendAll(theirs, numbers(50, 80));
      await bothProcessed(mine, 30);
      expect(await countsOf(mine, "$$streamed", numbers(50, 80))).toEqual(ones(numbers(50, 80)));
      expect(await countsOf(mine, "$$micro", numbers(50, 80))).toEqual(ones(numbers(50, 80)));
      expect(await countsOf(mine, "$$streamed", [0, 49])).toEqual([null, null]);
    }));

  test("startFromOffsetAgo and startFromOffsetAfterTimestamp mean the remote partition", () =>
    cluster(async (ipc, theirs) => {
      await appendAll(theirs, numbers(0, 40));
      const between = Date.now() + 1;
      while (Date.now() <= between);
      await appendAll(theirs, numbers(40, 60));
      const ago = await ipc.launchModule(
        counter("Ago", {
          stream: StreamSourceOptions.startFromOffsetAgo(1, OffsetAgo.RECORDS),
          microbatch: MicrobatchSourceOptions.startFromOffsetAgo(1, OffsetAgo.DAYS),
        }),
        { tasks: 2, threads: 1, workers: 1 },
      );
      await ago.waitForProcessed("stream", remoteTasks, 20_000);
      await ago.waitForProcessed("micro", 60, 20_000);
      const after = await ipc.launchModule(
        counter("After", {
          stream: StreamSourceOptions.startFromOffsetAfterTimestamp(between),
          microbatch: MicrobatchSourceOptions.startFromOffsetAfterTimestamp(between),
        }),
        { tasks: 8, threads: 2, workers: 2 },
      );
      await bothProcessed(after, 20);
      expect(await countsOf(after, "$$micro", numbers(0, 60))).toEqual([...Array(40).fill(null), ...Array(20).fill(1)]);
    }));

  test("a global depot has one partition, on task 0", () =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.clusterDepot("*theirs", "Owner", "*global");
          const s = topologies.stream("stream");
          s.pstate("$$seen", PState.mapSchema(Number, Number));
          s.source("*theirs")
            .each(Ops.CURRENT_TASK_ID)
            .out("*task")
            .compoundAgg("$$seen", CompoundAgg.map("*task", Agg.count()));
        }),
        { tasks: 4, threads: 2, workers: 1 },
      );
      for (const n of numbers(0, 5)) await theirs.depot("*global").append(n, "appendAck");
      await mine.waitForProcessed("stream", 5, 20_000);
      expect(await mine.pstate("$$seen").selectOne(Helpers.genHashingIndexKeys(4)[0], Path.key(0))).toBe(5);
    }));

  test("several sources with a sourceId read the same depot, each for itself", () =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.clusterDepot("*theirs", "Owner", "*numbers");
          const s = topologies.stream("stream");
          s.pstate("$$sum", PState.mapSchema(String, Number)).global();
          for (const id of ["a", "b"]) {
            const source: Source = s.source("*theirs", StreamSourceOptions.sourceId(id));
            source
              .out("*n")
              .globalPartition()
              .compoundAgg("$$sum", CompoundAgg.map(id, Agg.sum("*n")));
          }
        }),
        { tasks: 2, threads: 1, workers: 1 },
      );
      await appendAll(theirs, numbers(0, 10));
      await mine.waitForProcessed("stream", 20, 20_000);
      expect(await mine.pstate("$$sum").select(Path.mapVals())).toEqual([45, 45]);
    }));

  test("a tick depot of another module is refused at launch", () =>
    cluster(async (ipc) => {
      const bad = moduleOf("Bad", (setup, topologies) => {
        setup.clusterDepot("*theirs", "Owner", "*tick");
        topologies.stream("stream").source("*theirs").out("*n");
      });
      expect(await codeOf(ipc.launchModule(bad, { tasks: 1, threads: 1, workers: 1 }))).toBe("MISSING_DEPENDENCY");
    }));

  test("an ACK append does not wait for topologies of other modules", () =>
    cluster(async (ipc, theirs) => {
      let failing = true;
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.clusterDepot("*theirs", "Owner", "*numbers");
          topologies
            .stream("stream")
            .source("*theirs")
            .out("*n")
            .each((n: number) => {
              if (failing) throw new Error("not now");
              return n;
            }, "*n")
            .out("*m")
            .ackReturn("*m");
        }),
        { tasks: 2, threads: 1, workers: 1 },
      );
      expect(await theirs.depot("*numbers").append(1, "ack")).toEqual({});
      failing = false;
      await mine.waitForProcessed("stream", 1, 20_000);
    }));

  test.each(["individual", "allAfter"] as const)("failed records are fetched again and retried: %s", (retry) =>
    cluster(async (ipc, theirs) => {
      const failed = new Set<number>();
      const seen: number[] = [];
      const options =
        retry === "individual" ? StreamSourceOptions.retryIndividual() : StreamSourceOptions.retryAllAfter();
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.clusterDepot("*theirs", "Owner", "*global");
          const s = topologies.stream("stream");
          s.source("*theirs", options)
            .out("*n")
            .each((n: number) => {
              if (n % 7 === 3 && !failed.has(n)) {
                failed.add(n);
                throw new Error("first time");
              }
              seen.push(n);
              return n;
            }, "*n");
        }),
        { tasks: 2, threads: 1, workers: 1 },
      );
      for (const n of numbers(0, 30)) await theirs.depot("*global").append(n, "appendAck");
      await mine.waitForProcessed("stream", 30, 20_000);
      expect(failed.size).toBe(4);
      if (retry === "individual") expect([...seen].sort((a, b) => a - b)).toEqual(numbers(0, 30));
      else expect([...new Set(seen)]).toEqual(numbers(0, 30));
    }),
  );

  test("a microbatch that fails takes the same records again", () =>
    cluster(async (ipc, theirs) => {
      const attempts: number[][] = [[]];
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.clusterDepot("*theirs", "Owner", "*global");
          const m = topologies.microbatch("micro");
          m.pstate("$$sum", PState.mapSchema(String, Number)).global();
          m.source("*theirs")
            .out("*mb")
            .explodeMicrobatch("*mb")
            .out("*n")
            .each((n: number) => {
              attempts.at(-1)!.push(n);
              if (n === 4 && attempts.length < 3) {
                attempts.push([]);
                throw new Error("again");
              }
              return n;
            }, "*n")
            .globalPartition()
            .compoundAgg("$$sum", CompoundAgg.map("all", Agg.sum("*n")));
        }),
        { tasks: 2, threads: 2, workers: 2 },
      );
      await mine.pause("micro");
      for (const n of numbers(0, 5)) await theirs.depot("*global").append(n, "appendAck");
      await mine.resume("micro");
      await mine.waitForProcessed("micro", 5, 20_000);
      expect(await mine.pstate("$$sum").selectOne(Path.key("all"))).toBe(10);
      expect(attempts.length).toBe(3);
      expect(attempts.at(-1)!.at(-1)).toBe(4);
    }));
});

describe("dead letters", () => {
  /** Refuses the numbers of `bad`, in both topologies. */
  const picky = (bad: ReadonlySet<number>) =>
    moduleOf("Mine", (setup, topologies) => {
      setup.clusterDepot("*theirs", "Owner", "*numbers");
      const refuse = (n: number) => {
        if (bad.has(n)) throw new Error(`not ${n}`);
      };
      const s = topologies.stream("stream");
      s.pstate("$$streamed", PState.mapSchema(Number, Number));
      s.source("*theirs", StreamSourceOptions.deadLetterAfter(2))
        .out("*n")
        .each(refuse, "*n")
        .hashPartition("*n")
        .compoundAgg("$$streamed", CompoundAgg.map("*n", Agg.count()));
      const m = topologies.microbatch("micro");
      m.pstate("$$micro", PState.mapSchema(Number, Number));
      m.source("*theirs", MicrobatchSourceOptions.deadLetterAfter(2))
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .each(refuse, "*n")
        .hashPartition("*n")
        .compoundAgg("$$micro", CompoundAgg.map("*n", Agg.count()));
    });

  test("records of a remote partition are set aside, kept over an update, and run again when it is asked for", () =>
    cluster(async (ipc, theirs) => {
      const bad = new Set([3, 17]);
      const mine = await ipc.launchModule(picky(bad), { tasks: 2, threads: 2, workers: 2 });
      await appendAll(theirs, numbers(0, 20));
      await bothProcessed(mine, 20);
      const letters = () =>
        mine
          .deadLetters()
          .map(({ topology, record }) => `${topology} ${String(record)}`)
          .sort();
      const all = ["micro 17", "micro 3", "stream 17", "stream 3"];
      while (letters().length < 4) await Bun.sleep(5);
      expect(letters()).toEqual(all);
      for (const { partition, depot, record } of mine.deadLetters()) {
        expect(depot).toBe("*theirs");
        const { endOffset } = await theirs.depot("*numbers").getPartitionInfo(partition);
        expect(await theirs.depot("*numbers").read(partition, 0, endOffset)).toContain(record as number);
      }
      await mine.update(picky(new Set()));
      expect(letters()).toEqual(all);
      expect(await mine.retryDeadLetters()).toBe(4);
      while (letters().length > 0) await Bun.sleep(5);
      expect(await countsOf(mine, "$$streamed", numbers(0, 20))).toEqual(ones(numbers(0, 20)));
      expect(await countsOf(mine, "$$micro", numbers(0, 20))).toEqual(ones(numbers(0, 20)));
    }));
});

describe("10.5 trimming", () => {
  test.each([
    [true, "keeps what topologies of other modules have not processed"],
    [false, "that does not heed other modules goes on without them, and their topologies skip to what is left"],
  ] as const)(
    "with depot.trim.coordinate.remote.topologies %p trimming %s",
    (coordinate) =>
      cluster(
        async (ipc, theirs) => {
          const mine = await ipc.launchModule(counter("Mine"), { tasks: 2, threads: 1, workers: 1 });
          await appendAll(theirs, numbers(0, 8));
          await bothProcessed(mine, 8);
          await mine.pause("stream");
          await mine.pause("micro");
          await appendAll(theirs, numbers(100, 300));
          const starts = () =>
            Promise.all(
              numbers(0, remoteTasks).map(
                async (p) => (await theirs.depot("*numbers").getPartitionInfo(p)).startOffset,
              ),
            );
          const trimmed = async () => (await starts()).every((start) => start > 10);
          if (!coordinate) while (!(await trimmed()));
          else {
            // Another depot of the same size is trimmed meanwhile.
            for (const n of numbers(0, 60)) await theirs.depot("*global").append(n, "appendAck");
            while ((await theirs.depot("*global").getPartitionInfo(0)).startOffset === 0);
            expect(Math.max(...(await starts()))).toBeLessThanOrEqual(8);
          }
          await mine.resume("stream");
          await mine.resume("micro");
          if (coordinate) {
            await bothProcessed(mine, 208);
            expect(await countsOf(mine, "$$micro", numbers(100, 300))).toEqual(ones(numbers(100, 300)));
            expect(await countsOf(mine, "$$streamed", numbers(100, 300))).toEqual(ones(numbers(100, 300)));
            // What is needed is told with the next fetch, after 5 s at most.
            while (!(await trimmed())) await Bun.sleep(50);
          } else {
            await theirs.depot("*numbers").append(1000, "appendAck");
            while ((await countsOf(mine, "$$micro", [1000]))[0] !== 1);
            while ((await countsOf(mine, "$$streamed", [1000]))[0] !== 1);
          }
        },
        owner((setup) => {
          setup.setLaunchModuleDynamicOption("depot.trim.interval.millis", 20);
          for (const depot of ["*numbers", "*global"] as const) {
            setup.setLaunchDepotDynamicOption(depot, "depot.max.entries.per.partition", 5);
            setup.setLaunchDepotDynamicOption(depot, "depot.trim.coordinate.remote.topologies", coordinate);
          }
        }),
      ),
    30_000,
  );
});

describe("15, 16 updates", () => {
  test("an update of the mirrored module is transparent", () =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(counter("Mine", everything), { tasks: 2, threads: 2, workers: 1 });
      await appendAll(theirs, numbers(0, 50));
      const going = appendAll(theirs, numbers(50, 100));
      await theirs.update(owner((setup) => setup.declareDepot("*another", Depot.random())));
      await going;
      await appendAll(theirs, numbers(100, 150));
      await bothProcessed(mine, 150);
      expect(await countsOf(mine, "$$streamed", numbers(0, 150))).toEqual(ones(numbers(0, 150)));
      expect(await countsOf(mine, "$$micro", numbers(0, 150))).toEqual(ones(numbers(0, 150)));
    }));

  test("progress is kept by source and remote partition over an update of the reading module", () =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(counter("Mine", everything), { tasks: 2, threads: 2, workers: 2 });
      await appendAll(theirs, numbers(0, 50));
      await bothProcessed(mine, 50);
      const going = appendAll(theirs, numbers(50, 100));
      await mine.update(counter("Mine", everything));
      await going;
      await appendAll(theirs, numbers(100, 120));
      await bothProcessed(mine, 120);
      expect(await countsOf(mine, "$$micro", numbers(0, 120))).toEqual(ones(numbers(0, 120)));
      expect(await countsOf(mine, "$$streamed", numbers(0, 120))).toEqual(ones(numbers(0, 120)));
    }));

  test("two modules come to read each other by updates, and then neither can be destroyed", () =>
    cluster(async (ipc, theirs) => {
      const mine = await ipc.launchModule(
        moduleOf("Mine", (setup, topologies) => {
          setup.declareDepot("*back", Depot.random());
          setup.clusterDepot("*theirs", "Owner", "*numbers");
          topologies.stream("stream").source("*theirs").out("*n").depotPartitionAppend("*back", "*n");
        }),
        { tasks: 2, threads: 1, workers: 1 },
      );
      await theirs.update(
        owner((setup, topologies) => {
          setup.clusterDepot("*back", "Mine", "*back");
          const m = topologies.microbatch("micro");
          m.pstate("$$back", PState.mapSchema(Number, Number)).global();
          m.source("*back")
            .out("*mb")
            .explodeMicrobatch("*mb")
            .out("*n")
            .globalPartition()
            .compoundAgg("$$back", CompoundAgg.map("*n", Agg.count()));
        }),
      );
      await appendAll(theirs, numbers(0, 20));
      await theirs.waitForProcessed("micro", 20, 20_000);
      expect(await theirs.pstate("$$back").select(Path.mapVals())).toEqual(ones(numbers(0, 20)));
      expect(await codeOf(mine.destroy())).toBe("DEPENDED_ON");
      expect(await codeOf(theirs.destroy())).toBe("DEPENDED_ON");
      await theirs.update(owner(), { objectsToDelete: ["$$back"] });
      await mine.destroy();
      await theirs.destroy();
    }));
});

test("records of another module's depot that fail are set aside with their bytes, and processed when the code is mended", () =>
  cluster(async (ipc, theirs) => {
    let isBad = true;
    const check = (n: number) => {
      if (isBad && n % 7 === 3) throw new Error(`bad number ${n}`);
      return n;
    };
    const ours = await ipc.launchModule(
      moduleOf("Careful", (setup, topologies) => {
        setup.clusterDepot("*theirs", "Owner", "*numbers");
        const s = topologies.stream("stream");
        s.pstate("$$streamed", PState.mapSchema(Number, Number));
        s.source("*theirs", StreamSourceOptions.startFromBeginning().deadLetterAfter(2))
          .out("*n")
          .each(check, "*n")
          .out("*m")
          .hashPartition("*m")
          .compoundAgg("$$streamed", CompoundAgg.map("*m", Agg.count()));
        const m = topologies.microbatch("micro");
        m.pstate("$$micro", PState.mapSchema(Number, Number));
        m.source("*theirs", MicrobatchSourceOptions.startFromBeginning().deadLetterAfter(2))
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .each(check, "*n")
          .out("*m")
          .hashPartition("*m")
          .compoundAgg("$$micro", CompoundAgg.map("*m", Agg.count()));
      }),
      { tasks: 2, threads: 2, workers: 2 },
    );
    const values = numbers(0, 30);
    await appendAll(theirs, values);
    await bothProcessed(ours, values.length);
    const bad = values.filter((n) => n % 7 === 3);
    for (const topology of ["stream", "micro"]) {
      const letters = ours.deadLetters().filter((letter) => letter.topology === topology);
      expect(letters.map(({ record }) => record).sort(byNumber)).toEqual(bad);
      expect(letters.every(({ depot, failures }) => depot === "*theirs" && failures >= 2)).toBe(true);
    }
    isBad = false;
    expect(await ours.retryDeadLetters()).toBe(2 * bad.length);
    const endMs = performance.now() + 20_000;
    while (ours.deadLetters().length > 0 && performance.now() < endMs) await new Promise(setImmediate);
    expect(ours.deadLetters()).toEqual([]);
    for (const pstate of ["$$streamed", "$$micro"]) expect(await countsOf(ours, pstate, values)).toEqual(ones(values));
  }));

function byNumber(a: unknown, b: unknown): number {
  return (a as number) - (b as number);
}
