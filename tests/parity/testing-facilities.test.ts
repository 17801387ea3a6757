// language.md 17: what tests of modules are written with.
import { expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, emit, emitStream, Ops, operation, Path, PState, RamaModule } from "rama";
import { InProcessCluster, LaunchConfig, MockOutputCollector, TestPState } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

test("MockOutputCollector runs generators and callback operations and keeps their emits", async () => {
  const collector = new MockOutputCollector();
  await collector.run(function* (n: number) {
    yield n;
    yield emit(n, n + 1);
    yield emitStream("odd", n);
  }, 3);
  expect(collector.getEmits()).toEqual([
    [null, [3]],
    [null, [3, 4]],
    ["odd", [3]],
  ]);
  expect(collector.getEmitsByStream()).toEqual(
    new Map<string | null, unknown[][]>([
      [null, [[3], [3, 4]]],
      ["odd", [[3]]],
    ]),
  );
  const other = new MockOutputCollector();
  await other.run(
    operation((x: string, c) => {
      c.emit(x);
      c.emitStream("s", x, x);
      c.emit();
    }),
    "a",
  );
  expect(other.getEmits()).toEqual([
    [null, ["a"]],
    ["s", ["a", "a"]],
    [null, []],
  ]);
});

test("MockOutputCollector.run is static too", async () => {
  const collector = await MockOutputCollector.run(function* () {
    yield 1;
  });
  expect(collector.getEmits()).toEqual([[null, [1]]]);
});

test("TestPState: select, selectOne, transform, close; schemas of classes", async () => {
  await using p = await TestPState.create(PState.mapSchema(String, Number));
  await p.transform(Path.key("a").termVal(1));
  expect(await p.select(Path.mapVals())).toEqual([1]);
  expect(await p.selectOne(Path.key("a"))).toBe(1);
  const value = await TestPState.create(Number);
  expect(await value.selectOne(Path.stay())).toBe(null);
  await value.transform(Path.termVal(5));
  expect(await value.selectOne(Path.stay())).toBe(5);
  await value.close();
});

test("TestPState in a detached block, aggregated", async () => {
  await using p = await TestPState.create(PState.mapSchema(String, Number));
  await Block.each(Ops.IDENTITY, p)
    .out("$$p")
    .each(Ops.EXPLODE, ["a", "b", "a"])
    .out("*w")
    .compoundAgg("$$p", CompoundAgg.map("*w", Agg.count()))
    .execute();
  expect(await p.select(Path.mapVals())).toEqual([2, 1]);
});

test.each([
  ["tasks not a power of two", { tasks: 3, threads: 1 }],
  ["more threads than tasks", { tasks: 2, threads: 4 }],
  ["more workers than threads", { tasks: 4, threads: 2, workers: 4 }],
  ["no tasks", { tasks: 0 }],
])("launch refuses %s", async (_name, config) => {
  await using ipc = await InProcessCluster.create();
  expect(
    await codeOf(
      ipc.launchModule(
        moduleOf("M", () => {}),
        config,
      ),
    ),
  ).toBe("BAD_PARALLELISM");
});

test("a module without anything, and one with queries only", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(
    moduleOf("Empty", () => {}),
    new LaunchConfig(1, 1),
  );
  class OnlyQueries extends RamaModule {
    define(_setup: unknown, topologies: Parameters<RamaModule["define"]>[1]) {
      topologies.query("one").out("*r").each(Ops.IDENTITY, 1).out("*r").originPartition();
    }
  }
  const module = await ipc.launchModule(OnlyQueries, { tasks: 1 });
  expect(await module.query("one").invoke()).toBe(1);
  expect(await ipc.getDeployedModuleNames()).toEqual(new Set(["Empty", "OnlyQueries"]));
  await ipc.destroyModule("Empty");
  expect(await ipc.getDeployedModuleNames()).toEqual(new Set(["OnlyQueries"]));
  expect(await codeOf(ipc.destroyModule("Empty"))).toBe("MODULE_NOT_FOUND");
});

test("waitForProcessed ends with TIMEOUT and the count that was reached", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Waits", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies.stream("s").source("*d").out("*x");
    }),
    { tasks: 1 },
  );
  await module.depot("*d").append(1);
  await module.waitForProcessed("s", 1);
  const late = module.waitForProcessed("s", 2, 30);
  expect(await codeOf(late)).toBe("TIMEOUT");
  await late.catch((error: Error) => expect(error.message).toContain("1"));
  expect(await codeOf(module.waitForProcessed("none", 1))).toBe("UNKNOWN_OBJECT");
});

test("any number of clusters at once, each with its own modules", async () => {
  await using a = await InProcessCluster.create();
  await using b = await InProcessCluster.create();
  const counting = moduleOf("C", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$n", Number).global().initialValue(0);
    s.source("*d").globalPartition().agg("$$n", Agg.count());
  });
  const [inA, inB] = [await a.launchModule(counting, { tasks: 2 }), await b.launchModule(counting, { tasks: 1 })];
  await inA.depot("*d").append(null);
  expect(await inA.pstate("$$n").selectOne(Path.stay())).toBe(1);
  expect(await inB.pstate("$$n").selectOne(Path.stay())).toBe(0);
});

test("module code closes over what is around it; calls after close are refused", async () => {
  const seen: unknown[] = [];
  const ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Closure", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies
        .stream("s")
        .source("*d")
        .out("*x")
        .each((x: unknown) => void seen.push(x), "*x");
    }),
    { tasks: 1 },
  );
  await module.depot("*d").append("here");
  expect(seen).toEqual(["here"]);
  await ipc.close();
  await ipc.close();
  expect(await codeOf(module.depot("*d").append("late"))).not.toMatch(/^resolved|not a RamaError/);
});

test("configuration is checked", async () => {
  expect(await codeOf(InProcessCluster.create({ config: { "no.such.option": 1 } }))).toBe("BAD_CONFIG");
});
