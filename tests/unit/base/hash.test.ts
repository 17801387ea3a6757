// The vectors that fix where data lives. If one changes, every stored partition is in the wrong place.
import { expect, test } from "bun:test";
import { hashValue, murmur3, taskOf } from "../../../src/base/hash.ts";
import { encodeKey } from "../../../src/base/key-encoding.ts";

const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

test("murmur3 x86 32 agrees with the published vectors", () => {
  const vectors: [string, number, number][] = [
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["a", 0x9747b28c, 0x7fa09ea6],
    ["aa", 0x9747b28c, 0x5d211726],
    ["aaa", 0x9747b28c, 0x283e0130],
    ["aaaa", 0x9747b28c, 0x5a97808a],
    ["abc", 0, 0xb3dd93fa],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723],
  ];
  for (const [text, seed, expected] of vectors) expect(murmur3(ascii(text), text.length, seed)).toBe(expected);
});

test("key bytes and hashes of chosen values never change", () => {
  const hex = (value: unknown) => Buffer.from(encodeKey(value)).toString("hex");
  const table = [
    null,
    false,
    true,
    0,
    1,
    -1,
    255,
    256,
    1.5,
    -0.25,
    1700000000000,
    2n ** 70n,
    "",
    "a",
    "user-1",
    "é",
    "\0",
  ].map((value) => [value, hex(value), hashValue(value)] as const);
  const rest = [
    new Uint8Array([1, 2]),
    new Date(5),
    ["a", 1],
    { b: 1, a: null },
    new Map([["k", 1]]),
    new Set([2, 1]),
  ].map((value) => [hex(value), hashValue(value)] as const);
  expect(table).toMatchSnapshot();
  expect(rest).toMatchSnapshot();
});

test("equal values go to one task whatever their kind", () => {
  expect(hashValue(1n)).toBe(hashValue(1));
  expect(hashValue(-0)).toBe(hashValue(0));
  expect(hashValue({ a: 1, b: 2 })).toBe(hashValue({ b: 2, a: 1 }));
  expect(hashValue({ a: 1 })).not.toBe(hashValue(new Map([["a", 1]])));
  for (let i = 0; i < 100; i++) expect(taskOf(i, 8)).toBeLessThan(8);
});
