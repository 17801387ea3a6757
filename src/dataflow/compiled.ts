// Contract between compiled dataflow and the task runtime. `dataflow/compile` turns a ModuleDefinition into a CompiledModule; `topology/*` runs it.
//
// A stage is straight code between two suspension points. It gets the StageContext `x` and the variables that it needs as an array (the order is
// known to the compiler alone). Code that goes on elsewhere or later is named by (topology, stage), never shipped: both sides run the same module version.
// A stage never returns a value. What it wants done it tells `x`, in order; `x` buffers, and the runtime performs after the batch is committed.
//
// Suspension: only reads of ranges on indexed structures can miss memory (paths/indexed.ts). The compiler knows from schema and path which selects and
// transforms may; a stage that holds one is a generator that yields whenever `x.session.missed`, after which it evaluates the path again (a missed
// transform has been rolled back by `x.transformMissed(mark)`). All other stages are plain functions. The group runs nothing else while a stage is suspended so.
//
// Errors: before each call into user code (function, op, path) the stage stores the node's index in `x.at`; `lines[x.at]` names the builder line.
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { ModuleDefinition, ModuleInstanceInfo } from "../module/definition.ts";
import type { BatchContext } from "./batch/sinks.ts";

export type AckLevelName = "ack" | "appendAck" | "none";

/** What context ops (CURRENT_TASK_ID, …) are given. */
export interface OpContext {
  readonly taskId: number;
  /** undefined outside a microbatch. */
  readonly microbatchId: number | undefined;
  readonly topologyType: "stream" | "microbatch" | "query" | null;
  readonly moduleInstanceInfo: ModuleInstanceInfo;
  random(): number;
  /** Epoch milliseconds of the cluster that the task belongs to. */
  nowMs(): number;
  print(line: string): void;
}

/** A path on a remote PState (mirrors.ts), as the client sends it. */
export interface RemotePath {
  readonly shape: Uint8Array;
  /** Equal for equal shapes. */
  readonly key: string;
  /** Always exactly one value. */
  readonly one: boolean;
}

/** Objects of other modules, by the index of their MirrorDefinition. Rejections fail the event. */
export interface MirrorAccess {
  /** How many partitions the object has. MODULE_NOT_RUNNING while that is not known. */
  partitions(mirror: number): number;
  /** The next partition of a shuffled round robin. */
  shuffled(mirror: number): number;
  /** The partition of a PState for a path's leading key. */
  partitionOfKey(mirror: number, key: unknown): Promise<number>;
  /** What is committed there: the value of a path with `one`, else all rows. */
  select(mirror: number, partition: number, path: RemotePath, args: readonly unknown[]): Promise<unknown>;
  invoke(mirror: number, args: readonly unknown[]): Promise<unknown>;
}

/** Where an append to a depot of another module goes. */
export interface MirrorPartition {
  readonly mirror: number;
  readonly partition: number;
}

export interface StageContext extends OpContext {
  /** Absent where there is no cluster. */
  readonly mirrors?: MirrorAccess | undefined;
  /** Microbatches, queries, detached blocks: what batch blocks need (batch/sinks.ts). */
  readonly batch?: BatchContext | undefined;
  readonly numTasks: number;
  /** Index of the node that runs; see above. */
  at: number;
  readonly session: ReadSession;
  /** The current task's partition of PState `index`: the owner's view for the topology that owns it, the external view otherwise. Global: on task 0. */
  root(pstate: number): PathRoot;
  /** Temporary state of a query ($$q$$) or of a microbatch, by its index in the topology. */
  temporary(index: number): PathRoot;
  /** Start of one transform; returns a mark for `transformMissed`. */
  transformMark(): number;
  transformMissed(mark: number): void;
  /** localClear. */
  clear(pstate: number): void;
  /** This task's instance of the task global. */
  global(index: number): unknown;

