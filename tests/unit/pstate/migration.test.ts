// Migrations on one partition: read in the new form at once, written in the background, no value changed twice; collections that become subindexed; what is
// subindexed inside a migrated value.
import { expect, test } from "bun:test";
import type { IndexedList, IndexedMap, IndexedSet } from "../../../src/paths/indexed.ts";
import { ReadSession } from "../../../src/paths/indexed.ts";
import { fixed, leaf, list, map, migrated, openOne, set, sub, untracked } from "./one-partition.ts";

const numbers = map(String, leaf(Number));

/** Not idempotent on purpose: a value that went through it twice is seen. */
const prefixed = (id: string, text = id) =>
  map(
    String,
    migrated(leaf(String), id, (value) => `${text}(${value})`),
  );

async function written(count = 3) {
  const p = await openOne(numbers);
  for (let i = 0; i < count; i++) p.own().set(`k${i}`, i);
  p.commit();
  await p.flush();
  return p;
}

async function everything(p: { partition: any }): Promise<[unknown, unknown][]> {
  const session = new ReadSession();
  const read = () => (p.partition.external(session).get() as IndexedMap).range({});
  let rows = read();
  while (session.missed) {
    await session.load();
    rows = read();
  }
  return rows;
}

test("values are read in their new form at once, by the owner and outside, one by one and in ranges", async () => {
  const p = await written();
  const q = await p.reopenWith(prefixed("m"));
  q.own().set("new", "n");
  expect([q.own().get("k0"), q.outside().get("k1"), q.own().get("new")]).toEqual(["m(0)", "m(1)", "n"]);
  const r = await p.reopenWith(prefixed("m"));
  expect(await everything(r)).toEqual([
    ["k0", "m(0)"],
    ["k1", "m(1)"],
    ["k2", "m(2)"],
  ]);
});

test("no value goes through the function twice, whatever is written, flushed, opened again and written in the background", async () => {
  const p = await written(20);
  let q = await p.reopenWith(prefixed("m"));
  q.own().set("k3", `${q.own().get("k3")}!`);
  q.commit();
  await q.migrate(2, 3);
  await q.flush();
  q = await q.reopen();
  expect(q.own().get("k0")).toBe("m(0)");
  expect(await q.migrate(3)).toMatchObject({ done: true });
  await q.flush();
  q = await q.reopen();
  const rows = await everything(q);
  expect(rows).toHaveLength(20);
  for (const [key, value] of rows) expect(value).toBe(key === "k3" ? "m(3)!" : `m(${String(key).slice(1)})`);
  expect(await q.migrate()).toMatchObject({ done: true, steps: 0 });
});

test("the wrapper may go when all is done: the values are as they were read", async () => {
  const p = await written();
  const q = await p.reopenWith(prefixed("m"));
  await q.migrate();
  await q.flush();
  const r = await q.reopenWith(map(String, leaf(String)));
  expect(await everything(r)).toEqual([
    ["k0", "m(0)"],
    ["k1", "m(1)"],
    ["k2", "m(2)"],
  ]);
});

test("another id begins anew, over what the first has made; the first one's name may come again after it has left", async () => {
  const p = await written(1);
  const q = await p.reopenWith(prefixed("a"));
  await q.migrate();
  await q.flush();
  const r = await q.reopenWith(prefixed("b"));
  expect(r.own().get("k0")).toBe("b(a(0))");
  expect(await r.migrate()).toMatchObject({ done: true, rewritten: 1 });
  await r.flush();
  const again = await r.reopenWith(prefixed("a", "again"));
  expect(await again.migrate()).toMatchObject({ done: true, rewritten: 1 });
  expect(again.own().get("k0")).toBe("again(b(a(0)))");
});

test("what the owner has written and not committed is left alone, and kept", async () => {
  const p = await written(2);
  const q = await p.reopenWith(prefixed("m"));
  q.own().set("k0", "mine");
  expect(await q.migrate(10, 5)).toMatchObject({ done: false, rewritten: 0 });
  expect(q.outside().get("k0")).toBe("m(0)");
  q.transaction.rollbackTo(0);
  expect(await q.migrate()).toMatchObject({ done: true, rewritten: 2 });
  q.own().set("k1", "mine");
  q.commit();
  await q.flush();
  expect(await everything(await q.reopen())).toEqual([
    ["k0", "m(0)"],
    ["k1", "mine"],
  ]);
});

