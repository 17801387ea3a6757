// language.md 2: vars, the execution model, scope, null.
import { expect, test } from "bun:test";
import {
  Agg,
  Block,
  Case,
  Constant,
  constant,
  emit,
  emitStream,
  Expr,
  expr,
  Helpers,
  LoopVars,
  lt,
  Ops,
  operation,
  Path,
  SubSource,
} from "rama";
import { codeOf, rows } from "./observed.ts";

const say = (log: unknown[], label: string) => (x: unknown) => {
  log.push([label, x]);
};

test("a string that begins with * is a var, any other string a literal", async () => {
  expect(await rows(Block.each(Ops.IDENTITY, "abc").out("*a").each(Ops.TO_STRING, "*a", "d").out("*b"), "*b")).toEqual([
    "abcd",
  ]);
});

test.each([
  ["constant", () => constant("*x")],
  ["new Constant", () => new Constant("*x")],
  ["$$ strings", () => constant("$$x")],
])("a string that looks like a var is passed as data by %s", async (_, make) => {
  const [value] = await rows(Block.each(Ops.IDENTITY, make()).out("*a"), "*a");
  expect(["*x", "$$x"]).toContain(value as string);
});

test("strings inside constant collections are data, never vars", async () => {
  expect(await rows(Block.each(Ops.IDENTITY, ["*x", { a: "*y" }]).out("*a"), "*a")).toEqual([["*x", { a: "*y" }]]);
});

test.each([
  ["expr", expr(Ops.PLUS, 1, expr(Ops.TIMES, 2, 3))],
  ["new Expr", new Expr(Ops.PLUS, 1, new Expr(Ops.TIMES, 2, 3))],
])("%s is an argument anywhere and nests", async (_, expression) => {
  expect(await rows(Block.each(Ops.IDENTITY, expression).out("*a"), "*a")).toEqual([7]);
});

test("each emit runs everything downstream before the operation goes on", async () => {
  const log: unknown[] = [];
  await Block.each(Ops.EXPLODE, [1, 2]).out("*v").each(say(log, "A"), "*v").each(say(log, "B"), "*v").execute();
  expect(log).toEqual([
    ["A", 1],
    ["B", 1],
    ["A", 2],
    ["B", 2],
  ]);
});

test.each([
  ["EXPLODE of an empty list", Block.each(Ops.EXPLODE, []).out("*v")],
  ["EXPLODE of null", Block.each(Ops.EXPLODE, null).out("*v")],
  ["keepTrue(false)", Block.keepTrue(false)],
  ["keepTrue(null)", Block.keepTrue(null)],
  ["a generator that yields nothing", Block.each(function* (): Generator<number> {}).out("*v")],
])("%s ends the branch silently", async (_, block) => {
  expect(await rows(block.each(Ops.IDENTITY, 1).out("*x"), "*x")).toEqual([]);
});

test.each([[0], [""], ["x"], [true]])("%p counts as true", async (value) => {
  expect(await rows(Block.keepTrue(value).each(Ops.IDENTITY, 1).out("*x"), "*x")).toEqual([1]);
});

test("without out the emission's values are dropped and the code goes on once per emit", async () => {
  expect(await rows(Block.each(Ops.EXPLODE, [1, 2, 3]).each(Ops.IDENTITY, "r").out("*x"), "*x")).toEqual([
    "r",
    "r",
    "r",
  ]);
});

test("an output that binds another number of vars than fields are emitted fails", async () => {
  const block = Block.each(function* () {
    yield emit(1, 2);
  }).out("*a");
  expect(await codeOf(block.execute())).toBe("WRONG_OUTPUT_COUNT");
});

test("an operation emits several fields, several times, on several streams in the order of its emits", async () => {
  const log: unknown[] = [];
  await Block.each(
    operation((n: number, collector) => {
      collector.emitStream("odd", n);
      collector.emit(n, n * 10);
      collector.emitStream("nobody", 1);
      collector.emit(n, n * 100);
    }),
    5,
  )
    .outStream("odd", "oddAnchor", "*o")
    .out("*a", "*b")
    .each((a: number, b: number) => log.push(["default", a, b]), "*a", "*b")
    .hook("oddAnchor")
    .each((o: number) => log.push(["odd", o]), "*o")
    .execute();
  expect(log).toEqual([
    ["odd", 5],
    ["default", 5, 50],
    ["default", 5, 500],
  ]);
});

test("following nodes attach to the output declared last", async () => {
  const log: unknown[] = [];
  await Block.each(function* () {
    yield 1;
    yield emitStream("s", 2);
  })
    .out("*d")
    .outStream("s", "sAnchor", "*s")
    .each((s: number) => log.push(s), "*s")
    .execute();
  expect(log).toEqual([2]);
});

