// Paths as authors write them: idioms of the documentation, error codes, and what the compiled forms promise.
import { describe, expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { expr } from "../../../src/dataflow/expr.ts";
import { Ops } from "../../../src/dataflow/ops.ts";
import { constant } from "../../../src/paths/arg.ts";
import {
  cardinality,
  compileSelect,
  compileSelectEach,
  compileSelectOne,
  compileTransform,
  mayMiss,
} from "../../../src/paths/compile.ts";
import { navigator, VOID } from "../../../src/paths/navigator.ts";
import { Path } from "../../../src/paths/path.ts";
import { encodePath, leadingKey, PathCache } from "../../../src/paths/path-codec.ts";
import { PlainRoot } from "../../../src/paths/plain-indexed.ts";
import { SortedRangeFromOptions } from "../../../src/paths/range-options.ts";
import { collectArgs } from "../../../src/paths/spec.ts";

const codeOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    return (error as RamaError).code ?? String(error);
  }
  return "none";
};

describe("idioms", () => {
  test("nullToVal and term count from nothing", () => {
    const path = Path.key("funds").nullToVal(0).term(Ops.PLUS, 5);
    expect(Path.transform(path, null)).toEqual(new Map([["funds", 5]]));
    expect(Path.transform(path, { funds: 1, other: 2 })).toEqual({ funds: 6, other: 2 });
  });

  test("an entry is created only where there is none", () => {
    const path = Path.key("u").filterPred(Ops.IS_NULL).multiPath(Path.key("a").termVal(1), Path.key("b").termVal(2));
    const made = Path.transform(path, new Map());
    expect(made).toEqual(
      new Map([
        [
          "u",
          new Map([
            ["a", 1],
            ["b", 2],
          ]),
        ],
      ]),
    );
    expect(Path.transform(path, made)).toBe(made);
  });

  test("the tail of a sorted map is deleted by its keys", () => {
    const map = new Map([
      [1, "a"],
      [2, "b"],
      [3, "c"],
    ]);
    expect(Path.transform(Path.sortedMapRangeFrom(2).mapKeys().termVoid(), map)).toEqual(new Map([[1, "a"]]));
    expect(Path.transform(Path.key("no").termVoid(), map)).toBe(map);
  });

  test("collected values stand before the value, and go to term functions first", () => {
    const data = { rate: 2, values: [1, 3] };
    expect(Path.select(Path.collectOne(Path.key("rate")).key("values").all(), data)).toEqual([
      [2, 1],
      [2, 3],
    ]);
    expect(Path.transform(Path.collectOne(Path.key("rate")).key("values").all().term(Ops.TIMES), data)).toEqual({
      rate: 2,
      values: [2, 6],
    });
  });

  test("subselect distributes a replacement to the original places", () => {
    const path = Path.subselect(Path.all().filterPred(Ops.IS_ODD)).term((list: number[]) => list.reverse());
    expect(Path.transform(path, [1, 2, 3, 4, 5])).toEqual([5, 2, 3, 4, 1]);
    expect(Path.transform(Path.subselect(Path.all().filterPred(Ops.IS_ODD)).termVal([9]), [1, 2, 3])).toEqual([9, 2]);
  });

  test("termFields keeps what it does not name", () => {
    expect(Path.transform(Path.key("p").termFields({ a: 1 }), {})).toEqual({ p: { a: 1 } });
    expect(Path.transform(Path.termFields({ a: 1 }), new Map([["b", 2]]))).toEqual(
      new Map([
        ["b", 2],
        ["a", 1],
      ]),
    );
  });

  test("an author's navigator reads and changes", () => {
    const digits = navigator<string>({
      *select(text) {
        yield* text.match(/\d/g) ?? [];
      },
      transform: (text, next) =>
        text.replace(/\d/g, (digit) => {
          const after = next(digit);
          return after === VOID ? "" : String(after);
        }),
    });
    expect(Path.select(Path.customNav(digits), "a1b2")).toEqual(["1", "2"]);
    expect(Path.transform(Path.customNav(digits).termVoid(), "a1b2")).toBe("ab");
    expect(
      Path.transform(
        Path.customNavBuilder(() => digits).term((d: string) => Number(d) + 1),
        "a1b2",
      ),
    ).toBe("a2b3");
  });

  test("keys are found by value", () => {
    const map = new Map<unknown, unknown>([
      [[1, 2], "pair"],
      [5, "five"],
    ]);
    expect(Path.select(Path.multiPath(Path.key([1, 2]), Path.key(5n)), map)).toEqual(["pair", "five"]);
    expect(Path.select(Path.view(Ops.SIZE), map)).toEqual([2]);
    expect(Path.selectOne(Path.contains([1, 2]), map)).toBe(true);
  });
});

