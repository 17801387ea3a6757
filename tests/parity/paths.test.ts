// language.md 8: every navigator, on plain data, in a TestPState and on a PState of a cluster.
import { describe, expect, test } from "bun:test";
import {
  Block,
  emit,
  expr,
  Ops,
  navigator,
  Path,
  PState,
  SortedRangeFromOptions,
  SortedRangeOptions,
  SortedRangeToOptions,
  VOID,
} from "rama";
import { TestPState } from "rama/test";
import { codeOf, rows } from "./observed.ts";

const m = (...entries: [unknown, unknown][]) => new Map(entries);
const abc = m(["a", 1], ["b", 2], ["c", 3]);
const gt1 = (n: number) => n > 1;

const selects: [string, Path, unknown, unknown[]][] = [
  ["key", Path.key("a"), abc, [1]],
  ["key of a plain object", Path.key("a"), { a: 1 }, [1]],
  ["key of an index", Path.key(1), [7, 8], [8]],
  ["key absent", Path.key("z"), abc, [null]],
  ["key of several", Path.key("x", "y"), { x: { y: 5 } }, [5]],
  ["key of several through nothing", Path.key("x", "y"), null, [null]],
  ["key by value", Path.key([1]), m([[1], "one"]), ["one"]],
  ["must", Path.must("a"), abc, [1]],
  ["must absent", Path.must("z"), abc, []],
  ["must of several", Path.must("x", "y"), { x: {} }, []],
  ["must of a null value", Path.must("a"), { a: null }, [null]],
  ["nth", Path.nth(1), [7, 8], [8]],
  ["nth of several", Path.nth(1, 0), [7, [8]], [8]],
  ["first", Path.first(), [7, 8], [7]],
  ["last", Path.last(), [7, 8], [8]],
  ["first of nothing", Path.first(), [], []],
  ["last of null", Path.last(), null, []],
  ["all of a list", Path.all(), [1, 2], [1, 2]],
  [
    "all of a map",
    Path.all(),
    abc,
    [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ],
  ],
  ["all of a plain object", Path.all(), { a: 1 }, [["a", 1]]],
  ["all of a set", Path.all(), new Set([1, 2]), [1, 2]],
  ["all of null", Path.all(), null, []],
  ["mapVals", Path.mapVals(), abc, [1, 2, 3]],
  ["mapKeys", Path.mapKeys(), { a: 1, b: 2 }, ["a", "b"]],
  ["mapKey", Path.mapKey("a"), abc, ["a"]],
  ["mapKey absent", Path.mapKey("z"), abc, []],
  ["setElem", Path.setElem(1), new Set([1]), [1]],
  ["setElem by value", Path.setElem([1]), new Set([[1]]), [[1]]],
  ["setElem absent", Path.setElem(2), new Set([1]), []],
  [
    "indexedVals",
    Path.indexedVals(),
    ["x", "y"],
    [
      [0, "x"],
      [1, "y"],
    ],
  ],
  ["index", Path.index(1), [7, 8], [1]],
  ["index out of range", Path.index(2), [7, 8], []],
  ["sublist", Path.sublist(1, 3), [0, 1, 2, 3], [[1, 2]]],
  ["filteredList", Path.filteredList(Path.filterGreaterThan(1)), [0, 1, 2, 3], [[2, 3]]],
  ["subMap", Path.subMap("a", "z"), abc, [m(["a", 1])]],
  ["subMap of a plain object keeps its kind", Path.subMap("a"), { a: 1, b: 2 }, [{ a: 1 }]],
  ["subMapOf", Path.subMapOf(["b", "c"]), abc, [m(["b", 2], ["c", 3])]],
  ["subSet", Path.subSet(1, 9), new Set([1, 2]), [new Set([1])]],
  ["subSetOf", Path.subSetOf(new Set([2])), new Set([1, 2]), [new Set([2])]],
  ["sortedMapRange", Path.sortedMapRange("a", "c"), abc, [m(["a", 1], ["b", 2])]],
  [
    "sortedMapRange exclude, include",
    Path.sortedMapRange("a", "c", SortedRangeOptions.excludeStart().includeEnd()),
    abc,
    [m(["b", 2], ["c", 3])],
  ],
  ["sortedMapRange literal options", Path.sortedMapRange("a", "c", { excludeStart: true }), abc, [m(["b", 2])]],
  ["sortedMapRangeFrom", Path.sortedMapRangeFrom("b"), abc, [m(["b", 2], ["c", 3])]],
  ["sortedMapRangeFrom with a maximum", Path.sortedMapRangeFrom("a", 2), abc, [m(["a", 1], ["b", 2])]],
  [
    "sortedMapRangeFrom with options",
    Path.sortedMapRangeFrom("a", SortedRangeFromOptions.maxAmt(1).excludeStart()),
    abc,
    [m(["b", 2])],
  ],
  ["sortedMapRangeTo", Path.sortedMapRangeTo("c"), abc, [m(["a", 1], ["b", 2])]],
  [
    "sortedMapRangeTo with a maximum: nearest the end, ascending",
    Path.sortedMapRangeTo("c", { maxAmt: 2, includeEnd: true }),
    abc,
    [m(["b", 2], ["c", 3])],
  ],
  [
    "sortedMapRangeTo with options",
    Path.sortedMapRangeTo("c", SortedRangeToOptions.includeEnd().maxAmt(1)),
    abc,
    [m(["c", 3])],
  ],
  ["sortedMapRangeFromStart", Path.sortedMapRangeFromStart(2), abc, [m(["a", 1], ["b", 2])]],
  ["sortedMapRangeToEnd", Path.sortedMapRangeToEnd(1), abc, [m(["c", 3])]],
  ["a range of nothing", Path.sortedMapRange("a", "c"), null, [new Map()]],
  ["sortedSetRange", Path.sortedSetRange(1, 3), new Set([3, 1, 2]), [new Set([1, 2])]],
  ["sortedSetRangeFrom", Path.sortedSetRangeFrom(2, { maxAmt: 5 }), new Set([1, 2, 3]), [new Set([2, 3])]],
  ["sortedSetRangeTo", Path.sortedSetRangeTo(3, 1), new Set([1, 2, 3]), [new Set([2])]],
  ["sortedSetRangeFromStart", Path.sortedSetRangeFromStart(1), new Set([1, 2]), [new Set([1])]],
  ["sortedSetRangeToEnd", Path.sortedSetRangeToEnd(1), new Set([1, 2]), [new Set([2])]],
  ["subselect", Path.subselect(Path.mapVals()), abc, [[1, 2, 3]]],
  ["filterPred", Path.all().filterPred(Ops.IS_EVEN), [1, 2], [2]],
  ["filterPred of a function", Path.all().filterPred(gt1), [1, 2], [2]],
  ["filterEqual", Path.all().filterEqual([1]), [[1], [2]], [[1]]],
  ["filterNotEqual", Path.all().filterNotEqual(1), [1, 2], [2]],
  ["filterLessThan", Path.all().filterLessThan(2), [1, 2], [1]],
  ["filterLessThanOrEqual", Path.all().filterLessThanOrEqual(2), [1, 2, 3], [1, 2]],
  ["filterGreaterThan", Path.all().filterGreaterThan(1), [1, 2], [2]],
  ["filterGreaterThanOrEqual", Path.all().filterGreaterThanOrEqual(2), [1, 2], [2]],
  ["filterSelected", Path.all().filterSelected(Path.must("a")), [{ a: null }, {}], [{ a: null }]],
  ["filterNotSelected", Path.all().filterNotSelected(Path.must("a")), [{ a: 1 }, {}], [{}]],
  ["nullToVal", Path.key("z").nullToVal(0), abc, [0]],
  ["nullToVal of a value", Path.key("a").nullToVal(0), abc, [1]],
  ["nullToList", Path.nullToList(), null, [[]]],
  ["nullToSet", Path.nullToSet(), null, [new Set()]],
  ["view", Path.view(Ops.SIZE), abc, [3]],
  ["view with more arguments", Path.key("a").view(Ops.PLUS, 10, 100), abc, [111]],
  ["view of a function", Path.view((x: number) => x * 2), 4, [8]],
  ["transformed", Path.transformed(Path.key("a").termVal(9)), { a: 1 }, [{ a: 9 }]],
  ["stay", Path.stay(), 5, [5]],
  ["stop", Path.stop(), 5, []],
  ["ifPath then", Path.ifPath(Path.must("a"), Path.key("a"), Path.key("b")), { a: 1, b: 2 }, [1]],
  ["ifPath else", Path.ifPath(Path.must("a"), Path.key("a"), Path.key("b")), { b: 2 }, [2]],
  ["ifPath without else", Path.ifPath(Path.must("a"), Path.key("a")), { b: 2 }, []],
  ["condPath", Path.condPath(Path.must("a"), Path.key("a"), Path.must("b"), Path.key("b")), { b: 2 }, [2]],
  ["condPath, none", Path.condPath(Path.must("a"), Path.key("a")), { b: 2 }, []],
  ["multiPath", Path.multiPath(Path.key("b"), Path.key("a")), abc, [2, 1]],
  ["continueThenStay", Path.continueThenStay(Path.key("a")), { a: 1 }, [1, { a: 1 }]],
  ["collectOne", Path.collectOne(Path.key("b")).key("a"), abc, [[2, 1]]],
  ["collect", Path.collect(Path.mapVals()).key("a"), abc, [[[1, 2, 3], 1]]],
  ["putCollected", Path.putCollected("x").key("a").putCollected("y"), abc, [["x", "y", 1]]],
  ["dispenseCollected", Path.putCollected("x").dispenseCollected().key("a"), abc, [1]],
  [
    "isCollected",
    Path.all()
      .collectOne(Path.first())
      .last()
      .isCollected(([k]: unknown[]) => k === "b"),
    abc,
    [["b", 2]],
  ],
  ["withPageSize", Path.withPageSize(1, Path.mapVals()), abc, [1, 2, 3]],
  ["a condition that navigates to null counts", Path.filterSelected(Path.key("x")), { x: null }, [{ x: null }]],
  ["contains", Path.contains("a"), abc, [true]],
  ["contains in a list", Path.contains(5), [1], [false]],
  ["first of a sorted map", Path.first(), abc, [["a", 1]]],
  ["last of a set", Path.last(), new Set([1, 2]), [2]],
];

