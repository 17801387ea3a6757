// language.md 9 and the rulings on values in PStates.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState, SubindexOptions } from "rama";
import { InProcessCluster, TestPState } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

const x = Path.key("x");

class Point {
  constructor(
    readonly lat: number,
    readonly lng: number,
  ) {}
}

// schema of the leaf, value, what is read back or the code
const leaves: [string, unknown, unknown, unknown][] = [
  ["Number takes numbers", Number, 1.5, 1.5],
  ["Number takes an exact bigint and stores its own kind", Number, 5n, 5],
  ["Number refuses an inexact bigint", Number, 2n ** 60n + 1n, "SCHEMA_MISMATCH"],
  ["BigInt takes an integer and stores a bigint", BigInt, 5, 5n],
  ["BigInt refuses a fraction", BigInt, 1.5, "SCHEMA_MISMATCH"],
  ["Number refuses a string", Number, "1", "SCHEMA_MISMATCH"],
  ["String refuses a number", String, 1, "SCHEMA_MISMATCH"],
  ["every class takes null", String, null, null],
  ["Boolean", Boolean, false, false],
  ["Date", Date, new Date(5), new Date(5)],
  ["Uint8Array", Uint8Array, new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  [
    "Object takes anything",
    Object,
    { a: [1, new Map([["k", new Set([1])]])] },
    { a: [1, new Map([["k", new Set([1])]])] },
  ],
  ["Object reads a small integer back as number", Object, 7n, 7],
  ["Object reads a large integer back as bigint", Object, 2n ** 60n, 2n ** 60n],
  ["Array", Array, [1, "a"], [1, "a"]],
  ["Array refuses a map", Array, new Map(), "SCHEMA_MISMATCH"],
  ["Map", Map, new Map([["a", 1]]), new Map([["a", 1]])],
  ["Set", Set, new Set([1]), new Set([1])],
  ["undefined fields are dropped, elements become null", Object, { a: undefined, b: [undefined] }, { b: [null] }],
  [
    "mapSchema takes a plain object where a map is written",
    PState.mapSchema(String, Number),
    { a: 1 },
    new Map([["a", 1]]),
  ],
  ["mapSchema checks keys", PState.mapSchema(String, Number), new Map([[1, 1]]), "SCHEMA_MISMATCH"],
  [
    "mapSchema checks values deeply",
    PState.mapSchema(String, PState.listSchema(Number)),
    { a: [1, "b"] },
    "SCHEMA_MISMATCH",
  ],
  ["setSchema checks elements", PState.setSchema(String), new Set([1]), "SCHEMA_MISMATCH"],
  ["listSchema", PState.listSchema(PState.mapSchema(String, Number)), [{ a: 1 }], [new Map([["a", 1]])]],
  [
    "fixedKeysSchema holds a plain object, absent keys left out",
    PState.fixedKeysSchema({ a: Number, b: String }),
    { a: 1 },
    { a: 1 },
  ],
  ["fixedKeysSchema refuses another key", PState.fixedKeysSchema({ a: Number }), { z: 1 }, "SCHEMA_MISMATCH"],
  ["fixedKeysSchema checks each field", PState.fixedKeysSchema({ a: Number }), { a: "1" }, "SCHEMA_MISMATCH"],
];

test.each(leaves)("%s", async (_name, schema, value, expected) => {
  await using p = await TestPState.create(PState.mapSchema(String, schema as never));
  const wrote = codeOf(p.transform(x.termVal(value)));
  if (expected === "SCHEMA_MISMATCH") expect(await wrote).toBe("SCHEMA_MISMATCH");
  else {
    expect(await wrote).toStartWith("resolved");
    expect(await p.selectOne(x)).toEqual(expected);
  }
});

test("the message of a mismatch names the place, the value and the schema", async () => {
  await using p = await TestPState.create(PState.mapSchema(String, PState.fixedKeysSchema({ age: Number })));
  const { message } = await errorOf(p.transform(x.key("age").termVal("old")));
  expect(message).toContain("age");
  expect(message).toContain("old");
  expect(message).toContain("Number");
});

test.each([
  ["a set of schemas", () => PState.setSchema(PState.listSchema(Number) as never)],
  ["a subindexed top level", () => TestPState.create(PState.mapSchema(String, Number).subindexed())],
  ["a list at the top", () => TestPState.create(PState.listSchema(Number))],
  ["a set at the top", () => TestPState.create(PState.setSchema(Number))],
])("%s is refused", async (_name, make) => {
  expect(await codeOf(make)).toBe("BAD_SCHEMA");
});

test("levels that a path creates follow the schema: plain objects for fixed keys, maps otherwise", async () => {
  await using p = await TestPState.create(
    PState.mapSchema(
      String,
      PState.mapSchema(String, PState.fixedKeysSchema({ at: Number, tags: PState.setSchema(String) })),
    ),
  );
  await p.transform(x.key("y", "at").termVal(5));
  await p.transform(x.key("y", "tags").voidSetElem().termVal("t"));
  expect(await p.selectOne(x)).toEqual(new Map([["y", { at: 5, tags: new Set(["t"]) }]]));
  await p.transform(x.key("y", "at").termVoid());
  expect(await p.selectOne(x.key("y"))).toEqual({ tags: new Set(["t"]) });
});

test("fixed keys at the top, with subindexed fields", async () => {
  await using p = await TestPState.create(
    PState.fixedKeysSchema({ n: Number, log: PState.mapSchema(Number, String).subindexed() }),
  );
  await p.transform(Path.key("n").termVal(1));
  for (const i of [3, 1, 2]) await p.transform(Path.key("log", i).termVal(`e${i}`));
  expect(await p.selectOne(Path.key("n"))).toBe(1);
  expect(await p.selectOne(Path.key("log").sortedMapRangeFrom(2))).toEqual(
    new Map([
      [2, "e2"],
      [3, "e3"],
    ]),
  );
  expect(await codeOf(p.transform(Path.key("other").termVal(1)))).toBe("SCHEMA_MISMATCH");
});

test("class instances are stored with their class", async () => {
  await using ipc = await InProcessCluster.create();
  const launched = await ipc.launchModule(
    moduleOf("Points", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, Point)).global();
      s.source("*d").out("*v").globalPartition().localTransform("$$p", x.termVal("*v"));
    }),
    { tasks: 2 },
  );
  await launched.depot("*d").append(new Point(1, 2));
  const read = await launched.pstate("$$p").selectOne(x);
  expect(read).toBeInstanceOf(Point);
  expect(read).toEqual(new Point(1, 2));
  expect(await codeOf(launched.depot("*d").append("no point"))).toBe("PROCESSING_FAILED");
  expect(await launched.pstate("$$p").selectOne(x)).toEqual(new Point(1, 2));
});

