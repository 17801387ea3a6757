// What waits for the engine thread, in the five categories of the scheduler. The thread measures the time that each category took and takes next from
// the one furthest below its share; shares matter only while several categories wait. Pure: the caller tells how long each job took.
import { assert } from "../base/assert.ts";

export const jobCategories = ["isr.replication", "client", "low.latency", "flex.latency", "mirror.client"] as const;
export type JobCategory = (typeof jobCategories)[number];

/** Index in `jobCategories`. */
export const replicationJobs = 0;
export const clientJobs = 1;
export const lowLatencyJobs = 2;
export const flexLatencyJobs = 3;
export const mirrorJobs = 4;

/** One piece of work. A promise means that it waits for pages from disk and wants to be run again when it resolves. */
export interface Job {
  run(): Promise<void> | undefined;
}

/** Equal shares but for the flexible work, which may wait. */
const defaultShares: readonly number[] = [0.3, 0.3, 0.3, 0.15, 0.1];

/** Past this much measured time all times are halved, so that a quiet hour does not earn an hour of precedence. */
const decayMs = 200;

/** FIFO whose head moves; compacted when the dead part outweighs the rest. */
export class JobFifo<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  forEach(visit: (item: T) => void): void {
    for (let i = this.#head; i < this.#items.length; i++) visit(this.#items[i]!);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined as T;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

export class RunQueue {
  readonly #queues = jobCategories.map(() => new JobFifo<Job>());
  readonly #used: number[] = jobCategories.map(() => 0);
  #shares: readonly number[] = defaultShares;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Wanted proportions by category name; missing ones keep their default. */
  setShares(shares: Readonly<Partial<Record<JobCategory, number>>>): void {
    this.#shares = jobCategories.map((name, i) => Math.max(shares[name] ?? defaultShares[i]!, 0.001));
  }

  waiting(category: number): number {
    return this.#queues[category]!.length;
  }

  push(category: number, job: Job): void {
    this.#queues[category]!.push(job);
    this.#length++;
  }

  /** The category to serve next, or -1 when nothing waits. */
  pick(): number {
    let best = -1;
    let bestScore = 0;
    for (let i = 0; i < this.#queues.length; i++) {
      if (this.#queues[i]!.length === 0) continue;
      const score = this.#used[i]! / this.#shares[i]!;
      if (best < 0 || score < bestScore) {
        best = i;
        bestScore = score;
      }
    }
    return best;
  }

  take(category: number): Job {
    const job = this.#queues[category]!.shift();
    assert(job !== undefined, `run queue: category ${category} is empty`);
    this.#length--;
    return job;
  }

  /** Tells how long a job of `category` held the thread. */
  charge(category: number, ms: number): void {
    const used = this.#used;
    used[category]! += ms;
    let sum = 0;
    for (const each of used) sum += each;
    if (sum > decayMs) for (let i = 0; i < used.length; i++) used[i]! /= 2;
  }
}
