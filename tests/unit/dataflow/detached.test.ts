// Blocks on their own: emission order, control flow, scope, loops, streams, patterns. Guards the meaning of the language (language.md 2, 3) in compiled code.
import { expect, test } from "bun:test";
import { Block } from "../../../src/dataflow/builder.ts";
import { Case, LoopVars, SubSource } from "../../../src/dataflow/builder-parts.ts";
import { emit, emitStream, operation } from "../../../src/dataflow/emission.ts";
import { dec, eq, expr, gt, inc, lt, plus, record, tuple } from "../../../src/dataflow/expr.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { fields } from "../../../src/dataflow/patterns.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import { Path } from "../../../src/paths/path.ts";
import { TestPState } from "../../../src/testing/test-pstate.ts";
import { Agg } from "../../../src/aggregators/agg.ts";

/** Runs a block that is given a function which notes what it is called with. */
async function noted(make: (note: (...args: unknown[]) => void) => Block): Promise<unknown[]> {
  const found: unknown[] = [];
  await make((...args) => void found.push(args.length === 1 ? args[0] : args)).execute();
  return found;
}

test("each emit runs everything downstream before the next one", async () => {
  const order = await noted((note) =>
    Block.each(Ops.EXPLODE, [1, 2])
      .out("*v")
      .each((v: number) => note(`A${v}`), "*v")
      .each((v: number) => note(`B${v}`), "*v"),
  );
  expect(order).toEqual(["A1", "B1", "A2", "B2"]);
});

test("a function that returns nothing emits null; undefined never shows", async () => {
  expect(
    await noted((note) =>
      Block.each(() => {})
        .out("*a")
        .each(note, "*a", null),
    ),
  ).toEqual([[null, null]]);
});

test("no emit ends the branch, keepTrue too; 0 and the empty string are true", async () => {
  expect(await noted((note) => Block.each(Ops.EXPLODE, []).out("*x").each(note, "*x"))).toEqual([]);
  const kept = await noted((note) =>
    Block.each(Ops.EXPLODE, [0, "", null, false, true]).out("*x").keepTrue("*x").each(note, "*x"),
  );
  expect(kept).toEqual([0, "", true]);
});

test("outputs that are left away discard the values and go on once per emit", async () => {
  expect(await noted((note) => Block.each(Ops.EXPLODE, [1, 2, 3]).each(note, "x"))).toEqual(["x", "x", "x"]);
});

test("generators emit fields and named streams, in the order of their yields", async () => {
  const found = await noted((note) =>
    Block.each(Ops.RANGE, 0, 4)
      .out("*n")
      .each(function* (n: number) {
        if (n % 2 === 1) yield emitStream("odd", n);
        else yield emit(n, n * 10);
        yield emitStream("undeclared", n);
      }, "*n")
      .outStream("odd", "odd", "*o")
      .each(note, "odd", "*o")
      .hook("odd")
      .each(note, "again", "*o"),
  );
  expect(found).toEqual([
    ["odd", 1],
    ["again", 1],
    ["odd", 3],
    ["again", 3],
  ]);
});

test("code after outStream and out is attached to the last declared one", async () => {
  const found = await noted((note) =>
    Block.each(function* () {
      yield emitStream("s", 1);
      yield 2;
    })
      .outStream("s", "stream", "*s")
      .out("*d")
      .each(note, "default", "*d")
      .hook("stream")
      .each(note, "stream", "*s"),
  );
  expect(found).toEqual([
    ["stream", 1],
    ["default", 2],
  ]);
});

test("operations emit through their collector", async () => {
  const twice = operation((x: number, out) => {
    out.emit(x, "a");
    out.emit(x, "b");
  });
  expect(await noted((note) => Block.each(twice, 7).out("*x", "*s").each(note, "*x", "*s"))).toEqual([
    [7, "a"],
    [7, "b"],
  ]);
});

test("a function held in a var is called", async () => {
  const found = await noted((note) =>
    Block.each(() => (x: number) => x + 1)
      .out("*fn")
      .each("*fn", 1)
      .out("*y")
      .each(note, "*y", expr("*fn", "*y")),
  );
  expect(found).toEqual([[2, 3]]);
});

