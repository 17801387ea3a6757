// What a diff makes of a value: a new value that shares everything the diff does not name. On the way each part of the diff is bound to the value it leads to.
// A diff that does not fit the value (a key of a number, an index that is not there) throws: the holder of the value asks for it anew.
import { mapDelete, mapGet, mapSet, setAdd, setDelete } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { defineField, isPlainObject } from "../base/values.ts";
import {
  type Diff,
  KeyChangeDiff,
  KeyDiff,
  KeyRemoveDiff,
  KeysDiff,
  KeysRemoveDiff,
  MultiDiff,
  MultiSetAddDiff,
  MultiSetRemoveDiff,
  NewValueDiff,
  ResyncDiff,
  SequenceIndexChangeDiff,
  SequenceIndexChangesDiff,
  SequenceIndexRemoveDiff,
  SequenceInsertDiff,
  SequenceInsertsDiff,
  SequenceReorderDiff,
  SetAddDiff,
  SetRemoveDiff,
} from "./diff.ts";
import type { Emptiness } from "./diff-compare.ts";

export function applyDiff(value: unknown, diff: Diff): unknown {
  const after = applied(value, diff);
  if (!(diff instanceof KeyChangeDiff)) diff.bind(after);
  return after;
}

/** What a change begins from when the value was null. */
export function emptyOf(from: Emptiness): unknown {
  switch (from) {
    case "map":
      return new Map();
    case "set":
      return new Set();
    case "list":
      return [];
    case "fields":
      return {};
  }
}

function applied(value: unknown, diff: Diff): unknown {
  if (diff instanceof NewValueDiff || diff instanceof ResyncDiff) return diff.value;
  if (diff instanceof MultiDiff) return diff.diffs.reduce<unknown>(applyDiff, value);
  if (diff instanceof KeyDiff) return withKeys(value, [[diff.key, diff.valDiff]]);
  if (diff instanceof KeysDiff) return withKeys(value, diff.diffs);
  if (diff instanceof KeyRemoveDiff) return withoutKeys(value, [diff.key]);
  if (diff instanceof KeysRemoveDiff) return withoutKeys(value, diff.keys);
  if (diff instanceof KeyChangeDiff) return moved(value, diff);
  if (diff instanceof SetAddDiff || diff instanceof SetRemoveDiff) return inSet(value, diff);
  if (diff instanceof MultiSetAddDiff || diff instanceof MultiSetRemoveDiff) return counted(value, diff);
  if (!Array.isArray(value)) throw misfit(diff, value);
  return inList(value, diff);
}

function inList(list: readonly unknown[], diff: Diff): unknown[] {
  if (diff instanceof SequenceInsertDiff) return list.toSpliced(diff.index, 0, diff.element);
  if (diff instanceof SequenceInsertsDiff) return list.toSpliced(diff.index, 0, ...diff.elements);
  if (diff instanceof SequenceIndexRemoveDiff) return list.toSpliced(diff.index, diff.amount);
  if (diff instanceof SequenceReorderDiff) return diff.permutation.map((place) => list[place]);
  const copy = list.slice();
  if (diff instanceof SequenceIndexChangeDiff) copy[diff.index] = applyDiff(copy[diff.index] ?? null, diff.valDiff);
  else if (diff instanceof SequenceIndexChangesDiff) {
    for (const [index, inner] of diff.diffs) copy[index] = applyDiff(copy[index] ?? null, inner);
  } else throw misfit(diff, list);
  if (copy.length !== list.length) throw misfit(diff, list);
  return copy;
}

function withKeys(value: unknown, diffs: Iterable<readonly [unknown, Diff]>): unknown {
  if (value instanceof Map) {
    const copy = new Map(value);
    for (const [key, diff] of diffs) mapSet(copy, key, applyDiff(mapGet(copy, key) ?? null, diff));
    return copy;
  }
  if (!isPlainObject(value)) throw misfit(undefined, value);
  const copy = { ...value };
  for (const [key, diff] of diffs) {
    const name = String(key);
    defineField(copy, name, applyDiff(Object.hasOwn(copy, name) ? copy[name] : null, diff));
  }
  return copy;
}

function withoutKeys(value: unknown, keys: readonly unknown[]): unknown {
  if (value instanceof Map) {
    const copy = new Map(value);
    for (const key of keys) mapDelete(copy, key);
    return copy;
  }
  if (!isPlainObject(value)) throw misfit(undefined, value);
  const copy = { ...value };
  for (const key of keys) delete copy[String(key)];
  return copy;
}

function moved(value: unknown, diff: KeyChangeDiff): unknown {
  const entry = value instanceof Map ? mapGet(value, diff.from) : (value as Record<string, unknown>)[String(diff.from)];
  diff.bind([entry]);
  return withKeys(withoutKeys(value, [diff.from]), [[diff.to, new NewValueDiff(entry ?? null)]]);
}

function inSet(value: unknown, diff: SetAddDiff | SetRemoveDiff): unknown {
  if (!(value instanceof Set)) throw misfit(diff, value);
  const copy = new Set(value);
  if (diff instanceof SetAddDiff) setAdd(copy, diff.element);
  else setDelete(copy, diff.element);
  return copy;
}

/** A multi-set is a map from element to count. */
function counted(value: unknown, diff: MultiSetAddDiff | MultiSetRemoveDiff): unknown {
  if (!(value instanceof Map)) throw misfit(diff, value);
  const copy = new Map(value);
  if (diff.newCount === 0) mapDelete(copy, diff.element);
  else mapSet(copy, diff.element, diff.newCount);
  return copy;
}

function misfit(diff: Diff | undefined, value: unknown): RamaError {
  return new RamaError("BAD_VALUE", `a diff ${diff?.kind ?? "of keys"} does not fit a value of type ${typeof value}`);
}
