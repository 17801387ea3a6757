// Checks on write. A fault here stores what the schema forbids, or what cannot be encoded when the transaction is sealed.
import { expect, test } from "bun:test";
import type { SchemaNode } from "../../../src/module/schema.ts";
import { fixed, leaf, list, map, openOne, set } from "./one-partition.ts";

class Point {
  x = 1;
}

async function stored(value: SchemaNode, written: unknown, deepValidation = true): Promise<unknown> {
  const p = await openOne(map(String, value), { deepValidation });
  try {
    p.own().set("k", written);
  } catch (error) {
    return (error as Error).message;
  }
  p.commit();
  await p.flush();
  return (await p.reopen()).outside().get("k");
}

test("Number and BigInt take either kind when it is exact, and store their own", async () => {
  expect(await stored(leaf(Number), 5n)).toBe(5);
  expect(await stored(leaf(BigInt), 5)).toBe(5n);
  expect(await stored(leaf(Number), 2n ** 53n + 1n)).toBe('$$p at "k": expected Number, got BigInt 9007199254740993n');
  expect(await stored(leaf(BigInt), 1.5)).toBe('$$p at "k": expected BigInt, got Number 1.5');
});

test("null passes everywhere and undefined is null", async () => {
  for (const schema of [
    leaf(Number),
    leaf(Point),
    map(String, leaf(Number)),
    set(String),
    list(leaf(Number)),
    fixed({}),
  ]) {
    expect(await stored(schema, null)).toBeNull();
    expect(await stored(schema, undefined)).toBeNull();
  }
});

test("a mismatch inside a value names the path, what was expected and what came", async () => {
  const schema = map(String, list(fixed({ n: leaf(Number) })));
  expect(await stored(schema, new Map([["a", [{ n: 1 }, { n: "x" }]]]))).toBe(
    '$$p at "k" / "a" / 1 / "n": expected Number, got String "x"',
  );
  expect(await stored(fixed({ a: leaf(Number) }), { b: 1 })).toBe(
    '$$p at "k" / "b": expected one of the keys a, got Number 1',
  );
  expect(await stored(list(leaf(Number)), new Set())).toBe('$$p at "k": expected Array, got Set of 0');
});

test("keys are checked like values", async () => {
  expect(await stored(map(Number, leaf(Number)), new Map([["x", 1]]))).toBe(
    '$$p at "k" / "x": expected Number, got String "x"',
  );
  expect(await stored(set(String), new Set([1]))).toBe('$$p at "k": expected String, got Number 1');
});

test("elements are converted without changing what was given", async () => {
  const given = new Map([["a", 1n]]);
  expect(await stored(map(String, leaf(Number)), given)).toEqual(new Map([["a", 1]]));
  expect(given.get("a")).toBe(1n);
  expect(await stored(map(String, leaf(Number)), { a: 1, b: undefined })).toEqual(new Map([["a", 1]]));
  expect(await stored(leaf(Object), { a: undefined, b: [undefined, 5n] })).toEqual({ b: [null, 5] });
});

test("what cannot be encoded is refused when it is written, not when it is sealed", async () => {
  expect(await stored(leaf(Object), { f: () => 1 })).toBe('$$p at "k" / "f": a function cannot be stored');
  expect(await stored(leaf(Point), new Point())).toBe('$$p at "k": an instance of Point cannot be stored');
  expect(await stored(leaf(Point), {})).toBe('$$p at "k": expected Point, got Object {  }');
  const cycle: unknown[] = [];
  cycle.push(cycle);
  expect(await stored(leaf(Object), cycle)).toContain("nested deeper");
});

test("without deep validation the elements of a whole value are not compared with the schema", async () => {
  expect(await stored(list(leaf(Number)), ["x"], false)).toEqual(["x"]);
  expect(await stored(list(leaf(Number)), 5, false)).toBe('$$p at "k": expected Array, got Number 5');
});

test("bytes and dates come back as they were", async () => {
  expect(await stored(leaf(Uint8Array), Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  expect(await stored(leaf(Date), new Date(5))).toEqual(new Date(5));
});
