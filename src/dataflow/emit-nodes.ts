// The JavaScript of each kind of flow node; what follows a node is written inside it by `Emitter.list`.
import { RamaError } from "../base/errors.ts";
import { isOp, type Op } from "../paths/arg.ts";
import {
  type CompileOptions,
  cardinality,
  compilePagedSelect,
  compileSelect,
  compileSelectOne,
  compileTransform,
  mayMiss,
} from "../paths/compile.ts";
import { pageSizeOf } from "../paths/paging.ts";
import type { SchemaHint } from "../paths/spec.ts";
import { emitBatchNode } from "./batch/emit.ts";
import { isBatchOp } from "./batch/flow.ts";
import type { Emitter, Spot } from "./emit.ts";
import { builderError } from "./nodes.ts";
import { isGeneratorFunction, isOperation } from "./emission.ts";
import {
  type Binding,
  type FlowNode,
  type FlowOp,
  type FlowPath,
  isFlowArg,
  type SendTarget,
  type StateRef,
} from "./flow.ts";

type OpOf<K extends FlowOp["kind"]> = Extract<FlowOp, { kind: K }>;

/** What compiling a path finds wrong is told with the node's line. */
export function emitNode(e: Emitter, node: FlowNode, spot: Spot): void {
  try {
    emitOp(e, node, spot);
  } catch (error) {
    if (!(error instanceof RamaError) || error.facts["line"] !== undefined) throw error;
    throw builderError(error.code, e.plan.program.lines[node.id]!, error.message, error.facts);
  }
}

function emitOp(e: Emitter, node: FlowNode, spot: Spot) {
  const { op } = node;
  const { code } = spot;
  if (mayThrow(op)) code.line(`x.at = ${node.id};`);
  if (isBatchOp(op)) return emitBatchNode(e, node, op, spot);
  switch (op.kind) {
    case "call":
      return call(e, node, op, spot);
    case "keepTrue":
      return e.block(`if (${truthy(e.value(op.condition, spot))})`, spot, (inner) => e.list(node.next, inner));
    case "destructure":
      if (needsTaking(e, op)) e.destructure(e.value(op.value, spot), op.pattern, spot);
      return e.list(node.next, spot);
    case "rebind":
      rebind(e, op, spot);
      return e.list(node.next, spot);
    case "ackReturn":
      code.line(`x.ackReturn(${e.value(op.value, spot)});`);
      return e.list(node.next, spot);
    case "result":
      code.line(`x.result(${e.value(op.value, spot)});`);
      return;
    case "selectState":
      return selectState(e, node, op, spot);
    case "selectData":
      return selectData(e, node, op, spot);
    case "transform":
      transform(e, op, spot);
      return e.list(node.next, spot);
    case "clear":
      code.line(clearSource(op.state));
      return e.list(node.next, spot);
    case "split":
      return split(e, op, spot);
    case "goto": {
      const last = node.next.length === 0;
      e.go(op.label, e.values(op.args, spot), last ? spot : { ...spot, tail: false });
      return e.list(node.next, spot);
    }
    case "atomic":
      e.block("", spot, (inner) => e.list(op.body, inner), false);
      return e.list(node.next, spot);
    default:
      return boundary(e, op, spot);
  }
}

function mayThrow(op: FlowOp): boolean {
  switch (op.kind) {
    case "goto":
      return op.args.some(({ kind }) => kind === "expr");
    case "split":
      return op.branches.some(({ condition }) => condition.kind === "expr" || condition.kind === "matches");
    case "keepTrue":
      return op.condition.kind === "expr";
    case "rebind":
    case "overtime":
    case "clear":
      return false;
    case "destructure":
      return op.pattern.kind === "list";
    default:
      return true;
  }
}

function truthy(value: string): string {
  return `${value} !== false && ${value} !== null`;
}

// ---- calls

