// What the makers of a batch's phases share: what they need of the FlowBuilder whose graph they add to, where a phase begins, stages of a sink.
import type { Binding, FlowArg, FlowNode, FlowOp, Label, SendTarget } from "../flow.ts";
import type { Place, Region } from "../flow-graph.ts";
import type { BlockNode, NodeOf } from "../nodes.ts";
import type { Resolver } from "../resolve.ts";
import type { Scope } from "../scope.ts";
import type { ProgramKind } from "../where.ts";
import { instanceVar } from "./branch.ts";
import type { Sink } from "./sinks.ts";

/** What a batch needs of the FlowBuilder whose graph it adds to. */
export interface FlowParts {
  readonly kind: ProgramKind;
  readonly name: string | undefined;
  readonly resolver: Resolver;
  build(nodes: readonly BlockNode[], start: Place, region: Region): Place;
  flow(place: Place, node: BlockNode, op: FlowOp): FlowNode;
  stage(kind: "stage" | "source", node: BlockNode): Label;
  fresh(name: string): Binding;
  target(node: NodeOf<"partition">, place: Place): SendTarget;
  /** A temporary PState that begins to exist, for rows of `fields` fields if it keeps rows. */
  temporary(name: string, node: BlockNode, fields: number | undefined): number;
  /** One that keeps rows. */
  kept(name: string, node: BlockNode): { readonly index: number; readonly fields: number };
  nextSink(): number;
}

/** Rows go to the task of their keys. */
export const byKeys: SendTarget = { kind: "hash", key: { kind: "const", value: null }, byKeys: true };

/** The code of a phase; it is told which execution of the block it belongs to. */
export function phaseLabel(parts: FlowParts, node: BlockNode): Label {
  const label = parts.stage("source", node);
  label.params.push(parts.fresh(instanceVar));
  return label;
}

export function placeOf(label: Label, scope: Scope): Place {
  return { list: label.entry, scope, partition: undefined, dead: false, pending: undefined };
}

export function instanceOf(parts: FlowParts, place: Place, node: BlockNode): FlowArg {
  return parts.resolver.var(instanceVar, place.scope, node);
}

/** What takes rows of another engine in, and what sends those of this one. */
export function sinkStages(parts: FlowParts, outside: Scope, sink: Sink, node: BlockNode): void {
  const { flow, fresh, stage } = parts;
  const take = stage("stage", node);
  const [instance, rows] = [fresh(instanceVar), fresh("rows")];
  take.params.push(instance, rows);
  flow(placeOf(take, outside), node, {
    kind: "take",
    sink,
    instance: { kind: "var", binding: instance },
    rows: { kind: "var", binding: rows },
  });
  const flush = stage("stage", node);
  const own = fresh(instanceVar);
  flush.params.push(own);
  flow(placeOf(flush, outside), node, { kind: "flush", sink, instance: { kind: "var", binding: own } });
  sink.takeStage = take.stage!;
  sink.flushStage = flush.stage!;
}