test("what the function throws, and what it returns against the schema, is told with place and id; nothing is lost", async () => {
  const p = await written(1);
  const bad = await p.reopenWith(
    map(
      String,
      migrated(leaf(String), "m", () => fail()),
    ),
  );
  expect(() => bad.own().get("k0")).toThrow("$$p at k0: migration m threw: no");
  const wrong = await p.reopenWith(
    map(
      String,
      migrated(leaf(String), "m", (value) => value),
    ),
  );
  expect(() => wrong.own().get("k0")).toThrow('$$p at "k0": expected String, got');
  expect((await p.reopen()).own().get("k0")).toBe(0);
});

function fail(): never {
  throw new Error("no");
}

test("a leaf PState migrates as one value", async () => {
  const p = await openOne(leaf(Number), { initialValue: 7 });
  const root = p.partition.owner(p.transaction, new ReadSession());
  root.set(5);
  p.commit();
  await p.flush();
  const q = await p.reopenWith(migrated(leaf(String), "m", (value) => `m(${value})`));
  expect(q.partition.external(new ReadSession()).get()).toBe("m(5)");
  expect(await q.migrate()).toMatchObject({ done: true, rewritten: 1 });
  await q.flush();
  expect((await q.reopen()).partition.external(new ReadSession()).get()).toBe("m(5)");
});

// ---- to subindexed

const toSubindexed = { toSubindexed: true };

test.each([
  ["with its size", sub],
  ["without", untracked],
])("a map becomes subindexed, %s: read sorted, written below, in the background", async (_, how) => {
  const p = await openOne(map(String, map(Number, leaf(Number))));
  const large = new Map(Array.from({ length: 2000 }, (__, i) => [2000 - i, i] as const));
  p.own().set("a", large);
  p.own().set("b", new Map([[1, 1]]));
  p.own().set("none", null);
  p.commit();
  await p.flush();
  const doubled = (old: Map<number, number> | null) =>
    old === null ? null : new Map([...old].map(([key, value]) => [key, 2 * value]));
  const schema = map(String, migrated(map(Number, leaf(Number), how), "m", doubled, toSubindexed));
  const q = await p.reopenWith(schema);
  const a = () => q.outside().get("a") as IndexedMap;
  expect([a().size(), a().get(1), a().range({ limit: 2 })]).toEqual([
    2000,
    3998,
    [
      [1, 3998],
      [2, 3996],
    ],
  ]);
  expect(q.outside().get("none")).toBeNull();
  const b = q.own().get("b") as IndexedMap;
  b.set(2, 20);
  expect(b.range({})).toEqual([
    [1, 2],
    [2, 20],
  ]);
  expect((q.outside().get("b") as IndexedMap).range({})).toEqual([[1, 2]]);
  q.commit();
  expect(await q.migrate(10)).toMatchObject({ done: true, rewritten: 2 });
  await q.flush();
  const r = await q.reopen();
  const again = r.own().get("a") as IndexedMap;
  again.set(5000, 1);
  expect(again.get(2000)).toBe(0);
  const session = new ReadSession();
  const sizes = () =>
    ["a", "b"].map((key) => ((r.partition.external(session).get() as IndexedMap).get(key) as IndexedMap).size());
  sizes();
  await session.load();
  expect(sizes()).toEqual([2000, 2]);
  const wrapperGone = await q.reopenWith(map(String, map(Number, leaf(Number), how)));
  expect((wrapperGone.own().get("b") as IndexedMap).get(2)).toBe(20);
});

