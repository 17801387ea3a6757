// Structures of a PState: what is written, sealed and seen. A fault here shows uncommitted data, loses a write or leaves keys behind.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { IndexedMap, type IndexedSet, ReadSession } from "../../../src/paths/indexed.ts";
import { fixed, leaf, list, map, openOne, set, sub } from "./one-partition.ts";

const codeOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    return error instanceof RamaError ? error.code : String(error);
  }
  return "no error";
};

test("a write is seen by the owner at once and by others when it is applied", async () => {
  const p = await openOne(map(String, leaf(Number)));
  p.own().set("a", 1);
  expect([p.own().get("a"), p.outside().get("a")]).toEqual([1, undefined]);
  const sealed = p.transaction.seal()!;
  p.own().set("a", 2);
  expect(p.outside().get("a")).toBeUndefined();
  sealed.apply();
  expect([p.own().get("a"), p.outside().get("a")]).toEqual([2, 1]);
});

test("rolling back to a mark takes back what came after it, and nothing sealed", async () => {
  const p = await openOne(map(String, leaf(Number)));
  p.own().set("a", 1);
  const sealed = p.transaction.seal()!;
  p.own().set("a", 2);
  const mark = p.transaction.mark();
  p.own().set("a", 3);
  p.own().set("b", 4);
  p.transaction.rollbackTo(mark);
  expect([p.own().get("a"), p.own().has("b")]).toEqual([2, false]);
  p.transaction.rollbackTo(0);
  expect(p.own().get("a")).toBe(1);
  expect(p.transaction.empty).toBe(true);
  expect(p.transaction.seal()).toBeUndefined();
  sealed.discard();
  expect(p.own().has("a")).toBe(false);
});

test("many writes to one element seal as one write", async () => {
  const p = await openOne(map(String, leaf(Number)));
  p.commit();
  for (let i = 0; i < 100; i++) p.own().set("a", i);
  expect(p.transaction.seal()!.writes).toBeLessThanOrEqual(2); // the element, and the id counter of a new partition
});

test("1 and 1n are one key, and composite keys are compared by value", async () => {
  const p = await openOne(map(Object, leaf(String)));
  p.own().set(1n, "one");
  p.own().set([1, "x"], "pair");
  expect([
    p.own().get(1),
    p.own().get([1n, "x"]),
    p
      .own()
      .range({})
      .map(([k]) => k),
  ]).toEqual(["one", "pair", [1, [1, "x"]]]);
  expect(codeOf(() => p.own().set(Number.NaN, "x"))).toBe("NOT_A_KEY");
  expect(codeOf(() => p.own().get(Number.NaN))).toBe("NOT_A_KEY");
});

test("a plain collection written at a subindexed place becomes a structure, and null removes it", async () => {
  const p = await openOne(map(String, map(Number, leaf(String), sub)));
  p.own().set(
    "u",
    new Map([
      [3, "c"],
      [1, "a"],
    ]),
  );
  const inner = p.own().get("u") as IndexedMap;
  expect(inner).toBeInstanceOf(IndexedMap);
  expect([inner.size(), inner.range({ from: 2 })]).toEqual([2, [[3, "c"]]]);
  p.own().set("u", null);
  expect(p.own().get("u")).toBeNull();
});

test("an object written where a Map with number keys is stored is a mismatch", async () => {
  const p = await openOne(map(String, map(Number, leaf(String), sub)));
  expect(codeOf(() => p.own().set("u", { x: "y" }))).toBe("SCHEMA_MISMATCH");
  p.own().set("u", new Map());
  expect(() => (p.own().get("u") as IndexedMap).set(1, 2)).toThrow('$$p at "u" / 1: expected String, got Number 2');
});

test("writing back the handle that was read changes nothing, writing it elsewhere is an error", async () => {
  const p = await openOne(map(String, fixed({ n: leaf(Number), posts: set(Number, sub) })));
  p.own().set("u", { n: 1, posts: new Set([5]) });
  p.commit();
  const value = p.own().get("u") as { posts: IndexedSet };
  p.own().set("u", value);
  expect(p.transaction.empty).toBe(true);
  value.posts.add(6);
  p.own().set("u", { ...value, n: 2 });
  expect((p.own().get("u") as { posts: IndexedSet }).posts.range({})).toEqual([5, 6]);
  expect(codeOf(() => p.own().set("v", value))).toBe("STRUCTURE_NOT_A_VALUE");
  expect(codeOf(() => p.own().set("u", { n: 1, posts: [1] }))).toBe("SCHEMA_MISMATCH");
});

test("a structure that was deleted and made anew is empty for the owner and as before for others until it is applied", async () => {
  const p = await openOne(map(String, set(String, sub)));
  p.own().set("u", new Set(["old"]));
  p.commit();
  await p.flush();
  p.own().delete("u");
  p.own().set("u", new Set(["new"]));
  expect((p.own().get("u") as IndexedSet).range({})).toEqual(["new"]);
  expect((p.outside().get("u") as IndexedSet).range({})).toEqual(["old"]);
  p.commit();
  expect((p.outside().get("u") as IndexedSet).range({})).toEqual(["new"]);
});

