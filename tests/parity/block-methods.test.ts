// language.md 3: every block method that detached blocks and query topologies have.
import { expect, test } from "bun:test";
import {
  and,
  Block,
  Case,
  dec,
  emitStream,
  eq,
  expr,
  fields,
  gt,
  gte,
  Helpers,
  inc,
  isNotNull,
  isNull,
  LoopVars,
  lt,
  lte,
  minus,
  ne,
  not,
  Ops,
  operation,
  or,
  Path,
  PState,
  plus,
  record,
  SubSource,
  tuple,
} from "rama";
import { extractFields } from "rama/helpers";
import { TestPState } from "rama/test";
import { codeOf, rows } from "./observed.ts";

const one = Block.each(Ops.IDENTITY, 1).out("*one");

test("a function emits once, a generator as often as it yields, operation() calls back", async () => {
  expect(await rows(Block.each((a: number, b: number) => a + b, 1, 2).out("*x"), "*x")).toEqual([3]);
  const generator = function* (n: number) {
    for (let i = 0; i < n; i++) yield i;
  };
  expect(await rows(Block.each(generator, 3).out("*x"), "*x")).toEqual([0, 1, 2]);
  const twice = operation((x: number, c) => {
    c.emit(x);
    c.emit(x);
  });
  expect(await rows(Block.each(twice, 4).out("*x"), "*x")).toEqual([4, 4]);
});

test("each takes eight arguments", async () => {
  const sum = (...ns: number[]) => ns.reduce((a, b) => a + b);
  expect(await rows(Block.each(sum, 1, 2, 3, 4, 5, 6, 7, 8).out("*x"), "*x")).toEqual([36]);
});

test("async functions are refused by each and in expressions, as are generators in expressions", async () => {
  expect(
    await codeOf(() =>
      Block.each(async () => 1)
        .out("*x")
        .execute(),
    ),
  ).not.toMatch(/^resolved/);
  expect(
    await codeOf(() =>
      Block.each(
        Ops.IDENTITY,
        expr(async () => 1),
      )
        .out("*x")
        .execute(),
    ),
  ).not.toMatch(/^resolved/);
  const generator = function* () {
    yield 1;
  };
  expect(await codeOf(() => Block.each(Ops.IDENTITY, expr(generator)).out("*x").execute())).not.toMatch(/^resolved/);
  expect(
    await codeOf(() =>
      Block.eachAsync((() => 1) as unknown as () => Promise<number>)
        .out("*x")
        .execute(),
    ),
  ).not.toMatch(/^resolved/);
});

test("keepTrue passes only what is true", async () => {
  const even = Block.each(Ops.RANGE, 0, 6).out("*n").keepTrue(expr(Ops.IS_EVEN, "*n"));
  expect(await rows(even, "*n")).toEqual([0, 2, 4]);
});

test("macro splices a block whose vars are the caller's", async () => {
  const addOne = (from: `*${string}`, to: `*${string}`) => {
    const hidden = Helpers.genVar("hidden");
    return Block.each(Ops.IDENTITY, from).out(hidden).each(Ops.INC, hidden).out(to);
  };
  expect(
    await rows(one.macro(addOne("*one", "*two")).macro(addOne("*two", "*three")), "*one", "*two", "*three"),
  ).toEqual([[1, 2, 3]]);
  expect(await rows(one.macro(Block.create()), "*one")).toEqual([1]);
});

test("Block.create() starts blocks that are built in a loop", async () => {
  let block = Block.create();
  for (let i = 0; i < 3; i++) block = block.each(Ops.IDENTITY, i).out(`*v${i}`);
  expect(await rows(block, "*v0", "*v1", "*v2")).toEqual([[0, 1, 2]]);
});

test("yieldIfOvertime emits once", async () => {
  expect(await rows(one.yieldIfOvertime(), "*one")).toEqual([1]);
});

test("ifTrue without else passes control on", async () => {
  expect(await rows(one.ifTrue(false, Block.each(Ops.IDENTITY, 2).out("*y")), "*one")).toEqual([1]);
});

test("both sides of ifTrue go on as often as each emits at its end", async () => {
  const block = Block.each(Ops.EXPLODE, [true, false])
    .out("*c")
    .ifTrue("*c", Block.each(Ops.EXPLODE, [1, 2]).out("*v"), Block.each(Ops.EXPLODE, []).out("*v"));
  expect(await rows(block, "*c", "*v")).toEqual([
    [true, 1],
    [true, 2],
  ]);
});

