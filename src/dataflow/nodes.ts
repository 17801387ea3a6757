// What a Block is made of: frozen nodes in the order of the builder calls. Nothing is resolved here; `scope.ts` makes the flow graph of them.
import { RamaError } from "../base/errors.ts";
import type { AggTemplate } from "../aggregators/compound.ts";
import type { LimitAgg } from "../aggregators/limit.ts";
import { type ArgNode, isOp, type Op } from "../paths/arg.ts";
import type { Steps } from "../paths/spec.ts";
import type { Block } from "./builder.ts";
import type { AckLevelName } from "./compiled.ts";
import type { Operation } from "./emission.ts";
import type { Pattern } from "./patterns.ts";

/** What `each` may call. */
export type EachFn = Op | Operation | ((...args: any[]) => unknown) | { readonly kind: "var"; readonly name: string };

export interface Out {
  readonly kind: "out";
  readonly vars: readonly string[];
  /** Takes the only field apart; after the whole when `vars` has one. */
  readonly pattern: Pattern | undefined;
}
export interface OutStream {
  readonly kind: "outStream";
  readonly stream: string;
  readonly anchor: string;
  readonly vars: readonly string[];
}

export type PartitionBy = "hash" | "all" | "global" | "direct" | "shuffle" | "path" | "origin" | "custom";

export interface CaseBranch {
  readonly condition: ArgNode;
  readonly block: Block;
}
export interface SubSourceBranch {
  /** Classes, or plain objects of which all fields must be equal. */
  readonly patterns: readonly unknown[];
  readonly block: Block;
}
export interface LoopVar {
  readonly name: string;
  readonly init: ArgNode;
}

export type NodeShape =
  // Where a block begins: a source's record, a query's inputs.
  | { readonly kind: "source"; readonly depot: string }
  | { readonly kind: "inputs"; readonly vars: readonly string[] }
  | Out
  | OutStream
  // computation
  | { readonly kind: "each"; readonly fn: EachFn; readonly args: readonly ArgNode[] }
  | { readonly kind: "eachAsync"; readonly fn: EachFn; readonly args: readonly ArgNode[] }
  | { readonly kind: "keepTrue"; readonly condition: ArgNode }
  | { readonly kind: "bind"; readonly value: ArgNode; readonly pattern: Pattern }
  | { readonly kind: "yieldIfOvertime" }
  | { readonly kind: "ackReturn"; readonly value: ArgNode }
  // state
  | { readonly kind: "localSelect"; readonly from: ArgNode; readonly steps: Steps; readonly allowYield: boolean }
  | { readonly kind: "select"; readonly from: ArgNode; readonly steps: Steps; readonly allowYield: boolean }
  | { readonly kind: "localTransform"; readonly pstate: string; readonly steps: Steps }
  | { readonly kind: "localClear"; readonly pstate: string }
  /** `agg` and `compoundAgg`; without a PState the result is an output of the batch block. */
  | { readonly kind: "agg"; readonly pstate: string | undefined; readonly agg: AggTemplate }
  // control
  | {
      readonly kind: "ifTrue";
      readonly condition: ArgNode;
      readonly whenTrue: Block;
      readonly otherwise: Block | undefined;
    }
  | { readonly kind: "cond"; readonly cases: readonly CaseBranch[] }
  | { readonly kind: "subSource"; readonly value: ArgNode; readonly branches: readonly SubSourceBranch[] }
  | { readonly kind: "anchor"; readonly name: string }
  | { readonly kind: "hook"; readonly name: string }
  | { readonly kind: "branch"; readonly name: string; readonly block: Block }
  | { readonly kind: "unify"; readonly names: readonly string[] }
  | { readonly kind: "loop"; readonly vars: readonly LoopVar[]; readonly block: Block }
  | { readonly kind: "continueLoop"; readonly args: readonly ArgNode[] }
  | { readonly kind: "emitLoop"; readonly args: readonly ArgNode[] }
  | { readonly kind: "atomicBlock"; readonly block: Block }
  // movement
  | {
      readonly kind: "partition";
      readonly by: PartitionBy;
      /** A declared depot or PState whose number of partitions counts. */
      readonly object: string | undefined;
      readonly args: readonly ArgNode[];
      readonly fn?: (numPartitions: number, ...args: any[]) => number;
      readonly steps?: Steps;
    }
  | { readonly kind: "invokeQuery"; readonly query: string; readonly args: readonly ArgNode[] }
  | { readonly kind: "depotAppend"; readonly depot: string; readonly record: ArgNode; readonly level: AckLevelName }
  // batches
  | { readonly kind: "batchBlock"; readonly block: Block }
  | { readonly kind: "explodeMicrobatch"; readonly microbatch: ArgNode }
  | { readonly kind: "freshBatchSource" }
  | { readonly kind: "subBatch"; readonly block: Block; readonly vars: readonly string[] }
  | { readonly kind: "groupBy"; readonly keys: readonly string[]; readonly block: Block }
  | { readonly kind: "limitAgg"; readonly limit: LimitAgg }
  | { readonly kind: "materialize"; readonly vars: readonly string[] }
  | { readonly kind: "explodeMaterialized"; readonly pstate: string };

