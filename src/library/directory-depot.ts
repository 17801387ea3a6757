// An external depot (language.md 19.3) of files that others append lines to: `setup.declareObject("*orders", () => new DirectoryDepot("/data/orders"))` makes `*orders` a
// source. Also the pattern for adapters to other systems: everything that a topology needs of one is in the methods of the contract.
//
// The file `<n>.log` is partition n; a record is a line, complete with its newline; its offset is its number in the file. Files only grow. The directory must be
// the same for every worker. A line's place is found by an index in memory (a position per 64 KB), made by reading the file once.
import { type FileHandle, open, readdir } from "node:fs/promises";
import { type ExternalDepot, type ExternalRecord, RamaError } from "../index.ts";

export interface DirectoryDepotOptions<Data = any> {
  /** Data of a line; default: `JSON.parse`. */
  readonly decode?: (line: string) => Data;
  /** The key of a record; default: none (null). */
  readonly keyOf?: (data: Data) => unknown;
  /** Epoch milliseconds of a record, for `startFromOffsetAfterTimestamp` and `…Ago` by time; they never fall within a file. */
  readonly timeOf?: (data: Data) => number;
}

/** Of one answer. */
const recordsMax = 1000;
const bytesMax = 1024 * 1024;
const indexEveryBytes = 64 * 1024;
const readBytes = 128 * 1024;
const newline = 10;

export class DirectoryDepot<Data = any> implements ExternalDepot<unknown, Data> {
  readonly #dir: string;
  readonly #options: DirectoryDepotOptions<Data>;
  readonly #files = new Map<number, LineFile>();

  constructor(dir: string, options: DirectoryDepotOptions<Data> = {}) {
    this.#dir = dir;
    this.#options = options;
  }

  /** There is nothing to prepare; that the method exists lets `declareObject` refuse one instance for all tasks. */
  prepareForTask(): void {}

  async getNumPartitions(): Promise<number> {
    let count = 0;
    for (const name of await readdir(this.#dir)) {
      const [, number] = /^(\d+)\.log$/.exec(name) ?? [];
      if (number !== undefined) count = Math.max(count, Number(number) + 1);
    }
    return count;
  }

  endOffset(partition: number): Promise<number> {
    return this.#file(partition).lines();
  }

  async offsetAfterTimestampMillis(partition: number, epochMs: number): Promise<number | null> {
    const { timeOf } = this.#options;
    if (timeOf === undefined) {
      const message = `${this.#dir}: to start at a time, DirectoryDepot needs timeOf: (data) => epoch milliseconds`;
      throw new RamaError("NOT_ALLOWED_HERE", message);
    }
    const file = this.#file(partition);
    let [low, high] = [0, await file.lines()];
    const end = high;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [line] = await file.read(middle, middle + 1);
      if (line === undefined || timeOf(this.#decode(partition, middle, line)) < epochMs) low = middle + 1;
      else high = middle;
    }
    return low < end ? low : null;
  }

  async fetchFrom(partition: number, from: number, to?: number): Promise<ExternalRecord<unknown, Data>[]> {
    const file = this.#file(partition);
    const end = Math.min(to ?? Number.POSITIVE_INFINITY, await file.lines(), from + recordsMax);
    const lines = await file.read(from, end);
    return lines.map((line, i) => {
      const data = this.#decode(partition, from + i, line);
      return [from + i, this.#options.keyOf?.(data) ?? null, data];
    });
  }

  #decode(partition: number, offset: number, line: string): Data {
    const { decode = JSON.parse as (line: string) => Data } = this.#options;
    try {
      return decode(line);
    } catch (error) {
      const message = `${this.#file(partition).path}, line ${offset + 1} cannot be decoded: ${String(error)}`;
      throw new RamaError("USER_CODE_FAILED", message, { partition, offset }, error);
    }
  }

  #file(partition: number): LineFile {
    let file = this.#files.get(partition);
    if (file === undefined) {
      file = new LineFile(`${this.#dir}/${partition}.log`);
      this.#files.set(partition, file);
    }
    return file;
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
  }
}

/** Lines of one file by number. */
class LineFile {
  readonly path: string;
  #handle: FileHandle | undefined;
  /** Complete lines up to `#position`, where the next begins. */
  #lines = 0;
  #position = 0;
  readonly #index: { readonly line: number; readonly position: number }[] = [{ line: 0, position: 0 }];
  #scanning: Promise<void> | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** How many there are; a file that is not there has none. */
  async lines(): Promise<number> {
    this.#scanning ??= this.#scan().finally(() => {
      this.#scanning = undefined;
    });
    await this.#scanning;
    return this.#lines;
  }

  async #open(): Promise<FileHandle | undefined> {
    try {
      this.#handle ??= await open(this.path, "r");
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
    }
    return this.#handle;
  }

  async #scan(): Promise<void> {
    const handle = await this.#open();
    if (handle === undefined) return;
    const { size } = await handle.stat();
    if (size < this.#position) {
      const message = `${this.path} has become shorter: files of a DirectoryDepot only grow`;
      throw new RamaError("USER_CODE_FAILED", message, { path: this.path });
    }
    const buffer = new Uint8Array(readBytes);
    for (let at = this.#position; at < size; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(readBytes, size - at), at);
      if (bytesRead === 0) break;
      for (let i = buffer.indexOf(newline); i >= 0 && i < bytesRead; i = buffer.indexOf(newline, i + 1)) {
        this.#lines++;
        this.#position = at + i + 1;
        if (this.#position - this.#index.at(-1)!.position >= indexEveryBytes)
          this.#index.push({ line: this.#lines, position: this.#position });
      }
      at += bytesRead;
    }
  }

  /** Lines [from, to), as many as one answer should hold; all of them are there. */
  async read(from: number, to: number): Promise<string[]> {
    const handle = await this.#open();
    if (handle === undefined || from >= to) return [];
    let { line, position } = this.#before(from);
    const lines: string[] = [];
    let rest = new Uint8Array(0);
    let bytes = 0;
    while (line < to && bytes < bytesMax && position < this.#position) {
      const buffer = new Uint8Array(Math.min(readBytes, this.#position - position));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      const text = joined(rest, buffer.subarray(0, bytesRead));
      let start = 0;
      for (let i = text.indexOf(newline); i >= 0 && line < to && bytes < bytesMax; i = text.indexOf(newline, start)) {
        if (line >= from) {
          lines.push(new TextDecoder().decode(text.subarray(start, i)));
          bytes += i - start;
        }
        line++;
        start = i + 1;
      }
      rest = text.slice(start);
    }
    return lines;
  }

  #before(line: number): { readonly line: number; readonly position: number } {
    let low = 0;
    let high = this.#index.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#index[middle]!.line <= line) low = middle;
      else high = middle - 1;
    }
    return this.#index[low]!;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
