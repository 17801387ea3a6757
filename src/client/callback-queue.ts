// Calls of one proxy's callback: in order, one at a time, bounded. When more changes wait than the limit allows, they become one ResyncDiff with the newest value.
import { type Diff, ResyncDiff } from "../paths/diff.ts";
import type { ProxyCallback } from "./proxy.ts";

interface Waiting<T> {
  value: T;
  diff: Diff;
  readonly before: T | null;
}

export class CallbackQueue<T> {
  /** Most changes that wait. */
  limit = Number.POSITIVE_INFINITY;
  readonly #callback: ProxyCallback<T> | undefined;
  readonly #onThrown: (error: unknown) => void;
  #waiting: Waiting<T>[] = [];
  /** The only one that waits stands for those that were too many. */
  #overflown = false;
  #running = false;
  #calling = false;
  #idle: (() => void)[] = [];

  constructor(callback: ProxyCallback<T> | undefined, onThrown: (error: unknown) => void) {
    this.#callback = callback;
    this.#onThrown = onThrown;
  }

  /** The callback is being called, or its promise is awaited. */
  get calling(): boolean {
    return this.#calling;
  }

  add(value: T, diff: Diff, before: T | null): void {
    if (this.#callback === undefined) return;
    const waiting = this.#waiting;
    const ends = diff.kind === "destroyed" || diff.kind === "ungracefulTermination";
    if (this.#overflown && !ends) {
      waiting[0]!.value = value;
      waiting[0]!.diff = new ResyncDiff(value);
    } else if (waiting.length >= this.limit && !ends) {
      this.#overflown = true;
      this.#waiting = [{ value, diff: new ResyncDiff(value), before: waiting[0]!.before }];
    } else waiting.push({ value, diff, before });
    if (!this.#running) this.#run();
  }

  /** Resolves when nothing waits and the last call has returned. */
  drained(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #run(): void {
    this.#running = true;
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      this.#calling = true;
      try {
        const returned: unknown = this.#callback!(next.value, next.diff, next.before);
        if (returned instanceof Promise) {
          returned.catch(this.#onThrown).then(() => {
            this.#calling = false;
            this.#run();
          });
          return;
        }
      } catch (error) {
        this.#onThrown(error);
      }
      this.#calling = false;
    }
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #take(): Waiting<T> | undefined {
    this.#overflown = false;
    return this.#waiting.shift();
  }
}
