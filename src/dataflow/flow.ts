// The flow graph: what `flow-builder.ts` makes of a block. Every binding has its own identity here, so that names play no role any more; code that is reached
// from several places, or later, stands under a Label with parameters, like a function. Emission (`emit.ts`) turns labels into JavaScript functions.
import type { Callable } from "../paths/arg.ts";
import type { Steps } from "../paths/spec.ts";
import type { SchemaNode } from "../module/schema.ts";
import type { AckLevelName } from "./compiled.ts";
import { type BatchFlowOp, batchArgs, batchLabels, isBatchOp } from "./batch/flow.ts";
import type { Operation } from "./emission.ts";

export interface Binding {
  readonly id: number;
  /** As the author wrote it. */
  readonly name: string;
  /** The local in generated code. */
  readonly js: string;
}

export type FlowArg =
  | { readonly kind: "const"; readonly value: unknown }
  | { readonly kind: "var"; readonly binding: Binding }
  /** This task's instance of a task global. */
  | { readonly kind: "global"; readonly index: number }
  | { readonly kind: "expr"; readonly op: Callable | FlowArg; readonly args: readonly FlowArg[] };

/** Where a path begins. */
export type StateRef =
  | {
      readonly kind: "pstate";
      readonly index: number;
      readonly name: string;
      readonly schema: SchemaNode;
      readonly global: boolean;
    }
  | { readonly kind: "temporary"; readonly index: number }
  /** A var that holds a TestPState (detached blocks). */
  | { readonly kind: "held"; readonly binding: Binding };

export interface FlowPath {
  readonly steps: Steps;
  /** Values of the symbolic arguments, in the order of `collectArgs`. */
  readonly args: readonly FlowArg[];
}

export type FlowPattern =
  | {
      readonly kind: "object";
      readonly fields: readonly { readonly name: string; readonly to: Binding | FlowPattern }[];
    }
  | { readonly kind: "list"; readonly items: readonly (Binding | FlowPattern)[] };

export type LabelKind = "join" | "loop" | "after" | "stage" | "source";

export interface Label {
  readonly id: number;
  readonly kind: LabelKind;
  readonly params: Binding[];
  readonly entry: FlowNode[];
  /** Gotos that lead here; a stage counts once more. */
  refs: number;
  /** Index in the topology's stages. */
  stage: number | undefined;
  /** The builder call that it continues, for names in generated code. */
  readonly text: string;
}

export interface NamedStream {
  readonly name: string;
  readonly outs: readonly Binding[];
  readonly next: FlowNode[];
}

export interface SplitBranch {
  readonly condition:
    | FlowArg
    | { readonly kind: "matches"; readonly value: FlowArg; readonly patterns: readonly unknown[] };
  readonly entry: readonly FlowNode[];
}

export type FlowOp =
  | BatchFlowOp
  | { readonly kind: "call"; readonly fn: Callable | Operation | FlowArg; readonly args: readonly FlowArg[] }
  | { readonly kind: "keepTrue"; readonly condition: FlowArg }
  | { readonly kind: "destructure"; readonly value: FlowArg; readonly pattern: FlowPattern }
  /** A destructured record whose fields were decoded one by one (`record-fields.ts`). */
  | { readonly kind: "rebind"; readonly from: readonly Binding[]; readonly to: readonly (Binding | FlowPattern)[] }
  | { readonly kind: "ackReturn"; readonly value: FlowArg }
  | { readonly kind: "result"; readonly value: FlowArg }
  | { readonly kind: "selectState"; readonly state: StateRef; readonly path: FlowPath }
  | { readonly kind: "selectData"; readonly data: FlowArg; readonly path: FlowPath }
  | { readonly kind: "transform"; readonly state: StateRef; readonly path: FlowPath }
  | { readonly kind: "clear"; readonly state: StateRef }
  | {
      readonly kind: "split";
      readonly branches: readonly SplitBranch[];
      readonly otherwise: readonly FlowNode[] | "noMatch";
    }
  | { readonly kind: "goto"; readonly label: Label; readonly args: readonly FlowArg[] }
  | { readonly kind: "atomic"; readonly body: readonly FlowNode[] }
  // Boundaries: what follows stands under `resume`.
  | { readonly kind: "send"; readonly to: SendTarget; readonly resume: Label }
  | { readonly kind: "overtime"; readonly resume: Label }
  | {
      readonly kind: "await";
      readonly fn: Callable | FlowArg;
      readonly args: readonly FlowArg[];
      readonly resume: Label;
    }
  | {
      readonly kind: "selectYielding";
      readonly pstate: number;
      readonly schema: SchemaNode;
      readonly path: FlowPath;
      readonly resume: Label;
    }
  | { readonly kind: "invoke"; readonly query: number; readonly args: readonly FlowArg[]; readonly resume: Label }
  | {
      readonly kind: "append";
      /** -1: a depot of another module, at `to`. */
      readonly depot: number;
      readonly to?: FlowArg;
      readonly record: FlowArg;
      readonly level: AckLevelName;
      readonly resume: Label;
    };

