// The agg phase as builder calls become an AggSink: where each aggregator's inputs stand in a row, and what the rows of post-agg bind.
import type { Aggregator } from "../../aggregators/aggregator.ts";
import {
  type AggTemplate,
  capturedVars,
  templateArgs,
  templateLeaf,
  toTransformSteps,
} from "../../aggregators/compound.ts";
import type { ArgNode } from "../../paths/arg.ts";
import { compileSelectOne, compileTransform } from "../../paths/compile.ts";
import { collectArgs, type SchemaHint, slotOf, step, type Step } from "../../paths/spec.ts";
import type { StateRef } from "../flow.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "../nodes.ts";
import { type MergedState, mergedState } from "./merged-state.ts";
import type { CaptureUnit, LimitUnit, OutputUnit, StateUnit } from "./sinks.ts";

export interface AggPart {
  readonly node: NodeOf<"agg"> | NodeOf<"limitAgg">;
  readonly out: NodeOf<"out"> | undefined;
}

export interface AggContent {
  /** Inputs of a row, in order. */
  readonly args: { readonly node: BlockNode; readonly arg: ArgNode }[];
  readonly outputs: OutputUnit[];
  readonly limits: LimitUnit[];
  readonly states: StateUnit[];
  /** Names of outputs that are values, in the order of `outputs`; undefined: not bound. */
  readonly outputNames: (string | undefined)[];
  readonly limitNames: string[];
  readonly capturedNames: (string | undefined)[];
  /** Take outputs apart, at the beginning of post-agg. */
  readonly patterns: BlockNode[];
}

export interface AggSurroundings {
  /** State that may be written. */
  writable(name: string, node: BlockNode): StateRef;
  /** A temporary PState that begins to exist. */
  temporary(name: string, node: BlockNode): number;
}

/** `keys`: of a groupBy, at the head of each row. */
export function aggContent(
  parts: readonly AggPart[],
  keys: readonly ArgNode[],
  group: BlockNode,
  around: AggSurroundings,
) {
  const content: AggContent = {
    args: keys.map((arg) => ({ node: group, arg })),
    outputs: [],
    limits: [],
    states: [],
    outputNames: [],
    limitNames: [],
    capturedNames: [],
    patterns: [],
  };
  for (const part of parts) {
    const { node } = part;
    checkOut(part);
    if (node.kind === "limitAgg") addLimit(content, node);
    else if (node.pstate === undefined) addOutput(content, node, part.out, around);
    else addState(content, node, node.pstate, around);
  }
  return content;
}

/** Only a value has a var; a limit's rows keep their names, a PState has its own. */
function checkOut({ node, out }: AggPart): void {
  if (out === undefined) return;
  if (node.kind === "limitAgg" || node.pstate !== undefined) {
    throw builderError("NOT_ALLOWED_HERE", out, `${nodeText(node)} emits no value that out could bind`);
  }
  if (out.vars.length === 1 || (out.pattern !== undefined && out.vars.length === 0)) return;
  const message = `${nodeText(node)} emits 1 fields, out binds ${out.vars.length} vars`;
  throw builderError("WRONG_OUTPUT_COUNT", out, message, { fields: 1, vars: out.vars.length });
}

function addArgs(content: AggContent, node: BlockNode, args: readonly ArgNode[]): number {
  const from = content.args.length;
  for (const arg of args) content.args.push({ node, arg });
  return from;
}

function addLimit(content: AggContent, node: NodeOf<"limitAgg">): void {
  const { amount, sortArgs, vars, descending, rankVar } = node.limit;
  const from = addArgs(content, node, [amount, ...sortArgs, ...vars.map((name): ArgNode => ({ kind: "var", name }))]);
  const ranked = rankVar !== undefined;
  content.limits.push({ from, sorts: sortArgs.length, width: vars.length, descending, ranked });
  content.limitNames.push(...vars, ...(ranked ? [rankVar] : []));
}

function addOutput(
  content: AggContent,
  node: NodeOf<"agg">,
  out: NodeOf<"out"> | undefined,
  around: AggSurroundings,
): void {
  refuseCapture(node);
  const args = templateArgs(node.agg);
  const name = out?.pattern === undefined ? out?.vars[0] : (out.vars[0] ?? `*___whole${content.outputs.length}`);
  if (out?.pattern !== undefined) {
    const value: ArgNode = { kind: "var", name: name! };
    content.patterns.push({ kind: "bind", value, pattern: out.pattern, line: out.line });
  }
  const temporary = name?.startsWith("$$") ? around.temporary(name, out!) : undefined;
  const from = addArgs(content, node, args);
  content.outputs.push({ leaf: templateLeaf(node.agg), from, width: args.length, temporary });
  if (temporary === undefined) content.outputNames.push(name);
}

