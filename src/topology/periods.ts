// What a topology does again and again while it runs.
import type { Env, Timer } from "../base/env.ts";

export class Periods {
  readonly #env: Env;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(env: Env) {
    this.#env = env;
  }

  every(ms: number, fn: () => void): void {
    const timer = this.#env.setTimer(ms, () => {
      this.#timers.delete(timer);
      if (this.#closed) return;
      fn();
      this.every(ms, fn);
    });
    this.#timers.add(timer);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
  }
}
