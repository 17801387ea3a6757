// What navigators read, over plain data and over indexed structures alike. Generated code (`compile.ts`) calls these, and so do the collection ops.
// null is an empty collection of any kind. Absent is `undefined` here; navigated values never are.
import { compareValues, mapGet, mapHas, setHas, setStored, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { kindOf } from "../base/values.ts";
import { IndexedList, IndexedMap, type IndexRange, IndexedSet, isIndexed } from "./indexed.ts";
import type { RangeShape } from "./spec.ts";

export function badPlace(what: string, value: unknown): RamaError {
  return new RamaError("BAD_PATH", `${what} cannot navigate ${describe(value)}`, { navigator: what });
}

export function describe(value: unknown): string {
  const kind = isIndexed(value) ? "subindexed structure" : kindOf(value);
  return /^[aeiou]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

export function indexOutOfRange(index: unknown, size: number): RamaError {
  return new RamaError("INDEX_OUT_OF_RANGE", `index ${String(index)} is outside a list of ${size}`, { index, size });
}

/** Own fields of plain objects and class instances. */
function isFields(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || isIndexed(value)) return false;
  const kind = kindOf(value);
  return kind === "object" || kind === "instance";
}

function orAbsent(value: unknown, present: boolean): unknown {
  return value === undefined && present ? null : value;
}

/** The value at a key; undefined when absent. */
export function lookup(value: unknown, key: unknown, what = "key"): unknown {
  if (value instanceof Map) {
    const found = value.get(key);
    return found === undefined ? mapGet(value, key) : found;
  }
  if (value === null || value === undefined) return undefined;
  if (value instanceof IndexedMap) return value.get(key);
  if (Array.isArray(value)) return isIndexOf(value.length, key) ? orAbsent(value[Number(key)], true) : undefined;
  if (value instanceof IndexedList) return isIndexOf(value.size(), key) ? value.get(Number(key)) : undefined;
  if (value instanceof Set) return setStored(value, key);
  if (value instanceof IndexedSet) return value.has(key) ? key : undefined;
  if (isFields(value)) return typeof key === "string" && Object.hasOwn(value, key) ? value[key] : undefined;
  throw badPlace(what, value);
}

export function key(value: unknown, at: unknown): unknown {
  const found = lookup(value, at);
  return found === undefined ? null : found;
}

export function isIndexOf(size: number, index: unknown): boolean {
  const number = typeof index === "bigint" ? Number(index) : index;
  return typeof number === "number" && Number.isInteger(number) && number >= 0 && number < size;
}

export function nth(value: unknown, index: unknown): unknown {
  const size = sizeOfList(value, "nth");
  if (!isIndexOf(size, index)) throw indexOutOfRange(index, size);
  return elementAt(value, Number(index));
}

function elementAt(value: unknown, index: number): unknown {
  const element = value instanceof IndexedList ? value.get(index) : (value as unknown[])[index];
  return element === undefined ? null : element;
}

export function sizeOfList(value: unknown, what: string): number {
  if (value === null || value === undefined) return 0;
  if (Array.isArray(value)) return value.length;
  if (value instanceof IndexedList) return value.size();
  throw badPlace(what, value);
}

/** Elements of a list or set, entries of a map. */
export function elements(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (value === null || value === undefined) return [];
  if (value instanceof Set) return [...value];
  if (value instanceof IndexedSet) return value.range({});
  if (value instanceof IndexedList) return value.slice(0, value.size());
  return entries(value, "all");
}

/** `[index, element]` of a list. */
export function indexed(value: unknown): [number, unknown][] {
  sizeOfList(value, "indexedVals");
  return elements(value).map((element, i) => [i, element]);
}

/** Entries of a map or plain object. */
export function entries(value: unknown, what = "all"): [unknown, unknown][] {
  if (value === null || value === undefined) return [];
  if (value instanceof Map) return [...value];
  if (value instanceof IndexedMap) return value.range({});
  if (isFields(value)) return Object.entries(value).filter(([, field]) => field !== undefined);
  throw badPlace(what, value);
}

export function mapVals(value: unknown): unknown[] {
  if (value instanceof Map) return [...value.values()];
  return entries(value, "mapVals").map(([, element]) => element);
}

export function mapKeys(value: unknown): unknown[] {
  if (value instanceof Map) return [...value.keys()];
  return entries(value, "mapKeys").map(([key]) => key);
}

/** The key of a map as it is stored; undefined when absent. */
export function presentKey(value: unknown, key: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  if (value instanceof Map) return mapHas(value, key) ? key : undefined;
  if (value instanceof IndexedMap) return value.has(key) ? key : undefined;
  if (isFields(value)) return typeof key === "string" && Object.hasOwn(value, key) ? key : undefined;
  throw badPlace("mapKey", value);
}

/** The element of a set as it is stored; undefined when absent. */
export function presentElement(value: unknown, element: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  if (value instanceof Set) return setHas(value, element) ? element : undefined;
  if (value instanceof IndexedSet) return value.has(element) ? element : undefined;
  throw badPlace("setElem", value);
}

/** First or last; undefined when there is none. */
export function endOf(value: unknown, last: boolean): unknown {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value) || value instanceof IndexedList) {
    const size = sizeOfList(value, "first");
    return size === 0 ? undefined : elementAt(value, last ? size - 1 : 0);
  }
  if (value instanceof IndexedSet || value instanceof IndexedMap) return value.range({ limit: 1, reverse: last })[0];
  if (value instanceof Set) return extreme([...value], last, (element) => element);
  return extreme(entries(value, last ? "last" : "first"), last, (entry) => entry[0]);
}

