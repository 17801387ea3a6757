// language.md 12, 6.4, 7.7, 9.5: microbatch topologies, by claim, over two workers.
import { describe, expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  expr,
  MicrobatchSourceOptions,
  Ops,
  Path,
  PState,
  plus,
  type RamaModule,
  type Setup,
  type Topologies,
} from "rama";
import { InProcessCluster, type InProcessOptions, type LaunchedModule } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2, workers: 2 };
type Microbatch = ReturnType<Topologies["microbatch"]>;

/** A module of one microbatch topology over the depot `*d`. */
function program(define: (mb: Microbatch, setup: Setup, topologies: Topologies) => void): RamaModule {
  return moduleOf("Program", (setup, topologies) => {
    setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
    define(topologies.microbatch("mb"), setup, topologies);
  });
}

async function running(
  module: RamaModule,
  use: (handle: LaunchedModule, ipc: InProcessCluster) => Promise<void>,
  options: InProcessOptions = {},
  config = launch,
): Promise<void> {
  await using ipc = await InProcessCluster.create(options);
  await use(await ipc.launchModule(module, config), ipc);
}

async function appendAll(handle: LaunchedModule, values: readonly unknown[]): Promise<void> {
  await Promise.all(values.map((value) => handle.depot("*d").append(value)));
}

/** All of them in one microbatch. */
async function together(handle: LaunchedModule, values: readonly unknown[]): Promise<void> {
  await handle.pause("mb");
  await appendAll(handle, values);
  await handle.resume("mb");
}

const valueAt = async (handle: LaunchedModule, pstate: string, key: unknown) =>
  (await handle.pstate(pstate).selectOne(Path.key(key))) ?? null;

const numbers = Array.from({ length: 20 }, (_, i) => i + 1);