test("cond runs the first case that is true and looks at no later one; no case, no emit", async () => {
  const asked: number[] = [];
  const ask = (n: number, answer: boolean) => {
    asked.push(n);
    return answer;
  };
  const cond = (last: boolean) =>
    Block.cond(
      Case.create(expr(ask, 1, false))
        .each(Ops.IDENTITY, "a")
        .out("*r"),
      Case.create(expr(ask, 2, last))
        .each(Ops.IDENTITY, "b")
        .out("*r"),
      Case.create(expr(ask, 3, last))
        .each(Ops.IDENTITY, "c")
        .out("*r"),
    );
  expect(await rows(cond(true), "*r")).toEqual(["b"]);
  expect(asked).toEqual([1, 2]);
  expect(await rows(cond(false), "*r")).toEqual([]);
});

class Follow {
  constructor(readonly to: string) {}
}
class SuperFollow extends Follow {}

test("subSource dispatches by class (instance-of), several classes, patterns, in order", async () => {
  const block = Block.each(Ops.EXPLODE, [
    new SuperFollow("x"),
    new Date(0),
    { type: "post", kind: "long", text: "t" },
    { type: "post", kind: "short", text: "s" },
    "str",
    5,
  ])
    .out("*v")
    .subSource(
      "*v",
      SubSource.create(Follow)
        .each((f: Follow) => `follow ${f.to}`, "*v")
        .out("*r"),
      SubSource.create(Date, String).each(Ops.IDENTITY, "date or string").out("*r"),
      SubSource.create({ type: "post", kind: "long" }).each(Ops.IDENTITY, "long post").out("*r"),
      SubSource.create({ type: "post" }).each(Ops.IDENTITY, "post").out("*r"),
      SubSource.create(Object, Number).each(Ops.IDENTITY, "rest").out("*r"),
    );
  expect(await rows(block, "*r")).toEqual([
    "follow x",
    "date or string",
    "long post",
    "post",
    "date or string",
    "rest",
  ]);
});

test("a value that no SubSource matches fails with NO_SUB_SOURCE", async () => {
  const block = Block.each(Ops.IDENTITY, 5)
    .out("*v")
    .subSource("*v", SubSource.create(String).each(Ops.IDENTITY, 1).out("*r"));
  expect(await codeOf(block.execute())).toBe("NO_SUB_SOURCE");
});

test("anchor, hook, branch: branches from a named node; branch restores the attachment point", async () => {
  const log: unknown[] = [];
  const note = (...x: unknown[]) => {
    log.push(x);
  };
  await Block.each(Ops.IDENTITY, 1)
    .out("*a")
    .anchor("root")
    .each(Ops.INC, "*a")
    .out("*b")
    .branch("root", Block.each(Ops.IDENTITY, "side").out("*c").each(note, "*a", "*c"))
    .each(note, "*a", "*b")
    .execute();
  expect(log).toHaveLength(2);
  expect(log).toContainEqual([1, "side"]);
  expect(log).toContainEqual([1, 2]);
});

test("unify runs once for each arrival at any of its anchors", async () => {
  const block = Block.each(function* () {
    yield 1;
    yield emitStream("s", 2);
    yield 3;
  })
    .outStream("s", "sAnchor", "*v")
    .out("*v")
    .anchor("main")
    .unify("sAnchor", "main");
  expect((await rows(block, "*v")).sort()).toEqual([1, 2, 3]);
});

test("the loop of the reference emits 3, 2, 1", async () => {
  const block = Block.loopWithVars(
    LoopVars.var("*n", 3),
    Block.ifTrue(expr(Ops.GREATER_THAN, "*n", 0), Block.emitLoop("*n").continueLoop(expr(Ops.DEC, "*n"))),
  ).out("*n2");
  expect(await rows(block, "*n2")).toEqual([3, 2, 1]);
});