const ordered: [string, unknown, unknown[]][] = [
  ["numbers, negative first", Number, [-10, -1.5, 0, 2, 10]],
  ["strings by code point", String, ["", "A", "B", "a", "ab", "b", "é", "\u{ffff}", "\u{1f600}"]],
  ["bigints", BigInt, [-(2n ** 70n), -1n, 5n, 2n ** 64n]],
  ["booleans", Boolean, [false, true]],
  ["dates", Date, [new Date(-5), new Date(0), new Date(9)]],
  ["arrays element by element, a prefix first", Array, [[], [1], [1, "a"], [1, "b"], [2], ["a"]]],
  ["everything", Object, [null, false, true, -1, 5, "a", "b", new Uint8Array([1]), new Date(1), [1], [1, 2]]],
];

test.each(ordered)("order of keys: %s", async (_name, keyClass, keys) => {
  for (const schema of [
    PState.mapSchema(keyClass as never, Number),
    PState.mapSchema(keyClass as never, Number).subindexed(),
  ]) {
    await using p = await TestPState.create(PState.mapSchema(String, schema));
    const shuffled = keys.map((_, i) => keys[(i * 7 + 3) % keys.length]!);
    const all = keys.length % 7 === 0 ? [...keys].reverse() : shuffled;
    for (const key of all) await p.transform(x.key(key).termVal(1));
    expect(await p.selectOne(x.sortedMapRangeFromStart(100).subselect(Path.mapKeys()))).toEqual(keys);
    expect(await p.select(x.first().first())).toEqual([keys[0]]);
  }
});

