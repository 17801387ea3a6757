// Branches that meet again, and loops: where scopes are joined and code is reached from several places. Part of `FlowBuilder`.
import type { FlowNode, SplitBranch } from "./flow.ts";
import type { FlowGraph, Place, Region } from "./flow-graph.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "./nodes.ts";
import type { Outputs } from "./outputs.ts";
import type { Resolver } from "./resolve.ts";
import { join } from "./scope.ts";

export interface ControlParts {
  readonly graph: FlowGraph;
  readonly resolver: Resolver;
  readonly outputs: Outputs;
  build(nodes: readonly BlockNode[], start: Place, region: Region): Place;
}

export class ControlFlow {
  readonly #graph: FlowGraph;
  readonly #resolver: Resolver;
  readonly #outputs: Outputs;
  readonly #build: ControlParts["build"];

  constructor({ graph, resolver, outputs, build }: ControlParts) {
    this.#graph = graph;
    this.#resolver = resolver;
    this.#outputs = outputs;
    this.#build = build;
  }

  /** What follows runs for each arrival at any of the places. */
  meet(node: BlockNode, places: readonly Place[]): Place {
    if (places.length === 0) throw builderError("WRONG_ARGUMENT_COUNT", node, "unify takes the names of anchors");
    const { scope, params, args } = join(
      places.map((each) => each.scope),
      (name) => this.#graph.fresh(name),
    );
    const label = this.#graph.label("join", nodeText(node));
    label.params.push(...params);
    places.forEach((place, i) => {
      if (!place.dead)
        this.#graph.goto(
          place,
          node,
          label,
          args[i]!.map((binding) => ({ kind: "var", binding })),
        );
    });
    const live = places.filter((each) => !each.dead);
    const partition = (live[0] ?? places[0]!).partition;
    const mixed = live.some((each) => each.partition !== partition);
    return {
      list: label.entry,
      scope,
      partition: mixed ? "mixed" : partition,
      dead: live.length === 0,
      pending: undefined,
    };
  }

  split(node: NodeOf<"ifTrue"> | NodeOf<"cond"> | NodeOf<"subSource">, place: Place, region: Region): Place {
    const arg = (given: Parameters<Resolver["arg"]>[0]) => this.#resolver.arg(given, place.scope, node);
    const ends: Place[] = [];
    const inside = (nodes: readonly BlockNode[]) => {
      const list: FlowNode[] = [];
      ends.push(this.#build(nodes, { ...place, list, pending: undefined }, region));
      return list;
    };
    const branches: SplitBranch[] = [];
    let otherwise: readonly FlowNode[] | "noMatch" = [];
    if (node.kind === "ifTrue") {
      branches.push({ condition: arg(node.condition), entry: inside(node.whenTrue.nodes) });
      otherwise = inside(node.otherwise?.nodes ?? []);
    } else if (node.kind === "cond") {
      for (const { condition, block } of node.cases)
        branches.push({ condition: arg(condition), entry: inside(block.nodes) });
    } else {
      const value = arg(node.value);
      for (const { patterns, block } of node.branches)
        branches.push({ condition: { kind: "matches", value, patterns }, entry: inside(block.nodes) });
      otherwise = "noMatch";
    }
    if (ends.length === 0) throw builderError("WRONG_ARGUMENT_COUNT", node, `${node.kind} needs at least one branch`);
    this.#graph.push(place, node, { kind: "split", branches, otherwise });
    return this.meet(node, ends);
  }

  loop(node: NodeOf<"loop">, out: NodeOf<"out"> | undefined, place: Place): Place {
    const loop = this.#graph.label("loop", nodeText(node));
    const after = this.#graph.label("after", nodeText(node));
    let { scope } = place;
    for (const { name } of node.vars) {
      const binding = this.#outputs.named(name, node);
      loop.params.push(binding);
      scope = scope.with(binding);
    }
    const inits = node.vars.map(({ init }) => this.#resolver.arg(init, place.scope, node));
    const names = out === undefined ? undefined : out.pattern === undefined ? out.vars : [out.vars[0] ?? "whole"];
    const outs = (names ?? []).map((name) => this.#outputs.named(name, out ?? node));
    after.params.push(...outs);
    this.#graph.goto(place, node, loop, inits);
    const region: Region = { anchors: new Map(), loop: { loop, after, outs: names?.length } };
    const end = this.#build(
      node.block.nodes,
      { list: loop.entry, scope, partition: place.partition, dead: false, pending: undefined },
      region,
    );
    const moved = end.partition !== place.partition;
    const next: Place = {
      list: after.entry,
      scope: place.scope,
      partition: moved ? "mixed" : place.partition,
      dead: after.refs === 0,
      pending: undefined,
    };
    if (out?.pattern !== undefined) {
      const whole = out.vars.length === 0 ? next : { ...next, scope: next.scope.with(outs[0]!) };
      return this.#outputs.destructure(whole, out, { kind: "var", binding: outs[0]! }, out.pattern);
    }
    return { ...next, scope: outs.reduce((all, each) => all.with(each), next.scope) };
  }

  inLoop(node: NodeOf<"continueLoop"> | NodeOf<"emitLoop">, place: Place, region: Region): Place {
    const { loop } = region;
    if (loop === undefined) throw builderError("NOT_ALLOWED_HERE", node, `${node.kind} stands inside a loop`);
    const wanted = node.kind === "continueLoop" ? loop.loop.params.length : loop.outs;
    if (wanted !== undefined && wanted !== node.args.length) {
      const what = node.kind === "continueLoop" ? "vars" : "outputs";
      const message = `the loop has ${wanted} ${what}, ${node.kind} gives ${node.args.length}`;
      throw builderError("WRONG_ARGUMENT_COUNT", node, message, { wanted, given: node.args.length });
    }
    const args = this.#resolver.args(node.args, place.scope, node);
    if (node.kind === "continueLoop") {
      const { next } = this.#graph.goto(place, node, loop.loop, args);
      return { ...place, list: next, dead: true, pending: undefined };
    }
    const flow = this.#graph.goto(place, node, loop.after, loop.outs === undefined ? [] : args);
    return { ...place, list: flow.next, pending: undefined };
  }
}