function refuseCapture(node: NodeOf<"agg">): void {
  if (capturedVars(node.agg).length === 0) return;
  throw builderError("NOT_ALLOWED_HERE", node, "captureNewValInto stands in an aggregation into a PState");
}

function addState(content: AggContent, node: NodeOf<"agg">, name: string, around: AggSurroundings): void {
  const state = around.writable(name, node);
  if (state.kind === "held") {
    throw builderError("NOT_ALLOWED_HERE", node, `${name} is held by a var: aggregate into a value and transform it`);
  }
  const schema = state.kind === "pstate" ? { schema: state.schema as SchemaHint } : {};
  const steps = toTransformSteps(node.agg);
  const args = collectArgs(steps);
  const from = addArgs(content, node, args);
  const captured = capturedVars(node.agg);
  const merged = mergedState(node.agg, args);
  const capture = captured.length === 0 ? undefined : captureOf(node, content, args, merged, schema);
  content.states.push({
    state: { kind: state.kind, index: state.index },
    from,
    width: args.length,
    steps,
    merged,
    transform: compileTransform(merged?.steps ?? steps, schema),
    finish: finishOf(node.agg, schema),
    capture,
  });
}

/** A top n as the whole value is sorted and cut at the end of each batch. */
function finishOf(agg: AggTemplate, schema: object): StateUnit["finish"] {
  if (agg.kind !== "agg" || agg.leaf.finish === undefined) return undefined;
  const { finish } = agg.leaf;
  const cut = (value: unknown) => (Array.isArray(value) ? finish(value) : value);
  return compileTransform([step("term", [{ kind: "const", value: cut }])], schema);
}

interface Captured {
  readonly keys: readonly ArgNode[];
  readonly steps: readonly Step[];
  readonly agg: Aggregator;
}

function capturedIn(agg: AggTemplate, keys: readonly ArgNode[], steps: readonly Step[], node: BlockNode): Captured[] {
  if (agg.kind === "agg") return agg.captureVar === undefined ? [] : [{ keys, steps, agg }];
  const shape = agg.node;
  if (shape.kind === "map") {
    const found = shape.entries.flatMap(({ key, sub }) =>
      capturedIn(sub, [...keys, key], [...steps, step("key", [{ kind: "slot", index: keys.length }])], node),
    );
    if (found.length > 0 && shape.entries.length > 1) throw badCapture(node, "two keys in one map");
    return found;
  }
  return shape.subs.flatMap((sub, i) => {
    const at =
      shape.kind === "list"
        ? step("nth", [{ kind: "const", value: i }])
        : step("key", [{ kind: "const", value: shape.names[i] }]);
    const found = capturedIn(sub, keys, [...steps, at], node);
    if (found.some((each) => each.keys.length > keys.length)) throw badCapture(node, "a map below a list");
    return found;
  });
}

function badCapture(node: BlockNode, what: string) {
  return builderError(
    "NOT_ALLOWED_HERE",
    node,
    `${nodeText(node)}: captured values must lie on one chain of maps with one key each, not below ${what}`,
  );
}

function captureOf(
  node: NodeOf<"agg">,
  content: AggContent,
  args: readonly ArgNode[],
  merged: MergedState | undefined,
  schema: object,
): CaptureUnit {
  const captured = capturedIn(node.agg, [], [], node);
  const { keys } = captured[0]!;
  for (const key of keys) content.capturedNames.push(key.kind === "var" ? key.name : undefined);
  for (const { agg } of captured) content.capturedNames.push(agg.captureVar);
  return {
    keys: keys.map((key) => {
      const place = keySlot(args, key);
      return place < 0 || merged === undefined ? place : merged.keys.indexOf(place);
    }),
    constants: keys.map((key) => (key.kind === "const" ? key.value : undefined)),
    values: captured.map(({ steps }) => compileSelectOne(steps, schema)),
  };
}

/** -1: a constant. */
function keySlot(args: readonly ArgNode[], key: ArgNode): number {
  return key.kind === "const" ? -1 : slotOf(args, key);
}
