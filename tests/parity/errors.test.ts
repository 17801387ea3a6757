// language.md 23: every mistake has a code, the line of the builder's call and a hint.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  expr,
  fields,
  LoopVars,
  type Op,
  Ops,
  Path,
  PState,
  type RamaError,
  type Setup,
  StreamSourceOptions,
  SubSource,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";
import { errorOf, moduleOf } from "./observed.ts";

let ipc: InProcessCluster;
beforeAll(async () => {
  ipc = await InProcessCluster.create();
});
afterAll(() => ipc.close());

const line = () => Number(/errors\.test\.ts:(\d+)/.exec(new Error().stack!.split("\n")[3]!)![1]);

type Define = (setup: Setup, topologies: Topologies) => void;
let marked = 0;
/** Remembers the line of the mistake. */
const here = <T>(value: T): T => {
  marked = line();
  return value;
};

/** A stream topology over `*d` whose records are `*x`, that owns `$$p`; `$$other` is another topology's. */
const stream =
  (body: (block: Block, setup: Setup, topologies: Topologies) => void): Define =>
  (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    topologies.stream("other").pstate("$$other", PState.mapSchema(String, Number));
    const s = topologies.stream("s");
    s.pstate("$$p", PState.mapSchema(String, Number));
    body(s.source("*d").out("*x"), setup, topologies);
  };

const building: [string, string, Define][] = [
  ["a var that nobody bound", "UNKNOWN_VAR", stream((b) => void b.each(Ops.INC, here("*missing" as const)).out("*y"))],
  [
    "a var bound on one side only",
    "UNKNOWN_VAR",
    stream((b) => void b.ifTrue("*x", Block.each(Ops.INC, 1).out("*y")).each(Ops.INC, here("*y" as const))),
  ],
  ["a var in a path", "UNKNOWN_VAR", stream((b) => void b.localSelect("$$p", here(Path.key("*nobody"))).out("*v"))],
  [
    "a var in an aggregator",
    "UNKNOWN_VAR",
    stream((b) => void b.compoundAgg("$$p", here(CompoundAgg.map("*x", Agg.sum("*nobody"))))),
  ],
  [
    "a PState that nobody declared",
    "UNKNOWN_OBJECT",
    stream((b) => void b.localSelect(here("$$none" as const), Path.key("a"))),
  ],
  [
    "a write to another topology's PState",
    "NOT_OWNER",
    stream((b) => void b.localTransform(here("$$other" as const), Path.key("a").termVal(1))),
  ],
  [
    "an aggregation into another topology's PState",
    "NOT_OWNER",
    stream((b) => void b.compoundAgg(here("$$other" as const), CompoundAgg.map("a", Agg.count()))),
  ],
  ["clearing another topology's PState", "NOT_OWNER", stream((b) => void b.localClear(here("$$other" as const)))],
  [
    "batchBlock in a stream topology",
    "NOT_ALLOWED_HERE",
    stream((b) => void b.batchBlock(here(Block.each(Ops.EXPLODE, [1]).out("*v")))),
  ],
  [
    "explodeMicrobatch in a stream topology",
    "NOT_ALLOWED_HERE",
    stream((b) => void b.explodeMicrobatch(here("*x" as const)).out("*v")),
  ],
  [
    "ackReturn in a query",
    "NOT_ALLOWED_HERE",
    (_s, t) =>
      t
        .query("q", "*a")
        .out("*a")
        .ackReturn(here("*a" as const))
        .originPartition(),
  ],
  ["continueLoop outside a loop", "NOT_ALLOWED_HERE", stream((b) => void b.continueLoop(here(1)))],
  ["emitLoop outside a loop", "NOT_ALLOWED_HERE", stream((b) => void b.emitLoop(here(1)))],
  ["hook to a place of no such name", "UNKNOWN_OBJECT", stream((b) => void b.hook(here("nowhere")))],
  [
    "an op with too few arguments",
    "WRONG_ARGUMENT_COUNT",
    stream((b) => void b.each(Ops.RANGE as Op, here(1)).out("*y")),
  ],
  [
    "an op with too many outs",
    "WRONG_OUTPUT_COUNT",
    stream((b) => void b.each(Ops.INC, "*x").out("*a", here("*b" as const))),
  ],
  ["an object as a constant", "BAD_CONSTANT", stream((b) => void b.each(Ops.IDENTITY, here(new WeakMap())).out("*v"))],
  ["async in each", "NOT_ALLOWED_HERE", stream((b) => void b.each(here(async () => 1)).out("*v"))],
  [
    "two depots of one name",
    "DUPLICATE_NAME",
    (s) => {
      s.declareDepot("*a", Depot.random());
      s.declareDepot(here("*a" as const), Depot.random());
    },
  ],
  [
    "two PStates of one name",
    "DUPLICATE_NAME",
    (_s, t) => {
      t.stream("a").pstate("$$p", Number);
      t.stream("b").pstate(here("$$p" as const), Number);
    },
  ],
  [
    "two topologies of one name",
    "DUPLICATE_NAME",
    (_s, t) => {
      t.stream("a");
      t.stream(here("a"));
    },
  ],
  [
    "a second source on a depot without sourceId",
    "DUPLICATE_NAME",
    (s, t) => {
      s.declareDepot("*d", Depot.random());
      const x = t.stream("s");
      x.source("*d").out("*x");
      x.source(here("*d" as const)).out("*x");
    },
  ],
  [
    "a source on a depot that nobody declared",
    "UNKNOWN_OBJECT",
    (_s, t) => {
      t.stream("s")
        .source(here("*none" as const))
        .out("*x");
    },
  ],
  [
    "initialValue on a map",
    "BAD_SCHEMA",
    (_s, t) => {
      t.stream("s").pstate("$$m", PState.mapSchema(String, Number)).initialValue(here(new Map()));
    },
  ],
  [
    "a set of schemas",
    "BAD_SCHEMA",
    (_s, t) => {
      t.stream("s").pstate("$$m", PState.mapSchema(String, PState.setSchema(here(PState.listSchema(Number)) as never)));
    },
  ],
  [
    "a subindexed map at the top",
    "BAD_SCHEMA",
    (_s, t) => {
      t.stream("s").pstate("$$m", here(PState.mapSchema(String, Number).subindexed()));
    },
  ],
  ["a transform without terminal", "NO_TERMINAL", stream((b) => void b.localTransform("$$p", here(Path.key("a"))))],
  [
    "a misspelt depot",
    "BAD_MODULE",
    (s) => {
      s.declareDepot(here("depot") as never, Depot.random());
    },
  ],
  [
    "a misspelt PState",
    "BAD_MODULE",
    (_s, t) => {
      t.stream("s").pstate(here("p") as never, Number);
    },
  ],
];