test("several continueLoops make a tree of iterations, several vars and outs travel together", async () => {
  const block = Block.loopWithVars(
    LoopVars.var("*depth", 0).var("*path", ""),
    Block.ifTrue(
      eq("*depth", 2),
      Block.emitLoop("*path", "*depth"),
      Block.continueLoop(inc("*depth"), expr(Ops.TO_STRING, "*path", "l")).continueLoop(
        inc("*depth"),
        expr(Ops.TO_STRING, "*path", "r"),
      ),
    ),
  ).out("*p", "*d");
  expect(await rows(block, "*p", "*d")).toEqual([
    ["ll", 2],
    ["lr", 2],
    ["rl", 2],
    ["rr", 2],
  ]);
});

test("a loop var that only its own expressions read: they run, and nothing is missing", async () => {
  let ran = 0;
  const count = (n: number) => {
    ran++;
    return n + 1;
  };
  const block = Block.loopWithVars(
    LoopVars.var("*i", 0).var("*n", 2),
    Block.ifTrue(gt("*n", 0), Block.emitLoop("*n").continueLoop(expr(count, "*i"), expr(Ops.DEC, "*n"))),
  ).out("*x");
  expect(await rows(block, "*x")).toEqual([2, 1]);
  expect(ran).toBe(2);
});

test("a loop without vars; a long loop does not overflow the stack", async () => {
  let left = 3;
  const down = () => left-- > 0;
  const block = Block.loop(Block.ifTrue(expr(down), Block.emitLoop().continueLoop()))
    .each(Ops.IDENTITY, "x")
    .out("*x");
  expect(await rows(block, "*x")).toEqual(["x", "x", "x"]);
  const long = Block.loopWithVars(
    LoopVars.var("*i", 0),
    Block.ifTrue(lt("*i", 100_000), Block.continueLoop(inc("*i")), Block.emitLoop("*i")),
  ).out("*n");
  expect(await rows(long, "*n")).toEqual([100_000]);
});

test("continueLoop with another number of arguments than the loop has vars is refused", async () => {
  const block = Block.loopWithVars(LoopVars.var("*i", 0), Block.continueLoop(1, 2));
  expect(await codeOf(() => block.execute())).toBe("WRONG_ARGUMENT_COUNT");
});

test.each([
  [0, []],
  [1, [7]],
  [3, [7, 8, 9]],
])("atomicBlock goes on exactly once when its end is reached %p times", async (_, values) => {
  const inside: unknown[] = [];
  const block = one.atomicBlock(
    Block.each(Ops.EXPLODE, values)
      .out("*v")
      .each((v: unknown) => {
        inside.push(v);
      }, "*v"),
  );
  expect(await rows(block, "*one")).toEqual([1]);
  expect(inside).toEqual(values);
});

test("eachAsync emits what the promise gives", async () => {
  expect(await rows(Block.eachAsync(async (n: number) => n * 2, 21).out("*x"), "*x")).toEqual([42]);
});

test("execute throws what the code throws", async () => {
  const failing = Block.each(() => {
    throw new Error("of the user");
  });
  await expect(failing.execute()).rejects.toThrow("of the user");
});

test("patterns: objects, arrays, nested, fields, the whole beside, null for absent fields", async () => {
  const value = Block.each(Ops.IDENTITY, { a: 1, nested: { b: 2 } });
  expect(await rows(value.out({ a: "*a", nested: { b: "*b" }, absent: "*n" }), "*a", "*b", "*n")).toEqual([
    [1, 2, null],
  ]);
  expect(await rows(value.out("*whole", { a: "*a" }), "*whole", "*a")).toEqual([[{ a: 1, nested: { b: 2 } }, 1]]);
  expect(await rows(value.out(fields("*a", "*nested")), "*a", "*nested")).toEqual([[1, { b: 2 }]]);
  expect(await rows(Block.each(Ops.TUPLE, 1, 2).out(["*x", "*y"]), "*x", "*y")).toEqual([[1, 2]]);
  expect(await rows(Block.each(Ops.IDENTITY, null).out({ a: "*a" }), "*a")).toEqual([null]);
  const bound = value.out("*r").bind("*r", { nested: { b: "*b" } });
  expect(await rows(bound, "*b")).toEqual([2]);
  const list = Block.each(Ops.TUPLE, 1, 2, 3).out(["*x", "*y"]);
  expect(await codeOf(list.execute())).not.toMatch(/^resolved|not a RamaError/);
});