test.each(selects)("select: %s", async (_name, path, data, expected) => {
  expect(Path.select(path, data)).toEqual(expected);
  expect(await rows(Block.each(Ops.IDENTITY, data).out("*d").select("*d", path).out("*v"), "*v")).toEqual(expected);
});

const inc = Ops.INC;
const transforms: [string, Path, unknown, unknown][] = [
  ["key", Path.key("a").term(inc), abc, m(["a", 2], ["b", 2], ["c", 3])],
  ["key creates levels", Path.key("x", "y").termVal(1), null, m(["x", m(["y", 1])])],
  ["key in a plain object", Path.key("a", "b").termVal(1), { a: {} }, { a: { b: 1 } }],
  ["must absent changes nothing", Path.must("z").termVal(1), abc, abc],
  ["an element moved by index", Path.index(2).termVal(0), ["a", "b", "c"], ["c", "a", "b"]],
  ["nth", Path.nth(1).termVal(0), [1, 2], [1, 0]],
  ["key of an index", Path.key(0).termVal(9), [1, 2], [9, 2]],
  ["first", Path.first().termVoid(), [1, 2], [2]],
  ["last", Path.last().term(inc), [1, 2], [1, 3]],
  ["first of nothing changes nothing", Path.first().termVal(1), [], []],
  ["all of a list", Path.all().term(inc), [1, 2], [2, 3]],
  ["all removes", Path.all().filterEqual(1).termVoid(), [1, 2, 1], [2]],
  [
    "all of a map re-keys",
    Path.all().filterSelected(Path.first().filterEqual("a")).termVal(["z", 9]),
    abc,
    m(["z", 9], ["b", 2], ["c", 3]),
  ],
  ["all of a set", Path.all().term(inc), new Set([1, 5]), new Set([2, 6])],
  ["mapVals", Path.mapVals().term(inc), { a: 1 }, { a: 2 }],
  ["mapVals removes", Path.mapVals().filterEqual(1).termVoid(), abc, m(["b", 2], ["c", 3])],
  ["mapKeys", Path.mapKeys().term(Ops.TO_STRING, "!"), { a: 1 }, { "a!": 1 }],
  ["mapKey", Path.mapKey("a").termVal("z"), { a: 1 }, { z: 1 }],
  ["setElem replaces", Path.setElem(1).termVal(9), new Set([1, 2]), new Set([9, 2])],
  ["setElem removes", Path.setElem(1).termVoid(), new Set([1, 2]), new Set([2])],
  ["setElem absent is a no-op", Path.setElem(7).termVoid(), new Set([1]), new Set([1])],
  ["afterElem", Path.afterElem().termVal(3), [1, 2], [1, 2, 3]],
  ["afterElem of null", Path.afterElem().termVal(3), null, [3]],
  ["beforeElem", Path.beforeElem().termVal(0), [1], [0, 1]],
  ["beforeIndex", Path.beforeIndex(1).termVal(9), [1, 2], [1, 9, 2]],
  ["voidSetElem", Path.voidSetElem().termVal(3), new Set([1]), new Set([1, 3])],
  ["voidSetElem of null", Path.voidSetElem().termVal(3), null, new Set([3])],
  ["beginning", Path.beginning().termVal([1, 2]), [3], [1, 2, 3]],
  ["end", Path.end().termVal([4, 5]), [3], [3, 4, 5]],
  ["sublist of another length", Path.sublist(1, 3).termVal([9]), [0, 1, 2, 3], [0, 9, 3]],
  ["filteredList", Path.filteredList(Path.filterPred(Ops.IS_EVEN)).first().termVal(0), [1, 2, 4], [1, 0, 4]],
  ["subMap", Path.subMap("a", "b").mapVals().term(inc), abc, m(["a", 2], ["b", 3], ["c", 3])],
  ["subMap removed", Path.subMap("a", "b").termVoid(), abc, m(["c", 3])],
  ["subSet replaced", Path.subSet(1, 2).termVal(new Set([9])), new Set([1, 2, 3]), new Set([3, 9])],
  ["a range removed by null", Path.sortedMapRange("a", "c").termVal(null), abc, m(["c", 3])],
  ["a range removed by an empty map", Path.sortedMapRangeFrom("b").termVal(new Map()), abc, m(["a", 1])],
  ["the tail removed by keys", Path.sortedMapRangeFrom("b").mapKeys().termVoid(), abc, m(["a", 1])],
  ["values of a range", Path.sortedMapRangeToEnd(2).mapVals().term(inc), abc, m(["a", 1], ["b", 3], ["c", 4])],
  ["a range of a set", Path.sortedSetRange(1, 3).termVal(null), new Set([1, 2, 3]), new Set([3])],
  [
    "subselect distributes",
    Path.subselect(Path.all().filterPred(Ops.IS_ODD)).term((l: number[]) => [...l].reverse()),
    [1, 2, 3],
    [3, 2, 1],
  ],
  ["filters", Path.all().filterGreaterThan(1).termVal(0), [1, 2], [1, 0]],
  ["nullToVal", Path.key("n").nullToVal(0).term(inc), {}, { n: 1 }],
  ["view", Path.key("n").view(Ops.PLUS, 10).term(inc), { n: 1 }, { n: 12 }],
  ["ifPath", Path.all().ifPath(Path.filterPred(Ops.IS_EVEN), Path.term(inc), Path.termVoid()), [1, 2], [3]],
  [
    "condPath",
    Path.condPath(Path.must("a"), Path.key("a").termVal(0), Path.stay(), Path.key("b").termVal(0)),
    {},
    { b: 0 },
  ],
  [
    "multiPath: later ones see earlier ones",
    Path.multiPath(Path.key("a").termVal(1), Path.key("a").term(inc), Path.key("b").termVal(0)),
    {},
    { a: 2, b: 0 },
  ],
  [
    "continueThenStay",
    Path.continueThenStay(Path.key("a"))
      .filterPred((x: unknown) => typeof x === "number")
      .term(inc),
    { a: 1 },
    { a: 2 },
  ],
  ["termVal null stores null", Path.key("a").termVal(null), { a: 1 }, { a: null }],
  ["termVoid removes", Path.key("a").termVoid(), { a: 1, b: 2 }, { b: 2 }],
  ["termVoid of what is absent", Path.key("z").termVoid(), { a: 1 }, { a: 1 }],
  ["term with more arguments", Path.key("a").term(Ops.PLUS, 2, 3), { a: 1 }, { a: 6 }],
  [
    "collected values come before the value",
    Path.collectOne(Path.key("b")).key("a").term(Ops.MINUS),
    { a: 1, b: 5 },
    { a: 4, b: 5 },
  ],
  ["termFields", Path.key("x").termFields({ a: 1, b: 2 }), {}, { x: { a: 1, b: 2 } }],
  [
    "conditional create",
    Path.key("k").filterPred(Ops.IS_NULL).multiPath(Path.key("a").termVal(1), Path.key("b").termVal(2)),
    { k: { a: 5 } },
    { k: { a: 5 } },
  ],
  [
    "indexedVals moves",
    Path.indexedVals().filterSelected(Path.last().filterEqual("c")).first().termVal(0),
    ["a", "b", "c"],
    ["c", "a", "b"],
  ],
];

