// The bandwidth limit of copies of stores: who sends bytes waits until those before it have had their time. A pure state machine.

export class CopyPace {
  /** When all that was sent has had its time. */
  #freeAtMs = 0;

  /** For how long to wait before these bytes leave; they count as sent. */
  waitMs(bytes: number, nowMs: number, bytesPerSecond: number): number {
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (bytes / bytesPerSecond) * 1_000;
    return startMs - nowMs;
  }
}
