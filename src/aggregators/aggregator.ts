// The contract of aggregators, and the immutable objects that `Agg.…` returns. One leaf serves three places: a step of a path on a PState
// (non-batched), the state of a batch block's aggregation, and the merging of several ack returns.
//
// Laws: `combine` is associative and `init()` an identity of it; `step`, `combine` and `finish` change nothing that they are given, except a
// subindexed structure, which is changed in place and returned; `accumulate` may change the state, which then belongs to whoever accumulates.
import { RamaError } from "../base/errors.ts";
import { type ArgNode, isValueVar, type ValueVar } from "../paths/arg.ts";
import type { AggregateStep } from "../paths/compile-transform.ts";

export interface AggregatorLeaf extends AggregateStep {
  /** As in `Agg.count`; for messages. */
  readonly name: string;
  /** The state before any input. */
  init(): unknown;
  /** The state after one more input. A state of null is `init()`. */
  step(state: any, ...inputs: any[]): unknown;
  /** As `step`, but may change `state`. */
  accumulate(state: any, ...inputs: any[]): unknown;
  /** Merges the states of two runs of inputs, earlier first. Absent: states cannot be merged, and the agg phase is not two-phase. */
  readonly combine?: (a: any, b: any) => unknown;
  /** The result of a state at the end of a batch; the state itself when absent. */
  readonly finish?: (state: any) => unknown;
  /** The state can grow without bound: partial states are sent on early. */
  readonly flushRequired: boolean;
  /** Not usable on a PState outside batch blocks (its state is no value to store). */
  readonly batchOnly?: boolean;
  /** Removes the place instead of computing a value. */
  readonly voids?: boolean;
}

export function leaf(
  parts: Omit<AggregatorLeaf, "accumulate" | "flushRequired"> & Partial<AggregatorLeaf>,
): AggregatorLeaf {
  return Object.freeze({ accumulate: parts.step, flushRequired: false, ...parts });
}

/** An aggregator with its inputs: `Agg.sum("*amt")`. */
export class Aggregator {
  readonly kind = "agg";
  readonly leaf: AggregatorLeaf;
  readonly args: readonly ArgNode[];
  /** The var of `captureNewValInto`. */
  readonly captureVar: ValueVar | undefined;

  constructor(leaf: AggregatorLeaf, args: readonly ArgNode[], captureVar?: ValueVar) {
    this.leaf = leaf;
    this.args = Object.freeze([...args]);
    this.captureVar = captureVar;
  }

  /** In a microbatch's batch block: the post-agg phase starts with one row per touched key path, with the keys and this value. */
  captureNewValInto(name: ValueVar): Aggregator {
    if (!isValueVar(name)) throw new RamaError("BAD_MODULE", 'captureNewValInto takes a var: "*name"');
    return new Aggregator(this.leaf, this.args, name);
  }
}

/** The value of a batch's state. */
export function finished(leaf: AggregatorLeaf, state: unknown): unknown {
  return leaf.finish === undefined ? state : leaf.finish(state);
}