test("extractFields binds fields by name; a missing field fails with FIELD_MISSING", async () => {
  const value = Block.each(Ops.IDENTITY, { a: 1, b: 2 }).out("*record");
  expect(await rows(value.macro(extractFields("*record", "*a", "*b")), "*a", "*b")).toEqual([[1, 2]]);
  expect(await codeOf(value.macro(extractFields("*record", "*absent")).execute())).toBe("FIELD_MISSING");
});

test.each([
  ["eq", eq(1, 1), true],
  ["eq by value", eq([1], [1]), true],
  ["ne", ne(1, 2), true],
  ["lt", lt(1, 2), true],
  ["lte", lte(2, 2), true],
  ["gt", gt(1, 2), false],
  ["gte", gte(2, 2), true],
  ["and", and(true, 0, "last"), "last"],
  ["or", or(null, false, 3), 3],
  ["not", not(null), true],
  ["isNull", isNull(null), true],
  ["isNotNull", isNotNull(0), true],
  ["inc", inc(1), 2],
  ["dec", dec(1), 0],
  ["plus", plus(1, 2, 3), 6],
  ["minus", minus(5, 2), 3],
  ["tuple", tuple(1, tuple(2)), [1, [2]]],
  ["record", record({ to: "x", nested: record({ amt: plus(1, 1) }) }), { to: "x", nested: { amt: 2 } }],
])("short expression %s", async (_, expression, expected) => {
  expect(await rows(Block.each(Ops.IDENTITY, expression).out("*x"), "*x")).toEqual([expected]);
});

test("select on plain data, a TestPState held by a var, and localTransform on it", async () => {
  const plain = Block.each(Ops.IDENTITY, { a: [1, 2] })
    .out("*data")
    .select("*data", Path.key("a").all())
    .out("*v");
  expect(await rows(plain, "*v")).toEqual([1, 2]);
  await using state = await TestPState.create(PState.mapSchema(String, Number));
  const block = Block.each(Ops.IDENTITY, state)
    .out("$$p")
    .localTransform("$$p", Path.key("a").termVal(5))
    .localSelect("$$p", Path.key("a"))
    .out("*a");
  expect(await rows(block, "*a")).toEqual([5]);
  expect(await state.selectOne(Path.key("a"))).toBe(5);
});

test("out takes a pattern after localSelect and select", async () => {
  const block = Block.each(Ops.IDENTITY, [{ a: 1, b: 2 }])
    .out("*data")
    .select("*data", Path.all())
    .out({ a: "*a", b: "*b" });
  expect(await rows(block, "*a", "*b")).toEqual([[1, 2]]);
});

test("a detached block refuses partitioners and what needs a task", async () => {
  for (const block of [
    Block.hashPartition(1),
    Block.allPartition(),
    Block.globalPartition(),
    Block.invokeQuery("q"),
    Block.depotPartitionAppend("*d", 1),
    Block.ackReturn(1),
  ])
    expect(await codeOf(() => block.execute())).toBe("NOT_ALLOWED_HERE");
});

test("emitLoop with another number of arguments than the loop has outs is refused", async () => {
  const block = Block.loopWithVars(LoopVars.var("*i", 1), Block.emitLoop("*i", "*i")).out("*x");
  expect(await codeOf(() => block.execute())).toBe("WRONG_ARGUMENT_COUNT");
});

test("a loop that never emits ends silently", async () => {
  const block = Block.loopWithVars(
    LoopVars.var("*i", 0),
    Block.ifTrue(expr(Ops.LESS_THAN, "*i", 10), Block.continueLoop(expr(Ops.INC, "*i"))),
  ).out("*x");
  expect(await rows(block, "*x")).toEqual([]);
});

test("continueLoop and emitLoop belong to the innermost loop", async () => {
  const inner = Block.loopWithVars(
    LoopVars.var("*j", "*i"),
    Block.ifTrue(expr(Ops.GREATER_THAN, "*j", 0), Block.emitLoop("*j").continueLoop(expr(Ops.DEC, "*j"))),
  ).out("*k");
  const outer = Block.loopWithVars(
    LoopVars.var("*i", 1),
    Block.ifTrue(expr(Ops.LESS_THAN, "*i", 4), Block.emitLoop("*i").continueLoop(expr(Ops.INC, "*i"))),
  ).out("*i");
  expect(await rows(outer.macro(inner), "*i", "*k")).toEqual([
    [1, 1],
    [2, 2],
    [2, 1],
    [3, 3],
    [3, 2],
    [3, 1],
  ]);
});
