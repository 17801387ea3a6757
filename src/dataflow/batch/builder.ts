// From the nodes of a batch block to phases (language.md 7): follows its sources, joins them where a node needs vars of several, aggregates, goes on with
// post-agg. `FlowBuilder` builds each piece of straight code; what passes between pieces goes through sinks.
import type { RamaError } from "../../base/errors.ts";
import { type ArgNode, exprNode } from "../../paths/arg.ts";
import type { StateRef } from "../flow.ts";
import type { Place, Region } from "../flow-graph.ts";
import { type BlockNode, builderError, nodeText, type NodeOf } from "../nodes.ts";
import { Ops } from "../ops.ts";
import type { Scope } from "../scope.ts";
import { checkKind } from "../where.ts";
import { type AggPart, aggContent } from "./agg-sink.ts";
import { type Branch, findJoins, hindrances, instanceVar, namesOf, namesSince } from "./branch.ts";
import type { FlowPhase, PhaseWhere } from "./flow.ts";
import { buildSteps, type Group, groupedAggs, groupsOf, isAggregator, refuseInPostAgg } from "./groups.ts";
import { joinBranches } from "./join.ts";
import { boundVars, usedVars, usesContext } from "./node-vars.ts";
import { byKeys, type FlowParts, instanceOf, phaseLabel, placeOf, sinkStages } from "./parts.ts";
import type { AggSink } from "./sinks.ts";

export class BatchBuilder {
  readonly #parts: FlowParts;
  readonly #outside: Scope;
  readonly phases: FlowPhase[];
  readonly #region: Region = { anchors: new Map(), loop: undefined };
  readonly #branches: Branch[] = [];
  #current: Branch | undefined = undefined;
  #roots = 0;

  constructor(parts: FlowParts, outside: Scope, phases: FlowPhase[] = []) {
    this.#parts = parts;
    this.#outside = outside;
    this.phases = phases;
  }

  /** Where the block ends; undefined for a block without nodes. */
  block(nodes: readonly BlockNode[]): Place | undefined {
    const groups = groupsOf(nodes);
    let at = 0;
    for (; at < groups.length && !isAggregator(groups[at]!.node); at++) {
      const group = groups[at]!;
      checkKind(group.node, this.#parts.kind, this.#parts.name);
      this.#preAgg(group, groups[at + 1]?.node);
    }
    if (at === groups.length) return this.#joinAll(nodes.at(-1))?.place;
    const parts: AggPart[] = [];
    const head = groups[at]!.node;
    if (head.kind === "groupBy") {
      parts.push(...groupedAggs(head));
      at++;
    } else {
      for (; at < groups.length && isAggregator(groups[at]!.node) && groups[at]!.node.kind !== "groupBy"; at++) {
        parts.push({ node: groups[at]!.node as AggPart["node"], out: groups[at]!.outs[0] });
      }
    }
    const { place, patterns } = this.#aggregate(head, parts);
    return this.#postAgg([...patterns, ...groups.slice(at).flatMap((group) => group.nodes)], place);
  }

  // ---- pre-agg

  #preAgg(group: Group, next: BlockNode | undefined): void {
    const { node } = group;
    switch (node.kind) {
      case "freshBatchSource":
        this.#current = undefined;
        return;
      case "subBatch":
        return this.#subBatch(group as Group & { node: NodeOf<"subBatch"> });
      case "explodeMicrobatch":
      case "explodeMaterialized":
        this.#attach(group, this.#startSource(node));
        this.#current!.place = { ...this.#current!.place, partition: undefined };
        return;
      case "hook":
        return this.#hook(node);
      case "unify":
        return this.#unify(node);
      case "branch":
        this.#parts.build([node], this.#branchFor(node, new Set()).place, this.#region);
        return;
      case "partition":
        if (next !== undefined && isAggregator(next)) {
          this.#branchFor(node, usedVars(node)).final = node;
          return;
        }
        return this.#attach(group, this.#branchFor(node, usedVars(node)));
      default:
        return this.#attach(group, this.#branchFor(node, usedVars(node)));
    }
  }

