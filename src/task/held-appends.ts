// ACK appends that a partition holds back because a stream topology is at its pending limit, and everything that came to the partition after them: the order of
// one client's appends must stay. Nothing of them is stored; after the append timeout they are rejected with OVERLOADED.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { EngineAppend } from "./engine-api.ts";
import { JobFifo } from "./run-queue.ts";

interface Held {
  readonly append: EngineAppend;
  readonly untilMs: number;
}

export class HeldAppends {
  readonly #byPartition = new Map<string, JobFifo<Held>>();
  #timer: Timer | undefined = undefined;

  constructor(
    readonly env: Env,
    readonly timeoutMs: () => number,
    /** Told of each that ends without having been stored. */
    readonly rejected: (append: EngineAppend) => void,
  ) {}

  get empty(): boolean {
    return this.#byPartition.size === 0;
  }

  has(depot: number, task: number): boolean {
    return this.#byPartition.size > 0 && this.#byPartition.has(`${depot}/${task}`);
  }

  hold(append: EngineAppend): void {
    const key = `${append.depot}/${append.task}`;
    let held = this.#byPartition.get(key);
    if (held === undefined) {
      held = new JobFifo();
      this.#byPartition.set(key, held);
    }
    held.push({ append, untilMs: this.env.monotonicMs() + this.timeoutMs() });
    this.#watch();
  }

  /** Hands out, in order, what may be stored now. */
  release(mayStore: (append: EngineAppend) => boolean, store: (append: EngineAppend) => void): void {
    for (const [key, held] of this.#byPartition) {
      for (let next = held.peek(); next !== undefined && mayStore(next.append); next = held.peek()) {
        held.shift();
        store(next.append);
      }
      if (held.length === 0) this.#byPartition.delete(key);
    }
  }

  rejectAll(error: RamaError): void {
    for (const held of this.#byPartition.values()) {
      for (let next = held.shift(); next !== undefined; next = held.shift()) {
        this.rejected(next.append);
        next.append.reply(error, -1, null, null);
      }
    }
    this.#byPartition.clear();
    this.#timer?.cancel();
  }

  #watch(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.env.setTimer(Math.min(1000, Math.max(1, this.timeoutMs() / 4)), () => {
      this.#timer = undefined;
      this.#expire();
      if (!this.empty) this.#watch();
    });
  }

  #expire(): void {
    const nowMs = this.env.monotonicMs();
    for (const [key, held] of this.#byPartition) {
      for (let next = held.peek(); next !== undefined && next.untilMs <= nowMs; next = held.peek()) {
        held.shift();
        this.rejected(next.append);
        const message =
          "a stream topology of this depot is at topology.stream.max.executing.per.task; nothing was stored";
        next.append.reply(new RamaError("OVERLOADED", message, { task: next.append.task }), -1, null, null);
      }
      if (held.length === 0) this.#byPartition.delete(key);
    }
  }
}
