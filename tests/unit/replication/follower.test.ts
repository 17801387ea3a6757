// Guards the fence and the truncation: a follower that listens to an old leader, or keeps what no leader has, makes replicas differ.
import { expect, test } from "bun:test";
import { commonEnd, EpochRuns } from "../../../src/replication/epoch-runs.ts";
import { GroupFollower } from "../../../src/replication/follower.ts";

const runs = (end: number, ...of: [epoch: number, start: number][]) =>
  new EpochRuns(
    end,
    of.map(([epoch, start]) => ({ epoch, start })),
  );

test("a leader of a lower epoch than the log's last entry is not listened to, even after a restart", () => {
  const follower = new GroupFollower({ log: runs(5, [1, 0], [3, 4]), applied: 2 });
  expect(follower.greeted(2)).toBe(false);
  expect(follower.greeted(3)).toBe(true);
  expect(follower.greeted(4)).toBe(true);
  expect(follower.greeted(3)).toBe(false);
});

test("entries are taken over an agreement only, without gaps, each once", () => {
  const follower = new GroupFollower({ log: runs(0), applied: 0 });
  follower.greeted(1);
  expect(follower.entries(1, 0, 1)).toEqual({ kind: "stale" });
  follower.agreed(1, 0);
  expect(follower.entries(1, 0, 2)).toEqual({ kind: "take", skip: 0 });
  follower.append(1);
  follower.append(1);
  expect(follower.entries(1, 1, 3)).toEqual({ kind: "take", skip: 1 });
  expect(follower.entries(1, 5, 1)).toEqual({ kind: "gap" });
  follower.greeted(2);
  expect(follower.entries(1, 2, 1)).toEqual({ kind: "stale" });
});

test("what a later leader does not have is taken back, and durable with it", () => {
  const follower = new GroupFollower({ log: runs(6, [1, 0]), applied: 2 });
  follower.greeted(2);
  follower.agreed(2, 4);
  expect([follower.end, follower.durable, follower.committed]).toEqual([4, 4, 2]);
});

test("what is applied is never taken back", () => {
  const follower = new GroupFollower({ log: runs(6, [1, 0]), applied: 5 });
  follower.greeted(2);
  expect(() => follower.agreed(2, 4)).toThrow("take back what is applied");
});

test("committed entries that have not come yet are not applied", () => {
  const follower = new GroupFollower({ log: runs(2, [1, 0]), applied: 0 });
  follower.greeted(1);
  follower.agreed(1, 2);
  expect(follower.committedUpTo(1, 9)).toBe(true);
  expect(follower.committed).toBe(2);
});

test("two logs agree up to the last offset at which the epochs are the same", () => {
  const old = runs(10, [1, 0], [2, 6]);
  expect(commonEnd(runs(8, [1, 0], [3, 7]), old, 0)).toBe(6);
  expect(commonEnd(runs(12, [1, 0], [2, 6], [3, 9]), old, 0)).toBe(9);
  expect(commonEnd(runs(4, [1, 0]), old, 0)).toBe(4);
  expect(commonEnd(runs(9, [3, 5]), runs(9, [2, 5]), 5)).toBe(5);
  expect(commonEnd(runs(5), runs(5), 5)).toBe(5);
});

test("runs forget what is applied and shrink with a cut", () => {
  const log = runs(10, [1, 0], [2, 6]);
  log.forget(7);
  expect(log.runs).toEqual([{ epoch: 2, start: 6 }]);
  log.truncate(6);
  expect([log.end, log.lastEpoch]).toEqual([6, 0]);
  log.append(4, 2);
  expect(log.epochAt(7)).toBe(4);
});