  /** The branch that the node goes on with: the current one, one that joins make, or a new source. */
  #branchFor(node: BlockNode, used: ReadonlySet<string>): Branch {
    const current = this.#current;
    const missing = (names: ReadonlySet<string>) =>
      [...used].filter((name) => !names.has(name) && !this.#isOutside(name));
    if (current === undefined) {
      if (missing(new Set()).length === 0) return this.#startSource(node);
      const joined = this.#tryJoin(undefined, (names) => missing(names).length === 0);
      if (joined !== undefined) return joined;
      if (this.#branches.length === 0) return this.#startSource(node);
      throw this.#noJoin(node, missing(new Set()));
    }
    const names = namesOf(current, this.#outside);
    const absent = missing(names.all);
    if (absent.length === 0 && !current.frozen) return current;
    const joined = this.#tryJoin(current, (all) => missing(all).length === 0);
    if (joined !== undefined) return joined;
    // Without any other source there is nothing to join: the resolver names the var that is not there, and what is like it.
    if (this.#branches.length === 1 && !current.frozen) return current;
    throw this.#noJoin(node, absent);
  }

  #isOutside(name: string): boolean {
    return this.#outside.lookup(name) !== undefined || this.#parts.resolver.isGlobalVar(name);
  }

  #noJoin(node: BlockNode, missing: readonly string[]): RamaError {
    const sources = this.#branches.map((branch) => {
      const names = namesOf(branch, this.#outside);
      return `${branch.first.line} (${[...names.all].join(", ")})`;
    });
    const what = missing.length === 0 ? "a source with ** vars only waits to be joined" : missing.join(", ");
    const alone = hindrances(this.#branches.map((branch) => namesOf(branch, this.#outside)));
    const helpers = alone.map((name) => `${name} as *___${name.slice(1)}`).join(", ");
    const hint =
      alone.length === 0 ? "" : `; one with ** vars on all its others, so write what only helps there (${helpers})`;
    return builderError(
      "PREAGG_NO_JOIN",
      node,
      `Could not produce valid preagg configuration for ${nodeText(node)} :missing-input ${what} :no-possible-joins; the sources are ${sources.join("; ")}. Sources are joined on all vars that they have in common${hint}`,
      { missing },
    );
  }

  #attach(group: Group, branch: Branch): void {
    this.#current = branch;
    this.#checkShadowing(group, branch);
    const before = new Set(this.#region.anchors.keys());
    let named: Place | undefined;
    for (const nodes of buildSteps(group)) {
      branch.place = this.#parts.build(nodes, branch.place, this.#region);
      if (nodes[0]!.kind === "out") named = branch.place;
    }
    if (group.node.kind === "partition") branch.last = group.node;
    this.#streams(group, branch, before, named);
    for (const name of group.nodes.flatMap(boundVars)) if (name.startsWith("**")) this.#freeze(branch);
  }

  /** Named streams are branches of their own, except the one that code goes on with. */
  #streams(group: Group, branch: Branch, before: ReadonlySet<string>, named: Place | undefined): void {
    if (!group.nodes.some(({ kind }) => kind === "outStream")) return;
    for (const [anchor, place] of this.#region.anchors) {
      if (before.has(anchor) || place.list === branch.place.list) continue;
      this.#branches.push(fork(branch, place, group.node));
    }
    if (named !== undefined && named.list !== branch.place.list) this.#branches.push(fork(branch, named, group.node));
  }

