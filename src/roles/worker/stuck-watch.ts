// User code that never returns holds its engine thread, which cannot tell by itself: the worker's main thread looks at what the thread noted in shared memory, and when
// a turn takes longer than `worker.stuck.event.seconds` it says what runs, writes it down (stuck-records.ts) and ends the process. The supervisor starts it again.
import type { Env, Timer } from "../../base/env.ts";
import { readStuckNote, type StuckNoteContent } from "../../task/stuck-note.ts";
import type { EngineHandle } from "./engine-handle.ts";
import { describe, type StuckRecord, type StuckRecords } from "./stuck-records.ts";

const checkMs = 500;

export interface StuckWatchOptions {
  readonly env: Env;
  readonly engines: readonly EngineHandle[];
  readonly records: StuckRecords;
  readonly limitMs: number;
  /** Ends the process at once. */
  readonly abort: (reason: string) => void;
}

export class StuckWatch {
  readonly #options: StuckWatchOptions;
  readonly #seen = new Map<EngineHandle, { turn: number; sinceMs: number }>();
  #timer: Timer | undefined;

  constructor(options: StuckWatchOptions) {
    this.#options = options;
    this.#timer = options.env.setTimer(checkMs, () => this.#check());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #check(): void {
    const { env, engines, limitMs } = this.#options;
    for (const engine of engines) {
      const note = readStuckNote(engine.stuckNote);
      const seen = this.#seen.get(engine);
      if (!note.running || note.turn !== seen?.turn)
        this.#seen.set(engine, { turn: note.turn, sinceMs: env.monotonicMs() });
      else if (env.monotonicMs() - seen.sinceMs > limitMs) return this.#end(engine, note);
    }
    this.#timer = env.setTimer(checkMs, () => this.#check());
  }

  #end(engine: EngineHandle, note: StuckNoteContent): void {
    const { env, records, limitMs, abort } = this.#options;
    const seconds = limitMs / 1000;
    const record = recordOf(engine, note);
    if (record === undefined) {
      env.log.error("an engine thread has not turned for long", { seconds, ...note });
      return abort(`an engine thread has not turned for ${seconds} s`);
    }
    const times = records.note(record);
    const reason = `user code has not returned for ${seconds} s: ${describe(record)}`;
    env.log.error(reason, { ...record, times });
    if (records.paused[record.topology] !== undefined)
      env.log.error("the topology is paused from now on", { ...record });
    abort(reason);
  }
}

/** undefined while no topology runs. */
function recordOf(engine: EngineHandle, note: StuckNoteContent): StuckRecord | undefined {
  const { loaded } = engine;
  const topology = note.topology === undefined ? undefined : loaded?.topologies[note.topology];
  if (topology === undefined) return undefined;
  const depot = note.depot === undefined ? undefined : loaded?.objects.depots[note.depot]?.name;
  const { partition, offset } = note;
  return {
    topology: topology.name,
    line: topology.lines[note.node] ?? "?",
    ...(depot === undefined ? {} : { depot }),
    partition,
    offset,
  };
}
