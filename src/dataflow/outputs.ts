import { didYouMean } from "../base/nearest.ts";
import type { Binding, FlowArg, FlowNode, FlowPattern } from "./flow.ts";
import type { FlowGraph, Place, Region } from "./flow-graph.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "./nodes.ts";
import { type Pattern, patternVars } from "./patterns.ts";
import type { Resolver } from "./resolve.ts";

export class Outputs {
  readonly #graph: FlowGraph;
  readonly #resolver: Resolver;

  constructor(graph: FlowGraph, resolver: Resolver) {
    this.#graph = graph;
    this.#resolver = resolver;
  }

  /** A var that the author's call binds. */
  named(name: string, node: BlockNode): Binding {
    this.#resolver.bound(name, node);
    return this.#graph.fresh(name);
  }

  out(node: NodeOf<"out">, place: Place): Place {
    const { pending } = place;
    if (pending === undefined || pending.declared) {
      throw builderError("NOT_ALLOWED_HERE", node, "out stands directly after a node that emits values, once");
    }
    pending.declared = true;
    if (node.pattern !== undefined && pending.fields > 1) {
      throw builderError(
        "NOT_ALLOWED_HERE",
        node,
        `${nodeText(pending.node)} emits ${pending.fields} fields: a pattern takes one value apart`,
      );
    }
    const names = node.pattern === undefined ? node.vars : [node.vars[0] ?? "whole"];
    if (pending.fields >= 0 && pending.fields !== names.length) {
      const message = `${nodeText(pending.node)} emits ${count(pending.fields, "field")}, out binds ${count(names.length, "var")}`;
      throw builderError("WRONG_OUTPUT_COUNT", node, message, { fields: pending.fields, vars: names.length });
    }
    const bindings = names.map((name) => this.named(name, node));
    pending.bind(bindings);
    const { base } = pending;
    if (node.pattern === undefined)
      return { ...base, scope: bindings.reduce((scope, each) => scope.with(each), base.scope), pending };
    const scope = node.vars.length === 0 ? base.scope : base.scope.with(bindings[0]!);
    return {
      ...this.destructure({ ...base, scope }, node, { kind: "var", binding: bindings[0]! }, node.pattern),
      pending,
    };
  }

  outStream(node: NodeOf<"outStream">, place: Place, region: Region): Place {
    const { pending } = place;
    if (pending?.flow === undefined || pending.node.kind !== "each") {
      throw builderError("NOT_ALLOWED_HERE", node, "outStream stands after the each whose stream it binds");
    }
    const outs = node.vars.map((name) => this.named(name, node));
    const next: FlowNode[] = [];
    pending.flow.streams.push({ name: node.stream, outs, next });
    const { base } = pending;
    const scope = outs.reduce((all, each) => all.with(each), base.scope);
    return { ...this.anchor(node, node.anchor, { ...base, list: next, scope }, region), pending };
  }

  destructure(place: Place, node: BlockNode, value: FlowArg, pattern: Pattern): Place {
    let { scope } = place;
    const bound = new Map<string, Binding>();
    for (const name of patternVars(pattern)) {
      const binding = this.named(name, node);
      if (bound.has(name)) throw builderError("DUPLICATE_NAME", node, `the pattern binds ${name} twice`, { var: name });
      bound.set(name, binding);
      scope = scope.with(binding);
    }
    return {
      ...this.#graph.push(place, node, { kind: "destructure", value, pattern: resolved(pattern, bound) }),
      scope,
    };
  }

  anchor(node: BlockNode, name: string, place: Place, region: Region): Place {
    if (region.anchors.has(name))
      throw builderError("DUPLICATE_NAME", node, `the anchor ${name} is there already`, { anchor: name });
    region.anchors.set(name, place);
    return place;
  }

  anchored(node: BlockNode, name: string, region: Region): Place {
    const place = region.anchors.get(name);
    if (place !== undefined) return place;
    throw builderError(
      "UNKNOWN_OBJECT",
      node,
      `there is no anchor ${name} here${didYouMean(name, region.anchors.keys())}`,
      { anchor: name },
    );
  }
}

function resolved(pattern: Pattern, bound: ReadonlyMap<string, Binding>): FlowPattern {
  const target = (to: string | Pattern) => (typeof to === "string" ? bound.get(to)! : resolved(to, bound));
  if (pattern.kind === "list") return { kind: "list", items: pattern.items.map(target) };
  return { kind: "object", fields: pattern.fields.map(({ name, to }) => ({ name, to: target(to) })) };
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
