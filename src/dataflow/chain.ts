// The methods of a Block, as language.md 3 lists them. Each makes one frozen node with the line of the call and returns the longer block; a topology's source
// block grows in place instead (`builder.ts`). Nothing is resolved here: names, scope and structure are checked when the module is compiled.
import { Aggregator } from "../aggregators/aggregator.ts";
import { CompoundAgg } from "../aggregators/compound.ts";
import { LimitAgg } from "../aggregators/limit.ts";
import { builderLine } from "../base/builder-line.ts";
import { RamaError } from "../base/errors.ts";
import {
  type Arg,
  type ArgsOf,
  type Callable,
  type DepotVar,
  isOp,
  isPStateVar,
  isValueVar,
  type Op,
  type PStateVar,
  toArg,
  type ValueVar,
} from "../paths/arg.ts";
import type { Path } from "../paths/path.ts";
import { stepsOf } from "../paths/path-chain.ts";
import type { Block } from "./builder.ts";
import type { Case, LoopVars, SelectOptions, SubBatch, SubSource } from "./builder-parts.ts";
import type { AckLevelName } from "./compiled.ts";
import { isAsyncFunction, isOperation, type Operation } from "./emission.ts";
import { checkArity } from "./expr.ts";
import type { BlockNode, EachFn, NodeShape, PartitionBy } from "./nodes.ts";
import { type PatternArg, parseOut, toPattern } from "./patterns.ts";

export type OutArg = ValueVar | PStateVar | PatternArg;

export abstract class Chain {
  /** The frozen nodes in the order of the calls. */
  abstract readonly nodes: readonly BlockNode[];

  /** This block with `nodes` at its end. */
  protected abstract grown(nodes: readonly BlockNode[]): this;

