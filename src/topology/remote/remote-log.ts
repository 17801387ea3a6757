// A partition that another module, or another system, keeps, as a source reads it: records are fetched ahead into a bounded buffer, and are read from there as from a
// depot partition. What is read again long after (a failed record) is fetched by itself.
//   #from ≤ what sources read next ≤ #end; all records of [#from, #end) are in the buffer or gone
import type { Env } from "../../base/env.ts";
import { messageOf } from "../../base/errors.ts";
import type { Fetched, FetchedRecord } from "../../protocol/depot-read.ts";

/** Where the records come from. Rejections are tried again after a pause. */
export interface Feed {
  positions(): Promise<{ readonly startOffset: number; readonly endOffset: number }>;
  /** Offset of the first record of that time or later; the end when there is none. */
  offsetAfterTimestamp(ms: number): Promise<number>;
  /** Records from `from` on, at most those below `to`. Without `to` it waits a while for the first. Nothing below `neededFrom` is asked for again. */
  fetch(from: number, to?: number, neededFrom?: number): Promise<Fetched>;
}

export interface RemoteLogOptions {
  readonly env: Env;
  readonly feed: Feed;
  /** For messages. */
  readonly name: string;
  /** Records have come: outside of turns. */
  readonly grown: () => void;
  /** null: all is well again. */
  readonly troubled: (message: string | null) => void;
}

/** What is fetched ahead, in bytes of records. */
const bufferBytesMax = 4 * 1024 * 1024;
/** Beside its bytes, a record in memory costs about so much. */
const recordBytes = 64;
const retryFirstMs = 50;
const retryMostMs = 2000;
/** Single records on their way or here; more are asked for later. */
const singlesMax = 200;

export class RemoteLog {
  readonly #options: RemoteLogOptions;
  /** First offset that can be read, as far as known. */
  startOffset = 0;
  /** Nothing below is read again, not after a crash either. */
  neededFrom: () => number = () => this.#from;
  #records: FetchedRecord[] = [];
  #head = 0;
  #bytes = 0;
  #from = 0;
  #end = 0;
  /** The buffer grows up to here whatever its size. */
  #needTo = 0;
  /** Counts seeks: what an earlier fetch brings is not wanted. */
  #life = 0;
  #fetching = -1;
  #failures = 0;
  readonly #singles = new Map<number, FetchedRecord | null | undefined>();
  readonly #closed = new AbortController();

  constructor(options: RemoteLogOptions) {
    this.#options = options;
  }

  /** Begins to fetch at `offset`. */
  seek(offset: number): void {
    this.#records = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#from = offset;
    this.#end = offset;
    this.#life++;
    this.#pump();
  }

  /** End of the records that can be read from `from` on. One that was left behind is fetched anew. */
  readableTo(from: number): number {
    if (from >= this.#from && from <= this.#end) return this.#end;
    this.seek(from);
    return from;
  }

  /** Everything below `to` will be wanted at once. */
  need(to: number): void {
    this.#needTo = to;
    this.#pump();
  }

  /** Views of the records of [from, to) that are in the buffer, until they have `bytesMax`, one at least. */
  read(from: number, to: number, bytesMax: number): FetchedRecord[] {
    const views: FetchedRecord[] = [];
    let bytes = 0;
    for (let at = this.#indexOf(from); at < this.#records.length && bytes < bytesMax; at++) {
      const record = this.#records[at]!;
      if (record.offset >= to) break;
      views.push(record);
      bytes += record.end - record.start;
    }
    return views;
  }

  /** Nothing below `offset` is read again, unless by `one`. */
  release(offset: number): void {
    if (offset <= this.#from) return;
    const until = this.#indexOf(offset);
    for (; this.#head < until; this.#head++) this.#bytes -= sizeOf(this.#records[this.#head]!);
    this.#from = Math.min(offset, this.#end);
    if (this.#head > 1000 || this.#head === this.#records.length) {
      this.#records = this.#records.slice(this.#head);
      this.#head = 0;
    }
    this.#pump();
  }

  /** The record at `offset`, wherever it is; undefined while it is on its way; null when it is gone. */
  one(offset: number): FetchedRecord | null | undefined {
    if (offset >= this.#from && offset < this.#end) {
      const record = this.#records[this.#indexOf(offset)];
      return record?.offset === offset ? record : null;
    }
    if (this.#singles.has(offset)) return this.#singles.get(offset);
    if (this.#singles.size >= singlesMax) this.#dropSingle();
    if (this.#singles.size < singlesMax && !this.closed) {
      this.#singles.set(offset, undefined);
      const { env, name } = this.#options;
      env.spawn(`record ${offset} of ${name}`, () => this.#fetchOne(offset));
    }
    return undefined;
  }

  /** It is not read again. */
  forget(offset: number): void {
    if (this.#singles.size > 0) this.#singles.delete(offset);
  }

  /** The oldest that is here makes room; it can be fetched again. */
  #dropSingle(): void {
    for (const [offset, found] of this.#singles) {
      if (found === undefined) continue;
      this.#singles.delete(offset);
      return;
    }
  }

  async #fetchOne(offset: number): Promise<void> {
    try {
      const { records } = await this.#options.feed.fetch(offset, offset + 1);
      if (!this.#singles.has(offset)) return;
      this.#singles.set(offset, records.find((record) => record.offset === offset) ?? null);
      this.#options.grown();
    } catch (error) {
      this.#singles.delete(offset);
      this.#trouble(error);
    }
  }

  /** First record at `offset` or later. */
  #indexOf(offset: number): number {
    let low = this.#head;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#records[middle]!.offset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #pump(): void {
    if (this.closed || this.#life === 0 || this.#fetching === this.#life) return;
    if (this.#bytes >= bufferBytesMax && this.#needTo <= this.#end) return;
    this.#fetching = this.#life;
    const life = this.#life;
    this.#options.env.spawn(`fetch of ${this.#options.name}`, () => this.#fetch(life));
  }

  async #fetch(life: number): Promise<void> {
    const { env, feed } = this.#options;
    let fetched: Fetched | undefined;
    try {
      fetched = await feed.fetch(this.#end, undefined, Math.min(this.#end, this.neededFrom()));
      if (this.#failures > 0) this.#options.troubled(null);
      this.#failures = 0;
    } catch (error) {
      if (this.closed) return;
      this.#trouble(error);
      const pauseMs = Math.min(retryMostMs, retryFirstMs * 2 ** this.#failures++);
      await env.sleep(pauseMs * (0.5 + env.random() / 2), this.#closed.signal);
    }
    if (this.closed || life !== this.#life) return;
    this.#fetching = -1;
    if (fetched !== undefined) this.#take(fetched);
    this.#pump();
  }

  #take({ startOffset, nextOffset, records }: Fetched): void {
    this.startOffset = startOffset;
    if (nextOffset <= this.#end) return;
    for (const record of records) {
      this.#records.push(record);
      this.#bytes += sizeOf(record);
    }
    this.#end = nextOffset;
    this.#options.grown();
  }

  #trouble(error: unknown): void {
    if (!this.closed) this.#options.troubled(`${this.#options.name} cannot be read: ${messageOf(error)}`);
  }

  get closed(): boolean {
    return this.#closed.signal.aborted;
  }

  close(): void {
    this.#closed.abort();
  }
}

function sizeOf({ start, end }: FetchedRecord): number {
  return end - start + recordBytes;
}
