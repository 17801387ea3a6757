import { expect, test } from "bun:test";
import { Coverage } from "../../../src/pstate/coverage.ts";
import { keyEnd, keyStart } from "../../../src/pstate/layout.ts";

const key = (i: number): string => `k${String(i).padStart(6, "0")}`;

test("what is born in memory is covered as a whole until an element leaves", () => {
  const coverage = new Coverage(true);
  expect(coverage.contains(key(5))).toBe(true);
  coverage.cut(key(5));
  expect(coverage.complete).toBe(false);
  expect(coverage.contains(key(5))).toBe(false);
  expect(coverage.contains(key(4))).toBe(true);
  expect(coverage.contains(key(6))).toBe(true);
});

test("however many elements leave, keys beyond all of them stay covered, on both sides", () => {
  const coverage = new Coverage(true);
  for (let i = 0; i < 5000; i++) coverage.cut(key(100_000 + ((i * 7919) % 5000)));
  expect(coverage.contains(key(1))).toBe(true);
  expect(coverage.contains(key(900_000))).toBe(true);
  for (let i = 0; i < 5000; i++) expect(coverage.contains(key(100_000 + i))).toBe(false);
});

test("what is forgotten for want of room is never an element that left", () => {
  const coverage = new Coverage(true);
  const gone = new Set<number>();
  for (let i = 0; i < 600; i++) {
    const at = (i * 104_729) % 10_007;
    coverage.cut(key(at));
    gone.add(at);
    if (i % 10 === 0) {
      coverage.add(key(at - 3), key(at + 3));
      for (let back = at - 3; back < at + 3; back++) gone.delete(back);
    }
    if (i % 20 > 0) continue;
    for (const each of gone) if (coverage.contains(key(each))) throw new Error(`${each} has left and is covered`);
  }
  expect(gone.size).toBeGreaterThan(300);
});

test("a whole that is read is complete again", () => {
  const coverage = new Coverage(true);
  coverage.cut(key(1));
  coverage.add(keyStart, keyEnd);
  expect(coverage.complete).toBe(true);
});