  /** Partitioner: go on at `stage` on `task`. BAD_PARTITION outside [0, numTasks). */
  send(stage: number, task: number, vars: unknown[]): void;
  sendAll(stage: number, vars: unknown[]): void;
  /** Next task of the shuffled round robin. */
  shuffleTask(): number;
  /** The query's start task. */
  originTask(): number;
  /** Partition of PState `pstate` for a leading key (its key partitioner, or hash). */
  pathTask(pstate: number, key: unknown): number;
  /** Go on at `stage` of the current task, in a later event. */
  defer(stage: number, vars: unknown[]): void;
  /** True when the event has run longer than worker.event.target.max.millis. */
  overtime(): boolean;
  /** eachAsync: when the promise resolves go on at `stage` with `[...vars, value]`; a rejection fails the record. */
  awaitPromise(stage: number, vars: unknown[], promise: Promise<unknown>): void;
  /**
   * localSelect with allowYield: rows of the select come one by one at `stage` as `[...vars, row]`, over a stable snapshot, in a later event. `pageSize`: 0 as the
   * option says, -1 (default) evaluates the select as a whole.
   */
  selectYielding(
    stage: number,
    vars: unknown[],
    pstate: number,
    select: (root: PathRoot, session: ReadSession) => unknown[],
    pageSize?: number,
  ): void;
  /** Goes on at `stage` with `[...vars, result]`. `query` is the topology's index. */
  invokeQuery(stage: number, vars: unknown[], query: number, args: unknown[]): void;
  /** Appends to the current task's partition of the depot, or to that of another module; goes on at `stage` with `vars` when the level is reached (stage -1: nothing follows). */
  appendToDepot(
    stage: number,
    vars: unknown[],
    depot: number | MirrorPartition,
    record: unknown,
    level: AckLevelName,
  ): void;
  ackReturn(value: unknown): void;
  /** Query: the answer. */
  result(value: unknown): void;
}

export type StageFunction = (x: StageContext, vars: unknown[]) => void;
export type SuspendingStageFunction = (x: StageContext, vars: unknown[]) => Generator<void, void, void>;

export type CompiledStage =
  | { readonly suspends: false; readonly run: StageFunction; readonly name: string }
  | { readonly suspends: true; readonly run: SuspendingStageFunction; readonly name: string };

export interface CompiledSource {
  /** Index in TopologyDefinition.sources. */
  readonly source: number;
  /** The stage that takes a record, as `[…]` of what `decode` makes. */
  readonly stage: number;
  /**
   * Decodes only what the stage needs out of an encoded record (value codec) at [start, end) of `bytes`.
   * The array is fresh; the stage may keep it.
   */
  decode(bytes: Uint8Array, start: number, end: number): unknown[];
  /** True when the stage needs nothing of the record (ticks). */
  readonly ignoresRecord: boolean;
}

export interface CompiledTopology {
  readonly index: number;
  readonly name: string;
  readonly kind: "stream" | "microbatch" | "query";
  readonly stages: readonly CompiledStage[];
  readonly sources: readonly CompiledSource[];
  /** Microbatch: stages that take a record, after their other vars, as what `decode` makes of it. */
  readonly exploded?: readonly { readonly stage: number; readonly decode: CompiledSource["decode"] }[];
  /** `file:line` and what stands there, by node index: `{ line: "app.ts:24", what: "localTransform($$funds)" }`. */
  readonly lines: readonly { readonly line: string; readonly what: string }[];
  /** The generated source, for `rama explain` and for bug reports. */
  readonly sourceText: string;
  /** Query only: first stage, and how a client may choose the start task: input index to hash, a fixed task, or anything. */
  readonly query?: {
    readonly stage: number;
    readonly start:
      | { readonly kind: "hashInput"; readonly input: number }
      | { readonly kind: "task"; readonly task: number }
      | { readonly kind: "any" };
  };
}

export interface CompiledModule {
  readonly definition: ModuleDefinition;
  readonly topologies: readonly CompiledTopology[];
}
