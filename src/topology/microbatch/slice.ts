// One source of a microbatch topology in one depot partition: what is committed, and the slice that the present microbatch takes.
//   first ≤ next ≤ end ≤ the partition's end
import type { CompiledSource } from "../../dataflow/compiled.ts";
import type { DepotDefinition, SourceDefinition } from "../../module/definition.ts";
import type { Task } from "../../task/task.ts";
import type { SliceState } from "./progress.ts";

export class SourceSlice {
  readonly isTick: boolean;
  first = 0;
  next = 0;
  /** The microbatch whose slice [next, end) is; 0: none has been chosen. */
  attempted = 0;
  end = 0;
  /** What the flush writes. */
  durable: SliceState = { first: 0, next: 0, attempted: 0, end: 0 };
  dirty = false;
  /** Not in the log yet. */
  fresh = true;
  /** Monotonic time of the last tick that was taken, or of the start. */
  tickedMs = 0;
  /** Ticks that were asked for by hand and no microbatch has taken: each takes one. */
  ticked = 0;

  constructor(
    readonly compiled: CompiledSource,
    readonly definition: SourceDefinition,
    readonly depot: DepotDefinition,
    readonly task: Task,
    /** Stable number of the source's name in the store. */
    readonly id: number,
  ) {
    this.isTick = depot.tickMs !== undefined;
  }

  get partition() {
    return this.task.depots[this.depot.index]!;
  }

  begin(state: SliceState | undefined, first: number, nowMs: number): void {
    const known = state ?? { first, next: first, attempted: 0, end: first };
    this.fresh = state === undefined;
    this.tickedMs = nowMs;
    this.durable = known;
    ({ first: this.first, next: this.next, attempted: this.attempted, end: this.end } = known);
  }

  get state(): SliceState {
    const { first, next, attempted, end } = this;
    return { first, next, attempted, end };
  }

  /** Records (or a tick) wait that no microbatch has taken. */
  waits(nowMs: number, manualTicks: boolean): boolean {
    if (!this.isTick) return this.partition.endOffset > this.next;
    return manualTicks ? this.ticked > 0 : nowMs - this.tickedMs >= this.depot.tickMs!;
  }

  /** Fixes the slice of microbatch `id`: the one that was fixed before, if any. `again`: slices of `id` have been fixed; one that is not known is empty. */
  choose(id: number, again: boolean, recordsMax: number, nowMs: number, manualTicks: boolean): void {
    if (this.attempted === id) return;
    this.attempted = id;
    if (again) {
      this.end = this.next;
    } else if (this.isTick) {
      const due = this.waits(nowMs, manualTicks);
      this.end = this.next + (due ? 1 : 0);
      if (!due) return;
      this.tickedMs = nowMs;
      if (this.ticked > 0) this.ticked--;
    } else {
      const { startOffset, endOffset } = this.partition;
      // Trimmed records count as passed, not as processed.
      if (this.next < startOffset) {
        this.first += startOffset - this.next;
        this.next = startOffset;
      }
      this.end = Math.min(endOffset, this.next + recordsMax);
    }
  }

  get size(): number {
    return this.end - this.next;
  }

  /** All of the slice is committed. */
  commit(): void {
    this.next = this.end;
    this.attempted = 0;
  }
}
