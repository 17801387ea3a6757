// The segment files of one depot partition: committed records, oldest first. Written lazily by `partition.ts` out of what the log has made durable; they need no
// sync of their own until the log lets go. Little-endian.
//
//   file    := header (32 bytes) | block*
//   header  := "RAMADEP1" | offset of the first record f64 | 12 zero bytes | crc32 u32 of the 28 bytes before
//   block   := length u32 | crc32 u32 | first offset u48 | count u32 | append time u48 | record*        crc (IEEE) and length cover what follows them
//   record  := length u32 | value[length]
// A file's name is the offset of its first record; one file ends where the next one begins. How far they count stands in the Kv (depot-state.ts): what lies behind
// was not synced, is cut off at open and copied again from the log. Example, one record "a" at offset 5, time 1000:
//   16000000 xxxxxxxx 050000000000 01000000 e80300000000 02000000 xx xx
//
// The index of a file (a block about every 64 KB: offset, append time, position) is in memory: made while writing, else by walking the block headers
// when the file is first read, 5 ms for 16 MB.
import { u32At } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk, DiskFile } from "../storage/disk.ts";
import { putU48 } from "./append-entry.ts";
import {
  addToIndex,
  BLOCK_HEADER_BYTES,
  type BlockHeader,
  headerOf,
  type IndexEntry,
  indexEveryBytes,
  joins,
  type RecordRun,
  type RecordView,
  viewRecords,
} from "./segment-blocks.ts";

const MAGIC = "RAMADEP1";
export const DEPOT_HEADER_BYTES = 32;
const scanWindowBytes = 1024 * 1024;
const readWindowBytes = 128 * 1024;
const defaultSegmentSizeBytes = 16 * 1024 * 1024;
/** Open files of one partition besides the one that is written. */
const openReadersMax = 2;

export const depotSegmentName = (firstOffset: number): string => `${String(firstOffset).padStart(16, "0")}.depot`;
export const depotSegmentOffset = (name: string): number | undefined =>
  /^\d{16}\.depot$/.test(name) ? Number(name.slice(0, 16)) : undefined;

/** How far the files count. */
export interface FileMark {
  /** Offset behind the last record in the files. */
  readonly end: number;
  /** First offset of the newest file, its length, and where its last block begins. */
  readonly file: number;
  readonly length: number;
  readonly lastBlock: number;
}

interface DepotFile {
  readonly firstOffset: number;
  readonly path: string;
  length: number;
  index: IndexEntry[] | undefined;
  unsynced: boolean;
}

export class DepotSegments {
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #segmentSizeBytes: number;
  readonly #files: DepotFile[] = [];
  readonly #readers = new Map<DepotFile, DiskFile>();
  #writer: DiskFile | undefined;
  #end = 0;
  #lastBlock = 0;
  #lastMs = 0;
  #namesUnsynced = false;
  #made = false;

  constructor(options: { disk: Disk; dir: string; segmentSizeBytes?: number }) {
    this.#disk = options.disk;
    this.#dir = options.dir;
    this.#segmentSizeBytes = options.segmentSizeBytes ?? defaultSegmentSizeBytes;
  }

