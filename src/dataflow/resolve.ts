// Turns what builders wrote down into what it refers to: vars into bindings or task globals, `$$p` into PStates, names into depots and queries.
// Everything that is not there is told with the builder's line and the nearest name.
import { RamaError } from "../base/errors.ts";
import { didYouMean } from "../base/nearest.ts";
import { isPlainObject } from "../base/values.ts";
import type { DepotDefinition, MirrorDefinition, ModuleDefinition, TopologyDefinition } from "../module/definition.ts";
import { type ArgNode, type Callable, isOp } from "../paths/arg.ts";
import { collectArgs, type Steps } from "../paths/spec.ts";
import type { FlowArg, FlowPath, StateRef } from "./flow.ts";
import { builderError } from "./nodes.ts";
import type { Scope } from "./scope.ts";

/** What code may refer to. Detached blocks have neither module nor topology. */
export interface Surroundings {
  readonly module: ModuleDefinition | undefined;
  readonly topology: TopologyDefinition | undefined;
  /** Names of temporary PStates, with their index. */
  readonly temporaries: ReadonlyMap<string, number>;
}

interface At {
  readonly line: string;
}

export class Resolver {
  /** Lines of the builder calls that bind a var. */
  readonly #boundAt = new Map<string, readonly string[]>();

  constructor(readonly around: Surroundings) {}

  arg(arg: ArgNode, scope: Scope, at: At): FlowArg {
    switch (arg.kind) {
      case "const":
        if (this.around.module !== undefined) checkConstant(arg.value, at);
        return { kind: "const", value: arg.value };
      case "var":
        return this.var(arg.name, scope, at);
      case "expr": {
        const op = "kind" in arg.op && arg.op.kind === "var" ? this.var(arg.op.name, scope, at) : (arg.op as Callable);
        return { kind: "expr", op, args: arg.args.map((each) => this.arg(each, scope, at)) };
      }
      default:
        throw new RamaError("INTERNAL", "a slot stands in module code");
    }
  }

  args(args: readonly ArgNode[], scope: Scope, at: At): FlowArg[] {
    return args.map((arg) => this.arg(arg, scope, at));
  }

  var(name: string, scope: Scope, at: At): FlowArg {
    const binding = scope.lookup(name);
    if (binding !== undefined) return { kind: "var", binding };
    const globals = this.around.module?.globals ?? [];
    const global = globals.find((each) => each.name === name);
    if (global !== undefined) return { kind: "global", index: global.index };
    const lines = this.#boundAt.get(name);
    if (lines !== undefined) {
      const message = `${name} is not bound here: what binds it, at ${lines.join(", ")}, is not on every way that leads here. Bind it on the others too; out of a loop it comes by emitLoop, out of an aggregation as a key or an output`;
      throw builderError("UNKNOWN_VAR", at, message, { var: name, boundAt: lines });
    }
    const hint = didYouMean(name, [...scope.shownNames(), ...globals.map((each) => each.name)]);
    throw builderError("UNKNOWN_VAR", at, `${name} is not bound here${hint}`, { var: name });
  }

  /** A builder call binds the var, for whatever comes after it; told when it is missed elsewhere. */
  bound(name: string, at: At): void {
    const lines = this.#boundAt.get(name) ?? [];
    if (!lines.includes(at.line)) this.#boundAt.set(name, [...lines, at.line]);
  }

  /** Another source block: its vars are its own. */
  forgetBound(): void {
    this.#boundAt.clear();
  }

  /** Names a task global, wherever it stands. */
  isGlobalVar(name: string): boolean {
    return (this.around.module?.globals ?? []).some((each) => each.name === name);
  }

  path(steps: Steps, scope: Scope, at: At): FlowPath {
    return { steps, args: this.args(collectArgs(steps), scope, at) };
  }

