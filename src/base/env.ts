// The one door to clock, timers, randomness and log. Everything above layer 0 receives an `Env`; nothing calls `Date.now`, `setTimeout`,
// `Math.random` or the terminal on its own, so that a whole cluster runs in one process from one seed (`simulation/`).
// The real one is `base/env-system.ts`.

/** A timer that has been set. `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Structured log. `fields` are appended as `key=value`. Never throws. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** A log whose lines carry `name` as their component. */
  child(name: string): Log;
}

export interface Env {
  /** Wall clock, epoch milliseconds. May jump. For record times and display only. */
  now(): number;
  /** Monotonic milliseconds with fraction. For durations and timeouts. */
  monotonicMs(): number;
  /** Calls `fn` once after at least `delayMs`. An exception in `fn` is reported like one of `spawn`. */
  setTimer(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` in a later turn of the event loop, after pending I/O has been looked at. */
  nextTurn(fn: () => void): void;
  /** Resolves after `delayMs`; sooner (with false) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<boolean>;
  /** Uniform in [0, 1). */
  random(): number;
  /** Cryptographically random in production; from the seed in simulation. */
  randomBytes(length: number): Uint8Array;
  readonly log: Log;
  /**
   * Owns a promise that nobody awaits. A rejection is logged with `name` and handed to the process's (or simulation's) failure handler:
   * no rejection is ever unhandled.
   */
  spawn(name: string, fn: () => Promise<void>): void;
}