test.each(transforms)("transform: %s", (_name, path, data, expected) => {
  const before = structuredClone(data);
  expect(Path.transform(path, data)).toEqual(expected);
  expect(data).toEqual(before);
});

test.each([
  ["selectOne of none", () => Path.selectOne(Path.must("z"), abc), "NOT_EXACTLY_ONE"],
  ["selectOne of many", () => Path.selectOne(Path.mapVals(), abc), "NOT_EXACTLY_ONE"],
  ["nth out of range", () => Path.select(Path.nth(5), [1]), "INDEX_OUT_OF_RANGE"],
  ["collectOne of many", () => Path.select(Path.collectOne(Path.mapVals()).key("a"), abc), "NOT_EXACTLY_ONE"],
  ["a transform without terminal", () => Path.transform(Path.key("a"), {}), "NO_TERMINAL"],
  [
    "a route without terminal",
    () => Path.transform(Path.multiPath(Path.key("a").termVal(1), Path.key("b")), {}),
    "NO_TERMINAL",
  ],
  ["termVoid at the root", () => Path.transform(Path.termVoid(), {}), "VOID_AT_ROOT"],
])("%s is refused", async (_name, call, code) => {
  expect(await codeOf(call)).toBe(code);
});

const evens = navigator({
  *select(list: number[]) {
    for (const n of list) if (n % 2 === 0) yield n;
  },
  transform(list: number[], next: (x: unknown) => unknown) {
    return list.map((n) => (n % 2 === 0 ? next(n) : n)).filter((n) => n !== VOID);
  },
});
const atLeast = (min: number) =>
  navigator({
    *select(n: number) {
      if (n >= min) yield n;
    },
    transform(n: number, next: (x: unknown) => unknown) {
      return n >= min ? next(n) : n;
    },
  });