test("an unknown var is refused before anything runs", async () => {
  const log: unknown[] = [];
  const code = await codeOf(() => Block.each(say(log, "ran"), 1).each(Ops.IDENTITY, "*missing").out("*x").execute());
  expect([code, log]).toEqual(["UNKNOWN_VAR", []]);
});

test("rebinding is seen downstream only; sibling branches keep the old value", async () => {
  const log: unknown[] = [];
  await Block.each(Ops.IDENTITY, 1)
    .out("*x")
    .anchor("root")
    .each(Ops.INC, "*x")
    .out("*x")
    .each(say(log, "new"), "*x")
    .hook("root")
    .each(say(log, "old"), "*x")
    .execute();
  expect(log).toContainEqual(["new", 2]);
  expect(log).toContainEqual(["old", 1]);
});

test("after ifTrue: vars bound on both sides are in scope", async () => {
  for (const [condition, expected] of [
    [true, "then"],
    [false, "else"],
  ] as const)
    expect(
      await rows(
        Block.ifTrue(
          condition,
          Block.each(Ops.IDENTITY, "then").out("*side"),
          Block.each(Ops.IDENTITY, "else").out("*side"),
        ),
        "*side",
      ),
    ).toEqual([expected]);
});

test("after ifTrue: a var bound on one side only is out of scope", async () => {
  const block = Block.ifTrue(true, Block.each(Ops.IDENTITY, 1).out("*a"), Block.each(Ops.IDENTITY, 1).out("*b"));
  expect(await codeOf(() => rows(block, "*a"))).toBe("UNKNOWN_VAR");
});

test("a var rebound on some branches has its original value after the join; on all, each branch's", async () => {
  const some = Block.each(Ops.IDENTITY, 1)
    .out("*x")
    .ifTrue(true, Block.each(Ops.IDENTITY, 2).out("*x"), Block.each(Ops.IDENTITY, 9).out("*y"));
  expect(await rows(some, "*x")).toEqual([1]);
  const all = Block.each(Ops.IDENTITY, 1)
    .out("*x")
    .ifTrue(false, Block.each(Ops.IDENTITY, 2).out("*x"), Block.each(Ops.IDENTITY, 3).out("*x"));
  expect(await rows(all, "*x")).toEqual([3]);
  const none = Block.each(Ops.IDENTITY, 1).out("*x").ifTrue(true, Block.each(Ops.IDENTITY, 2).out("*x"));
  expect(await rows(none, "*x")).toEqual([1]);
});

test("scope after cond, subSource and unify is what every branch binds", async () => {
  const cond = Block.each(Ops.IDENTITY, 7)
    .out("*n")
    .cond(
      Case.create(expr(Ops.LESS_THAN, "*n", 5))
        .each(Ops.IDENTITY, "small")
        .out("*size")
        .each(Ops.IDENTITY, 1)
        .out("*p"),
      Case.create(true).each(Ops.IDENTITY, "big").out("*size"),
    );
  expect(await rows(cond, "*size", "*n")).toEqual([["big", 7]]);
  expect(await codeOf(() => rows(cond, "*p"))).toBe("UNKNOWN_VAR");
  const sub = Block.each(Ops.EXPLODE, ["a", 1])
    .out("*v")
    .subSource(
      "*v",
      SubSource.create(String).each(Ops.IDENTITY, "string").out("*kind"),
      SubSource.create(Number).each(Ops.IDENTITY, "number").out("*kind"),
    );
  expect(await rows(sub, "*kind", "*v")).toEqual([
    ["string", "a"],
    ["number", 1],
  ]);
  const unified = Block.each(Ops.IDENTITY, 1)
    .out("*a")
    .anchor("root")
    .each(Ops.IDENTITY, "left")
    .out("*side")
    .each(Ops.IDENTITY, 0)
    .out("*leftOnly")
    .anchor("left")
    .hook("root")
    .each(Ops.IDENTITY, "right")
    .out("*side")
    .anchor("right")
    .unify("left", "right");
  expect((await rows(unified, "*side", "*a")).sort()).toEqual([
    ["left", 1],
    ["right", 1],
  ]);
  expect(await codeOf(() => rows(unified, "*leftOnly"))).toBe("UNKNOWN_VAR");
});

test("the loop's vars and the body's are out of scope after the loop", async () => {
  const loop = Block.each(Ops.IDENTITY, 100)
    .out("*before")
    .loopWithVars(
      LoopVars.var("*i", 3),
      Block.ifTrue(
        expr(Ops.GREATER_THAN, "*i", 0),
        Block.each(Ops.PLUS, "*i", "*before").out("*inner").emitLoop("*inner").continueLoop(expr(Ops.DEC, "*i")),
      ),
    )
    .out("*n");
  expect(await rows(loop, "*n", "*before")).toEqual([
    [103, 100],
    [102, 100],
    [101, 100],
  ]);
  expect(await codeOf(() => rows(loop, "*i"))).toBe("UNKNOWN_VAR");
  expect(await codeOf(() => rows(loop, "*inner"))).toBe("UNKNOWN_VAR");
});