  #add(make: () => NodeShape): this {
    const line = builderLine();
    return this.grown([Object.freeze({ ...atLine(line, make), line })]);
  }

  // ---- computation

  /** Calls `fn` (a function, generator, operation, Op, or a var that holds one). A function emits what it returns, once; null for nothing. */
  each<F extends Callable | Operation | ValueVar>(fn: F, ...args: ArgsOf<F>): this {
    return this.#add(() => {
      if (isAsyncFunction(fn)) throw new RamaError("NOT_ALLOWED_HERE", "each takes no async function: use eachAsync");
      if (isOp(fn)) checkArity(fn, args.length);
      return { kind: "each", fn: eachFn(fn, "each"), args: args.map(toArg) };
    });
  }

  /** Calls an async function and goes on when its promise resolves, in a later event of the same task. A rejection fails the record. */
  eachAsync<F extends ((...args: any[]) => Promise<unknown>) | ValueVar>(fn: F, ...args: ArgsOf<F>): this {
    return this.#add(() => {
      const callable = eachFn(fn, "eachAsync");
      if (isOp(callable) || isOperation(callable)) {
        throw new RamaError("NOT_ALLOWED_HERE", "eachAsync takes an async function: use each for anything else");
      }
      return { kind: "eachAsync", fn: callable, args: args.map(toArg) };
    });
  }

  /** Goes on only if the condition is neither null nor false. */
  keepTrue(condition: Arg): this {
    return this.#add(() => ({ kind: "keepTrue", condition: toArg(condition) }));
  }

  /** Takes a bound value apart: `.bind("*record", { a: "*a" })`. */
  bind(value: Arg, pattern: PatternArg): this {
    return this.#add(() => ({ kind: "bind", value: toArg(value), pattern: toPattern(pattern) }));
  }

  /** Splices the nodes of the block in here. */
  macro(block: Block): this {
    return this.grown(asBlock(block, "macro").nodes);
  }

  /** Ends the event here if it has run for long; it goes on in a later one. */
  yieldIfOvertime(): this {
    return this.#add(() => ({ kind: "yieldIfOvertime" }));
  }

  /** Stream topologies: gives a value to the append that brought the record. */
  ackReturn(value: Arg): this {
    return this.#add(() => ({ kind: "ackReturn", value: toArg(value) }));
  }

  // ---- outputs

  /** Binds the fields that the node before emits: as vars, as a pattern, or as a var for the whole and a pattern. */
  out(...outs: OutArg[]): this {
    return this.#add(() => ({ kind: "out", ...parseOut(outs) }));
  }

  /** Binds a named stream of the `each` before; the place gets the anchor's name. */
  outStream(stream: string, anchor: string, ...vars: ValueVar[]): this {
    return this.#add(() => ({ kind: "outStream", stream, anchor, vars: parseOut(vars).vars }));
  }

  // ---- state

  /** Emits every value that the path navigates to in the current task's partition. */
  localSelect(pstate: PStateVar | ValueVar, path: Path, options?: SelectOptions | { allowYield?: boolean }): this {
    return this.#add(() => ({
      kind: "localSelect",
      from: toArg(pstate),
      steps: stepsOf(path),
      allowYield: options?.allowYield ?? false,
    }));
  }

  /** The same wherever the path's leading key lives: goes there first. Plain data is navigated in place. */
  select(from: PStateVar | Arg, path: Path, options?: SelectOptions | { allowYield?: boolean }): this {
    return this.#add(() => ({
      kind: "select",
      from: toArg(from),
      steps: stepsOf(path),
      allowYield: options?.allowYield ?? false,
    }));
  }

  /** Changes the current task's partition along the path. */
  localTransform(pstate: PStateVar, path: Path): this {
    return this.#add(() => ({ kind: "localTransform", pstate: pstateVar(pstate), steps: stepsOf(path) }));
  }

  /** Resets the current task's partition to its starting state. */
  localClear(pstate: PStateVar): this {
    return this.#add(() => ({ kind: "localClear", pstate: pstateVar(pstate) }));
  }

  /** Aggregates into a PState, or in a batch block into what `.out` binds. */
  agg(agg: Aggregator): this;
  agg(pstate: PStateVar, agg: Aggregator): this;
  agg(...given: [Aggregator] | [PStateVar, Aggregator]): this {
    return this.#add(() => ({
      kind: "agg",
      ...aggArgs(given, (agg) => agg instanceof Aggregator, "an aggregator: Agg.count(), …"),
    }));
  }

  /** The same for a template of maps and lists. */
  compoundAgg(agg: CompoundAgg): this;
  compoundAgg(pstate: PStateVar, agg: CompoundAgg): this;
  compoundAgg(...given: [CompoundAgg] | [PStateVar, CompoundAgg]): this {
    return this.#add(() => ({
      kind: "agg",
      ...aggArgs(given, (agg) => agg instanceof CompoundAgg, "a CompoundAgg: CompoundAgg.map(…), …"),
    }));
  }

  // ---- control

  ifTrue(condition: Arg, then: Block, otherwise?: Block): this {
    return this.#add(() => ({
      kind: "ifTrue",
      condition: toArg(condition),
      whenTrue: asBlock(then, "ifTrue"),
      otherwise: otherwise === undefined ? undefined : asBlock(otherwise, "ifTrue"),
    }));
  }

  /** The first case whose condition holds; when none does, nothing after runs. */
  cond(...cases: Case[]): this {
    return this.#add(() => ({
      kind: "cond",
      cases: cases.map((each) => ({ condition: each.condition, block: asBlock(each, "cond") })),
    }));
  }

  /** Dispatch by class or by fields. NO_SUB_SOURCE at run time for a value that matches nothing. */
  subSource(value: Arg, ...sources: SubSource[]): this {
    return this.#add(() => ({
      kind: "subSource",
      value: toArg(value),
      branches: sources.map((each) => ({ patterns: each.patterns, block: asBlock(each, "subSource") })),
    }));
  }

  /** Names the place, to `hook`, `branch` or `unify` later. */
  anchor(name: string): this {
    return this.#add(() => ({ kind: "anchor", name }));
  }

  /** What follows is attached to the named place. */
  hook(name: string): this {
    return this.#add(() => ({ kind: "hook", name }));
  }

  /** Attaches the block to the named place; what follows stays where it was. */
  branch(name: string, block: Block): this {
    return this.#add(() => ({ kind: "branch", name, block: asBlock(block, "branch") }));
  }

  /** What follows runs for each arrival at any of the named places. */
  unify(...names: string[]): this {
    return this.#add(() => ({ kind: "unify", names: Object.freeze([...names]) }));
  }

  loop(block: Block): this {
    return this.#add(() => ({ kind: "loop", vars: [], block: asBlock(block, "loop") }));
  }

  loopWithVars(vars: LoopVars, block: Block): this {
    return this.#add(() => ({ kind: "loop", vars: vars.vars, block: asBlock(block, "loopWithVars") }));
  }

  /** The next iteration of the innermost loop, with new values of its vars; nothing after an enclosing `ifTrue` or `cond` runs for this one. */
  continueLoop(...args: Arg[]): this {
    return this.#add(() => ({ kind: "continueLoop", args: args.map(toArg) }));
  }

  /** Runs what follows the innermost loop with these outputs, then goes on here. */
  emitLoop(...args: Arg[]): this {
    return this.#add(() => ({ kind: "emitLoop", args: args.map(toArg) }));
  }

  /** Runs what of the block needs no other event, then goes on exactly once. */
  atomicBlock(block: Block): this {
    return this.#add(() => ({ kind: "atomicBlock", block: asBlock(block, "atomicBlock") }));
  }

  // ---- movement

  hashPartition(...args: [value: Arg] | [object: PStateVar | DepotVar, value: Arg]): this {
    return this.#partition("hash", args, 1);
  }

  allPartition(object?: PStateVar | DepotVar): this {
    return this.#partition("all", object === undefined ? [] : [object], 0);
  }

  globalPartition(object?: PStateVar | DepotVar): this {
    return this.#partition("global", object === undefined ? [] : [object], 0);
  }

  directPartition(...args: [taskId: Arg] | [object: PStateVar | DepotVar, taskId: Arg]): this {
    return this.#partition("direct", args, 1);
  }

  shufflePartition(object?: PStateVar | DepotVar): this {
    return this.#partition("shuffle", object === undefined ? [] : [object], 0);
  }

  /** To the partition of the path's leading key. */
  pathPartition(pstate: PStateVar, path: Path): this {
    return this.#add(() => ({
      kind: "partition",
      by: "path",
      object: pstateVar(pstate),
      args: [],
      steps: stepsOf(path),
    }));
  }

  /** Queries: back to the task where the query started. */
  originPartition(): this {
    return this.#partition("origin", [], 0);
  }

  /** To the partition that `fn(numPartitions, …args)` returns. */
  customPartition(
    ...given:
      | [fn: (numPartitions: number, ...args: any[]) => number, ...args: Arg[]]
      | [object: PStateVar | DepotVar, fn: (numPartitions: number, ...args: any[]) => number, ...args: Arg[]]
  ): this {
    return this.#add(() => {
      const [object, fn, ...args] = typeof given[0] === "function" ? [undefined, ...given] : given;
      if (typeof fn !== "function")
        throw new RamaError("BAD_MODULE", "customPartition takes a function (numPartitions, …args) => partition");
      return {
        kind: "partition",
        by: "custom",
        object: objectVar(object),
        args: args.map(toArg),
        fn: fn as (n: number) => number,
      };
    });
  }

  /** Asks a query of this module by name, or a mirror by its var; goes on here with the result. */
  invokeQuery(query: string, ...args: Arg[]): this {
    return this.#add(() => ({ kind: "invokeQuery", query, args: args.map(toArg) }));
  }

  /** Appends to the current task's partition of the depot and goes on when the level is reached ("appendAck" by default). */
  depotPartitionAppend(depot: DepotVar, record: Arg, level: AckLevelName = "appendAck"): this {
    return this.#add(() => {
      if (!isValueVar(depot))
        throw new RamaError("BAD_MODULE", `depotPartitionAppend takes a depot such as "*orders", not ${String(depot)}`);
      return { kind: "depotAppend", depot, record: toArg(record), level };
    });
  }

  // ---- batches

  /** Microbatches: a batch computation; what follows runs once, on task 0, when all of it is done. */
  batchBlock(block: Block): this {
    return this.#add(() => ({ kind: "batchBlock", block: asBlock(block, "batchBlock") }));
  }

  /** Emits each record of the microbatch, on its partition's task. */
  explodeMicrobatch(microbatch: ValueVar): this {
    return this.#add(() => ({ kind: "explodeMicrobatch", microbatch: toArg(microbatch) }));
  }

  /** The next node begins a new source of the batch. */
  freshBatchSource(): this {
    return this.#add(() => ({ kind: "freshBatchSource" }));
  }

  subBatch(batch: SubBatch): this {
    return this.#add(() => ({ kind: "subBatch", block: asBlock(batch.block, "subBatch"), vars: batch.vars }));
  }

  /** Aggregates for each combination of the keys; the last argument holds aggregators only. */
  groupBy(...keysAndBlock: (ValueVar | Block)[]): this {
    return this.#add(() => {
      const keys = keysAndBlock.slice(0, -1);
      if (keys.length === 0 || keys.length > 6 || !keys.every(isValueVar)) {
        throw new RamaError("BAD_MODULE", "groupBy takes one to six vars, then a block of aggregators");
      }
      return { kind: "groupBy", keys: keys as ValueVar[], block: asBlock(keysAndBlock[keys.length], "groupBy") };
    });
  }

  limitAgg(limit: LimitAgg): this {
    return this.#add(() => {
      if (!(limit instanceof LimitAgg)) throw new RamaError("BAD_MODULE", "limitAgg takes LimitAgg.create(n, vars…)");
      return { kind: "limitAgg", limit };
    });
  }

  /** Keeps the rows for later batch blocks of the same microbatch, in the temporary PState that `.out` names. */
  materialize(...vars: ValueVar[]): this {
    return this.#add(() => ({ kind: "materialize", vars: parseOut(vars).vars }));
  }

  explodeMaterialized(pstate: PStateVar): this {
    return this.#add(() => ({ kind: "explodeMaterialized", pstate: pstateVar(pstate) }));
  }

  #partition(by: PartitionBy, given: readonly unknown[], values: number): this {
    return this.#add(() => {
      if (given.length < values || given.length > values + 1) {
        throw new RamaError(
          "WRONG_ARGUMENT_COUNT",
          `${by}Partition takes ${values === 0 ? "no value" : "a value"}, and before it an object`,
        );
      }
      const object = given.length > values ? given[0] : undefined;
      return { kind: "partition", by, object: objectVar(object), args: given.slice(given.length - values).map(toArg) };
    });
  }
}

