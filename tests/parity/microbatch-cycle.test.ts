// language.md 12: what runs where and how often in a microbatch, ids, kept rows, start points, pauses.
import { expect, test } from "bun:test";
import {
  Block,
  Depot,
  expr,
  MicrobatchSourceOptions,
  Ops,
  Path,
  PState,
  type Setup,
  StreamSourceOptions,
  type Topologies,
} from "rama";
import { InProcessCluster, type InProcessOptions, type LaunchedModule } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2, workers: 2 };
type Microbatch = ReturnType<Topologies["microbatch"]>;

async function running(
  define: (mb: Microbatch, setup: Setup) => void,
  use: (handle: LaunchedModule, ipc: InProcessCluster) => Promise<void>,
  options: InProcessOptions = {},
): Promise<void> {
  await using ipc = await InProcessCluster.create(options);
  const module = moduleOf("M", (setup, topologies) => {
    setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
    define(topologies.microbatch("mb"), setup);
  });
  await use(await ipc.launchModule(module, launch), ipc);
}

async function appendAll(handle: LaunchedModule, values: readonly unknown[]): Promise<void> {
  await Promise.all(values.map((value) => handle.depot("*d").append(value)));
}

async function together(handle: LaunchedModule, values: readonly unknown[]): Promise<void> {
  await handle.pause("mb");
  await appendAll(handle, values);
  await handle.resume("mb");
}

const ten = Array.from({ length: 10 }, (_, i) => i);

test("explodeMicrobatch emits on the task of the record's partition", () =>
  running(
    (mb) => {
      mb.pstate("$$p", PState.mapSchema(Number, Number));
      // No partitioner: each key is where its hash is, since that is how the depot is partitioned.
      mb.source("*d").out("*mb").explodeMicrobatch("*mb").out("*n").localTransform("$$p", Path.key("*n").termVal("*n"));
    },
    async (handle) => {
      await appendAll(handle, ten);
      await handle.waitForProcessed("mb", 10);
      for (const n of ten) expect(await handle.pstate("$$p").selectOne(Path.key(n))).toBe(n);
    },
  ));

test("code before the records runs once per microbatch, on task 0", () => {
  const ran: [id: number, task: number][] = [];
  return running(
    (mb) => {
      mb.source("*d")
        .out("*mb")
        .each(
          (id: number, task: number) => void ran.push([id, task]),
          expr(Ops.CURRENT_MICROBATCH_ID),
          expr(Ops.CURRENT_TASK_ID),
        )
        .explodeMicrobatch("*mb")
        .out("*n");
    },
    async (handle) => {
      await together(handle, ten);
      await handle.waitForProcessed("mb", 10);
      expect(ran.length).toBeGreaterThan(0);
      expect(new Set(ran.map(([, task]) => task))).toEqual(new Set([0]));
      expect(new Set(ran.map(([id]) => id)).size).toBe(ran.length);
    },
  );
});

test("after a batch block the code is on task 0", () => {
  const tasks: number[] = [];
  return running(
    (mb) => {
      mb.source("*d")
        .out("*mb")
        .batchBlock(Block.explodeMicrobatch("*mb").out("*n").allPartition().each(Ops.INC, "*n").out("*m"))
        .each((task: number) => void tasks.push(task), expr(Ops.CURRENT_TASK_ID));
    },
    async (handle) => {
      await together(handle, ten);
      await handle.waitForProcessed("mb", 10);
      expect(new Set(tasks)).toEqual(new Set([0]));
    },
  );
});

test("CURRENT_MICROBATCH_ID is the same in every attempt and goes up by one", () => {
  const ids: number[] = [];
  let failures = 2;
  return running(
    (mb) => {
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .each((id: number) => {
          ids.push(id);
          if (failures-- > 0) throw new Error("again");
        }, expr(Ops.CURRENT_MICROBATCH_ID));
    },
    async (handle) => {
      for (const n of [1, 2, 3]) {
        await appendAll(handle, [n]);
        await handle.waitForProcessed("mb", n);
      }
      const [first] = ids;
      expect(ids.slice(0, 3)).toEqual([first!, first!, first!]);
      expect(ids.length).toBe(5);
      expect(ids.toSorted((a, b) => a - b)).toEqual(ids);
      expect(new Set(ids).size).toBe(3);
    },
  );
});