test("ifTrue goes on after both sides as often as each emits; a missing else passes on", async () => {
  const found = await noted((note) =>
    Block.each(Ops.RANGE, 0, 3)
      .out("*n")
      .ifTrue(eq("*n", 1), Block.each(Ops.EXPLODE, ["a", "b"]))
      .each(note, "*n"),
  );
  expect(found).toEqual([0, 1, 1, 2]);
});

test("after a split a name that all branches bind has each branch's value; one that only some rebind keeps the old", async () => {
  const found = await noted((note) =>
    Block.each(Ops.EXPLODE, [true, false])
      .out("*c")
      .each(Ops.IDENTITY, "before")
      .out("*some")
      .each(Ops.IDENTITY, "before")
      .out("*all")
      .ifTrue(
        "*c",
        Block.each(Ops.IDENTITY, "then")
          .out("*some")
          .each(Ops.IDENTITY, "then")
          .out("*all")
          .each(Ops.IDENTITY, 1)
          .out("*new"),
        Block.each(Ops.IDENTITY, "else").out("*all").each(Ops.IDENTITY, 2).out("*new"),
      )
      .each(note, "*some", "*all", "*new"),
  );
  expect(found).toEqual([
    ["before", "then", 1],
    ["before", "else", 2],
  ]);
});

test("cond runs the first case that holds and evaluates none after it; without a match nothing follows", async () => {
  const asked: string[] = [];
  const ask = (name: string, answer: boolean) => {
    asked.push(name);
    return answer;
  };
  const found = await noted((note) =>
    Block.each(Ops.EXPLODE, [1, 2])
      .out("*n")
      .cond(
        Case.create(expr((n: number) => ask("a", n === 1), "*n"))
          .each(Ops.IDENTITY, "one")
          .out("*s"),
        Case.create(expr((n: number) => ask("b", n === 9), "*n"))
          .each(Ops.IDENTITY, "nine")
          .out("*s"),
      )
      .each(note, "*n", "*s"),
  );
  expect(found).toEqual([[1, "one"]]);
  expect(asked).toEqual(["a", "a", "b"]);
});

test("subSource dispatches by class and by fields; a value that fits nowhere is an error", async () => {
  class Follow {}
  const block = (values: unknown[], note: (...args: unknown[]) => void) =>
    Block.each(() => values)
      .out("*values")
      .each(Ops.EXPLODE, "*values")
      .out("*v")
      .subSource(
        "*v",
        SubSource.create(Follow).each(Ops.IDENTITY, "follow").out("*kind"),
        SubSource.create({ type: "like", deep: [1] })
          .each(Ops.IDENTITY, "like")
          .out("*kind"),
        SubSource.create(String, Number).each(Ops.IDENTITY, "plain").out("*kind"),
      )
      .each(note, "*kind");
  const values = [new Follow(), { type: "like", deep: [1], by: 2 }, "s", 3];
  expect(await noted((note) => block(values, note))).toEqual(["follow", "like", "plain", "plain"]);
  await expect(block([{ type: "other" }], () => {}).execute()).rejects.toMatchObject({ code: "NO_SUB_SOURCE" });
});

test("loops emit and go on; the example of the reference gives 3, 2, 1", async () => {
  const found = await noted((note) =>
    Block.loopWithVars(LoopVars.var("*n", 3), Block.ifTrue(gt("*n", 0), Block.emitLoop("*n").continueLoop(dec("*n"))))
      .out("*n2")
      .each(note, "*n2"),
  );
  expect(found).toEqual([3, 2, 1]);
});

test("two loop vars change places", async () => {
  const found = await noted((note) =>
    Block.loopWithVars(
      LoopVars.var("*a", 1).var("*b", 2).var("*i", 0),
      Block.ifTrue(eq("*i", 3), Block.emitLoop("*a", "*b"), Block.continueLoop("*b", "*a", inc("*i"))),
    )
      .out("*x", "*y")
      .each(note, "*x", "*y"),
  );
  expect(found).toEqual([[2, 1]]);
});

