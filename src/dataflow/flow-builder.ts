// From builder nodes to the flow graph: resolves names, follows attachment points (anchors, hooks, branches), joins scopes and checks what may stand where.
// One FlowBuilder makes the graph of one topology or of one detached block. Every error names the line of the builder call.
import { capturedVars, toTransformSteps } from "../aggregators/compound.ts";
import { RamaError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { isOp } from "../paths/arg.ts";
import type { Steps } from "../paths/spec.ts";
import { isGeneratorFunction, isOperation } from "./emission.ts";
import type {
  Binding,
  FlowArg,
  FlowNode,
  FlowOp,
  FlowPattern,
  FlowProgram,
  FlowSource,
  Label,
  LabelKind,
  SendTarget,
  SplitBranch,
} from "./flow.ts";
import { type BlockNode, builderError, type EachFn, nodeText, type NodeOf, type PartitionBy } from "./nodes.ts";
import { type Pattern, patternVars } from "./patterns.ts";
import { MirrorFlow } from "./mirror-flow.ts";
import { Resolver, type Surroundings } from "./resolve.ts";
import { leadingKey, onlyTask, sendTarget } from "./send-target.ts";
import { join, Scope } from "./scope.ts";
import { BatchBuilder } from "./batch/builder.ts";
import { needsPhases } from "./batch/groups.ts";
import type { FlowParts } from "./batch/parts.ts";
import { checkKind, type ProgramKind } from "./where.ts";

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

export interface BlockRoot {
  readonly nodes: readonly BlockNode[];
  /** Index of the source; undefined for queries and detached blocks. */
  readonly source?: number;
}

export class FlowBuilder {
  readonly #resolver: Resolver;
  readonly #mirrors: MirrorFlow;
  readonly #labels: Label[] = [];
  readonly #stages: Label[] = [];
  readonly #sources: FlowSource[] = [];
  readonly #exploded: Label[] = [];
  readonly #kept = new Map<string, number>();
  #temporaries = 0;
  #sinks = 0;
  readonly #lines: { line: string; what: string }[] = [];
  readonly #lineIds = new Map<BlockNode, number>();
  #bindings = 0;

  constructor(
    readonly around: Surroundings,
    readonly kind: ProgramKind,
  ) {
    this.#resolver = new Resolver(around);
    this.#mirrors = new MirrorFlow({
      resolver: this.#resolver,
      fresh: (name) => this.#fresh(name),
      later: (place, node, op, value) => this.#later(place, node, op, value),
      emitting: (place, node, fields, op) => this.#emitting(place, node, fields, op),
      send: (node, place, by, to) => this.#send(node, place, by, to),
    });
  }

  get program(): FlowProgram {
    return {
      labels: this.#labels,
      stages: this.#stages,
      sources: this.#sources,
      exploded: this.#exploded,
      lines: this.#lines,
    };
  }

  /** A source block. */
  source(root: BlockRoot): void {
    const first = root.nodes[0] as NodeOf<"source">;
    const label = this.#stage("source", first);
    // Temporary PStates are known within their source block.
    if (this.kind === "microbatch") (this.around.temporaries as Map<string, number>).clear();
    this.#kept.clear();
    label.params.push(this.#fresh("record"));
    this.#sources.push({ source: root.source!, label });
    const place = this.#valuePlace(first, label, Scope.empty, undefined);
    this.#build(root.nodes.slice(1), place, { anchors: new Map(), loop: undefined });
  }

  /** A query: inputs, code, result. */
  query(nodes: readonly BlockNode[], output: string): void {
    const body = nodes.slice(1);
    const start = this.#inputsPlace(nodes[0]!);
    const last = nodes[nodes.length - 1]!;
    let end: Place;
    if (!needsPhases(body)) end = this.#build(body, start, { anchors: new Map(), loop: undefined });
    else {
      const batch = new BatchBuilder(this.#parts, start.scope);
      end = batch.block(body)!;
      this.#flow(start, last, { kind: "batch", phases: batch.phases, resume: undefined });
    }
    if (end.partition !== "origin") {
      throw builderError(
        "NO_FINAL_ORIGIN",
        last,
        `the query ${this.around.topology!.name} must end its work with originPartition(): it is the last partitioner of every query`,
      );
    }
    const result = end.scope.lookup(output);
    if (result === undefined) {
      const hint = didYouMean(output, end.scope.shownNames());
      throw builderError("UNKNOWN_VAR", last, `the output ${output} of the query is not bound at its end${hint}`, {
        var: output,
      });
    }
    this.#push(end, last, { kind: "result", value: { kind: "var", binding: result } });
  }

  #inputsPlace(node: BlockNode): Place {
    const label = this.#stage("source", node);
    let scope = Scope.empty;
    for (const name of this.around.topology!.inputs) {
      const input = this.#fresh(name);
      label.params.push(input);
      scope = scope.with(input);
    }
    return { list: label.entry, scope, partition: undefined, dead: false, pending: undefined };
  }

  /** A block on its own. */
  detached(nodes: readonly BlockNode[]): void {
    const label = this.#stage("source", { kind: "inputs", vars: [], line: "?" });
    const start: Place = {
      list: label.entry,
      scope: Scope.empty,
      partition: undefined,
      dead: false,
      pending: undefined,
    };
    this.#build(nodes, start, { anchors: new Map(), loop: undefined });
  }

  // ---- nodes in order

  #build(nodes: readonly BlockNode[], start: Place, region: Region): Place {
    let place = start;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]!;
      checkKind(node, this.kind, this.around.topology?.name);
      try {
        if (node.kind === "materialize") {
          const out = nodes[i + 1]?.kind === "out" ? (nodes[++i] as NodeOf<"out">) : undefined;
          place = this.#materialize(node, out, place);
        } else if (node.kind === "loop") {
          const out = nodes[i + 1]?.kind === "out" ? (nodes[++i] as NodeOf<"out">) : undefined;
          place = this.#loop(node, out, place);
        } else {
          place = this.#node(node, place, region);
        }
      } catch (error) {
        if (!(error instanceof RamaError) || error.facts["line"] !== undefined) throw error;
        throw builderError(error.code, node, error.message, error.facts);
      }
    }
    return place;
  }

  #node(node: BlockNode, place: Place, region: Region): Place {
    const away = this.#mirrors.node(node, place);
    if (away !== undefined) return away;
    switch (node.kind) {
      case "out":
        return this.#out(node, place);
      case "outStream":
        return this.#outStream(node, place, region);
      case "anchor":
        return this.#anchor(node, node.name, place, region);
      case "hook":
        return { ...this.#anchored(node, node.name, region), pending: undefined };
      case "branch":
        this.#build(node.block.nodes, { ...this.#anchored(node, node.name, region), pending: undefined }, region);
        return place;
      case "unify":
        return this.#meet(
          node,
          node.names.map((name) => this.#anchored(node, name, region)),
        );
      case "ifTrue":
      case "cond":
      case "subSource":
        return this.#split(node, place, region);
      case "atomicBlock": {
        const body: FlowNode[] = [];
        this.#build(
          node.block.nodes,
          { ...place, list: body, pending: undefined },
          { anchors: new Map(), loop: region.loop },
        );
        return this.#push(place, node, { kind: "atomic", body });
      }
      case "materialize":
        return this.#materialize(node, undefined, place);
      case "continueLoop":
      case "emitLoop":
        return this.#inLoop(node, place, region);
      case "partition":
        return this.#partition(node, place);
      default:
        return this.#plain(node, place);
    }
  }

  /** Nodes that go on where they are, or in a later event. */
  #plain(node: BlockNode, place: Place): Place {
    const { scope } = place;
    const arg = (given: Parameters<Resolver["arg"]>[0]) => this.#resolver.arg(given, scope, node);
    switch (node.kind) {
      case "each":
        return this.#emitting(place, node, fieldsOf(node.fn), {
          kind: "call",
          fn: this.#fn(node.fn, place, node),
          args: node.args.map(arg),
        });
      case "eachAsync":
        return this.#later(place, node, (resume) => ({
          kind: "await",
          fn: this.#fn(node.fn, place, node) as FlowArg,
          args: node.args.map(arg),
          resume,
        }));
      case "keepTrue":
        return this.#push(place, node, { kind: "keepTrue", condition: arg(node.condition) });
      case "bind":
        return this.#destructure(place, node, arg(node.value), node.pattern);
      case "yieldIfOvertime":
        return this.#later(place, node, (resume) => ({ kind: "overtime", resume }), false);
      case "ackReturn":
        return this.#push(place, node, { kind: "ackReturn", value: arg(node.value) });
      case "localSelect":
      case "select":
        return this.#select(node, place);
      case "localTransform":
        return this.#transform(node, node.pstate, node.steps, place);
      case "agg":
        return this.#agg(node, place);
      case "localClear":
        return this.#push(place, node, { kind: "clear", state: this.#resolver.writable(node.pstate, scope, node) });
      case "batchBlock":
        return this.#batchBlock(node, place);
      case "explodeMaterialized": {
        const { index, fields } = this.#parts.kept(node.pstate, node);
        return this.#rowsLater(place, node, fields, (resume) => ({ kind: "explodeKept", temporary: index, resume }));
      }
      case "explodeMicrobatch":
        return this.#explode(node, place);
      case "invokeQuery": {
        const query = this.#resolver.query(node.query, node.args.length, node);
        return this.#later(place, node, (resume) => ({ kind: "invoke", query, args: node.args.map(arg), resume }));
      }
      case "depotAppend": {
        const depot = this.#resolver.depot(node.depot, node);
        if (depot.tickMs !== undefined) throw builderError("NOT_APPENDABLE", node, `${node.depot} is a tick depot`);
        return this.#later(
          place,
          node,
          (resume) => ({ kind: "append", depot: depot.index, record: arg(node.record), level: node.level, resume }),
          false,
        );
      }
      default:
        throw builderError(
          "NOT_ALLOWED_HERE",
          node,
          `${nodeText(node)} belongs into a batch block, not into a branch of it`,
        );
    }
  }

  #fn(fn: EachFn, place: Place, node: BlockNode): Exclude<EachFn, { kind: "var" }> | FlowArg {
    return typeof fn === "object" && fn.kind === "var"
      ? this.#resolver.var(fn.name, place.scope, node)
      : (fn as Exclude<EachFn, { kind: "var" }>);
  }

  // ---- outputs

  #out(node: NodeOf<"out">, place: Place): Place {
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
    const bindings = names.map((name) => this.#fresh(name));
    pending.bind(bindings);
    const { base } = pending;
    if (node.pattern === undefined)
      return { ...base, scope: bindings.reduce((scope, each) => scope.with(each), base.scope), pending };
    const scope = node.vars.length === 0 ? base.scope : base.scope.with(bindings[0]!);
    return {
      ...this.#destructure({ ...base, scope }, node, { kind: "var", binding: bindings[0]! }, node.pattern),
      pending,
    };
  }

  #outStream(node: NodeOf<"outStream">, place: Place, region: Region): Place {
    const { pending } = place;
    if (pending?.flow === undefined || pending.node.kind !== "each") {
      throw builderError("NOT_ALLOWED_HERE", node, "outStream stands after the each whose stream it binds");
    }
    const outs = node.vars.map((name) => this.#fresh(name));
    const next: FlowNode[] = [];
    pending.flow.streams.push({ name: node.stream, outs, next });
    const { base } = pending;
    const scope = outs.reduce((all, each) => all.with(each), base.scope);
    return { ...this.#anchor(node, node.anchor, { ...base, list: next, scope }, region), pending };
  }

  #destructure(place: Place, node: BlockNode, value: FlowArg, pattern: Pattern): Place {
    let { scope } = place;
    const bound = new Map<string, Binding>();
    for (const name of patternVars(pattern)) {
      const binding = this.#fresh(name);
      if (bound.has(name)) throw builderError("DUPLICATE_NAME", node, `the pattern binds ${name} twice`, { var: name });
      bound.set(name, binding);
      scope = scope.with(binding);
    }
    return { ...this.#push(place, node, { kind: "destructure", value, pattern: resolved(pattern, bound) }), scope };
  }

  // ---- places

  #anchor(node: BlockNode, name: string, place: Place, region: Region): Place {
    if (region.anchors.has(name))
      throw builderError("DUPLICATE_NAME", node, `the anchor ${name} is there already`, { anchor: name });
    region.anchors.set(name, place);
    return place;
  }

  #anchored(node: BlockNode, name: string, region: Region): Place {
    const place = region.anchors.get(name);
    if (place !== undefined) return place;
    throw builderError(
      "UNKNOWN_OBJECT",
      node,
      `there is no anchor ${name} here${didYouMean(name, region.anchors.keys())}`,
      { anchor: name },
    );
  }

  /** What follows runs for each arrival at any of the places. */
  #meet(node: BlockNode, places: readonly Place[]): Place {
    if (places.length === 0) throw builderError("WRONG_ARGUMENT_COUNT", node, "unify takes the names of anchors");
    const { scope, params, args } = join(
      places.map((each) => each.scope),
      (name) => this.#fresh(name),
    );
    const label = this.#label("join", nodeText(node));
    label.params.push(...params);
    places.forEach((place, i) => {
      if (!place.dead)
        this.#goto(
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

  #split(node: NodeOf<"ifTrue"> | NodeOf<"cond"> | NodeOf<"subSource">, place: Place, region: Region): Place {
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
    this.#push(place, node, { kind: "split", branches, otherwise });
    return this.#meet(node, ends);
  }

  // ---- loops

  #loop(node: NodeOf<"loop">, out: NodeOf<"out"> | undefined, place: Place): Place {
    const loop = this.#label("loop", nodeText(node));
    const after = this.#label("after", nodeText(node));
    let { scope } = place;
    for (const { name } of node.vars) {
      const binding = this.#fresh(name);
      loop.params.push(binding);
      scope = scope.with(binding);
    }
    const inits = node.vars.map(({ init }) => this.#resolver.arg(init, place.scope, node));
    const names = out === undefined ? undefined : out.pattern === undefined ? out.vars : [out.vars[0] ?? "whole"];
    const outs = (names ?? []).map((name) => this.#fresh(name));
    after.params.push(...outs);
    this.#goto(place, node, loop, inits);
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
      return this.#destructure(whole, out, { kind: "var", binding: outs[0]! }, out.pattern);
    }
    return { ...next, scope: outs.reduce((all, each) => all.with(each), next.scope) };
  }

  #inLoop(node: NodeOf<"continueLoop"> | NodeOf<"emitLoop">, place: Place, region: Region): Place {
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
      const { next } = this.#goto(place, node, loop.loop, args);
      return { ...place, list: next, dead: true, pending: undefined };
    }
    const flow = this.#goto(place, node, loop.after, loop.outs === undefined ? [] : args);
    return { ...place, list: flow.next, pending: undefined };
  }

  // ---- state

  #select(node: NodeOf<"localSelect"> | NodeOf<"select">, place: Place): Place {
    const { from } = node;
    if (from.kind === "var" && from.name.startsWith("$$")) {
      const state = this.#resolver.state(from.name, place.scope, node);
      const at =
        node.kind === "select" && state.kind === "pstate"
          ? this.#toPartition(node, from.name, node.steps, place)
          : place;
      const path = this.#resolver.path(node.steps, at.scope, node);
      if (!node.allowYield || state.kind !== "pstate")
        return this.#emitting(at, node, 1, { kind: "selectState", state, path });
      const { index: pstate, schema } = state;
      return this.#later(at, node, (resume) => ({ kind: "selectYielding", pstate, schema, path, resume }));
    }
    const path = this.#resolver.path(node.steps, place.scope, node);
    const data = this.#resolver.arg(from, place.scope, node);
    if (node.kind === "localSelect" && data.kind !== "var") {
      throw builderError("NOT_ALLOWED_HERE", node, "localSelect reads a PState: use select for plain data");
    }
    return this.#emitting(place, node, 1, { kind: "selectData", data, path });
  }

  #transform(node: BlockNode, name: string, steps: Steps, place: Place): Place {
    const state = this.#resolver.writable(name, place.scope, node);
    return this.#push(place, node, { kind: "transform", state, path: this.#resolver.path(steps, place.scope, node) });
  }

  #agg(node: NodeOf<"agg">, place: Place): Place {
    if (node.pstate === undefined) {
      throw builderError("NOT_ALLOWED_HERE", node, `${nodeText(node)} without a PState belongs into a batch block`);
    }
    if (capturedVars(node.agg).length > 0) {
      throw builderError("NOT_ALLOWED_HERE", node, "captureNewValInto belongs into the batch block of a microbatch");
    }
    return this.#transform(node, node.pstate, toTransformSteps(node.agg), place);
  }

  // ---- batch blocks (batch/builder.ts)

  get #parts(): FlowParts {
    return {
      kind: this.kind,
      name: this.around.topology?.name,
      resolver: this.#resolver,
      build: (nodes, start, region) => this.#build(nodes, start, region),
      flow: (place, node, op) => this.#flow(place, node, op),
      stage: (kind, node) => this.#stage(kind, node),
      fresh: (name) => this.#fresh(name),
      target: (node, place) => this.#target(node, place),
      temporary: (name, node, fields) => this.#newTemporary(name, node, fields),
      kept: (name, node) => {
        const index = this.around.temporaries.get(name);
        const fields = this.#kept.get(name);
        if (index !== undefined && fields !== undefined) return { index, fields };
        const hint = didYouMean(name, this.#kept.keys());
        throw builderError("UNKNOWN_OBJECT", node, `no materialize before has kept rows in ${name}${hint}`, {
          object: name,
        });
      },
      nextSink: () => this.#sinks++,
    };
  }

  #newTemporary(name: string, node: BlockNode, fields: number | undefined): number {
    if (this.kind === "query" || this.kind === "detached") {
      throw builderError("NOT_ALLOWED_HERE", node, `${name}: temporary PStates belong into microbatches`);
    }
    const declared = this.around.module?.pstates.some((each) => each.name === name);
    if (declared || this.around.temporaries.has(name)) {
      throw builderError("DUPLICATE_NAME", node, `there is a ${name} already`, { object: name });
    }
    const index = this.#temporaries++;
    (this.around.temporaries as Map<string, number>).set(name, index);
    if (fields !== undefined) this.#kept.set(name, fields);
    return index;
  }

  #batchBlock(node: NodeOf<"batchBlock">, place: Place): Place {
    if (place.partition !== undefined) {
      const message = "batchBlock stands before any explodeMicrobatch or partitioner of its branch";
      throw builderError("NOT_ALLOWED_HERE", node, message);
    }
    const batch = new BatchBuilder(this.#parts, place.scope);
    batch.block(node.block.nodes);
    const resume = this.#stage("stage", node);
    this.#flow(place, node, { kind: "batch", phases: batch.phases, resume });
    return { list: resume.entry, scope: place.scope, partition: place.partition, dead: false, pending: undefined };
  }

  #materialize(node: NodeOf<"materialize">, out: NodeOf<"out"> | undefined, place: Place): Place {
    const name = out?.vars[0];
    if (out === undefined || out.vars.length !== 1 || !name!.startsWith("$$")) {
      throw builderError(
        "NOT_ALLOWED_HERE",
        node,
        'materialize(…) is followed by out("$$name"), where the rows are kept',
      );
    }
    const temporary = this.#newTemporary(name!, out, node.vars.length);
    const row = node.vars.map((each) => this.#resolver.var(each, place.scope, node));
    return this.#push(place, node, { kind: "keep", temporary, row });
  }

  /** A node whose rows go on as later events. */
  #rowsLater(place: Place, node: BlockNode, fields: number, op: (resume: Label) => FlowOp): Place {
    const resume = this.#stage("stage", node);
    this.#flow(place, node, op(resume));
    for (let i = 0; i < fields; i++) resume.params.push(this.#fresh("field"));
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

  /** Each record of the microbatch's slice, wherever it lies. */
  #explode(node: NodeOf<"explodeMicrobatch">, place: Place): Place {
    const handle = this.#resolver.arg(node.microbatch, place.scope, node);
    const from = this.#sources.find(({ label }) => handle.kind === "var" && label.params[0] === handle.binding);
    if (from === undefined) {
      throw builderError("NOT_ALLOWED_HERE", node, "explodeMicrobatch takes the var that source(…).out(…) binds");
    }
    return this.#later({ ...place, partition: "mixed" }, node, (resume) => {
      this.#exploded.push(resume);
      return { kind: "explode", source: from.source, resume };
    });
  }

  // ---- movement

  #partition(node: NodeOf<"partition">, place: Place): Place {
    return this.#send(node, place, node.by, this.#target(node, place));
  }

  #target(node: NodeOf<"partition">, place: Place): SendTarget {
    this.#mirrors.refuseTarget(node);
    if (node.by === "path") return this.#partitionOf(node, node.object!, node.steps!, place);
    const one = node.object !== undefined && this.#resolver.isGlobal(node.object, place.scope, node);
    const args = this.#resolver.args(node.args, place.scope, node);
    return one && node.by !== "custom" ? onlyTask : sendTarget(node, args, one);
  }

  /** To the partition where the path's leading key lives. */
  #toPartition(node: BlockNode, name: string, steps: Steps, place: Place): Place {
    return this.#send(node, place, "path", this.#partitionOf(node, name, steps, place));
  }

  #partitionOf(node: BlockNode, name: string, steps: Steps, place: Place): SendTarget {
    const state = this.#resolver.state(name, place.scope, node);
    if (state.kind !== "pstate")
      throw builderError("NOT_ALLOWED_HERE", node, `${name} has no partitions to choose from`);
    if (state.global) return onlyTask;
    const key = leadingKey(this.#resolver, node, { name, steps }, place.scope);
    return { kind: "path", pstate: state.index, key };
  }

  #send(node: BlockNode, place: Place, by: PartitionBy, to: SendTarget): Place {
    return { ...this.#later(place, node, (resume) => ({ kind: "send", to, resume }), false), partition: by };
  }

  // ---- making nodes

  /** A node that goes on in this event without a value. */
  #push(place: Place, node: BlockNode, op: FlowOp): Place {
    const flow = this.#flow(place, node, op);
    return { ...place, list: flow.next, pending: undefined };
  }

  /** A node that emits fields in this event. */
  #emitting(place: Place, node: BlockNode, fields: number, op: FlowOp): Place {
    const flow = this.#flow(place, node, op);
    const base: Place = { ...place, list: flow.next, pending: undefined };
    const bind = (bindings: readonly Binding[]) => {
      flow.outs = bindings;
    };
    return { ...base, pending: { node, fields, base, flow, declared: false, bind } };
  }

  /** A node after which a later event goes on, with one value unless said otherwise. */
  #later(place: Place, node: BlockNode, op: (resume: Label) => FlowOp, value = true): Place {
    const resume = this.#stage("stage", node);
    this.#flow(place, node, op(resume));
    if (!value) return { ...place, list: resume.entry, pending: undefined };
    resume.params.push(this.#fresh("value"));
    return this.#valuePlace(node, resume, place.scope, place.partition);
  }

  #valuePlace(node: BlockNode, label: Label, scope: Scope, partition: Place["partition"]): Place {
    const base: Place = { list: label.entry, scope, partition, dead: false, pending: undefined };
    const bind = (bindings: readonly Binding[]) => {
      label.params[0] = bindings[0]!;
    };
    return { ...base, pending: { node, fields: 1, base, flow: undefined, declared: false, bind } };
  }

  #goto(place: Place, node: BlockNode, label: Label, args: readonly FlowArg[]): FlowNode {
    label.refs++;
    return this.#flow(place, node, { kind: "goto", label, args });
  }

  #flow(place: Place, node: BlockNode, op: FlowOp): FlowNode {
    const flow: FlowNode = { id: this.#lineOf(node), op, outs: undefined, streams: [], next: [] };
    place.list.push(flow);
    return flow;
  }

  #lineOf(node: BlockNode): number {
    let id = this.#lineIds.get(node);
    if (id === undefined) {
      id = this.#lines.push({ line: node.line, what: nodeText(node) }) - 1;
      this.#lineIds.set(node, id);
    }
    return id;
  }

  #label(kind: LabelKind, text: string): Label {
    const label: Label = { id: this.#labels.length, kind, params: [], entry: [], refs: 0, stage: undefined, text };
    this.#labels.push(label);
    return label;
  }

  #stage(kind: "stage" | "source", node: BlockNode): Label {
    const label = this.#label(kind, nodeText(node));
    label.stage = this.#stages.push(label) - 1;
    this.#lineOf(node);
    return label;
  }

  #fresh(name: string): Binding {
    const id = this.#bindings++;
    return { id, name, js: `${name.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_/, "") || "v"}_${id}` };
  }
}

/** Fields of one emit; -1 where only running it tells. */
function fieldsOf(fn: EachFn): number {
  if (isOp(fn)) return fn.fields;
  return isOperation(fn) || isGeneratorFunction(fn) || typeof fn !== "function" ? -1 : 1;
}

function resolved(pattern: Pattern, bound: ReadonlyMap<string, Binding>): FlowPattern {
  const target = (to: string | Pattern) => (typeof to === "string" ? bound.get(to)! : resolved(to, bound));
  if (pattern.kind === "list") return { kind: "list", items: pattern.items.map(target) };
  return { kind: "object", fields: pattern.fields.map(({ name, to }) => ({ name, to: target(to) })) };
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
