// Built-in operations: null, kinds of numbers, equality by value, and that inlined code does what the function does.
import { describe, expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { emissionsOf, emit, emitStream, operation } from "../../../src/dataflow/emission.ts";
import { Expr, expr, plus, record, tuple } from "../../../src/dataflow/expr.ts";
import { Helpers } from "../../../src/dataflow/helpers-vars.ts";
import { Ops, opNamed } from "../../../src/dataflow/ops.ts";
import { taskOf } from "../../../src/base/hash.ts";
import type { Op } from "../../../src/paths/arg.ts";

const codeOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    return (error as RamaError).code ?? (error as Error).name;
  }
  return "none";
};

test("null collections are empty", () => {
  expect([Ops.SIZE, Ops.SUM, Ops.FIRST, Ops.LAST].map((op) => op.fn(null))).toEqual([0, 0, null, null]);
  expect([Ops.CONTAINS.fn(null, 1), Ops.GET.fn(null, "a")]).toEqual([false, null]);
  expect([...Ops.EXPLODE.fn(null)]).toEqual([]);
});

test("numbers and bigints mix: the result is a bigint if an operand is", () => {
  expect([Ops.PLUS.fn(1, 2n, 3), Ops.MINUS.fn(5), Ops.TIMES.fn(2, 3), Ops.INC.fn(2n), Ops.SUM.fn([1, 2n])]).toEqual([
    6n,
    -5,
    6,
    3n,
    3n,
  ]);
  expect([Ops.PLUS.fn(1.5, 1n), Ops.DIV.fn(7, 2), Ops.DIV.fn(7n, 2n)]).toEqual([2.5, 3.5, 3n]);
  expect([Ops.IS_EVEN.fn(4n), Ops.IS_ODD.fn(-3)]).toEqual([true, true]);
  expect(codeOf(() => Ops.PLUS.fn(null, 1))).toBe("TypeError");
});

test("comparison is chained and by value", () => {
  expect([Ops.LESS_THAN.fn(1, 2, 3), Ops.LESS_THAN.fn(1, 3, 2), Ops.GREATER_THAN_OR_EQUAL.fn(2n, 2)]).toEqual([
    true,
    false,
    true,
  ]);
  expect([Ops.EQUAL.fn([1, new Map([["a", 1n]])], [1n, new Map([["a", 1]])]), Ops.NOT_EQUAL.fn(1, 1, 2)]).toEqual([
    true,
    true,
  ]);
  expect([Ops.MIN.fn(3, 1n, 2), Ops.MAX.fn("a", "b")]).toEqual([1n, "b"]);
});

test("0 and the empty text are true, null and false are not", () => {
  expect([
    Ops.AND.fn(0, ""),
    Ops.AND.fn(1, null, false),
    Ops.OR.fn(null, 0),
    Ops.OR.fn(false, null),
    Ops.NOT.fn(0),
  ]).toEqual(["", null, 0, null, false]);
});

test("classes come first in IS_INSTANCE_OF", () => {
  expect([
    Ops.IS_INSTANCE_OF.fn(String, "a"),
    Ops.IS_INSTANCE_OF.fn(Map, {}),
    Ops.IS_INSTANCE_OF.fn(Object, null),
  ]).toEqual([true, false, false]);
});

test("inlined code gives what the function gives", () => {
  const inputs: unknown[] = [0, 1, -1, 2n, null, true, "a"];
  for (const op of Object.values(Ops) as Op[]) {
    if (op.jsInline === undefined) continue;
    for (const a of inputs) {
      for (const b of inputs) {
        const args = op.arity.max === 1 ? ["a"] : ["a", "b"];
        const inlined = new Function("a", "b", "f", `return ${op.jsInline(args, "f")}`);
        const attempt = (fn: () => unknown) => {
          try {
            return [fn()];
          } catch (error) {
            return (error as Error).name;
          }
        };
        const direct = attempt(() => op.fn(...[a, b].slice(0, args.length)));
        expect(attempt(() => inlined(a, b, op.fn))).toEqual(direct);
      }
    }
  }
});

test("ops are found by name", () => {
  expect(opNamed("Ops.INC")).toBe(Ops.INC);
  expect(opNamed("Ops.NOPE")).toBeUndefined();
});

test("context ops read the task that they run on", () => {
  const lines: string[] = [];
  const context = {
    taskId: 3,
    microbatchId: undefined,
    topologyType: "stream",
    random: () => 0.5,
    nowMs: () => 1000,
    print: (line: string) => lines.push(line),
  };
  expect(Ops.CURRENT_TASK_ID.fn(context)).toBe(3);
  expect(codeOf(() => Ops.CURRENT_MICROBATCH_ID.fn(context))).toBe("NOT_ALLOWED_HERE");
  Ops.PRINTLN.fn(context, "a", 1, null, [1]);
  expect(lines).toEqual(["a 1 null [1]"]);
  const ids = Array.from({ length: 5000 }, () => Ops.RANDOM_UUID7.fn(context));
  expect(ids.every((id, i) => i === 0 || ids[i - 1] < id)).toBe(true);
  expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

describe("expressions", () => {
  test("nest, and tell mistakes when they are built", () => {
    expect(plus(1, tuple("*a")).args[1]).toMatchObject({ kind: "expr", args: [{ kind: "var", name: "*a" }] });
    expect(new Expr(Ops.INC, 1) as unknown).toEqual(expr(Ops.INC, 1));
    expect((record({ to: "*to", n: 1 }).op as Op).fn("x", 1)).toEqual({ to: "x", n: 1 });
    expect(codeOf(() => expr(Ops.EXPLODE, []))).toBe("NOT_ALLOWED_HERE");
    expect(codeOf(() => expr(function* () {}))).toBe("NOT_ALLOWED_HERE");
    expect(codeOf(() => expr(async () => 1))).toBe("NOT_ALLOWED_HERE");
    expect(codeOf(() => expr(Ops.GET as Op, 1))).toBe("WRONG_ARGUMENT_COUNT");
  });
});

test("generators and operations emit rows on streams", () => {
  function* split(n: number) {
    yield n;
    yield emit(n, 1);
    yield emitStream("odd", n);
  }
  const rows = emissionsOf(split, [1]);
  expect(rows.map(({ stream, fields }) => [stream, fields])).toEqual([
    [undefined, [1]],
    [undefined, [1, 1]],
    ["odd", [1]],
  ]);
  expect(
    emissionsOf(
      operation((n, out) => out.emit(n)),
      [1],
    ),
  ).toEqual([emit(1)]);
  expect(emissionsOf(() => undefined, [])).toEqual([emit(null)]);
});

test("helpers name vars apart and find keys for partitions", () => {
  const name = Helpers.genVar("tmp");
  expect([Helpers.isGeneratedVar(name), Helpers.getGeneratedVarPrefix(name), Helpers.isGeneratedVar("*a")]).toEqual([
    true,
    "tmp",
    false,
  ]);
  expect(Helpers.genVar("tmp")).not.toBe(name);
  expect(Helpers.genHashingIndexKeys(8).map((key) => taskOf(key, 8))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(Helpers.get(new Map([[[1], "x"]]), [1])).toBe("x");
});
