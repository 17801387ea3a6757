// What appends have come to: lanes that append one after another, counted by phase, with the longest time in which nothing was acknowledged.

/** The record may be stored, or not. */
const open = new Set(["APPEND_OUTCOME_UNKNOWN", "TIMEOUT", "PROCESSING_FAILED"]);
/** Nothing of it is stored. */
const refusals = new Set(["IN_SYNC_TOO_SMALL", "DISK_FULL"]);
/** Between two appends of a lane: the machines' two cores are for the cluster. */
const thinkMs = 4;

export type Outcome = "acked" | "unknown" | "refused";

export interface Phase {
  readonly acked: number;
  /** Longest time without any acknowledgement. */
  readonly gapMs: number;
  /** Longest append that was acknowledged. */
  readonly slowestMs: number;
  /** Longest time in which this process itself did not run: what it measured meanwhile is not the cluster's doing. */
  readonly heldMs: number;
}

const pulseMs = 20;

export class Lanes {
  acked = 0;
  unknown = 0;
  refused = 0;
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  #stop = false;
  #lastAckMs = performance.now();
  #phase = { acked: 0, gapMs: 0, slowestMs: 0, heldMs: 0 };
  readonly #lanes: Promise<void>[] = [];

  constructor() {
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    void this.#pulse();
  }

  async #pulse(): Promise<void> {
    while (!this.#stop) {
      const startMs = performance.now();
      await Bun.sleep(pulseMs);
      this.#phase.heldMs = Math.max(this.#phase.heldMs, performance.now() - startMs - pulseMs);
    }
  }

  /** Calls `step` again and again until the end; `step` appends once and remembers the outcome. */
  run(step: (append: (call: () => Promise<unknown>) => Promise<Outcome>) => Promise<void>): void {
    const lane = async () => {
      while (!this.#stop) {
        await step((call) => this.#append(call));
        await Bun.sleep(thinkMs);
      }
    };
    this.#lanes.push(lane().catch((error) => this.#fail(error)));
  }

  async #append(call: () => Promise<unknown>): Promise<Outcome> {
    const startMs = performance.now();
    try {
      await call();
    } catch (error) {
      const code = (error as { code?: string }).code ?? "";
      if (open.has(code)) this.unknown++;
      else if (refusals.has(code)) this.refused++;
      else throw error;
      return open.has(code) ? "unknown" : "refused";
    }
    const nowMs = performance.now();
    this.acked++;
    this.#phase.acked++;
    this.#phase.slowestMs = Math.max(this.#phase.slowestMs, nowMs - startMs);
    this.#phase.gapMs = Math.max(this.#phase.gapMs, nowMs - this.#lastAckMs);
    this.#lastAckMs = nowMs;
    return "acked";
  }

  /** What the phase that ends now was like. */
  nextPhase(): Phase {
    const nowMs = performance.now();
    const phase = { ...this.#phase, gapMs: Math.max(this.#phase.gapMs, nowMs - this.#lastAckMs) };
    this.#phase = { acked: 0, gapMs: 0, slowestMs: 0, heldMs: 0 };
    return phase;
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#lanes);
  }
}
