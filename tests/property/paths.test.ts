// Compiled paths against the interpreter, over plain data and over indexed structures in memory. A fault here means that a query answers wrongly or
// that a write lands in the wrong place.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { valuesEqual } from "../../src/base/compare.ts";
import type { RamaError } from "../../src/base/errors.ts";
import { deepCopy, deepFreeze } from "../../src/base/values.ts";
import { Ops, opNamed } from "../../src/dataflow/ops.ts";
import { compileSelect, compileTransform } from "../../src/paths/compile.ts";
import { interpretTransform } from "../oracles/path-oracle.ts";
import { interpretSelect } from "../oracles/path-oracle-read.ts";
import { navigator, VOID } from "../../src/paths/navigator.ts";
import { Path } from "../../src/paths/path.ts";
import { decodePath, encodePath } from "../../src/paths/path-codec.ts";
import { PlainRoot } from "../../src/paths/plain-indexed.ts";

const keys = fc.constantFrom<unknown>("a", "b", "c", 0, 1, 2, null);
const names = fc.constantFrom("a", "b", "c");
const scalars = fc.oneof(fc.constantFrom<unknown>(null, true, false, "a", "b"), fc.integer({ min: -2, max: 5 }));
const data = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    scalars,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(keys, tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
    fc.array(keys, { maxLength: 4 }).map((elements) => new Set(elements)),
    fc.dictionary(names, tie("value"), { maxKeys: 3 }),
  ),
})).value;

const evens = navigator({
  select: function* (value: unknown) {
    if (Array.isArray(value)) for (let i = 0; i < value.length; i += 2) yield value[i];
  },
  transform: (value, next) =>
    Array.isArray(value)
      ? value.map((each, i) => (i % 2 === 0 ? next(each) : each)).filter((each) => each !== VOID)
      : value,
});

const show = (...values: unknown[]) => values.map(String).join("|");
const small = fc.integer({ min: 0, max: 3 });
const flag = fc.boolean();

/** One navigator that reads, with sub-paths from `sub`. */
const reading = (sub: fc.Arbitrary<Path>): fc.Arbitrary<Path> =>
  fc.oneof(
    { weight: 6, arbitrary: keys.map((key) => Path.key(key)) },
    keys.map((key) => Path.must(key)),
    small.map((index) => Path.nth(index)),
    fc.constantFrom(
      Path.first(),
      Path.last(),
      Path.all(),
      Path.mapVals(),
      Path.mapKeys(),
      Path.indexedVals(),
      Path.beginning(),
      Path.end(),
    ),
    fc.constantFrom(
      Path.all(),
      Path.mapVals(),
      Path.stay(),
      Path.stop(),
      Path.nullToList(),
      Path.nullToSet(),
      Path.dispenseCollected(),
    ),
    keys.map((key) => Path.mapKey(key)),
    keys.map((key) => Path.setElem(key)),
    small.map((index) => Path.index(index)),
    fc.tuple(small, small).map(([from, to]) => Path.sublist(from, to)),
    sub.map((path) => Path.filteredList(path)),
    fc.array(keys, { maxLength: 3 }).map((list) => Path.subMap(...list)),
    fc.array(keys, { maxLength: 3 }).map((list) => Path.subSetOf(list)),
    fc
      .tuple(keys, keys, flag, flag)
      .map(([from, to, excludeStart, includeEnd]) => Path.sortedMapRange(from, to, { excludeStart, includeEnd })),
    fc
      .tuple(keys, small, flag)
      .map(([from, maxAmt, excludeStart]) => Path.sortedMapRangeFrom(from, { maxAmt, excludeStart })),
    fc.tuple(keys, small, flag).map(([to, maxAmt, includeEnd]) => Path.sortedMapRangeTo(to, { maxAmt, includeEnd })),
    small.map((amount) => Path.sortedMapRangeToEnd(amount)),
    fc.tuple(keys, small).map(([from, amount]) => Path.sortedSetRangeFrom(from, amount)),
    small.map((amount) => Path.sortedSetRangeFromStart(amount)),
    sub.map((path) => Path.subselect(path)),
    scalars.map((value) => Path.filterEqual(value)),
    scalars.map((value) => Path.filterNotEqual(value)),
    fc.constantFrom(
      Path.filterPred(Ops.IS_NOT_NULL),
      Path.filterPred((v: unknown) => typeof v === "number"),
      Path.isCollected((l: unknown[]) => l.length > 0),
    ),
    sub.map((path) => Path.filterSelected(path)),
    sub.map((path) => Path.filterNotSelected(path)),
    scalars.map((value) => Path.nullToVal(value)),
    fc.constantFrom(
      Path.view((v: unknown) => [v]),
      Path.view(Ops.TUPLE, 1),
      Path.customNav(evens),
    ),
    fc.tuple(sub, sub, sub).map(([a, b, c]) => Path.ifPath(a, b, c)),
    fc.tuple(sub, sub, sub, sub).map(([a, b, c, d]) => Path.condPath(a, b, c, d)),
    fc.array(sub, { maxLength: 3 }).map((list) => Path.multiPath(...list)),
    sub.map((path) => Path.continueThenStay(path)),
    sub.map((path) => Path.collect(path)),
    keys.map((key) => Path.collectOne(Path.key(key))),
    scalars.map((value) => Path.putCollected(value)),
  );

