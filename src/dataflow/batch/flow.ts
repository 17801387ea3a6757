// Flow nodes of microbatches and batch blocks (language.md 3.5, 7). A batch block runs in phases; between two of them all work of the first has ended everywhere.
// What passes from one phase to the next lies in sinks (`sinks.ts`): rows put in by one phase, taken out by another, task by task.
import type { Binding, FlowArg, Label, SendTarget } from "../flow.ts";
import type { Sink } from "./sinks.ts";

/** Where a phase begins: on the task that runs the batch block, on task 0, on every task. */
export type PhaseWhere = "here" | "first" | "all";

export interface FlowPhase {
  /** The sink whose rows for other engines have to travel before this phase begins. */
  sink: Sink | undefined;
  readonly starts: { readonly label: Label; readonly where: PhaseWhere }[];
}

export type BatchFlowOp =
  /** Each record of the microbatch's slice, on its partition's task. */
  | { readonly kind: "explode"; readonly source: number; readonly resume: Label }
  /** Each kept row, on the task that keeps it. */
  | { readonly kind: "explodeKept"; readonly temporary: number; readonly resume: Label }
  | { readonly kind: "keep"; readonly temporary: number; readonly row: readonly FlowArg[] }
  | { readonly kind: "batch"; readonly phases: readonly FlowPhase[]; readonly resume: Label | undefined }
  /** A row goes into the sink of `to`'s task (undefined: of this one). Values whose `feeds` nobody uses are left out. */
  | {
      readonly kind: "put";
      readonly sink: Sink;
      readonly side: number;
      readonly instance: FlowArg;
      readonly to: SendTarget | undefined;
      readonly keys: readonly FlowArg[];
      readonly args: readonly FlowArg[];
      readonly feeds: readonly Binding[] | undefined;
    }
  | { readonly kind: "take"; readonly sink: Sink; readonly instance: FlowArg; readonly rows: FlowArg }
  | { readonly kind: "flush"; readonly sink: Sink; readonly instance: FlowArg }
  /** The rows of this task's sink, as the node's outs: keys, then the values of each side. */
  | {
      readonly kind: "rows";
      readonly sink: Sink;
      readonly instance: FlowArg;
      readonly keyCount: number;
      readonly sides: readonly (readonly Binding[])[];
    };

const kinds: ReadonlySet<string> = new Set(["explode", "explodeKept", "keep", "batch", "put", "take", "flush", "rows"]);

export function isBatchOp(op: { readonly kind: string }): op is BatchFlowOp {
  return kinds.has(op.kind);
}

/** The arguments that a batch node evaluates itself. `used` leaves out what feeds nothing. */
export function batchArgs(op: BatchFlowOp, targetArgs: (to: SendTarget) => readonly FlowArg[]): readonly FlowArg[] {
  switch (op.kind) {
    case "keep":
      return op.row;
    case "put":
      return [op.instance, ...op.keys, ...op.args, ...(op.to === undefined ? [] : targetArgs(op.to))];
    case "take":
      return [op.instance, op.rows];
    case "flush":
    case "rows":
      return [op.instance];
    default:
      return [];
  }
}

/** The labels that a batch node leads to. */
export function batchLabels(op: BatchFlowOp): readonly Label[] {
  switch (op.kind) {
    case "explode":
    case "explodeKept":
      return [op.resume];
    case "batch": {
      const starts = op.phases.flatMap(({ starts }) => starts.map(({ label }) => label));
      return op.resume === undefined ? starts : [...starts, op.resume];
    }
    default:
      return [];
  }
}