test("sets and lists become subindexed; a value whose transaction is taken back stays whole", async () => {
  const p = await openOne(fixedValues(set(Number), list(leaf(String))));
  p.own().set("s", new Set([3, 1]));
  p.own().set("s2", new Set([1]));
  p.commit();
  await p.flush();
  const q = await p.reopenWith(
    map(
      String,
      migrated(set(Number, sub), "m", (old) => old, toSubindexed),
    ),
  );
  const mark = q.transaction.mark();
  (q.own().get("s") as IndexedSet).add(2);
  expect((q.own().get("s") as IndexedSet).range({})).toEqual([1, 2, 3]);
  q.transaction.rollbackTo(mark);
  expect((q.own().get("s") as IndexedSet).range({})).toEqual([1, 3]);
  expect(await q.migrate()).toMatchObject({ done: true, rewritten: 2 });
  expect([(q.own().get("s") as IndexedSet).size(), (q.own().get("s") as IndexedSet).has(3)]).toEqual([2, true]);
  const l = await openOne(map(String, list(leaf(Number))));
  l.own().set("l", [1, 2, 3]);
  l.commit();
  await l.flush();
  const m = await l.reopenWith(
    map(
      String,
      migrated(list(leaf(String), sub), "m", (old: number[]) => old.map(String), toSubindexed),
    ),
  );
  expect((m.outside().get("l") as IndexedList).slice(1, 3)).toEqual(["2", "3"]);
  (m.own().get("l") as IndexedList).splice(3, 3, ["4"]);
  m.commit();
  await m.migrate();
  expect((m.outside().get("l") as IndexedList).slice(0, 4)).toEqual(["1", "2", "3", "4"]);
});

function fixedValues(first: any, _second: any) {
  return map(String, first);
}

test("values of subindexed maps migrate, in ones that a migration has made, too", async () => {
  const p = await openOne(map(String, map(Number, leaf(Number), sub)));
  for (const key of ["a", "b"])
    p.own().set(
      key,
      new Map([
        [1, 10],
        [2, 20],
      ]),
    );
  p.commit();
  await p.flush();
  const inner = migrated(leaf(String), "m", (value) => `m(${value})`);
  const q = await p.reopenWith(map(String, map(Number, inner, sub)));
  expect((q.outside().get("a") as IndexedMap).get(1)).toBe("m(10)");
  await q.migrate(1, 2);
  await q.flush();
  const r = await q.reopen();
  expect(await r.migrate(1)).toMatchObject({ done: true, rewritten: 4 });
  await r.flush();
  const s = await r.reopenWith(map(String, map(Number, leaf(String), sub)));
  expect([(s.own().get("a") as IndexedMap).get(2), (s.own().get("b") as IndexedMap).get(1)]).toEqual([
    "m(20)",
    "m(10)",
  ]);
});

test("a migrated value keeps what is subindexed inside it, in its field; a function that loses it is refused", async () => {
  const posts = map(Number, leaf(String), sub);
  const p = await openOne(map(String, fixed({ name: leaf(String), posts })));
  p.own().set("u", { name: "Ann", posts: new Map([[1, "one"]]) });
  p.commit();
  await p.flush();
  const schema = fixed({ title: leaf(String), posts });
  const to = (migrate: (value: any) => unknown) =>
    map(String, migrated(schema, "m", migrate, { addedKeys: ["title"], removedKeys: ["name"] }));
  const q = await p.reopenWith(to((old) => ({ ...old, title: `Dr ${old.name}` })));
  const user = q.outside().get("u") as { title: string; posts: IndexedMap };
  expect([Object.keys(user).sort(), user.title, user.posts.get(1)]).toEqual([["posts", "title"], "Dr Ann", "one"]);
  await q.migrate();
  await q.flush();
  const after = (await q.reopenWith(map(String, schema))).own().get("u") as { posts: IndexedMap };
  expect(after.posts.get(1)).toBe("one");
  const loses = await p.reopenWith(to(() => ({ title: "x" })));
  expect(loses.own().get("u")).toMatchObject({ title: "Dr Ann" });
  const other = await openOne(map(String, fixed({ name: leaf(String), posts })));
  other.own().set("u", { name: "Ann", posts: new Map([[1, "one"]]) });
  other.commit();
  await other.flush();
  const lost = await other.reopenWith(to(() => ({ title: "x" })));
  expect(() => lost.own().get("u")).toThrow("loses a subindexed structure");
});
