// How the nodes of a batch block stand together: a node with its outs, the aggregators, and what may not follow them.
import { type BlockNode, builderError, nodeText, type NodeOf } from "../nodes.ts";
import type { AggPart } from "./agg-sink.ts";
import { blocksOf } from "./node-vars.ts";

export interface Group {
  readonly node: BlockNode;
  /** The node and its outs. */
  readonly nodes: readonly BlockNode[];
  readonly outs: readonly NodeOf<"out">[];
}

/** Code with aggregations or several sources; anything else runs as it stands. */
export function needsPhases(nodes: readonly BlockNode[]): boolean {
  return nodes.some((node) => isAggregator(node) || node.kind === "subBatch" || node.kind === "freshBatchSource");
}

export function isAggregator(node: BlockNode): boolean {
  return node.kind === "agg" || node.kind === "groupBy" || node.kind === "limitAgg";
}

export function groupsOf(nodes: readonly BlockNode[]): Group[] {
  const groups: Group[] = [];
  for (let i = 0; i < nodes.length; ) {
    const node = nodes[i]!;
    let end = i + 1;
    while (end < nodes.length && (nodes[end]!.kind === "out" || nodes[end]!.kind === "outStream")) end++;
    const all = nodes.slice(i, end);
    groups.push({ node, nodes: all, outs: all.filter((each) => each.kind === "out") as NodeOf<"out">[] });
    i = end;
  }
  return groups;
}

/** A loop is built with its out; other outs one by one, since named streams branch off. */
export function buildSteps(group: Group): (readonly BlockNode[])[] {
  if (group.node.kind === "loop" || group.node.kind === "materialize") return [group.nodes];
  return group.nodes.map((node) => [node]);
}

export function groupedAggs(groupBy: NodeOf<"groupBy">): AggPart[] {
  return groupsOf(groupBy.block.nodes).map(({ node, outs }) => {
    if (isAggregator(node) && node.kind !== "groupBy") return { node: node as AggPart["node"], out: outs[0] };
    throw builderError("NOT_ALLOWED_HERE", node, `groupBy holds aggregators only, not ${nodeText(node)}`);
  });
}

export function refuseInPostAgg(node: BlockNode): void {
  const goes =
    node.kind === "partition" ||
    (node.kind === "select" && node.from.kind === "var" && node.from.name.startsWith("$$"));
  if (goes) {
    throw builderError(
      "PARTITIONER_IN_POSTAGG",
      node,
      `Partitioning not allowed in postagg: ${nodeText(node)} stands after an aggregation; wrap that in a SubBatch`,
    );
  }
  if (isAggregator(node) || node.kind === "subBatch" || node.kind === "freshBatchSource") {
    throw builderError(
      "NOT_ALLOWED_HERE",
      node,
      `${nodeText(node)} stands after an aggregation: wrap that one in a SubBatch`,
    );
  }
  for (const block of blocksOf(node)) for (const inner of block) refuseInPostAgg(inner);
}