  #checkShadowing(group: Group, branch: Branch): void {
    const known = new Set([...namesSince(branch.place.scope, this.#outside), ...namesSince(this.#outside, undefined)]);
    const shadowed = [...new Set(group.nodes.flatMap(boundVars))].filter((name) => known.has(name));
    if (shadowed.length === 0) return;
    throw builderError(
      "PREAGG_SHADOWED",
      group.nodes.at(-1)!,
      `Could not produce valid preagg configuration :shadowed ${shadowed.join(", ")}: a var is bound once in the pre-agg of a batch block`,
      { vars: shadowed },
    );
  }

  #freeze(branch: Branch): void {
    branch.frozen = true;
    branch.optional = true;
    for (const name of namesSince(branch.place.scope, this.#outside)) {
      if (name.startsWith("**") || name.startsWith("*___")) branch.unground.add(name);
    }
  }

  // ---- sources

  #startSource(node: BlockNode): Branch {
    const label = phaseLabel(this.#parts, node);
    const last = this.phases[this.phases.length - 1];
    const start = { label, where: "here" as const };
    if (last !== undefined && last.sink === undefined && last === this.#openPhase) last.starts.push(start);
    else {
      this.#openPhase = { sink: undefined, starts: [start] };
      this.phases.push(this.#openPhase);
    }
    return this.#addBranch(node, placeOf(label, this.#outside.with(label.params[0]!)));
  }

  #openPhase: FlowPhase | undefined = undefined;

  #addBranch(node: BlockNode, place: Place): Branch {
    const branch: Branch = {
      place,
      roots: new Set([this.#roots++]),
      first: node,
      unground: new Set(),
      optional: false,
      frozen: false,
      final: undefined,
      last: undefined,
    };
    this.#branches.push(branch);
    this.#current = branch;
    return branch;
  }

  /** Rows of a batch of its own begin a source, under other names. */
  #subBatch(group: Group & { node: NodeOf<"subBatch"> }): void {
    const { node, outs } = group;
    const inner = new BatchBuilder(this.#parts, this.#outside, this.phases);
    const end = inner.block(node.block.nodes);
    if (end === undefined) throw builderError("NOT_ALLOWED_HERE", node, "the block of a SubBatch is empty");
    const { pattern } = outs[0] ?? {};
    const names = pattern === undefined ? (outs[0]?.vars ?? []) : [outs[0]!.vars[0] ?? "*___whole"];
    if (outs.length > 0 && names.length !== node.vars.length) {
      const message = `${nodeText(node)} emits ${node.vars.length} fields, out binds ${names.length} vars`;
      throw builderError("WRONG_OUTPUT_COUNT", outs[0]!, message, { fields: node.vars.length, vars: names.length });
    }
    let scope = this.#outside.with(end.scope.lookup(instanceVar)!);
    let { list } = end;
    node.vars.forEach((name, i) => {
      const value = this.#parts.resolver.var(name, end.scope, node);
      const flow = this.#parts.flow({ ...end, list }, node, { kind: "call", fn: Ops.IDENTITY, args: [value] });
      list = flow.next;
      if (names[i] === undefined) return;
      flow.outs = [this.#parts.fresh(names[i])];
      scope = scope.with(flow.outs[0]!);
    });
    const partition = end.partition === "origin" ? ("origin" as const) : undefined;
    const branch = this.#addBranch(node, { list, scope, partition, dead: end.dead, pending: undefined });
    if (pattern !== undefined) {
      const value: ArgNode = { kind: "var", name: names[0]! };
      branch.place = this.#parts.build(
        [{ kind: "bind", value, pattern, line: outs[0]!.line }],
        branch.place,
        this.#region,
      );
    }
    const bound = namesSince(branch.place.scope, this.#outside);
    if (bound.some((name) => name.startsWith("**"))) this.#freeze(branch);
  }

  #hook(node: NodeOf<"hook">): void {
    const place = this.#parts.build([node], this.#anyPlace(node), this.#region);
    const tail = this.#branches.find((branch) => branch.place.list === place.list);
    if (tail === undefined) {
      const from = this.#branches.find((branch) => comesFrom(branch.place.scope, place.scope)) ?? this.#branches[0]!;
      this.#branches.push(fork(from, place, node));
    } else tail.place = place;
    this.#current = tail ?? this.#branches[this.#branches.length - 1]!;
  }

  #anyPlace(node: BlockNode): Place {
    return (this.#current ?? this.#branches[0] ?? this.#startSource(node)).place;
  }

  /** Rows of the named branches go on together. */
  #unify(node: NodeOf<"unify">): void {
    const places = node.names.flatMap((name) => this.#region.anchors.get(name) ?? []);
    const place = this.#parts.build([node], this.#anyPlace(node), this.#region);
    const met = this.#branches.filter((branch) => places.some(({ list }) => list === branch.place.list));
    for (const branch of met) this.#branches.splice(this.#branches.indexOf(branch), 1);
    const from = met[0] ?? this.#branches[0]!;
    this.#branches.push({
      ...fork(from, place, node),
      roots: new Set(met.flatMap((branch) => [...branch.roots])),
      optional: met.some((branch) => branch.optional),
    });
    this.#current = this.#branches[this.#branches.length - 1];
  }

  // ---- joins

  #tryJoin(start: Branch | undefined, fits: (names: ReadonlySet<string>) => boolean): Branch | undefined {
    const all = this.#branches.map((branch) => ({ branch, names: namesOf(branch, this.#outside) }));
    for (const from of start === undefined ? all : all.filter(({ branch }) => branch === start)) {
      const others = all.filter(({ branch }) => branch !== from.branch);
      const path = findJoins(from.names, others, (names) => fits(names.all));
      if (path === undefined) continue;
      return path.reduce((joined, next) => this.#join(joined, next), from.branch);
    }
    return undefined;
  }

  /** All sources in one branch, at the end of pre-agg. `tail`: a node that only makes messages. */
  #joinAll(tail: BlockNode | undefined): Branch | undefined {
    if (this.#branches.length === 0) return undefined;
    let current = this.#current ?? this.#branches[this.#branches.length - 1]!;
    const rest = () => this.#branches.filter((branch) => branch !== current && !sharesRoot(branch, current));
    if (rest().length > 0) {
      const count = rest().length;
      const others = rest().map((branch) => ({ branch, names: namesOf(branch, this.#outside) }));
      const path = findJoins(namesOf(current, this.#outside), others, (_names, joined) => joined === count);
      if (path === undefined) throw this.#unjoined(tail ?? current.first);
      current = path.reduce((joined, next) => this.#join(joined, next), current);
    }
    this.#current = current;
    return current;
  }

  #unjoined(node: BlockNode): RamaError {
    const tails = this.#branches.map(
      (branch) => `${branch.first.line} (${namesSince(branch.place.scope, this.#outside).join(", ")})`,
    );
    return builderError(
      "UNJOINED_SOURCES",
      node,
      `Expected single tail, found multiple - missing join fields? ${tails.length} sources: ${tails.join("; ")}`,
      { tails: tails.length },
    );
  }

  #join(left: Branch, right: Branch): Branch {
    const joined = joinBranches(this.#parts, this.#outside, left, right);
    this.phases.push(joined.phase);
    for (const each of [left, right]) this.#branches.splice(this.#branches.indexOf(each), 1);
    const newest = this.#current === right ? right : left;
    const final = newest.final ?? left.final ?? right.final;
    const branch = { ...joined.branch, final, last: newest.last ?? left.last ?? right.last };
    this.#branches.push(branch);
    this.#current = branch;
    return branch;
  }

  // ---- aggregation

  #aggregate(head: BlockNode, parts: readonly AggPart[]) {
    for (const { node } of parts) checkKind(node, this.#parts.kind, this.#parts.name);
    const { flow, resolver } = this.#parts;
    const used = new Set([...usedVars(head), ...parts.flatMap(({ node }) => [...usedVars(node)])]);
    this.#branchFor(head, used);
    const branch = this.#joinAll(head)!;
    if (this.#branches.length > 1) throw this.#stray(head);
    if (this.#parts.kind !== "detached" && usesContext([head, ...parts.map(({ node }) => node)])) {
      this.#goToFinal(head, branch);
    }
    const keyNames = head.kind === "groupBy" ? head.keys : [];
    const { to, where, partition } = this.#finalOf(head, branch);
    const content = aggContent(
      parts,
      keyNames.map((name) => ({ kind: "var", name })),
      head,
      {
        writable: (name, node): StateRef => resolver.writable(name, branch.place.scope, node),
        temporary: (name, node) => {
          if (head.kind === "groupBy")
            throw builderError("NOT_ALLOWED_HERE", node, `${name}: groups have rows, bind a var`);
          return this.#parts.temporary(name, node, undefined);
        },
      },
    );
    const sink: AggSink = {
      kind: "agg",
      id: this.#parts.nextSink(),
      line: head.line,
      takeStage: -1,
      flushStage: -1,
      groupKeys: head.kind === "groupBy" ? keyNames.length : undefined,
      outputs: content.outputs,
      limits: content.limits,
      states: content.states,
      width: content.args.length,
      mergeable: content.outputs.every(({ leaf }) => leaf.combine !== undefined),
      flushRequired: content.outputs.some(({ leaf }) => leaf.flushRequired),
    };
    sinkStages(this.#parts, this.#outside, sink, head);
    const inputs = content.args.map(({ node, arg }) => resolver.arg(arg, branch.place.scope, node));
    flow(branch.place, head, {
      kind: "put",
      sink,
      side: 0,
      instance: instanceOf(this.#parts, branch.place, head),
      to,
      keys: inputs.slice(0, keyNames.length),
      args: inputs.slice(keyNames.length),
      feeds: undefined,
    });
    const names = [...keyNames, ...content.outputNames, ...content.limitNames, ...content.capturedNames];
    return { place: { ...this.#rowsOf(sink, head, names, where), partition }, patterns: content.patterns };
  }

  /** Where inputs are computed from the task that they are aggregated on, the row goes there first. */
  #goToFinal(head: BlockNode, branch: Branch): void {
    let node = branch.final;
    if (head.kind === "groupBy") {
      const keys = head.keys.map((name): ArgNode => ({ kind: "var", name }));
      const args = keys.length === 1 ? keys : [exprNode(Ops.TUPLE, keys)];
      node = { kind: "partition", by: "hash", object: undefined, args, line: head.line };
    }
    branch.final = undefined;
    if (node !== undefined) branch.place = this.#parts.build([node], branch.place, this.#region);
  }

  #rowsOf(sink: AggSink, head: BlockNode, names: readonly (string | undefined)[], where: PhaseWhere): Place {
    const { flow, fresh } = this.#parts;
    const label = phaseLabel(this.#parts, head);
    const start = placeOf(label, this.#outside.with(label.params[0]!));
    const rows = flow(start, head, {
      kind: "rows",
      sink,
      instance: instanceOf(this.#parts, start, head),
      keyCount: 0,
      sides: [],
    });
    rows.outs = names.map((name) => fresh(name ?? "unused"));
    this.phases.push({ sink, starts: [{ label, where }] });
    const scope = rows.outs.reduce((all, each, i) => (names[i] === undefined ? all : all.with(each)), start.scope);
    return { ...start, list: rows.next, scope };
  }

  #stray(node: BlockNode): RamaError {
    const branch = this.#branches.find((each) => each !== this.#current)!;
    return builderError(
      "UNDRAINED_STREAM",
      node,
      `Cannot add root to a non-empty DAG: what ${nodeText(branch.first)} at ${branch.first.line} emits is not unified with the rest before ${nodeText(node)}`,
      { line: node.line },
    );
  }

  /** Where rows are aggregated: by the keys, by the partitioner right before, or where the last partitioner brought them. */
  #finalOf(head: BlockNode, branch: Branch) {
    if (head.kind === "groupBy") return { to: byKeys, where: "all" as const, partition: "hash" as const };
    if (this.#parts.kind === "detached") return { to: undefined, where: "here" as const, partition: undefined };
    const { final, place } = branch;
    const node = final ?? (place.partition === undefined ? branch.last : undefined);
    const by = node?.by ?? place.partition;
    if (by === undefined) {
      throw builderError(
        "NOT_ALLOWED_HERE",
        head,
        `${nodeText(head)} needs a partitioner before it, which tells where to aggregate`,
      );
    }
    const where: PhaseWhere = by === "global" ? "first" : by === "origin" ? "here" : "all";
    const to = node === undefined ? undefined : this.#parts.target(node, place);
    return { to, where, partition: by };
  }

  // ---- post-agg

  #postAgg(nodes: readonly BlockNode[], place: Place): Place {
    for (const node of nodes) refuseInPostAgg(node);
    return this.#parts.build(nodes, place, { anchors: new Map(), loop: undefined });
  }
}

function fork(from: Branch, place: Place, first: BlockNode): Branch {
  return {
    ...from,
    place: { ...place, pending: undefined },
    first,
    unground: new Set(from.unground),
    final: undefined,
  };
}

function sharesRoot(a: Branch, b: Branch): boolean {
  return [...a.roots].some((root) => b.roots.has(root));
}

function comesFrom(scope: Scope, ancestor: Scope): boolean {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) if (at === ancestor) return true;
  return false;
}
