// When a busy topology begins its next microbatch. What a microbatch costs by key (a change of state, its place in the log, the flush) it pays once, however many of its records
// have that key: so it lets records gather while they keep coming, for a few times as long as the last one took. One that had few records is followed at once.

/** Records of a microbatch after which the next one may wait. */
const busyRecords = 2000;
/** Records have stopped coming. */
const calmMs = 6;
/** Times the last microbatch took. */
const timesLast = 8;

export class Gathering {
  /** `topology.microbatch.gather.max.millis`; 0: never waits. */
  maxMs = 0;
  #untilMs = 0;
  #waiting = 0;
  #grewMs = 0;

  /** A microbatch of so many records has been committed. */
  ended(records: number, tookMs: number, nowMs: number): void {
    const ms = records < busyRecords ? 0 : Math.min(this.maxMs, tookMs * timesLast);
    this.#untilMs = nowMs + ms;
    this.#waiting = 0;
    this.#grewMs = nowMs;
  }

  /** undefined: begin now; otherwise when to ask again. `full`: the next microbatch can take no more than what waits. */
  waitsUntil(nowMs: number, waiting: number, full: boolean): number | undefined {
    if (full || nowMs >= this.#untilMs) return undefined;
    if (waiting > this.#waiting) {
      this.#waiting = waiting;
      this.#grewMs = nowMs;
    }
    const calmAt = this.#grewMs + calmMs;
    return nowMs >= calmAt ? undefined : Math.min(calmAt, this.#untilMs);
  }
}
