// Opens the directory of a store's log: reads every entry that still counts, cuts a torn tail, and refuses a log with damage anywhere else. Whatever it
// hands out is durable when it returns, although the process that wrote it may have died before its sync.
import { RamaError } from "../base/errors.ts";
import type { Disk, DiskFile } from "./disk.ts";
import {
  decodeSegmentHeader,
  findBatch,
  KIND_CUT,
  SEGMENT_HEADER_BYTES,
  scanSegment,
  segmentName,
  segmentNumber,
} from "./segment.ts";
import type { LogEntry } from "./store-contract.ts";

export const SPARE_SUFFIX = ".spare";

/** A segment on disk. `ends` has, for each group with entries in it, the offset behind the last. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  bytes: number;
  readonly ends: Map<number, number>;
}

export interface GroupEnd {
  /** Offset of the next entry. */
  readonly end: number;
  /** Epoch of the last entry. */
  readonly epoch: number;
}

export interface OpenedSegments {
  /** Oldest first; the last one goes on being written. */
  readonly segments: Segment[];
  /** The newest, open for writing; undefined in a log without segments. */
  readonly file: DiskFile | undefined;
  /** Bytes of the newest segment that hold records. */
  readonly position: number;
  /** Size of the newest segment's file; zeros from `position` on. */
  readonly allocated: number;
  readonly spares: string[];
  /** Number of the last entry. */
  readonly end: number;
  readonly groups: ReadonlyMap<number, GroupEnd>;
  readonly entries: number;
  readonly tornBytes: number;
}

export interface SegmentsOptions {
  readonly disk: Disk;
  readonly dir: string;
  readonly replay: (entry: LogEntry) => void;
  readonly from: (group: number) => number;
}

export function openSegments(options: SegmentsOptions): OpenedSegments {
  options.disk.mkdir(options.dir);
  return new Opening(options).run();
}

interface ReadSegment {
  readonly bytes: Uint8Array;
  /** Where the last batch begins. */
  readonly lastBatch: number;
  readonly validEnd: number;
  readonly restIsZero: boolean;
}

class Opening {
  readonly #options: SegmentsOptions;
  readonly #segments: Segment[] = [];
  readonly #groups = new Map<number, { end: number; epoch: number }>();
  /** Number of the next entry; 0 before the first segment. */
  #next = 0;
  #entries = 0;
  #tornBytes = 0;
  #current: Segment | undefined;
  #currentPath = "";

  constructor(options: SegmentsOptions) {
    this.#options = options;
  }

