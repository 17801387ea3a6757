// Indexed structures over sorted arrays in memory, with a schema like a PState's: for TestPState and tests. They behave as `pstate/` does, except that
// nothing ever misses memory. Keys are found by their encoded bytes, so order and equality are the real ones.
import { compareBytes } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import { encodeKey } from "../base/key-encoding.ts";
import { IndexedList, IndexedMap, type IndexRange, IndexedSet, isIndexed, type PathRoot } from "./indexed.ts";
import { elements, entries, indexOutOfRange, isFields, plain } from "./read.ts";
import type { SchemaHint } from "./spec.ts";

interface Cell {
  readonly bytes: Uint8Array;
  readonly key: unknown;
  value: unknown;
}

/** Cells ascending by key bytes. */
class Cells {
  list: Cell[] = [];

  /** Where the bytes are, or the complement of where they belong. */
  find(bytes: Uint8Array): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compareBytes(this.list[middle]!.bytes, bytes);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return ~low;
  }

  at(key: unknown): Cell | undefined {
    return this.list[this.find(encodeKey(key))];
  }

  put(key: unknown, value: unknown): void {
    const bytes = encodeKey(key);
    const at = this.find(bytes);
    if (at >= 0) this.list[at]!.value = value;
    else this.list.splice(~at, 0, { bytes, key, value });
  }

  remove(key: unknown): void {
    const at = this.find(encodeKey(key));
    if (at >= 0) this.list.splice(at, 1);
  }

  range(range: IndexRange): Cell[] {
    const { from, to, limit, reverse } = range;
    const start = range.hasFrom ? this.#edge(from, range.fromExclusive ?? false) : 0;
    const end = range.hasTo ? this.#edge(to, range.toInclusive ?? false) : this.list.length;
    const cells = this.list.slice(start, Math.max(start, end));
    if (limit === undefined || limit >= cells.length) return cells;
    return reverse ? cells.slice(cells.length - limit) : cells.slice(0, limit);
  }

  #edge(key: unknown, after: boolean): number {
    const at = this.find(encodeKey(key));
    return at < 0 ? ~at : after ? at + 1 : at;
  }
}

const anything: SchemaHint = { kind: "leaf" };

export class PlainIndexedMap extends IndexedMap {
  readonly #cells = new Cells();
  readonly #schema: SchemaHint;

  constructor(schema: SchemaHint = anything) {
    super();
    this.#schema = schema;
  }

  get(key: unknown): unknown {
    return this.#cells.at(key)?.value;
  }
  has(key: unknown): boolean {
    return this.#cells.at(key) !== undefined;
  }
  set(key: unknown, value: unknown): void {
    const hint = this.#schema.kind === "fixed" ? this.#field(key) : this.#schema.value;
    this.#cells.put(key, stored(value, hint, this.get(key)));
  }
  delete(key: unknown): void {
    this.#cells.remove(key);
  }
  size(): number {
    return this.#cells.list.length;
  }
  range(range: IndexRange): [unknown, unknown][] {
    return this.#cells.range(range).map(({ key, value }) => [key, value]);
  }
  clear(): void {
    this.#cells.list = [];
  }

  #field(key: unknown): SchemaHint | undefined {
    const hint = this.#schema.fields?.get(key as string);
    if (hint === undefined) throw new RamaError("SCHEMA_MISMATCH", `${String(key)} is none of the fixed keys`, { key });
    return hint;
  }
}

export class PlainIndexedSet extends IndexedSet {
  readonly #cells = new Cells();

  has(element: unknown): boolean {
    return this.#cells.at(element) !== undefined;
  }
  add(element: unknown): void {
    if (!this.has(element)) this.#cells.put(element, null);
  }
  delete(element: unknown): void {
    this.#cells.remove(element);
  }
  size(): number {
    return this.#cells.list.length;
  }
  range(range: IndexRange): unknown[] {
    return this.#cells.range(range).map(({ key }) => key);
  }
  clear(): void {
    this.#cells.list = [];
  }
}

