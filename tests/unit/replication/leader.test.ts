// Guards the rules by which a leader commits and changes its in-sync set: committed too early is data lost, a set changed too late is data lost.
import { expect, test } from "bun:test";
import { GroupLeader } from "../../../src/replication/leader.ts";

function leader(options: { inSync?: number[]; minInSync?: number; end?: number } = {}) {
  const { inSync = [0, 1, 2], minInSync = 2, end = 0 } = options;
  return new GroupLeader({
    self: 0,
    epoch: 1,
    members: [0, 1, 2],
    inSync,
    minInSync,
    end,
    durable: end,
    committed: 0,
    maxLagMs: 1_000,
    nowMs: 0,
  });
}

function write(of: GroupLeader, end: number, nowMs = 0): void {
  of.appended(end);
  of.sent(1, end);
  of.sent(2, end);
  of.synced(end, nowMs);
}

test("an entry is committed when the last in-sync member has confirmed it", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  write(group, 3);
  group.confirmed(1, 3, 0);
  expect(group.committed).toBe(0);
  group.confirmed(2, 2, 0);
  expect(group.committed).toBe(2);
  group.confirmed(2, 3, 0);
  expect(group.committed).toBe(3);
});

test("an entry that the leader itself has not synced is not committed", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  group.appended(1);
  group.sent(1, 1);
  group.sent(2, 1);
  group.confirmed(1, 1, 0);
  group.confirmed(2, 1, 0);
  expect(group.committed).toBe(0);
  group.synced(1, 0);
  expect(group.committed).toBe(1);
});

test("a laggard is committed past only after the metastore has the set without it", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  write(group, 1);
  group.confirmed(1, 1, 0);
  expect(group.wanted(999)).toBeUndefined();
  expect(group.wanted(1_000)).toEqual([0, 1]);
  group.asked([0, 1]);
  expect(group.committed).toBe(0);
  group.decided([0, 1], 1_001);
  expect(group.committed).toBe(1);
});

test("with too few members left nobody is removed, and the group is stalled until one answers", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  write(group, 1);
  expect(group.wanted(1_000)).toBeUndefined();
  expect(group.stalled).toBe(true);
  expect(group.committed).toBe(0);
  group.confirmed(2, 1, 1_100);
  expect(group.wanted(1_100)).toEqual([0, 2]);
  expect(group.stalled).toBe(false);
});

test("a member whose process is gone leaves at once", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  group.left(2, 5);
  expect(group.wanted(10)).toBeUndefined();
  group.gone(2, true);
  expect(group.wanted(10)).toEqual([0, 1]);
});

test("a member that returns is waited for as soon as its entry into the set is asked for", () => {
  const group = leader({ inSync: [0, 1] });
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  expect(group.wanted(0)).toEqual([0, 1, 2]);
  group.asked([0, 1, 2]);
  write(group, 1);
  group.confirmed(1, 1, 0);
  expect(group.committed).toBe(0);
  group.confirmed(2, 1, 0);
  expect(group.committed).toBe(1);
});

test("a member that lacks committed entries does not return", () => {
  const group = leader({ inSync: [0, 1] });
  group.joined(1, 0, 0);
  write(group, 5);
  group.confirmed(1, 5, 0);
  expect(group.committed).toBe(5);
  group.joined(2, 3, 0);
  expect(group.wanted(0)).toBeUndefined();
  group.sent(2, 5);
  group.confirmed(2, 5, 0);
  expect(group.wanted(0)).toEqual([0, 1, 2]);
});

test("a new leader serves when everything that it found is committed", () => {
  const group = leader({ end: 4 });
  expect(group.serves).toBe(false);
  group.joined(1, 4, 0);
  expect(group.committed).toBe(0);
  group.joined(2, 2, 0);
  expect(group.committed).toBe(2);
  expect(group.serves).toBe(false);
  group.sent(2, 4);
  group.confirmed(2, 4, 0);
  expect(group.serves).toBe(true);
});

test("a set below the minimum commits nothing, although all of it has confirmed", () => {
  const group = leader({ inSync: [0], minInSync: 2 });
  write(group, 1);
  expect(group.committed).toBe(0);
  group.wanted(0);
  expect(group.stalled).toBe(true);
});

test("confirming what was never sent is impossible", () => {
  const group = leader();
  group.joined(1, 0, 0);
  expect(() => group.confirmed(1, 7, 0)).toThrow("confirms 7");
});

test("a group is handed over when its successor, in sync and there, has all that was appended and all is committed", () => {
  const group = leader({ inSync: [0, 1] });
  expect(group.refusalOf(1)).toBe("it is not connected");
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  expect(group.isLevel(1)).toBe(true);
  expect(group.refusalOf(2)).toBe("it is not in sync");
  expect(group.refusalOf(0)).toBe("it is no other replica of the group");
  group.appended(2);
  group.sent(1, 2);
  group.confirmed(1, 2, 0);
  expect(group.isLevel(1)).toBe(false);
  group.synced(2, 0);
  expect(group.isLevel(1)).toBe(true);
  group.asked([0, 1, 2]);
  expect(group.isLevel(1)).toBe(false);
  group.decided([0, 1], 0);
  group.gone(1, true);
  expect(group.refusalOf(1)).toBe("it is not in sync");
});

test("a member that has lost what it confirmed leaves the set at once, and returns when it has it again", () => {
  const group = leader();
  group.joined(1, 0, 0);
  group.joined(2, 0, 0);
  write(group, 3);
  group.confirmed(1, 3, 0);
  group.confirmed(2, 3, 0);
  expect(group.wanted(1)).toBeUndefined();
  group.left(2, 1);
  group.joined(2, 0, 1);
  expect(group.committed).toBe(3);
  expect(group.wanted(1)).toEqual([0, 1]);
  group.asked([0, 1]);
  group.decided([0, 1], 2);
  group.sent(2, 3);
  group.confirmed(2, 3, 3);
  expect(group.wanted(3)).toEqual([0, 1, 2]);
});
