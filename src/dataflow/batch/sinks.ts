// Sinks of batch blocks: where the rows of one phase wait for the next. An `AggSink` aggregates what is put into it, a `JoinSink` keeps the rows of its two
// sides by key. What they hold per task is a Table; a table for a task of another engine gathers there first and travels as a *partial* (merged states
// where the aggregators are combiners, rows where not).
import type { AggregatorLeaf } from "../../aggregators/aggregator.ts";
import type { MergedState } from "./merged-state.ts";
import type { Steps } from "../../paths/spec.ts";
import type { CompiledSelectOne, CompiledTransform } from "../../paths/compile.ts";

interface SinkBase {
  /** Within its topology. */
  readonly id: number;
  /** The builder call that made it. */
  readonly line: string;
  /** Stages that take a partial in, and that send those of this engine out. */
  takeStage: number;
  flushStage: number;
}

export interface JoinSink extends SinkBase {
  readonly kind: "join";
  /** Rows of that side without partner are emitted too, with nulls for the other side. */
  readonly keepsAlone: readonly [boolean, boolean];
  /** Values of a row of that side, without the keys; known when code is generated. */
  widths: readonly [number, number];
}

/** `agg(A).out(v)`: one value per group; or the value of a temporary PState. */
export interface OutputUnit {
  readonly leaf: AggregatorLeaf;
  /** Where its inputs stand in a row. */
  readonly from: number;
  readonly width: number;
  readonly temporary: number | undefined;
}

/** `limitAgg`: inputs are the amount, the sort values, the kept values. */
export interface LimitUnit {
  readonly from: number;
  readonly sorts: number;
  readonly width: number;
  readonly descending: boolean;
  readonly ranked: boolean;
}

/** `agg("$$p", …)`, `compoundAgg("$$p", …)`: rows of path arguments, applied when the phase begins: combined by key path, or one by one. */
export interface StateUnit {
  readonly state: { readonly kind: "pstate" | "temporary"; readonly index: number };
  readonly from: number;
  readonly width: number;
  /** The path of one input, with the vars of its row. */
  readonly steps: Steps;
  readonly merged: MergedState | undefined;
  readonly transform: CompiledTransform;
  /** Sorts and cuts the whole value afterwards. */
  readonly finish: CompiledTransform | undefined;
  readonly capture: CaptureUnit | undefined;
}

/** Key paths touched, and the values there afterwards. */
export interface CaptureUnit {
  /** Places of the keys among the arguments of `transform`; -1: the constant. */
  readonly keys: readonly number[];
  readonly constants: readonly unknown[];
  /** Of the keys: the captured values. */
  readonly values: readonly CompiledSelectOne[];
}

export interface AggSink extends SinkBase {
  readonly kind: "agg";
  /** undefined: no groupBy, one group that is always there. */
  readonly groupKeys: number | undefined;
  readonly outputs: readonly OutputUnit[];
  readonly limits: readonly LimitUnit[];
  readonly states: readonly StateUnit[];
  /** Inputs of a row, group keys included. */
  readonly width: number;
  /** Every aggregator is a combiner. */
  readonly mergeable: boolean;
  readonly flushRequired: boolean;
}

export type Sink = AggSink | JoinSink;

export interface Table {
  put(side: number, row: readonly unknown[]): void;
  /** What it holds, as a value that can travel. */
  partial(): unknown;
  merge(partial: unknown): void;
  /** Rows put since it was made. */
  readonly count: number;
}

export interface BatchPhase {
  readonly sink: Sink | undefined;
  readonly starts: readonly { readonly stage: number; readonly where: "here" | "first" | "all" }[];
}

/** What generated code and the runtime know of a batch block. */
export interface BatchPlan {
  readonly phases: readonly BatchPhase[];
}

/** What stages of microbatches, queries and detached blocks ask of their batch. Member `batch` of the StageContext. */
export interface BatchContext {
  /** Each record of source `source`'s slice at `stage`, as `[...vars, ...what its decoder makes]`. */
  explode(stage: number, vars: unknown[], source: number): void;
  /** Each kept row at `stage`, as `[...vars, ...row]`. */
  explodeKept(stage: number, vars: unknown[], temporary: number): void;
  keep(temporary: number, row: unknown[]): void;
  /** The phases one after another, each start with its vars and the number of this run; then `resume` with `vars` (-1: nothing). */
  run(plan: BatchPlan, starts: readonly unknown[][], resume: number, vars: unknown[]): void;
  /** `task` -1: this one; -2: every task. */
  put(sink: Sink, instance: number, task: number, side: number, row: unknown[]): void;
  take(sink: Sink, instance: number, partial: unknown): void;
  flush(sink: Sink, instance: number): void;
  /** This task's table; it is forgotten. */
  table(sink: Sink, instance: number): Table;
}