describe("errors", () => {
  test("each has its code", () => {
    expect(codeOf(() => Path.select(Path.nth(3), [1]))).toBe("INDEX_OUT_OF_RANGE");
    expect(codeOf(() => Path.selectOne(Path.all(), [1, 2]))).toBe("NOT_EXACTLY_ONE");
    expect(codeOf(() => Path.select(Path.collectOne(Path.all()), []))).toBe("NOT_EXACTLY_ONE");
    expect(codeOf(() => Path.transform(Path.termVoid(), [1]))).toBe("VOID_AT_ROOT");
    expect(codeOf(() => compileTransform(Path.key("a").steps))).toBe("NO_TERMINAL");
    expect(codeOf(() => compileTransform(Path.ifPath(Path.key("a"), Path.termVal(1), Path.key("b")).steps))).toBe(
      "NO_TERMINAL",
    );
    expect(codeOf(() => compileTransform(Path.continueThenStay(Path.termVal(1)).steps))).toBe("NO_TERMINAL");
    expect(codeOf(() => compileTransform(Path.termVal(1).key("a").steps))).toBe("BAD_PATH");
    expect(codeOf(() => compileSelect(Path.termVal(1).steps))).toBe("BAD_PATH");
    expect(codeOf(() => compileSelect(Path.afterElem().steps))).toBe("BAD_PATH");
    expect(codeOf(() => Path.select(Path.key("a"), 5))).toBe("BAD_PATH");
    expect(codeOf(() => Path.sortedMapRange(1, 2, { maxAmt: 3 } as any))).toBe("BAD_PATH");
    expect(codeOf(() => compileSelect(Path.view(Ops.EXPLODE).steps))).toBe("BAD_PATH");
    expect(codeOf(() => compileSelect(Path.view(Ops.GET).steps))).toBe("WRONG_ARGUMENT_COUNT");
    expect(codeOf(() => Path.select(Path.key(expr(Ops.INC, 1)), {}))).toBe("BAD_PATH");
  });

  test("a function in a client's path needs a name", () => {
    const own = (n: number) => n > 1;
    expect(codeOf(() => encodePath(Path.filterPred(own).steps))).toBe("FUNCTION_IN_CLIENT_PATH");
    expect(encodePath(Path.filterPred(own).steps, () => "own").args).toEqual([]);
    const cache = new PathCache(() => undefined);
    expect(codeOf(() => cache.select(encodePath(Path.filterPred(own).steps, () => "own").shape))).toBe(
      "FUNCTION_IN_CLIENT_PATH",
    );
    expect(codeOf(() => cache.select(new Uint8Array([1, 2, 3])))).toBe("BAD_VALUE");
  });
});