/** What building the node throws is told with the line of the call. */
function atLine(line: string, make: () => NodeShape): NodeShape {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RamaError) || error.facts["line"] !== undefined) throw error;
    throw new RamaError(error.code, `${line}: ${error.message}`, { line, ...error.facts }, error.cause);
  }
}

function eachFn(fn: unknown, where: string): EachFn {
  if (isOp(fn) || isOperation(fn) || typeof fn === "function") return fn as Op;
  if (isValueVar(fn)) return { kind: "var", name: fn };
  throw new RamaError(
    "BAD_MODULE",
    `${where} takes a function, an Op, an operation or a var that holds one, not ${String(fn)}`,
  );
}

export function asBlock(value: unknown, where: string): Block {
  if (value instanceof Chain) return value as unknown as Block;
  throw new RamaError("BAD_MODULE", `${where} takes a block: Block.each(…), …`);
}

function pstateVar(value: unknown): string {
  if (isPStateVar(value)) return value;
  throw new RamaError("BAD_MODULE", `a PState is named "$$name", not ${String(value)}`);
}

function objectVar(value: unknown): string | undefined {
  if (value === undefined || isPStateVar(value) || isValueVar(value)) return value as string | undefined;
  throw new RamaError(
    "BAD_MODULE",
    'the first argument of an object partitioner names a depot ("*d") or a PState ("$$p")',
  );
}

function aggArgs<T>(
  given: readonly unknown[],
  fits: (agg: unknown) => agg is T,
  wanted: string,
): { pstate: string | undefined; agg: T } {
  const agg = given[given.length - 1];
  if (!fits(agg)) throw new RamaError("BAD_MODULE", `the last argument is ${wanted}`);
  return { pstate: given.length > 1 ? pstateVar(given[0]) : undefined, agg };
}
