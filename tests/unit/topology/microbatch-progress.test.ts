// What a microbatch topology keeps on disk, with bytes that version 1 wrote.
import { expect, test } from "bun:test";
import { decodeGroup, decodeSlice, encodeGroup, encodeSlice } from "../../../src/topology/microbatch/progress.ts";

const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g)!.map((byte) => Number.parseInt(byte, 16)));
const hexOf = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const slice = { first: 5, next: 300, attempted: 9, end: 310 };
const group = { committed: 8, attempted: 9, prepared: undefined };
const prepared = { committed: 8, attempted: 9, prepared: { id: 9, run: 300, writes: Uint8Array.of(1, 2, 3) } };

test("version 1 of a slice", () => {
  expect(hexOf(encodeSlice(slice))).toBe("0105ac0209b602");
  expect(decodeSlice(bytesOf("0105ac0209b602"))).toEqual(slice);
});

test("a group, with and without prepared writes: version 1, and version 2 with the run", () => {
  expect(hexOf(encodeGroup(group))).toBe("01080900");
  expect(decodeGroup(bytesOf("01080900"))).toEqual(group);
  expect(hexOf(encodeGroup(prepared))).toBe("02080909ac0203010203");
  expect(decodeGroup(bytesOf("02080909ac0203010203"))).toEqual(prepared);
  expect(decodeGroup(bytesOf("0108090903010203"))).toEqual({ ...prepared, prepared: { ...prepared.prepared, run: 0 } });
});

test("a slice that passes over a record keeps it with its error, in version 2", () => {
  const state = {
    first: 1,
    next: 2,
    attempted: 3,
    end: 9,
    skip: { offset: 4, failures: 5, atMs: 300, code: "AB", message: "no", record: Uint8Array.of(7) },
  };
  expect(hexOf(encodeSlice(state))).toBe("02010203090405ac02024142026e6f0107");
  expect(decodeSlice(encodeSlice(state))).toEqual(state);
});

test("another version is refused", () => {
  expect(() => decodeSlice(bytesOf("0305"))).toThrow(/version 3 is not known/);
  expect(() => decodeGroup(bytesOf("ff"))).toThrow(/not known to this release/);
});
