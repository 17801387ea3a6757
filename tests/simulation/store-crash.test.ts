// A store under random appends, flushes, kills and power cuts (store-crash.ts has the rules). More seeds: `bun tests/simulation/store-crash.ts FROM TO`.
import { expect, test } from "bun:test";
import { runSeed } from "./store-crash.ts";

const seeds = 150;

test(`nothing acknowledged is lost, doubled or reordered by ${seeds} histories of crashes`, async () => {
  const sums: Record<string, number> = {};
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [key, value] of Object.entries(await runSeed(seed))) sums[key] = (sums[key] ?? 0) + value;
  }
  // Each of these must have happened, or the histories prove nothing.
  for (const [what, count] of Object.entries(sums)) expect(`${what} ${count > 0}`).toBe(`${what} true`);
}, 60_000);
