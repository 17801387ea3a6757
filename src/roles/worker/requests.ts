// What the sessions of an engine port ask of their engine: every number that came over the wire is checked against the module here, paths are compiled (once per
// shape and PState), and the schemes that only the cluster can evaluate are evaluated.
import type { Log } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import { taskOf } from "../../base/hash.ts";
import { decodeValue } from "../../base/value-codec.ts";
import type { ClassRegistry } from "../../base/values.ts";
import type { CompiledModule } from "../../dataflow/compiled.ts";
import { opNamed } from "../../dataflow/ops.ts";
import type { DepotDefinition, ModuleInstanceInfo, PStateDefinition } from "../../module/definition.ts";
import { type CompiledSelect, compileSelect } from "../../paths/compile.ts";
import type { PathRoot, ReadSession } from "../../paths/indexed.ts";
import { decodePath, type FunctionNamed } from "../../paths/path-codec.ts";
import { type AppendRequest, eachRecord } from "../../protocol/append.ts";
import type { ReadGate } from "../../replication/read-gate.ts";
import type { Engine } from "../../task/engine.ts";
import type { AppendReply, AppendToken, EngineFetch } from "../../task/engine-api.ts";
import type { Subscription, WatchSink } from "../../task/proxies.ts";
import { type WatchScope, watchScope } from "./watch-scope.ts";

export interface EngineRequestsOptions {
  readonly engine: Engine;
  readonly module: CompiledModule;
  readonly info: ModuleInstanceInfo;
  readonly groups: readonly number[];
  readonly classes: ClassRegistry;
  readonly release: string;
  readonly log: Log;
  readonly recordBytesMax: number;
  readonly answerBytesMax: number;
  /** Functions that client paths may name beside the Ops: what the module's bundle exports. */
  readonly functionNamed?: FunctionNamed;
}

/** A path that a connection has numbered. */
export interface PreparedPath {
  /** The shape's bytes, one character each. */
  readonly spec: string;
  /** By PState: what has been compiled for this connection; the same function for all of them. */
  readonly selects: (CompiledSelect | undefined)[];
  /** Once it has been watched. */
  scope?: WatchScope;
}

/** Compiled shapes of paths that are kept; the oldest goes first. */
const compiledMax = 4096;

export class EngineRequests {
  readonly classes: ClassRegistry;
  readonly release: string;
  readonly log: Log;
  readonly recordBytesMax: number;
  readonly answerBytesMax: number;
  readonly #engine: Engine;
  readonly #module: CompiledModule;
  readonly #info: ModuleInstanceInfo;
  readonly #groups: ReadonlySet<number>;
  readonly #functionNamed: FunctionNamed;
  /** Where the engine has other replicas. */
  readonly #gate: ReadGate | undefined;
  readonly #compiled = new Map<string, CompiledSelect>();

  constructor(options: EngineRequestsOptions) {
    this.classes = options.classes;
    this.release = options.release;
    this.log = options.log;
    this.recordBytesMax = options.recordBytesMax;
    this.answerBytesMax = options.answerBytesMax;
    this.#engine = options.engine;
    this.#gate = options.engine.replica?.reads;
    this.#module = options.module;
    this.#info = options.info;
    this.#groups = new Set(options.groups);
    const { functionNamed } = options;
    this.#functionNamed = (name) => opNamed(name) ?? functionNamed?.(name);
  }

  /** True while the engine gets ready to close: appends are not answered, and come again at who has the store next. */
  holdsAppends = false;

  /** The engine may have been succeeded without knowing it: what is asked of it has to wait (`whenConfirmed`). */
  get unconfirmed(): boolean {
    return this.#gate !== undefined && !this.#gate.open;
  }

