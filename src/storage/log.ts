// The physical log of a store: entries of all its task groups in one row, one sync for all that has gathered (group commit). Format: `segment.ts`.
//
// Commit is pull: `append` copies into the open batch; `commit`, called when the thread has run what was runnable, seals the batch if no sync is in flight, and
// is remembered otherwise. A small batch (16 KB) on a fast disk (last sync below 1.5 ms) is synced on the thread itself when nothing else is runnable: a
// pool thread's two wake-ups cost as much as the sync (toolchain.md 13.2). One write per batch, one sync in flight.
//
// A segment's file is extended with zeros some megabytes ahead, so that most syncs change no metadata. Released segments are kept (two of them) and become new
// ones by renaming. A full disk stalls the open batch, which nobody has been told of, and is tried again; any other failed write, and each failed sync, ends the log.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { type GroupEnd, openSegments, type Segment, SPARE_SUFFIX } from "./log-open.ts";
import { BatchBuffer, encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentName } from "./segment.ts";
import type { LogEntry, LogRecovery, StoreLog } from "./store-contract.ts";

const defaultSegmentSizeBytes = 64 * 1024 * 1024;
const inlineBytesMax = 16 * 1024;
const inlineSyncMsMax = 1.5;
/** Zeros written ahead at once: a sync that has to carry them takes some 5 ms longer, at 40 MB/s of appends ten times a second for the first 192 MB only. */
const extentBytesMax = 4 * 1024 * 1024;
const batchBufferKeptBytes = 8 * 1024 * 1024;
/** Four seconds of what a fast client sends; more waits only behind a disk that is stuck or full. */
const openBytesMax = 256 * 1024 * 1024;
const sparesMax = 2;
const fullDiskRetryMs = 500;
/** Read in a few milliseconds. */
const defaultLittleBytes = 256 * 1024;

export interface StoreLogOptions {
  readonly env: Env;
  readonly disk: Disk;
  /** Directory of the segments alone. */
  readonly dir: string;
  readonly segmentSizeBytes?: number;
  /** Gets every entry at or above `from(group)`, in log order. The payload is a view of memory that is not used again. */
  readonly replay: (entry: LogEntry) => void;
  /** The offset that a group's replay begins with; below it the group has let go. */
  readonly from: (group: number) => number;
  /** Segments whose entries are not replayed stay until `release` is called: others may want them. */
  readonly keepsOld?: boolean;
}

export interface StoreLogRecovery extends LogRecovery {
  /** Of the groups that have entries in the log. */
  readonly groups: ReadonlyMap<number, GroupEnd>;
}

/** Since the log was opened. */
export interface LogCounters {
  entries: number;
  batches: number;
  bytes: number;
  inlineSyncs: number;
  asyncSyncs: number;
  /** Duration of the last sync; of an asynchronous one with its wake-ups. */
  lastSyncMs: number;
  segmentsCreated: number;
  segmentsRecycled: number;
  fullDiskStalls: number;
}

export async function openStoreLog(options: StoreLogOptions): Promise<{ log: DiskLog; recovery: StoreLogRecovery }> {
  const opened = openSegments(options);
  const log = new DiskLog(options, opened);
  const { entries, tornBytes, groups } = opened;
  return { log, recovery: { entries, tornBytes, segments: opened.segments.length, groups } };
}

export class DiskLog implements StoreLog {
  /** Called inside `commit` when the sync was made on the thread. */
  onDurable: (upTo: number) => void = () => {};
  onFailed: (error: Error) => void = () => {};
  readonly counters: LogCounters = {
    entries: 0,
    batches: 0,
    bytes: 0,
    inlineSyncs: 0,
    asyncSyncs: 0,
    lastSyncMs: 0,
    segmentsCreated: 0,
    segmentsRecycled: 0,
    fullDiskStalls: 0,
  };
  readonly #env: Env;
  readonly #disk: Disk;
  readonly #dir: string;
  readonly #segmentSizeBytes: number;
  readonly #batch = new BatchBuffer();
  /** Oldest first. The last one is written to, unless it is full. */
  readonly #segments: Segment[];
  readonly #released = new Map<number, number>();
  readonly #spares: string[];
  /** Segment of the open batch: the newest one, or the one to be created for it. */
  #batchSegment = 0;
  #batchEnds = new Map<number, number>();
  #file: DiskFile | undefined;
  #position: number;
  #allocated: number;
  /** The newest segment holds a batch that is durable: until then the one before it is the end of the log, should this one be lost. */
  #newestCounts = true;
  #end: number;
  #durable: number;
  /** Of the batch that was written last. */
  #lastBatchBytes = 0;
  #lastBatchEnd = 0;
  #syncing = false;
  #wanted = false;
  #stalled = false;
  #failure: RamaError | undefined;
  #closing = false;
  #idleWaiters: (() => void)[] = [];

