// Rulings of the page on the TypeScript surface that no other file here holds: builders, options as literals, types.
import { expect, test } from "bun:test";
import {
  Agg,
  type Arg,
  Block,
  CompoundAgg,
  Depot,
  type DepotVar,
  Helpers,
  type ModuleInstanceInfo,
  type OutputCollector,
  Ops,
  Path,
  PState,
  type PStateVar,
  RamaError,
  RamaModule,
  type Setup,
  StreamSourceOptions,
  type TaskGlobalContext,
  type TaskGlobalObject,
  type Topologies,
  type ValueVar,
  eq,
  expr,
} from "rama";
import * as helpers from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf, rows } from "./observed.ts";

test("a topology's source block grows with each call; blocks and paths do not", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Grows", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$n", Number).global().initialValue(0);
      const block = s.source("*d");
      block.out("*x");
      block.globalPartition();
      block.agg("$$n", Agg.sum("*x"));
    }),
    { tasks: 2 },
  );
  await module.depot("*d").append(5);
  expect(await module.pstate("$$n").selectOne(Path.stay())).toBe(5);
});

test("constants are copied and frozen", async () => {
  const map = new Map([["a", [1]]]);
  const block = Block.each(Ops.IDENTITY, map).out("*m");
  map.set("b", [2]);
  const [held] = (await rows(block, "*m")) as [Map<string, number[]>];
  expect(held).toEqual(new Map([["a", [1]]]));
  expect(() => held.set("z", [])).toThrow(TypeError);
  expect(() => held.get("a")!.push(2)).toThrow(TypeError);
});

test("class instances are no constants of a module, classes are", async () => {
  class Held {}
  await using ipc = await InProcessCluster.create();
  const launch = (name: string, value: unknown) =>
    ipc.launchModule(
      moduleOf(name, (_setup, topologies) => {
        topologies.query("q").out("*x").each(Ops.IS_INSTANCE_OF, value, "s").out("*x").originPartition();
      }),
      { tasks: 1 },
    );
  expect(await codeOf(launch("Instances", new Held()))).toBe("BAD_CONSTANT");
  expect(await (await launch("Classes", String)).query("q").invoke()).toBe(true);
});

test("every option class may be written as a literal", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Literals", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.setSchema(Number).subindexed({ withoutSizeTracking: true })));
      s.source("*d", { ackReturnAgg: Agg.sum, retryNone: true, startFromBeginning: true })
        .out("*x")
        .each(Ops.RANGE, 0, "*x")
        .out("*i")
        .localTransform("$$p", Path.key("k").voidSetElem().termVal("*i"))
        .ackReturn("*i");
      s.source("*d", { sourceId: "other", retryAllAfter: true })
        .out("*x")
        .localSelect("$$p", Path.key("k").sortedSetRangeFrom(0, { maxAmt: 2, excludeStart: true }), {
          allowYield: true,
        })
        .out("*y");
    }),
    { tasks: 1 },
  );
  expect(await module.depot("*d").append(4)).toEqual({ s: 6 });
  expect(await module.pstate("$$p").selectOne(Path.key("k").view(Ops.SIZE))).toBe(4);
});

test("a yielding select goes page by page over what was there when it began, and lets writers in between", async () => {
  await using ipc = await InProcessCluster.create();
  const gate = { open: () => {}, seen: 0 };
  const opened = new Promise<void>((resolve) => {
    gate.open = resolve;
  });
  const module = await ipc.launchModule(
    moduleOf("Pages", (setup, topologies) => {
      setup.declareDepot("*writes", Depot.random()).global();
      setup.declareDepot("*reads", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed())).global();
      s.pstate("$$seen", PState.mapSchema(Number, Number)).global();
      s.source("*writes")
        .out("*w")
        .each((w: { from: number; to: number; value: number }) => w, "*w")
        .out({ from: "*from", to: "*to", value: "*value" })
        .each(Ops.RANGE, "*from", "*to")
        .out("*i")
        .ifTrue(
          expr(Ops.EQUAL, "*value", null),
          Block.localTransform("$$p", Path.key("k", "*i").termVoid()),
          Block.localTransform("$$p", Path.key("k", "*i").termVal("*value")),
        );
      s.source("*reads")
        .out("*r")
        .localSelect("$$p", Path.key("k").withPageSize(10, Path.all()), { allowYield: true })
        .out("*entry")
        .each(() => {
          if (++gate.seen === 25) gate.open();
        })
        .each(Ops.EXPAND, "*entry")
        .out("*key", "*value")
        .localTransform("$$seen", Path.key("*key").termVal("*value"));
    }),
    { tasks: 1 },
  );
  const write = module.depot("*writes");
  await write.append({ from: 0, to: 3000, value: 1 });
  const read = module.depot("*reads").append("go");
  await opened;
  expect(gate.seen).toBeLessThan(3000);
  // Meanwhile all is changed, some is deleted, some is new.
  await write.append({ from: 0, to: 2000, value: 2 });
  await write.append({ from: 2000, to: 2500, value: null });
  await write.append({ from: 3000, to: 4000, value: 3 });
  expect(gate.seen).toBeLessThan(3000);
  await read;
  const seen = await module.pstate("$$seen").select(Path.mapVals());
  expect(seen).toEqual(Array.from({ length: 3000 }, () => 1));
  expect(await module.pstate("$$p").selectOne(Path.key("k").view(Ops.SIZE))).toBe(3500);
});