function call(e: Emitter, node: FlowNode, op: OpOf<"call">, spot: Spot) {
  const args = e.values(op.args, spot);
  const { fn } = op;
  if (isOp(fn)) return callOp(e, node, fn, args, spot);
  if (isOperation(fn)) return rows(e, node, `R.collect(${e.constants.name(fn.fn)}, [${args.join(", ")}])`, spot);
  if (typeof fn === "object" && isFlowArg(fn))
    return rows(e, node, `R.callHeld(${e.value(fn, spot)}, [${args.join(", ")}])`, spot);
  if (isGeneratorFunction(fn)) return rows(e, node, `${e.constants.name(fn)}(${args.join(", ")})`, spot);
  bindOne(e, node.outs?.[0], `${e.constants.name(fn)}(${args.join(", ")})`, true, spot);
  e.list(node.next, spot);
}

function bindOne(e: Emitter, out: Binding | undefined, value: string, mayBeUndefined: boolean, spot: Spot): void {
  if (out !== undefined && e.isUsed(out)) e.declare(out, value, spot, mayBeUndefined);
  else spot.code.line(`${value};`);
}

function callOp(e: Emitter, node: FlowNode, op: Op, args: readonly string[], spot: Spot) {
  const source = e.call(op, args, spot);
  const outs = node.outs ?? [];
  if (op.emits === "many") {
    const row = e.name();
    return e.block(
      `for (const ${row} of ${source})`,
      spot,
      (inner) => {
        if (op.fields === 1 && outs.length === 1 && e.isUsed(outs[0]!)) e.declare(outs[0]!, row, inner, true);
        if (op.fields > 1) fields(e, row, outs, inner);
        e.list(node.next, inner);
      },
      false,
    );
  }
  if (op.fields === 1) {
    bindOne(e, outs[0], source, false, spot);
  } else if (node.outs === undefined) {
    spot.code.line(`${source};`);
  } else {
    const row = e.name();
    spot.code.line(`const ${row} = R.expanded(${source}, ${outs.length});`);
    fields(e, row, outs, spot);
  }
  e.list(node.next, spot);
}

function fields(e: Emitter, row: string, outs: readonly Binding[], spot: Spot): void {
  outs.forEach((out, i) => {
    if (e.isUsed(out)) e.declare(out, `${row}[${i}]`, spot, true);
  });
}

/** What a generator or operation emits, on its default and named streams. */
function rows(e: Emitter, node: FlowNode, source: string, spot: Spot) {
  const row = e.name();
  e.block(
    `for (const ${row} of ${source})`,
    spot,
    (inner) => {
      e.block(`if (R.onDefault(${row}))`, inner, (at) => {
        bindRow(e, row, node.outs, at);
        e.list(node.next, at);
      });
      for (const stream of node.streams) {
        e.block(`else if (R.stream(${row}) === ${JSON.stringify(stream.name)})`, inner, (at) => {
          bindRow(e, row, stream.outs, at);
          e.list(stream.next, at);
        });
      }
      inner.code.line(`x.at = ${node.id};`);
    },
    false,
  );
}

function bindRow(e: Emitter, row: string, outs: readonly Binding[] | undefined, spot: Spot) {
  if (outs === undefined) return;
  if (outs.length === 1) return bindOne(e, outs[0], `R.one(${row})`, false, spot);
  const list = e.name();
  spot.code.line(`const ${list} = R.many(${row}, ${outs.length});`);
  fields(e, list, outs, spot);
}

function needsTaking(e: Emitter, op: OpOf<"destructure">): boolean {
  return op.pattern.kind === "list" || op.pattern.fields.some(({ to }) => !("js" in to) || e.isUsed(to));
}

function rebind(e: Emitter, op: OpOf<"rebind">, spot: Spot): void {
  op.from.forEach((from, i) => {
    const to = op.to[i]!;
    if (!("js" in to)) {
      if (e.isUsed(from)) e.destructure(from.js, to, spot);
    } else if (e.isUsed(to)) spot.code.line(`const ${to.js} = ${from.js};`);
  });
}

// ---- state

function rootOf(state: Exclude<StateRef, { kind: "held" }>): string {
  return state.kind === "pstate" ? `x.root(${state.index})` : `x.temporary(${state.index})`;
}

/** Only what lies on disk can be missing from memory. */
function misses(state: StateRef, path: FlowPath): boolean {
  return state.kind === "pstate" && mayMiss(path.steps, state.schema as SchemaHint);
}

