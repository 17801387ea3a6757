// Time, chance and turns of a simulated cluster: all from one seed. Nothing happens unless `run` or `advance` is called; then timers fire in the order of
// their time (those of one time in the order in which they were set), each in a turn of its own, after which all promises that can go on have gone on.
//
// What ran is folded into a hash: two runs of one seed must have the same, or something took time or chance from elsewhere.
import type { Env, LogLevel, Timer } from "../base/env.ts";
import { realTurn, sleepWith } from "../base/env-system.ts";
import { messageOf } from "../base/errors.ts";
import { LineLog } from "../base/log.ts";

export interface SimulatedEnvOptions {
  readonly seed: number;
  /** Epoch milliseconds at the start. Default 2026-01-01. */
  readonly startMs?: number;
  readonly sink?: (line: string) => void;
  readonly logLevel?: LogLevel;
  /** Default: the failures are kept and thrown at the end of `run`. */
  readonly onFailure?: (name: string, error: unknown) => void;
  /** What a turn takes: with 0 a program that waits by turns for time to pass waits for ever. Default 0. */
  readonly turnMs?: number;
}

interface Scheduled {
  readonly dueMs: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

const defaultStartMs = Date.UTC(2026, 0, 1);

export class SimulatedEnv implements Env {
  readonly log: LineLog;
  readonly seed: number;
  /** Failures that nobody awaited. */
  readonly failures: { readonly name: string; readonly error: unknown }[] = [];
  readonly #options: SimulatedEnvOptions;
  readonly #startMs: number;
  #nowMs = 0;
  #order = 0;
  readonly #heap: Scheduled[] = [];
  #turns: (() => void)[] = [];
  #state: number;
  #external = 0;
  #hash = 0x811c9dc5;
  #events = 0;

  constructor(options: SimulatedEnvOptions) {
    this.#options = options;
    this.seed = options.seed;
    this.#state = options.seed >>> 0;
    this.#startMs = options.startMs ?? defaultStartMs;
    this.log = new LineLog({
      level: options.logLevel ?? "info",
      now: () => this.now(),
      sink: (line) => this.logLine(line),
    });
  }

  // Env

  now(): number {
    return this.#startMs + Math.floor(this.#nowMs);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  readonly setTimer = (delayMs: number, fn: () => void): Timer => {
    const scheduled: Scheduled = { dueMs: this.#nowMs + Math.max(0, delayMs), order: ++this.#order, fn };
    push(this.#heap, scheduled);
    return {
      cancel: () => {
        scheduled.fn = undefined;
      },
    };
  };

  nextTurn(fn: () => void): void {
    this.#turns.push(fn);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<boolean> {
    return sleepWith(this.setTimer, delayMs, signal);
  }

  /** Mulberry32. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  randomBytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.random() * 256;
    return bytes;
  }

  spawn(name: string, fn: () => Promise<void>): void {
    let running: Promise<void>;
    try {
      running = fn();
    } catch (error) {
      this.fail(name, error);
      return;
    }
    running.then(undefined, (error: unknown) => this.fail(name, error));
  }

  // For whoever drives the simulation

  /** A line of a log in this world. Stacks are left out of the hash. */
  logLine(line: string): void {
    const end = line.indexOf("\\n    at ");
    this.trace(end < 0 ? line : line.slice(0, end));
    this.#options.sink?.(line);
  }

  /** Folds a line into the hash. */
  trace(text: string): void {
    this.#events++;
    let hash = this.#hash;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    this.#hash = hash >>> 0;
  }

  /** Of all that has run: turns, timers with their times, log lines, traces. */
  get traceHash(): string {
    return `${this.#hash.toString(16).padStart(8, "0")}-${this.#events}`;
  }

  /** Time goes by while somebody works: what is due meanwhile is late. */
  spend(ms: number): void {
    this.#nowMs += ms;
  }

  /** Nothing else happens until the promise has settled: for work of the real world (a body that is read) inside the simulated one. */
  external<T>(promise: Promise<T>): Promise<T> {
    this.#external++;
    return promise.finally(() => {
      this.#external--;
    });
  }

  /** Runs what is due up to `untilMs` on the monotonic clock, or until `done` says so. Throws the first failure that nobody awaited. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    let afterTurns = false;
    for (;;) {
      // Comes after all promises that can go on, and takes neither time nor chance from outside.
      do await realTurn();
      while (this.#external > 0);
      this.#throwFailure();
      if (done()) return;
      const next = this.#heap[0];
      // Turns that ask for turns must not keep timers from their time for ever.
      if (this.#turns.length > 0 && !(afterTurns && next !== undefined && next.dueMs <= this.#nowMs)) {
        this.#runTurns();
        afterTurns = true;
        continue;
      }
      afterTurns = false;
      if (next === undefined || next.dueMs > untilMs) break;
      pop(this.#heap);
      if (next.fn === undefined) continue;
      if (next.dueMs > this.#nowMs) this.#nowMs = next.dueMs;
      this.trace(`timer ${next.dueMs} ${next.order}`);
      this.#guarded("timer", next.fn);
    }
    if (untilMs > this.#nowMs && Number.isFinite(untilMs)) this.#nowMs = untilMs;
  }

  advance(ms: number): Promise<void> {
    return this.run(this.#nowMs + ms);
  }

  /** Runs until the promise has settled; fails when `limitMs` of simulated time have passed before. */
  async complete<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let settled = false;
    const note = () => {
      settled = true;
    };
    promise.then(note, note);
    await this.run(this.#nowMs + limitMs, () => settled);
    if (!settled) throw new Error(`seed ${this.seed}: not done after ${limitMs} ms of simulated time`);
    return promise;
  }

  /** The turns that were asked for before this one: what they ask for comes in the next. */
  #runTurns(): void {
    const turns = this.#turns;
    this.#turns = [];
    this.#nowMs += this.#options.turnMs ?? 0;
    this.trace(`turns ${turns.length}`);
    for (const fn of turns) this.#guarded("turn", fn);
  }

  #guarded(name: string, fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this.fail(name, error);
    }
  }

  /** Something has failed that nobody awaited. */
  fail(name: string, error: unknown): void {
    this.log.error(`${name} ended with an error`, { error: messageOf(error) });
    if (this.#options.onFailure !== undefined) this.#options.onFailure(name, error);
    else this.failures.push({ name, error });
  }

  #throwFailure(): void {
    const failure = this.failures.shift();
    if (failure === undefined) return;
    const message = `seed ${this.seed}, ${this.#nowMs} ms: ${failure.name}: ${messageOf(failure.error)}`;
    throw new Error(message, { cause: failure.error });
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

function push(heap: Scheduled[], item: Scheduled): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!before(item, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = item;
}

function pop(heap: Scheduled[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
}