describe("12.1 life cycle", () => {
  test("the topology sees what its own earlier microbatches and this one have written", () =>
    running(
      program((mb) => {
        mb.pstate("$$sum", PState.mapSchema(String, Number));
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .hashPartition("sum")
          .localSelect("$$sum", Path.key("sum").nullToVal(0))
          .out("*before")
          .localTransform("$$sum", Path.key("sum").termVal(plus("*before", "*n")));
      }),
      async (handle) => {
        await together(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        await appendAll(handle, [100]);
        await handle.waitForProcessed("mb", 21);
        expect(await valueAt(handle, "$$sum", "sum")).toBe(310);
      },
    ));

  test("what failed is undone and runs again with the same records; other effects may repeat", () => {
    const seen: number[] = [];
    let fail = true;
    return running(
      program((mb) => {
        mb.pstate("$$count", PState.mapSchema(Number, Number));
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .compoundAgg("$$count", CompoundAgg.map("*n", Agg.count()))
          .allPartition()
          .each(
            (n: number, task: number) => {
              if (task === 0) seen.push(n);
              if (fail && n === 13 && task === 3) {
                fail = false;
                throw new Error("thirteen");
              }
            },
            "*n",
            expr(Ops.CURRENT_TASK_ID),
          );
      }),
      async (handle) => {
        await together(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        for (const n of numbers) expect(await valueAt(handle, "$$count", n)).toBe(1);
        expect(new Set(seen)).toEqual(new Set(numbers));
        expect(fail).toBe(false);
      },
    );
  });

  test("a microbatch takes so many records of a partition at most", () => {
    const sizes = new Map<number, number>();
    return running(
      program((mb, setup) => {
        setup.setLaunchDepotDynamicOption("*d", "depot.microbatch.max.records", 3);
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .each((id: number) => void sizes.set(id, (sizes.get(id) ?? 0) + 1), expr(Ops.CURRENT_MICROBATCH_ID));
      }),
      async (handle) => {
        await together(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        expect(Math.max(...sizes.values())).toBe(3);
        expect([...sizes.values()].reduce((a, b) => a + b)).toBe(20);
      },
      {},
      { tasks: 1, threads: 1, workers: 1 },
    );
  });
});

describe("12.2 sources", () => {
  test("sources of one topology run in the same microbatch and are visible together", () =>
    running(
      moduleOf("Two", (setup, topologies) => {
        setup.declareDepot("*d", Depot.random());
        setup.declareDepot("*e", Depot.random());
        const mb = topologies.microbatch("mb");
        mb.pstate("$$ids", PState.mapSchema(String, PState.setSchema(Number)));
        for (const depot of ["*d", "*e"] as const) {
          mb.source(depot)
            .out("*mb")
            .explodeMicrobatch("*mb")
            .out("*x")
            .hashPartition("*x")
            .compoundAgg("$$ids", CompoundAgg.map("*x", Agg.set(expr(Ops.CURRENT_MICROBATCH_ID))));
        }
      }),
      async (handle) => {
        await handle.pause("mb");
        await handle.depot("*d").append("a");
        await handle.depot("*e").append("b");
        await handle.resume("mb");
        await handle.waitForProcessed("mb", 2);
        const a = await valueAt(handle, "$$ids", "a");
        expect(a.size).toBe(1);
        expect(await valueAt(handle, "$$ids", "b")).toEqual(a);
      },
    ));

  test("one depot may be read by several sources that have a sourceId", () =>
    running(
      program((mb) => {
        mb.pstate("$$n", PState.mapSchema(String, Number));
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .hashPartition("a")
          .compoundAgg("$$n", CompoundAgg.map("a", Agg.count()));
        mb.source("*d", MicrobatchSourceOptions.sourceId("again"))
          .out("*mb")
          .explodeMicrobatch("*mb")
          .hashPartition("b")
          .compoundAgg("$$n", CompoundAgg.map("b", Agg.count()));
      }),
      async (handle) => {
        await appendAll(handle, numbers);
        await handle.waitForProcessed("mb", 40);
        expect([await valueAt(handle, "$$n", "a"), await valueAt(handle, "$$n", "b")]).toEqual([20, 20]);
      },
    ));

  test("a handle may be exploded in several batch blocks: the same records each time", () =>
    running(
      program((mb) => {
        mb.pstate("$$r", PState.mapSchema(String, Object));
        mb.source("*d")
          .out("*mb")
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*n")
              .hashPartition("sum")
              .compoundAgg("$$r", CompoundAgg.map("sum", Agg.sum("*n"))),
          )
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*n")
              .hashPartition("count")
              .compoundAgg("$$r", CompoundAgg.map("count", Agg.count())),
          );
      }),
      async (handle) => {
        await appendAll(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        expect([await valueAt(handle, "$$r", "sum"), await valueAt(handle, "$$r", "count")]).toEqual([210, 20]);
      },
    ));

  test("records of one partition come in offset order", () => {
    const seen: number[] = [];
    return running(
      program((mb) => {
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .each((n: number) => void seen.push(n), "*n");
      }),
      async (handle) => {
        for (const n of numbers) await handle.depot("*d").append(n);
        await handle.waitForProcessed("mb", 20);
        expect(seen).toEqual(numbers);
      },
      {},
      { tasks: 1, threads: 1, workers: 1 },
    );
  });
});

describe("6.4, 7.7 batch blocks", () => {
  test("captureNewValInto: keys and new values of touched paths, once each; writes of post-agg", () => {
    const seen: unknown[][] = [];
    return running(
      program((mb) => {
        mb.pstate("$$stats", PState.mapSchema(Number, PState.mapSchema(String, PState.listSchema(Number))));
        mb.pstate("$$last", PState.mapSchema(Number, Number));
        mb.source("*d")
          .out("*mb")
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*n")
              .each(Ops.IS_EVEN, "*n")
              .out("*even")
              .each((even: boolean) => (even ? "even" : "odd"), "*even")
              .out("*kind")
              .each((n: number) => n % 3, "*n")
              .out("*rest")
              .hashPartition("*rest")
              .compoundAgg(
                "$$stats",
                CompoundAgg.map(
                  "*rest",
                  CompoundAgg.map(
                    "*kind",
                    CompoundAgg.list(Agg.count().captureNewValInto("*count"), Agg.sum("*n").captureNewValInto("*sum")),
                  ),
                ),
              )
              .localTransform("$$last", Path.key("*rest").termVal("*sum"))
              .each((...row: unknown[]) => void seen.push(row), "*rest", "*kind", "*count", "*sum"),
          );
      }),
      async (handle) => {
        await together(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        const of = (rest: number, even: boolean) => numbers.filter((n) => n % 3 === rest && (n % 2 === 0) === even);
        const row = (rest: number, even: boolean) => {
          const list = of(rest, even);
          return [rest, even ? "even" : "odd", list.length, list.reduce((a, b) => a + b)];
        };
        const sort = (rows: unknown[][]) => rows.map((each) => JSON.stringify(each)).toSorted();
        const wanted = [0, 1, 2].flatMap((rest) => [row(rest, true), row(rest, false)]);
        expect(sort(seen)).toEqual(sort(wanted));
        seen.length = 0;
        await appendAll(handle, [30]);
        await handle.waitForProcessed("mb", 21);
        expect(seen).toEqual([[0, "even", of(0, true).length + 1, of(0, true).reduce((a, b) => a + b) + 30]]);
        expect(await valueAt(handle, "$$last", 0)).toBe(seen[0]![3]);
      },
    );
  });

  test("an aggregation's value as a temporary PState is read by later code, and is gone with the microbatch", () => {
    const seen: unknown[] = [];
    return running(
      program((mb) => {
        mb.source("*d")
          .out("*mb")
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*n")
              .each((n: number) => n % 2, "*n")
              .out("*odd")
              .hashPartition("*odd")
              .compoundAgg(CompoundAgg.map("*odd", Agg.sum("*n")))
              .out("$$sums"),
          )
          .batchBlock(
            Block.allPartition()
              .localSelect("$$sums", Path.all())
              .out("*entry")
              .globalPartition()
              .agg(Agg.list("*entry"))
              .out("*all")
              .each((all: unknown[]) => void seen.push(all.toSorted()), "*all"),
          );
      }),
      async (handle) => {
        await together(handle, [1, 2, 3, 4]);
        await handle.waitForProcessed("mb", 4);
        await together(handle, [5]);
        await handle.waitForProcessed("mb", 5);
        const full = seen.filter((each) => (each as unknown[]).length > 0);
        expect(full).toEqual([
          [
            [0, 6],
            [1, 4],
          ],
          [[1, 5]],
        ]);
      },
    );
  });

  test("post-agg runs on every task in empty microbatches too", () => {
    const seen = new Map<number, number>();
    return running(
      program((mb) => {
        mb.source("*d")
          .out("*mb")
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*n")
              .hashPartition("*n")
              .agg(Agg.count())
              .out("*count")
              .each(
                (task: number, count: number) => void seen.set(task, (seen.get(task) ?? 0) + count),
                expr(Ops.CURRENT_TASK_ID),
                "*count",
              ),
          );
      }),
      async (handle) => {
        await appendAll(handle, [1]);
        await handle.waitForProcessed("mb", 1);
        expect([...seen.keys()].toSorted()).toEqual([0, 1, 2, 3]);
        expect([...seen.values()].reduce((a, b) => a + b)).toBe(1);
      },
    );
  });

  test("agg into a PState applies after all of pre-agg has read", () =>
    running(
      program((mb) => {
        mb.pstate("$$n", PState.mapSchema(String, Number));
        mb.pstate("$$seen", PState.mapSchema(String, PState.setSchema(Object)));
        mb.source("*d")
          .out("*mb")
          .batchBlock(
            Block.explodeMicrobatch("*mb")
              .out("*x")
              .hashPartition("k")
              .localSelect("$$n", Path.key("k"))
              .out("*before")
              .compoundAgg("$$n", CompoundAgg.map("k", Agg.count()))
              .compoundAgg("$$seen", CompoundAgg.map("k", Agg.set("*before"))),
          );
      }),
      async (handle) => {
        await together(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        expect(await valueAt(handle, "$$seen", "k")).toEqual(new Set([null]));
        expect(await valueAt(handle, "$$n", "k")).toBe(20);
      },
    ));

  test("batch structures are refused in stream topologies, with the line", async () => {
    const refusal = async (code: (source: Block) => unknown) => {
      await using ipc = await InProcessCluster.create();
      const module = moduleOf("Refused", (setup, topologies) => {
        setup.declareDepot("*d", Depot.random());
        code(topologies.stream("s").source("*d").out("*x"));
      });
      return errorOf(ipc.launchModule(module, { tasks: 1, threads: 1 }));
    };
    for (const code of [
      (s: Block) => s.batchBlock(Block.each(Ops.EXPLODE, [1])),
      (s: Block) => s.explodeMicrobatch("*x"),
      (s: Block) => s.groupBy("*x", Block.agg(Agg.count())),
    ]) {
      const error = await refusal(code);
      expect([error.code, error.message]).toEqual([
        "NOT_ALLOWED_HERE",
        expect.stringMatching(/^microbatch\.test\.ts:\d+: .* may not stand in the stream topology s/),
      ]);
    }
  });
});

describe("what takes time", () => {
  test("queries, promises and appends are waited for, and commit with the microbatch", () =>
    running(
      program((mb, setup, topologies) => {
        setup.declareDepot("*out", Depot.disallow());
        mb.pstate("$$r", PState.mapSchema(Number, Number));
        topologies
          .query("double", "*x")
          .out("*y")
          .hashPartition("*x")
          .each(Ops.TIMES, "*x", 2)
          .out("*y")
          .originPartition();
        const s = topologies.stream("s");
        s.pstate("$$copies", PState.mapSchema(Number, Number));
        s.source("*out").out("*y").compoundAgg("$$copies", CompoundAgg.map("*y", Agg.count()));
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .invokeQuery("double", "*n")
          .out("*y")
          .eachAsync(async (y: number) => y + 1, "*y")
          .out("*z")
          .hashPartition("*z")
          .depotPartitionAppend("*out", "*z")
          .localTransform("$$r", Path.key("*z").termVal("*n"));
      }),
      async (handle) => {
        await appendAll(handle, numbers);
        await handle.waitForProcessed("mb", 20);
        for (const n of numbers) expect(await valueAt(handle, "$$r", 2 * n + 1)).toBe(n);
        for (const n of numbers) expect(await valueAt(handle, "$$copies", 2 * n + 1)).toBe(1);
      },
    ));

  test("a promise that is rejected fails the microbatch, which runs again", () => {
    let fail = 2;
    return running(
      program((mb) => {
        mb.pstate("$$r", PState.mapSchema(Number, Number));
        mb.source("*d")
          .out("*mb")
          .explodeMicrobatch("*mb")
          .out("*n")
          .compoundAgg("$$r", CompoundAgg.map("*n", Agg.count()))
          .eachAsync(async () => {
            if (fail-- > 0) throw new Error("not yet");
          });
      }),
      async (handle) => {
        await appendAll(handle, [1]);
        await handle.waitForProcessed("mb", 1);
        expect(await valueAt(handle, "$$r", 1)).toBe(1);
      },
    );
  });
});

test("12.4 an append does not wait for microbatches, and a stream beside one gets its own records", () =>
  running(
    program((mb, _setup, topologies) => {
      mb.pstate("$$mb", PState.mapSchema(Number, Number));
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .compoundAgg("$$mb", CompoundAgg.map("*n", Agg.count()));
      const s = topologies.stream("s");
      s.pstate("$$s", PState.mapSchema(Number, Number));
      s.source("*d").out("*n").compoundAgg("$$s", CompoundAgg.map("*n", Agg.count()));
    }),
    async (handle) => {
      await handle.pause("mb");
      await appendAll(handle, [1]);
      expect(await valueAt(handle, "$$s", 1)).toBe(1);
      expect(await valueAt(handle, "$$mb", 1)).toBe(null);
      await handle.resume("mb");
      await handle.waitForProcessed("mb", 1);
      expect(await valueAt(handle, "$$mb", 1)).toBe(1);
    },
  ));

test("10.8 ticks come at most once per microbatch, when their period has passed, and count as records", () => {
  const ticks: number[] = [];
  return running(
    moduleOf("Ticks", (setup, topologies) => {
      setup.declareTickDepot("*tick", 15);
      topologies
        .microbatch("mb")
        .source("*tick")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .each((id: number) => void ticks.push(id), expr(Ops.CURRENT_MICROBATCH_ID));
    }),
    async (handle) => {
      const from = performance.now();
      await handle.waitForProcessed("mb", 4);
      expect(performance.now() - from).toBeLessThan(2000);
      expect(new Set(ticks).size).toBe(ticks.length);
    },
  );
});

test("a phase that takes too long fails the attempt", () => {
  let hang = true;
  return running(
    program((mb, setup) => {
      setup.setLaunchTopologyDynamicOption("mb", "topology.microbatch.phase.timeout.seconds", 0.05);
      mb.pstate("$$r", PState.mapSchema(Number, Number));
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out("*n")
        .compoundAgg("$$r", CompoundAgg.map("*n", Agg.count()))
        .eachAsync(async () => {
          if (hang) await new Promise(() => {});
        });
    }),
    async (handle) => {
      await appendAll(handle, [1]);
      await errorOf(handle.waitForProcessed("mb", 1, 200));
      hang = false;
      await handle.waitForProcessed("mb", 1);
      expect(await valueAt(handle, "$$r", 1)).toBe(1);
    },
  );
});

test("waiting for a count that does not come ends with the count reached", () =>
  running(
    program((mb) => {
      mb.source("*d").out("*mb").explodeMicrobatch("*mb");
    }),
    async (handle) => {
      await appendAll(handle, [1]);
      await handle.waitForProcessed("mb", 1);
      const error = await errorOf(handle.waitForProcessed("mb", 2, 50));
      expect([error.code, error.message]).toEqual([
        "TIMEOUT",
        expect.stringMatching(/2 processed records of mb.*1 are/),
      ]);
    },
  ));