test("custom navigators select, transform and remove; customNavBuilder makes one from arguments", () => {
  expect(Path.select(Path.customNav(evens), [1, 2, 4])).toEqual([2, 4]);
  expect(Path.transform(Path.customNav(evens).term(Ops.INC), [1, 2, 4])).toEqual([1, 3, 5]);
  expect(Path.transform(Path.customNav(evens).termVoid(), [1, 2, 4])).toEqual([1]);
  expect(Path.select(Path.all().customNavBuilder(atLeast, 3), [1, 3, 5])).toEqual([3, 5]);
});

test("paths are immutable and a path is an argument of another", () => {
  const base = Path.key("a");
  const left = base.key("l");
  const right = base.key("r");
  expect(Path.select(left, { a: { l: 1, r: 2 } })).toEqual([1]);
  expect(Path.select(right, { a: { l: 1, r: 2 } })).toEqual([2]);
  expect(Path.select(Path.multiPath(left, right), { a: { l: 1, r: 2 } })).toEqual([1, 2]);
});

describe("in dataflow", () => {
  test("arguments of navigators are vars and expressions", async () => {
    const block = Block.each(Ops.IDENTITY, "a")
      .out("*k")
      .each(Ops.IDENTITY, { a: { ab: 5 } })
      .out("*d")
      .select(
        "*d",
        Path.key("*k")
          .key(expr(Ops.TO_STRING, "*k", "b"))
          .nullToVal("*k"),
      )
      .out("*v");
    expect(await rows(block, "*v")).toEqual([5]);
    const functionInVar = Block.each(() => (x: number) => x + 1)
      .out("*f")
      .select(5, Path.view("*f" as never))
      .out("*v");
    expect(await rows(functionInVar, "*v")).toEqual([6]);
  });
  test("a row of several fields is a value for a path", async () => {
    const block = Block.each(function* () {
      yield emit({ a: 1 }, "a");
    })
      .out("*d", "*k")
      .select("*d", Path.key("*k"))
      .out("*v");
    expect(await rows(block, "*v")).toEqual([1]);
  });
});