export class PlainIndexedList extends IndexedList {
  #list: unknown[] = [];
  readonly #element: SchemaHint | undefined;

  constructor(schema: SchemaHint = anything) {
    super();
    this.#element = schema.element as SchemaHint | undefined;
  }

  get(index: number): unknown {
    if (index < 0 || index >= this.#list.length) throw indexOutOfRange(index, this.#list.length);
    return this.#list[index];
  }
  set(index: number, value: unknown): void {
    this.#list[index] = stored(value, this.#element, this.get(index));
  }
  size(): number {
    return this.#list.length;
  }
  slice(from: number, to: number): unknown[] {
    return this.#list.slice(from, to);
  }
  splice(from: number, to: number, replacement: readonly unknown[]): void {
    const values = replacement.map((value) => stored(value, this.#element, undefined));
    this.#list = [...this.#list.slice(0, from), ...values, ...this.#list.slice(to)];
  }
  clear(): void {
    this.#list = [];
  }
}

/** What a place with this schema holds after `value` is written there: plain collections become structures where it says subindexed. */
function stored(value: unknown, hint: SchemaHint | undefined, before: unknown): unknown {
  if (isIndexed(value)) {
    if (value === before) return value;
    throw new RamaError("STRUCTURE_NOT_A_VALUE", "a subindexed structure cannot be stored at another place");
  }
  const schema = hint?.kind === "migrated" ? hint.to : hint;
  if (value === null || schema?.subindexed === undefined) {
    return schema?.kind === "fixed" ? storedFields(value, schema) : value;
  }
  return structureOf(schema, value);
}

/** A fixed-keys level is a plain object; subindexed fields inside one are structures. */
function storedFields(value: unknown, schema: SchemaHint): unknown {
  if (value === null) return null;
  const fields: Record<string, unknown> = {};
  for (const [name, field] of entries(value)) {
    const hint = schema.fields?.get(name as string);
    if (hint === undefined)
      throw new RamaError("SCHEMA_MISMATCH", `${String(name)} is none of the fixed keys`, { key: name });
    fields[name as string] = isIndexed(field) ? field : stored(field, hint, undefined);
  }
  return fields;
}

/** A structure of this schema that holds what the plain collection does. */
export function structureOf(schema: SchemaHint, value: unknown = null): IndexedMap | IndexedSet | IndexedList {
  switch (schema.kind) {
    case "set": {
      const set = new PlainIndexedSet();
      for (const element of elements(value)) set.add(element);
      return set;
    }
    case "list": {
      const list = new PlainIndexedList(schema);
      list.splice(0, 0, elements(value));
      return list;
    }
    default: {
      const map = new PlainIndexedMap(schema);
      for (const [key, element] of entries(value)) map.set(key, element);
      return map;
    }
  }
}

/** The root of a PState in memory: a map or fixed top level is an IndexedMap, a class schema one value. */
export class PlainRoot implements PathRoot {
  readonly #schema: SchemaHint;
  #value: unknown;

  constructor(schema: SchemaHint, initial: unknown = null) {
    this.#schema = schema;
    this.#value = schema.kind === "map" || schema.kind === "fixed" ? structureOf(schema, initial) : initial;
  }

  get(): unknown {
    return this.#value;
  }

  set(value: unknown): void {
    if (value === this.#value) return;
    this.#value = this.#value instanceof IndexedMap ? structureOf(this.#schema, value) : value;
  }

  /** Everything as plain data. */
  plain(): unknown {
    return deepPlain(this.#value);
  }
}

function deepPlain(value: unknown): unknown {
  if (isIndexed(value)) {
    const copy = plain(value);
    if (copy instanceof Map) return new Map([...copy].map(([key, element]) => [key, deepPlain(element)]));
    return Array.isArray(copy) ? copy.map(deepPlain) : copy;
  }
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, deepPlain(field)]));
}
