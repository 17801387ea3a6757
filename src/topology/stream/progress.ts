// How far one source has come in one depot partition, and what of that is on disk.
//   Every record below `next` has been started. Those in `open` have not succeeded yet; all others below `next` have.
// After a crash the open ones run again, then everything from `next` on. A turn writes what changed as one delta, in the same log entry as the PState
// writes of that turn: a record whose whole tree ran inside one turn is therefore applied exactly once, whatever happens. The flush writes the whole state
// under the source's key.
//   delta := next | high | closed count, closed offset … | opened count, opened offset …   (varints; offsets as distance to the one before, plus 0)
//   state := version u8 (1) | first | next | high | open count, open offset …
import { assert } from "../../base/assert.ts";
import { RamaError } from "../../base/errors.ts";
import { ByteReader, ByteWriter } from "../../base/value-bytes.ts";

const STATE_VERSION = 1;

/** What disk knows, or will know once the turns on their way are durable. */
export interface ProgressState {
  /** Where the source began in this partition. */
  first: number;
  /** All below has been started. first ≤ next ≤ high. */
  next: number;
  /** The greatest `next` ever: `retryAllAfter` takes `next` back. */
  high: number;
  open: Set<number>;
}

/** Records that succeeded at least once. */
export function processedCount(state: Readonly<ProgressState>): number {
  // Records between `next` and `high` have been started before but are running again: what is open of them is not known any more, and one of
  // them has failed at least; they count when they are passed again.
  return state.next - state.first - state.open.size;
}

export function startState(first: number): ProgressState {
  return { first, next: first, high: first, open: new Set() };
}

export class SourceProgress {
  readonly live: ProgressState;
  /** Opened since the last delta and still open. */
  readonly #opened = new Set<number>();
  #closed: number[] = [];
  #changed = false;

  constructor(state: ProgressState) {
    this.live = { ...state, open: new Set(state.open) };
  }

  get changed(): boolean {
    return this.#changed;
  }

  /** The records [next, next + count) have been started. */
  started(count: number): void {
    this.live.next += count;
    if (this.live.next > this.live.high) this.live.high = this.live.next;
    this.#changed = true;
  }

  /** A started record does not succeed at once. */
  opened(offset: number): void {
    assert(
      offset < this.live.next,
      `progress: record ${offset} is open before it has been started (next ${this.live.next})`,
    );
    if (this.live.open.has(offset)) return;
    this.live.open.add(offset);
    this.#opened.add(offset);
    this.#changed = true;
  }

  closed(offset: number): void {
    if (!this.live.open.delete(offset)) return;
    if (!this.#opened.delete(offset)) this.#closed.push(offset);
    this.#changed = true;
  }

  /** Everything from `offset` on is to run again, in order. */
  rewind(offset: number): void {
    assert(offset <= this.live.next, `progress: rewind to ${offset} beyond ${this.live.next}`);
    for (const open of this.live.open) if (open >= offset) this.closed(open);
    this.live.next = offset;
    this.#changed = true;
  }

  /** Writes what changed since the last call; false when nothing did. */
  takeDelta(writer: ByteWriter): boolean {
    if (!this.#changed) return false;
    writer.varint(this.live.next);
    writer.varint(this.live.high);
    writeOffsets(writer, this.#closed);
    writeOffsets(writer, [...this.#opened]);
    this.#opened.clear();
    if (this.#closed.length > 0) this.#closed = [];
    this.#changed = false;
    return true;
  }
}

function writeOffsets(writer: ByteWriter, offsets: number[]): void {
  writer.varint(offsets.length);
  if (offsets.length > 1) offsets.sort((a, b) => a - b);
  let last = 0;
  for (const offset of offsets) {
    writer.varint(offset - last);
    last = offset;
  }
}

function readOffsets(reader: ByteReader, visit: (offset: number) => void): void {
  let last = 0;
  for (let count = reader.varint(); count > 0; count--) {
    last += reader.varint();
    visit(last);
  }
}

/** Applies a delta to the state that disk is to hold: after the turn is durable, and by recovery. */
export function applyDelta(state: ProgressState, reader: ByteReader): void {
  state.next = reader.varint();
  state.high = reader.varint();
  readOffsets(reader, (offset) => state.open.delete(offset));
  readOffsets(reader, (offset) => state.open.add(offset));
}

export function encodeState(state: Readonly<ProgressState>): Uint8Array {
  const writer = new ByteWriter(32 + 3 * state.open.size);
  writer.u8(STATE_VERSION);
  writer.varint(state.first);
  writer.varint(state.next);
  writer.varint(state.high);
  writeOffsets(writer, [...state.open]);
  return writer.take();
}

export function decodeState(bytes: Uint8Array): ProgressState {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== STATE_VERSION) {
    throw new RamaError("STORE_CORRUPT", `stream progress of version ${version} is not known to this release`, {
      version,
    });
  }
  const state = { ...startState(reader.varint()), next: reader.varint(), high: reader.varint() };
  readOffsets(reader, (offset) => state.open.add(offset));
  return state;
}
