// A page: all that the Kv had of one structure's elements between two keys, as one block of bytes. Elements are decoded when they are asked for; a page that is
// asked for often keeps what it has decoded, while the cache has room. A page weighs a tenth of what as many nodes weigh (node-cache.ts).
//
//   bytes := (encoded element key | encoded value)*        ascending by key; ends[2i] is where key i ends, ends[2i + 1] where its value does
//
// What it says of a key holds unless the key has a node in memory: then the node does (range.ts).
import { latin1Of } from "../base/bytes.ts";
import { decodeKey } from "../base/key-decoding.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { KvEntry } from "../storage/kv.ts";
import { decodeMigrating } from "./migration.ts";
import type { Structure } from "./structure.ts";

/** Objects, offsets and bookkeeping of a page without elements. */
const pageBytes = 600;
/** Visits after which decoded elements are kept. */
const hotVisits = 4;
/** What a decoded element weighs beside twice its bytes. */
const decodedBytes = 64;

export class Page {
  readonly structure: Structure;
  /** Bounds, half-open, of encoded element keys. They may be narrower than what `bytes` holds. */
  from: string;
  to: string;
  /** Finished flushes when it was read: what a later one wrote may be missing. */
  readonly flushes: number;
  readonly count: number;
  /** The last evaluation that looked at it, of a session. */
  used = 0;
  // What the cache's clock looks at.
  readonly pins = 0;
  referenced = true;
  gone = false;
  weight: number;
  readonly #bytes: Uint8Array;
  readonly #ends: Uint32Array;
  /** `#position` of what `to` was when it was asked for. */
  #end = 0;
  #endsAt: string | undefined = undefined;
  #visits = 0;
  #keys: unknown[] | undefined = undefined;
  #values: unknown[] | undefined = undefined;

  /** `entries` ascending, with whole stored keys. */
  constructor(
    structure: Structure,
    bounds: { from: string; to: string },
    flushes: number,
    entries: readonly KvEntry[],
  ) {
    this.structure = structure;
    this.from = bounds.from;
    this.to = bounds.to;
    this.flushes = flushes;
    this.count = entries.length;
    const skip = structure.prefix.length;
    let length = 0;
    for (const { key, value } of entries) length += key.length - skip + value.length;
    const bytes = new Uint8Array(length);
    const ends = new Uint32Array(2 * entries.length);
    let at = 0;
    for (let i = 0; i < entries.length; i++) {
      const { key, value } = entries[i]!;
      for (let k = skip; k < key.length; k++) bytes[at++] = key[k]!;
      ends[2 * i] = at;
      if (value.length < 32) for (let v = 0; v < value.length; v++) bytes[at + v] = value[v]!;
      else bytes.set(value, at);
      at += value.length;
      ends[2 * i + 1] = at;
    }
    this.#bytes = bytes;
    this.#ends = ends;
    this.weight = pageBytes + length + 8 * entries.length;
  }

  /** The cache lets it go. */
  evict(): void {
    this.structure.pages?.delete(this);
    this.structure.emptied();
  }

  #start(i: number): number {
    return i === 0 ? 0 : this.#ends[2 * i - 1]!;
  }

  /** Order of element `i` and the key that `order` encodes: below 0, 0, above 0. */
  compare(i: number, order: string): number {
    const bytes = this.#bytes;
    const start = this.#start(i);
    const length = this.#ends[2 * i]! - start;
    const common = Math.min(length, order.length);
    for (let k = 0; k < common; k++) {
      const difference = bytes[start + k]! - order.charCodeAt(k);
      if (difference !== 0) return difference;
    }
    return length - order.length;
  }

  /** Index of the first element at or above `order`. */
  position(order: string): number {
    if (order !== this.to) return this.#position(order);
    if (this.#endsAt !== order) {
      this.#endsAt = order;
      this.#end = this.#position(order);
    }
    return this.#end;
  }

  #position(order: string): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(middle, order) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  orderAt(i: number): string {
    return latin1Of(this.#bytes, this.#start(i), this.#ends[2 * i]!);
  }

  /** An evaluation begins to look at elements. */
  visit(): void {
    this.referenced = true;
    if (this.#keys !== undefined || ++this.#visits < hotVisits) return;
    const { cache } = this.structure;
    const more = this.count * decodedBytes + 2 * this.#bytes.length;
    if (cache.bytes + more > 0.75 * cache.bytesMax) return;
    this.#keys = [];
    this.#values = [];
    if (this.gone) return;
    this.weight += more;
    cache.bytes += more;
  }

  keyAt(i: number): unknown {
    const known = this.#keys?.[i];
    if (known !== undefined) return known;
    const { type, cache } = this.structure;
    const key = decodeKey(this.#bytes, this.#start(i), type!.key.leaf, cache.classes);
    if (this.#keys !== undefined) this.#keys[i] = key;
    return key;
  }

  /** The stored form of the element with the key `key`, which is `keyAt(i)`. */
  storedAt(i: number, key: unknown): unknown {
    const known = this.#values?.[i];
    if (known !== undefined) return known;
    const { structure } = this;
    const start = this.#ends[2 * i]!;
    const end = this.#ends[2 * i + 1]!;
    const stored = structure.migrates
      ? decodeMigrating(structure, structure.valueType(key), key, this.#bytes, start, end)
      : decodeValue(this.#bytes, start, end, structure.cache.classes);
    if (this.#values !== undefined) this.#values[i] = stored;
    return stored;
  }
}

/** The pages of one structure that are in the cache: disjoint, ascending. */
export class StructurePages {
  readonly #pages: Page[] = [];

  get empty(): boolean {
    return this.#pages.length === 0;
  }

  /** Index of the last page that begins at or below `at`; -1 when there is none. */
  #find(at: string): number {
    const pages = this.#pages;
    let low = 0;
    let high = pages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pages[middle]!.from <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The page that contains `at`, or in reverse, what is just below it. */
  find(at: string, reverse: boolean): Page | undefined {
    let i = this.#find(at);
    if (reverse && i >= 0 && this.#pages[i]!.from === at) i--;
    const page = this.#pages[i];
    if (page === undefined) return undefined;
    return (reverse ? at <= page.to : at < page.to) ? page : undefined;
  }

  /** Takes the page in, as far as no other holds its keys. False: all of it is there. */
  add(page: Page): boolean {
    const before = this.#find(page.from);
    const left = this.#pages[before];
    if (left !== undefined && left.to > page.from) page.from = left.to;
    const right = this.#pages[before + 1];
    if (right !== undefined && right.from < page.to) page.to = right.from;
    if (page.from >= page.to) return false;
    this.#pages.splice(before + 1, 0, page);
    return true;
  }

  delete(page: Page): void {
    const i = this.#find(page.from);
    if (this.#pages[i] === page) this.#pages.splice(i, 1);
  }

  /** The page that says what the key with this encoding had. */
  at(order: string): Page | undefined {
    return this.find(order, false);
  }

  *[Symbol.iterator](): Iterator<Page> {
    yield* this.#pages;
  }
}