test("clearing a partition is a write like any other, and its keys go after the flush", async () => {
  const p = await openOne(map(String, map(Number, leaf(Number), sub)));
  for (let i = 0; i < 50; i++) p.own().set(`k${i}`, new Map([[i, i]]));
  p.commit();
  await p.flush();
  const before = (await p.keys()).length;
  p.partition.clear(p.transaction);
  expect([p.own().size(), p.outside().has("k7")]).toEqual([0, true]);
  p.transaction.rollbackTo(0);
  expect(p.own().has("k7")).toBe(true);
  p.partition.clear(p.transaction);
  p.commit();
  await p.flush();
  await p.group.removeDropped();
  await p.flush();
  expect([p.outside().has("k7"), before > 150, (await p.keys()).length]).toEqual([false, true, 3]);
});

test("a drop that was durable but not carried out is carried out by the next process", async () => {
  const p = await openOne(map(String, set(Number, sub)));
  p.own().set("u", new Set([1, 2, 3]));
  p.commit();
  await p.flush();
  p.own().delete("u");
  p.commit();
  await p.flush();
  const again = await p.reopen();
  await again.group.removeDropped();
  again.own().set("v", new Set());
  again.commit();
  await again.flush();
  expect((await again.keys()).filter((key) => key.startsWith("02"))).toEqual([]);
  expect((await again.keys()).filter((key) => key.startsWith("0003"))).toEqual([]);
});

test("lists change at either end by touching one element", async () => {
  const p = await openOne(map(String, list(leaf(Number), sub)));
  p.own().set(
    "l",
    Array.from({ length: 100 }, (_, i) => i),
  );
  p.commit();
  const log = p.own().get("l") as any;
  log.splice(100, 100, [100]);
  expect(p.transaction.seal()!.writes).toBe(2);
  log.splice(0, 1, []);
  expect(p.transaction.seal()!.writes).toBe(2);
  expect([log.size(), log.get(0), log.get(99)]).toEqual([100, 1, 100]);
  expect(codeOf(() => log.get(100))).toBe("INDEX_OUT_OF_RANGE");
  expect(codeOf(() => log.set(-1, 0))).toBe("INDEX_OUT_OF_RANGE");
});

test("a range on disk is missed once, then read from memory", async () => {
  const p = await openOne(map(Number, leaf(String)));
  for (let i = 0; i < 500; i++) p.own().set(i, `v${i}`);
  p.commit();
  await p.flush();
  const q = await p.reopen();
  const session = new ReadSession();
  const page = () => (q.partition.external(session).get() as IndexedMap).range({ from: 100, limit: 3 });
  page();
  expect(session.missed).toBe(true);
  await session.load();
  expect([page(), session.missed]).toEqual([
    [
      [100, "v100"],
      [101, "v101"],
      [102, "v102"],
    ],
    false,
  ]);
  const other = new ReadSession();
  expect((q.partition.external(other).get() as IndexedMap).range({ from: 105, limit: 2 })).toEqual([
    [105, "v105"],
    [106, "v106"],
  ]);
  expect(other.missed).toBe(false);
});

test("a write by the same transaction between miss and evaluation is in the range", async () => {
  const p = await openOne(map(Number, leaf(String)));
  for (let i = 0; i < 5; i++) p.own().set(i, "old");
  p.commit();
  await p.flush();
  const q = await p.reopen();
  const session = new ReadSession();
  const all = () => (q.partition.owner(q.transaction, session).get() as IndexedMap).range({});
  all();
  const loading = session.load();
  q.own().set(1, "new");
  q.own().delete(3);
  q.own().set(9, "more");
  await loading;
  expect(all()).toEqual([
    [0, "old"],
    [1, "new"],
    [2, "old"],
    [4, "old"],
    [9, "more"],
  ]);
});

test("a failed flush keeps everything for the next", async () => {
  const p = await openOne(map(String, leaf(Number)));
  p.own().set("a", 1);
  p.commit();
  const first = p.group.collect();
  p.own().set("a", 2);
  p.own().set("b", 3);
  p.commit();
  first.failed();
  await p.flush();
  const q = await p.reopen();
  expect([q.outside().get("a"), q.outside().get("b")]).toEqual([2, 3]);
});

test("a leaf PState starts at its initial value and returns to it when cleared", async () => {
  const p = await openOne(leaf(Number), { initialValue: 10 });
  const root = () => p.partition.external(new ReadSession()).get();
  expect(root()).toBe(10);
  p.partition.owner(p.transaction, new ReadSession()).set(11);
  p.commit();
  await p.flush();
  const q = await p.reopen();
  expect(q.partition.external(new ReadSession()).get()).toBe(11);
  q.partition.clear(q.transaction);
  q.commit();
  expect(q.partition.external(new ReadSession()).get()).toBe(10);
});

test("the cache stays near its bound and forgets absent keys too", async () => {
  const p = await openOne(map(Number, leaf(Number)), { cacheBytes: 100_000 });
  for (let i = 0; i < 5_000; i++) p.own().set(i, i);
  p.commit();
  await p.flush();
  for (let i = 0; i < 20_000; i++) p.outside().get(i);
  expect(p.outside().get(4_999)).toBe(4_999);
  expect(p.cachedNodes()).toBeLessThan(1_000);
});

test("the external view refuses writes", async () => {
  const p = await openOne(map(String, leaf(Number)));
  expect(() => p.outside().set("a", 1)).toThrow("external view");
});