test("allowYield reads all rows of a large structure", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Yielding", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed())).global();
      s.source("*d")
        .out("*n")
        .each(Ops.RANGE, 0, "*n")
        .out("*i")
        .localTransform("$$p", Path.key("k", "*i").termVal("*i"));
      topologies
        .query("count")
        .out("*n")
        .globalPartition()
        .localSelect("$$p", Path.key("k").mapVals(), { allowYield: true })
        .out("*v")
        .originPartition()
        .agg(Agg.count())
        .out("*n");
      topologies
        .query("sum")
        .out("*r")
        .globalPartition()
        .localSelect("$$p", Path.key("k").subselect(Path.mapVals()).view(Ops.SUM), { allowYield: true })
        .out("*r")
        .originPartition();
    }),
    { tasks: 1 },
  );
  // Default page size: 250.
  await module.depot("*d").append(2000);
  expect(await module.query("sum").invoke()).toBe((2000 * 1999) / 2);
  expect(await module.query("count").invoke()).toBe(2000);
});

test("maps that reach user code are ordinary; Helpers.get looks up by value", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("ByValue", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Array, Number))).global();
      s.source("*d")
        .out("*key")
        .compoundAgg("$$p", CompoundAgg.map("m", CompoundAgg.map("*key", Agg.count())))
        .localSelect("$$p", Path.key("m"))
        .out("*m")
        .each((m: Map<unknown, number>, key: unknown) => Helpers.get(m, key), "*m", "*key")
        .out("*count")
        .ackReturn("*count");
    }),
    { tasks: 1 },
  );
  expect(await module.depot("*d").append(["a", 1])).toEqual({ s: 1 });
  expect(await module.depot("*d").append(["a", 1])).toEqual({ s: 2 });
});

test("rama/helpers holds field access and clocks, and TopologyUtils the same", async () => {
  const { TopologyUtils, startSimTime, advanceSimTime, currentTimeMillis, getFieldByName } = helpers;
  expect(Object.keys(TopologyUtils).sort()).toEqual([
    "advanceSimTime",
    "currentTimeMillis",
    "extractFields",
    "getFieldByName",
    "startSimTime",
  ]);
  expect(getFieldByName({ a: 1 }, "a")).toBe(1);
  expect(getFieldByName(new Map([["a", 2]]), "a")).toBe(2);
  expect(await codeOf(() => getFieldByName({}, "a"))).toBe("FIELD_MISSING");
  {
    using _sim = startSimTime();
    expect(currentTimeMillis()).toBe(0);
    advanceSimTime(50);
    expect(TopologyUtils.currentTimeMillis()).toBe(50);
  }
  expect(currentTimeMillis()).toBeGreaterThan(1e12);
});

test("a depot may be hashed by a function of the helpers", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("ByFunction", (setup) => {
      setup.declareDepot(
        "*d",
        Depot.hashBy((record: unknown) => helpers.getFieldByName(record, "id")),
      );
    }),
    { tasks: 4 },
  );
  const [zero, , , three] = Helpers.genHashingIndexKeys(4);
  await module.depot("*d").append({ id: three });
  await module.depot("*d").append({ id: zero });
  expect((await module.depot("*d").getPartitionInfo(3)).endOffset).toBe(1);
  expect((await module.depot("*d").getPartitionInfo(0)).endOffset).toBe(1);
});