test.each(building)("%s: %s, with the line and a hint", async (_name, code, define) => {
  const error = await errorOf(ipc.launchModule(moduleOf("Mistake", define), { tasks: 2 }));
  expect([error.code, error.message]).toEqual([code as never, error.message]);
  expect(error.message).toMatch(/errors\.test\.ts:\d+/);
  expect(Math.abs(Number(/errors\.test\.ts:(\d+)/.exec(error.message)![1]) - marked)).toBeLessThanOrEqual(8);
  expect(error.advice).toMatch(/^[A-Z].*\.$/);
  expect(error.retryable).toBe(false);
  expect(await ipc.getDeployedModuleNames()).toEqual(new Set());
});

// what fails only when it runs: the code of the cause of the failed append
const running: [string, string, (block: Block) => void][] = [
  ["nth out of range", "INDEX_OUT_OF_RANGE", (b) => b.select([1], Path.nth("*x")).out("*v")],
  ["collectOne of many", "NOT_EXACTLY_ONE", (b) => b.select([1, 2], Path.collectOne(Path.all()).first()).out("*v")],
  [
    "a value that the schema does not take",
    "SCHEMA_MISMATCH",
    (b) => b.localTransform("$$p", Path.key("a").termVal(expr(Ops.TO_STRING, "*x"))),
  ],
  ["a key that the schema does not take", "SCHEMA_MISMATCH", (b) => b.localTransform("$$p", Path.key("*x").termVal(1))],
  ["a task out of range", "BAD_PARTITION", (b) => b.directPartition("*x").each(Ops.IDENTITY, 1).out("*v")],
  ["a wrong number of outs at run time", "WRONG_OUTPUT_COUNT", (b) => b.each(Ops.EXPAND, [1, 2, 3]).out("*a", "*b")],
  [
    "CURRENT_MICROBATCH_ID outside a microbatch",
    "NOT_ALLOWED_HERE",
    (b) => b.each(Ops.CURRENT_MICROBATCH_ID).out("*id"),
  ],
  [
    "a value that no SubSource takes",
    "NO_SUB_SOURCE",
    (b) => b.subSource("*x", SubSource.create(String).each(Ops.IDENTITY, 1).out("*v")),
  ],
  [
    "NaN as a key",
    "NOT_A_KEY",
    (b) =>
      b
        .hashPartition(expr(() => Number.NaN))
        .each(Ops.IDENTITY, 1)
        .out("*v"),
  ],
];

test.each(running)("at run time: %s is %s", async (_name, code, body) => {
  await using own = await InProcessCluster.create();
  const module = await own.launchModule(
    moduleOf("Running", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.fixedKeysSchema({ a: Number, fixed: PState.fixedKeysSchema({ b: Number }) }));
      body(s.source("*d", StreamSourceOptions.retryNone()).out("*x"));
    }),
    { tasks: 2 },
  );
  const error = await errorOf(module.depot("*d").append(99));
  expect(error.code).toBe("PROCESSING_FAILED");
  expect([(error.cause as RamaError).code, (error.cause as Error).message]).toEqual([
    code as never,
    expect.any(String),
  ]);
  expect(error.message).toMatch(/^s at errors\.test\.ts:\d+: \*d partition 0 offset 0: /);
  expect(error.stored).toBe(true);
});