test("vars bound before a batch block are visible inside and after, those bound inside do not leave it", async () => {
  const inside: unknown[] = [];
  const block = Block.each(Ops.IDENTITY, 1)
    .out("*before")
    .batchBlock(
      Block.each(Ops.EXPLODE, [1, 2])
        .out("*v")
        .agg(Agg.sum("*v"))
        .out("*sum")
        .each((b: unknown, s: unknown) => inside.push([b, s]), "*before", "*sum"),
    );
  expect(await rows(block, "*before")).toEqual([1]);
  expect(inside).toEqual([[1, 3]]);
  expect(await codeOf(() => rows(block, "*sum"))).toBe("UNKNOWN_VAR");
});

test("generated vars are unique and know their prefix", () => {
  const a = Helpers.genVar("count");
  const b = Helpers.genVar("count");
  expect(a).toMatch(/^\*___count/);
  expect(a).not.toBe(b);
  expect(Helpers.genPStateVar("p")).toMatch(/^\$\$/);
  expect([Helpers.isGeneratedVar(a), Helpers.isGeneratedVar("*count")]).toEqual([true, false]);
  expect(Helpers.getGeneratedVarPrefix(a)).toBe("count");
  expect(Helpers.genVar()).toMatch(/^\*___/);
});

test("null binds and is emitted; undefined becomes null; a function that returns nothing emits null", async () => {
  expect(await rows(Block.each(Ops.IDENTITY, null).out("*x"), "*x")).toEqual([null]);
  expect(
    await rows(
      Block.each(() => undefined)
        .out("*x")
        .each((x: unknown) => [x], "*x")
        .out("*y"),
      "*y",
    ),
  ).toEqual([[null]]);
  expect(await rows(Block.each(Ops.EXPLODE, [[1, null]]).out("*x"), "*x")).toEqual([[1, null]]);
});

test("builders are immutable and may be reused", async () => {
  const start = Block.each(Ops.IDENTITY, 1).out("*x");
  const a = start.each(Ops.INC, "*x").out("*y");
  const b = start.each(Ops.DEC, "*x").out("*y");
  expect([await rows(a, "*y"), await rows(b, "*y"), await rows(start, "*x")]).toEqual([[2], [0], [1]]);
});

test("a function held in a var is called by each and in expressions", async () => {
  const block = Block.each(() => (n: number) => n + 1)
    .out("*f")
    .each("*f", 1)
    .out("*a")
    .each(Ops.IDENTITY, expr("*f", "*a"))
    .out("*b");
  expect(await rows(block, "*a", "*b")).toEqual([[2, 3]]);
});

test("vars with ** and *___ are ordinary outside batch blocks", async () => {
  const block = Block.each(Ops.IDENTITY, 1).out("**a").each(Ops.INC, "**a").out("*___b");
  expect(await rows(block, "**a", "*___b")).toEqual([[1, 2]]);
});

test("a select of nothing ends the branch silently", async () => {
  expect(await rows(Block.select([], Path.all()).out("*x"), "*x")).toEqual([]);
  expect(await rows(Block.select({ a: 1 }, Path.must("b")).out("*x"), "*x")).toEqual([]);
});

test("a mutable object is shared by the branches of an event", async () => {
  const seen: number[] = [];
  await Block.each(() => ({ n: 0 }))
    .out("*o")
    .anchor("here")
    .branch(
      "here",
      Block.each((o: { n: number }) => void o.n++, "*o"),
    )
    .hook("here")
    .each((o: { n: number }) => void seen.push(o.n), "*o")
    .execute();
  expect(seen.length).toBe(1);
  expect([0, 1]).toContain(seen[0]!);
});

test("a branch that ends at run time counts for scope as written", async () => {
  const lost = Block.ifTrue(true, Block.keepTrue(false), Block.each(Ops.IDENTITY, 1).out("*y")).each(Ops.INC, "*y");
  expect(await codeOf(() => lost.execute())).toBe("UNKNOWN_VAR");
  const inLoop = Block.loopWithVars(
    LoopVars.var("*i", 0),
    Block.ifTrue(lt("*i", 3), Block.continueLoop(expr(Ops.INC, "*i")), Block.each(Ops.IDENTITY, 1).out("*y"))
      .each(Ops.INC, "*y")
      .out("*z")
      .emitLoop("*z"),
  ).out("*end");
  expect(await codeOf(() => inLoop.execute())).toBe("UNKNOWN_VAR");
});

test("an emit on a stream that nobody declared goes nowhere", async () => {
  const block = Block.each(function* () {
    yield emitStream("nobody", 1);
    yield 2;
  }).out("*x");
  expect(await rows(block, "*x")).toEqual([2]);
});
