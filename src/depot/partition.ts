// One depot partition: gives offsets, carries records into the replog, and lets them be read once they are applied.
//
//   startOffset ≤ copied ≤ endOffset (applied) ≤ appendEnd          (trimming may take startOffset past `copied`)
// A record is in memory from its append until it has been copied into the partition's files (1 MB, or with the next flush); the newest ones stay a while longer for
// readers that are near the end. Copied bytes are synced only before the log lets go of their entries (replication/flush.ts).
import { assert } from "../base/assert.ts";
import { RamaError } from "../base/errors.ts";
import { type AppendToken, appendEntryHeader, DEPOT_APPEND, type DepotAppend } from "./append-entry.ts";
import type { DedupeTable } from "./dedupe.ts";
import { type RecordRun, type RecordView, viewRecords } from "./segment-blocks.ts";
import { DepotConsumers } from "./consumers.ts";
import type { DepotControl } from "./control-entry.ts";
import type { PartitionState, StoredMigration } from "./depot-state.ts";
import type { RecordMigration } from "./migration.ts";
import type { Rewriting } from "./rewrite.ts";
import type { DepotSegments } from "./segments.ts";

const defaultCopyBytes = 1024 * 1024;
/** Copied records that stay in memory: one to two reads of a topology that keeps up. */
const defaultKeptBytes = 256 * 1024;

/** Appends from this length on keep the bytes that they came in. */
const ownBufferBytes = 16 * 1024;
const roomBytesMin = 16 * 1024;
const roomBytesMax = 64 * 1024;

/** The part of `replication/replog.ts` that a partition needs. */
export interface AppendTarget {
  /** The disk does not keep up with what is appended. */
  readonly overloaded?: boolean;
  append(kind: number, parts: readonly Uint8Array[], onApply: () => void): number;
}

export interface AppendedAt {
  /** Of the first record. */
  readonly offset: number;
  readonly duplicate: boolean;
}

export interface DepotPartitionOptions {
  /** Number in the store's catalogue. */
  readonly depot: number;
  readonly name: string;
  readonly task: number;
  readonly segments: DepotSegments;
  readonly dedupe: DedupeTable;
  readonly consumers?: DepotConsumers;
  readonly keptBytes?: number;
  /** Applied bytes that are put into the files at once. */
  readonly copyBytes?: number;
  /** What the files do not know themselves. */
  readonly state?: Pick<PartitionState, "start" | "generation" | "migration">;
  /** Of this version of the module. */
  readonly migration?: RecordMigration;
}

export class DepotPartition {
  readonly depot: number;
  readonly name: string;
  readonly task: number;
  segments: DepotSegments;
  readonly dedupe: DedupeTable;
  readonly consumers: DepotConsumers;
  /** How often the files have been written anew. */
  generation: number;
  readonly migration: RecordMigration | undefined;
  /** The migration that the log knows of. */
  #begun: StoredMigration | undefined;
  #oldBelow: number;
  /** Tests: told of each read. */
  onRead: ((from: number, records: number) => void) | undefined = undefined;
  readonly #keptBytes: number;
  readonly #copyBytes: number;
  /** Oldest first, without gap up to `appendEnd`; those before `#uncopied` are in the files too. */
  #chunks: RecordRun[] = [];
  #uncopied = 0;
  /** Where small appends are put one behind the other: a view of its own for each would keep the whole frame that it came in. */
  #room = new Uint8Array(0);
  #roomEnd = 0;
  /** Bytes of the chunks before, and from `#uncopied` on as far as they are applied. */
  #copiedBytes = 0;
  #uncopiedBytes = 0;
  #appliedChunks = 0;
  #start: number;
  #end: number;
  #appendEnd: number;
  #lastMs: number;
  /** What waits for the append with that first offset, besides its own `onApplied`. */
  readonly #waiters = new Map<number, (() => void)[]>();
  /** Changed since the last `changesTaken`. */
  changed = false;

