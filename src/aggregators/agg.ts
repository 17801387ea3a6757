// `Agg`: the built-in aggregators as authors write them. Each returns an immutable Aggregator: what to compute, and of which vars.
// Follows "Aggregators" of the Rama documentation.
import { RamaError } from "../base/errors.ts";
import { type Arg, type Callable, isCallable, toArg } from "../paths/arg.ts";
import {
  avg,
  ofAccumulator,
  type RamaAccumulatorAgg,
  sortedList,
  type TopOptions,
  topMonotonic,
} from "./accumulators.ts";
import { Aggregator, type AggregatorLeaf } from "./aggregator.ts";
import * as combiners from "./combiners.ts";

const of = (leaf: AggregatorLeaf, ...args: Arg[]): Aggregator => new Aggregator(leaf, args.map(toArg));

/** `Agg.topMonotonic(3, "*t").idFunction(Ops.FIRST).sortValFunction(Ops.LAST)` */
export class TopMonotonic extends Aggregator {
  readonly #n: number;
  readonly #element: Arg;
  readonly #options: TopOptions;

  constructor(n: number, element: Arg, options: TopOptions = {}) {
    if (!Number.isInteger(n) || n < 1)
      throw new RamaError("BAD_MODULE", "topMonotonic takes a number of elements from 1 on as a literal");
    super(topMonotonic(n, options), [toArg(element)]);
    this.#n = n;
    this.#element = element;
    this.#options = options;
  }

  /** Elements with equal ids are one: the latest counts. Default: the element itself. */
  idFunction(fn: Callable): TopMonotonic {
    return this.#with({ idFunction: fn });
  }

  /** The ranking value. Default: the element itself. */
  sortValFunction(fn: Callable): TopMonotonic {
    return this.#with({ sortValFunction: fn });
  }

  /** The least are on top. */
  ascending(): TopMonotonic {
    return this.#with({ ascending: true });
  }

  #with(options: TopOptions): TopMonotonic {
    return new TopMonotonic(this.#n, this.#element, { ...this.#options, ...options });
  }
}

export const Agg = Object.freeze({
  count: (): Aggregator => of(combiners.count),
  sum: (value: Arg): Aggregator => of(combiners.sum, value),
  min: (value: Arg): Aggregator => of(combiners.min, value),
  max: (value: Arg): Aggregator => of(combiners.max, value),
  first: (value: Arg): Aggregator => of(combiners.first, value),
  last: (value: Arg): Aggregator => of(combiners.last, value),
  /** The last value when all are truthy, else the first falsy. */
  and: (value: Arg): Aggregator => of(combiners.and, value),
  /** The first truthy value, else the last. */
  or: (value: Arg): Aggregator => of(combiners.or, value),
  list: (value: Arg): Aggregator => of(combiners.list, value),
  set: (value: Arg): Aggregator => of(combiners.set, value),
  setRemove: (value: Arg): Aggregator => of(combiners.setRemove, value),
  map: (key: Arg, value: Arg): Aggregator => of(combiners.map, key, value),
  /** How often each value occurred, as a Map. */
  multiSet: (value: Arg): Aggregator => of(combiners.multiSet, value),
  merge: (map: Arg): Aggregator => of(combiners.merge, map),
  /** Mean; an output of batch blocks only. */
  avg: (value: Arg): Aggregator => of(avg, value),
  topMonotonic: (n: number, element: Arg): TopMonotonic => new TopMonotonic(n, element),
  /** All values ascending by `keyFn`, for results gathered from many tasks. */
  sortedList: (value: Arg, keyFn?: Callable): Aggregator => of(sortedList(keyFn), value),
  /** Removes the place that it stands at. */
  voided: (): Aggregator => of(combiners.voided),
  combiner: (own: combiners.RamaCombinerAgg, value: Arg): Aggregator => of(combiners.ofCombiner(own), value),
  accumulator: (own: RamaAccumulatorAgg, ...values: Arg[]): Aggregator => of(ofAccumulator(own), ...values),
});

const byReference = new Map<unknown, AggregatorLeaf>([
  [Agg.sum, combiners.sum],
  [Agg.count, combiners.count],
  [Agg.min, combiners.min],
  [Agg.max, combiners.max],
  [Agg.first, combiners.first],
  [Agg.last, combiners.last],
  [Agg.list, combiners.list],
  [Agg.set, combiners.set],
  [Agg.and, combiners.and],
  [Agg.or, combiners.or],
]);

/** The leaf of what `ackReturnAgg` takes: `Agg.sum` and others by reference, or a combiner or accumulator object. `count` ignores its input. */
export function leafOfReference(reference: unknown): AggregatorLeaf {
  const known = byReference.get(reference);
  if (known !== undefined) return known;
  if (reference instanceof Aggregator) return reference.leaf;
  if (typeof reference === "object" && reference !== null) {
    if (isCallable((reference as RamaAccumulatorAgg).accumulate)) return ofAccumulator(reference as RamaAccumulatorAgg);
    if (isCallable((reference as combiners.RamaCombinerAgg).combine))
      return combiners.ofCombiner(reference as combiners.RamaCombinerAgg);
  }
  throw new RamaError(
    "BAD_MODULE",
    "ackReturnAgg takes Agg.sum, count, min, max, first, last, list, set, and, or, or an own aggregator",
  );
}
