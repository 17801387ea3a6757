// Which vars a node uses and which it binds, nested blocks included: what decides where a node of a batch's pre-agg can be attached.
import { templateArgs } from "../../aggregators/compound.ts";
import { type ArgNode, isOp } from "../../paths/arg.ts";
import { collectArgs } from "../../paths/spec.ts";
import type { BlockNode } from "../nodes.ts";
import { patternVars } from "../patterns.ts";

function argVars(arg: ArgNode, into: Set<string>): void {
  if (arg.kind === "var") {
    if (!arg.name.startsWith("$$")) into.add(arg.name);
  } else if (arg.kind === "expr") {
    if ("kind" in arg.op && arg.op.kind === "var") into.add(arg.op.name);
    for (const each of arg.args) argVars(each, into);
  }
}

/** Vars that must be bound before the node. */
export function usedVars(node: BlockNode): Set<string> {
  const used = new Set<string>();
  for (const arg of argsOfNode(node)) argVars(arg, used);
  for (const block of blocksOf(node)) {
    const inner = usedIn(block);
    for (const name of loopVars(node)) inner.delete(name);
    for (const name of inner) used.add(name);
  }
  return used;
}

function usedIn(nodes: readonly BlockNode[]): Set<string> {
  const used = new Set<string>();
  const bound = new Set<string>();
  for (const node of nodes) {
    for (const name of usedVars(node)) if (!bound.has(name)) used.add(name);
    for (const name of boundVars(node)) bound.add(name);
  }
  return used;
}

/** Vars that the node or its blocks bind; of loops only what stands after them. */
export function boundVars(node: BlockNode): string[] {
  switch (node.kind) {
    case "out":
      return [...node.vars, ...(node.pattern === undefined ? [] : patternVars(node.pattern))].filter(
        (name) => !name.startsWith("$$"),
      );
    case "outStream":
      return [...node.vars];
    case "bind":
      return patternVars(node.pattern);
    case "loop":
      return [];
    default:
      return blocksOf(node).flatMap((block) => block.flatMap(boundVars));
  }
}

function loopVars(node: BlockNode): string[] {
  return node.kind === "loop" ? node.vars.map(({ name }) => name) : [];
}

export function blocksOf(node: BlockNode): (readonly BlockNode[])[] {
  switch (node.kind) {
    case "ifTrue":
      return [node.whenTrue.nodes, node.otherwise?.nodes ?? []];
    case "cond":
      return node.cases.map(({ block }) => block.nodes);
    case "subSource":
      return node.branches.map(({ block }) => block.nodes);
    case "branch":
    case "loop":
    case "atomicBlock":
    case "groupBy":
      return [node.block.nodes];
    default:
      return [];
  }
}

/** Ops that tell of the task that they run on. */
export function usesContext(nodes: readonly BlockNode[]): boolean {
  const asks = (arg: ArgNode): boolean =>
    arg.kind === "expr" && ((isOp(arg.op) && arg.op.context) || arg.args.some(asks));
  return nodes.some((node) => argsOfNode(node).some(asks) || blocksOf(node).some((block) => usesContext(block)));
}

const varArg = (name: string): ArgNode => ({ kind: "var", name });

function argsOfNode(node: BlockNode): readonly ArgNode[] {
  switch (node.kind) {
    case "each":
    case "eachAsync":
      return typeof node.fn === "object" && node.fn.kind === "var" ? [varArg(node.fn.name), ...node.args] : node.args;
    case "keepTrue":
    case "ifTrue":
      return [node.condition];
    case "cond":
      return node.cases.map(({ condition }) => condition);
    case "bind":
    case "ackReturn":
    case "subSource":
      return [node.value];
    case "localSelect":
    case "select":
      return [node.from, ...collectArgs(node.steps)];
    case "localTransform":
      return collectArgs(node.steps);
    case "agg":
      return templateArgs(node.agg);
    case "limitAgg":
      return [node.limit.amount, ...node.limit.sortArgs, ...node.limit.vars.map(varArg)];
    case "groupBy":
    case "materialize":
      return (node.kind === "groupBy" ? node.keys : node.vars).map(varArg);
    case "loop":
      return node.vars.map(({ init }) => init);
    case "continueLoop":
    case "emitLoop":
    case "invokeQuery":
      return node.args;
    case "partition":
      return [...node.args, ...(node.steps === undefined ? [] : collectArgs(node.steps))];
    case "depotAppend":
      return [node.record];
    default:
      return [];
  }
}
