// Contract between navigators and structures whose elements are stored one by one: the top level of a PState and every subindexed structure below it.
// Navigators test `instanceof IndexedMap | IndexedSet | IndexedList` beside plain `Map`, `Set`, arrays and objects, and otherwise treat them alike.
// `pstate/` implements these over the node cache and the Kv; `paths/plain-indexed.ts` (tests, TestPState) over sorted arrays in memory.
//
// Reads are synchronous. A read that needs a page from disk that is not in memory cannot wait: it calls `session.miss(load)` of the ReadSession
// that the structure was opened with and answers as if empty. Whoever evaluates the path looks at `session.missed` afterwards; if anything was
// missed, it throws the result (or the error) away, awaits `session.load()` and evaluates again. So navigators stay plain code, the number of
// rounds is the depth of nested ranges, not the number of elements, and user functions inside paths must be pure.
// A transform that missed is rolled back by its owner before it is evaluated again.
//
// Elements that are subindexed structures themselves come out as IndexedX handles. A handle is never a value: emitting, storing or
// sending one is STRUCTURE_NOT_A_VALUE. Writing a plain Map, Set or array where the schema says subindexed converts it.
// Order is that of the key encoding (`base/key-encoding.ts`).

import { structureMark } from "../base/values.ts";

/** Asks the first range of a path (compile.ts `compilePagedSelect`) for one page at a time. */
export class Paging {
  readonly #size: number;
  /** Key of the last element of the pages before. */
  #after: { readonly key: unknown } | undefined = undefined;
  #next: { readonly key: unknown } | undefined = undefined;

  constructor(size: number) {
    this.#size = size;
  }

  /** An evaluation begins. */
  begin(): void {
    this.#next = undefined;
  }

  /** There may be more behind what the last evaluation has seen. */
  get hasMore(): boolean {
    return this.#next !== undefined;
  }

  /** The next evaluation goes on where the last one stopped. */
  turn(): void {
    this.#after = this.#next;
  }

  page<T>(range: (range: IndexRange) => T[], keyOf: (element: T) => unknown): T[] {
    const after = this.#after;
    const from = after === undefined ? {} : { from: after.key, hasFrom: true, fromExclusive: true };
    const found = range({ ...from, limit: this.#size });
    if (found.length >= this.#size) this.#next = { key: keyOf(found.at(-1)!) };
    return found;
  }
}

export class ReadSession {
  paging: Paging | undefined = undefined;
  readonly #loads: (() => Promise<void>)[] = [];

  get missed(): boolean {
    return this.#loads.length > 0;
  }

  miss(load: () => Promise<void>): void {
    this.#loads.push(load);
  }

  /** Brings in what was missed, all at once; afterwards `missed` is false. */
  async load(): Promise<void> {
    const loads = this.#loads.splice(0);
    await Promise.all(loads.map((load) => load()));
  }
}

/** Absent bounds are open. `limit` counts from the start, or from the end when `reverse`; the answer is ascending in both cases. */
export interface IndexRange {
  readonly from?: unknown;
  readonly fromExclusive?: boolean;
  readonly to?: unknown;
  readonly toInclusive?: boolean;
  readonly limit?: number;
  readonly reverse?: boolean;
  /** Distinguishes a bound that is null from an absent one. */
  readonly hasFrom?: boolean;
  readonly hasTo?: boolean;
}

export abstract class IndexedMap {
  get [structureMark](): true {
    return true;
  }
  /** The value, an Indexed handle, or undefined when absent (null is a value). */
  abstract get(key: unknown): unknown;
  abstract has(key: unknown): boolean;
  /** Validates against the schema (SCHEMA_MISMATCH), converts plain collections at subindexed places. */
  abstract set(key: unknown, value: unknown): void;
  abstract delete(key: unknown): void;
  /** Constant time where size is tracked. */
  abstract size(): number;
  abstract range(range: IndexRange): [unknown, unknown][];
  abstract clear(): void;
}

export abstract class IndexedSet {
  get [structureMark](): true {
    return true;
  }
  abstract has(element: unknown): boolean;
  abstract add(element: unknown): void;
  abstract delete(element: unknown): void;
  abstract size(): number;
  abstract range(range: IndexRange): unknown[];
  abstract clear(): void;
}

export abstract class IndexedList {
  get [structureMark](): true {
    return true;
  }
  /** INDEX_OUT_OF_RANGE outside [0, size). */
  abstract get(index: number): unknown;
  abstract set(index: number, value: unknown): void;
  abstract size(): number;
  /** Elements of [from, to). */
  abstract slice(from: number, to: number): unknown[];
  /** Replaces [from, to) by `elements`; equal lengths and changes at the end touch only those elements. */
  abstract splice(from: number, to: number, elements: readonly unknown[]): void;
  abstract clear(): void;
}

export type Indexed = IndexedMap | IndexedSet | IndexedList;

export function isIndexed(value: unknown): value is Indexed {
  return value instanceof IndexedMap || value instanceof IndexedSet || value instanceof IndexedList;
}

/** The root of one partition of a PState in one view. A map or fixed top level answers `get` with its IndexedMap and ignores identical sets. */
export interface PathRoot {
  get(): unknown;
  set(value: unknown): void;
}
