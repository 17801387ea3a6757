// The newest entries of a group's replog in memory, encoded as they cross the wire (protocol/replication.ts): a leader sends them as they are, to any number of followers,
// without another copy. What is older is read from the log's files (`storage/log-read.ts`).
import { ByteWriter } from "../base/value-bytes.ts";
import { ENTRY_HEADER_BYTES } from "../protocol/replication.ts";

/** Entries [from, to), one behind the other. */
export interface EntryChunk {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** Sealed chunks are kept up to this: a second of a fast leader, so that a follower that hiccups needs no files. */
const keptBytesMax = 32 * 1024 * 1024;
/** What a chunk weighs beside its entries: the objects, and what the allocator adds. */
const chunkOverheadBytes = 256;
/** A chunk is one frame: far below the limit of frames, so that a large entry still fits on top. */
const chunkBytesMax = 1024 * 1024;

export class ReplogTail {
  #chunks: EntryChunk[] = [];
  #bytes = 0;
  #open = new ByteWriter(64 * 1024);
  #openFrom: number;
  #end: number;

  readonly #keptBytes: number;

  constructor(end: number, keptBytes = keptBytesMax) {
    this.#keptBytes = keptBytes;
    this.#end = end;
    this.#openFrom = end;
  }

  /** Offset of the oldest entry that is here. */
  get start(): number {
    return this.#chunks[0]?.from ?? this.#openFrom;
  }

  get end(): number {
    return this.#end;
  }

  append(kind: number, epoch: number, parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    const out = this.#open;
    if (out.length > 0 && out.length + length > chunkBytesMax) this.seal();
    out.u8(kind);
    out.u32(epoch);
    out.u32(length);
    for (const part of parts) out.raw(part);
    this.#end++;
  }

  /** What was appended since the last call can be sent from now on. */
  seal(): void {
    if (this.#open.length === 0) return;
    this.#keep({ from: this.#openFrom, to: this.#end, bytes: this.#open.take() });
    this.#open.reset();
    this.#openFrom = this.#end;
  }

  /** Entries that came encoded; the bytes are kept. */
  add(chunk: EntryChunk): void {
    this.seal();
    this.#keep(chunk);
    this.#end = chunk.to;
    this.#openFrom = chunk.to;
  }

  #keep(chunk: EntryChunk): void {
    this.#chunks.push(chunk);
    this.#bytes += weightOf(chunk);
    while (this.#bytes > this.#keptBytes && this.#chunks.length > 1) this.#bytes -= weightOf(this.#chunks.shift()!);
  }

  /** The sealed entries from `offset` on, as many as one chunk has; undefined: not here (below `start`), or none yet. */
  at(offset: number): EntryChunk | undefined {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]!.to <= offset) low = middle + 1;
      else high = middle;
    }
    const chunk = this.#chunks[low];
    if (chunk === undefined || offset < chunk.from) return undefined;
    return offset === chunk.from ? chunk : partOf(chunk, offset);
  }

  truncate(end: number): void {
    this.seal();
    while (this.#chunks.length > 0 && this.#chunks.at(-1)!.from >= end) this.#bytes -= weightOf(this.#chunks.pop()!);
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.to > end) {
      const rest = partOf(last, end);
      const bytes = last.bytes.subarray(0, last.bytes.length - rest.bytes.length);
      this.#chunks[this.#chunks.length - 1] = { from: last.from, to: end, bytes };
      this.#bytes -= rest.bytes.length;
    }
    this.#end = Math.min(this.#end, end);
    this.#openFrom = this.#end;
  }
}

function weightOf(chunk: EntryChunk): number {
  return chunk.bytes.length + chunkOverheadBytes;
}

/** The entries of a chunk from `offset` on. */
function partOf(chunk: EntryChunk, offset: number): EntryChunk {
  const view = new DataView(chunk.bytes.buffer, chunk.bytes.byteOffset, chunk.bytes.byteLength);
  let at = 0;
  for (let entry = chunk.from; entry < offset; entry++) at += ENTRY_HEADER_BYTES + view.getUint32(at + 5, true);
  return { from: offset, to: chunk.to, bytes: chunk.bytes.subarray(at) };
}

export interface TailEntry {
  readonly kind: number;
  readonly epoch: number;
  /** A view. */
  readonly payload: Uint8Array;
}

/** Visits `count` entries; false: the bytes are not that many whole entries. */
export function eachEntry(bytes: Uint8Array, count: number, visit: (entry: TailEntry) => void): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_HEADER_BYTES > bytes.length) return false;
    const end = at + ENTRY_HEADER_BYTES + view.getUint32(at + 5, true);
    if (end > bytes.length) return false;
    visit({
      kind: bytes[at]!,
      epoch: view.getUint32(at + 1, true),
      payload: bytes.subarray(at + ENTRY_HEADER_BYTES, end),
    });
    at = end;
  }
  return at === bytes.length;
}
