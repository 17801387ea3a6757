// The steps of one stage: each flow node in plain words, its branches inside it, and the edges that leave the stage.
import type { ModuleDefinition, TopologyDefinition } from "../../module/definition.ts";
import type { BatchFlowOp, PhaseWhere } from "../batch/flow.ts";
import type { AggSink } from "../batch/sinks.ts";
import { type FlowNode, type FlowOp, type Label, patternBindings, targetBindings, type StateRef } from "../flow.ts";
import { Ops } from "../ops.ts";
import type { Plan } from "../plan.ts";
import { isOp, type Op } from "../../paths/arg.ts";
import { isBatchOp } from "../batch/flow.ts";
import type { ExplainedEdge, ExplainedStep, StepKind } from "./explained.ts";
import { isAuthors, type PlanText, pathText, short, varName } from "./text.ts";

type OpOf<K extends FlowOp["kind"]> = Extract<FlowOp, { kind: K }>;
type Inside = ExplainedStep["inside"];
interface Words {
  readonly kind: StepKind;
  readonly text: string;
  readonly pstates?: readonly string[];
  readonly inside?: Inside;
}

/** Code that is reached from several places. */
export interface Block {
  readonly id: number;
  /** The stage in which it stands. */
  shown: number | undefined;
  writes: boolean;
}

export interface StepParts {
  readonly module: ModuleDefinition;
  readonly topology: TopologyDefinition;
  readonly plan: Plan;
  readonly text: PlanText;
  /** Code that is reached from several places, over all stages. */
  readonly blocks: Map<Label, Block>;
  readonly from: number;
  numberOf(label: Label): number;
  /** `within`: the code reached from several places in which it stands. */
  edge(edge: ExplainedEdge, within: readonly Label[]): void;
  /** A stage goes on with code that is shown in another one. */
  joins(label: Label): void;
  phase(stage: number, of: { readonly line: string; readonly phase: number; readonly where: PhaseWhere }): void;
}

export class StepReader {
  readonly #parts: StepParts;
  readonly touched = { read: new Set<string>(), write: new Set<string>() };
  /** Labels that were jumped to and are not shown yet. */
  readonly #waiting: Label[] = [];
  /** Code reached from several places that is being read. */
  readonly #within: Label[] = [];
  wrote = false;

  constructor(parts: StepParts) {
    this.#parts = parts;
  }

