// When does a failed record run again? Pure: times come in, decisions come out.
export type RetryMode = "individual" | "allAfter" | "none";

export interface RetryDelays {
  /** After the first failure; doubles with each further one. */
  readonly firstMs: number;
  readonly mostMs: number;
}

/** 50 ms doubling to 5 s: a passing trouble costs little, and a record that always fails costs next to nothing. */
export const defaultRetryDelays: RetryDelays = { firstMs: 50, mostMs: 5000 };

/** Wait after the `failures`-th failure of a record in a row. */
export function retryDelayMs(failures: number, delays: RetryDelays): number {
  return Math.min(delays.mostMs, delays.firstMs * 2 ** Math.min(failures - 1, 30));
}

export interface RetryEntry<T> {
  readonly item: T;
  readonly dueMs: number;
}

/** Failed records that wait for their time, in order of that time (ties: of failing). Small: the throttle bounds it. */
export class RetryQueue<T> {
  readonly #entries: RetryEntry<T>[] = [];

  get length(): number {
    return this.#entries.length;
  }

  /** Earliest due time, or undefined when nothing waits. */
  get nextDueMs(): number | undefined {
    return this.#entries[0]?.dueMs;
  }

  add(item: T, dueMs: number): void {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.dueMs <= dueMs) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, { item, dueMs });
  }

  /** Removes and returns what is due. */
  due(nowMs: number): T[] {
    let count = 0;
    while (count < this.#entries.length && this.#entries[count]!.dueMs <= nowMs) count++;
    return this.#entries.splice(0, count).map((entry) => entry.item);
  }

  clear(): void {
    this.#entries.length = 0;
  }
}
