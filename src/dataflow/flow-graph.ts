// The flow graph in the making: labels, stages, nodes with the lines of their builder calls, bindings. `FlowBuilder` decides what is made; nothing is checked here.
import type { Binding, FlowArg, FlowNode, FlowOp, Label, LabelKind } from "./flow.ts";
import { type BlockNode, nodeText, type PartitionBy } from "./nodes.ts";
import type { Scope } from "./scope.ts";

/** Where the next node is attached. */
export interface Place {
  readonly list: FlowNode[];
  readonly scope: Scope;
  /** The last partitioner on the way here. */
  readonly partition: PartitionBy | "mixed" | undefined;
  /** Nothing that is attached here can run. */
  readonly dead: boolean;
  readonly pending: Pending | undefined;
}

/** The node before, whose outputs may still be declared. */
interface Pending {
  readonly node: BlockNode;
  /** Fields of one emit; -1: known when it runs. */
  readonly fields: number;
  /** Where the default stream goes on, without outputs. */
  readonly base: Place;
  readonly flow: FlowNode | undefined;
  declared: boolean;
  bind(bindings: readonly Binding[]): void;
}

interface Loop {
  readonly loop: Label;
  readonly after: Label;
  readonly outs: number | undefined;
}

/** Anchors are known within the block that names them: a topology, a loop's body, an atomic block. */
export interface Region {
  readonly anchors: Map<string, Place>;
  readonly loop: Loop | undefined;
}

export class FlowGraph {
  readonly labels: Label[] = [];
  /** Labels that are stages, in their order. */
  readonly stages: Label[] = [];
  readonly lines: { line: string; what: string }[] = [];
  readonly #lineIds = new Map<BlockNode, number>();
  #bindings = 0;

  /** A node whose rows go on as later events. */
  rowsLater(place: Place, node: BlockNode, fields: number, op: (resume: Label) => FlowOp): Place {
    const resume = this.stage("stage", node);
    this.flow(place, node, op(resume));
    for (let i = 0; i < fields; i++) resume.params.push(this.fresh("field"));
    const base: Place = {
      list: resume.entry,
      scope: place.scope,
      partition: place.partition,
      dead: false,
      pending: undefined,
    };
    const bind = (bindings: readonly Binding[]) => {
      resume.params.splice(0, resume.params.length, ...bindings);
    };
    return { ...base, pending: { node, fields, base, flow: undefined, declared: false, bind } };
  }

  /** A node that goes on in this event without a value. */
  push(place: Place, node: BlockNode, op: FlowOp): Place {
    const flow = this.flow(place, node, op);
    return { ...place, list: flow.next, pending: undefined };
  }

  /** A node that emits fields in this event. */
  emitting(place: Place, node: BlockNode, fields: number, op: FlowOp): Place {
    const flow = this.flow(place, node, op);
    const base: Place = { ...place, list: flow.next, pending: undefined };
    const bind = (bindings: readonly Binding[]) => {
      flow.outs = bindings;
    };
    return { ...base, pending: { node, fields, base, flow, declared: false, bind } };
  }

  /** A node after which a later event goes on, with one value unless said otherwise. */
  later(place: Place, node: BlockNode, op: (resume: Label) => FlowOp, value = true): Place {
    const resume = this.stage("stage", node);
    this.flow(place, node, op(resume));
    if (!value) return { ...place, list: resume.entry, pending: undefined };
    resume.params.push(this.fresh("value"));
    return this.valuePlace(node, resume, place.scope, place.partition);
  }

  valuePlace(node: BlockNode, label: Label, scope: Scope, partition: Place["partition"]): Place {
    const base: Place = { list: label.entry, scope, partition, dead: false, pending: undefined };
    const bind = (bindings: readonly Binding[]) => {
      label.params[0] = bindings[0]!;
    };
    return { ...base, pending: { node, fields: 1, base, flow: undefined, declared: false, bind } };
  }

  goto(place: Place, node: BlockNode, label: Label, args: readonly FlowArg[]): FlowNode {
    label.refs++;
    return this.flow(place, node, { kind: "goto", label, args });
  }

  flow(place: Place, node: BlockNode, op: FlowOp): FlowNode {
    const flow: FlowNode = { id: this.#lineOf(node), op, outs: undefined, streams: [], next: [] };
    place.list.push(flow);
    return flow;
  }

  #lineOf(node: BlockNode): number {
    let id = this.#lineIds.get(node);
    if (id === undefined) {
      id = this.lines.push({ line: node.line, what: nodeText(node) }) - 1;
      this.#lineIds.set(node, id);
    }
    return id;
  }

  label(kind: LabelKind, text: string): Label {
    const label: Label = { id: this.labels.length, kind, params: [], entry: [], refs: 0, stage: undefined, text };
    this.labels.push(label);
    return label;
  }

  stage(kind: "stage" | "source", node: BlockNode): Label {
    const label = this.label(kind, nodeText(node));
    label.stage = this.stages.push(label) - 1;
    this.#lineOf(node);
    return label;
  }

  fresh(name: string): Binding {
    const id = this.#bindings++;
    return { id, name, js: `${name.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_/, "") || "v"}_${id}` };
  }
}
