// Guards the end of a leader balancing: it must not go on for ever over leaders that stay, and must always end at rest.
import { expect, test } from "bun:test";
import { balancing, isBalancing, nextBalanceStep } from "../../../src/cluster/lifecycle/balance.ts";
import type { ModuleRecord } from "../../../src/protocol/cluster-records.ts";

const running: ModuleRecord = {
  name: "M",
  state: "[:running]",
  stateSinceMs: 0,
  instances: [],
  readTarget: "i",
  appendTarget: "i",
  options: [],
  dependsOn: [],
};
const record = balancing(running, 1_000);
const one = { group: 1, from: 0, to: 1 };
const two = { group: 2, from: 0, to: 2 };
const none: ReadonlySet<number> = new Set();

test("hand-overs follow each other until none is left; then the module is at rest", () => {
  expect(isBalancing(record)).toBe(true);
  const observed = { nowMs: 1_000, refused: none, done: 0 };
  expect(nextBalanceStep(record, { ...observed, switches: [one, two] })).toEqual({ kind: "handOver", of: one });
  expect(nextBalanceStep(record, { ...observed, switches: [], done: 2, nowMs: 2_000 })).toEqual({
    kind: "settle",
    record: { ...running, stateSinceMs: 2_000 },
    note: "2 task groups handed over",
  });
});

test("a leader that has refused is not asked again, and what is left when nobody is left to ask, or time is up, is told", () => {
  const refused = new Set([1]);
  const observed = { nowMs: 1_000, switches: [one, two], done: 0 };
  expect(nextBalanceStep(record, { ...observed, refused })).toEqual({ kind: "handOver", of: two });
  const ends = [
    { ...observed, switches: [one], refused },
    { ...observed, switches: [one], refused: none, nowMs: 200_000 },
  ];
  for (const end of ends)
    expect(nextBalanceStep(record, end)).toMatchObject({
      kind: "settle",
      note: "0 task groups handed over; as they were stay groups 1",
    });
});
