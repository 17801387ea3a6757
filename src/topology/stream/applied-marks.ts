// What events of open trees have written on one task group, so that a record that runs again does not write it twice.
//
// A tree that does not end in the turn in which it began (it waits, or has gone to another engine) is not covered by the turn's atomicity: when its record runs
// again after a crash, a timeout or a failure, the events that had been through come a second time. Each event has a path - the place in its tree, the same
// in every run of code that does the same with the same record - and each one that wrote leaves a mark (source partition, offset, path) in the same entry
// of the log. An event that finds its mark runs once more for what it sends, and its writes are taken back.
// A partition's start task tells with every event below which offset all is done for good (`low`): marks below go. What is remembered is therefore what is
// under way. Code that decides differently when it runs again (random, clock, what it reads) is applied at least once, as in the reference.
//   list  := count, (key u32 | task varint | offset varint | path u32)*, count, (key u32 | task varint | low varint)*          in a turn's entry and, whole, in the Kv
// The lows of a turn's entry are those that have grown since the entry of marks before: followers drop by them what their leader has dropped. The Kv's list has none.
// `key` is a hash of topology, depot, source id and module instance: after an update nothing is taken for what it is not.
import { KeyWriter } from "../../base/key-encoding.ts";
import { murmur3 } from "../../base/hash.ts";
import type { ByteReader, ByteWriter } from "../../base/value-bytes.ts";

/** One record of one source partition, seen from any engine. */
export interface RecordOrigin {
  readonly key: number;
  readonly task: number;
  readonly offset: number;
}

export interface Mark {
  readonly origin: RecordOrigin;
  readonly path: number;
}

/** All records of the source partition below `low` are done for good. */
export interface Low {
  readonly key: number;
  readonly task: number;
  readonly low: number;
}

/** What one entry tells. */
export interface MarkList {
  readonly marks: readonly Mark[];
  readonly lows: readonly Low[];
}

export const rootPath = 1;