export type SendTarget =
  | { readonly kind: "all" }
  | { readonly kind: "task"; readonly task: FlowArg }
  /** `byKeys`: of a row's keys (batch/flow.ts); `key` is not looked at. */
  | { readonly kind: "hash"; readonly key: FlowArg; readonly byKeys?: boolean }
  | { readonly kind: "shuffle" }
  | { readonly kind: "origin" }
  | { readonly kind: "path"; readonly pstate: number; readonly key: FlowArg }
  | {
      readonly kind: "custom";
      readonly fn: (n: number, ...args: any[]) => number;
      readonly args: readonly FlowArg[];
      readonly partitions: "tasks" | "one";
    };

export interface FlowNode {
  /** Index in the topology's lines. */
  readonly id: number;
  op: FlowOp;
  /** Fields of the default stream; undefined when they are discarded. */
  outs: readonly Binding[] | undefined;
  readonly streams: NamedStream[];
  /** What each emit of the default stream runs, in order. Of a `goto`: what runs when the label's code has returned. */
  readonly next: FlowNode[];
}

export interface FlowSource {
  readonly source: number;
  readonly label: Label;
}

/** One topology (or detached block), resolved. */
export interface FlowProgram {
  readonly labels: readonly Label[];
  /** In the order of stages. */
  readonly stages: readonly Label[];
  readonly sources: readonly FlowSource[];
  /** Stages that take a record of a microbatch as their first parameter. */
  readonly exploded: readonly Label[];
  readonly lines: readonly { readonly line: string; readonly what: string }[];
}

export function resumeOf(op: FlowOp): Label | undefined {
  return "resume" in op ? op.resume : undefined;
}

/** Labels whose code a node leads to. */
export function labelsOf(op: FlowOp): readonly Label[] {
  if (isBatchOp(op)) return batchLabels(op);
  const label = op.kind === "goto" ? op.label : resumeOf(op);
  return label === undefined ? [] : [label];
}

/** The arguments that a node evaluates itself. */
export function argsOf(op: FlowOp): readonly FlowArg[] {
  if (isBatchOp(op)) return batchArgs(op, targetArgs);
  switch (op.kind) {
    case "call":
    case "await":
      return typeof op.fn === "object" && isFlowArg(op.fn) ? [op.fn, ...op.args] : op.args;
    case "keepTrue":
      return [op.condition];
    case "destructure":
    case "ackReturn":
    case "result":
      return [op.value];
    case "rebind":
      return op.from.map((binding) => ({ kind: "var", binding }));
    case "selectState":
    case "transform":
      return op.state.kind === "held" ? [{ kind: "var", binding: op.state.binding }, ...op.path.args] : op.path.args;
    case "clear":
      return op.state.kind === "held" ? [{ kind: "var", binding: op.state.binding }] : [];
    case "selectData":
      return [op.data, ...op.path.args];
    case "selectYielding":
      return op.path.args;
    case "split":
      return op.branches.map(({ condition }) => (condition.kind === "matches" ? condition.value : condition));
    case "goto":
    case "invoke":
      return op.args;
    case "append":
      return op.to === undefined ? [op.record] : [op.record, op.to];
    case "send":
      return targetArgs(op.to);
    default:
      return [];
  }
}

function targetArgs(to: SendTarget): readonly FlowArg[] {
  switch (to.kind) {
    case "task":
      return [to.task];
    case "hash":
    case "path":
      return "byKeys" in to ? [] : [to.key];
    case "custom":
      return to.args;
    default:
      return [];
  }
}

export function isFlowArg(value: object): value is FlowArg {
  const kind = (value as { kind?: unknown }).kind;
  return kind === "const" || kind === "var" || kind === "global" || kind === "expr";
}

export function visitBindings(arg: FlowArg, visit: (binding: Binding) => void): void {
  if (arg.kind === "var") visit(arg.binding);
  if (arg.kind !== "expr") return;
  if (typeof arg.op === "object" && isFlowArg(arg.op)) visitBindings(arg.op, visit);
  for (const each of arg.args) visitBindings(each, visit);
}

export function patternBindings(pattern: FlowPattern): Binding[] {
  const targets = pattern.kind === "object" ? pattern.fields.map(({ to }) => to) : pattern.items;
  return targets.flatMap(targetBindings);
}

export function targetBindings(to: Binding | FlowPattern): Binding[] {
  return "js" in to ? [to] : patternBindings(to);
}

/** What a node binds for what follows it on the default stream. */
export function boundBy(node: FlowNode): readonly Binding[] {
  if (node.op.kind === "destructure") return patternBindings(node.op.pattern);
  if (node.op.kind === "rebind") return node.op.to.flatMap(targetBindings);
  return node.outs ?? [];
}

/** Nodes that run inside a node, before what follows it. */
export function insideOf(op: FlowOp): readonly (readonly FlowNode[])[] {
  if (op.kind === "atomic") return [op.body];
  if (op.kind !== "split") return [];
  const lists = op.branches.map(({ entry }) => entry);
  return op.otherwise === "noMatch" ? lists : [...lists, op.otherwise];
}

export function visitNodes(list: readonly FlowNode[], visit: (node: FlowNode) => void): void {
  for (const node of list) {
    visit(node);
    for (const inner of insideOf(node.op)) visitNodes(inner, visit);
    for (const stream of node.streams) visitNodes(stream.next, visit);
    visitNodes(node.next, visit);
  }
}