function extreme<T>(list: readonly T[], greatest: boolean, keyOf: (element: T) => unknown): T | undefined {
  let best = list[0];
  for (let i = 1; i < list.length; i++) {
    const order = compareValues(keyOf(list[i]!), keyOf(best!));
    if (greatest ? order > 0 : order < 0) best = list[i];
  }
  return best;
}

export function sublistBounds(value: unknown, from: unknown, to: unknown): [number, number] {
  const size = sizeOfList(value, "sublist");
  const [start, end] = [Number(from), Number(to)];
  if (!isIndexOf(size + 1, start)) throw indexOutOfRange(from, size);
  if (!isIndexOf(size + 1, end) || end < start) throw indexOutOfRange(to, size);
  return [start, end];
}

export function sublist(value: unknown, from: unknown, to: unknown): unknown[] {
  const [start, end] = sublistBounds(value, from, to);
  if (value === null || value === undefined) return [];
  return (value as unknown[] | IndexedList).slice(start, end);
}

export function dynamicBounds(
  value: unknown,
  from: (...args: any[]) => unknown,
  to: (...args: any[]) => unknown,
): [number, number] {
  const list = elements(value);
  const start = from(list);
  return sublistBounds(value, start, to(list, start));
}

/** The entries of these keys that exist, in the kind of map that was found. */
export function subMap(value: unknown, keys: unknown): unknown {
  const mapLike = value === null || value === undefined || value instanceof Map || value instanceof IndexedMap;
  if (!mapLike && !isFields(value)) throw badPlace("subMap", value);
  const result = new Map<unknown, unknown>();
  for (const each of elements(keys)) {
    const found = lookup(value, each, "subMap");
    if (found !== undefined) result.set(each, found);
  }
  return isFields(value) ? Object.fromEntries(result as Map<string, unknown>) : result;
}

export function subSet(value: unknown, wanted: unknown): Set<unknown> {
  const result = new Set<unknown>();
  for (const each of elements(wanted)) if (presentElement(value, each) !== undefined) result.add(each);
  return result;
}

export function indexRange(shape: RangeShape, args: readonly unknown[]): IndexRange {
  let at = 0;
  const from = shape.hasFrom ? args[at++] : undefined;
  const to = shape.hasTo ? args[at++] : undefined;
  const { hasFrom, hasTo, fromExclusive, toInclusive, reverse } = shape;
  const range = { hasFrom, hasTo, from, to, fromExclusive, toInclusive, reverse };
  if (!shape.hasLimit) return range;
  const limit = Number(args[at]);
  if (args[at] === null || !(limit >= 0))
    throw new RamaError("BAD_PATH", `a range's limit is ${String(args[at])}, not a number from 0 on`);
  return { ...range, limit };
}

