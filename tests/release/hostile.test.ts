// A slice of `npm run hostile`: frames of our own protocols, whole and damaged, at every port of the compiled executable, beside good clients. Guards against what a stranger can
// send: no process ends, memory and descriptors are bounded, nobody else loses anything.
import { expect, test } from "bun:test";
import { hostile } from "../../scripts/hostile/run.ts";

test("a hundred thousand hostile frames at all ports end no process and cost no good client anything", async () => {
  const seed = Math.floor(Math.random() * 1_000_000);
  const result = await hostile({ frames: 100_000, seed, log: () => {} });
  expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] });
  expect(result.appends).toBeGreaterThan(10);
  expect([...result.ports.values()].every(({ answers, connections }) => answers + connections > 0)).toBe(true);
}, 300_000);
