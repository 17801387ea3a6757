// Positions of a group's replog: applied ≤ committed ≤ durable ≤ end, and effects in the order of offsets, once.
import { expect, test } from "bun:test";
import { DEPOT_APPEND as depotAppendKind } from "../../../src/depot/append-entry.ts";
import * as entry from "../../../src/replication/entry.ts";
import { GroupReplog } from "../../../src/replication/replog.ts";

function playedLog() {
  const entries: string[] = [];
  return {
    entries,
    get end() {
      return entries.length;
    },
    append(kind: number, group: number, epoch: number, offset: number, parts: readonly Uint8Array[]) {
      entries.push(`${kind} ${group} ${epoch} ${offset} ${parts.length}`);
    },
  };
}

const positions = ({ applied, committed, durable, end }: GroupReplog) => [applied, committed, durable, end];

test("entries get the next offset and are applied in order when they are durable", () => {
  const log = playedLog();
  const replog = new GroupReplog({ group: 3, log, epoch: 2, end: 10 });
  const applied: number[] = [];
  expect(replog.append(1, [], () => applied.push(10))).toBe(10);
  expect(replog.append(2, [new Uint8Array(1)], () => applied.push(11))).toBe(11);
  expect(positions(replog)).toEqual([10, 10, 10, 12]);
  expect(log.entries).toEqual(["1 3 2 10 0", "2 3 2 11 1"]);
  replog.durableUpTo(1);
  expect({ applied, at: positions(replog) }).toEqual({ applied: [10], at: [11, 11, 11, 12] });
  replog.durableUpTo(2);
  expect({ applied, at: positions(replog) }).toEqual({ applied: [10, 11], at: [12, 12, 12, 12] });
});

test("two groups on one log count in its numbers, each in its own offsets", () => {
  const log = playedLog();
  const [a, b] = [0, 1].map((group) => new GroupReplog({ group, log, epoch: 1, end: 0 })) as [GroupReplog, GroupReplog];
  const order: string[] = [];
  a.append(1, [], () => order.push("a0"));
  b.append(1, [], () => order.push("b0"));
  a.append(1, [], () => order.push("a1"));
  let advances = 0;
  a.onAdvance = () => advances++;
  for (const upTo of [2, 2, 3]) {
    a.durableUpTo(upTo);
    b.durableUpTo(upTo);
  }
  expect(order).toEqual(["a0", "b0", "a1"]);
  expect(advances).toBe(2);
});

test("an effect may append; what it appends waits for its own durability", () => {
  const log = playedLog();
  const replog = new GroupReplog({ group: 0, log, epoch: 1, end: 0 });
  const applied: string[] = [];
  replog.append(1, [], () => {
    applied.push("first");
    replog.append(1, [], () => applied.push("second"));
  });
  replog.durableUpTo(1);
  expect({ applied, at: positions(replog) }).toEqual({ applied: ["first"], at: [1, 1, 1, 2] });
  replog.durableUpTo(2);
  expect(applied).toEqual(["first", "second"]);
});

test("an effect that makes entries durable itself is a bug", () => {
  const replog = new GroupReplog({ group: 0, log: playedLog(), epoch: 1, end: 0 });
  replog.append(1, [], () => replog.durableUpTo(1));
  expect(() => replog.durableUpTo(1)).toThrow("applied from within an apply");
});

test("thousands of entries pass through; the queue does not grow", () => {
  const log = playedLog();
  const replog = new GroupReplog({ group: 0, log, epoch: 1, end: 0 });
  let applied = 0;
  for (let i = 1; i <= 5000; i++) {
    replog.append(1, [], () => applied++);
    replog.durableUpTo(i - 3);
  }
  expect({ applied, end: replog.end }).toEqual({ applied: 4997, end: 5000 });
});

test("kinds are these numbers, each with a name", () => {
  const { entryKindNames, ...kinds } = entry;
  expect(kinds).toEqual({
    DEPOT_APPEND: 1,
    TURN: 2,
    PSTATE_WRITES: 3,
    STREAM_PROGRESS: 4,
    MICROBATCH_PREPARE: 5,
    MICROBATCH_DECIDE: 6,
    MICROBATCH_ABORT: 7,
    EPOCH_BEGINS: 8,
    DEPOT_CONTROL: 9,
  });
  expect(depotAppendKind).toBe(entry.DEPOT_APPEND);
  expect(Object.keys(entryKindNames).map(Number)).toEqual(Object.values(kinds).sort());
});