/** The path of what an event causes: `ordinal` counts what it asked for. */
export function childPath(path: number, ordinal: number): number {
  let hash = Math.imul(path ^ Math.imul(ordinal + 1, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return (hash ^ (hash >>> 13)) >>> 0;
}

export function sourceKey(parts: readonly string[]): number {
  const writer = new KeyWriter(128);
  writer.key(parts);
  return murmur3(writer.bytes, writer.length);
}

export class AppliedMarks {
  /** Applied: by source partition, then offset; mostly one path per offset. */
  readonly #partitions = new Map<number, Map<number, number | number[]>>();
  readonly #lows = new Map<number, number>();
  /** Sealed, not applied. */
  readonly #pending: MarkList[] = [];
  #fresh: Mark[] = [];
  /** Partitions whose low has grown since the last `take`. */
  readonly #grown = new Set<number>();
  /** The Kv has another state. */
  dirty = false;

  get hasFresh(): boolean {
    return this.#fresh.length > 0;
  }

  note(origin: RecordOrigin, path: number): void {
    this.#fresh.push({ origin, path });
  }

  has(origin: RecordOrigin, path: number): boolean {
    const paths = this.#partitions.get(partitionOf(origin))?.get(origin.offset);
    if (paths !== undefined && (typeof paths === "number" ? paths === path : paths.includes(path))) return true;
    if (this.#pending.length === 0 && this.#fresh.length === 0) return false;
    return this.#pending.some(({ marks }) => contains(marks, origin, path)) || contains(this.#fresh, origin, path);
  }

  /**
   * An event of a run that has long been done with, from a leader that was stopped while it was about to send it: its record has run again since, and its marks are pruned.
   * `low` is what the event's sender knew when it sent it; 0: nothing, as with dead letters that run again and with events of events.
   */
  isOutdated(origin: RecordOrigin, low: number): boolean {
    return low > 0 && low <= origin.offset && origin.offset < (this.#lows.get(partitionOf(origin)) ?? 0);
  }

  /** For the turn's entry; `apply` makes them durable knowledge. */
  take(): MarkList {
    const lows: Low[] = [];
    for (const partition of this.#grown) lows.push({ ...placeOf(partition), low: this.#lows.get(partition)! });
    this.#grown.clear();
    const list = { marks: this.#fresh, lows };
    this.#fresh = [];
    this.#pending.push(list);
    return list;
  }

  apply(list: MarkList): void {
    const at = this.#pending.indexOf(list);
    if (at >= 0) this.#pending.splice(at, 1);
    for (const { origin, path } of list.marks) this.#add(origin, path);
    for (const { key, task, low } of list.lows) this.#drop(key * taskSpan + task, low);
    this.dirty = true;
  }

  #add(origin: RecordOrigin, path: number): void {
    const partition = partitionOf(origin);
    if (origin.offset < (this.#lows.get(partition) ?? 0)) return;
    let offsets = this.#partitions.get(partition);
    if (offsets === undefined) {
      offsets = new Map();
      this.#partitions.set(partition, offsets);
    }
    const paths = offsets.get(origin.offset);
    if (paths === undefined) offsets.set(origin.offset, path);
    else if (typeof paths === "number") {
      if (paths !== path) offsets.set(origin.offset, [paths, path]);
    } else if (!paths.includes(path)) paths.push(path);
  }

  /** Records of the partition below `low` never run again. */
  prune(key: number, task: number, low: number): void {
    const partition = key * taskSpan + task;
    if (this.#drop(partition, low)) this.#grown.add(partition);
  }

  /** True: it has grown. */
  #drop(partition: number, low: number): boolean {
    const known = this.#lows.get(partition) ?? 0;
    if (low <= known) return false;
    this.#lows.set(partition, low);
    const offsets = this.#partitions.get(partition);
    if (offsets === undefined || offsets.size === 0) return true;
    this.dirty = true;
    for (const offset of offsets.keys()) if (offset < low) offsets.delete(offset);
    if (offsets.size === 0) this.#partitions.delete(partition);
    return true;
  }

  /** All that is applied. */
  encode(writer: ByteWriter): void {
    const marks: Mark[] = [];
    for (const [partition, offsets] of this.#partitions) {
      const { key, task } = placeOf(partition);
      for (const [offset, paths] of offsets) {
        for (const path of typeof paths === "number" ? [paths] : paths)
          marks.push({ origin: { key, task, offset }, path });
      }
    }
    writeMarks(writer, { marks, lows: [] });
  }
}

const taskSpan = 0x1_0000;

function partitionOf(origin: RecordOrigin): number {
  return origin.key * taskSpan + origin.task;
}

function placeOf(partition: number): { key: number; task: number } {
  return { key: Math.floor(partition / taskSpan), task: partition % taskSpan };
}

function contains(marks: readonly Mark[], origin: RecordOrigin, path: number): boolean {
  return marks.some(
    (mark) =>
      mark.path === path &&
      mark.origin.offset === origin.offset &&
      mark.origin.task === origin.task &&
      mark.origin.key === origin.key,
  );
}

export function writeMarks(writer: ByteWriter, { marks, lows }: MarkList): void {
  writer.varint(marks.length);
  for (const { origin, path } of marks) {
    writer.u32(origin.key);
    writer.varint(origin.task);
    writer.varint(origin.offset);
    writer.u32(path);
  }
  writer.varint(lows.length);
  for (const { key, task, low } of lows) {
    writer.u32(key);
    writer.varint(task);
    writer.varint(low);
  }
}

/** The reader ends with the list; one of an earlier release has no lows. */
export function readMarks(reader: ByteReader): MarkList {
  const marks: Mark[] = [];
  for (let count = reader.varint(); count > 0; count--) {
    const origin = { key: reader.u32(), task: reader.varint(), offset: reader.varint() };
    marks.push({ origin, path: reader.u32() });
  }
  const lows: Low[] = [];
  if (reader.pos === reader.end) return { marks, lows };
  for (let count = reader.varint(); count > 0; count--)
    lows.push({ key: reader.u32(), task: reader.varint(), low: reader.varint() });
  return { marks, lows };
}