  run(): OpenedSegments {
    const { disk, dir } = this.#options;
    const names = disk.list(dir);
    const numbers = names.flatMap((name) => segmentNumber(name) ?? []);
    numbers.forEach((number, i) => {
      if (i > 0 && number !== numbers[i - 1]! + 1) throw this.#missing(`segment ${numbers[i - 1]! + 1} is missing`);
    });
    let newest: ReadSegment | undefined;
    for (const number of numbers) {
      const isNewest = number === numbers.at(-1);
      newest = this.#read(number, isNewest) ?? newest;
    }
    const opened = this.#openNewest(newest);
    return {
      ...opened,
      segments: this.#segments,
      spares: names.filter((name) => name.endsWith(SPARE_SUFFIX)).map((name) => `${dir}/${name}`),
      end: Math.max(0, this.#next - 1),
      groups: this.#groups,
      entries: this.#entries,
      tornBytes: this.#tornBytes,
    };
  }

  #read(number: number, isNewest: boolean): ReadSegment | undefined {
    const { disk, dir } = this.#options;
    const path = `${dir}/${segmentName(number)}`;
    const bytes = disk.readFile(path);
    const header = decodeSegmentHeader(bytes);
    this.#currentPath = path;
    if (header === undefined || header.number !== number) {
      // Created or renamed, and died before its first batch was durable: nobody was told of what it holds.
      const batch = findBatch(bytes, number, SEGMENT_HEADER_BYTES, 0);
      const isUsed = batch >= 0 && findBatch(bytes, number, batch + 1, 0) >= 0;
      if (!isNewest || isUsed) throw this.#corrupt(path, 0);
      disk.remove(path);
      disk.syncDir(dir);
      return undefined;
    }
    if (this.#next === 0) this.#next = header.firstEntry;
    if (header.firstEntry !== this.#next)
      throw this.#corrupt(this.#segments.at(-1)?.path ?? path, this.#segments.at(-1)?.bytes ?? 0);
    const segment: Segment = { number, path, bytes: 0, ends: new Map() };
    this.#segments.push(segment);
    this.#current = segment;
    let lastBatch = SEGMENT_HEADER_BYTES;
    const scan = scanSegment(bytes, number, SEGMENT_HEADER_BYTES, {
      batch: (firstEntry, position) => {
        lastBatch = position;
        if (firstEntry !== this.#next) throw this.#corrupt(path, position);
      },
      entry: (entry, position) => this.#entry(entry, position),
    });
    segment.bytes = isNewest ? scan.validEnd : bytes.length;
    const damaged = findBatch(bytes, number, scan.validEnd, this.#next);
    if (damaged >= 0) throw this.#corrupt(path, scan.validEnd);
    const lastUsed = header.recycled ? bytes.length - 1 : lastNonZero(bytes, scan.validEnd);
    if (isNewest) this.#tornBytes = Math.max(scan.declaredEnd, header.recycled ? 0 : lastUsed + 1) - scan.validEnd;
    const restIsZero = lastUsed < scan.validEnd && scan.declaredEnd === scan.validEnd;
    return { bytes, lastBatch, validEnd: scan.validEnd, restIsZero };
  }

  #entry(entry: LogEntry, position: number): void {
    const { group, epoch, offset } = entry;
    const known = this.#groups.get(group);
    const from = this.#options.from(group);
    if (entry.kind === KIND_CUT) {
      if (known !== undefined && offset > known.end) throw this.#corrupt(this.#currentPath, position, group);
      this.#groups.set(group, { end: offset, epoch: known?.epoch ?? epoch });
      this.#next++;
      this.#options.replay(entry);
      return;
    }
    // The first retained entry of a group may lie below what is still needed, never above it.
    if (known === undefined ? offset > from : offset !== known.end)
      throw this.#corrupt(this.#currentPath, position, group);
    if (known === undefined) this.#groups.set(group, { end: offset + 1, epoch });
    else {
      known.end = offset + 1;
      known.epoch = epoch;
    }
    this.#current!.ends.set(group, offset + 1);
    this.#next++;
    if (offset < from) return;
    this.#entries++;
    this.#options.replay(entry);
  }

  #openNewest(read: ReadSegment | undefined): Pick<OpenedSegments, "file" | "position" | "allocated"> {
    const { disk, dir } = this.#options;
    const newest = this.#segments.at(-1);
    if (newest === undefined || read === undefined) return { file: undefined, position: 0, allocated: 0 };
    const { bytes, lastBatch, validEnd, restIsZero } = read;
    const file = disk.open(newest.path, "write");
    // A torn batch must not lie behind the next one: its records could pass for that one's.
    if (!restIsZero) file.truncate(validEnd);
    // The last batch may never have been synced, or its sync may have failed: then the system's cache shows bytes that it holds for clean and that are not on the
    // disk. Written once more they are dirty again.
    if (validEnd > lastBatch) file.write(bytes.subarray(lastBatch, validEnd), lastBatch);
    file.datasyncSync();
    disk.syncDir(dir);
    newest.bytes = validEnd;
    return { file, position: validEnd, allocated: file.size() };
  }

  #corrupt(path: string, position: number, group?: number): RamaError {
    const groups = group === undefined ? [...this.#groups.keys()].sort((a, b) => a - b) : [group];
    const whose = groups.length === 0 ? "" : `; task groups touched: ${groups.join(", ")}`;
    const message = `${path}: damaged at byte ${position}, with entries of the log behind it${whose}`;
    return new RamaError("STORE_CORRUPT", message, { path, position, groups });
  }

  #missing(what: string): RamaError {
    return new RamaError("STORE_CORRUPT", `${this.#options.dir}: ${what}`, { path: this.#options.dir });
  }
}

const zeros = new Uint8Array(64 * 1024);

function lastNonZero(bytes: Uint8Array, from: number): number {
  let at = bytes.length - 1;
  // Whole blocks natively: see `findBatch`.
  while (at - zeros.length >= from && Buffer.compare(bytes.subarray(at + 1 - zeros.length, at + 1), zeros) === 0)
    at -= zeros.length;
  while (at >= from && bytes[at] === 0) at--;
  return at;
}