test("keys are equal by value: 1 and 1n, -0 and 0; NaN is refused", async () => {
  await using p = await TestPState.create(PState.mapSchema(Object, Number));
  await p.transform(Path.key(1).termVal(1));
  await p.transform(Path.key(1n).term(Ops.INC));
  await p.transform(Path.key(-0).termVal(5));
  await p.transform(Path.key([1, [2]]).termVal(7));
  await p.transform(Path.key({ a: 1, b: 2 }).termVal(8));
  expect(await p.selectOne(Path.key(1))).toBe(2);
  expect(await p.selectOne(Path.key(0))).toBe(5);
  expect(await p.selectOne(Path.key([1n, [2]]))).toBe(7);
  expect(await p.selectOne(Path.key({ b: 2, a: 1 }))).toBe(8);
  expect(await codeOf(p.transform(Path.key(Number.NaN).termVal(1)))).toBe("NOT_A_KEY");
});

test.each([
  ["with size tracking", undefined],
  ["without", SubindexOptions.withoutSizeTracking()],
])(
  "subindexed %s: plain data converts on the first write, the size is right, moves by overwrite",
  async (_n, options) => {
    await using p = await TestPState.create(
      PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed(options as never)),
    );
    await p.transform(x.termVal({}));
    await p.transform(
      x.termVal(
        new Map([
          [1, 1],
          [2, 2],
        ]),
      ),
    );
    await p.transform(x.key(3).termVal(3));
    await p.transform(x.key(1).termVoid());
    expect(await p.selectOne(x.view(Ops.SIZE))).toBe(2);
    await p.transform(x.termVal(new Map([[9, 9]])));
    expect(await p.select(x.mapKeys())).toEqual([9]);
  },
);

test("nested subindexing, through fixed keys and lists", async () => {
  await using p = await TestPState.create(
    PState.mapSchema(
      String,
      PState.mapSchema(
        Number,
        PState.fixedKeysSchema({ name: String, likes: PState.setSchema(String).subindexed() }),
      ).subindexed(),
    ),
  );
  await p.transform(x.key(1).multiPath(Path.key("name").termVal("n"), Path.key("likes").voidSetElem().termVal("u")));
  await p.transform(x.key(1, "likes").voidSetElem().termVal("v"));
  expect(await p.selectOne(x.key(1, "likes").view(Ops.SIZE))).toBe(2);
  expect(await p.selectOne(x.key(1, "name"))).toBe("n");
  expect(await p.select(x.sortedMapRangeFrom(0).mapVals().key("likes").all())).toEqual(["u", "v"]);
});

const declarations = moduleOf("Declarations", (setup, topologies) => {
  setup.declareDepot("*d", Depot.hashBy(Ops.FIRST));
  const s = topologies.stream("s");
  s.pstate("$$class", Number);
  s.pstate("$$initial", Number).initialValue(7);
  s.pstate("$$count", Number).global().initialValue(0);
  s.pstate("$$private", PState.mapSchema(String, Number)).makePrivate();
  s.pstate("$$list", Array).global().initialValue([]);
  s.pstate("$$map", PState.mapSchema(String, Number));
  s.pstate("$$byLength", PState.mapSchema(String, Number)).keyPartitioner((n: number, key: string) => key.length % n);
  s.source("*d")
    .out(["*k", "*n"])
    .localTransform("$$map", Path.key("*k").termVal("*n"))
    .localTransform("$$private", Path.key("*k").termVal("*n"))
    .pathPartition("$$byLength", Path.key("*k"))
    .localTransform("$$byLength", Path.key("*k").termVal("*n"))
    .globalPartition()
    .agg("$$count", Agg.count())
    .agg("$$list", Agg.list("*k"));
  topologies
    .query("private", "*k")
    .out("*n")
    .hashPartition("*k")
    .localSelect("$$private", Path.key("*k"))
    .out("*n")
    .originPartition();
  topologies.query("sel", "*k").out("*n").select("$$byLength", Path.key("*k")).out("*n").originPartition();
});

