// The order of a microbatch's steps, when one may begin, and what a failure does to it. Guards the decisions that crash tests can only sample.
import { expect, test } from "bun:test";
import { Coordinator, ownGroups } from "../../../src/topology/microbatch/coordinator.ts";

const wanted = { work: false, forceDelayMs: 0, idleMs: 1000 };
const make = (others: number[] = [], committed = 0) =>
  new Coordinator({ others, committed, retryDelayMs: (failures) => 50 * failures });

/** One microbatch to its end, `others` answering at once. */
function complete(coordinator: Coordinator, nowMs: number, others: readonly number[] = []): void {
  coordinator.begin(nowMs);
  for (const group of others) coordinator.done("prime", group);
  coordinator.process(nowMs);
  if (others.length === 0) {
    coordinator.decide(nowMs);
    coordinator.decided(nowMs);
    return;
  }
  coordinator.prepare(nowMs);
  for (const group of [ownGroups, ...others]) coordinator.done("prepare", group);
  coordinator.allPrepared(nowMs);
}

test("the first microbatch runs in any case, later ones with work or after the idle time", () => {
  const coordinator = make();
  expect(coordinator.mayBegin(0, wanted)).toBe(true);
  complete(coordinator, 10);
  expect(coordinator.mayBegin(10, wanted)).toBe(1010);
  expect(coordinator.mayBegin(1010, wanted)).toBe(true);
  expect(coordinator.mayBegin(10, { ...wanted, work: true })).toBe(true);
  expect(coordinator.mayBegin(10, { ...wanted, work: true, forceDelayMs: 5 })).toBe(15);
});

test("numbers go on from what is committed, one by one", () => {
  const coordinator = make([], 7);
  expect(coordinator.id).toBe(8);
  complete(coordinator, 0);
  expect([coordinator.committed, coordinator.id, coordinator.phase]).toEqual([8, 9, "idle"]);
});

test("a phase waits for every other group", () => {
  const coordinator = make([1, 3]);
  coordinator.begin(0);
  expect(coordinator.done("prime", undefined)).toBe(false);
  expect(coordinator.done("prime", 1)).toBe(false);
  expect(coordinator.done("prepare", 3)).toBe(false);
  expect(coordinator.done("prime", 3)).toBe(true);
  coordinator.process(1);
  expect(coordinator.done("prime", 1)).toBe(false);
  coordinator.prepare(2);
  expect(coordinator.done("prepare", undefined)).toBe(false);
  expect(() => coordinator.allPrepared(3)).toThrow(/before all are prepared/);
  expect(coordinator.done("prepare", 1)).toBe(false);
  expect(coordinator.done("prepare", 3)).toBe(false);
  expect(coordinator.waiting).toEqual([ownGroups]);
  expect(coordinator.done("prepare", ownGroups)).toBe(true);
  coordinator.allPrepared(3);
  expect([coordinator.committed, coordinator.phase]).toEqual([1, "idle"]);
});

test("what failed is the same microbatch again, after a growing pause", () => {
  const coordinator = make();
  coordinator.begin(0);
  coordinator.process(0);
  expect(coordinator.failed(100)).toBe(true);
  expect([coordinator.id, coordinator.failures]).toEqual([1, 1]);
  expect(coordinator.mayBegin(100, { ...wanted, work: true })).toBe(150);
  expect(coordinator.mayBegin(150, wanted)).toBe(true);
  coordinator.begin(150);
  expect(coordinator.failed(150)).toBe(true);
  expect(coordinator.mayBegin(150, wanted)).toBe(250);
  complete(coordinator, 250);
  expect([coordinator.committed, coordinator.failures]).toEqual([1, 0]);
});

test("a decision cannot fail, and when nothing runs nothing does", () => {
  const coordinator = make();
  expect(coordinator.failed(0)).toBe(false);
  coordinator.begin(0);
  coordinator.process(0);
  coordinator.decide(0);
  expect(coordinator.failed(0)).toBe(false);
  expect(coordinator.phase).toBe("decide");
});

test("paused, nothing begins; what runs goes on", () => {
  const coordinator = make();
  coordinator.begin(0);
  coordinator.paused = true;
  coordinator.process(0);
  coordinator.decide(0);
  coordinator.decided(0);
  expect(coordinator.mayBegin(5000, { ...wanted, work: true })).toBe(undefined);
  coordinator.paused = false;
  expect(coordinator.mayBegin(5000, wanted)).toBe(true);
});

test("steps out of order are assertions", () => {
  const coordinator = make();
  expect(() => coordinator.process(0)).toThrow(/processed in phase idle/);
  coordinator.begin(0);
  expect(() => coordinator.begin(0)).toThrow(/begins in phase prime/);
  expect(() => coordinator.decide(0)).toThrow(/decided in phase prime/);
});

test("a coordinator that restarts with its own groups prepared asks all others: prepared in the same run, it was decided", () => {
  const coordinator = make([1, 3], 7);
  coordinator.recover(70, 0);
  expect(coordinator.mayBegin(0, { ...wanted, work: true })).toBe(undefined);
  expect(coordinator.failed(0)).toBe(false);
  expect(coordinator.answered(1, { committed: 7, prepared: 8, run: 70 }, 1)).toBe("waits");
  expect(coordinator.waiting).toEqual([3]);
  expect(coordinator.answered(3, { committed: 7, prepared: 8, run: 70 }, 2)).toBe("committed");
  expect([coordinator.committed, coordinator.phase]).toEqual([8, "idle"]);
});

test("one that has committed it is enough; one that has not prepared that run ends it", () => {
  const first = make([1, 3], 7);
  first.recover(70, 0);
  expect(first.answered(3, { committed: 8, prepared: 0, run: 0 }, 1)).toBe("committed");
  for (const position of [
    { committed: 7, prepared: 0, run: 0 },
    { committed: 7, prepared: 8, run: 69 },
  ]) {
    const second = make([1, 3], 7);
    second.recover(70, 0);
    expect(second.answered(1, { committed: 7, prepared: 8, run: 70 }, 1)).toBe("waits");
    expect(second.answered(3, position, 1)).toBe("aborted");
    expect([second.committed, second.phase]).toEqual([7, "idle"]);
    expect(second.answered(1, { committed: 7, prepared: 8, run: 70 }, 1)).toBe("waits");
  }
});