  /** Use `openStoreLog`. */
  constructor(options: StoreLogOptions, opened: ReturnType<typeof openSegments>) {
    this.#env = options.env;
    this.#disk = options.disk;
    this.#dir = options.dir;
    this.#segmentSizeBytes = options.segmentSizeBytes ?? defaultSegmentSizeBytes;
    this.#segments = opened.segments;
    this.#spares = opened.spares;
    this.#file = opened.file;
    this.#position = opened.position;
    this.#allocated = opened.allocated;
    this.#end = opened.end;
    this.#durable = opened.end;
    for (const spare of this.#spares.splice(sparesMax)) this.#disk.remove(spare);
    if (options.keepsOld !== true)
      for (const group of opened.groups.keys()) this.#released.set(group, options.from(group));
    this.#dropReleased();
  }

  get end(): number {
    return this.#end;
  }

  /** Number of the last entry that is durable. */
  get durable(): number {
    return this.#durable;
  }

  get bytes(): number {
    let sum = this.#batch.length;
    for (const segment of this.#segments) sum += segment.bytes;
    return sum;
  }

  get error(): Error | undefined {
    return this.#failure;
  }

  /** The open batch is as large as it may become: whoever can refuse work does so. */
  get overloaded(): boolean {
    return this.#batch.length > openBytesMax;
  }

  /** Entries in the open batch. */
  get openEntries(): number {
    return this.#batch.entries;
  }

  append(kind: number, group: number, epoch: number, offset: number, parts: readonly Uint8Array[]): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing) throw new RamaError("DISK_FAILED", `${this.#dir}: the log is closed`, { path: this.#dir });
    if (this.#batch.entries === 0) {
      const newest = this.#segments.at(-1);
      this.#batchSegment = newest === undefined ? 1 : this.#isFull() ? newest.number + 1 : newest.number;
      this.#batch.begin(this.#batchSegment, this.#end + 1);
    }
    this.#batch.add(kind, group, epoch, offset, parts);
    this.#batchEnds.set(group, offset + 1);
    this.#end++;
  }

  commit(busy: boolean): void {
    if (this.#batch.entries === 0 || this.#failure !== undefined) return;
    if (this.#syncing || this.#stalled) {
      this.#wanted = true;
      return;
    }
    this.#wanted = false;
    if (!this.#write()) return;
    const inline = !busy && this.counters.lastSyncMs < inlineSyncMsMax && this.#lastBatchBytes <= inlineBytesMax;
    if (inline) this.#syncInline();
    else this.#env.spawn("log sync", () => this.#syncAside());
  }

  release(group: number, offset: number): void {
    if (offset <= (this.#released.get(group) ?? 0)) return;
    this.#released.set(group, offset);
    this.#dropReleased();
  }

  /**
   * Ends the present segment where it is, so that the next open need not read what has been released. Does nothing while there is something to write, or when
   * there would be little to read: fewer than `littleBytes`.
   */
  beginSegment(littleBytes = defaultLittleBytes): void {
    const newest = this.#segments.at(-1);
    const isIdle = this.#batch.entries === 0 && !this.#syncing && !this.#stalled && this.#failure === undefined;
    if (newest === undefined || !isIdle || this.#position < littleBytes) return;
    try {
      this.#batchSegment = newest.number + 1;
      // A file of its own, not a recycled one: the next open reads all of it.
      this.#nextSegment(this.#end + 1, undefined).datasyncSync();
    } catch (error) {
      this.#fail(error);
      return;
    }
    // Its header is durable and tells where it begins: it is the end of the log even without a batch.
    this.#newestCounts = true;
    this.#dropReleased();
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#batch.entries > 0) this.commit(true);
    while (this.#syncing) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    this.#file?.close();
    this.#file = undefined;
  }

  #isFull(): boolean {
    return this.#position >= this.#segmentSizeBytes;
  }

  /** False: nothing was written that counts. */
  #write(): boolean {
    const { length, entries } = this.#batch;
    try {
      if (this.#segments.at(-1)?.number !== this.#batchSegment)
        this.#nextSegment(this.#end - entries + 1, this.#spares.pop());
      const end = this.#position + length;
      if (end > this.#allocated) {
        const ahead = Math.min(extentBytesMax, this.#segmentSizeBytes);
        const size = Math.max(end, Math.min(end + ahead, this.#segmentSizeBytes));
        this.#file!.allocate(size);
        this.#allocated = size;
      }
      this.#file!.write(this.#batch.finish(), this.#position);
    } catch (error) {
      if (error instanceof RamaError && error.code === "DISK_FULL") this.#stall(error);
      else this.#fail(error);
      return false;
    }
    const segment = this.#segments.at(-1)!;
    for (const [group, end] of this.#batchEnds) segment.ends.set(group, end);
    this.#batchEnds.clear();
    this.#position += length;
    segment.bytes = this.#position;
    this.#lastBatchBytes = length;
    this.#lastBatchEnd = this.#end;
    this.#batch.clear(batchBufferKeptBytes);
    this.counters.entries += entries;
    this.counters.batches++;
    this.counters.bytes += length;
    return true;
  }

  #syncInline(): void {
    const startMs = this.#env.monotonicMs();
    try {
      this.#file!.datasyncSync();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.counters.inlineSyncs++;
    this.#synced(startMs);
  }

  async #syncAside(): Promise<void> {
    this.#syncing = true;
    const startMs = this.#env.monotonicMs();
    try {
      await this.#file!.datasync();
    } catch (error) {
      this.#syncing = false;
      this.#fail(error);
      this.#wakeIdle();
      return;
    }
    this.#syncing = false;
    this.counters.asyncSyncs++;
    this.#synced(startMs);
    if (this.#wanted || this.#closing) this.commit(true);
    this.#wakeIdle();
  }

  #synced(startMs: number): void {
    this.counters.lastSyncMs = this.#env.monotonicMs() - startMs;
    this.#durable = this.#lastBatchEnd;
    if (!this.#newestCounts) {
      this.#newestCounts = true;
      this.#dropReleased();
    }
    this.onDurable(this.#durable);
  }

  #nextSegment(firstEntry: number, spare: string | undefined): DiskFile {
    this.#file?.close();
    this.#file = undefined;
    const number = this.#batchSegment;
    const path = `${this.#dir}/${segmentName(number)}`;
    if (spare !== undefined) this.#disk.rename(spare, path);
    const file = this.#disk.open(path, spare === undefined ? "upsert" : "write");
    // The name first: with new content under its old name, a recycled file would look damaged.
    this.#disk.syncDir(this.#dir);
    const header = encodeSegmentHeader({ number, firstEntry, recycled: spare !== undefined });
    file.write(header, 0);
    this.#file = file;
    this.#position = SEGMENT_HEADER_BYTES;
    this.#newestCounts = false;
    this.#allocated = file.size();
    this.#segments.push({ number, path, bytes: SEGMENT_HEADER_BYTES, ends: new Map() });
    if (spare === undefined) this.counters.segmentsCreated++;
    else this.counters.segmentsRecycled++;
    return file;
  }

  /** Oldest first, so that what is left is always a run without a gap. */
  #dropReleased(): void {
    while (this.#newestCounts && this.#segments.length > 1 && this.#isReleased(this.#segments[0]!)) {
      const { path } = this.#segments.shift()!;
      if (this.#spares.length < sparesMax) {
        const spare = `${path}${SPARE_SUFFIX}`;
        this.#disk.rename(path, spare);
        this.#spares.push(spare);
      } else this.#disk.remove(path);
    }
  }

  #isReleased(segment: Segment): boolean {
    for (const [group, end] of segment.ends) if ((this.#released.get(group) ?? 0) < end) return false;
    return true;
  }

  #stall(error: RamaError): void {
    this.#stalled = true;
    this.counters.fullDiskStalls++;
    this.#env.log.warn("the disk is full: the log waits for space", { path: error.facts.path });
    this.#env.setTimer(fullDiskRetryMs, () => {
      this.#stalled = false;
      if (!this.#closing) this.commit(true);
    });
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#failure =
      error instanceof RamaError
        ? error
        : new RamaError("DISK_FAILED", `${this.#dir}: ${cause.message}`, { path: this.#dir }, error);
    this.#env.log.error("the log has ended", { dir: this.#dir, error: this.#failure.message });
    this.onFailed(this.#failure);
  }

  #wakeIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }
}
