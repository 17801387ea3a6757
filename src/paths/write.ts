// What navigators write. On plain data each function returns a new collection and shares the rest; on indexed structures it changes the structure in
// place and returns the same handle. `next` is the rest of the transform: it gets a place's value and returns the new one, or VOID to remove it.
// Where nothing changes the value itself is returned, so that whoever holds it need not write.
//
// Every change of a transform goes through this module. A variant that also notes each change (for the diffs of reactive reads) is given to
// `compileTransform` as its `runtime`.
import { mapDelete, mapGet, mapHas, mapSet, setAdd, setDelete, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { defineField } from "../base/values.ts";
import { IndexedList, IndexedMap, IndexedSet, isIndexed } from "./indexed.ts";
import { VOID } from "./navigator.ts";
import {
  badPlace,
  describe,
  dynamicBounds,
  elements,
  endOf,
  entries,
  indexOutOfRange,
  isFields,
  isIndexOf,
  mapRange,
  presentElement,
  presentKey,
  setRange,
  sizeOfList,
  sublist,
  sublistBounds,
  subMap,
  subSet,
} from "./read.ts";
import type { RangeShape } from "./spec.ts";

export type Next = (place: any) => unknown;

/** Puts `next` at a key, or removes the key. `fixed`: what is created is a plain object. */
export function setKey(value: unknown, key: unknown, next: unknown, fixed: boolean): unknown {
  if (value instanceof IndexedMap) {
    if (next === VOID) value.delete(key);
    else value.set(key, next);
    return value;
  }
  if (value === null) {
    if (next === VOID) return null;
    return fixed && typeof key === "string" ? fieldsWith({}, key, next) : new Map([[key, next]]);
  }
  if (value instanceof Map) {
    if (next === VOID && !mapHas(value, key)) return value;
    const copy = new Map(value);
    if (next === VOID) mapDelete(copy, key);
    else mapSet(copy, key, next);
    return copy;
  }
  if (Array.isArray(value) || value instanceof IndexedList) return setIndexOrAppend(value, key, next);
  if (!isFields(value)) throw badPlace("key", value);
  if (typeof key !== "string") throw new RamaError("BAD_PATH", `a plain object has string keys, not ${describe(key)}`);
  if (next === VOID && !Object.hasOwn(value, key)) return value;
  const copy: Record<string, unknown> = Object.create(Object.getPrototypeOf(value));
  Object.assign(copy, value);
  if (next === VOID) delete copy[key];
  else defineField(copy, key, next);
  return copy;
}

/** A plain object with several fields changed at once; VOID removes one. Names that objects inherit do not come here. */
export function withFields(value: object, names: readonly string[], nexts: readonly unknown[]): unknown {
  const copy: Record<string, unknown> = { ...value };
  for (let i = 0; i < names.length; i++) {
    if (nexts[i] === VOID) delete copy[names[i]!];
    else copy[names[i]!] = nexts[i];
  }
  return copy;
}

function fieldsWith(fields: Record<string, unknown>, name: string, value: unknown): Record<string, unknown> {
  defineField(fields, name, value);
  return fields;
}

function setIndexOrAppend(list: unknown[] | IndexedList, index: unknown, next: unknown): unknown {
  const size = sizeOfList(list, "key");
  if (isIndexOf(size, index)) return setNth(list, index, next);
  if (next === VOID) return list;
  if (!isIndexOf(size + 1, index)) throw indexOutOfRange(index, size);
  return splice(list, size, size, [next]);
}

export function setNth(value: unknown, index: unknown, next: unknown): unknown {
  const at = Number(index);
  if (next === VOID) return splice(value, at, at + 1, []);
  if (value instanceof IndexedList) {
    value.set(at, next);
    return value;
  }
  const copy = (value as unknown[]).slice();
  copy[at] = next;
  return copy;
}

/** Replaces [from, to) of a list. */
export function splice(value: unknown, from: number, to: number, replacement: readonly unknown[]): unknown {
  if (value instanceof IndexedList) {
    if (from !== to || replacement.length > 0) value.splice(from, to, replacement);
    return value;
  }
  if (value === null) return replacement.length === 0 ? null : [...replacement];
  if (!Array.isArray(value)) throw badPlace("sublist", value);
  return [...value.slice(0, from), ...replacement, ...value.slice(to)];
}

/** Same value, so that nothing needs to be written. */
function same(a: unknown, b: unknown): boolean {
  return a === b;
}

// ---- every element

export function all(value: unknown, next: Next): unknown {
  if (value === null) return null;
  if (Array.isArray(value) || value instanceof IndexedList) return eachOfList(value, next);
  if (value instanceof Set || value instanceof IndexedSet) return eachOfSet(value, elements(value), next);
  return eachEntry(value, entries(value), next);
}

function eachOfList(value: unknown[] | IndexedList, next: Next): unknown {
  const before = elements(value);
  const after = before.map((element) => next(element));
  if (value instanceof IndexedList) {
    for (let i = after.length - 1; i >= 0; i--) {
      if (after[i] === VOID) value.splice(i, i + 1, []);
      else if (!same(after[i], before[i])) value.set(i, after[i]);
    }
    return value;
  }
  if (after.every((element, i) => same(element, before[i]))) return value;
  return after.filter((element) => element !== VOID);
}

function eachOfSet(value: unknown, places: readonly unknown[], next: Next): unknown {
  const results = places.map((place) => next(place));
  if (results.every((result, i) => same(result, places[i]))) return value;
  return replaceElements(
    value,
    places,
    results.filter((result) => result !== VOID),
  );
}

function eachEntry(value: unknown, places: readonly [unknown, unknown][], next: Next): unknown {
  const results = places.map((place) => next(place));
  if (results.every((result, i) => same(result, places[i]))) return value;
  const pairs = results.filter((result) => result !== VOID);
  for (const pair of pairs)
    if (!Array.isArray(pair) || pair.length !== 2) throw badPlace("an entry [key, value]", pair);
  return replaceEntries(value, places, pairs as [unknown, unknown][]);
}

export function mapVals(value: unknown, next: Next): unknown {
  if (value === null) return null;
  if (value instanceof IndexedMap) {
    for (const [key, before] of value.range({})) {
      const after = next(before);
      if (after === VOID) value.delete(key);
      else if (!same(after, before)) value.set(key, after);
    }
    return value;
  }
  const places = entries(value, "mapVals");
  let changed = false;
  const results: [unknown, unknown][] = [];
  for (const [key, before] of places) {
    const after = next(before);
    if (!same(after, before)) changed = true;
    if (after !== VOID) results.push([key, after]);
  }
  return changed ? mapLike(value, results) : value;
}

export function mapKeys(value: unknown, next: Next): unknown {
  if (value === null) return null;
  const places = entries(value, "mapKeys");
  const results: [unknown, unknown][] = [];
  for (const [key, element] of places) {
    const after = next(key);
    if (after !== VOID) results.push([after, element]);
  }
  return replaceEntries(value, places, results);
}

export function mapKey(value: unknown, key: unknown, next: Next): unknown {
  const stored = presentKey(value, key);
  if (stored === undefined) return value;
  const after = next(stored);
  if (after !== VOID && valuesEqual(after, stored)) return value;
  const place = entriesOfKeys(value, [stored]);
  return replaceEntries(value, place, after === VOID ? [] : [[after, place[0]![1]]]);
}

export function setElem(value: unknown, element: unknown, next: Next): unknown {
  const stored = presentElement(value, element);
  return stored === undefined ? value : eachOfSet(value, [stored], next);
}

export function voidSetElem(value: unknown, next: Next): unknown {
  const added = next(VOID);
  return added === VOID ? value : replaceElements(value, [], [added]);
}

// ---- replacing parts

/** Takes the entries `before` out of a map and puts `after` in. */
function replaceEntries(
  value: unknown,
  before: readonly [unknown, unknown][],
  after: readonly [unknown, unknown][],
): unknown {
  if (value instanceof IndexedMap) {
    const kept = new Map<unknown, unknown>();
    for (const [key, element] of after) mapSet(kept, key, element);
    for (const [key, element] of before) {
      if (!mapHas(kept, key)) value.delete(key);
      else if (same(kept.get(key), element)) mapDelete(kept, key);
    }
    for (const [key, element] of kept) value.set(key, element);
    return value;
  }
  if (before.length === 0 && after.length === 0) return value;
  const copy = new Map<unknown, unknown>();
  const removed = new Map<unknown, unknown>();
  const replaced = new Map<unknown, unknown>();
  for (const [key] of before) mapSet(removed, key, true);
  for (const [key, element] of after) mapSet(replaced, key, element);
  // What stays keeps its place in the map's order.
  for (const [key, element] of entries(value)) {
    if (mapHas(replaced, key)) mapSet(copy, key, mapGet(replaced, key));
    else if (!mapHas(removed, key)) copy.set(key, element);
  }
  for (const [key, element] of replaced) mapSet(copy, key, element);
  return mapLike(value, [...copy]);
}

/** A map of these entries, of the kind of `model`: a plain object where it is one. */
function mapLike(model: unknown, list: readonly [unknown, unknown][]): unknown {
  if (model === null || model instanceof Map) {
    const map = new Map<unknown, unknown>();
    for (const [key, element] of list) mapSet(map, key, element);
    return map;
  }
  const fields: Record<string, unknown> = Object.create(Object.getPrototypeOf(model as object));
  for (const [key, element] of list) {
    if (typeof key !== "string")
      throw new RamaError("BAD_PATH", `a plain object has string keys, not ${describe(key)}`);
    defineField(fields, key, element);
  }
  return fields;
}

function replaceElements(value: unknown, before: readonly unknown[], after: readonly unknown[]): unknown {
  if (value instanceof IndexedSet) {
    const kept = new Set<unknown>();
    for (const element of after) setAdd(kept, element);
    for (const element of before) if (!setDelete(kept, element)) value.delete(element);
    for (const element of kept) value.add(element);
    return value;
  }
  if (value !== null && !(value instanceof Set)) throw badPlace("a set navigator", value);
  const copy = new Set<unknown>(value);
  for (const element of before) setDelete(copy, element);
  let changed = value === null || before.length > 0;
  for (const element of after) if (setAdd(copy, element)) changed = true;
  return changed ? copy : value;
}

function entriesOfKeys(value: unknown, keys: readonly unknown[]): [unknown, unknown][] {
  return entries(subMap(value, keys));
}

/** The map that a transform left in place of a part: VOID and null are empty. */
function entriesOrNone(next: unknown, what: string): [unknown, unknown][] {
  return next === VOID ? [] : entries(next, what);
}

function elementsOrNone(next: unknown): readonly unknown[] {
  return next === VOID ? [] : elements(next);
}

// A part is a collection made for this purpose: what `next` does to it in place counts as well. So the places are noted before.

export function subMapPart(value: unknown, keys: unknown, next: Next): unknown {
  const part = subMap(value, keys);
  return replaceEntries(value, entries(part), entriesOrNone(next(part), "subMap"));
}

export function subSetPart(value: unknown, wanted: unknown, next: Next): unknown {
  const part = subSet(value, wanted);
  return replaceElements(value, [...part], elementsOrNone(next(part)));
}

export function mapRangePart(value: unknown, shape: RangeShape, args: readonly unknown[], next: Next): unknown {
  const part = mapRange(value, shape, args);
  return replaceEntries(value, [...part], entriesOrNone(next(part), "sortedMapRange"));
}

export function setRangePart(value: unknown, shape: RangeShape, args: readonly unknown[], next: Next): unknown {
  const part = setRange(value, shape, args);
  return replaceElements(value, [...part], elementsOrNone(next(part)));
}

export function sublistPart(value: unknown, from: unknown, to: unknown, next: Next): unknown {
  const [start, end] = sublistBounds(value, from, to);
  return splice(value, start, end, elementsOrNone(next(sublist(value, start, end))));
}

export function dynamicPart(
  value: unknown,
  from: (...args: any[]) => unknown,
  to: (...args: any[]) => unknown,
  next: Next,
): unknown {
  const [start, end] = dynamicBounds(value, from, to);
  return sublistPart(value, start, end, next);
}

// ---- ends and places of lists

export function endPart(value: unknown, last: boolean, next: Next): unknown {
  const place = endOf(value, last);
  if (place === undefined) return value;
  if (Array.isArray(value) || value instanceof IndexedList) {
    const after = next(place);
    return same(after, place) ? value : setNth(value, last ? sizeOfList(value, "last") - 1 : 0, after);
  }
  if (value instanceof Set || value instanceof IndexedSet) return eachOfSet(value, [place], next);
  return eachEntry(value, [place as [unknown, unknown]], next);
}

export function insertAt(value: unknown, index: unknown, next: Next): unknown {
  const [at] = sublistBounds(value, index, index);
  const added = next(VOID);
  return added === VOID ? value : splice(value, at, at, [added]);
}

export function insertAfter(value: unknown, next: Next): unknown {
  return insertAt(value, sizeOfList(value, "afterElem"), next);
}

/** Moves the element to the index that `next` gives; VOID removes it. */
export function movedIndex(value: unknown, index: unknown, next: Next): unknown {
  const size = sizeOfList(value, "index");
  if (!isIndexOf(size, index)) return value;
  const at = Number(index);
  const target = next(at);
  return target === VOID ? splice(value, at, at + 1, []) : move(value, at, target);
}

function move(value: unknown, at: number, target: unknown): unknown {
  const size = sizeOfList(value, "index");
  if (!isIndexOf(size, target)) throw indexOutOfRange(target, size);
  const to = Number(target);
  if (to === at) return value;
  const [from, end] = [Math.min(at, to), Math.max(at, to) + 1];
  const part = sublist(value, from, end);
  if (part.some(isIndexed)) throw new RamaError("STRUCTURE_NOT_A_VALUE", "a subindexed structure cannot be moved");
  const [element] = part.splice(at - from, 1);
  part.splice(to - from, 0, element);
  return splice(value, from, end, part);
}

/** `[index, element]` of each element in turn; a changed index moves the element, those after it see the list as it is then. */
export function indexedVals(value: unknown, next: Next): unknown {
  let current = value;
  const places = Array.from({ length: sizeOfList(value, "indexedVals") }, (_, i) => i);
  for (let i = 0; i < places.length; i++) {
    const at = places[i]!;
    const pair = [at, elements(current)[at]];
    const after = next(pair);
    if (after === pair) continue;
    if (after === VOID) {
      current = splice(current, at, at + 1, []);
      shift(places, at + 1, Number.POSITIVE_INFINITY, -1);
      continue;
    }
    if (!Array.isArray(after) || after.length !== 2) throw badPlace("a pair [index, element]", after);
    if (!same(after[1], pair[1])) current = setNth(current, at, after[1]);
    current = move(current, at, after[0]);
    const to = Number(after[0]);
    if (to > at) shift(places, at + 1, to + 1, -1);
    else shift(places, to, at, 1);
  }
  return current;
}

function shift(places: number[], from: number, to: number, by: number): void {
  for (let i = 0; i < places.length; i++) if (places[i]! >= from && places[i]! < to) places[i] = places[i]! + by;
}

/** termFields: sets the fields, keeps the others. */
export function setFields(value: unknown, names: readonly string[], fields: readonly unknown[]): unknown {
  if (value === null) {
    const created: Record<string, unknown> = {};
    names.forEach((name, i) => {
      defineField(created, name, fields[i]);
    });
    return created;
  }
  let current: unknown = value;
  names.forEach((name, i) => {
    current = setKey(current, name, fields[i], true);
  });
  return current;
}