  state(name: string, scope: Scope, at: At): StateRef {
    const held = scope.lookup(name);
    if (held !== undefined) return { kind: "held", binding: held };
    const temporary = this.around.temporaries.get(name);
    if (temporary !== undefined) return { kind: "temporary", index: temporary };
    const { module } = this.around;
    const pstate = module?.pstates.find((each) => each.name === name);
    if (pstate !== undefined)
      return { kind: "pstate", index: pstate.index, name, schema: pstate.schema, global: pstate.global };
    const mirror = this.mirror(name);
    if (mirror !== undefined) {
      const message = `${name} is a PState of ${mirror.module}: it can be read, and nothing else, with localSelect or select`;
      throw builderError("NOT_OWNER", at, message, { pstate: name, owner: mirror.module });
    }
    const known = [
      ...(module?.pstates ?? []).map((each) => each.name),
      ...this.around.temporaries.keys(),
      ...scope.names().filter((each) => each.startsWith("$$")),
    ];
    throw builderError("UNKNOWN_OBJECT", at, `there is no PState ${name}${didYouMean(name, known)}`, { object: name });
  }

  /** The object of another module that goes by this name. */
  mirror(name: string): MirrorDefinition | undefined {
    return this.around.module?.mirrors.find((each) => each.name === name);
  }

  /** A state that this code may change. */
  writable(name: string, scope: Scope, at: At): StateRef {
    const state = this.state(name, scope, at);
    if (state.kind !== "pstate") return state;
    const { module, topology } = this.around;
    const owner = module!.topologies[module!.pstates[state.index]!.topology]!;
    if (owner.index === topology!.index) return state;
    const who = topology!.kind === "query" ? `a query (${topology!.name})` : `the topology ${topology!.name}`;
    throw builderError("NOT_OWNER", at, `${who} may not write ${name}: it belongs to ${owner.name}`, {
      pstate: name,
      owner: owner.name,
    });
  }

  depot(name: string, at: At): DepotDefinition {
    const { module } = this.around;
    const depot = module?.depots.find((each) => each.name === name);
    if (depot !== undefined) return depot;
    const known = [...(module?.depots ?? []), ...(module?.mirrors ?? []).filter((each) => each.kind === "depot")].map(
      (each) => each.name,
    );
    throw builderError("UNKNOWN_OBJECT", at, `there is no depot ${name}${didYouMean(name, known)}`, { object: name });
  }

  /** Whether an object named before a partitioner's argument has one partition only. */
  isGlobal(name: string, scope: Scope, at: At): boolean {
    if (!name.startsWith("$$")) return this.depot(name, at).global;
    const state = this.state(name, scope, at);
    return state.kind === "pstate" && state.global;
  }

  query(name: string, argCount: number, at: At): number {
    const { module } = this.around;
    const queries = (module?.topologies ?? []).filter((each) => each.kind === "query");
    const query = queries.find((each) => each.name === name);
    if (query === undefined) {
      const hint = didYouMean(
        name,
        queries.map((each) => each.name),
      );
      throw builderError("UNKNOWN_OBJECT", at, `there is no query ${name}${hint}`, { object: name });
    }
    if (query.inputs.length !== argCount) {
      const message = `query ${name} takes ${query.inputs.length} arguments, not ${argCount}`;
      throw builderError("WRONG_ARGUMENT_COUNT", at, message, {
        query: name,
        wanted: query.inputs.length,
        given: argCount,
      });
    }
    return query.index;
  }
}

/** Values embedded in code are shared by all tasks and must not be able to change. */
function checkConstant(value: unknown, at: At): void {
  if (typeof value !== "object" || value === null || isOp(value) || isPlainObject(value)) return;
  if (
    Array.isArray(value) ||
    value instanceof Map ||
    value instanceof Set ||
    value instanceof Date ||
    ArrayBuffer.isView(value)
  )
    return;
  const name = (value as object).constructor?.name ?? "object";
  throw builderError(
    "BAD_CONSTANT",
    at,
    `an instance of ${name} is embedded in the code (object cache disallowed): declare it with setup.declareObject, or build it in a function`,
    { class: name },
  );
}
