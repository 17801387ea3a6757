// Guards the scheduler's fairness: a flood of one category must not starve the others, and a quiet category must not hoard precedence.
import { expect, test } from "bun:test";
import { clientJobs, flexLatencyJobs, JobFifo, lowLatencyJobs, RunQueue } from "../../../src/task/run-queue.ts";

const job = { run: () => undefined };

test("the category furthest below its share is served next", () => {
  const queue = new RunQueue();
  for (let i = 0; i < 10; i++) {
    queue.push(clientJobs, job);
    queue.push(flexLatencyJobs, job);
  }
  const taken: number[] = [];
  for (let i = 0; i < 9; i++) {
    const category = queue.pick();
    queue.take(category);
    queue.charge(category, 1);
    taken.push(category);
  }
  // client has twice the share of flexible work.
  expect(taken.filter((category) => category === clientJobs).length).toBe(6);
  expect(taken.filter((category) => category === flexLatencyJobs).length).toBe(3);
});

test("nothing waits: pick says so", () => {
  const queue = new RunQueue();
  expect(queue.pick()).toBe(-1);
  queue.push(lowLatencyJobs, job);
  expect(queue.pick()).toBe(lowLatencyJobs);
  queue.take(lowLatencyJobs);
  expect(queue.length).toBe(0);
});

test("shares can be set by name", () => {
  const queue = new RunQueue();
  queue.setShares({ "flex.latency": 3, client: 1 });
  queue.push(clientJobs, job);
  queue.push(flexLatencyJobs, job);
  queue.charge(clientJobs, 1);
  queue.charge(flexLatencyJobs, 2);
  expect(queue.pick()).toBe(flexLatencyJobs);
});

test("a fifo keeps order over compactions", () => {
  const fifo = new JobFifo<number>();
  const out: number[] = [];
  let next = 0;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 3000; i++) fifo.push(next++);
    for (let i = 0; i < 2000; i++) out.push(fifo.shift()!);
  }
  for (let item = fifo.shift(); item !== undefined; item = fifo.shift()) out.push(item);
  expect(out).toEqual(Array.from({ length: next }, (_, i) => i));
  expect(fifo.length).toBe(0);
});