export type NodeKind = NodeShape["kind"];
/** A node with the line of the builder call that made it, `app.ts:24`. */
export type BlockNode = NodeShape & { readonly line: string };
export type NodeOf<K extends NodeKind> = Extract<BlockNode, { kind: K }>;

/** Trouble of one builder call: the message begins with its line. */
export function builderError(
  code: ConstructorParameters<typeof RamaError>[0],
  node: { readonly line: string },
  message: string,
  facts: Record<string, unknown> = {},
): RamaError {
  return new RamaError(code, `${node.line}: ${message}`, { line: node.line, ...facts });
}

/** What stands at the line: `localTransform($$funds)`. */
export function nodeText(node: NodeShape): string {
  switch (node.kind) {
    case "source":
      return `source(${node.depot})`;
    case "inputs":
      return `query(${node.vars.join(", ")})`;
    case "out":
      return `out(${node.vars.join(", ")})`;
    case "outStream":
      return `outStream(${[node.stream, node.anchor, ...node.vars].join(", ")})`;
    case "each":
    case "eachAsync":
      return `${node.kind}(${[fnText(node.fn), ...node.args.map(argText)].join(", ")})`;
    case "keepTrue":
    case "ifTrue":
      return `${node.kind}(${argText(node.condition)})`;
    case "bind":
    case "ackReturn":
    case "subSource":
      return `${node.kind}(${argText(node.value)})`;
    case "localSelect":
    case "select":
      return `${node.kind}(${argText(node.from)})`;
    case "localTransform":
    case "localClear":
    case "explodeMaterialized":
      return `${node.kind}(${node.pstate})`;
    case "agg":
      return `${node.agg.kind}(${node.pstate ?? ""})`;
    case "anchor":
    case "hook":
    case "branch":
      return `${node.kind}(${node.name})`;
    case "unify":
      return `unify(${node.names.join(", ")})`;
    case "loop":
      return node.vars.length === 0 ? "loop()" : `loopWithVars(${node.vars.map(({ name }) => name).join(", ")})`;
    case "continueLoop":
    case "emitLoop":
      return `${node.kind}(${node.args.map(argText).join(", ")})`;
    case "partition":
      return `${node.by}Partition(${[...(node.object === undefined ? [] : [node.object]), ...node.args.map(argText)].join(", ")})`;
    case "invokeQuery":
      return `invokeQuery(${[node.query, ...node.args.map(argText)].join(", ")})`;
    case "depotAppend":
      return `depotPartitionAppend(${node.depot}, ${argText(node.record)})`;
    case "explodeMicrobatch":
      return `explodeMicrobatch(${argText(node.microbatch)})`;
    case "groupBy":
      return `groupBy(${node.keys.join(", ")})`;
    case "subBatch":
    case "materialize":
      return `${node.kind}(${node.vars.join(", ")})`;
    default:
      return `${node.kind}()`;
  }
}

function fnText(fn: EachFn): string {
  if (isOp(fn)) return fn.name;
  if (typeof fn === "function") return fn.name === "" ? "(…) => …" : fn.name;
  return fn.kind === "var" ? fn.name : "operation(…)";
}

export function argText(arg: ArgNode): string {
  switch (arg.kind) {
    case "var":
      return arg.name;
    case "slot":
      return `#${arg.index}`;
    case "expr": {
      const op = "kind" in arg.op && arg.op.kind === "var" ? arg.op.name : fnText(arg.op as EachFn);
      return `${op}(${arg.args.map(argText).join(", ")})`;
    }
    default: {
      const { value } = arg;
      if (typeof value === "string") return JSON.stringify(value.length > 20 ? `${value.slice(0, 20)}…` : value);
      if (typeof value !== "object" || value === null) return typeof value === "function" ? value.name : String(value);
      return Array.isArray(value) ? "[…]" : "{…}";
    }
  }
}
