// Aggregators whose states cannot be merged (they switch two-phase aggregation off), and lists that are kept in an order.
import { add, divide } from "../base/arithmetic.ts";
import { compareValues, setAdd } from "../base/compare.ts";
import { type Callable, isOp } from "../paths/arg.ts";
import { IndexedList } from "../paths/indexed.ts";
import { type AggregatorLeaf, leaf } from "./aggregator.ts";

/** Mean; the state is sum and count. */
export const avg = leaf({
  name: "avg",
  init: () => null,
  step: (state, v) => (state === null ? [v, 1] : [add(state[0], v), state[1] + 1]),
  finish: (state) => (state === null ? null : divide(Number(state[0]), state[1])),
  batchOnly: true,
});

/** The author's own: `{ accumulate(curr, …args), initVal() }`. */
export interface RamaAccumulatorAgg<S = any> {
  accumulate(current: S, ...args: any[]): S;
  initVal(): S;
}

export function ofAccumulator(own: RamaAccumulatorAgg): AggregatorLeaf {
  return leaf({
    name: "accumulator",
    init: () => own.initVal() ?? null,
    step: (state, ...inputs) => own.accumulate(state, ...inputs) ?? null,
  });
}

export function functionOf(fn: Callable | undefined): (value: any) => unknown {
  if (fn === undefined) return (value) => value;
  return isOp(fn) ? fn.fn : fn;
}

function sorted(list: readonly unknown[], keyOf: (value: any) => unknown, sign = 1): unknown[] {
  return list
    .map((element) => ({ element, key: keyOf(element) }))
    .sort((a, b) => sign * compareValues(a.key, b.key))
    .map(({ element }) => element);
}

/** All inputs, ascending by `keyFn`; equal keys keep their order of arrival. */
export function sortedList(keyFn?: Callable): AggregatorLeaf {
  const keyOf = functionOf(keyFn);
  return leaf({
    name: "sortedList",
    init: () => [],
    step: (state, v) => replaced(state, (list) => sorted([...list, v], keyOf)),
    accumulate(state, v) {
      state.push(v);
      return state;
    },
    combine: (a, b) => [...a, ...b],
    finish: (state) => sorted(state, keyOf),
    flushRequired: true,
  });
}

/** The new list for a plain one; a subindexed one is changed in place. */
function replaced(state: unknown, change: (list: readonly unknown[]) => unknown[]): unknown {
  if (!(state instanceof IndexedList)) return change(state as unknown[]);
  const size = state.size();
  state.splice(0, size, change(state.slice(0, size)));
  return state;
}

export interface TopOptions {
  readonly idFunction?: Callable;
  readonly sortValFunction?: Callable;
  readonly ascending?: boolean;
}

/**
 * The top n by a ranking value that only moves in the direction of the ranking. Elements are appended; at 2n the list is cut to the best n, one per id
 * (the latest). The stored state may hold up to 2n - 1 elements, in no order.
 */
export function topMonotonic(n: number, options: TopOptions): AggregatorLeaf {
  const idOf = functionOf(options.idFunction);
  const rankOf = functionOf(options.sortValFunction);
  const compact = (list: readonly unknown[]) =>
    sorted(latestById(list, idOf), rankOf, options.ascending ? 1 : -1).slice(0, n);
  const bounded = (list: unknown[]) => (list.length >= 2 * n ? compact(list) : list);
  return leaf({
    name: "topMonotonic",
    init: () => [],
    step: (state, v) => appendedTop(state, v, n, compact),
    accumulate(state, v) {
      state.push(v);
      return bounded(state);
    },
    combine: (a, b) => bounded([...a, ...b]),
    finish: compact,
  });
}

function appendedTop(state: unknown, v: unknown, n: number, compact: (list: readonly unknown[]) => unknown[]): unknown {
  if (state instanceof IndexedList) {
    const size = state.size();
    if (size + 1 < 2 * n) state.splice(size, size, [v]);
    else state.splice(0, size, compact([...state.slice(0, size), v]));
    return state;
  }
  const list = [...(state as unknown[]), v];
  return list.length >= 2 * n ? compact(list) : list;
}

/** One element per id: the latest, in order of arrival. */
function latestById(list: readonly unknown[], idOf: (value: any) => unknown): unknown[] {
  const ids = new Set<unknown>();
  const kept: unknown[] = [];
  for (let i = list.length - 1; i >= 0; i--) if (setAdd(ids, idOf(list[i]))) kept.push(list[i]);
  return kept.reverse();
}