  /** Takes the files as far as the mark says, checks their end, and removes the rest. */
  open(mark: FileMark | undefined): void {
    const names = this.#disk.list(this.#dir);
    this.#made = names.length > 0;
    for (const name of names) {
      const firstOffset = depotSegmentOffset(name);
      const path = `${this.#dir}/${name}`;
      if (firstOffset === undefined || mark === undefined || firstOffset > mark.file) this.#disk.remove(path);
      else this.#files.push({ firstOffset, path, length: this.#disk.size(path), index: undefined, unsynced: false });
    }
    if (mark === undefined) return;
    const newest = this.#files.at(-1);
    if (newest?.firstOffset !== mark.file)
      throw this.#corrupt(`${this.#dir}/${depotSegmentName(mark.file)}`, 0, "is missing");
    if (newest.length < mark.length)
      throw this.#corrupt(newest.path, newest.length, `is shorter than ${mark.length} bytes`);
    this.#end = mark.end;
    this.#lastBlock = mark.lastBlock;
    if (newest.length > mark.length) {
      const file = this.#disk.open(newest.path, "write");
      file.truncate(mark.length);
      file.datasyncSync();
      file.close();
      newest.length = mark.length;
    }
    const last = this.#block(
      this.#read(newest, mark.lastBlock, mark.length - mark.lastBlock),
      0,
      newest.path,
      mark.lastBlock,
    );
    if (last.offset + last.count !== mark.end)
      throw this.#corrupt(newest.path, mark.lastBlock, "ends at another offset");
    this.#lastMs = last.appendMs;
  }

  /** Offset of the first record in the files; equals `end` when they hold none. */
  get start(): number {
    return this.#files[0]?.firstOffset ?? this.#end;
  }

  get end(): number {
    return this.#end;
  }

  get bytes(): number {
    let sum = 0;
    for (const file of this.#files) sum += file.length;
    return sum;
  }

  /** Append time of the last record. */
  get lastMs(): number {
    return this.#lastMs;
  }

  get mark(): FileMark | undefined {
    const newest = this.#files.at(-1);
    if (newest === undefined) return undefined;
    return { end: this.#end, file: newest.firstOffset, length: newest.length, lastBlock: this.#lastBlock };
  }

  get unsynced(): boolean {
    return this.#namesUnsynced || this.#files.some((file) => file.unsynced);
  }

  /** Appends runs that follow one another; those with one append time become one block. When it throws, those below `end` are in the files. */
  append(runs: readonly RecordRun[]): void {
    let from = 0;
    while (from < runs.length) {
      const newest = this.#files.at(-1);
      const file =
        newest === undefined || newest.length >= this.#segmentSizeBytes ? this.#nextFile(runs[from]!.offset) : newest;
      let bytes = 0;
      let to = from;
      while (to < runs.length && file.length + bytes < this.#segmentSizeBytes) {
        bytes += BLOCK_HEADER_BYTES + runs[to]!.end - runs[to]!.start;
        to++;
      }
      this.#write(file, runs, from, to, bytes);
      from = to;
    }
  }

  /** Nothing has changed when it throws. */
  #write(file: DepotFile, runs: readonly RecordRun[], from: number, to: number, bytesMax: number): void {
    const bytes = new Uint8Array(bytesMax);
    const view = new DataView(bytes.buffer);
    const blocks: IndexEntry[] = [];
    let at = 0;
    for (let i = from; i < to; ) {
      const { offset, appendMs } = runs[i]!;
      const blockAt = at;
      let count = 0;
      at += BLOCK_HEADER_BYTES;
      do {
        // Runs that lie one behind the other in memory, as those of small appends do, are copied as one.
        const { bytes: source, start } = runs[i]!;
        let { end } = runs[i]!;
        count += runs[i]!.count;
        i++;
        while (i < to && joins(runs[i]!, source, end, appendMs) && at - blockAt + end - start < indexEveryBytes) {
          end = runs[i]!.end;
          count += runs[i]!.count;
          i++;
        }
        bytes.set(source.subarray(start, end), at);
        at += end - start;
      } while (i < to && runs[i]!.appendMs === appendMs && at - blockAt < indexEveryBytes);
      view.setUint32(blockAt, at - blockAt - 8, true);
      putU48(view, blockAt + 8, offset);
      view.setUint32(blockAt + 14, count, true);
      putU48(view, blockAt + 18, appendMs);
      view.setUint32(blockAt + 4, Bun.hash.crc32(bytes.subarray(blockAt + 8, at)), true);
      blocks.push({ offset, appendMs, position: file.length + blockAt });
    }
    file.unsynced = true;
    this.#writer ??= this.#disk.open(file.path, "write");
    this.#writer.write(bytes.subarray(0, at), file.length);
    file.length += at;
    for (const block of blocks) addToIndex(file.index, block);
    const last = runs[to - 1]!;
    this.#lastBlock = blocks.at(-1)!.position;
    this.#lastMs = last.appendMs;
    this.#end = last.offset + last.count;
  }

  #nextFile(firstOffset: number): DepotFile {
    if (!this.#made) this.#disk.mkdir(this.#dir);
    this.#made = true;
    const path = `${this.#dir}/${depotSegmentName(firstOffset)}`;
    const header = new Uint8Array(DEPOT_HEADER_BYTES);
    const view = new DataView(header.buffer);
    for (let i = 0; i < 8; i++) header[i] = MAGIC.charCodeAt(i);
    view.setFloat64(8, firstOffset, true);
    view.setUint32(28, Bun.hash.crc32(header.subarray(0, 28)), true);
    const writer = this.#disk.open(path, "upsert");
    try {
      writer.truncate(0);
      writer.write(header, 0);
    } catch (error) {
      writer.close();
      throw error;
    }
    this.#writer?.close();
    this.#writer = writer;
    this.#namesUnsynced = true;
    const file: DepotFile = { firstOffset, path, length: DEPOT_HEADER_BYTES, index: [], unsynced: true };
    this.#files.push(file);
    return file;
  }

  /** Makes everything written so far durable. */
  async sync(): Promise<void> {
    const files = this.#files.filter((file) => file.unsynced);
    for (const file of files) {
      file.unsynced = false;
      const isNewest = file === this.#files.at(-1) && this.#writer !== undefined;
      const handle = isNewest ? this.#writer! : this.#disk.open(file.path, "write");
      await handle.datasync();
      if (!isNewest) handle.close();
    }
    if (!this.#namesUnsynced) return;
    this.#namesUnsynced = false;
    this.#disk.syncDir(this.#dir);
  }

  /** Adds views of the records of [from, to) to `into` until they have `maxBytes`, one at least. */
  read(from: number, to: number, maxBytes: number, into: RecordView[]): void {
    let offset = from;
    let left = maxBytes;
    let at = this.#fileAt(from);
    while (offset < to && left > 0) {
      const file = this.#files[at]!;
      const last = into.length;
      const start = this.#indexAt(file, offset);
      offset = this.#readFile(file, start, offset, to, left, into);
      for (let i = last; i < into.length; i++) left -= into[i]!.end - into[i]!.start;
      at++;
    }
  }

  #readFile(file: DepotFile, position: number, from: number, to: number, maxBytes: number, into: RecordView[]): number {
    let at = position;
    let offset = from;
    let left = maxBytes;
    while (at < file.length && offset < to && left > 0) {
      let window = this.#read(file, at, Math.min(file.length - at, readWindowBytes));
      const first = 8 + u32At(window, 0);
      if (first > window.length) window = this.#read(file, at, first);
      let inWindow = 0;
      while (offset < to && left > 0 && inWindow + BLOCK_HEADER_BYTES <= window.length) {
        const end = inWindow + 8 + u32At(window, inWindow);
        if (end > window.length && inWindow > 0) break;
        const block = this.#block(window, inWindow, file.path, at + inWindow);
        if (block.offset + block.count > offset) {
          const before = into.length;
          viewRecords(block, offset, to, left, into);
          for (let i = before; i < into.length; i++) left -= into[i]!.end - into[i]!.start;
          if (into.length > before) offset = into.at(-1)!.offset + 1;
        }
        inWindow = end;
      }
      if (inWindow === 0) throw this.#corrupt(file.path, at, "is cut short");
      at += inWindow;
    }
    return offset;
  }

  /** The blocks with the records of [from, end), checked, until they have `maxBytes`, one at least; the first may begin before `from`. */
  runs(from: number, maxBytes: number): RecordRun[] {
    const found: RecordRun[] = [];
    let offset = from;
    for (let at = this.#fileAt(from), left = maxBytes; offset < this.#end && left > 0; at++) {
      const file = this.#files[at]!;
      for (let position = this.#indexAt(file, offset); position < file.length && left > 0; ) {
        const header = this.#header(file, position);
        if (header.offset + header.count > offset) {
          const run = this.#block(this.#read(file, position, header.next - position), 0, file.path, position);
          found.push(run);
          left -= run.end - run.start;
          offset = run.offset + run.count;
        }
        position = header.next;
      }
    }
    return found;
  }

  /** Removes files all of whose records are below `offset`, but never the one that begins at `newest`, which is to be there at the next open; durable at the return. */
  dropBelow(offset: number, newest: number): void {
    const isDroppable = (at: number) =>
      at + 1 < this.#files.length &&
      this.#files[at + 1]!.firstOffset <= offset &&
      this.#files[at]!.firstOffset < newest;
    let count = 0;
    while (isDroppable(count)) count++;
    if (count === 0) return;
    for (const file of this.#files.splice(0, count)) {
      this.#readers.get(file)?.close();
      this.#readers.delete(file);
      this.#disk.remove(file.path);
    }
    this.#disk.syncDir(this.#dir);
  }

  appendTimeOf(offset: number): number {
    const file = this.#files[this.#fileAt(offset)]!;
    let at = this.#indexAt(file, offset);
    for (;;) {
      const block = this.#header(file, at);
      if (offset < block.offset + block.count) return block.appendMs;
      at = block.next;
    }
  }

  /** Offset of the first record with an append time of `ms` or later; `end` when there is none. */
  offsetAfter(ms: number): number {
    if (this.#lastMs < ms || this.#files.length === 0) return this.#end;
    let at = this.#files.length - 1;
    while (at > 0 && this.#header(this.#files[at]!, DEPOT_HEADER_BYTES).appendMs >= ms) at--;
    for (; at < this.#files.length; at++) {
      const file = this.#files[at]!;
      let position = DEPOT_HEADER_BYTES;
      for (const entry of this.#indexOf(file)) if (entry.appendMs < ms) position = entry.position;
      while (position < file.length) {
        const block = this.#header(file, position);
        if (block.appendMs >= ms) return block.offset;
        position = block.next;
      }
    }
    return this.#end;
  }

  close(): void {
    this.#writer?.close();
    this.#writer = undefined;
    for (const reader of this.#readers.values()) reader.close();
    this.#readers.clear();
  }

  #fileAt(offset: number): number {
    let low = 0;
    let high = this.#files.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#files[middle]!.firstOffset <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #indexAt(file: DepotFile, offset: number): number {
    const index = this.#indexOf(file);
    let low = 0;
    let high = index.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (index[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? DEPOT_HEADER_BYTES : index[low - 1]!.position;
  }

  #indexOf(file: DepotFile): IndexEntry[] {
    if (file.index !== undefined) return file.index;
    const index: IndexEntry[] = [];
    let offset = file.firstOffset;
    let position = DEPOT_HEADER_BYTES;
    let window: Uint8Array = new Uint8Array(0);
    let windowAt = 0;
    while (position < file.length) {
      if (position + BLOCK_HEADER_BYTES > windowAt + window.length) {
        window = this.#read(file, position, Math.min(scanWindowBytes, file.length - position));
        windowAt = position;
      }
      const block = headerOf(window, position - windowAt, position);
      if (block === undefined || block.offset !== offset || block.next > file.length) {
        throw this.#corrupt(file.path, position, "holds no block of the next offset");
      }
      addToIndex(index, { offset, appendMs: block.appendMs, position });
      offset += block.count;
      position = block.next;
    }
    const next = this.#files[this.#files.indexOf(file) + 1];
    if (offset !== (next?.firstOffset ?? this.#end))
      throw this.#corrupt(file.path, position, `ends at offset ${offset}`);
    file.index = index;
    return index;
  }

  #header(file: DepotFile, position: number): BlockHeader {
    const header = headerOf(this.#read(file, position, BLOCK_HEADER_BYTES), 0, position);
    if (header === undefined) throw this.#corrupt(file.path, position, "holds no block");
    return header;
  }

  /** Checks the block at `at` of `bytes` as a whole. */
  #block(bytes: Uint8Array, at: number, path: string, position: number): RecordRun {
    const header = headerOf(bytes, at, position);
    const end = header === undefined ? 0 : at + header.next - position;
    if (
      header === undefined ||
      end > bytes.length ||
      Bun.hash.crc32(bytes.subarray(at + 8, end)) !== u32At(bytes, at + 4)
    ) {
      throw this.#corrupt(path, position, "is damaged");
    }
    const { offset, count, appendMs } = header;
    return { offset, count, appendMs, bytes, start: at + BLOCK_HEADER_BYTES, end };
  }

  #read(file: DepotFile, position: number, length: number): Uint8Array {
    if (file === this.#files.at(-1) && this.#writer !== undefined) return this.#writer.read(position, length);
    let reader = this.#readers.get(file);
    if (reader === undefined) {
      for (const [other, handle] of this.#readers) {
        if (this.#readers.size < openReadersMax) break;
        this.#readers.delete(other);
        handle.close();
      }
      reader = this.#disk.open(file.path, "read");
      this.#readers.set(file, reader);
    }
    return reader.read(position, length);
  }

  #corrupt(path: string, position: number, what: string): RamaError {
    return new RamaError("STORE_CORRUPT", `${path} ${what} (byte ${position})`, { path, position });
  }
}
