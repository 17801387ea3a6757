// One source of a microbatch topology in one depot partition (of the own module, or a remote one): what is committed, and the slice that the present microbatch takes.
//   first ≤ next ≤ end ≤ the partition's end
import type { CompiledSource } from "../../dataflow/compiled.ts";
import type { SourceDefinition } from "../../module/definition.ts";
import type { Task } from "../../task/task.ts";
import type { RemotePartition } from "../remote/remote-sources.ts";
import type { SourceDepot } from "../stream/source.ts";
import { type DeadLetter, letterOf } from "../dead-letters.ts";
import type { SkippedRecord, SliceState } from "./progress.ts";
import { SliceLetters } from "./slice-letters.ts";

export class SourceSlice {
  readonly isTick: boolean;
  /** Number of the depot partition. */
  readonly partitionId: number;
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
  /** Of the slice: does not run, and becomes a dead letter with the commit. */
  skip: SkippedRecord | undefined = undefined;
  /** Runs in the present attempt; the slice is empty then. */
  letter: DeadLetter | undefined = undefined;
  readonly letters: SliceLetters;
  /** The attempt has come past the record that it leaves out. */
  onPassedOver: (record: Uint8Array) => void = () => {};

  constructor(
    readonly compiled: CompiledSource,
    readonly definition: SourceDefinition,
    /** Index -1: not of this module. */
    readonly depot: SourceDepot,
    readonly task: Task,
    /** Stable number of the source's name in the store. */
    readonly id: number,
    lettersId: number,
    /** undefined: the partition of `task`. */
    readonly remote?: RemotePartition,
  ) {
    this.partitionId = remote?.partition ?? task.id;
    this.letters = new SliceLetters(lettersId, this.partitionId);
    this.isTick = depot.tickMs !== undefined;
  }

  get partition() {
    return this.remote?.log ?? this.task.depots[this.depot.index]!;
  }

  /** End of the records that can be read from `from` on. */
  readableTo(from: number): number {
    return this.remote === undefined ? this.task.depots[this.depot.index]!.endOffset : this.remote.log.readableTo(from);
  }

  begin(state: SliceState | undefined, first: number, nowMs: number): void {
    const known = state ?? { first, next: first, attempted: 0, end: first };
    this.fresh = state === undefined;
    this.tickedMs = nowMs;
    this.durable = known;
    ({ first: this.first, next: this.next, attempted: this.attempted, end: this.end } = known);
    if (this.remote !== undefined) {
      this.remote.log.neededFrom = () => this.durable.next;
      this.remote.log.seek(this.next);
      this.remote.log.need(this.end);
    }
    this.skip = known.skip;
    this.letters.begin();
  }

  get state(): SliceState {
    const { first, next, attempted, end, skip } = this;
    return skip === undefined ? { first, next, attempted, end } : { first, next, attempted, end, skip };
  }

  /** Nothing of it runs in the present attempt. */
  get isEmpty(): boolean {
    return this.end === this.next && this.letter === undefined;
  }

  /** Records (or a tick) wait that no microbatch has taken. */
  waits(nowMs: number, manualTicks: boolean): boolean {
    if (!this.isTick) return this.readableTo(this.next) > this.next;
    return this.ticked > 0 || (!manualTicks && nowMs - this.tickedMs >= this.depot.tickMs!);
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
      const { startOffset } = this.partition;
      // Trimmed records count as passed, not as processed.
      if (this.next < startOffset) {
        this.first += startOffset - this.next;
        this.next = startOffset;
      }
      this.end = Math.min(this.readableTo(this.next), this.next + recordsMax);
    }
  }

  /** The microbatch takes no more than what comes before `end`. */
  cut(id: number, end: number): void {
    if (this.attempted !== id) this.end = this.next;
    this.attempted = id;
    const to = Math.max(this.next, Math.min(this.end, end));
    // The tick stays due.
    if (this.isTick && to < this.end) this.ticked++;
    this.end = to;
  }

  get size(): number {
    return this.end - this.next;
  }

  /** All of the slice is committed. The letter that ran goes; the record that did not becomes one. */
  commit(): void {
    if (this.letters.size > 0) this.letters.processed(this.attempted);
    if (this.skip !== undefined) this.#setAside(this.skip);
    this.skip = undefined;
    this.letter = undefined;
    this.next = this.end;
    this.attempted = 0;
    this.remote?.log.release(this.next);
  }

  #setAside({ offset, failures, atMs, code, message, record: passed }: SkippedRecord): void {
    const record = passed.length > 0 ? passed : this.recordAt(offset);
    this.letters.put(letterOf(offset, record, { code, message }, failures, atMs));
  }

  /** Empty when it has been trimmed since. */
  recordAt(offset: number): Uint8Array {
    if (this.isTick) return Uint8Array.of(0);
    const { partition } = this;
    if (offset < partition.startOffset || offset >= this.readableTo(this.next)) return new Uint8Array(0);
    const [view] = partition.read(offset, offset + 1, 1);
    return view === undefined ? new Uint8Array(0) : view.bytes.slice(view.start, view.end);
  }
}