test("declarations: class schemas, initial values, global, private, key partitioners", async () => {
  await using ipc = await InProcessCluster.create();
  const launched = await ipc.launchModule(declarations, { tasks: 4, threads: 2 });
  await launched.depot("*d").append(["abc", 5]);
  await launched.depot("*d").append(["abcde", 6]);
  const read = (name: `$$${string}`, ...args: [Path] | [unknown, Path]) =>
    launched.pstate(name).selectOne(...(args as [Path]));
  expect(await read("$$class", "any", Path.stay())).toBe(null);
  expect(await read("$$initial", "any", Path.stay())).toBe(7);
  expect(await read("$$count", Path.stay())).toBe(2);
  expect(await read("$$list", Path.stay())).toEqual(["abc", "abcde"]);
  expect(await read("$$map", Path.key("abc"))).toBe(5);
  expect(await read("$$byLength", Path.key("abcde"))).toBe(6);
  expect(await codeOf(launched.pstate("$$private").selectOne(Path.key("abc")))).toBe("PRIVATE_PSTATE");
  expect(await launched.query("private").invoke("abc")).toBe(5);
  expect(await launched.query("sel").invoke("abc")).toBe(5);
  expect(await launched.pstate("$$map").getObjectInfo()).toMatchObject({ numPartitions: 4 });
  expect(await codeOf(launched.pstate("$$map").select(Path.mapVals()))).toBe("KEY_REQUIRED");
});

test("one event's writes are seen by its own later reads, and by readers together", async () => {
  await using ipc = await InProcessCluster.create();
  const launched = await ipc.launchModule(
    moduleOf("OwnWrites", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, Number)).global();
      s.source("*d")
        .out("*n")
        .localTransform("$$p", Path.key("a").termVal("*n"))
        .localSelect("$$p", Path.key("a"))
        .out("*seen")
        .compoundAgg("$$p", CompoundAgg.map("sum", Agg.sum("*seen")))
        .localTransform("$$p", Path.key("b").termVal("*n"))
        .ackReturn("*seen");
    }),
    { tasks: 1 },
  );
  const torn: unknown[] = [];
  const reads = async () => {
    for (let i = 0; i < 30; i++) {
      const both = await launched.pstate("$$p").selectOne<Map<string, number>>(Path.subMap("a", "b"));
      if (both.get("a") !== both.get("b")) torn.push(both);
    }
  };
  const acks = Array.from({ length: 50 }, (_, i) => launched.depot("*d").append(i));
  await reads();
  expect(await Promise.all(acks)).toEqual(Array.from({ length: 50 }, (_, i) => ({ s: i })));
  expect(torn).toEqual([]);
  expect(await launched.pstate("$$p").selectOne(Path.key("sum"))).toBe(1225);
});

test("a plain object, a Map with the same entries and an array are different keys; equal ones are one key", async () => {
  await using p = await TestPState.create(PState.mapSchema(Object, Number));
  const keys = [{ a: 1 }, new Map([["a", 1]]), ["a", 1], new Set(["a"])];
  for (const [i, key] of keys.entries()) await p.transform(Path.key(key).termVal(i));
  for (const [i, key] of [{ a: 1 }, new Map([["a", 1]]), ["a", 1], new Set(["a"])].entries())
    expect(await p.selectOne(Path.key(key))).toBe(i);
  expect(await p.select(Path.mapKeys())).toHaveLength(4);
});