test("long loops do not grow the stack, with a split before the next iteration and with a loop inside", async () => {
  const found = await noted((note) =>
    Block.loopWithVars(
      LoopVars.var("*i", 0).var("*sum", 0),
      Block.ifTrue(
        lt("*i", 200_000),
        Block.ifTrue(
          expr(Ops.IS_EVEN, "*i"),
          Block.each(Ops.IDENTITY, 1).out("*d"),
          Block.each(Ops.IDENTITY, 2).out("*d"),
        )
          .loopWithVars(
            LoopVars.var("*j", 0),
            Block.ifTrue(lt("*j", 2), Block.continueLoop(inc("*j")), Block.emitLoop("*j")),
          )
          .out("*k")
          .continueLoop(inc("*i"), plus("*sum", "*d", "*k")),
        Block.emitLoop("*sum"),
      ),
    )
      .out("*total")
      .each(note, "*total"),
  );
  expect(found).toEqual([700_000]);
});

test("long loops do not grow the stack where every iteration may wait for the disk", async () => {
  await using state = TestPState.create(Number);
  const found = await noted((note) =>
    Block.each(Ops.IDENTITY, state)
      .out("$$n")
      .loopWithVars(
        LoopVars.var("*i", 0),
        Block.localSelect("$$n", Path.stay())
          .out("*n")
          .ifTrue(
            lt("*i", 30_000),
            Block.ifTrue(
              expr(Ops.IS_EVEN, "*i"),
              Block.each(Ops.INC, "*i").out("*next"),
              Block.each(Ops.INC, "*i").out("*next"),
            )
              .localTransform("$$n", Path.nullToVal(0).term(Ops.INC))
              .continueLoop("*next"),
            Block.emitLoop("*n"),
          ),
      )
      .out("*end")
      .each(note, "*end"),
  );
  expect(found).toEqual([30_000]);
});

test("several continueLoops in one iteration make a tree", async () => {
  const found = await noted((note) =>
    Block.loopWithVars(
      LoopVars.var("*path", []).var("*depth", 0),
      Block.ifTrue(
        eq("*depth", 2),
        Block.emitLoop("*path"),
        Block.each(Ops.EXPLODE, ["l", "r"])
          .out("*step")
          .continueLoop(
            expr((path: string[], step: string) => [...path, step], "*path", "*step"),
            inc("*depth"),
          ),
      ),
    )
      .out("*leaf")
      .each(note, "*leaf"),
  );
  expect(found).toEqual([
    ["l", "l"],
    ["l", "r"],
    ["r", "l"],
    ["r", "r"],
  ]);
});

test("branches hang at anchors, and unify runs once for each arrival", async () => {
  const found = await noted((note) =>
    Block.each(Ops.IDENTITY, 5)
      .out("*x")
      .anchor("root")
      .each(Ops.IDENTITY, "a")
      .out("*s")
      .anchor("a")
      .branch("root", Block.each(Ops.EXPLODE, ["b", "c"]).out("*s").anchor("b"))
      .unify("a", "b")
      .each(note, "*x", "*s"),
  );
  expect(found).toEqual([
    [5, "a"],
    [5, "b"],
    [5, "c"],
  ]);
});

test("atomicBlock goes on exactly once, however often its body ends", async () => {
  const found = await noted((note) =>
    Block.atomicBlock(Block.each(Ops.EXPLODE, [1, 2]).out("*v").each(note, "*v"))
      .atomicBlock(Block.keepTrue(false).each(note, "never"))
      .each(note, "after"),
  );
  expect(found).toEqual([1, 2, "after"]);
});

test("blocks are values: one may be used twice, as it is", async () => {
  const twice = Block.each(Ops.INC, "*n").out("*n");
  const found = await noted((note) => Block.each(Ops.IDENTITY, 1).out("*n").macro(twice).macro(twice).each(note, "*n"));
  expect(found).toEqual([3]);
  expect(twice.nodes.length).toBe(2);
});

