// Guards the election: who is not in sync must not lead, and a restarted process does not lead by what its predecessor was given.
import { expect, test } from "bun:test";
import {
  candidateOf,
  electedRecord,
  firstRecord,
  type GroupRecord,
  handedOver,
  minInSyncOf,
} from "../../../src/replication/group-record.ts";

const live = (...of: [number, string][]) => new Map(of);
const led: GroupRecord = { epoch: 3, leader: 0, leaderLife: "a", members: [0, 1, 2], inSync: [0, 1] };

test("nobody stands while the leader's process lives", () => {
  expect(candidateOf(led, live([0, "a"], [1, "b"]))).toBeUndefined();
});

test("a leader that was started again has to be elected again", () => {
  expect(candidateOf(led, live([0, "a2"], [1, "b"]))).toBe(0);
});

test("only in-sync members stand, the preferred first, an excluded one when there is no other", () => {
  expect(candidateOf(led, live([1, "b"], [2, "c"]))).toBe(1);
  expect(candidateOf(led, live([2, "c"]))).toBeUndefined();
  expect(candidateOf(firstRecord([2, 0, 1]), live([0, "a"], [1, "b"], [2, "c"]))).toBe(2);
  expect(candidateOf(led, live([0, "x"], [1, "b"]), new Set([0]))).toBe(1);
  expect(candidateOf(led, live([0, "x"]), new Set([0]))).toBe(0);
});

test("the former leader leaves the set at an election where enough are left, members that are not seen stay", () => {
  const record: GroupRecord = { ...led, inSync: [0, 1, 2] };
  const here = live([1, "b"], [2, "c"]);
  expect(electedRecord(record, here, 1, { minInSync: 2 })).toEqual({
    ...record,
    epoch: 4,
    leader: 1,
    leaderLife: "b",
    inSync: [1, 2],
  });
  expect(electedRecord(record, live([1, "b"]), 1, { minInSync: 2 }).inSync).toEqual([1, 2]);
  expect(electedRecord(record, here, 1, { minInSync: 3 }).inSync).toEqual([0, 1, 2]);
});

test("the minimum is one less than the replicas unless it is set, and never outside of them", () => {
  expect([1, 2, 3].map((rf) => minInSyncOf(undefined, rf))).toEqual([1, 1, 2]);
  expect([minInSyncOf(9, 3), minInSyncOf(0, 3), minInSyncOf(1, 3)]).toEqual([3, 1, 1]);
});

test("a leader hands over to a live member that is in sync, and leaves the set itself where enough are left", () => {
  const record: GroupRecord = { ...led, inSync: [0, 1, 2] };
  const here = live([0, "a"], [1, "b"], [2, "c"]);
  const next = { ...record, epoch: 4, leader: 1, leaderLife: "b" };
  expect(handedOver(record, here, 1, { minInSync: 2 })).toEqual({ ...next, inSync: [1, 2] });
  expect(handedOver(record, here, 1, { minInSync: 3 })).toEqual(next);
  expect(handedOver(record, here, 0, { minInSync: 2 })).toBeUndefined();
  expect(handedOver(led, here, 2, { minInSync: 1 })).toBeUndefined();
  expect(handedOver(record, live([0, "a"], [2, "c"]), 1, { minInSync: 2 })).toBeUndefined();
});
