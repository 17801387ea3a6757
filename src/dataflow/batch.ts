// The shape of a batch block as its nodes tell it: a sub-batch it begins with, the pre-agg, the aggregators, the post-agg. `flow-builder.ts` builds the parts.
import { capturedVars, templateArgs, templateLeaf } from "../aggregators/compound.ts";
import type { ArgNode } from "../paths/arg.ts";
import { type AggItem, limitItem } from "./aggregate-plan.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "./nodes.ts";

/** One aggregator of the agg phase. */
export interface BatchAgg {
  readonly node: BlockNode;
  readonly item: AggItem;
  readonly inputs: readonly ArgNode[];
  /** Names that its fields are bound to. */
  readonly outs: readonly string[];
}

export interface BatchShape {
  readonly subBatch: { readonly node: NodeOf<"subBatch">; readonly outs: readonly string[] } | undefined;
  readonly preAgg: readonly BlockNode[];
  readonly groupBy: NodeOf<"groupBy"> | undefined;
  readonly aggs: readonly BatchAgg[];
  readonly postAgg: readonly BlockNode[];
}

export function batchShape(nodes: readonly BlockNode[]): BatchShape {
  let at = 0;
  let subBatch: BatchShape["subBatch"];
  const [first, second] = nodes;
  if (first?.kind === "subBatch") {
    subBatch = { node: first, outs: outsAfter(first, second, first.vars.length) };
    at = second?.kind === "out" ? 2 : 1;
  }
  const aggAt = nodes.findIndex((node, i) => i >= at && isAggregator(node));
  if (aggAt < 0) return { subBatch, preAgg: nodes.slice(at), groupBy: undefined, aggs: [], postAgg: [] };
  const head = nodes[aggAt]!;
  const groupBy = head.kind === "groupBy" ? head : undefined;
  let end = groupBy === undefined ? aggAt : aggAt + 1;
  const aggs = groupBy === undefined ? [] : groupedAggs(groupBy);
  if (groupBy === undefined) {
    while (end < nodes.length && isAggregator(nodes[end]!) && nodes[end]!.kind !== "groupBy") {
      aggs.push(oneAgg(nodes[end]!, nodes[end + 1]));
      end += nodes[end + 1]?.kind === "out" ? 2 : 1;
    }
  }
  const postAgg = nodes.slice(end);
  for (const node of postAgg) refuseInPostAgg(node);
  return { subBatch, preAgg: nodes.slice(at, aggAt), groupBy, aggs, postAgg };
}

function isAggregator(node: BlockNode): boolean {
  return node.kind === "limitAgg" || node.kind === "groupBy" || (node.kind === "agg" && node.pstate === undefined);
}

function groupedAggs(groupBy: NodeOf<"groupBy">): BatchAgg[] {
  const { nodes } = groupBy.block;
  const aggs: BatchAgg[] = [];
  for (let i = 0; i < nodes.length; i += nodes[i + 1]?.kind === "out" ? 2 : 1) {
    const node = nodes[i]!;
    if (!isAggregator(node) || node.kind === "groupBy") {
      throw builderError("NOT_ALLOWED_HERE", node, `groupBy holds aggregators only, not ${nodeText(node)}`);
    }
    aggs.push(oneAgg(node, nodes[i + 1]));
  }
  return aggs;
}

function oneAgg(node: BlockNode, next: BlockNode | undefined): BatchAgg {
  if (node.kind === "limitAgg") {
    const { limit } = node;
    const vars: ArgNode[] = limit.vars.map((name) => ({ kind: "var", name }));
    const outs = limit.rankVar === undefined ? limit.vars : [...limit.vars, limit.rankVar];
    return { node, item: limitItem(limit), inputs: [limit.amount, ...limit.sortArgs, ...vars], outs };
  }
  const { agg } = node as NodeOf<"agg">;
  if (capturedVars(agg).length > 0) {
    throw builderError(
      "NOT_ALLOWED_HERE",
      node,
      "captureNewValInto needs a PState, in the batch block of a microbatch",
    );
  }
  const item = { leaf: templateLeaf(agg), fields: 1, rows: false };
  return { node, item, inputs: templateArgs(agg), outs: outsAfter(node, next, 1) };
}

/** The vars of the `out` that follows; none is allowed where the values are not wanted. */
function outsAfter(node: BlockNode, out: BlockNode | undefined, fields: number): readonly string[] {
  if (out?.kind !== "out") return [];
  if (out.pattern !== undefined)
    throw builderError("NOT_ALLOWED_HERE", out, "rows of a batch are bound by vars, not by a pattern");
  if (out.vars.length !== fields) {
    const message = `${nodeText(node)} emits ${fields} fields, out binds ${out.vars.length} vars`;
    throw builderError("WRONG_OUTPUT_COUNT", out, message, { fields, vars: out.vars.length });
  }
  const state = out.vars.find((name) => name.startsWith("$$"));
  if (state !== undefined)
    throw builderError("NOT_ALLOWED_HERE", out, `${state}: temporary PStates belong into microbatches`);
  return out.vars;
}

function refuseInPostAgg(node: BlockNode): void {
  if (node.kind === "partition" || node.kind === "select") {
    const goes = node.kind === "partition" || (node.from.kind === "var" && node.from.name.startsWith("$$"));
    if (goes)
      throw builderError(
        "PARTITIONER_IN_POSTAGG",
        node,
        `Partitioning not allowed in postagg: ${nodeText(node)} stands after an aggregation; wrap that in a SubBatch`,
      );
  }
  if (!isAggregator(node)) return;
  throw builderError(
    "NOT_ALLOWED_HERE",
    node,
    `${nodeText(node)} stands after another aggregation: wrap that one in a SubBatch`,
  );
}