test("patterns take values apart: absent fields are null, lists must fit", async () => {
  const person = { name: "Ann", at: { lat: 1, lon: 2 } };
  const found = await noted((note) =>
    Block.each(() => person)
      .out("*whole", { name: "*name", at: { lat: "*lat" }, age: "*age" })
      .bind("*whole", fields("*at"))
      .bind(tuple(1, [2, 3]), ["*a", ["*b", "*c"]])
      .each(note, "*name", "*lat", "*age", "*at", "*a", "*b", "*c"),
  );
  expect(found).toEqual([["Ann", 1, null, { lat: 1, lon: 2 }, 1, 2, 3]]);
  expect(
    await noted((note) =>
      Block.each(() => null)
        .out({ a: "*a" })
        .each(note, "*a"),
    ),
  ).toEqual([null]);
  await expect(
    Block.each(() => [1])
      .out(["*a", "*b"])
      .execute(),
  ).rejects.toMatchObject({ code: "WRONG_OUTPUT_COUNT" });
});

test("expressions nest, and records are made of vars", async () => {
  const found = await noted((note) =>
    Block.each(Ops.IDENTITY, 2)
      .out("*n")
      .each(note, record({ n: plus("*n", inc("*n")), t: tuple("*n", "x") })),
  );
  expect(found).toEqual([{ n: 5, t: [2, "x"] }]);
});

test("async functions are waited for, and a rejection is passed on", async () => {
  const found = await noted((note) =>
    Block.each(Ops.EXPLODE, [1, 2])
      .out("*n")
      .eachAsync(async (n: number) => n * 2, "*n")
      .out("*m")
      .each(note, "*n", "*m"),
  );
  expect(found).toEqual([
    [1, 2],
    [2, 4],
  ]);
  const failing = Block.eachAsync(async () => {
    throw new TypeError("no");
  });
  await expect(failing.execute()).rejects.toThrow("no");
});

test("select navigates plain data; EXPAND spreads a list over vars", async () => {
  const found = await noted((note) =>
    Block.select(
      [
        [1, "a"],
        [2, "b"],
      ],
      Path.all(),
    )
      .out("*pair")
      .each(Ops.EXPAND, "*pair")
      .out("*n", "*s")
      .each(note, "*s", "*n"),
  );
  expect(found).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
});

test("a var may hold a TestPState, which is read, changed and cleared", async () => {
  await using counts = TestPState.create(PState.mapSchema(String, PState.fixedKeysSchema({ n: Number })));
  const found = await noted((note) =>
    Block.each(Ops.IDENTITY, counts)
      .out("$$counts")
      .localTransform("$$counts", Path.key("a", "n").termVal(1))
      .localSelect("$$counts", Path.key("a"))
      .out("*a")
      .localTransform("$$counts", Path.key("b", "n").term(Ops.PLUS, 0).nullToVal(0) as never)
      .each(note, "*a"),
  ).catch((error: Error) => error.message);
  expect(String(found)).toContain("terminal");
  const read = await noted((note) =>
    Block.each(Ops.IDENTITY, counts)
      .out("$$counts")
      .localTransform("$$counts", Path.key("a", "n").termVal(1))
      .localTransform("$$counts", Path.key("b", "n").nullToVal(0).term(Ops.PLUS, 5))
      .localSelect("$$counts", Path.mapVals().key("n"))
      .out("*n")
      .each(note, "*n"),
  );
  expect(read).toEqual([1, 5]);
  expect(await counts.selectOne<object>(Path.key("b"))).toEqual({ n: 5 });
  await Block.each(Ops.IDENTITY, counts).out("$$counts").localClear("$$counts").execute();
  expect(await counts.select(Path.all())).toEqual([]);
});

test("a failed transform of a TestPState changes nothing", async () => {
  await using sum = TestPState.create(Number);
  const block = Block.each(Ops.IDENTITY, sum).out("$$sum").agg("$$sum", Agg.sum("*n"));
  await Block.each(Ops.IDENTITY, 4).out("*n").macro(block).execute();
  await expect(Block.each(Ops.IDENTITY, "x").out("*n").macro(block).execute()).rejects.toThrow();
  expect(await sum.selectOne(Path.stay())).toBe(4);
});
