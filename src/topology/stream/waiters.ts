// Appends that wait for records of one partition: those whose record did not come with its append, or failed and runs again.
import type { AppendWait } from "../../task/append-wait.ts";

/** More than one wait for a record when it has been appended again. */
export interface Waiter {
  readonly wait: AppendWait;
  /** Of the record in that append. */
  readonly index: number;
}

export class Waiters {
  readonly #byOffset = new Map<number, Waiter[]>();

  add(offset: number, waiter: Waiter): void {
    const waiting = this.#byOffset.get(offset);
    if (waiting === undefined) this.#byOffset.set(offset, [waiter]);
    else waiting.push(waiter);
  }

  take(offset: number): Waiter[] | undefined {
    if (this.#byOffset.size === 0) return undefined;
    const waiting = this.#byOffset.get(offset);
    if (waiting !== undefined) this.#byOffset.delete(offset);
    return waiting;
  }
}