test("errors of the public surface: code, advice, retryable", async () => {
  const error = new RamaError("OVERLOADED", "message");
  expect([error.name, error.code, error.retryable, typeof error.advice]).toEqual([
    "RamaError",
    "OVERLOADED",
    true,
    "string",
  ]);
});

// What follows is checked by the type checker: exported types, and vars of the wrong kind.
export function typesOnly(setup: Setup, topologies: Topologies, collector: OutputCollector): void {
  const value: ValueVar = "*a";
  const pstate: PStateVar = "$$a";
  const depot: DepotVar = "*d";
  const arg: Arg = Helpers.genVar();
  setup.declareDepot(depot, Depot.random());
  // @ts-expect-error a depot is named with a star
  setup.declareDepot("d", Depot.random());
  // @ts-expect-error a PState is named with two dollars
  topologies.stream("s").pstate("*p", Number);
  // @ts-expect-error out binds vars
  Block.each(Ops.IDENTITY, arg).out("x");
  // @ts-expect-error localTransform takes a PState
  Block.localTransform("*p", Path.termVal(1));
  collector.emit(value, pstate);
  collector.emitStream("s", 1);
}

export class Holder implements TaskGlobalObject {
  info: ModuleInstanceInfo | undefined;
  prepareForTask(_taskId: number, context: TaskGlobalContext): void {
    this.info = context.getModuleInstanceInfo();
  }
}

export class TypedModule extends RamaModule {
  define(setup: Setup, topologies: Topologies): void {
    setup.declareObject("*holder", () => new Holder());
    const s = topologies.stream("s");
    s.pstate("$$a", PState.mapSchema(String, BigInt));
    s.pstate("$$b", PState.mapSchema(Date, PState.listSchema(Boolean).subindexed()));
    s.pstate(
      "$$c",
      PState.mapSchema(Uint8Array, PState.fixedKeysSchema({ a: Object, b: Map, c: Set, d: Array, e: Holder })),
    );
    setup.declareDepot("*d", Depot.hashBy("id"));
    s.source("*d", StreamSourceOptions.startFromBeginning().retryNone()).out(["*a", { b: "*b" }]);
  }
}

test("the module that checks types also launches", async () => {
  await using ipc = await InProcessCluster.create();
  expect((await ipc.launchModule(TypedModule, { tasks: 2 })).name).toBe("TypedModule");
});

test("a yielding select in a microbatch goes page by page over what its topology had written when it began", async () => {
  await using ipc = await InProcessCluster.create();
  const log: string[] = [];
  const seen: unknown[] = [];
  const module = await ipc.launchModule(
    moduleOf("MicroPages", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const mb = topologies.microbatch("mb");
      mb.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed())).global();
      mb.source("*d")
        .out("*mb")
        .explodeMicrobatch("*mb")
        .out({ what: "*what", from: "*from", to: "*to", value: "*value" })
        .ifTrue(
          eq("*what", "read"),
          Block.localSelect("$$p", Path.key("k").withPageSize(10, Path.all()), { allowYield: true })
            .out("*entry")
            .each((entry: unknown) => {
              seen.push(entry);
              log.push("row");
            }, "*entry"),
          Block.each(() => void log.push("write"))
            .each(Ops.RANGE, "*from", "*to")
            .out("*i")
            .ifTrue(
              eq("*value", null),
              Block.localTransform("$$p", Path.key("k", "*i").termVoid()),
              Block.localTransform("$$p", Path.key("k", "*i").termVal("*value")),
            ),
        );
    }),
    { tasks: 1 },
  );
  const d = module.depot("*d");
  await d.append({ what: "write", from: 0, to: 1000, value: 1 });
  await module.waitForProcessed("mb", 1);
  await module.pause("mb");
  await d.append({ what: "write", from: 500, to: 600, value: null });
  await d.append({ what: "write", from: 1000, to: 1200, value: 1 });
  await d.append({ what: "read" });
  await d.append({ what: "write", from: 0, to: 100, value: 2 });
  await d.append({ what: "write", from: 900, to: 1300, value: null });
  await module.resume("mb");
  await module.waitForProcessed("mb", 6);
  const kept = Array.from({ length: 1200 }, (_, i) => [i, 1]).filter(([i]) => i! < 500 || i! >= 600);
  expect(seen).toEqual(kept);
  expect(log.lastIndexOf("write")).toBeLessThan(log.lastIndexOf("row"));
  expect(await module.pstate("$$p").selectOne(Path.key("k").view(Ops.SIZE))).toBe(800);
});
