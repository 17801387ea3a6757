// The slow and obvious interpreter of a topology's plan: the oracle for the generated code (tests/property/plan-programs.test.ts). It walks the flow graph itself,
// keeps every var in one Map, carries all of them on every move, holds PStates as plain values per task (path-oracle.ts reads and changes them), and runs the phases
// of a batch one after another over plain arrays of rows. One topology at a time; queries may call queries.
import { compareValues, valuesEqual } from "../../src/base/compare.ts";
import { taskOf } from "../../src/base/hash.ts";
import type { AggSink, JoinSink } from "../../src/dataflow/batch/sinks.ts";
import { planTopology, type TopologyPlan } from "../../src/dataflow/compile.ts";
import { Emission, isOperation } from "../../src/dataflow/emission.ts";
import {
  type Binding,
  type FlowArg,
  type FlowNode,
  type FlowOp,
  type FlowPattern,
  isFlowArg,
  type Label,
  type SendTarget,
  type StateRef,
} from "../../src/dataflow/flow.ts";
import type { ModuleDefinition } from "../../src/module/definition.ts";
import { isOp } from "../../src/paths/arg.ts";
import { collectArgs, mapArgs, slotOf, type Steps } from "../../src/paths/spec.ts";
import { truthy } from "./path-oracle-data.ts";
import { interpretTransform } from "./path-oracle.ts";
import { interpretSelect } from "./path-oracle-read.ts";

type Env = ReadonlyMap<Binding, unknown>;
type OpOf<K extends FlowOp["kind"]> = Extract<FlowOp, { kind: K }>;
interface Event {
  readonly label: Label;
  readonly task: number;
  readonly env: Env;
}
interface PutRow {
  readonly side: number;
  readonly keys: readonly unknown[];
  /** Keys of a group included. */
  readonly row: readonly unknown[];
}

/** All that a module has, as plain values. */
export class PlainModule {
  readonly #plans = new Map<number, TopologyPlan>();
  readonly #states: unknown[][];

  constructor(
    readonly definition: ModuleDefinition,
    readonly tasks: number,
  ) {
    this.#states = definition.pstates.map(({ initialValue }) =>
      Array.from({ length: tasks }, () => initialValue ?? null),
    );
  }

  plan(topology: number): TopologyPlan {
    let plan = this.#plans.get(topology);
    if (plan === undefined) {
      plan = planTopology(this.definition, this.definition.topologies[topology]!);
      this.#plans.set(topology, plan);
    }
    return plan;
  }

  state(pstate: number, task: number): { value: unknown } {
    const tasks = this.#states[pstate]!;
    const at = this.definition.pstates[pstate]!.global ? 0 : task;
    return {
      get value() {
        return tasks[at];
      },
      set value(next: unknown) {
        tasks[at] = next;
      },
    };
  }

  /** What a global PState holds. */
  value(name: string): unknown {
    return this.state(this.definition.pstates.find((each) => each.name === name)!.index, 0).value;
  }

  /** The whole content of a PState that is a map: entries of all tasks. */
  entries(name: string): [unknown, unknown][] {
    const { index } = this.definition.pstates.find((each) => each.name === name)!;
    return this.#states[index]!.flatMap((value) => [...((value as Map<unknown, unknown> | null) ?? new Map())]);
  }

  /** A record of a stream's source, on the task of its partition. */
  record(topology: number, source: number, record: unknown, task: number): void {
    const run = new PlanRun(this, topology);
    const { plan, fields } = this.plan(topology);
    const { label } = plan.program.sources.find((each) => each.source === source)!;
    run.start(label, task, recordArgs(label, fields, record));
  }

  /** Records of a source by task, as one microbatch. */
  microbatch(topology: number, source: number, slice: readonly (readonly unknown[])[]): void {
    const run = new PlanRun(this, topology, slice);
    const { label } = this.plan(topology).plan.program.sources.find((each) => each.source === source)!;
    run.start(label, 0, [null]);
  }

  query(topology: number, args: readonly unknown[], task = 0): unknown[] {
    const run = new PlanRun(this, topology, [], task);
    run.start(this.plan(topology).plan.program.stages[0]!, task, args);
    return run.results;
  }
}

