// language.md 13: query topologies without aggregation.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Block, Depot, expr, inc, LoopVars, lt, minus, Ops, Path, PState, plus, record } from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const launch = { tasks: 4, threads: 2, workers: 2 };

const queries = moduleOf("Queries", (setup, topologies) => {
  setup.declareDepot("*d", Depot.hashBy(Ops.FIRST));
  const s = topologies.stream("s");
  s.pstate("$$total", PState.mapSchema(String, Number));
  s.source("*d")
    .out(["*k", "*n"])
    .localTransform("$$total", Path.key("*k").nullToVal(0).term(Ops.PLUS, "*n"))
    .invokeQuery("total", "*k")
    .out("*seen")
    .ackReturn("*seen");
  topologies
    .query("total", "*userId")
    .out("*sum")
    .hashPartition("*userId")
    .localSelect("$$total", Path.key("*userId"))
    .out("*sum")
    .originPartition();
  topologies.query("nothing").out("*x").originPartition().each(Ops.IDENTITY, 42).out("*x");
  topologies.query("many", "*a", "*b", "*c").out("*r").originPartition().each(Ops.TUPLE, "*a", "*b", "*c").out("*r");
  topologies
    .query("both", "*k1", "*k2")
    .out("*r")
    .invokeQuery("total", "*k1")
    .out("*a")
    .invokeQuery("total", "*k2")
    .out("*b")
    .each(Ops.IDENTITY, record({ a: "*a", b: "*b", sum: plus("*a", "*b") }))
    .out("*r")
    .originPartition();
  topologies
    .query("fib", "*n")
    .out("*r")
    .ifTrue(
      lt("*n", 2),
      Block.each(Ops.IDENTITY, "*n").out("*r"),
      Block.invokeQuery("fib", minus("*n", 1))
        .out("*a")
        .invokeQuery("fib", minus("*n", 2))
        .out("*b")
        .each(Ops.PLUS, "*a", "*b")
        .out("*r"),
    )
    .originPartition();
  topologies
    .query("even", "*n")
    .out("*r")
    .ifTrue(
      expr(Ops.EQUAL, "*n", 0),
      Block.each(Ops.IDENTITY, true).out("*r"),
      Block.invokeQuery("odd", expr(Ops.DEC, "*n")).out("*r"),
    )
    .originPartition();
  topologies
    .query("odd", "*n")
    .out("*r")
    .ifTrue(
      expr(Ops.EQUAL, "*n", 0),
      Block.each(Ops.IDENTITY, false).out("*r"),
      Block.invokeQuery("even", expr(Ops.DEC, "*n")).out("*r"),
    )
    .originPartition();
  topologies.query("never", "*n").out("*r").keepTrue(false).each(Ops.IDENTITY, 1).out("*r").originPartition();
  topologies.query("twice", "*n").out("*r").each(Ops.EXPLODE, [1, 2]).out("*r").originPartition();
  topologies
    .query("throws", "*n")
    .out("*r")
    .each(() => {
      throw new RangeError("of the query");
    })
    .out("*r")
    .originPartition();
  topologies.query("callsThrows", "*n").out("*r").invokeQuery("throws", "*n").out("*r").originPartition();
  topologies.query("forEver").out("*r").invokeQuery("forEver").out("*r").originPartition();
  topologies
    .query("temporary", "*n")
    .out("*r")
    .loopWithVars(
      LoopVars.var("*i", 0),
      Block.ifTrue(
        lt("*i", "*n"),
        Block.localTransform(
          "$$temporary$$",
          Path.term((total: number | null) => (total ?? 0) + 10),
        ).continueLoop(inc("*i")),
        Block.emitLoop(),
      ),
    )
    .localSelect("$$temporary$$", Path.stay())
    .out("*r")
    .originPartition();
  topologies
    .query("named", "*n")
    .temporary("$$tmp")
    .out("*r")
    .localTransform("$$tmp", Path.key("deep", "er").termVal("*n"))
    .localSelect("$$tmp", Path.key("deep", "er"))
    .out("*r")
    .originPartition();
  setup.setLaunchTopologyDynamicOption("forEver", "topology.query.timeout.millis", 200);
});

let ipc: InProcessCluster;
let module: LaunchedModule;
beforeAll(async () => {
  ipc = await InProcessCluster.create();
  module = await ipc.launchModule(queries, launch);
});
afterAll(() => ipc.close());