const readPaths = fc.letrec<{ path: Path }>((tie) => ({
  path: fc.oneof(
    { maxDepth: 2, depthSize: "small" },
    keys.map((key) => Path.key(key)),
    fc.array(reading(tie("path")), { minLength: 1, maxLength: 3 }).map((list) => list.reduce((a, b) => a.append(b))),
  ),
})).path;

const insertions = fc.oneof(
  fc.constantFrom(Path.afterElem(), Path.beforeElem(), Path.voidSetElem()),
  small.map((index) => Path.beforeIndex(index)),
);
const ends = fc.oneof(
  scalars.map((value) => Path.termVal(value)),
  fc.constantFrom(
    Path.termVoid(),
    Path.term((...values: unknown[]) => show(...values)),
    Path.term(Ops.TUPLE, 7),
  ),
  fc.constantFrom(
    Path.termVal([1, 2]),
    Path.termVal(new Map([["a", 1]])),
    Path.term((v: unknown) => v),
  ),
);
const writePaths = fc
  .tuple(fc.array(reading(readPaths), { maxLength: 3 }), fc.option(insertions, { nil: Path.stay() }), ends)
  .map(([list, insertion, end]) => [...list, insertion, end].reduce((a, b) => a.append(b)));
const branched = fc
  .tuple(fc.array(reading(readPaths), { maxLength: 1 }), fc.array(writePaths, { minLength: 1, maxLength: 3 }))
  .map(([list, routes]) => [...list, Path.multiPath(...routes)].reduce((a, b) => a.append(b)));

/** The result, or that it fails. */
function outcome(fn: () => unknown): unknown {
  try {
    return { result: fn() };
  } catch (error) {
    return { failed: (error as RamaError).code === undefined ? "other" : "failed" };
  }
}

/** Whether both fail or both give equal results. An error of the oracle that is no RamaError means a navigator on the wrong kind of value. */
function agree(compiled: unknown, oracle: unknown): boolean {
  const [a, b] = [compiled as Record<string, unknown>, oracle as Record<string, unknown>];
  return "failed" in a || "failed" in b
    ? "failed" in a === "failed" in b || a["failed"] === "failed"
    : valuesEqual(a, b);
}

