// Segments of a store's log: the bytes. Written by `log.ts`, read at open (and by `scripts/inspect.ts`). Little-endian throughout.
//
//   file    := header (32 bytes) | batch* | anything
//   header  := "RAMALOG1" | segment number f64 | number of the first entry f64 | flags u32 | crc32 u32 of the 28 bytes before
//   batch   := batch record | entry record+                                      what one write carried to the disk
//   record  := length u32 | crc32 u32 | kind u8 | group u16 | epoch u32 | offset u48 | payload[length - 13]
// The crc (IEEE, as in zlib) begins with the low 32 bits of the segment number and covers kind to payload. `length` counts the same bytes, so it is 13 at least.
// A batch record has kind 0, group 0, no payload; `epoch` is the length of the batch with this record, `offset` the number of its first entry in the whole log.
// Flag 1: the file was another segment before (bytes behind the last batch are that one's; the crc's beginning keeps them from counting).
//
// A batch is written only after the one before it has been synced. So bytes that are no valid record, with no valid batch record of a later batch anywhere
// behind them, are a torn tail: their writer died before anyone was told of them. They are cut off (by truncation) when the log is opened. With a later
// batch behind them they are corruption. Zeros at the end are space reserved ahead.
//
// A cut (kind 255, no payload) says that the group's entries from its offset on, written before it, do not count; the next entry of the group has that offset.
//
// Example, segment 1, entry number 1: group 2, epoch 3, offset 5, kind 1, payload "ab", behind the header:
//   0d000000 xxxxxxxx 00 0000 2c000000 010000000000 | 0f000000 xxxxxxxx 01 0200 03000000 050000000000 6162
import type { LogEntry } from "./store-contract.ts";

export const SEGMENT_MAGIC = "RAMALOG1";
export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 21;
export const KIND_BATCH = 0;
/** Entries of the group from this one's offset on are void: a replica takes back what its leader does not have. */
export const KIND_CUT = 255;
/** What `length` counts besides the payload. */
const COUNTED_HEADER_BYTES = 13;
const FLAG_RECYCLED = 1;

export interface SegmentHeader {
  readonly number: number;
  readonly firstEntry: number;
  readonly recycled: boolean;
}

export const segmentName = (number: number): string => `${String(number).padStart(12, "0")}.log`;

/** undefined: not the name of a segment. */
export function segmentNumber(name: string): number | undefined {
  return /^\d{12}\.log$/.test(name) ? Number(name.slice(0, 12)) : undefined;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < 8; i++) bytes[i] = SEGMENT_MAGIC.charCodeAt(i);
  view.setFloat64(8, header.number, true);
  view.setFloat64(16, header.firstEntry, true);
  view.setUint32(24, header.recycled ? FLAG_RECYCLED : 0, true);
  view.setUint32(28, Bun.hash.crc32(bytes.subarray(0, 28)), true);
  return bytes;
}

/** undefined: not a valid header of this version. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined;
  for (let i = 0; i < 8; i++) if (bytes[i] !== SEGMENT_MAGIC.charCodeAt(i)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(28, true) !== Bun.hash.crc32(bytes.subarray(0, 28))) return undefined;
  return {
    number: view.getFloat64(8, true),
    firstEntry: view.getFloat64(16, true),
    recycled: (view.getUint32(24, true) & FLAG_RECYCLED) !== 0,
  };
}

export const crcSeed = (segment: number): number => segment >>> 0;

/** The open batch: records one behind the other in one buffer that is used again and again. */
export class BatchBuffer {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;
  #seed = 0;
  entries = 0;