describe("in a TestPState", () => {
  const schemas: [string, unknown][] = [
    ["stored whole", PState.mapSchema(String, PState.mapSchema(String, Number))],
    ["subindexed", PState.mapSchema(String, PState.mapSchema(String, Number).subindexed())],
  ];
  test.each(schemas)("maps: ranges, ends, removal, size; %s", async (_name, schema) => {
    await using p = await TestPState.create(schema as never);
    const k = Path.key("k");
    for (const [i, letter] of [..."badc"].entries()) await p.transform(k.key(letter).termVal(i));
    expect(await p.select(k.mapKeys())).toHaveLength(4);
    expect(await p.selectOne(k.sortedMapRange("b", "d"))).toEqual(m(["b", 0], ["c", 3]));
    expect(await p.selectOne(k.sortedMapRangeFrom("b", { maxAmt: 2, excludeStart: true }))).toEqual(
      m(["c", 3], ["d", 2]),
    );
    expect(await p.selectOne(k.sortedMapRangeTo("d", 2))).toEqual(m(["b", 0], ["c", 3]));
    expect(await p.selectOne(k.sortedMapRangeFromStart(1))).toEqual(m(["a", 1]));
    expect(await p.selectOne(k.sortedMapRangeToEnd(1))).toEqual(m(["d", 2]));
    expect(await p.select(k.first())).toEqual([["a", 1]]);
    expect(await p.select(k.last())).toEqual([["d", 2]]);
    expect(await p.selectOne(k.view(Ops.SIZE))).toBe(4);
    expect(await p.selectOne(k.view(Ops.CONTAINS, "a"))).toBe(true);
    expect(await p.selectOne(k.contains("z"))).toBe(false);
    expect(await p.selectOne(k.view(Ops.GET, "b"))).toBe(0);
    await p.transform(k.must("z").termVal(1));
    await p.transform(k.mapVals().filterGreaterThan(1).term(Ops.TIMES, 10));
    expect(await p.selectOne(k.subMap("d", "c", "q"))).toEqual(m(["d", 20], ["c", 30]));
    await p.transform(k.sortedMapRangeFrom("c").mapKeys().termVoid());
    expect(await p.selectOne(k.subselect(Path.mapKeys()))).toHaveLength(2);
    await p.transform(k.sortedMapRangeTo("b").termVal(null));
    expect(await p.selectOne(k.view(Ops.SIZE))).toBe(1);
    await p.transform(k.termVoid());
    expect(await p.select(Path.mapKeys())).toEqual([]);
    expect(await p.selectOne(k.view(Ops.SIZE))).toBe(0);
    expect(await p.selectOne(k.sortedMapRangeFrom("a"))).toEqual(new Map());
  });

  test.each([
    ["stored whole", PState.setSchema(Number)],
    ["subindexed", PState.setSchema(Number).subindexed()],
  ])("sets; %s", async (_name, schema) => {
    await using p = await TestPState.create(PState.mapSchema(String, schema));
    const k = Path.key("k");
    for (const n of [5, 1, 3, 3]) await p.transform(k.voidSetElem().termVal(n));
    await p.transform(k.setElem(99).termVoid());
    expect(await p.selectOne(k.view(Ops.SIZE))).toBe(3);
    expect(await p.selectOne(k.sortedSetRange(1, 5))).toEqual(new Set([1, 3]));
    expect(await p.selectOne(k.sortedSetRangeFrom(2))).toEqual(new Set([3, 5]));
    expect(await p.selectOne(k.sortedSetRangeTo(5, { maxAmt: 1, includeEnd: true }))).toEqual(new Set([5]));
    expect([await p.select(k.first()), await p.select(k.last())]).toEqual([[1], [5]]);
    expect(await p.select(k.setElem(3))).toEqual([3]);
    expect(await p.selectOne(k.subSet(1, 2))).toEqual(new Set([1]));
    await p.transform(k.setElem(3).termVoid());
    expect(await p.select(k.all())).toHaveLength(2);
    await p.transform(k.termVal(new Set([7])));
    expect(await p.select(k.all())).toEqual([7]);
  });

  test.each([
    ["stored whole", PState.listSchema(String)],
    ["subindexed", PState.listSchema(String).subindexed()],
  ])("lists; %s", async (_name, schema) => {
    await using p = await TestPState.create(PState.mapSchema(String, schema));
    const k = Path.key("k");
    for (const s of ["b", "c"]) await p.transform(k.afterElem().termVal(s));
    await p.transform(k.beforeElem().termVal("a"));
    await p.transform(k.end().termVal(["d", "e"]));
    expect(await p.select(k.all())).toEqual(["a", "b", "c", "d", "e"]);
    expect(await p.selectOne(k.sublist(1, 3))).toEqual(["b", "c"]);
    expect(await p.selectOne(k.nth(4))).toBe("e");
    expect([await p.select(k.first()), await p.select(k.last())]).toEqual([["a"], ["e"]]);
    expect(await p.selectOne(k.view(Ops.SIZE))).toBe(5);
    expect(await codeOf(p.select(k.nth(9)))).toBe("INDEX_OUT_OF_RANGE");
    await p.transform(k.nth(1).termVal("B"));
    await p.transform(k.nth(0).termVoid());
    await p.transform(k.beforeIndex(1).termVal("x"));
    expect(await p.select(k.all())).toEqual(["B", "x", "c", "d", "e"]);
    await p.transform(k.sublist(1, 4).termVal(["y"]));
    expect(await p.select(k.indexedVals())).toEqual([
      [0, "B"],
      [1, "y"],
      [2, "e"],
    ]);
  });

  test("a subindexed structure cannot be returned as a value", async () => {
    await using p = await TestPState.create(PState.mapSchema(String, PState.mapSchema(String, Number).subindexed()));
    await p.transform(Path.key("k", "a").termVal(1));
    expect(await codeOf(p.selectOne(Path.key("k")))).toBe("STRUCTURE_NOT_A_VALUE");
    expect(await p.selectOne(Path.key("absent"))).toBe(null);
  });

  test("functions and custom navigators are accepted where the data is", async () => {
    await using p = await TestPState.create(PState.mapSchema(String, PState.listSchema(Number)));
    await p.transform(Path.key("a").termVal([1, 2, 4]));
    await p.transform(
      Path.key("a")
        .customNav(evens)
        .term((n: number) => n * 100),
    );
    expect(await p.selectOne(Path.key("a").view((l: number[]) => l.length))).toBe(3);
    expect(await p.selectOne(Path.key("a"))).toEqual([1, 200, 400]);
  });
});
