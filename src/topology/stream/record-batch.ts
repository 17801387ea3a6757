// Records of one depot partition on their way into a topology: just appended ones as they came (length-prefixed), or ones read back from the depot. A cursor, since
// a batch may stop in the middle while a page comes from disk.
import type { AppendWait } from "../../task/append-wait.ts";
import type { SourcePartition } from "./source.ts";

export interface RecordView {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export class RecordBatch {
  /** The record under the cursor. */
  bytes: Uint8Array;
  start = 0;
  end = 0;
  offset: number;
  /** Its index in the append that `wait` is about. */
  index = -1;
  #left: number;
  readonly #views: readonly RecordView[] | undefined;
  readonly generation: number;

  private constructor(
    readonly source: SourcePartition,
    bytes: Uint8Array,
    offset: number,
    count: number,
    readonly wait: AppendWait | undefined,
    views: readonly RecordView[] | undefined,
    /** How often the records have failed before; > 0 only for batches of one. */
    readonly failures: number,
    /** They ran before, and what came of it is not known: after a failure or a crash. */
    readonly again: boolean,
  ) {
    this.bytes = bytes;
    this.offset = offset - 1;
    this.#left = count;
    this.#views = views;
    this.generation = source.generation;
  }

  static appended(
    source: SourcePartition,
    bytes: Uint8Array,
    offset: number,
    count: number,
    wait: AppendWait | undefined,
  ): RecordBatch {
    return new RecordBatch(source, bytes, offset, count, wait, undefined, 0, false);
  }

  static read(source: SourcePartition, views: readonly RecordView[], failures = 0, again = false): RecordBatch {
    return new RecordBatch(source, views[0]!.bytes, views[0]!.offset, views.length, undefined, views, failures, again);
  }

  get left(): number {
    return this.#left;
  }

  /** Moves to the next record; false at the end. */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    this.index++;
    if (this.#views !== undefined) {
      const view = this.#views[this.index]!;
      this.bytes = view.bytes;
      this.start = view.start;
      this.end = view.end;
      this.offset = view.offset;
      return true;
    }
    const at = this.end;
    const bytes = this.bytes;
    this.start = at + 4;
    this.end =
      this.start + ((bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0);
    this.offset++;
    return true;
  }
}