describe("compiled paths agree with the interpreter", () => {
  test("reading plain data", () => {
    fc.assert(
      fc.property(readPaths, data, (path, value) => {
        const frozen = deepFreeze(deepCopy(value));
        const compiled = outcome(() => compileSelect(path.steps)(frozen, []));
        expect(
          agree(
            compiled,
            outcome(() => interpretSelect(path.steps, frozen)),
          ),
        ).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("changing plain data, which is not touched itself", () => {
    fc.assert(
      fc.property(fc.oneof(writePaths, branched), data, (path, value) => {
        const frozen = deepFreeze(deepCopy(value));
        const compiled = outcome(() => compileTransform(path.steps)(frozen, []));
        expect(
          agree(
            compiled,
            outcome(() => interpretTransform(path.steps, frozen)),
          ),
        ).toBe(true);
        expect(valuesEqual(frozen, value)).toBe(true);
      }),
      { numRuns: 2500 },
    );
  });

  test("the encoded form means the same", () => {
    const nameOf = (fn: unknown) => (typeof fn === "function" ? fn.toString() : "evens");
    fc.assert(
      fc.property(readPaths, data, (path, value) => {
        const functions = new Map<string, unknown>([["evens", evens]]);
        const { shape, args } = encodePath(path.steps, (fn) => {
          functions.set(nameOf(fn), fn);
          return nameOf(fn);
        });
        const decoded = decodePath(shape, (name) => opNamed(name) ?? functions.get(name));
        const expected = outcome(() => compileSelect(path.steps)(value, []));
        expect(
          agree(
            outcome(() => compileSelect(decoded)(value, args)),
            expected,
          ),
        ).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("indexed structures behave as plain data", () => {
  const leafKey = fc.constantFrom("a", "b", "c", "d");
  const numbers = fc.integer({ min: 0, max: 4 });
  const object = { kind: "leaf" };
  const schema = {
    kind: "fixed",
    fields: new Map<string, any>([
      ["map", { kind: "map", value: object, subindexed: {} }],
      ["set", { kind: "set", element: Object, subindexed: {} }],
      ["list", { kind: "list", element: object, subindexed: {} }],
      ["deep", { kind: "map", value: { kind: "map", value: object, subindexed: {} }, subindexed: {} }],
    ]),
  };
  const mapData = fc.dictionary(leafKey, numbers, { maxKeys: 4 }).map(sortedMap);
  function sortedMap<T>(fields: Record<string, T>): Map<string, T> {
    return new Map(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  const roots = fc.record({
    map: mapData,
    set: fc.uniqueArray(numbers).map((list) => new Set(list.sort())),
    list: fc.array(numbers, { maxLength: 5 }),
    deep: fc.dictionary(leafKey, mapData, { maxKeys: 3 }).map(sortedMap),
  });
  const inMap = fc.oneof(
    leafKey.map((key) => Path.key(key)),
    leafKey.map((key) => Path.must(key)),
    fc.constantFrom(Path.mapVals(), Path.mapVals().filterPred(Ops.IS_EVEN), Path.all().nth(1), Path.last().nth(1)),
  );
  const part = fc.oneof(
    fc.tuple(leafKey, numbers).map(([from, max]) => Path.sortedMapRangeFrom(from, max)),
    fc.tuple(leafKey, leafKey).map(([a, b]) => Path.subMap(a, b)),
    leafKey.map((key) => Path.sortedMapRangeTo(key, { includeEnd: true })),
  );
  const leafEnd = fc.oneof(
    numbers.map((value) => Path.termVal(value)),
    fc.constantFrom(Path.termVoid(), Path.nullToVal(0).term(Ops.INC)),
  );
  const mapPaths = fc.oneof(
    fc.tuple(inMap, leafEnd).map(([place, end]) => place.append(end)),
    fc
      .tuple(
        part,
        fc.oneof(
          mapData.map((map) => Path.termVal(map)),
          fc.constant(Path.termVoid()),
          fc.tuple(inMap, leafEnd).map(([a, b]) => a.append(b)),
        ),
      )
      .map(([a, b]) => a.append(b)),
    fc.tuple(leafKey, leafKey).map(([from, to]) => Path.mapKey(from).termVal(to)),
  );
  const listPaths = fc.oneof(
    fc
      .tuple(fc.constantFrom(Path.all(), Path.first(), Path.last(), Path.all().filterPred(Ops.IS_EVEN)), leafEnd)
      .map(([a, b]) => a.append(b)),
    fc.tuple(fc.constantFrom(Path.afterElem(), Path.beforeElem()), numbers).map(([a, value]) => a.termVal(value)),
    fc.tuple(numbers, leafEnd).map(([index, end]) => Path.nth(index).append(end)),
    fc.array(numbers, { maxLength: 3 }).map((list) => Path.end().termVal(list)),
    fc
      .tuple(numbers, numbers, fc.array(numbers, { maxLength: 3 }))
      .map(([a, b, list]) => Path.sublist(Math.min(a, b), Math.max(a, b)).termVal(list)),
    fc.tuple(numbers, numbers).map(([from, to]) => Path.index(from).termVal(to)),
    fc.constant(Path.filteredList(Path.filterPred(Ops.IS_EVEN)).term((list: number[]) => list.map((n) => n + 10))),
  );
  const setPaths = fc.oneof(
    numbers.map((element) => Path.voidSetElem().termVal(element)),
    fc.tuple(numbers, leafEnd).map(([element, end]) => Path.setElem(element).append(end)),
    fc.tuple(numbers, numbers).map(([from, max]) => Path.sortedSetRangeFrom(from, max).termVoid()),
    fc.constantFrom(Path.all().term(Ops.INC), Path.first().termVoid(), Path.last().termVoid()),
  );
  const paths = fc.oneof(
    mapPaths.map((path) => Path.key("map").append(path)),
    listPaths.map((path) => Path.key("list").append(path)),
    setPaths.map((path) => Path.key("set").append(path)),
    fc.tuple(leafKey, mapPaths).map(([key, path]) => Path.key("deep").key(key).append(path)),
    mapPaths.map((path) => Path.key("deep").mapVals().append(path)),
    leafKey.map((key) => Path.key("deep").key(key).termVoid()),
    mapData.map((map) => Path.key("map").termVal(map)),
  );

  test("changes, one after another, leave the same content and order", () => {
    const byKeys = (value: unknown): unknown => {
      if (value instanceof Map)
        return new Map(
          [...value]
            .map(([k, v]): [unknown, unknown] => [k, byKeys(v)])
            .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
        );
      if (value instanceof Set) return new Set([...value].sort());
      return typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, byKeys(v)]))
        : value;
    };
    /** Absent and empty structures read alike. */
    const content = (value: unknown) =>
      ["map", "set", "list", "deep"].map((name) => Path.select(Path.key(name).all(), byKeys(value)));
    fc.assert(
      fc.property(roots, fc.array(paths, { minLength: 1, maxLength: 4 }), (start, list) => {
        const root = new PlainRoot(schema, new Map(Object.entries(start)));
        let model: unknown = start;
        for (const path of list) {
          const expected = outcome(() => compileTransform(path.steps, { schema })(model, []));
          const got = outcome(() => root.set(compileTransform(path.steps, { schema })(root.get(), [])));
          expect("failed" in (got as object)).toBe("failed" in (expected as object));
          if ("failed" in (expected as object)) return;
          model = (expected as { result: unknown }).result;
          expect(content(root.plain())).toEqual(content(model));
        }
        const reads = [
          Path.key("map").mapVals(),
          Path.key("list").view(Ops.SIZE),
          Path.key("set").sortedSetRangeFrom(1, 2),
          Path.key("map").last(),
        ];
        for (const path of reads)
          expect(compileSelect(path.steps)(root.get(), [])).toEqual(Path.select(path, byKeys(model)));
      }),
      { numRuns: 500 },
    );
  });
});
