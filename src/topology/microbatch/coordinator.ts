// Which step of which microbatch comes next (language.md 12.1). Lives on the engine of task 0; input in, outputs out, no clock of its own. A microbatch:
//   prime    every task group goes back to the last committed state and fixes its slices
//   process  source blocks run, all that they cause ends
//   decide   where all groups are on this engine: one unit of its log holds the changes and says that they are committed
//   prepare  otherwise: every group makes its changes durable, without applying them. All prepared = decided: nothing more is written before they are applied
//   apply    all groups make it visible; the next microbatch begins meanwhile
// Whatever fails before the decision: the same microbatch again, with the same records, after a pause. A decision cannot fail.
//
// A coordinator that finds its own groups prepared when it starts does not know whether the others were, and whether some have applied: it recovers by asking all. Some have
// committed it, or all have prepared the same run: it is decided. One has neither, and will not prepare that run any more (the question ends the attempt there): it is not.
import { assert } from "../../base/assert.ts";

export type CoordinatorPhase = "idle" | "recover" | "prime" | "process" | "prepare" | "decide";

export interface CoordinatorOptions {
  /** Task groups of other engines. */
  readonly others: readonly number[];
  /** Last microbatch that the log says is committed; 0: none yet. */
  readonly committed: number;
  readonly retryDelayMs: (failures: number) => number;
}

export interface Wanted {
  /** Records, or a tick, wait. */
  readonly work: boolean;
  /** Pause after the last microbatch. */
  readonly forceDelayMs: number;
  /** Longest time without one. */
  readonly idleMs: number;
}

/** What a group of another engine has. */
export interface GroupPosition {
  readonly committed: number;
  /** 0: nothing is prepared. */
  readonly prepared: number;
  readonly run: number;
}

/** This engine's groups, among those that a phase waits for. */
export const ownGroups = -1;

export class Coordinator {
  phase: CoordinatorPhase = "idle";
  paused = false;
  committed: number;
  /** Failures of the present microbatch in a row. */
  failures = 0;
  /** When the present phase began. */
  sinceMs = 0;
  readonly #options: CoordinatorOptions;
  #waiting = new Set<number>();
  #endedMs: number | undefined = undefined;
  #retryMs = 0;
  /** What this engine's groups had prepared. */
  #recoveredRun = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.committed = options.committed;
  }

  /** The microbatch that runs or comes next. */
  get id(): number {
    return this.committed + 1;
  }

  /** Groups that the phase waits for. */
  get waiting(): readonly number[] {
    return [...this.#waiting];
  }

  /** True: begin now. Otherwise the time at which to ask again, if at a known one. */
  mayBegin(nowMs: number, wanted: Wanted): true | number | undefined {
    if (this.phase !== "idle" || this.paused) return undefined;
    if (this.failures > 0) return nowMs >= this.#retryMs ? true : this.#retryMs;
    // The first after the start runs in any case.
    if (this.#endedMs === undefined) return true;
    const earliest = this.#endedMs + wanted.forceDelayMs;
    const due = wanted.work ? earliest : Math.max(earliest, this.#endedMs + wanted.idleMs);
    return nowMs >= due ? true : due;
  }

  #enter(phase: CoordinatorPhase, nowMs: number, wait: boolean): void {
    this.phase = phase;
    this.sinceMs = nowMs;
    this.#waiting = new Set(wait ? this.#options.others : []);
  }

  /** This engine's groups have prepared run `run` of the next microbatch: ask the others. */
  recover(run: number, nowMs: number): void {
    assert(this.phase === "idle", `microbatch ${this.id} is recovered in phase ${this.phase}`);
    this.#recoveredRun = run;
    this.#enter("recover", nowMs, true);
  }

  /** "committed": it is decided. "aborted": it is not, and runs again. */
  answered(
    group: number,
    { committed, prepared, run }: GroupPosition,
    nowMs: number,
  ): "waits" | "committed" | "aborted" {
    if (this.phase !== "recover") return "waits";
    if (committed >= this.id) this.#waiting.clear();
    else if (prepared === this.id && run === this.#recoveredRun) this.#waiting.delete(group);
    else {
      this.phase = "idle";
      return "aborted";
    }
    if (this.#waiting.size > 0) return "waits";
    this.#commit(nowMs);
    return "committed";
  }

  begin(nowMs: number): void {
    assert(this.phase === "idle", `microbatch ${this.id} begins in phase ${this.phase}`);
    this.#enter("prime", nowMs, true);
  }

  /** A group has done what the phase asks of it, or (undefined) this engine looks whether all have. True: go on with the next phase. */
  done(phase: "prime" | "prepare", group: number | undefined): boolean {
    if (this.phase !== phase) return false;
    if (group !== undefined) this.#waiting.delete(group);
    return this.#waiting.size === 0;
  }

  process(nowMs: number): void {
    assert(this.phase === "prime", `microbatch ${this.id} is processed in phase ${this.phase}`);
    this.#enter("process", nowMs, false);
  }

  /** Waits for the others and for `ownGroups`. */
  prepare(nowMs: number): void {
    assert(this.phase === "process", `microbatch ${this.id} is prepared in phase ${this.phase}`);
    this.#enter("prepare", nowMs, true);
    this.#waiting.add(ownGroups);
  }

  /** All are prepared: that is the decision. */
  allPrepared(nowMs: number): void {
    assert(this.phase === "prepare", `microbatch ${this.id} is decided in phase ${this.phase}`);
    assert(this.#waiting.size === 0, `microbatch ${this.id} is decided before all are prepared`);
    this.#commit(nowMs);
  }

  /** Without other engines: the log decides. */
  decide(nowMs: number): void {
    assert(this.phase === "process", `microbatch ${this.id} is decided in phase ${this.phase}`);
    assert(this.#options.others.length === 0, `microbatch ${this.id} is decided before all are prepared`);
    this.#enter("decide", nowMs, false);
  }

  /** The decision is durable. */
  decided(nowMs: number): void {
    assert(this.phase === "decide", `microbatch ${this.id} ends in phase ${this.phase}`);
    this.#commit(nowMs);
  }

  #commit(nowMs: number): void {
    this.committed++;
    this.failures = 0;
    this.#endedMs = nowMs;
    this.phase = "idle";
  }

  /** False when it is too late to fail, or nothing runs. */
  failed(nowMs: number): boolean {
    if (this.phase === "idle" || this.phase === "decide" || this.phase === "recover") return false;
    this.phase = "idle";
    this.failures++;
    this.#retryMs = nowMs + this.#options.retryDelayMs(this.failures);
    return true;
  }

  /** After a failure: the next attempt is another one, and need not wait. */
  retryAtOnce(): void {
    this.failures = 0;
  }
}