function recordArgs(label: Label, fields: ReadonlyMap<Label, readonly string[]>, record: unknown): unknown[] {
  const names = fields.get(label);
  return names === undefined ? [record] : names.map((name) => (record as Record<string, unknown>)[name] ?? null);
}

class PlanRun {
  readonly results: unknown[] = [];
  readonly #module: PlainModule;
  readonly #plan: TopologyPlan;
  readonly #slice: readonly (readonly unknown[])[];
  readonly #origin: number;
  readonly #temporaries = new Map<string, unknown>();
  readonly #kept = new Map<number, { task: number; row: unknown[] }[]>();
  readonly #rows = new Map<string, PutRow[]>();
  #queue: Event[] = [];
  #shuffled = 0;

  constructor(module: PlainModule, topology: number, slice: readonly (readonly unknown[])[] = [], origin = 0) {
    this.#module = module;
    this.#plan = module.plan(topology);
    this.#slice = slice;
    this.#origin = origin;
  }

  start(label: Label, task: number, args: readonly unknown[]): void {
    this.#queue.push({ label, task, env: bound(new Map(), label.params, args) });
    this.#drain();
  }

  #drain(): void {
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift())
      this.#list(event.label.entry, event.env, event.task);
  }

  /** `values` go to the label's parameters, whatever it needs besides is carried. */
  #later(label: Label, task: number, env: Env, values: readonly unknown[] = []): void {
    this.#queue.push({ label, task, env: bound(env, label.params, values) });
  }

  #list(list: readonly FlowNode[], env: Env, task: number): void {
    for (const node of list) this.#node(node, env, task);
  }

  #node(node: FlowNode, env: Env, task: number): void {
    const { op } = node;
    const value = (arg: FlowArg) => this.#value(arg, env, task);
    const next = (then: Env = env) => this.#list(node.next, then, task);
    const outs = (row: readonly unknown[]) => next(bound(env, node.outs ?? [], row));
    switch (op.kind) {
      case "call":
        return this.#call(node, op, env, task);
      case "keepTrue":
        return truthy(value(op.condition)) ? next() : undefined;
      case "destructure":
        return next(taken(env, op.pattern, value(op.value)));
      case "rebind":
        return next(op.from.reduce((into, from, i) => put(into, op.to[i]!, env.get(from)), env));
      case "ackReturn":
        return next();
      case "result":
        this.results.push(value(op.value));
        return;
      case "selectState":
        for (const each of interpretSelect(this.#path(op.path, value), this.#state(op.state, task).value)) outs([each]);
        return;
      case "selectData":
        for (const each of interpretSelect(this.#path(op.path, value), value(op.data))) outs([each]);
        return;
      case "transform": {
        const state = this.#state(op.state, task);
        state.value = interpretTransform(this.#path(op.path, value), state.value);
        return next();
      }
      case "clear":
        this.#state(op.state, task).value = null;
        return next();
      case "split":
        this.#split(op, env, task);
        return;
      case "goto": {
        const args = op.args.map(value);
        this.#list(op.label.entry, bound(env, op.label.params, args), task);
        return next();
      }
      case "atomic":
        this.#list(op.body, env, task);
        return next();
      case "rows":
        for (const row of this.#taken(op, task)) outs(row);
        return;
      default:
        return this.#boundary(node, op, env, task);
    }
  }

  // ---- moves and waits

  #boundary(node: FlowNode, op: FlowOp, env: Env, task: number): void {
    const value = (arg: FlowArg) => this.#value(arg, env, task);
    switch (op.kind) {
      case "send":
        for (const to of this.#targets(op.to, [], env, task)) this.#later(op.resume, to, env);
        return;
      case "overtime":
        return this.#later(op.resume, task, env);
      case "selectYielding": {
        const rows = interpretSelect(this.#path(op.path, value), this.#module.state(op.pstate, task).value);
        for (const row of rows) this.#later(op.resume, task, env, [row]);
        return;
      }
      case "invoke": {
        const answers = this.#module.query(op.query, op.args.map(value), task);
        if (answers.length !== 1) throw new Error(`a query answered ${answers.length} times`);
        return this.#later(op.resume, task, env, answers);
      }
      case "explode":
        for (const [at, records] of this.#slice.entries())
          for (const record of records)
            this.#later(op.resume, at, env, recordArgs(op.resume, this.#plan.fields, record));
        return;
      case "explodeKept":
        for (const { task: at, row } of this.#kept.get(op.temporary) ?? []) this.#later(op.resume, at, env, row);
        return;
      case "keep": {
        const kept = this.#kept.get(op.temporary) ?? [];
        this.#kept.set(op.temporary, [...kept, { task, row: op.row.map(value) }]);
        return this.#list(node.next, env, task);
      }
      case "batch":
        return this.#batch(op, env, task);
      case "put": {
        const keys = op.keys.map(value);
        const args = op.args.map(value);
        const row = op.sink.kind === "join" ? args : [...keys, ...args];
        for (const to of op.to === undefined ? [task] : this.#targets(op.to, keys, env, task))
          this.#rowsOf(op.sink.id, to).push({ side: op.side, keys, row });
        return this.#list(node.next, env, task);
      }
      default:
        throw new Error(`the interpreter does not know ${op.kind}`);
    }
  }

  #targets(to: SendTarget, keys: readonly unknown[], env: Env, task: number): number[] {
    const { tasks } = this.#module;
    const all = Array.from({ length: tasks }, (_, i) => i);
    const value = (arg: FlowArg) => this.#value(arg, env, task);
    switch (to.kind) {
      case "all":
        return all;
      case "task":
        return [value(to.task) as number];
      case "hash":
        return [taskOf(to.byKeys ? (keys.length === 1 ? keys[0] : keys) : value(to.key), tasks)];
      case "shuffle":
        return [this.#shuffled++ % tasks];
      case "origin":
        return [this.#origin];
      case "path":
        return [taskOf(value(to.key), tasks)];
      case "custom":
        return [to.fn(to.partitions === "one" ? 1 : tasks, ...to.args.map(value))];
    }
  }

  // ---- batches

  /** Each phase begins when all of the one before is done. */
  #batch(op: OpOf<"batch">, env: Env, task: number): void {
    const outer = this.#queue;
    this.#queue = [];
    for (const { starts } of op.phases) {
      for (const { label, where } of starts) {
        const tasks = { here: [task], first: [0], all: Array.from({ length: this.#module.tasks }, (_, i) => i) }[where];
        for (const at of tasks) this.#later(label, at, env);
      }
      this.#drain();
    }
    this.#queue = outer;
    if (op.resume !== undefined) this.#later(op.resume, 0, env);
  }

  #rowsOf(sink: number, task: number): PutRow[] {
    const key = `${sink} ${task}`;
    const rows = this.#rows.get(key) ?? [];
    this.#rows.set(key, rows);
    return rows;
  }

  #taken(op: OpOf<"rows">, task: number): unknown[][] {
    const rows = this.#rowsOf(op.sink.id, task).splice(0);
    return op.sink.kind === "join" ? pairs(op.sink, rows, op) : this.#aggregated(op.sink, rows, task);
  }

  #aggregated(sink: AggSink, rows: readonly PutRow[], task: number): unknown[][] {
    const groups: { keys: readonly unknown[]; rows: PutRow[] }[] =
      sink.groupKeys === undefined ? [{ keys: [], rows: [] }] : [];
    for (const row of rows) {
      const keys = sink.groupKeys === undefined ? [] : row.keys;
      let group = groups.find((each) => valuesEqual(each.keys, keys));
      if (group === undefined) {
        group = { keys, rows: [] };
        groups.push(group);
      }
      group.rows.push(row);
    }
    const heads = groups.flatMap((group) => {
      const outputs = sink.outputs.map(({ leaf, from, width }) => {
        const state = group.rows.reduce(
          (state: unknown, { row }) => leaf.step(state, ...row.slice(from, from + width)),
          leaf.init(),
        );
        return leaf.finish === undefined ? state : leaf.finish(state);
      });
      let found: unknown[][] = [[...group.keys, ...outputs]];
      for (const limit of sink.limits) {
        const kept = limited(
          limit,
          group.rows.map(({ row }) => row.slice(limit.from, limit.from + 1 + limit.sorts + limit.width)),
        );
        found = found.flatMap((head) => kept.map((values) => [...head, ...values]));
      }
      return found;
    });
    for (const unit of sink.states) {
      const state =
        unit.state.kind === "pstate"
          ? this.#module.state(unit.state.index, task)
          : this.#temporary(unit.state.index, task);
      const inputs = rows.map(({ row }) => row.slice(unit.from, unit.from + unit.width));
      for (const args of inputs)
        state.value = interpretTransform(withAggregates(substituted(unit.steps, args)), state.value);
      if (unit.capture !== undefined) throw new Error("the interpreter does not know captureNewValInto");
    }
    return heads;
  }

  // ---- values

  #temporary(index: number, task: number): { value: unknown } {
    const all = this.#temporaries;
    const key = `${index} ${task}`;
    return {
      get value() {
        return all.get(key) ?? null;
      },
      set value(next: unknown) {
        all.set(key, next);
      },
    };
  }

  #state(ref: StateRef, task: number): { value: unknown } {
    if (ref.kind === "pstate") return this.#module.state(ref.index, task);
    if (ref.kind === "temporary") return this.#temporary(ref.index, task);
    throw new Error("no TestPState here");
  }

  #path({ steps, args }: { steps: Steps; args: readonly FlowArg[] }, value: (arg: FlowArg) => unknown): Steps {
    return withAggregates(substituted(steps, args.map(value)));
  }

  #value(arg: FlowArg, env: Env, task: number): unknown {
    switch (arg.kind) {
      case "const":
        return arg.value;
      case "var":
        return env.get(arg.binding) ?? null;
      case "global":
        return this.#module.definition.globals[arg.index]!.value;
      case "expr": {
        const [result] = emitted(
          this.#callee(arg.op, env, task),
          arg.args.map((each) => this.#value(each, env, task)),
          task,
        );
        return result!.row[0] ?? null;
      }
    }
  }

  #callee(fn: unknown, env: Env, task: number): unknown {
    return typeof fn === "object" && fn !== null && isFlowArg(fn) ? this.#value(fn, env, task) : fn;
  }

  #call(node: FlowNode, op: OpOf<"call">, env: Env, task: number): void {
    const args = op.args.map((each) => this.#value(each, env, task));
    for (const { stream, row } of emitted(this.#callee(op.fn, env, task), args, task)) {
      if (stream === undefined) this.#list(node.next, bound(env, node.outs ?? [], row), task);
      const named = node.streams.find(({ name }) => name === stream);
      if (named !== undefined) this.#list(named.next, bound(env, named.outs, row), task);
    }
  }

  #split(op: OpOf<"split">, env: Env, task: number): void {
    const found = op.branches.find(({ condition }) =>
      condition.kind === "matches"
        ? condition.patterns.some((pattern) => matches(this.#value(condition.value, env, task), pattern))
        : truthy(this.#value(condition, env, task)),
    );
    if (found !== undefined) return this.#list(found.entry, env, task);
    if (op.otherwise === "noMatch") throw new Error("no SubSource takes the value");
    this.#list(op.otherwise, env, task);
  }
}

// ---- pieces

function bound(env: Env, names: readonly Binding[], values: readonly unknown[]): Env {
  const next = new Map(env);
  for (const [i, value] of values.entries()) if (names[i] !== undefined) next.set(names[i], value ?? null);
  return next;
}

function put(env: Env, to: Binding | FlowPattern, value: unknown): Env {
  return "js" in to ? bound(env, [to], [value ?? null]) : taken(env, to, value);
}

function taken(env: Env, pattern: FlowPattern, value: unknown): Env {
  if (pattern.kind === "list") {
    const list = value as unknown[];
    return pattern.items.reduce((into: Env, to, i) => put(into, to, list[i]), env);
  }
  const field = (name: string) =>
    value instanceof Map ? value.get(name) : (value as Record<string, unknown> | null)?.[name];
  return pattern.fields.reduce((into: Env, { name, to }) => put(into, to, field(name)), env);
}

interface Emitted {
  readonly stream: string | undefined;
  readonly row: readonly unknown[];
}

/** What a function, generator, operation or Op emits, in order. */
function* emitted(fn: unknown, args: readonly unknown[], task: number): Iterable<Emitted> {
  const one = (value: unknown): Emitted =>
    value instanceof Emission
      ? { stream: value.stream, row: value.fields }
      : { stream: undefined, row: [value ?? null] };
  if (isOp(fn)) {
    const context = { taskId: task, topologyType: null, nowMs: () => 0, random: () => 0.5, print: () => {} };
    const result = fn.fn(...(fn.context ? [context, ...args] : args));
    if (fn.emits === "many") for (const row of result) yield { stream: undefined, row: fn.fields === 1 ? [row] : row };
    else yield { stream: undefined, row: fn.fields === 1 ? [result ?? null] : result };
    return;
  }
  if (isOperation(fn)) {
    const rows: Emitted[] = [];
    fn.fn(...args, {
      emit: (...row: unknown[]) => void rows.push({ stream: undefined, row }),
      emitStream: (stream: string, ...row: unknown[]) => void rows.push({ stream, row }),
    });
    yield* rows;
    return;
  }
  const result = (fn as (...args: unknown[]) => unknown)(...args);
  if (fn instanceof Object.getPrototypeOf(function* () {}).constructor)
    for (const each of result as Iterable<unknown>) yield one(each);
  else yield { stream: undefined, row: [result ?? null] };
}

function matches(value: unknown, pattern: unknown): boolean {
  if (typeof pattern !== "function")
    return Object.entries(pattern as object).every(([name, wanted]) =>
      valuesEqual((value as Record<string, unknown> | null)?.[name] ?? null, wanted),
    );
  return value !== null && Object(value) instanceof pattern;
}

/** The path with values for its vars. */
function substituted(steps: Steps, values: readonly unknown[]): Steps {
  const symbolic = collectArgs(steps);
  return mapArgs(steps, (arg) =>
    arg.kind === "const" ? arg : { kind: "const", value: values[slotOf(symbolic, arg)] ?? null },
  );
}

/** An aggregator in a path is a term: null is its start, then one step. */
function withAggregates(steps: Steps): Steps {
  return steps.map((step) => {
    const paths = step.paths.map(withAggregates);
    if (step.nav !== "aggregate") return { ...step, paths };
    const [leaf, ...inputs] = step.args;
    const { value: aggregator } = leaf as {
      value: { init(): unknown; step(state: unknown, ...inputs: unknown[]): unknown };
    };
    const term = (state: unknown, ...given: unknown[]) => aggregator.step(state ?? aggregator.init(), ...given);
    return { ...step, nav: "term" as const, args: [{ kind: "const" as const, value: term }, ...inputs], paths };
  });
}

function limited(unit: AggSink["limits"][number], rows: readonly unknown[][]): unknown[][] {
  const [first] = rows;
  if (first === undefined) return [];
  const order = (a: unknown[], b: unknown[]) => {
    for (let i = 1; i <= unit.sorts; i++) {
      const by = compareValues(a[i], b[i]) * (unit.descending ? -1 : 1);
      if (by !== 0) return by;
    }
    return 0;
  };
  const kept = rows.toSorted(order).slice(0, Number(first[0]));
  return kept.map((row, rank) => [...row.slice(1 + unit.sorts), ...(unit.ranked ? [rank] : [])]);
}

/** Every pair of equal keys; rows without partner as their side says. */
function pairs(sink: JoinSink, rows: readonly PutRow[], op: OpOf<"rows">): unknown[][] {
  const of = (side: number) => rows.filter((row) => row.side === side);
  const nulls = (side: number) => op.sides[side]!.map(() => null);
  const found: unknown[][] = [];
  for (const left of of(0)) {
    const partners = of(1).filter(({ keys }) => valuesEqual(keys, left.keys));
    for (const right of partners) found.push([...left.keys, ...left.row, ...right.row]);
    if (partners.length === 0 && sink.keepsAlone[0]) found.push([...left.keys, ...left.row, ...nulls(1)]);
  }
  for (const right of of(1)) {
    const alone = !of(0).some(({ keys }) => valuesEqual(keys, right.keys));
    if (alone && sink.keepsAlone[1]) found.push([...right.keys, ...nulls(0), ...right.row]);
  }
  return found;
}
