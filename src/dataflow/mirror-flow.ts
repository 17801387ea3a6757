// Flow graph of the nodes that name an object of another module (mirrors.ts). `FlowBuilder` hands over to here before it looks at such a node itself.
import type { MirrorDefinition } from "../module/definition.ts";
import type { Steps } from "../paths/spec.ts";
import type { Binding, FlowArg, FlowOp, Label, SendTarget } from "./flow.ts";
import type { Place } from "./flow-graph.ts";
import {
  appendTarget,
  chooserOf,
  eachRow,
  invokeOf,
  MirrorPath,
  noPartition,
  partitionOfKey,
  partitionVar,
  selectOf,
  taskOfPartition,
} from "./mirrors.ts";
import { type BlockNode, builderError, nodeText, type NodeOf, type PartitionBy } from "./nodes.ts";
import type { Resolver } from "./resolve.ts";
import { leadingKey } from "./send-target.ts";

/** What is needed of the FlowBuilder whose graph is added to. */
export interface MirrorParts {
  readonly resolver: Resolver;
  fresh(name: string): Binding;
  later(place: Place, node: BlockNode, op: (resume: Label) => FlowOp, value?: boolean): Place;
  emitting(place: Place, node: BlockNode, fields: number, op: FlowOp): Place;
  send(node: BlockNode, place: Place, by: PartitionBy, to: SendTarget): Place;
}

export class MirrorFlow {
  readonly #parts: MirrorParts;

  constructor(parts: MirrorParts) {
    this.#parts = parts;
  }

  /** undefined: the node names no object of another module. */
  node(node: BlockNode, place: Place): Place | undefined {
    switch (node.kind) {
      case "partition": {
        const mirror = node.object === undefined ? undefined : this.#mirror(node.object);
        return mirror === undefined ? undefined : this.#partition(node, mirror, place);
      }
      case "localSelect":
      case "select": {
        const { from } = node;
        if (from.kind !== "var" || place.scope.lookup(from.name) !== undefined) return undefined;
        const mirror = this.#mirror(from.name);
        return mirror?.kind === "pstate" ? this.#select(node, mirror, place) : undefined;
      }
      case "invokeQuery": {
        const mirror = this.#mirror(node.query);
        return mirror?.kind === "query" ? this.#invoke(node, mirror, place) : undefined;
      }
      case "depotAppend": {
        const mirror = this.#mirror(node.depot);
        return mirror?.kind === "depot" ? this.#append(node, mirror, place) : undefined;
      }
      default:
        return undefined;
    }
  }

  /** What is aggregated goes to tasks of this module. */
  refuseTarget(node: NodeOf<"partition">): void {
    if (node.object === undefined || this.#mirror(node.object) === undefined) return;
    const message = `${nodeText(node)} chooses a partition of another module: before an aggregation stands a partitioner without ${node.object}`;
    throw builderError("NOT_ALLOWED_HERE", node, message);
  }

  #mirror(name: string): MirrorDefinition | undefined {
    return this.#parts.resolver.mirror(name);
  }

  /** Chooses a partition of the remote object and goes to the task that has it. */
  #partition(node: NodeOf<"partition">, mirror: MirrorDefinition, place: Place): Place {
    if (mirror.kind === "query" || (node.by === "path" && mirror.kind !== "pstate"))
      throw builderError("NOT_ALLOWED_HERE", node, `${mirror.name} has no partitions to choose from`);
    if (node.by === "path") return this.#toPath(node, mirror, node.steps!, place);
    const args = [indexOf(mirror), ...this.#parts.resolver.args(node.args, place.scope, node)];
    const chosen = this.#parts.emitting(place, node, 1, { kind: "call", fn: chooserOf(node), args });
    return this.#toChosen(node, mirror, chosen, node.by);
  }

  /** The remote module may have to be asked for the partition of a key. */
  #toPath(node: BlockNode, mirror: MirrorDefinition, steps: Steps, place: Place): Place {
    const args = [indexOf(mirror), leadingKey(this.#parts.resolver, node, { name: mirror.name, steps }, place.scope)];
    const asked = this.#parts.later(place, node, (resume) => ({ kind: "await", fn: partitionOfKey, args, resume }));
    return this.#toChosen(node, mirror, asked, "path");
  }

  /** `place` emits the partition. */
  #toChosen(node: BlockNode, mirror: MirrorDefinition, place: Place, by: PartitionBy): Place {
    const chosen = this.#bound(place, partitionVar(mirror));
    const task = taskOfPartition(this.#chosen(node, mirror, chosen));
    return this.#parts.send(node, chosen, by, { kind: "task", task });
  }

  #chosen(node: BlockNode, mirror: MirrorDefinition, place: Place): FlowArg {
    const binding = place.scope.lookup(partitionVar(mirror));
    if (binding === undefined) throw noPartition(node, mirror);
    return { kind: "var", binding };
  }

  /** The one value that `place` emits, bound to a hidden var. */
  #bound(place: Place, name: string): Place {
    const binding = this.#parts.fresh(name);
    place.pending!.bind([binding]);
    return { ...place, scope: place.scope.with(binding), pending: undefined };
  }

  #select(node: NodeOf<"localSelect"> | NodeOf<"select">, mirror: MirrorDefinition, from: Place): Place {
    const { resolver, later, emitting } = this.#parts;
    if (node.allowYield) {
      const message = `a read of ${mirror.name}, which is another module's, always yields: leave out allowYield`;
      throw builderError("NOT_ALLOWED_HERE", node, message);
    }
    const place = node.kind === "select" ? this.#toPath(node, mirror, node.steps, from) : from;
    const path = new MirrorPath(node.steps);
    const args = [this.#chosen(node, mirror, place), ...resolver.path(node.steps, place.scope, node).args];
    const found = later(place, node, (resume) => ({ kind: "await", fn: selectOf(mirror, path), args, resume }));
    if (path.one) return found;
    const rows = this.#bound(found, "@rows");
    const value: FlowArg = { kind: "var", binding: rows.scope.lookup("@rows")! };
    return emitting(rows, node, 1, { kind: "call", fn: eachRow, args: [value] });
  }

  #invoke(node: NodeOf<"invokeQuery">, mirror: MirrorDefinition, place: Place): Place {
    const args = this.#parts.resolver.args(node.args, place.scope, node);
    return this.#parts.later(place, node, (resume) => ({ kind: "await", fn: invokeOf(mirror), args, resume }));
  }

  #append(node: NodeOf<"depotAppend">, mirror: MirrorDefinition, place: Place): Place {
    const to = appendTarget(mirror, this.#chosen(node, mirror, place));
    const record = this.#parts.resolver.arg(node.record, place.scope, node);
    const { level } = node;
    return this.#parts.later(
      place,
      node,
      (resume) => ({ kind: "append", depot: -1, to, record, level, resume }),
      false,
    );
  }
}

function indexOf(mirror: MirrorDefinition): FlowArg {
  return { kind: "const", value: mirror.index };
}
