// language.md 1, 3.3, 4, 9.4-9.6, 14: what needs a module of its own: order of declarations, partitioning, alignment, who may read what.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, expr, Ops, Path, PState, type Setup, type Topologies } from "rama";
import { type EventType, InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2, workers: 2 };

async function launched(
  define: (setup: Setup, topologies: Topologies) => void,
  use: (handle: Awaited<ReturnType<InProcessCluster["launchModule"]>>, ipc: InProcessCluster) => Promise<void>,
  config = launch,
): Promise<void> {
  await using ipc = await InProcessCluster.create();
  await use(await ipc.launchModule(moduleOf("M", define), config), ipc);
}

test("objects may be declared after the code that names them", () =>
  launched(
    (setup, topologies) => {
      topologies
        .query("read", "*k")
        .out("*v")
        .hashPartition("*k")
        .localSelect("$$late", Path.key("*k"))
        .out("*v")
        .originPartition();
      const s = topologies.stream("s");
      s.source("*later")
        .out("*k")
        .invokeQuery("after", "*k")
        .out("*twice")
        .hashPartition("*k")
        .localTransform("$$late", Path.key("*k").termVal("*twice"));
      s.pstate("$$late", PState.mapSchema(Number, Number));
      topologies.query("after", "*k").out("*twice").each(Ops.TIMES, "*k", 2).out("*twice").originPartition();
      setup.declareDepot("*later", Depot.random());
    },
    async (handle) => {
      await handle.depot("*later").append(4);
      expect(await handle.query("read").invoke(4)).toBe(8);
    },
  ));

test("hashBy a field looks Maps up by key", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy("user"));
      const s = topologies.stream("s");
      s.pstate("$$n", PState.mapSchema(String, Number));
      // No partitioner: the record lies where its user's hash is, or this counts at the wrong place.
      s.source("*d")
        .each(() => "ann")
        .out("*user")
        .compoundAgg("$$n", CompoundAgg.map("*user", Agg.count()));
    },
    async (handle) => {
      await handle.depot("*d").append({ user: "ann" });
      await handle.depot("*d").append(new Map([["user", "ann"]]));
      expect(await handle.pstate("$$n").selectOne(Path.key("ann"))).toBe(2);
    },
  ));

test("a local read on another task than the key's finds nothing", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(Number, String));
      s.source("*d").out("*k").localTransform("$$p", Path.key("*k").termVal("here"));
      topologies
        .query("anywhere", "*k")
        .out("*found")
        .allPartition()
        .localSelect("$$p", Path.must("*k"))
        .out("*v")
        .originPartition()
        .agg(Agg.list("*v"))
        .out("*found");
    },
    async (handle) => {
      await handle.depot("*d").append(7);
      // Four tasks have looked; one of them has it.
      expect(await handle.query("anywhere").invoke(7)).toEqual(["here"]);
    },
  ));

test("select on a PState of several partitions begins with key", async () => {
  const define = (setup: Setup, topologies: Topologies) => {
    setup.declareDepot("*d", Depot.random());
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(String, Number));
    s.source("*d").select("$$p", Path.mapVals()).out("*v");
  };
  expect(await codeOf(launched(define, async () => {}))).toBe("KEY_REQUIRED");
});

test("a partitioner that stays on its task ends the event too", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies.stream("s").source("*d").out("*x").directPartition(expr(Ops.CURRENT_TASK_ID)).each(Ops.IDENTITY, "*x");
    },
    async (handle, ipc) => {
      const types: EventType[] = [];
      await ipc.withEventHook(
        (type) => void types.push(type),
        () => handle.depot("*d").append(1),
      );
      expect(types.filter((type) => type === "topology-event").length).toBe(2);
      expect(types.filter((type) => type === "partitioner").length).toBe(1);
    },
  ));

test("a value that is not used behind a partitioner need not be serializable", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies
        .stream("s")
        .source("*d")
        .each(() => Symbol("cannot travel"))
        .out("*symbol")
        .each((symbol: symbol) => symbol.description, "*symbol")
        .out("*text")
        .allPartition()
        .ackReturn("*text");
    },
    async (handle) => {
      expect(await handle.depot("*d").append(1)).toEqual({ s: "cannot travel" });
    },
  ));

test("what was written before a partitioner is visible to who runs behind it", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      topologies
        .query("seen", "*k")
        .out("*v")
        .hashPartition("*k")
        .localSelect("$$p", Path.key("*k"))
        .out("*v")
        .originPartition();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(Number, String));
      s.source("*d")
        .out("*k")
        .localTransform("$$p", Path.key("*k").termVal("written"))
        .allPartition()
        // A query sees what is committed only.
        .invokeQuery("seen", "*k")
        .out("*v")
        .keepTrue(expr(Ops.EQUAL, "*v", "written"))
        .ackReturn(1);
      s.source("*e").out("*x").ackReturn("*x");
      setup.declareDepot("*e", Depot.random());
    },
    async (handle) => {
      for (const k of [1, 2, 3, 4]) expect(await handle.depot("*d").append(k)).toEqual({ s: 1 });
    },
  ));

