// From builder nodes to the flow graph: resolves names, follows attachment points (anchors, hooks, branches), joins scopes and checks what may stand where.
// One FlowBuilder makes the graph of one topology or of one detached block. Every error names the line of the builder call.
import { capturedVars, toTransformSteps } from "../aggregators/compound.ts";
import { RamaError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { isOp } from "../paths/arg.ts";
import type { Steps } from "../paths/spec.ts";
import { isGeneratorFunction, isOperation } from "./emission.ts";
import type { FlowArg, FlowNode, FlowProgram, FlowSource, Label, SendTarget } from "./flow.ts";
import { type BlockNode, builderError, type EachFn, nodeText, type NodeOf, type PartitionBy } from "./nodes.ts";
import { ControlFlow } from "./control-flow.ts";
import { Outputs } from "./outputs.ts";
import { FlowGraph, type Place, type Region } from "./flow-graph.ts";
import { MirrorFlow } from "./mirror-flow.ts";
import { Resolver, type Surroundings } from "./resolve.ts";
import { leadingKey, onlyTask, sendTarget } from "./send-target.ts";
import { Scope } from "./scope.ts";
import { BatchBuilder } from "./batch/builder.ts";
import { needsPhases } from "./batch/groups.ts";
import type { FlowParts } from "./batch/parts.ts";
import { checkKind, type ProgramKind } from "./where.ts";

export interface BlockRoot {
  readonly nodes: readonly BlockNode[];
  /** Index of the source; undefined for queries and detached blocks. */
  readonly source?: number;
}

export class FlowBuilder {
  readonly #resolver: Resolver;
  readonly #mirrors: MirrorFlow;
  readonly #graph = new FlowGraph();
  readonly #outputs: Outputs;
  readonly #control: ControlFlow;
  readonly #sources: FlowSource[] = [];
  readonly #exploded: Label[] = [];
  readonly #kept = new Map<string, number>();
  #temporaries = 0;
  #sinks = 0;

  constructor(
    readonly around: Surroundings,
    readonly kind: ProgramKind,
  ) {
    this.#resolver = new Resolver(around);
    this.#outputs = new Outputs(this.#graph, this.#resolver);
    this.#control = new ControlFlow({
      graph: this.#graph,
      resolver: this.#resolver,
      outputs: this.#outputs,
      build: (nodes, start, region) => this.#build(nodes, start, region),
    });
    this.#mirrors = new MirrorFlow({
      resolver: this.#resolver,
      fresh: (name) => this.#graph.fresh(name),
      later: (place, node, op, value) => this.#graph.later(place, node, op, value),
      emitting: (place, node, fields, op) => this.#graph.emitting(place, node, fields, op),
      send: (node, place, by, to) => this.#send(node, place, by, to),
    });
  }

  get program(): FlowProgram {
    return {
      labels: this.#graph.labels,
      stages: this.#graph.stages,
      sources: this.#sources,
      exploded: this.#exploded,
      lines: this.#graph.lines,
    };
  }

  /** A source block. */
  source(root: BlockRoot): void {
    const first = root.nodes[0] as NodeOf<"source">;
    const label = this.#graph.stage("source", first);
    // Temporary PStates are known within their source block.
    if (this.kind === "microbatch") (this.around.temporaries as Map<string, number>).clear();
    this.#kept.clear();
    this.#resolver.forgetBound();
    label.params.push(this.#graph.fresh("record"));
    this.#sources.push({ source: root.source!, label });
    const place = this.#graph.valuePlace(first, label, Scope.empty, undefined);
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
      this.#graph.flow(start, last, { kind: "batch", phases: batch.phases, resume: undefined });
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
    this.#graph.push(end, last, { kind: "result", value: { kind: "var", binding: result } });
  }

  #inputsPlace(node: BlockNode): Place {
    const label = this.#graph.stage("source", node);
    let scope = Scope.empty;
    for (const name of this.around.topology!.inputs) {
      const input = this.#graph.fresh(name);
      label.params.push(input);
      scope = scope.with(input);
    }
    return { list: label.entry, scope, partition: undefined, dead: false, pending: undefined };
  }

  /** A block on its own. */
  detached(nodes: readonly BlockNode[]): void {
    const label = this.#graph.stage("source", { kind: "inputs", vars: [], line: "?" });
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
          place = this.#control.loop(node, out, place);
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
        return this.#outputs.out(node, place);
      case "outStream":
        return this.#outputs.outStream(node, place, region);
      case "anchor":
        return this.#outputs.anchor(node, node.name, place, region);
      case "hook":
        return { ...this.#outputs.anchored(node, node.name, region), pending: undefined };
      case "branch":
        this.#build(
          node.block.nodes,
          { ...this.#outputs.anchored(node, node.name, region), pending: undefined },
          region,
        );
        return place;
      case "unify":
        return this.#control.meet(
          node,
          node.names.map((name) => this.#outputs.anchored(node, name, region)),
        );
      case "ifTrue":
      case "cond":
      case "subSource":
        return this.#control.split(node, place, region);
      case "atomicBlock": {
        const body: FlowNode[] = [];
        this.#build(
          node.block.nodes,
          { ...place, list: body, pending: undefined },
          { anchors: new Map(), loop: region.loop },
        );
        return this.#graph.push(place, node, { kind: "atomic", body });
      }
      case "materialize":
        return this.#materialize(node, undefined, place);
      case "continueLoop":
      case "emitLoop":
        return this.#control.inLoop(node, place, region);
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
        return this.#graph.emitting(place, node, fieldsOf(node.fn), {
          kind: "call",
          fn: this.#fn(node.fn, place, node),
          args: node.args.map(arg),
        });
      case "eachAsync":
        return this.#graph.later(place, node, (resume) => ({
          kind: "await",
          fn: this.#fn(node.fn, place, node) as FlowArg,
          args: node.args.map(arg),
          resume,
        }));
      case "keepTrue":
        return this.#graph.push(place, node, { kind: "keepTrue", condition: arg(node.condition) });
      case "bind":
        return this.#outputs.destructure(place, node, arg(node.value), node.pattern);
      case "yieldIfOvertime":
        return this.#graph.later(place, node, (resume) => ({ kind: "overtime", resume }), false);
      case "ackReturn":
        return this.#graph.push(place, node, { kind: "ackReturn", value: arg(node.value) });
      case "localSelect":
      case "select":
        return this.#select(node, place);
      case "localTransform":
        return this.#transform(node, node.pstate, node.steps, place);
      case "agg":
        return this.#agg(node, place);
      case "localClear":
        return this.#graph.push(place, node, {
          kind: "clear",
          state: this.#resolver.writable(node.pstate, scope, node),
        });
      case "batchBlock":
        return this.#batchBlock(node, place);
      case "explodeMaterialized": {
        const { index, fields } = this.#parts.kept(node.pstate, node);
        return this.#graph.rowsLater(place, node, fields, (resume) => ({
          kind: "explodeKept",
          temporary: index,
          resume,
        }));
      }
      case "explodeMicrobatch":
        return this.#explode(node, place);
      case "invokeQuery": {
        const query = this.#resolver.query(node.query, node.args.length, node);
        return this.#graph.later(place, node, (resume) => ({
          kind: "invoke",
          query,
          args: node.args.map(arg),
          resume,
        }));
      }
      case "depotAppend": {
        const depot = this.#resolver.depot(node.depot, node);
        if (depot.tickMs !== undefined) throw builderError("NOT_APPENDABLE", node, `${node.depot} is a tick depot`);
        return this.#graph.later(
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
          `${nodeText(node)} stands in a batch block (batchBlock(…), a SubBatch, the body of a query topology), outside its branches and loops`,
        );
    }
  }

  #fn(fn: EachFn, place: Place, node: BlockNode): Exclude<EachFn, { kind: "var" }> | FlowArg {
    return typeof fn === "object" && fn.kind === "var"
      ? this.#resolver.var(fn.name, place.scope, node)
      : (fn as Exclude<EachFn, { kind: "var" }>);
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
        return this.#graph.emitting(at, node, 1, { kind: "selectState", state, path });
      const { index: pstate, schema } = state;
      return this.#graph.later(at, node, (resume) => ({ kind: "selectYielding", pstate, schema, path, resume }));
    }
    const path = this.#resolver.path(node.steps, place.scope, node);
    const data = this.#resolver.arg(from, place.scope, node);
    if (node.kind === "localSelect" && data.kind !== "var") {
      throw builderError("NOT_ALLOWED_HERE", node, "localSelect reads a PState: use select for plain data");
    }
    return this.#graph.emitting(place, node, 1, { kind: "selectData", data, path });
  }

  #transform(node: BlockNode, name: string, steps: Steps, place: Place): Place {
    const state = this.#resolver.writable(name, place.scope, node);
    return this.#graph.push(place, node, {
      kind: "transform",
      state,
      path: this.#resolver.path(steps, place.scope, node),
    });
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
      flow: (place, node, op) => this.#graph.flow(place, node, op),
      stage: (kind, node) => this.#graph.stage(kind, node),
      fresh: (name) => this.#graph.fresh(name),
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
    const resume = this.#graph.stage("stage", node);
    this.#graph.flow(place, node, { kind: "batch", phases: batch.phases, resume });
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
    return this.#graph.push(place, node, { kind: "keep", temporary, row });
  }

  /** Each record of the microbatch's slice, wherever it lies. */
  #explode(node: NodeOf<"explodeMicrobatch">, place: Place): Place {
    const handle = this.#resolver.arg(node.microbatch, place.scope, node);
    const from = this.#sources.find(({ label }) => handle.kind === "var" && label.params[0] === handle.binding);
    if (from === undefined) {
      throw builderError("NOT_ALLOWED_HERE", node, "explodeMicrobatch takes the var that source(…).out(…) binds");
    }
    return this.#graph.later({ ...place, partition: "mixed" }, node, (resume) => {
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
    return { ...this.#graph.later(place, node, (resume) => ({ kind: "send", to, resume }), false), partition: by };
  }
}

/** Fields of one emit; -1 where only running it tells. */
function fieldsOf(fn: EachFn): number {
  if (isOp(fn)) return fn.fields;
  return isOperation(fn) || isGeneratorFunction(fn) || typeof fn !== "function" ? -1 : 1;
}
