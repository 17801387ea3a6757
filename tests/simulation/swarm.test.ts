// A slice of `npm run sim`: a few fixed seeds, and fresh ones each time, whose numbers are in the name of what fails. RAMA_SIM_SEEDS and RAMA_SIM_FROM make it longer or
// repeat it.
import { expect, test } from "bun:test";
import { planOf } from "../../src/simulation/swarm/plan.ts";
import { runPlan } from "../../src/simulation/swarm/run.ts";

const chaosMs = 6_000;
const seeds = Number(process.env["RAMA_SIM_SEEDS"] ?? 8);
const from = Number(process.env["RAMA_SIM_FROM"] ?? 1_000_000 + (process.pid % 1_000) * 1_000);

async function problemOf(seed: number): Promise<string> {
  const { problem } = await runPlan(planOf(seed, { chaosMs }));
  return problem === undefined ? "" : `npm run sim -- --seed ${seed} --chaos ${chaosMs / 1_000} --log: ${problem}`;
}

for (const seed of [3, 11, 17, 26]) {
  test(`a cluster under faults is whole again after healing (seed ${seed})`, async () => {
    expect(await problemOf(seed)).toBe("");
  }, 60_000);
}

for (let seed = from; seed < from + seeds; seed++) {
  test(`a cluster under faults is whole again after healing (fresh seed ${seed})`, async () => {
    expect(await problemOf(seed)).toBe("");
  }, 60_000);
}

test("an event that waited for a moved task group is not counted after a later run of its record (seed 157)", async () => {
  expect((await runPlan(planOf(157, { chaosMs: 10_000 }))).problem).toBeUndefined();
}, 60_000);

test("a plan is drawn from its seed alone, and a run of it is the same each time", async () => {
  const plan = planOf(12, { chaosMs: 3_000 });
  expect(planOf(12, { chaosMs: 3_000 })).toEqual(plan);
  const { traceHash } = await runPlan(plan);
  expect((await runPlan(plan)).traceHash).toBe(traceHash);
}, 60_000);