test("termVoid at the root of a PState is refused", async () => {
  await using own = await InProcessCluster.create();
  const module = await own.launchModule(
    moduleOf("Root", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, Number));
      s.source("*d", StreamSourceOptions.retryNone()).localTransform("$$p", Path.termVoid());
    }),
    { tasks: 1 },
  );
  const error = await errorOf(module.depot("*d").append(1));
  expect((error.cause as RamaError).code).toBe("VOID_AT_ROOT");
});

// a var that was bound, but not on every way to where it is used: the message names where
const lost: [string, Define][] = [
  [
    "on one side of ifTrue",
    stream((b) => void b.ifTrue("*x", Block.each(Ops.INC, 1).out(here("*y"))).each(Ops.INC, "*y")),
  ],
  [
    "on one branch of unify",
    stream(
      (b) =>
        void b
          .anchor("root")
          .each(Ops.INC, 1)
          .out(here("*y"))
          .anchor("a")
          .hook("root")
          .anchor("b")
          .unify("a", "b")
          .each(Ops.INC, "*y"),
    ),
  ],
  ["in a loop", stream((b) => void b.loop(Block.each(Ops.INC, 1).out(here("*y")).emitLoop()).each(Ops.INC, "*y"))],
  [
    "in the pre-agg of a batch",
    (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      topologies
        .microbatch("m")
        .source("*d")
        .out("*mb")
        .batchBlock(
          Block.explodeMicrobatch("*mb")
            .out(here("*y"))
            .hashPartition("*y")
            .agg(Agg.count())
            .out("*n")
            .each(Ops.PLUS, "*n", "*y"),
        );
    },
  ],
];

test.each(lost)("a var that was bound %s only: UNKNOWN_VAR names both lines", async (_name, define) => {
  const error = await errorOf(ipc.launchModule(moduleOf("Lost", define), { tasks: 2 }));
  expect(error.code).toBe("UNKNOWN_VAR");
  const [, used, bound] =
    /errors\.test\.ts:(\d+): \*y is not bound here: what binds it, at errors\.test\.ts:(\d+), is not on every way/.exec(
      error.message,
    )!;
  expect(Math.abs(Number(bound) - marked)).toBeLessThanOrEqual(3);
  expect(Number(used)).toBeGreaterThanOrEqual(Number(bound));
  expect(error.message).toContain("Bind it on the others too");
});

test("a subindexed structure cannot cross a boundary", async () => {
  await using own = await InProcessCluster.create();
  const module = await own.launchModule(
    moduleOf("Crossing", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(String, Number).subindexed())).global();
      s.source("*d", StreamSourceOptions.retryNone())
        .out("*x")
        .localTransform("$$p", Path.key("a", "b").termVal(1))
        .localSelect("$$p", Path.key("a"))
        .out("*structure")
        .shufflePartition()
        .each(Ops.IDENTITY, "*structure")
        .out("*v");
    }),
    { tasks: 2 },
  );
  const error = await errorOf(module.depot("*d").append(1));
  expect((error.cause as RamaError).code).toBe("STRUCTURE_NOT_A_VALUE");
});

test("a value that holds a subindexed structure cannot be sent either", async () => {
  await using own = await InProcessCluster.create();
  const schema = PState.fixedKeysSchema({ name: String, posts: PState.setSchema(String).subindexed() });
  const module = await own.launchModule(
    moduleOf("Holding", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, schema)).global();
      s.source("*d").localTransform("$$p", Path.key("a", "posts").voidSetElem().termVal("x"));
    }),
    { tasks: 2 },
  );
  await module.depot("*d").append(1);
  for (const path of [Path.key("a"), Path.key("a").subMap("posts"), Path.all()])
    expect((await errorOf(module.pstate("$$p").select(path))).code).toBe("STRUCTURE_NOT_A_VALUE");
});

const mistakes: [string, RegExp, Define][] = [
  ["out", /"\*word"/, stream((b) => void b.each(Ops.INC, 1).out("y" as never))],
  ["a loop var", /"\*i"/, stream((b) => void b.loopWithVars(LoopVars.var("i" as never, 0), Block.create()))],
  ["a PState", /\$\$/, stream((b) => void b.localTransform("p" as never, Path.termVal(1)))],
  ["a SubSource", /classes/, stream((b) => void b.subSource("*x", SubSource.create()))],
  ["fields", /"\*userId"/, stream((b) => void b.out(fields("a" as never)))],
];

test.each(mistakes)(
  "a builder's mistake tells what to write instead, and the line: %s",
  async (_name, message, define) => {
    const error = await errorOf(ipc.launchModule(moduleOf("Mistake", define), { tasks: 1 }));
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/errors\.test\.ts:\d+/);
  },
);