function optionsOf(state: StateRef): CompileOptions {
  return state.kind === "pstate" ? { schema: state.schema as SchemaHint } : {};
}

function selectState(e: Emitter, node: FlowNode, op: OpOf<"selectState">, spot: Spot) {
  const { state, path } = op;
  if (state.kind === "held") return selectHeld(e, node, state.binding.js, path, spot);
  const one = cardinality(path.steps) === "one";
  const options = optionsOf(state);
  const compiled = e.constants.name(one ? compileSelectOne(path.steps, options) : compileSelect(path.steps, options));
  const args = `[${e.values(path.args, spot).join(", ")}]`;
  const root = rootOf(state);
  const found = misses(state, path)
    ? attempt(e, `R.attempt(x, ${compiled}, ${root}, `, args, spot)
    : `${compiled}(${root}.get(), ${args}, x.session)`;
  bindFound(e, node, found, one, spot);
}

/** Plain data: nothing can be missing. In a detached block the var may hold a state. */
function selectData(e: Emitter, node: FlowNode, op: OpOf<"selectData">, spot: Spot) {
  const data = e.value(op.data, spot);
  const { steps, args } = op.path;
  if (e.detached && op.data.kind === "var") return selectHeld(e, node, data, op.path, spot);
  const one = cardinality(steps) === "one";
  const compiled = e.constants.name(one ? compileSelectOne(steps) : compileSelect(steps));
  bindFound(e, node, `${compiled}(${data}, [${e.values(args, spot).join(", ")}])`, one, spot);
}

function selectHeld(e: Emitter, node: FlowNode, held: string, path: FlowPath, spot: Spot) {
  const args = `[${e.values(path.args, spot).join(", ")}]`;
  const found = attempt(e, `R.selectHeld(x, ${e.constants.name(path.steps)}, ${held}, `, args, spot);
  const one = cardinality(path.steps) === "one";
  bindFound(e, node, one ? `${found}[0]` : found, one, spot);
}

/** The value or the values of a select, and what follows. */
function bindFound(e: Emitter, node: FlowNode, found: string, one: boolean, spot: Spot) {
  const out = node.outs?.[0];
  const used = out !== undefined && e.isUsed(out);
  if (one) {
    if (used) e.declare(out, found, spot);
    else spot.code.line(`${found};`);
    return e.list(node.next, spot);
  }
  const value = used ? out.js : e.name();
  e.block(`for (const ${value} of ${found})`, spot, (inner) => e.list(node.next, inner), false);
}

/** Evaluates until nothing is missing; the stage suspends in between. */
function attempt(e: Emitter, call: string, args: string, spot: Spot): string {
  const [given, found] = [e.name(), e.name()];
  spot.code.suspends = true;
  spot.code.line(`const ${given} = ${args}; let ${found};`);
  spot.code.line(`while ((${found} = ${call}${given})) === R.missed) yield;`);
  return found;
}

function transform(e: Emitter, op: OpOf<"transform">, spot: Spot) {
  const { state, path } = op;
  const args = `[${e.values(path.args, spot).join(", ")}]`;
  const name = e.name();
  if (state.kind === "held") {
    spot.code.suspends = true;
    spot.code.line(`const ${name} = ${args};`);
    const steps = e.constants.name(path.steps);
    return spot.code.line(`while (!R.transformHeld(x, ${steps}, ${state.binding.js}, ${name})) yield;`);
  }
  const compiled = e.constants.name(compileTransform(path.steps, optionsOf(state)));
  const root = rootOf(state);
  if (misses(state, path)) {
    spot.code.suspends = true;
    spot.code.line(`const ${name} = ${args};`);
    spot.code.line(`while (!R.attemptTransform(x, ${compiled}, ${root}, ${name})) yield;`);
  } else {
    spot.code.line(`const ${name} = ${root}; ${name}.set(${compiled}(${name}.get(), ${args}, x.session));`);
  }
}

function clearSource(state: StateRef): string {
  switch (state.kind) {
    case "pstate":
      return `x.clear(${state.index});`;
    case "temporary":
      return `x.temporary(${state.index}).set(null);`;
    default:
      return `R.clearHeld(${state.binding.js});`;
  }
}

