// A process of the simulated world: an Env of its own, and the gate through which everything enters it (timers, turns, frames, answers of its platform) and
// leaves it (calls of its platform). Dead: nothing enters any more, so that its calls never return and its timers never fire; what still unwinds meets
// `ProcessEnded` at every door. Paused (SIGSTOP): what comes waits until it goes on.
import type { Env, Log, Timer } from "../base/env.ts";
import { sleepWith } from "../base/env-system.ts";
import { LineLog } from "../base/log.ts";
import type { SimulatedEnv } from "./env-simulated.ts";

/** Thrown at a process that was killed while its code ran. Not an Error of ours: nobody may handle it. */
export class ProcessEnded extends Error {}

export interface ProcessHost {
  readonly name: string;
  /** Added to the wall clock of all its processes. */
  clockOffsetMs: number;
}

export interface ProcessOptions {
  readonly env: SimulatedEnv;
  readonly host: ProcessHost;
  readonly name: string;
  readonly pid: number;
  readonly birth: string;
  /** Something that nobody awaits has thrown, in a process that lives. */
  readonly onFailure: (process: SimulatedProcess, name: string, error: unknown) => void;
  /** Called once, at its end. */
  readonly onEnd: (process: SimulatedProcess) => void;
}

export class SimulatedProcess implements Env {
  readonly pid: number;
  readonly birth: string;
  readonly name: string;
  readonly host: ProcessHost;
  readonly log: Log;
  readonly #options: ProcessOptions;
  readonly #env: SimulatedEnv;
  #alive = true;
  #paused = false;
  #waiting: (() => void)[] = [];
  /** The process is killed at so many calls of its platform from now; 0: it is not. */
  #killIn = 0;
  readonly #timers = new Set<Timer>();
  /** Calls into the platform so far. */
  calls = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#env = options.env;
    this.pid = options.pid;
    this.birth = options.birth;
    this.name = options.name;
    this.host = options.host;
    this.log = processLog(options.env, `${options.host.name}/${options.name}.${options.pid}`, () => this.now());
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Timers that have neither fired nor been cancelled. */
  get timers(): number {
    return this.#timers.size;
  }

  get paused(): boolean {
    return this.#paused;
  }

  // Env

  now(): number {
    return this.#env.now() + Math.floor(this.host.clockOffsetMs);
  }

  monotonicMs(): number {
    return this.#env.monotonicMs();
  }

  readonly setTimer = (delayMs: number, fn: () => void): Timer => {
    const timer = this.#env.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      this.enter("timer", fn);
    });
    this.#timers.add(timer);
    return {
      cancel: () => {
        this.#timers.delete(timer);
        timer.cancel();
      },
    };
  };

  nextTurn(fn: () => void): void {
    this.#env.nextTurn(() => this.enter("turn", fn));
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<boolean> {
    return sleepWith(this.setTimer, delayMs, signal);
  }

  random(): number {
    return this.#env.random();
  }

  randomBytes(length: number): Uint8Array {
    return this.#env.randomBytes(length);
  }

  spawn(name: string, fn: () => Promise<void>): void {
    let running: Promise<void>;
    try {
      running = fn();
    } catch (error) {
      this.#failed(name, error);
      return;
    }
    running.then(undefined, (error: unknown) => this.#failed(name, error));
  }

  // The gate

  /** Runs `fn` in the process: now, when it goes on, or never. */
  enter(what: string, fn: () => void): void {
    if (!this.#alive) return;
    if (this.#paused) {
      this.#waiting.push(() => this.enter(what, fn));
      return;
    }
    try {
      fn();
    } catch (error) {
      this.#failed(what, error);
    }
  }

  /** At every call of its platform. Throws when the process is dead, or dies here. */
  leave(): void {
    if (!this.#alive) throw new ProcessEnded();
    this.calls++;
    if (this.#killIn === 0 || --this.#killIn > 0) return;
    this.kill();
    throw new ProcessEnded();
  }

  /** What a call of the platform answers, let in through the gate. */
  answer<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.enter("answer", () => resolve(value)),
        (error: unknown) => this.enter("answer", () => reject(error)),
      );
    });
  }

  // Fate

  killAtCall(calls: number): void {
    this.#killIn = calls;
  }

  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#waiting = [];
    this.#env.trace(`end ${this.name} ${this.pid}`);
    this.#options.onEnd(this);
  }

  pause(): void {
    if (this.#alive) this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const fn of waiting) fn();
  }

  #failed(name: string, error: unknown): void {
    if (error instanceof ProcessEnded || !this.#alive) return;
    this.log.error(`${name} ended with an error`, { error: error instanceof Error ? error : String(error) });
    this.#options.onFailure(this, name, error);
  }
}

/** Lines go into the trace of the simulation, with the process that wrote them. */
function processLog(env: SimulatedEnv, prefix: string, now: () => number): LineLog {
  return new LineLog({ level: env.log.level, now, sink: (line) => env.logLine(`${prefix} ${line}`) });
}