  stage(entry: readonly FlowNode[]): ExplainedStep[] {
    const steps = this.#list(entry);
    while (this.#waiting.length > 0) steps.push(...this.#met(this.#waiting.shift()!));
    return steps;
  }

  /** Nodes that hang on one place: one after another if there is one, else as branches. */
  #list(list: readonly FlowNode[]): ExplainedStep[] {
    if (list.length <= 1) return list.flatMap((node) => this.#node(node));
    const line = this.#lineOf(list[0]!);
    const inside = list.map((node, i) => ({ label: `branch ${i + 1}`, steps: this.#node(node) }));
    const several = inside.filter(({ steps }) => steps.length > 0);
    if (several.length === 1) return several[0]!.steps;
    return [{ line, kind: "branch", text: "goes on in each of these branches", pstates: [], inside: several }];
  }

  #node(node: FlowNode): ExplainedStep[] {
    const { op } = node;
    if (op.kind === "goto") return this.#goto(node, op);
    if (op.kind === "call" && op.fn === Ops.IDENTITY && this.#what(node).startsWith("subBatch("))
      return this.#renamed(node, op);
    const waitingBefore = this.#waiting.length;
    const words = isBatchOp(op) ? this.#batchWords(node, op) : this.#words(node, op);
    const step: ExplainedStep = {
      line: this.#lineOf(node),
      kind: words.kind,
      text: words.text,
      pstates: words.pstates ?? [],
      inside: [...(words.inside ?? []), ...this.#streams(node)],
    };
    const met = op.kind === "split" ? this.#waiting.splice(waitingBefore).flatMap((label) => this.#met(label)) : [];
    return [step, ...met, ...this.#list(node.next)];
  }

  /** A sub-batch's rows under their new names, as one step. */
  #renamed(node: FlowNode, op: OpOf<"call">): ExplainedStep[] {
    const names: string[] = [];
    let at: FlowNode = node;
    for (;;) {
      const { op: each } = at;
      names.push(`${this.#parts.text.args((each as typeof op).args)}${this.#outs(at)}`);
      const [next] = at.next;
      if (at.next.length !== 1 || next!.op.kind !== "call" || next!.id !== node.id) break;
      at = next!;
    }
    const step: ExplainedStep = {
      line: this.#lineOf(node),
      kind: "compute",
      text: `rows of the sub-batch: ${names.join(", ")}`,
      pstates: [],
      inside: [],
    };
    return [step, ...this.#list(at.next)];
  }

  #streams(node: FlowNode): Inside {
    return node.streams.map(({ name, outs, next }) => ({
      label: `stream "${name}"${outs.length === 0 ? "" : ` → ${outs.map((each) => each.name).join(", ")}`}`,
      steps: this.#list(next),
    }));
  }

  // ---- code that is reached from several places

  #goto(node: FlowNode, op: OpOf<"goto">): ExplainedStep[] {
    const { label } = op;
    const { plan, text } = this.#parts;
    const rest = () => this.#list(node.next);
    const step = (words: string) => this.#branchStep(node, words);
    if (label.kind === "loop") return [...this.#loop(node, op), ...rest()];
    const given = label.params.flatMap(({ name }, i) =>
      plan.used.has(label.params[i]!) ? [`${name} = ${text.arg(op.args[i]!)}`] : [],
    );
    if (!plan.isFunction(label)) {
      const emitted = label.kind === "after" && given.length > 0 ? [step(`out of the loop: ${given.join(", ")}`)] : [];
      return [...emitted, ...this.#list(label.entry), ...rest()];
    }
    const block = this.#block(label);
    if (block.shown === undefined && !this.#waiting.includes(label)) this.#waiting.push(label);
    if (block.shown !== undefined) this.#parts.joins(label);
    const elsewhere = block.shown === undefined || block.shown === this.#parts.from ? "" : ` of stage ${block.shown}`;
    const values = label.kind === "after" && given.length > 0 ? ` with ${given.join(", ")}` : "";
    return [
      step(
        label.kind === "after"
          ? `out of the loop to #${block.id}${elsewhere}${values}`
          : `meets at #${block.id}${elsewhere}`,
      ),
      ...rest(),
    ];
  }

  /** The body where it begins; afterwards its number. */
  #loop(node: FlowNode, { label, args }: OpOf<"goto">): ExplainedStep[] {
    const vars = label.params.map(({ name }, i) => `${name} = ${this.#parts.text.arg(args[i]!)}`).join(", ");
    const block = this.#block(label);
    const words = `loop #${block.id}${vars === "" ? "" : ` with ${vars}`}`;
    if (block.shown !== undefined) {
      this.#parts.joins(label);
      return [this.#branchStep(node, `next iteration of ${words}`)];
    }
    block.shown = this.#parts.from;
    const waitingBefore = this.#waiting.length;
    this.#within.push(label);
    const steps = this.#list(label.entry);
    this.#within.pop();
    const loop = this.#branchStep(node, words, [{ label: "each iteration", steps }]);
    return [loop, ...this.#waiting.splice(waitingBefore).flatMap((each) => this.#met(each))];
  }

  #branchStep(node: FlowNode, text: string, inside: Inside = []): ExplainedStep {
    return { line: this.#lineOf(node), kind: "branch", text, pstates: [], inside };
  }

  #block(label: Label): Block {
    const { blocks } = this.#parts;
    let block = blocks.get(label);
    if (block === undefined) {
      block = { id: blocks.size + 1, shown: undefined, writes: false };
      blocks.set(label, block);
    }
    return block;
  }

  #met(label: Label): ExplainedStep[] {
    const block = this.#block(label);
    if (block.shown !== undefined) return [];
    block.shown = this.#parts.from;
    const line = label.entry[0] === undefined ? "" : this.#lineOf(label.entry[0]);
    this.#within.push(label);
    const steps = this.#list(label.entry);
    this.#within.pop();
    if (steps.length === 0) return [];
    const text =
      label.kind === "after"
        ? `#${block.id} after the loop`
        : `#${block.id} where the branches of ${label.text.replaceAll("Ops.", "")} meet`;
    return [{ line, kind: "branch", text, pstates: [], inside: [] }, ...steps];
  }

  // ---- one node

  #words(node: FlowNode, op: Exclude<FlowOp, BatchFlowOp>): Words {
    const { text } = this.#parts;
    const outs = this.#outs(node);
    switch (op.kind) {
      case "call":
        if (isOp(op.fn) && isInternal(op.fn))
          return { kind: "compute", text: `${this.#internal(node, op.fn.name)}${outs}` };
        return { kind: "compute", text: `${text.fn(op.fn)}(${text.args(op.args)})${outs}` };
      case "keepTrue":
        return { kind: "branch", text: `goes on if ${text.arg(op.condition)}` };
      case "destructure": {
        const names = patternBindings(op.pattern).filter((each) => this.#parts.plan.used.has(each));
        return { kind: "compute", text: `takes ${text.arg(op.value)} apart${arrow(names.map(({ name }) => name))}` };
      }
      case "rebind":
        return {
          kind: "compute",
          text: `takes ${op.from.map(({ name }) => varName(name)).join(", ")}${arrow(
            op.to
              .flatMap(targetBindings)
              .filter((each) => this.#parts.plan.used.has(each))
              .map(({ name }) => name),
          )}`,
        };
      case "ackReturn":
        return { kind: "answer", text: `gives ${text.arg(op.value)} to the append` };
      case "result":
        return { kind: "answer", text: `answers ${text.arg(op.value)}` };
      case "selectState":
        return this.#state("read", op.state, `at ${pathText(op.path.steps)}${outs}`);
      case "selectData":
        return { kind: "compute", text: `selects ${pathText(op.path.steps)} of ${text.arg(op.data)}${outs}` };
      case "transform":
        return this.#state("write", op.state, `at ${pathText(op.path.steps)}`);
      case "clear":
        return this.#state("write", op.state, "back to its start");
      case "split":
        return this.#split(op);
      case "atomic":
        return {
          kind: "branch",
          text: "atomic block: goes on once, when this is done",
          inside: [{ label: "within", steps: this.#list(op.body) }],
        };
      case "goto":
        return { kind: "branch", text: "" };
      default:
        return this.#boundary(node, op);
    }
  }

  #state(kind: "read" | "write", state: StateRef, rest: string): Words {
    const name = this.#stateName(state);
    this.touched[kind].add(name);
    if (kind === "write") {
      this.wrote = true;
      for (const label of this.#within) this.#block(label).writes = true;
    }
    return { kind, text: `${kind}s ${name} ${rest}`, pstates: [name] };
  }

  #stateName(state: StateRef): string {
    if (state.kind === "pstate") return state.name;
    if (state.kind === "held") return state.binding.name;
    return this.#temporary();
  }

  #temporary(): string {
    const { kind, name } = this.#parts.topology;
    return kind === "query" ? `$$${name}$$` : "its temporary PState";
  }

  #split(op: OpOf<"split">): Words {
    const { text } = this.#parts;
    const inside = op.branches.map(({ condition, entry }) => ({
      label:
        condition.kind === "matches"
          ? `if ${text.arg(condition.value)} is ${condition.patterns.map(patternWords).join(" or ")}`
          : `if ${text.arg(condition)}`,
      steps: this.#list(entry),
    }));
    if (op.otherwise !== "noMatch" && op.otherwise.length > 0)
      inside.push({ label: "else", steps: this.#list(op.otherwise) });
    const shown = inside.map(({ label, steps }) => ({
      label,
      steps: steps.filter((each) => !/^meets at/.test(each.text)),
    }));
    const otherwise = op.otherwise === "noMatch" ? "; any other value fails" : "";
    return {
      kind: "branch",
      text: `branches${otherwise}`,
      inside: shown.filter(({ steps, label }) => steps.length > 0 || label !== "else"),
    };
  }

  #boundary(node: FlowNode, op: Exclude<FlowOp, BatchFlowOp>): Words {
    const { text, module } = this.#parts;
    switch (op.kind) {
      case "send": {
        const how = text.target(op.to);
        return this.#go(op.resume, "move", how, `goes to ${how}`);
      }
      case "overtime":
        return this.#go(op.resume, "wait", "if the event has run too long", "lets others run if it has run too long");
      case "await":
        if (isOp(op.fn) && isInternal(op.fn)) {
          const words = `asks another module: ${this.#what(node).replaceAll("Ops.", "")}`;
          return this.#go(op.resume, "wait", "the answer of another module", words);
        }
        return this.#go(op.resume, "wait", "the promise", `waits for ${text.fn(op.fn)}(${text.args(op.args)})`);
      case "selectYielding": {
        const { name } = module.pstates[op.pstate]!;
        this.touched.read.add(name);
        const read = `reads ${name} at ${pathText(op.path.steps)}, page by page over a snapshot`;
        return { ...this.#go(op.resume, "wait", "each row", read), pstates: [name], kind: "read" };
      }
      case "invoke": {
        const query = module.topologies[op.query]!.name;
        return this.#go(op.resume, "wait", `the answer of ${query}`, `asks the query ${query}(${text.args(op.args)})`);
      }
      case "append": {
        const depot = op.depot < 0 ? "a depot of another module" : module.depots[op.depot]!.name;
        return this.#go(op.resume, "wait", `the append (${op.level})`, `appends ${text.arg(op.record)} to ${depot}`);
      }
      default:
        throw new Error(`${op.kind} is no boundary`);
    }
  }

  #go(to: Label, kind: ExplainedEdge["kind"], how: string, words: string): Words {
    const carries = this.#parts.plan
      .free(to)
      .map(({ name }) => name)
      .filter(isAuthors)
      .map(varName);
    const stage = this.#parts.numberOf(to);
    const commits = kind === "move" && this.wrote && this.#parts.topology.kind === "stream";
    this.#parts.edge({ from: this.#parts.from, to: stage, kind, how, carries, commits }, [...this.#within]);
    const with_ = carries.length === 0 ? "" : `, with ${carries.join(", ")}`;
    return { kind: "go", text: `${words}, then stage ${stage}${with_}` };
  }

  // ---- batches

  #batchWords(node: FlowNode, op: BatchFlowOp): Words {
    const { text } = this.#parts;
    switch (op.kind) {
      case "explode":
        return this.#go(op.resume, "move", "the task of each record's partition", "takes the microbatch's records");
      case "explodeKept":
        return this.#go(op.resume, "move", "the task that keeps each row", "takes the kept rows");
      case "keep":
        return { kind: "write", text: `keeps the row ${text.args(op.row)}` };
      case "batch":
        return this.#batch(node, op);
      case "put": {
        const to = op.to === undefined ? "its task" : text.target(op.to);
        const values = [...op.keys, ...op.args];
        if (op.sink.kind === "join")
          return {
            kind: "go",
            text: `row for the join, by ${text.args(op.keys)}, to ${to}${values.length > op.keys.length ? `: ${text.args(op.args)}` : ""}`,
          };
        const by = op.keys.length === 0 ? "" : ` by ${text.args(op.keys)}`;
        return {
          kind: "go",
          text: `row to aggregate${by}, to ${to}: ${this.#aggregates(op.sink)}${op.sink.outputs.length + op.sink.limits.length === 0 ? "" : inputs(text.args(op.args))}`,
        };
      }
      case "rows":
        return this.#rows(node, op);
      default:
        return { kind: "compute", text: op.kind };
    }
  }

  #batch(node: FlowNode, op: Extract<BatchFlowOp, { kind: "batch" }>): Words {
    const line = this.#lineOf(node);
    op.phases.forEach(({ starts }, i) => {
      for (const { label, where } of starts) {
        const stage = this.#parts.numberOf(label);
        this.#parts.phase(stage, { line, phase: i + 1, where });
        const how = i === 0 ? "phase 1" : `phase ${i + 1}, when phase ${i} has ended everywhere`;
        this.#parts.edge({ from: this.#parts.from, to: stage, kind: "phase", how, carries: [], commits: false }, [
          ...this.#within,
        ]);
      }
    });
    const phases = `${op.phases.length} phase${op.phases.length === 1 ? "" : "s"}`;
    if (op.resume === undefined) return { kind: "go", text: `a batch in ${phases}` };
    const stage = this.#parts.numberOf(op.resume);
    this.#parts.edge(
      {
        from: this.#parts.from,
        to: stage,
        kind: "phase",
        how: "task 0, when the batch is done",
        carries: [],
        commits: false,
      },
      [...this.#within],
    );
    return { kind: "go", text: `a batch in ${phases}, then stage ${stage} on task 0` };
  }

  #aggregates({ outputs, limits, states }: AggSink): string {
    const names = outputs.map(({ leaf }) => leaf.name);
    for (const limit of limits) names.push(limit.sorts > 0 ? "limit by order" : "limit");
    for (const { state, steps } of states) names.push(`into ${this.#written(state)} at ${pathText(steps)}`);
    return names.join(", ");
  }

  #written(state: AggSink["states"][number]["state"]): string {
    return state.kind === "pstate" ? this.#parts.module.pstates[state.index]!.name : this.#temporary();
  }