// ---- control

function split(e: Emitter, op: OpOf<"split">, spot: Spot): void {
  let shared: string | undefined;
  const go = (at: number, inner: Spot): void => {
    const branch = op.branches[at];
    if (branch === undefined) {
      if (op.otherwise === "noMatch") inner.code.line(`R.noSubSource(${shared});`);
      else e.list(op.otherwise, inner);
      return;
    }
    const { condition } = branch;
    let test: string;
    if (condition.kind === "matches") {
      shared ??= e.value(condition.value, inner);
      test = `R.matches(${shared}, ${e.constants.name(condition.patterns)})`;
    } else {
      test = truthy(e.value(condition, inner));
    }
    e.block(`if (${test})`, inner, (then) => e.list(branch.entry, then));
    e.block("else", inner, (rest) => go(at + 1, rest));
  };
  go(0, spot);
}

// ---- boundaries

function boundary(e: Emitter, op: FlowOp, spot: Spot) {
  const { code } = spot;
  switch (op.kind) {
    case "send":
      return code.line(send(e, op.to, op.resume.stage!, e.vars(op.resume), spot));
    case "overtime":
      code.line(`if (x.overtime()) x.defer(${op.resume.stage}, ${e.vars(op.resume)});`);
      return e.block("else", spot, (inner) => e.go(op.resume, [], inner));
    case "await": {
      const args = e.values(op.args, spot);
      return code.line(
        `x.awaitPromise(${op.resume.stage}, ${e.vars(op.resume)}, R.promise(${e.call(op.fn, args, spot)}));`,
      );
    }
    case "invoke": {
      const args = e.values(op.args, spot).join(", ");
      return code.line(`x.invokeQuery(${op.resume.stage}, ${e.vars(op.resume)}, ${op.query}, [${args}]);`);
    }
    case "append": {
      const record = e.value(op.record, spot);
      const stage = op.resume.entry.length === 0 ? -1 : op.resume.stage;
      const vars = stage === -1 ? "[]" : e.vars(op.resume);
      const depot = op.to === undefined ? op.depot : e.value(op.to, spot);
      return code.line(`x.appendToDepot(${stage}, ${vars}, ${depot}, ${record}, ${JSON.stringify(op.level)});`);
    }
    case "selectYielding": {
      const options = { schema: op.schema as SchemaHint };
      const { steps } = op.path;
      const compiled = e.constants.name(compilePagedSelect(steps, options));
      const given = e.name();
      code.line(`const ${given} = [${e.values(op.path.args, spot).join(", ")}];`);
      const select = `(root, session) => ${compiled}(root.get(), ${given}, session)`;
      const pageSize = pageSizeOf(steps) ?? -1;
      return code.line(
        `x.selectYielding(${op.resume.stage}, ${e.vars(op.resume)}, ${op.pstate}, ${select}, ${pageSize});`,
      );
    }
    default:
      throw new Error(`${op.kind} is no boundary`);
  }
}

function send(e: Emitter, to: SendTarget, stage: number, vars: string, spot: Spot): string {
  switch (to.kind) {
    case "all":
      return `x.sendAll(${stage}, ${vars});`;
    case "shuffle":
      return `x.send(${stage}, x.shuffleTask(), ${vars});`;
    case "origin":
      return `x.send(${stage}, x.originTask(), ${vars});`;
    case "hash":
      return `x.send(${stage}, R.taskOf(${e.value(to.key, spot)}, x.numTasks), ${vars});`;
    case "path":
      return `x.send(${stage}, x.pathTask(${to.pstate}, ${e.value(to.key, spot)}), ${vars});`;
    case "task":
      return `x.send(${stage}, ${to.task.kind === "const" ? e.value(to.task, spot) : `R.taskIndex(${e.value(to.task, spot)})`}, ${vars});`;
    case "custom": {
      const partitions = to.partitions === "one" ? "1" : "x.numTasks";
      const args = [partitions, ...e.values(to.args, spot)].join(", ");
      return `x.send(${stage}, ${e.constants.name(to.fn)}(${args}), ${vars});`;
    }
  }
}
