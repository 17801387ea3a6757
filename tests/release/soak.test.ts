// A short soak (`npm run soak` is the long one): random faults on three nodes with a module of one replica and one of three, checked by the same oracles. Guards the script as
// much as the product: what it finds in half an hour must not be its own mistake.
import { expect, test } from "bun:test";
import { slope } from "../../scripts/soak/meters.ts";
import { soak } from "../../scripts/soak/run.ts";

test("kills and stops of random processes lose nothing, count nothing twice, and all goes on after each", async () => {
  const lines: string[] = [];
  const seed = Math.floor(Math.random() * 1_000_000);
  const result = await soak({ faultsMs: 25_000, calmMs: 3_000, seed, log: (line) => lines.push(line) });
  const told = { violations: result.violations, seed, lines, logs: result.logs };
  expect(told).toEqual({ violations: [], seed, lines, logs: undefined });
  expect(result.faults.length).toBeGreaterThan(0);
  expect(result.records).toBeGreaterThan(1_000);
}, 300_000);

test("the slope of memory is that of the least squares' line", () => {
  expect(slope([])).toBe(0);
  expect(slope([[1, 5]])).toBe(0);
  expect(slope([0, 1, 2, 3].map((x) => [x, 2 * x + 7]))).toBeCloseTo(2);
  expect(
    slope([
      [0, 0],
      [1, 4],
      [2, 2],
    ]),
  ).toBeCloseTo(1);
});