test("materialized rows are exploded by later batch blocks, in the same microbatch only", () => {
  const seen: [id: number, n: number, twice: number][] = [];
  return running(
    (mb) => {
      mb.source("*d")
        .out("*mb")
        .batchBlock(
          Block.explodeMicrobatch("*mb")
            .out("*n")
            .each(Ops.TIMES, "*n", 2)
            .out("*twice")
            .materialize("*n", "*twice")
            .out("$$rows"),
        )
        .batchBlock(
          Block.explodeMaterialized("$$rows")
            .out("*n", "*twice")
            .each(
              (id: number, n: number, twice: number) => void seen.push([id, n, twice]),
              expr(Ops.CURRENT_MICROBATCH_ID),
              "*n",
              "*twice",
            ),
        );
    },
    async (handle) => {
      await together(handle, ten);
      await handle.waitForProcessed("mb", 10);
      await together(handle, [100]);
      await handle.waitForProcessed("mb", 11);
      const [firstId] = seen[0]!;
      expect(
        seen
          .filter(([id]) => id === firstId)
          .map(([, n, twice]) => [n, twice])
          .toSorted((a, b) => a[0]! - b[0]!),
      ).toEqual(ten.map((n) => [n, 2 * n]));
      expect(seen.filter(([id]) => id !== firstId).map(([, n]) => n)).toEqual([100]);
    },
  );
});

test("start points of microbatch sources", async () => {
  const version = (sources: boolean) =>
    moduleOf("M", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      if (!sources) return;
      const mb = topologies.microbatch("mb");
      mb.pstate("$$seen", PState.mapSchema(String, PState.setSchema(Number)));
      const source = (name: string, options: MicrobatchSourceOptions) =>
        mb
          .source("*d", options.sourceId(name))
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .hashPartition(name)
          .localTransform("$$seen", Path.key(name).voidSetElem().termVal("*n"));
      source("beginning", MicrobatchSourceOptions.startFromBeginning());
      source("end", MicrobatchSourceOptions.none());
      source("ago", MicrobatchSourceOptions.startFromOffsetAgo(2, "RECORDS"));
      source("since", MicrobatchSourceOptions.startFromOffsetAfterTimestamp(0));
    });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(version(false), launch);
  for (const n of [1, 2, 3]) await handle.depot("*d").append(n);
  await ipc.updateModule(version(true));
  await handle.depot("*d").append(4);
  await handle.waitForProcessed("mb", 4 + 1 + 3 + 4);
  const seen = async (name: string) => handle.pstate("$$seen").selectOne(Path.key(name));
  expect(await seen("beginning")).toEqual(new Set([1, 2, 3, 4]));
  expect(await seen("end")).toEqual(new Set([4]));
  expect(await seen("ago")).toEqual(new Set([2, 3, 4]));
  expect(await seen("since")).toEqual(new Set([1, 2, 3, 4]));
});

test("a retry mode on a microbatch source is refused", async () => {
  const error = await errorOf(
    running(
      (mb) => void mb.source("*d", StreamSourceOptions.retryNone() as never).out("*mb"),
      async () => {},
    ),
  );
  expect([error.code, error.message]).toEqual(["BAD_MODULE", expect.stringContaining("MicrobatchSourceOptions")]);
});

test("new records end the idle sleep at once", () =>
  running(
    (mb, setup) => {
      setup.setLaunchTopologyDynamicOption("mb", "topology.microbatch.empty.sleep.time.millis", 600_000);
      mb.pstate("$$p", PState.mapSchema(Number, Number));
      mb.source("*d").out("*mb").explodeMicrobatch("*mb").out("*n").localTransform("$$p", Path.key("*n").termVal(1));
    },
    async (handle) => {
      // Ten minutes would be over the limit of any test.
      for (const n of [1, 2, 3]) {
        await appendAll(handle, [n]);
        await handle.waitForProcessed("mb", n);
      }
      expect(await handle.pstate("$$p").selectOne(Path.key(3))).toBe(1);
    },
  ));

test("force.delay pauses between microbatches", () => {
  const times: number[] = [];
  return running(
    (mb, setup) => {
      setup.setLaunchTopologyDynamicOption("mb", "topology.microbatch.force.delay.millis", 40);
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .each(() => void times.push(performance.now()));
    },
    async (handle) => {
      for (const n of [1, 2, 3]) {
        await appendAll(handle, [n]);
        await handle.waitForProcessed("mb", n);
      }
      for (const i of [1, 2]) expect(times[i]! - times[i - 1]!).toBeGreaterThanOrEqual(39);
    },
  );
});

test("an absent subindexed structure is empty", () =>
  running(
    (mb) => {
      mb.pstate("$$sub", PState.mapSchema(Number, PState.mapSchema(Number, Number).subindexed()));
      mb.pstate("$$sizes", PState.mapSchema(Number, Number));
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .localSelect("$$sub", Path.key("*n").view(Ops.SIZE))
        .out("*size")
        .localTransform("$$sizes", Path.key("*n").termVal("*size"));
    },
    async (handle) => {
      await appendAll(handle, [4]);
      await handle.waitForProcessed("mb", 1);
      expect(await handle.pstate("$$sizes").selectOne(Path.key(4))).toBe(0);
      expect(await handle.pstate("$$sub").select(Path.key(4).mapVals())).toEqual([]);
      expect(await handle.pstate("$$sub").selectOne(Path.key(4).sortedMapRangeFrom(0))).toEqual(new Map());
    },
  ));
