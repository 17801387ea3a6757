// Guards the back-off of failed records and the order in which they come back.
import { expect, test } from "bun:test";
import { combineReturns } from "../../../src/topology/stream/ack-returns.ts";
import { defaultRetryDelays, retryDelayMs, RetryQueue } from "../../../src/topology/stream/retry.ts";

test("the wait doubles from 50 ms to 5 s and stays there", () => {
  const waits = [1, 2, 3, 4, 7, 8, 100].map((failures) => retryDelayMs(failures, defaultRetryDelays));
  expect(waits).toEqual([50, 100, 200, 400, 3200, 5000, 5000]);
});

test("failed records come back by time, those of one time in order of failing", () => {
  const queue = new RetryQueue<string>();
  queue.add("late", 30);
  queue.add("first", 10);
  queue.add("second", 10);
  expect(queue.nextDueMs).toBe(10);
  expect(queue.due(9)).toEqual([]);
  expect(queue.due(10)).toEqual(["first", "second"]);
  expect(queue.due(100)).toEqual(["late"]);
  expect(queue.nextDueMs).toBeUndefined();
});

test("of several returned values the last stays, unless an aggregator combines them", () => {
  expect(combineReturns(undefined, [])).toBeNull();
  expect(combineReturns(undefined, [1, 2, 3])).toBe(3);
  expect(combineReturns({ combine: (a: number, b: number) => a + b, zeroVal: () => 0 }, [1, 2, 3])).toBe(6);
  const list = { initVal: () => [], accumulate: (all: number[], value: number) => [...all, value] };
  expect(combineReturns(list, [1, 2])).toEqual([1, 2]);
});
