// The diff between two values of one place. Values are immutable and share what did not change, so whole parts are passed over by identity and the cost is about
// that of the change (plus a look at each entry of the collections on the way). Undefined where nothing changed.
//
// What the transform said is not known here, only what it left: a list whose first element went and that got a new one at the end is told as that where its
// elements are objects, and as changes of each index where they are numbers or strings.
import { mapGet, mapHas, setHas, valuesEqual } from "../base/compare.ts";
import { isPlainObject } from "../base/values.ts";
import {
  type Diff,
  KeyChangeDiff,
  KeyDiff,
  KeyRemoveDiff,
  KeysDiff,
  KeysRemoveDiff,
  MultiDiff,
  NewValueDiff,
  SequenceReorderDiff,
  SetAddDiff,
  SetRemoveDiff,
} from "./diff.ts";
import { checksumOf } from "./diff-checksum.ts";
import { indexChanges, inserted, removed } from "./diff-lists.ts";

/** What stands for null where a diff begins from nothing. */
export type Emptiness = "map" | "fields" | "list" | "set";

export interface Change {
  readonly diff: Diff;
  /** The old value was null; the diff is to be applied to an empty collection of that kind. */
  readonly from?: Emptiness;
}

/** As `diffOf`. The first entry of a collection that was null is told as that entry; more at once are a new value. */
export function changeOf(before: unknown, after: unknown): Change | undefined {
  if (before === null && typeof after === "object" && after !== null) {
    const begun = beginning(after);
    if (begun !== undefined) return begun;
  }
  const diff = diffOf(before, after);
  return diff === undefined ? undefined : { diff };
}

function beginning(after: object): Change | undefined {
  if (after instanceof Map) {
    if (after.size !== 1) return undefined;
    const [key, value] = [...after][0]!;
    return { diff: new KeyDiff(key, new NewValueDiff(value)), from: "map" };
  }
  if (after instanceof Set) return after.size === 1 ? { diff: new SetAddDiff([...after][0]), from: "set" } : undefined;
  if (Array.isArray(after)) return after.length === 1 ? { diff: inserted(0, after, 0), from: "list" } : undefined;
  if (!isPlainObject(after)) return undefined;
  const names = Object.keys(after);
  if (names.length !== 1) return undefined;
  return { diff: new KeyDiff(names[0], new NewValueDiff(after[names[0]!])), from: "fields" };
}

export function diffOf(before: unknown, after: unknown): Diff | undefined {
  if (before === after) return undefined;
  if (typeof before === "object" && typeof after === "object" && before !== null && after !== null) {
    if (before instanceof Map && after instanceof Map) return mapDiff(before, after, after);
    if (before instanceof Set && after instanceof Set) return setDiff(before, after);
    if (Array.isArray(before) && Array.isArray(after)) return listDiff(before, after);
    if (isPlainObject(before) && isPlainObject(after)) return fieldsDiff(before, after);
  }
  return unchanged(before, after) ? undefined : new NewValueDiff(after);
}

/** Same content and same kind: 1 and 1n are equal keys, but not the same value. */
function unchanged(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === typeof b && valuesEqual(a, b));
}

function fieldsDiff(before: Record<string, unknown>, after: Record<string, unknown>): Diff | undefined {
  return mapDiff(new Map(Object.entries(before)), new Map(Object.entries(after)), after);
}

function mapDiff(before: Map<unknown, unknown>, after: Map<unknown, unknown>, whole: unknown): Diff | undefined {
  const changed = new Map<unknown, Diff>();
  let kept = 0;
  for (const [key, value] of after) {
    const old = mapGet(before, key);
    if (old === undefined) changed.set(key, new NewValueDiff(value));
    else {
      kept++;
      const diff = diffOf(old, value);
      if (diff !== undefined) changed.set(key, diff);
    }
  }
  const gone: unknown[] = [];
  if (kept < before.size) for (const key of before.keys()) if (!mapHas(after, key)) gone.push(key);
  if (gone.length === 0 && changed.size === 0) return undefined;
  if (gone.length === 1 && changed.size === 1) {
    const [to] = changed.keys();
    const value = mapGet(after, to);
    if (!mapHas(before, to) && unchanged(mapGet(before, gone[0]), value)) return new KeyChangeDiff(gone[0], to);
  }
  if (kept === 0 && after.size > 0 && before.size > 0) return new NewValueDiff(whole);
  const changes = keyChanges(changed);
  const removes = keyRemoves(gone);
  if (changes !== undefined && removes !== undefined) return new MultiDiff([removes, changes]);
  return changes ?? removes;
}

function keyChanges(changed: Map<unknown, Diff>): Diff | undefined {
  if (changed.size > 1) return new KeysDiff(changed);
  for (const [key, diff] of changed) return new KeyDiff(key, diff);
  return undefined;
}

function keyRemoves(gone: readonly unknown[]): Diff | undefined {
  if (gone.length === 0) return undefined;
  return gone.length === 1 ? new KeyRemoveDiff(gone[0]) : new KeysRemoveDiff(gone);
}