  constructor(sizeBytes = 64 * 1024) {
    this.#bytes = new Uint8Array(Math.max(sizeBytes, RECORD_HEADER_BYTES));
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** `segment`: the number of the segment that will hold the batch. */
  begin(segment: number, firstEntry: number): void {
    this.#seed = crcSeed(segment);
    this.#length = RECORD_HEADER_BYTES;
    this.entries = 0;
    this.#putHeader(0, COUNTED_HEADER_BYTES, KIND_BATCH, 0, 0, firstEntry);
  }

  add(kind: number, group: number, epoch: number, offset: number, parts: readonly Uint8Array[]): void {
    let payload = 0;
    for (const part of parts) payload += part.length;
    const at = this.#length;
    const end = at + RECORD_HEADER_BYTES + payload;
    if (end > this.#bytes.length) this.#grow(end);
    this.#putHeader(at, COUNTED_HEADER_BYTES + payload, kind, group, epoch, offset);
    let to = at + RECORD_HEADER_BYTES;
    for (const part of parts) {
      this.#bytes.set(part, to);
      to += part.length;
    }
    this.#view.setUint32(at + 4, Bun.hash.crc32(this.#bytes.subarray(at + 8, end), this.#seed), true);
    this.#length = end;
    this.entries++;
  }

  /** The batch's bytes, a view that is good until the next `begin`. */
  finish(): Uint8Array {
    this.#view.setUint32(11, this.#length, true);
    this.#view.setUint32(4, Bun.hash.crc32(this.#bytes.subarray(8, RECORD_HEADER_BYTES), this.#seed), true);
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets the batch; a buffer that one large batch has blown up is given back. */
  clear(keepBytes: number): void {
    this.#length = 0;
    this.entries = 0;
    if (this.#bytes.length <= keepBytes) return;
    this.#bytes = new Uint8Array(keepBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #putHeader(at: number, length: number, kind: number, group: number, epoch: number, offset: number): void {
    const view = this.#view;
    view.setUint32(at, length, true);
    this.#bytes[at + 8] = kind;
    view.setUint16(at + 9, group, true);
    view.setUint32(at + 11, epoch, true);
    view.setUint32(at + 15, offset % 0x1_0000_0000, true);
    view.setUint16(at + 19, Math.floor(offset / 0x1_0000_0000), true);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

export interface SegmentVisitor {
  batch(firstEntry: number, position: number): void;
  entry(entry: LogEntry, position: number): void;
}

export interface SegmentScan {
  /** Behind the last valid record in front of the first invalid one. */
  readonly validEnd: number;
  /** Where the last batch should end by its own record; less than `validEnd` never. */
  readonly declaredEnd: number;
}

/** Visits the valid records from `position` on, up to the first bytes that are none. */
export function scanSegment(
  bytes: Uint8Array,
  segment: number,
  position: number,
  visitor: SegmentVisitor,
): SegmentScan {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seed = crcSeed(segment);
  let at = position;
  let declaredEnd = position;
  for (;;) {
    const end = validRecordEnd(bytes, view, at, seed);
    if (end === 0) return { validEnd: at, declaredEnd: Math.max(at, declaredEnd) };
    const kind = bytes[at + 8]!;
    const epoch = view.getUint32(at + 11, true);
    const offset = view.getUint32(at + 15, true) + view.getUint16(at + 19, true) * 0x1_0000_0000;
    if (kind === KIND_BATCH) {
      declaredEnd = at + epoch;
      visitor.batch(offset, at);
    } else {
      const group = view.getUint16(at + 9, true);
      visitor.entry({ group, epoch, offset, kind, payload: bytes.subarray(at + RECORD_HEADER_BYTES, end) }, at);
    }
    at = end;
  }
}

/** Where a batch that begins with entry `entryMin` or a later one stands at or behind `position`; -1 when there is none. */
export function findBatch(bytes: Uint8Array, segment: number, position: number, entryMin: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seed = crcSeed(segment);
  for (let at = position - 1; ; ) {
    // Searched natively: behind the end stand megabytes of zeros, and a process that has just started would step through them for 40 ms.
    at = bytes.indexOf(COUNTED_HEADER_BYTES, at + 1);
    if (at < 0 || at + RECORD_HEADER_BYTES > bytes.length) return -1;
    if (bytes[at + 8] !== KIND_BATCH) continue;
    if (validRecordEnd(bytes, view, at, seed) === 0) continue;
    if (view.getUint32(at + 15, true) + view.getUint16(at + 19, true) * 0x1_0000_0000 >= entryMin) return at;
  }
}

/** 0: no valid record at `at`. */
function validRecordEnd(bytes: Uint8Array, view: DataView, at: number, seed: number): number {
  if (at + RECORD_HEADER_BYTES > bytes.length) return 0;
  const length = view.getUint32(at, true);
  const end = at + 8 + length;
  if (length < COUNTED_HEADER_BYTES || end > bytes.length) return 0;
  return Bun.hash.crc32(bytes.subarray(at + 8, end), seed) === view.getUint32(at + 4, true) ? end : 0;
}