  constructor(options: DepotPartitionOptions) {
    this.depot = options.depot;
    this.name = options.name;
    this.task = options.task;
    this.segments = options.segments;
    this.consumers = options.consumers ?? new DepotConsumers();
    this.dedupe = options.dedupe;
    this.#keptBytes = options.keptBytes ?? defaultKeptBytes;
    this.#copyBytes = options.copyBytes ?? defaultCopyBytes;
    this.#start = Math.max(options.segments.start, options.state?.start ?? 0);
    this.generation = options.state?.generation ?? 0;
    this.#begun = options.state?.migration;
    this.migration = options.migration;
    this.#oldBelow = this.#oldRecords();
    this.#end = options.segments.end;
    this.#appendEnd = options.segments.end;
    this.#lastMs = options.segments.lastMs;
  }

  /** Offset of the oldest record that can be read. */
  get startOffset(): number {
    return this.#start;
  }

  /** Offset behind the last applied record. */
  get endOffset(): number {
    return this.#end;
  }

  /** Offset behind the last record, applied or not. */
  get appendEnd(): number {
    return this.#appendEnd;
  }

  /** Bytes of the files and of what is not copied. */
  get bytes(): number {
    return this.segments.bytes + this.#uncopiedBytes;
  }

  get uncopiedBytes(): number {
    return this.#uncopiedBytes;
  }