describe("compiled forms", () => {
  test("vars and expressions are arguments in the order of the path, once each", () => {
    const path = Path.key("*k").sortedMapRangeFrom("*from", SortedRangeFromOptions.maxAmt("*n")).filterNotEqual("*k");
    expect(collectArgs(path.steps).map((arg) => (arg as { name: string }).name)).toEqual(["*k", "*from", "*n"]);
    const data = new Map([
      [
        "a",
        new Map([
          [1, 1],
          [2, 2],
          [3, 3],
        ]),
      ],
    ]);
    expect(compileSelect(path.steps)(data, ["a", 2, 1])).toEqual([new Map([[2, 2]])]);
  });

  test("for clients strings are data, and constants stay constants", () => {
    expect(Path.select(Path.key("*x"), { "*x": 1 })).toEqual([1]);
    expect(collectArgs(Path.key(constant("*x")).steps)).toEqual([]);
    expect(leadingKey(Path.key("*x").all().steps)).toEqual({ key: "*x" });
    expect(leadingKey(Path.all().steps)).toBeUndefined();
  });

  test("one shape serves every key", () => {
    const cache = new PathCache(() => undefined);
    const [a, b] = [encodePath(Path.key("a").steps), encodePath(Path.key("b").steps)];
    expect(a.shape).toEqual(b.shape);
    expect(cache.select(a.shape)).toBe(cache.select(b.shape));
    expect(cache.select(b.shape)({ a: 1, b: 2 }, b.args)).toEqual([2]);
  });

  test("each emits as it goes, one insists on one", () => {
    const seen: unknown[] = [];
    compileSelectEach(Path.all().steps)([1, 2], [], (value) => seen.push(value));
    expect(seen).toEqual([1, 2]);
    expect(compileSelectOne(Path.key("a").steps)({ a: 1 }, [])).toBe(1);
    expect(codeOf(() => compileSelectOne(Path.all().steps)([], []))).toBe("NOT_EXACTLY_ONE");
  });

  test("say how many values come, and whether memory may be missed", () => {
    expect([Path.key("a").view(Ops.SIZE), Path.all(), Path.must("a")].map((path) => cardinality(path.steps))).toEqual([
      "one",
      "any",
      "any",
    ]);
    expect(mayMiss(Path.key("a").key("b").steps, undefined)).toBe(false);
    expect(mayMiss(Path.key("a").sortedMapRangeFrom(1).steps, undefined)).toBe(true);
  });
});

describe("on indexed structures", () => {
  const number = { kind: "leaf" };
  const schema = { kind: "map", value: { kind: "map", value: number, subindexed: {} } };
  const fixed = { kind: "map", value: { kind: "fixed", fields: new Map([["n", number]]) } };

  test("a structure is no value, but ranges, sizes and what is inside are", () => {
    const root = new PlainRoot(
      schema,
      new Map([
        [
          "u",
          new Map([
            [1, 10],
            [2, 20],
          ]),
        ],
      ]),
    );
    const read = (path: Path) => compileSelect(path.steps, { schema })(root.get(), []);
    for (const path of [Path.key("u"), Path.all(), Path.subselect(Path.mapVals()), Path.subMap("u")]) {
      expect(codeOf(() => read(path))).toBe("STRUCTURE_NOT_A_VALUE");
    }
    expect(codeOf(() => read(Path.key("u").view((v: unknown) => v)))).toBe("STRUCTURE_NOT_A_VALUE");
    expect(read(Path.key("u").view(Ops.SIZE))).toEqual([2]);
    expect(read(Path.key("u").sortedMapRangeToEnd(1))).toEqual([new Map([[2, 20]])]);
    expect(read(Path.all().nth(1).mapVals())).toEqual([10, 20]);
  });

  test("writing below what is absent creates what the schema says", () => {
    const root = new PlainRoot(schema);
    const handle = root.get();
    const write = compileTransform(Path.key("u").key(1).nullToVal(0).term(Ops.INC).steps, { schema });
    expect([write(handle, []), write(handle, [])]).toEqual([handle, handle]);
    expect(root.plain()).toEqual(new Map([["u", new Map([[1, 2]])]]));
    const fields = new PlainRoot(fixed);
    compileTransform(Path.key("u").key("n").termVal(1).steps, { schema: fixed })(fields.get(), []);
    expect(fields.plain()).toEqual(new Map([["u", { n: 1 }]]));
  });
});
