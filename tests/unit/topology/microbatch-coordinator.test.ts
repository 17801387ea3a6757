// The order of a microbatch's steps, when one may begin, and what a failure does to it. Guards the decisions that crash tests can only sample.
import { expect, test } from "bun:test";
import { Coordinator } from "../../../src/topology/microbatch/coordinator.ts";

const wanted = { work: false, forceDelayMs: 0, idleMs: 1000 };
const make = (others: number[] = [], committed = 0) =>
  new Coordinator({ others, committed, retryDelayMs: (failures) => 50 * failures });

/** One microbatch to its end, `others` answering at once. */
function complete(coordinator: Coordinator, nowMs: number, others: readonly number[] = []): void {
  coordinator.begin(nowMs);
  for (const group of others) coordinator.done("prime", group);
  coordinator.process(nowMs);
  coordinator.prepare(nowMs);
  for (const group of others) coordinator.done("prepare", group);
  coordinator.decide(nowMs);
  coordinator.decided(nowMs);
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
  expect(() => coordinator.decide(3)).toThrow(/before all are prepared/);
  expect(coordinator.done("prepare", 1)).toBe(false);
  expect(coordinator.done("prepare", 3)).toBe(true);
  coordinator.decide(3);
  expect(coordinator.sinceMs).toBe(3);
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
  coordinator.prepare(0);
  coordinator.decide(0);
  expect(coordinator.failed(0)).toBe(false);
  expect(coordinator.phase).toBe("decide");
});

test("paused, nothing begins; what runs goes on", () => {
  const coordinator = make();
  coordinator.begin(0);
  coordinator.paused = true;
  coordinator.process(0);
  coordinator.prepare(0);
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