function setDiff(before: Set<unknown>, after: Set<unknown>): Diff | undefined {
  const parts: Diff[] = [];
  for (const element of before) if (!setHas(after, element)) parts.push(new SetRemoveDiff(element));
  const removes = parts.length;
  for (const element of after) if (!setHas(before, element)) parts.push(new SetAddDiff(element));
  if (parts.length === 0) return undefined;
  if (parts.length === 1) return parts[0];
  if (removes === before.size && removes > 0 && after.size > 1) return new NewValueDiff(after);
  return new MultiDiff(parts);
}

// ---- lists

function listDiff(before: readonly unknown[], after: readonly unknown[]): Diff | undefined {
  const shorter = Math.min(before.length, after.length);
  let from = 0;
  while (from < shorter && unchanged(before[from], after[from])) from++;
  let tail = 0;
  while (tail < shorter - from && unchanged(before[before.length - 1 - tail], after[after.length - 1 - tail])) tail++;
  const old = before.slice(from, before.length - tail);
  const next = after.slice(from, after.length - tail);
  if (old.length === 0 && next.length === 0) return undefined;
  if (old.length === 0) return inserted(from, next, before.length);
  if (next.length === 0) return removed(from, old.length, before.length);
  const sums = { old: old.map(checksumOf), next: next.map(checksumOf) };
  if (old.length === next.length) {
    const order = permutation(sums.old, sums.next);
    if (order?.every((place, i) => unchanged(old[place], next[i]))) return reordered(order, from, before.length);
    if (next.some((element) => typeof element !== "object" || element === null)) return changesOf(old, next, from);
  }
  return spliced(before, after, from, old, next, sums);
}

function changesOf(old: readonly unknown[], next: readonly unknown[], from: number): Diff {
  const diffs = new Map<number, Diff>();
  for (let i = 0; i < old.length; i++) {
    const diff = diffOf(old[i], next[i]);
    if (diff !== undefined) diffs.set(from + i, diff);
  }
  return indexChanges(diffs);
}

/** Where each of the new elements stood, when by their checksums they are the old ones and all different. */
function permutation(old: readonly number[], next: readonly number[]): number[] | undefined {
  const places = new Map<number, number>();
  for (const [i, sum] of old.entries()) places.set(sum, i);
  if (places.size !== old.length) return undefined;
  const order: number[] = [];
  for (const sum of next) {
    const place = places.get(sum);
    if (place === undefined) return undefined;
    places.delete(sum);
    order.push(place);
  }
  return order;
}

function reordered(order: readonly number[], from: number, size: number): Diff {
  const whole = Array.from({ length: size }, (_, i) => i);
  for (const [i, place] of order.entries()) whole[from + i] = from + place;
  return new SequenceReorderDiff(whole);
}

/** Removals, insertions and changes between the elements that stayed, last ones first, so that each index counts in the list as it is then. */
function spliced(
  before: readonly unknown[],
  after: readonly unknown[],
  from: number,
  old: readonly unknown[],
  next: readonly unknown[],
  sums: { old: readonly number[]; next: readonly number[] },
): Diff {
  const stayed = longestCommon(sums.old, sums.next).filter(([i, j]) => unchanged(old[i], next[j]));
  if (stayed.length === 0) {
    if (old.length === next.length) return changesOf(old, next, from);
    if (old.length === before.length && next.length === after.length) return new NewValueDiff(after);
  }
  const parts: Diff[] = [];
  let size = before.length;
  let [oldEnd, nextEnd] = [old.length, next.length];
  for (let k = stayed.length; k >= 0; k--) {
    const [i, j] = k === 0 ? [-1, -1] : stayed[k - 1]!;
    const [gone, come] = [old.slice(i + 1, oldEnd), next.slice(j + 1, nextEnd)];
    if (gone.length === come.length) {
      if (gone.length > 0) parts.push(changesOf(gone, come, from + i + 1));
    } else {
      if (gone.length > 0) parts.push(removed(from + i + 1, gone.length, size));
      size -= gone.length;
      if (come.length > 0) parts.push(inserted(from + i + 1, come, size));
      size += come.length;
    }
    [oldEnd, nextEnd] = [i, j];
  }
  return parts.length === 1 ? parts[0]! : new MultiDiff(parts);
}

/** Pairs [index in old, index in next] of elements with one checksum, both ascending: the longest such run where elements are all different. */
function longestCommon(old: readonly number[], next: readonly number[]): [number, number][] {
  const places = new Map<number, number[]>();
  for (let i = old.length - 1; i >= 0; i--) {
    const list = places.get(old[i]!);
    if (list === undefined) places.set(old[i]!, [i]);
    else list.push(i);
  }
  const pairs: [number, number][] = [];
  for (let j = 0; j < next.length; j++) {
    const i = places.get(next[j]!)?.pop();
    if (i !== undefined) pairs.push([i, j]);
  }
  return ascending(pairs);
}

/** The longest subsequence of pairs whose first members ascend. */
function ascending(pairs: readonly [number, number][]): [number, number][] {
  const ends: number[] = [];
  const previous: number[] = [];
  for (let p = 0; p < pairs.length; p++) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[ends[middle]!]![0] < pairs[p]![0]) low = middle + 1;
      else high = middle;
    }
    previous[p] = low === 0 ? -1 : ends[low - 1]!;
    ends[low] = p;
  }
  const run: [number, number][] = [];
  for (let p = ends.at(-1) ?? -1; p >= 0; p = previous[p]!) run.push(pairs[p]!);
  return run.reverse();
}
