// Blocks of depot segment files, and records in them, as bytes in memory. Layout: segments.ts.
import { u32At } from "../base/bytes.ts";
import { getU48 } from "./append-entry.ts";

export const BLOCK_HEADER_BYTES = 24;
const COUNTED_HEADER_BYTES = 16;
/** A block about every so many bytes stands in the index; blocks grow no longer either. */
export const indexEveryBytes = 64 * 1024;

/** A record where it lies: its value is [start, end) of `bytes`. */
export interface RecordView {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Records with one append time, one behind the other: [start, end) of `bytes`. */
export interface RecordRun {
  readonly offset: number;
  readonly count: number;
  readonly appendMs: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export interface IndexEntry {
  readonly offset: number;
  readonly appendMs: number;
  readonly position: number;
}

export interface BlockHeader {
  readonly offset: number;
  readonly count: number;
  readonly appendMs: number;
  /** Where the next block begins. */
  readonly next: number;
}

/** undefined: no block header can stand there. `position`: where `at` is in the file. */
export function headerOf(bytes: Uint8Array, at: number, position: number): BlockHeader | undefined {
  if (at + BLOCK_HEADER_BYTES > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, BLOCK_HEADER_BYTES);
  const length = view.getUint32(0, true);
  if (length < COUNTED_HEADER_BYTES) return undefined;
  return {
    offset: getU48(view, 8),
    count: view.getUint32(14, true),
    appendMs: getU48(view, 18),
    next: position + 8 + length,
  };
}

/** The run goes on where `bytes` end, with the same time. */
export function joins(run: RecordRun, bytes: Uint8Array, end: number, appendMs: number): boolean {
  return run.bytes === bytes && run.start === end && run.appendMs === appendMs;
}

export function addToIndex(index: IndexEntry[] | undefined, entry: IndexEntry): void {
  const last = index?.at(-1);
  if (last === undefined || entry.position - last.position >= indexEveryBytes) index?.push(entry);
}

/** Adds views of those records of a run that are in [from, to), until they have `maxBytes`. */
export function viewRecords(run: RecordRun, from: number, to: number, maxBytes: number, into: RecordView[]): void {
  let at = run.start;
  let left = maxBytes;
  const end = Math.min(to, run.offset + run.count);
  for (let offset = run.offset; offset < end && left > 0; offset++) {
    const start = at + 4;
    at = start + u32At(run.bytes, at);
    if (offset < from) continue;
    into.push({ offset, bytes: run.bytes, start, end: at });
    left -= at - start;
  }
}
