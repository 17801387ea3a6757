// The built-in combiners: their states merge, so a batch aggregates on each task first and sends partial states.
import { add } from "../base/arithmetic.ts";
import { compareValues, mapGet, mapSet, setAdd, setDelete } from "../base/compare.ts";
import { IndexedList, IndexedMap, IndexedSet } from "../paths/indexed.ts";
import { VOID } from "../paths/navigator.ts";
import { entries, isFields, truthy } from "../paths/read.ts";
import { type AggregatorLeaf, leaf } from "./aggregator.ts";

type MapState = Map<unknown, unknown> | IndexedMap | Record<string, unknown>;

export const count = leaf({
  name: "count",
  init: () => 0,
  step: (state) => add(state, 1),
  combine: add,
  jsInline: (state, _args, self) => `(typeof ${state} === "number" ? ${state} + 1 : ${self}.step(${state}))`,
});

export const sum = leaf({
  name: "sum",
  init: () => 0,
  step: add,
  combine: add,
  jsInline: (state, [v], self) =>
    `(typeof ${state} === "number" && typeof ${v} === "number" ? ${state} + ${v} : ${self}.step(${state}, ${v}))`,
});

const extreme = (name: string, sign: 1 | -1): AggregatorLeaf => {
  const pick = (a: unknown, b: unknown) => {
    if (a === null) return b;
    if (b === null) return a;
    return Math.sign(compareValues(b, a)) === sign ? b : a;
  };
  return leaf({ name, init: () => null, step: pick, combine: pick });
};

export const min = extreme("min", -1);
export const max = extreme("max", 1);

export const first = leaf({
  name: "first",
  init: () => null,
  step: (state, v) => (state === null ? v : state),
  combine: (a, b) => (a === null ? b : a),
});

export const last = leaf({
  name: "last",
  init: () => null,
  step: (_state, v) => v,
  combine: (a, b) => (b === null ? a : b),
});

const both = (a: unknown, b: unknown) => (truthy(a) ? b : a);
const either = (a: unknown, b: unknown) => (truthy(a) ? a : b);

export const and = leaf({ name: "and", init: () => true, step: both, combine: both });
export const or = leaf({ name: "or", init: () => false, step: either, combine: either });

export const list = leaf({
  name: "list",
  init: () => [],
  step(state, v) {
    if (!(state instanceof IndexedList)) return [...(state as unknown[]), v];
    state.splice(state.size(), state.size(), [v]);
    return state;
  },
  accumulate(state, v) {
    state.push(v);
    return state;
  },
  combine: (a, b) => [...a, ...b],
  flushRequired: true,
});

export const set = leaf({
  name: "set",
  init: () => new Set(),
  step(state, v) {
    if (state instanceof IndexedSet) {
      state.add(v);
      return state;
    }
    const copy = new Set(state as Set<unknown>);
    return setAdd(copy, v) ? copy : state;
  },
  accumulate(state, v) {
    setAdd(state, v);
    return state;
  },
  combine(a, b) {
    const all = new Set(a as Set<unknown>);
    for (const element of b) setAdd(all, element);
    return all;
  },
  flushRequired: true,
});

/** On a place where nothing is it does nothing. */
export const setRemove = leaf({
  name: "setRemove",
  init: () => null,
  step(state, v) {
    if (state === null) return VOID;
    if (state instanceof IndexedSet) {
      state.delete(v);
      return state;
    }
    const copy = new Set(state as Set<unknown>);
    return setDelete(copy, v) ? copy : state;
  },
});

/** Puts an entry into whatever map the state is; a copy unless it is subindexed. */
function withEntries(state: MapState, added: readonly (readonly [unknown, unknown])[]): unknown {
  if (state instanceof IndexedMap) {
    for (const [key, value] of added) state.set(key, value);
    return state;
  }
  if (isFields(state)) return { ...state, ...Object.fromEntries(added as [string, unknown][]) };
  const copy = new Map(state as Map<unknown, unknown>);
  for (const [key, value] of added) mapSet(copy, key, value);
  return copy;
}

const newMap = () => new Map<unknown, unknown>();
const merged = (a: any, b: any) => withEntries(a, entries(b, "Agg.merge"));

function putAll(state: Map<unknown, unknown>, added: readonly (readonly [unknown, unknown])[]): Map<unknown, unknown> {
  for (const [key, value] of added) mapSet(state, key, value);
  return state;
}

export const map = leaf({
  name: "map",
  init: newMap,
  step: (state, key, value) => withEntries(state, [[key, value]]),
  accumulate: (state, key, value) => putAll(state, [[key, value]]),
  combine: merged,
  flushRequired: true,
});

export const merge = leaf({
  name: "merge",
  init: newMap,
  step: merged,
  accumulate: (state, added) => putAll(state, entries(added, "Agg.merge")),
  combine: merged,
  flushRequired: true,
});

function countOf(state: MapState, key: unknown): unknown {
  if (state instanceof IndexedMap) return state.get(key) ?? 0;
  return (isFields(state) ? state[key as string] : mapGet(state as Map<unknown, unknown>, key)) ?? 0;
}

export const multiSet = leaf({
  name: "multiSet",
  init: newMap,
  step: (state, v) => withEntries(state, [[v, add(countOf(state, v), 1)]]),
  accumulate: (state, v) => putAll(state, [[v, add(countOf(state, v), 1)]]),
  combine(a, b) {
    const all = new Map(a as Map<unknown, unknown>);
    for (const [key, times] of entries(b)) mapSet(all, key, add(countOf(all, key), times));
    return all;
  },
  flushRequired: true,
});

/** Removes the place; a leaf of CompoundAgg. */
export const voided = leaf({ name: "voided", init: () => null, step: () => VOID, voids: true });

/** The author's own: `{ combine(curr, arg), zeroVal(), isFlushRequired? }`. */
export interface RamaCombinerAgg<T = any> {
  combine(current: T, arg: T): T;
  zeroVal(): T;
  readonly isFlushRequired?: boolean | (() => boolean);
}

export function ofCombiner(own: RamaCombinerAgg): AggregatorLeaf {
  const flush = own.isFlushRequired;
  return leaf({
    name: "combiner",
    init: () => own.zeroVal() ?? null,
    step: (state, v) => own.combine(state, v) ?? null,
    combine: (a, b) => own.combine(a, b) ?? null,
    flushRequired: typeof flush === "function" ? flush.call(own) : (flush ?? false),
  });
}