test("a private PState is read by queries of its module", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      const s = topologies.stream("s");
      s.pstate("$$secret", PState.mapSchema(Number, Number)).makePrivate();
      s.source("*d").out("*k").compoundAgg("$$secret", CompoundAgg.map("*k", Agg.count()));
      const other = topologies.stream("other");
      other.pstate("$$copy", PState.mapSchema(Number, Number));
      other
        .source("*d")
        .out("*k")
        .localSelect("$$secret", Path.key("*k").nullToVal(0))
        .out("*n")
        .localTransform("$$copy", Path.key("*k").termVal("*n"));
      topologies
        .query("read", "*k")
        .out("*v")
        .hashPartition("*k")
        .localSelect("$$secret", Path.key("*k"))
        .out("*v")
        .originPartition();
    },
    async (handle) => {
      await handle.depot("*d").append(5);
      expect(await handle.query("read").invoke(5)).toBe(1);
      expect(await codeOf(handle.pstate("$$secret").selectOne(Path.key(5)))).toBe("PRIVATE_PSTATE");
      expect([0, 1]).toContain((await handle.pstate("$$copy").selectOne(Path.key(5))) as number);
    },
  ));

test("an explicit partitioning key allows any path; getObjectInfo of a PState; getDeployedModuleNames", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(Number, Number));
      s.pstate("$$one", Number).global().initialValue(3);
      s.source("*d").out("*k").compoundAgg("$$p", CompoundAgg.map("*k", Agg.count()));
    },
    async (handle, ipc) => {
      for (let k = 0; k < 20; k++) await handle.depot("*d").append(k);
      const p = handle.pstate("$$p");
      const keys = (await p.select(7, Path.mapKeys())) as number[];
      expect(keys).toContain(7);
      expect(keys.length).toBeLessThan(20);
      expect(await p.selectOne(7, Path.subselect(Path.mapVals()))).toEqual(keys.map(() => 1));
      expect(await codeOf(p.select(Path.mapKeys()))).toBe("KEY_REQUIRED");
      expect(await p.getObjectInfo()).toEqual({ name: "$$p", module: "M", numPartitions: 4 });
      expect((await handle.pstate("$$one").getObjectInfo()).numPartitions).toBe(1);
      expect(await ipc.getDeployedModuleNames()).toEqual(new Set(["M"]));
    },
  ));

test("an update may change how a depot is partitioned, for new appends", async () => {
  const version = (by: "first" | "second") =>
    moduleOf("Scheme", (setup, topologies) => {
      setup.declareDepot("*d", by === "first" ? Depot.hashBy(Ops.FIRST) : Depot.hashBy(Ops.LAST));
      const s = topologies.stream("s");
      s.pstate("$$task", PState.mapSchema(String, Number)).global();
      s.source("*d")
        .out(["*a", "*b"])
        .each(Ops.TO_STRING, "*a", "*b")
        .out("*key")
        .each(Ops.CURRENT_TASK_ID)
        .out("*task")
        .globalPartition("$$task")
        .localTransform("$$task", Path.key("*key").termVal("*task"));
    });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(version("first"), { tasks: 8 });
  const taskOf = async (a: number, b: number) => {
    await handle.depot("*d").append([a, b]);
    return handle.pstate("$$task").selectOne(Path.key(`${a}${b}`));
  };
  const byFirst = [await taskOf(1, 2), await taskOf(2, 1)];
  await ipc.updateModule(version("second"));
  // Of a client that was there before, too.
  expect([await taskOf(2, 1), await taskOf(1, 2)]).toEqual(byFirst);
});

test("an aggregation into a watched place tells the diffs of its path", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.FIRST));
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(String, Number)));
      s.source("*d")
        .out(["*a", "*b"])
        .compoundAgg("$$p", CompoundAgg.map("*a", CompoundAgg.map("*b", Agg.count())));
    },
    async (handle) => {
      await handle.depot("*d").append(["x", "y"]);
      const told: [string, unknown][] = [];
      await using proxy = await handle.pstate("$$p").proxy(Path.key("x"), (_now, diff) => {
        told.push([diff.kind, (diff as { key?: unknown }).key]);
      });
      await handle.depot("*d").append(["x", "z"]);
      while (told.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
      expect(told).toEqual([
        ["resync", undefined],
        ["key", "z"],
      ]);
      expect(proxy.get()).toEqual(
        new Map([
          ["y", 1],
          ["z", 1],
        ]),
      );
    },
  ));

test("a plain write of one key reads nothing", () =>
  launched(
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.hashBy(Ops.IDENTITY));
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(Number, Number));
      s.source("*d").out("*k").localTransform("$$p", Path.key("*k").termVal(1));
    },
    async (handle, ipc) => {
      const types: EventType[] = [];
      await ipc.withEventHook(
        (type) => void types.push(type),
        () => handle.depot("*d").append(1),
      );
      expect(types).toContain("pstate-commit");
      expect(types.filter((type) => type.startsWith("pstate-") && type !== "pstate-commit")).toEqual([]);
    },
  ));