  /**
   * Appends `count` records, each as length u32 and value bytes, as one entry of the replog. Colocated topologies may run on them at once; readers see them once
   * they are applied. With the token of an earlier append nothing is stored: `duplicate` and the first offset, and `onApplied` as soon as that append is applied
   * (at once when it is). The bytes may be kept and must not change. APPEND_OUTCOME_UNKNOWN: the token is older than what is remembered. OVERLOADED: nothing was stored.
   */
  append(
    replog: AppendTarget,
    records: Uint8Array,
    count: number,
    token: AppendToken | null,
    nowMs: number,
    onApplied: () => void,
  ): AppendedAt {
    if (token !== null) {
      const known = this.dedupe.find(token.client, token.seq, nowMs);
      if (known !== undefined) {
        this.#whenApplied(known, onApplied);
        return { offset: known, duplicate: true };
      }
    }
    if (replog.overloaded === true) {
      throw new RamaError("OVERLOADED", `${this.name}: the disk does not keep up with the appends; nothing was stored`);
    }
    const offset = this.#appendEnd;
    // Append times never fall, so that they can be searched; the clock may.
    const appendMs = Math.max(this.#lastMs, Math.floor(nowMs));
    const header = appendEntryHeader({ depot: this.depot, task: this.task, count, offset, appendMs, token });
    const end = offset + count;
    replog.append(DEPOT_APPEND, [header, records], () => {
      this.#apply(offset, end);
      onApplied();
    });
    if (token !== null) this.dedupe.record(token.client, token.seq, offset, appendMs);
    this.#add(offset, count, appendMs, records);
    return { offset, duplicate: false };
  }

  /** An append that is in the log already: recovery, followers. One that is in the files counts for its token only. */
  applyEntry(append: DepotAppend): void {
    const { offset, count, appendMs, token, records } = append;
    this.changed = true;
    if (token !== null) this.dedupe.record(token.client, token.seq, offset, appendMs);
    if (offset < this.#end) {
      assert(offset + count <= this.#end, `${this.name} ${this.task}: entry at ${offset} reaches past ${this.#end}`);
      return;
    }
    if (offset !== this.#end || this.#appendEnd !== this.#end) {
      const message = `${this.name}, task ${this.task}: the log goes on at offset ${offset}, the partition ends at ${this.#end}`;
      throw new RamaError("STORE_CORRUPT", message, { depot: this.name, task: this.task, offset });
    }
    this.#add(offset, count, appendMs, records);
    this.#apply(offset, offset + count);
  }

  /**
   * Views of the records of [from, to), in order, until they have `maxBytes`, one at least; a view of no bytes is a tombstone. The bytes must not be changed and may
   * be kept. OFFSET_OUT_OF_RANGE when the range is not within [startOffset, endOffset]; USER_CODE_FAILED when a migration cannot map the first.
   */
  read(from: number, to: number, maxBytes: number): RecordView[] {
    if (!(from >= this.#start && from <= to && to <= this.#end)) throw this.#outOfRange(from, to);
    const views: RecordView[] = [];
    this.#read(from, to, maxBytes, views);
    this.onRead?.(from, views.length);
    return views;
  }

  #read(from: number, to: number, maxBytes: number, views: RecordView[]): void {
    let offset = from;
    let left = maxBytes;
    const memoryStart = this.#chunks[0]?.offset ?? this.#appendEnd;
    if (offset < memoryStart && offset < to) {
      this.segments.read(offset, Math.min(to, memoryStart), left, views);
      for (const view of views) left -= view.end - view.start;
      offset = views.at(-1)!.offset + 1;
      if (from < this.#oldBelow && this.#filesAreOld) this.#map(views, 0);
      if (offset < memoryStart || views.at(-1)!.offset + 1 < offset) return;
    }
    const inMemory = views.length;
    for (let at = this.#chunkAt(offset); offset < to && left > 0; at++) {
      const before = views.length;
      viewRecords(this.#chunks[at]!, offset, to, left, views);
      for (let i = before; i < views.length; i++) left -= views[i]!.end - views[i]!.start;
      if (views.length > before) offset = views.at(-1)!.offset + 1;
    }
    if (from < this.#oldBelow) this.#map(views, inMemory);
  }

  /** The records from `offset` on that lie behind each other in memory as they were appended; undefined: `read` has to bring them. The run may begin before `offset`. */
  runAt(offset: number): RecordRun | undefined {
    if (offset < this.#oldBelow || offset >= this.#end) return undefined;
    const run = this.#chunks[this.#chunkAt(offset)];
    return run !== undefined && run.offset <= offset ? run : undefined;
  }

  // ---- what happens beside appends

  /** What has happened, from the log or just made durable. */
  applyControl({ kind, offset, id }: DepotControl): void {
    this.changed = true;
    if (kind === "trim") this.#start = Math.max(this.#start, Math.min(offset, this.#end));
    else if (kind === "consumer") this.consumers.note(id, offset);
    else if (kind === "forget") this.consumers.forget(id);
    else if (id === "") this.#begun = undefined;
    else if (this.#begun?.id !== id) this.#begun = { id, boundary: offset, generation: this.generation };
    this.#oldBelow = this.#oldRecords();
  }

  /** The migration that the log knows of. */
  get begun(): StoredMigration | undefined {
    return this.#begun;
  }

  /** What the log has to be told before this version of the module appends anything; undefined: nothing. */
  migrationToBegin(): DepotControl | undefined {
    const id = this.migration?.id ?? "";
    if (id === (this.#begun?.id ?? "")) return undefined;
    return { kind: "migrate", depot: this.depot, task: this.task, offset: this.#appendEnd, id };
  }

  /** Records as they are to be stored. USER_CODE_FAILED. */
  toStore(records: Uint8Array): Uint8Array {
    return this.migration === undefined ? records : this.migration.mapAll(records, 0, records.length, -1);
  }

  /** Records below this may be in their older form; 0: none. */
  #oldRecords(): number {
    return this.#begun !== undefined && this.#begun.id === this.migration?.id ? this.#begun.boundary : 0;
  }

  /** Those that stand in the files are. */
  get #filesAreOld(): boolean {
    return this.#begun?.generation === this.generation;
  }

  /** Maps views from `first` on, as far as they are old; the views end before a record that cannot be mapped. */
  #map(views: RecordView[], first: number): void {
    let last = first;
    while (last < views.length && views[last]!.offset < this.#oldBelow) last++;
    if (last > first) this.migration!.mapViews(views, first, last);
  }

  /** The files hold old records that can be read: they are to be written anew. */
  get isOld(): boolean {
    return this.#oldBelow > this.#start && this.#filesAreOld;
  }

  /** One stretch of it, into `next`; undefined: the newest old records are not in the files yet. */
  rewriteInto(next: DepotSegments): Rewriting | undefined {
    const { segments, migration } = this;
    if (!this.isOld || segments.end < this.#oldBelow) return undefined;
    return { old: segments, next, migration: migration!, boundary: this.#oldBelow, start: this.#start };
  }

  /** `next` holds all that the files hold. Returns the old ones. */
  changeOver(next: DepotSegments): DepotSegments {
    const old = this.segments;
    assert(next.end === old.end, `${this.name} ${this.task}: rewritten up to ${next.end} of ${old.end}`);
    this.segments = next;
    this.generation++;
    this.changed = true;
    return old;
  }

  /** Epoch milliseconds. OFFSET_OUT_OF_RANGE. */
  appendTimeOf(offset: number): number {
    if (!(offset >= this.#start && offset < this.#end)) throw this.#outOfRange(offset, offset + 1);
    const chunk = this.#chunks[this.#chunkAt(offset)];
    return chunk !== undefined && chunk.offset <= offset ? chunk.appendMs : this.segments.appendTimeOf(offset);
  }

  /** Offset of the first record that was appended at `ms` (epoch milliseconds) or later; `endOffset` when there is none. */
  offsetAfterTimestamp(ms: number): number {
    const memoryStart = this.#chunks[0]?.offset ?? this.#appendEnd;
    if (memoryStart > this.#start && this.segments.lastMs >= ms) {
      const found = this.segments.offsetAfter(ms);
      if (found < memoryStart) return Math.max(found, this.#start);
    }
    for (const chunk of this.#chunks) if (chunk.appendMs >= ms) return Math.min(chunk.offset, this.#end);
    return this.#end;
  }

  /**
   * Puts what is applied into the files; their bytes are durable after `segments.sync()`. False when the disk is full: the rest stays in memory and in the log, and is
   * tried again by the next call.
   */
  copy(): boolean {
    if (this.#uncopied === this.#appliedChunks) return true;
    let isFull = false;
    try {
      this.segments.append(this.#chunks.slice(this.#uncopied, this.#appliedChunks));
    } catch (error) {
      if (!(error instanceof RamaError && error.code === "DISK_FULL")) throw error;
      isFull = true;
    }
    while (this.#uncopied < this.#appliedChunks && this.#chunks[this.#uncopied]!.offset < this.segments.end) {
      const chunk = this.#chunks[this.#uncopied++]!;
      this.#copiedBytes += chunk.end - chunk.start;
      this.#uncopiedBytes -= chunk.end - chunk.start;
    }
    this.#forgetCopied();
    return !isFull;
  }

  #add(offset: number, count: number, appendMs: number, records: Uint8Array): void {
    const { length } = records;
    let bytes = records;
    let start = 0;
    if (length < ownBufferBytes) {
      if (this.#roomEnd + length > this.#room.length) this.#moreRoom();
      bytes = this.#room;
      start = this.#roomEnd;
      bytes.set(records, start);
      this.#roomEnd += length;
    }
    this.#chunks.push({ offset, count, appendMs, bytes, start, end: start + length });
    this.#appendEnd = offset + count;
    this.#lastMs = appendMs;
  }

  #moreRoom(): void {
    this.#room = new Uint8Array(Math.min(roomBytesMax, Math.max(roomBytesMin, this.#room.length * 2)));
    this.#roomEnd = 0;
  }

  #apply(offset: number, end: number): void {
    assert(offset === this.#end, `${this.name} ${this.task}: applied at ${offset}, end ${this.#end}`);
    this.#end = end;
    this.changed = true;
    const chunk = this.#chunks[this.#appliedChunks]!;
    this.#uncopiedBytes += chunk.end - chunk.start;
    this.#appliedChunks++;
    if (this.#waiters.size > 0) this.#wake(offset);
    if (this.#uncopiedBytes >= this.#copyBytes) this.copy();
  }

  #whenApplied(offset: number, onApplied: () => void): void {
    if (offset < this.#end) {
      onApplied();
      return;
    }
    const waiters = this.#waiters.get(offset);
    if (waiters === undefined) this.#waiters.set(offset, [onApplied]);
    else waiters.push(onApplied);
  }

  #wake(offset: number): void {
    const waiters = this.#waiters.get(offset);
    this.#waiters.delete(offset);
    for (const waiter of waiters ?? []) waiter();
  }

  #forgetCopied(): void {
    let count = 0;
    while (count < this.#uncopied && this.#copiedBytes > this.#keptBytes) {
      const chunk = this.#chunks[count++]!;
      this.#copiedBytes -= chunk.end - chunk.start;
    }
    if (count === 0) return;
    this.#chunks = this.#chunks.slice(count);
    this.#uncopied -= count;
    this.#appliedChunks -= count;
  }

  #chunkAt(offset: number): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #outOfRange(from: number, to: number): RamaError {
    const message = `${this.name}, partition ${this.task}: [${from}, ${to}) is not within [${this.#start}, ${this.#end}]`;
    const facts = { depot: this.name, task: this.task, from, to, startOffset: this.#start, endOffset: this.#end };
    return new RamaError("OFFSET_OUT_OF_RANGE", message, facts);
  }
}