/** The part of ascending `list` that lies in the range. */
function cut<T>(list: readonly T[], range: IndexRange, keyOf: (element: T) => unknown): T[] {
  const inside = list.filter((element) => {
    const at = keyOf(element);
    const low = range.hasFrom ? compareValues(at, range.from) : 1;
    const high = range.hasTo ? compareValues(at, range.to) : -1;
    return (range.fromExclusive ? low > 0 : low >= 0) && (range.toInclusive ? high <= 0 : high < 0);
  });
  inside.sort((a, b) => compareValues(keyOf(a), keyOf(b)));
  if (range.limit === undefined) return inside;
  return range.reverse ? inside.slice(Math.max(0, inside.length - range.limit)) : inside.slice(0, range.limit);
}

export function mapRange(value: unknown, shape: RangeShape, args: readonly unknown[]): Map<unknown, unknown> {
  const range = indexRange(shape, args);
  if (value instanceof IndexedMap) return new Map(value.range(range));
  return new Map(cut(entries(value, "sortedMapRange"), range, (entry) => entry[0]));
}

export function setRange(value: unknown, shape: RangeShape, args: readonly unknown[]): Set<unknown> {
  const range = indexRange(shape, args);
  if (value instanceof IndexedSet) return new Set(value.range(range));
  if (value === null || value === undefined) return new Set();
  if (!(value instanceof Set)) throw badPlace("sortedSetRange", value);
  return new Set(cut([...value], range, (element) => element));
}

/** Whether a collection holds `element`: an element of a list or set, a key of a map, a part of a string. */
export function contains(value: unknown, element: unknown): boolean {
  if (value === null || value === undefined) return false;
  if (value instanceof Set) return setHas(value, element);
  if (value instanceof Map) return mapHas(value, element);
  if (value instanceof IndexedMap || value instanceof IndexedSet) return value.has(element);
  if (Array.isArray(value) || value instanceof IndexedList)
    return elements(value).some((each) => valuesEqual(each, element));
  if (typeof value === "string") return typeof element === "string" && value.includes(element);
  if (isFields(value)) return typeof element === "string" && Object.hasOwn(value, element);
  throw badPlace("contains", value);
}

export function size(value: unknown): number {
  if (value === null || value === undefined) return 0;
  if (typeof value === "string" || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  if (value instanceof Map || value instanceof Set) return value.size;
  if (isIndexed(value)) return value.size();
  if (isFields(value)) return Object.keys(value).length;
  throw badPlace("size", value);
}

export function truthy(value: unknown): boolean {
  return value !== false && value !== null && value !== undefined;
}

function notAValue(): RamaError {
  return new RamaError(
    "STRUCTURE_NOT_A_VALUE",
    "a subindexed structure is no value: it cannot be emitted, stored or sent",
  );
}

/** STRUCTURE_NOT_A_VALUE for a handle of a subindexed structure. */
export function assertShippable(value: unknown): unknown {
  if (typeof value === "object" && value !== null && isIndexed(value)) throw notAValue();
  return value;
}

/** The same, for values that may hold handles: entries, ranges, lists of what a path navigates to. */
export function assertShippableDeep(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (isIndexed(value)) throw notAValue();
  if (Array.isArray(value)) {
    for (const element of value) if (typeof element === "object") assertShippableDeep(element);
  } else if (value instanceof Map) {
    for (const element of value.values()) if (typeof element === "object") assertShippable(element);
  }
  return value;
}

/** A plain copy of an indexed structure, at every depth; any other value as it is. */
export function plain(value: unknown): unknown {
  if (value instanceof IndexedMap) return new Map(value.range({}).map(([key, element]) => [key, plain(element)]));
  if (value instanceof IndexedSet) return new Set(value.range({}));
  if (value instanceof IndexedList) return value.slice(0, value.size()).map(plain);
  return value;
}

export { isFields };