  /** Calls `run` when it is certain that the engine leads, or with MOVED. */
  whenConfirmed(run: (error: RamaError | null) => void): void {
    if (this.#gate === undefined) run(null);
    else this.#gate.wait(run);
  }

  checkInstance(moduleInstanceId: string): void {
    if (moduleInstanceId === this.#info.moduleInstanceId) return;
    const message = `this is instance ${this.#info.moduleInstanceId} of ${this.#info.moduleName}, not ${moduleInstanceId}`;
    throw new RamaError("MOVED", message, { instance: this.#info.moduleInstanceId });
  }

  append(append: AppendRequest, token: AppendToken, reply: AppendReply): void {
    const depot = this.#depot(append.depot);
    if (depot.tickMs !== undefined || depot.partitioning.kind === "disallow") {
      throw new RamaError("NOT_APPENDABLE", `${depot.name} takes no appends of clients`, { depot: depot.name });
    }
    this.#checkTask(append.task, depot.global);
    const { level, count, task } = append;
    // The engine keeps the bytes; the frame's are gone after this call.
    const records = append.records.slice();
    this.#engine.append({ depot: depot.index, task, token, records, count, level, reply });
  }

  select(
    pstateIndex: number,
    task: number,
    path: PreparedPath,
    args: readonly unknown[],
    reply: (error: RamaError | null, rows: unknown[]) => void,
  ): void {
    const pstate = this.#pstate(pstateIndex);
    this.#checkTask(task, pstate.global);
    const compiled = path.selects[pstateIndex] ?? this.#compile(pstate, path);
    const select = (root: PathRoot, session: ReadSession): unknown[] => compiled(root.get(), args, session);
    this.#engine.select({ pstate: pstateIndex, task, select, reply });
  }

  /** The sink may be told before this returns. */
  watch(
    pstateIndex: number,
    task: number,
    path: PreparedPath,
    args: readonly unknown[],
    sink: WatchSink,
  ): Subscription {
    const pstate = this.#pstate(pstateIndex);
    this.#checkTask(task, pstate.global);
    const compiled = path.selects[pstateIndex] ?? this.#compile(pstate, path);
    const select = (root: PathRoot, session: ReadSession): unknown[] => compiled(root.get(), args, session);
    path.scope ??= watchScope(decodePath(specOf(path), this.#functionNamed));
    const { leading, coarse } = path.scope;
    const place = leading === undefined || pstate.schema.kind === "leaf" ? undefined : { key: leading(args) };
    return this.#engine.watch({ pstate: pstateIndex, task, select, place, coarse, sink });
  }

  invoke(
    query: number,
    task: number | undefined,
    args: readonly unknown[],
    reply: (error: RamaError | null, value: unknown) => void,
  ): void {
    const topology = this.#module.definition.topologies[query];
    if (topology?.kind !== "query")
      throw unknownObject(this.#info.moduleName, `query topology with the number ${query}`);
    if (args.length !== topology.inputs.length) {
      const message = `query ${topology.name} takes ${topology.inputs.length} arguments, ${args.length} were given`;
      throw new RamaError("WRONG_ARGUMENT_COUNT", message, { query: topology.name });
    }
    if (task !== undefined) this.#checkTask(task, false);
    this.#engine.invokeQuery({ query, args, reply, ...(task === undefined ? {} : { task }) });
  }

  partitionInfo(depotIndex: number, task: number): { readonly startOffset: number; readonly endOffset: number } {
    const depot = this.#depot(depotIndex);
    this.#checkTask(task, depot.global);
    return this.#engine.partitionInfo(depotIndex, task);
  }

  readDepot(depotIndex: number, task: number, from: number, to: number): readonly Uint8Array[] {
    const depot = this.#depot(depotIndex);
    this.#checkTask(task, depot.global);
    return this.#engine.readDepot(depotIndex, task, from, to);
  }

  fetchDepot(depotIndex: number, task: number, fetch: EngineFetch): (() => void) | undefined {
    const depot = this.#depot(depotIndex);
    this.#checkTask(task, depot.global);
    return this.#engine.fetchDepot(depotIndex, task, fetch);
  }

  offsetAt(depotIndex: number, task: number, ms: number): number {
    const depot = this.#depot(depotIndex);
    this.#checkTask(task, depot.global);
    return this.#engine.offsetAt(depotIndex, task, ms);
  }

  choosePartitions(depotIndex: number, records: Uint8Array): number[] {
    const depot = this.#depot(depotIndex);
    const tasks: number[] = [];
    eachRecord(records, (start, end) => {
      tasks.push(this.#choosePartition(depot, decodeValue(records, start, end, this.classes)));
    });
    return tasks;
  }

  chooseTask(pstateIndex: number, key: unknown): number {
    const { keyPartitioner, name } = this.#pstate(pstateIndex);
    const { numTasks } = this.#info;
    if (keyPartitioner === undefined) return taskOf(key, numTasks);
    return checkPartition(
      userCode(`key partitioner of ${name}`, () => keyPartitioner(numTasks, key)),
      numTasks,
      name,
    );
  }

  deliver(task: number, batch: Uint8Array): void {
    this.#checkTask(task, false);
    this.#engine.deliver(task, batch.slice());
  }

  #choosePartition(depot: DepotDefinition, record: unknown): number {
    const { numTasks } = this.#info;
    const { partitioning, name } = depot;
    if (depot.global) return 0;
    switch (partitioning.kind) {
      case "hashFunction":
        return taskOf(
          userCode(`partitioning of ${name}`, () => partitioning.fn(record) ?? null),
          numTasks,
        );
      case "custom":
        return checkPartition(
          userCode(`partitioning of ${name}`, () => partitioning.choosePartitionIndex(record, numTasks)),
          numTasks,
          name,
        );
      default:
        throw new RamaError("BAD_ARGUMENTS", `the client chooses the partitions of ${name}`, { depot: name });
    }
  }

  #compile(pstate: PStateDefinition, path: PreparedPath): CompiledSelect {
    const key = `${pstate.index} ${path.spec}`;
    let compiled = this.#compiled.get(key);
    if (compiled === undefined) {
      compiled = compileSelect(decodePath(specOf(path), this.#functionNamed), { schema: pstate.schema });
      if (this.#compiled.size >= compiledMax) this.#compiled.delete(this.#compiled.keys().next().value!);
      this.#compiled.set(key, compiled);
    }
    path.selects[pstate.index] = compiled;
    return compiled;
  }

  #depot(index: number): DepotDefinition {
    return (
      this.#module.definition.depots[index] ??
      raise(unknownObject(this.#info.moduleName, `depot with the number ${index}`))
    );
  }

  #pstate(index: number): PStateDefinition {
    const pstate = this.#module.definition.pstates[index];
    if (pstate === undefined) throw unknownObject(this.#info.moduleName, `PState with the number ${index}`);
    if (pstate.private) throw new RamaError("PRIVATE_PSTATE", `${pstate.name} is private`, { pstate: pstate.name });
    return pstate;
  }

  #checkTask(task: number, global: boolean): void {
    const { numTasks, numThreads, moduleName } = this.#info;
    if (task >= (global ? 1 : numTasks)) {
      throw new RamaError("BAD_PARTITION", `${moduleName} has ${numTasks} tasks; ${task} is none of them`, { task });
    }
    if (!this.#groups.has(task % numThreads)) {
      throw new RamaError("MOVED", `task ${task} of ${moduleName} is not on this engine`, { task });
    }
  }
}

function specOf(path: PreparedPath): Uint8Array {
  return Uint8Array.from(path.spec, (c) => c.charCodeAt(0));
}

function checkPartition(partition: unknown, numTasks: number, name: string): number {
  if (typeof partition === "number" && Number.isInteger(partition) && partition >= 0 && partition < numTasks)
    return partition;
  const message = `${name}: ${String(partition)} is not a partition; they are 0 to ${numTasks - 1}`;
  throw new RamaError("BAD_PARTITION", message, { partition: String(partition), numTasks });
}

function userCode<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new RamaError("USER_CODE_FAILED", `${what}: ${messageOf(error)}`, { what }, error);
  }
}

function unknownObject(moduleName: string, what: string): RamaError {
  return new RamaError("UNKNOWN_OBJECT", `${moduleName} has no ${what}`, { module: moduleName });
}

function raise(error: RamaError): never {
  throw error;
}
