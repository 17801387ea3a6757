// A replicated task group under kills, power cuts, cuts of the network, lost sessions and outages (replication.ts has the rules). More seeds:
// `bun tests/simulation/replication.ts FROM TO`.
import { expect, test } from "bun:test";
import { runSeed } from "./replication.ts";

const seeds = 40;

test(`nothing acknowledged is lost, nothing visible disappears, one leader serves per epoch, in ${seeds} histories of faults`, async () => {
  const sums: Record<string, number> = {};
  for (let seed = 1; seed <= seeds; seed++) {
    for (const [key, value] of Object.entries(await runSeed(seed))) sums[key] = (sums[key] ?? 0) + value;
  }
  // Each of these must have happened, or the histories prove nothing.
  for (const [what, count] of Object.entries(sums)) expect(`${what} ${count > 0}`).toBe(`${what} true`);
}, 60_000);