  #rows(node: FlowNode, op: Extract<BatchFlowOp, { kind: "rows" }>): Words {
    const { sink } = op;
    const outs = this.#outs(node);
    if (sink.kind === "join") {
      const [a, b] = sink.keepsAlone;
      return {
        kind: "compute",
        text: `${a && b ? "full outer" : a || b ? "outer" : "inner"} join, each matching pair${outs}`,
      };
    }
    const names = [
      ...sink.states.map(({ state }) => this.#written(state)),
      ...sink.outputs.filter(({ temporary }) => temporary !== undefined).map(() => this.#temporary()),
    ];
    for (const name of names) this.touched.write.add(name);
    const writes = names.length === 0 ? "" : `, writes ${names.join(", ")}`;
    const each =
      sink.groupKeys !== undefined
        ? "each group"
        : sink.states.some(({ capture }) => capture !== undefined)
          ? "each place touched"
          : sink.limits.length > 0
            ? "each row kept"
            : "the aggregates";
    return { kind: names.length > 0 ? "write" : "compute", text: `${each}${outs}${writes}`, pstates: names };
  }

  // ---- helpers

  /** Ops of the compiler's own, for objects of other modules: the author's call says more. */
  #internal(node: FlowNode, name: string): string {
    return name === "rows" ? "each row" : `chooses a partition: ${this.#what(node).replaceAll("Ops.", "")}`;
  }

  #what(node: FlowNode): string {
    return this.#parts.plan.program.lines[node.id]!.what;
  }

  #lineOf(node: FlowNode): string {
    return this.#parts.plan.program.lines[node.id]!.line;
  }

  #outs(node: FlowNode): string {
    return arrow((node.outs ?? []).filter((each) => this.#parts.plan.used.has(each)).map(({ name }) => name));
  }
}

function isInternal(op: Op): boolean {
  return !op.name.startsWith("Ops.") && !op.name.startsWith("record(");
}

function arrow(names: readonly string[]): string {
  const shown = names.filter((name) => name !== "unused" && !name.startsWith("@")).map(varName);
  return shown.length === 0 ? "" : ` → ${shown.join(", ")}`;
}

function inputs(text: string): string {
  return text === "" ? "" : ` of ${short(text, 80)}`;
}

function patternWords(pattern: unknown): string {
  if (typeof pattern === "function") return pattern.name;
  return Object.entries(pattern as object)
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}`)
    .join(" and ");
}