test("a query reads where its input leads and answers at its origin; streams may ask it", async () => {
  expect(await module.depot("*d").append(["ann", 5])).toEqual({ s: 5 });
  expect(await module.depot("*d").append(["ann", 6])).toEqual({ s: 11 });
  await module.depot("*d").append(["bob", 1]);
  expect(await module.query<number>("total").invoke("ann")).toBe(11);
  expect(await ipc.clusterQuery<number>("Queries", "total").invoke("nobody")).toBe(null as never);
});

test.each([
  ["nothing", [], 42],
  ["many", [1, null, "*x"], [1, null, "*x"]],
  ["many", [undefined, 5n, new Map([["a", new Set([1])]])], [null, 5n, new Map([["a", new Set([1])]])]],
  ["both", ["ann", "bob"], { a: 11, b: 1, sum: 12 }],
  ["fib", [10], 55],
  ["even", [7], false],
  ["even", [8], true],
  ["temporary", [3], 30],
  ["temporary", [0], null],
  ["temporary", [2], 20],
  ["named", [5], 5],
])("%s of %p is %p", async (name, args, expected) => {
  expect(await module.query(name).invoke(...args)).toEqual(expected);
});

test.each([
  ["never", "NOT_EXACTLY_ONE"],
  ["twice", "NOT_EXACTLY_ONE"],
  ["throws", "USER_CODE_FAILED"],
  ["callsThrows", "USER_CODE_FAILED"],
])("%s fails with %s", async (name, code) => {
  expect(await codeOf(module.query(name).invoke(1))).toBe(code);
});

test("an exception of a query's code keeps its cause and names the builder's line", async () => {
  const error = await errorOf(module.query("throws").invoke(1));
  expect(error.message).toMatch(/throws at queries\.test\.ts:\d+: of the query/);
  expect(error.cause).toMatchObject({ name: "RangeError", message: "of the query" });
});

test("endless recursion ends with a timeout", async () => {
  expect(await codeOf(module.query("forEver").invoke())).toBe("TIMEOUT");
});

test("another number of arguments is refused", async () => {
  expect(await codeOf(module.query("total").invoke())).toBe("WRONG_ARGUMENT_COUNT");
  expect(await codeOf(module.query("nothing").invoke(1))).toBe("WRONG_ARGUMENT_COUNT");
  expect(await codeOf(module.query("absent").invoke(1))).toBe("UNKNOWN_OBJECT");
});

const refused: [string, string, Parameters<typeof moduleOf>[1]][] = [
  [
    "without originPartition",
    "NO_FINAL_ORIGIN",
    (_s, t) => {
      t.query("q", "*a").out("*r").each(Ops.IDENTITY, "*a").out("*r");
    },
  ],
  [
    "with another partitioner after the origin",
    "NO_FINAL_ORIGIN",
    (_s, t) => {
      t.query("q", "*a").out("*a2").originPartition().hashPartition("*a").each(Ops.IDENTITY, "*a").out("*a2");
    },
  ],
  [
    "whose output is not bound at the end",
    "UNKNOWN_VAR",
    (_s, t) => {
      t.query("q", "*a").out("*r").originPartition();
    },
  ],
  [
    "that writes a PState",
    "NOT_OWNER",
    (s, t) => {
      s.declareDepot("*d", Depot.random());
      t.stream("s").pstate("$$p", Number);
      t.query("q", "*a").out("*a").originPartition().localTransform("$$p", Path.termVal(1));
    },
  ],
  [
    "that calls a query with another number of arguments",
    "WRONG_ARGUMENT_COUNT",
    (_s, t) => {
      t.query("other", "*x").out("*x").originPartition();
      t.query("q", "*a").out("*r").invokeQuery("other", 1, 2).out("*r").originPartition();
    },
  ],
  [
    "that returns to a query of no such name",
    "UNKNOWN_OBJECT",
    (_s, t) => {
      t.query("q", "*a").out("*r").invokeQuery("absent", 1).out("*r").originPartition();
    },
  ],
];

test.each(refused)("a query %s is refused with %s", async (_name, code, define) => {
  expect(await codeOf(ipc.launchModule(moduleOf("Refused", define), launch))).toBe(code);
});
