// Events from other engines that come to a replica before it leads: their sender has heard of the new leader first. They wait until it begins, as they would in the
// network; else their records would run again only when they time out. What waits too long, or is too much, is dropped.
import type { Env } from "../base/env.ts";

interface EarlyFrame {
  readonly task: number;
  readonly frame: Uint8Array;
  readonly atMs: number;
}

/** A leader that takes longer to begin has its peers' records run again. */
const keptMs = 5_000;
const keptBytes = 16 * 1024 * 1024;

export class EarlyEvents {
  readonly #env: Env;
  #frames: EarlyFrame[] = [];
  #bytes = 0;

  constructor(env: Env) {
    this.#env = env;
  }

  keep(task: number, frame: Uint8Array): void {
    const atMs = this.#env.monotonicMs();
    if (this.#frames.length > 0 && this.#frames[0]!.atMs < atMs - keptMs) this.#forget(atMs - keptMs);
    if (this.#bytes + frame.length > keptBytes) return;
    this.#bytes += frame.length;
    this.#frames.push({ task, frame, atMs });
  }

  /** In the order in which they came. */
  take(): readonly EarlyFrame[] {
    this.#forget(this.#env.monotonicMs() - keptMs);
    const frames = this.#frames;
    this.#frames = [];
    this.#bytes = 0;
    return frames;
  }

  #forget(beforeMs: number): void {
    this.#frames = this.#frames.filter(({ atMs }) => atMs >= beforeMs);
    this.#bytes = this.#frames.reduce((sum, { frame }) => sum + frame.length, 0);
  }
}
