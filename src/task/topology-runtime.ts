// Contract between the engine and what runs a topology on it. Implemented in `topology/stream`, `topology/query` (and `topology/microbatch`). All methods are
// called on the engine thread, inside a turn unless said otherwise.
import type { RamaError } from "../base/errors.ts";
import type { Env } from "../base/env.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { Mirrors } from "../client/mirrors.ts";
import type { AckLevelName, CompiledModule, CompiledTopology } from "../dataflow/compiled.ts";
import type { ByteReader } from "../base/value-bytes.ts";
import type { AppendWait } from "./append-wait.ts";
import type { CommitLoop } from "./commit-loop.ts";
import type {
  AppendReply,
  DeadLetterAction,
  DeadLetterChoice,
  DeadLetterStatus,
  EngineInvoke,
  TopologyStatus,
} from "./engine-api.ts";
import type { ArrivedEvent, EventSender, TreeRef } from "./event-codec.ts";
import type { OptionView } from "./option-view.ts";
import type { ContextHost } from "./stage-context.ts";
import type { Task } from "./task.ts";
import type { TaskGroup } from "./task-group.ts";

/** Records just stored in one depot partition; not durable yet. */
export interface AppendedRecords {
  readonly depot: number;
  readonly task: Task;
  /** Of the first record. */
  readonly offset: number;
  /** (u32 length | value)*. */
  readonly bytes: Uint8Array;
  readonly count: number;
  /** Who waits for them to be processed. */
  readonly wait: AppendWait | undefined;
}

/** The engine, as a runtime sees it. */
export interface RuntimeHost {
  readonly env: Env;
  readonly module: CompiledModule;
  readonly options: OptionView;
  readonly loop: CommitLoop;
  readonly sender: EventSender;
  readonly context: ContextHost;
  readonly classes: ClassRegistry | undefined;
  readonly manualTicks: boolean;
  readonly groups: readonly TaskGroup[];
  /** Objects of other modules; undefined where the module has none, or there is no cluster. */
  readonly mirrors: Mirrors | undefined;
  /** undefined: the task lives on another engine. */
  taskAt(id: number): Task | undefined;
  groupOf(task: Task): TaskGroup;
  /** Runs a query, wherever it starts. `fromTask` is the caller's task, or undefined for a client. */
  invoke(invoke: EngineInvoke, fromTask: number | undefined): void;
  /** Appends to the task's own partition, in this turn. */
  appendRecord(task: Task, depot: number, record: Uint8Array, level: AckLevelName, reply: AppendReply): void;
  /** Small stable number of a name in the store. */
  nameId(name: string): number;
}

/** A source of one topology in one depot partition whose progress is kept: `sourceId` from `RuntimeHost.nameId`. */
export interface ProgressOwner {
  /** From the kv, before the log is replayed. */
  loadProgress(sourceId: number, task: number, state: Uint8Array): void;
  /** From the log, in order. */
  replayProgress(sourceId: number, task: number, delta: ByteReader, whole: boolean): void;
  /** State of this group's sources that changed (durably) since the last flush, as `key suffix → value`. */
  collectProgress(
    group: number,
  ): readonly { readonly sourceId: number; readonly task: number; readonly state: Uint8Array }[];
  /** Marks of a group, from the Kv (whole) or from the log. `topologyId`: `nameId` of the topology. */
  loadMarks?(topologyId: number, group: number, marks: ByteReader): void;
  /** All marks of the group, when the Kv has others. */
  collectMarks?(group: number): { readonly topologyId: number; readonly marks: Uint8Array } | undefined;
  /** The batch with the last collected state was not written. */
  progressLost(): void;
}

export interface TopologyRuntime {
  readonly topology: CompiledTopology;
  /** Depots (indexes) whose appends it wants to hear of, and whose ACK appends wait for it. */
  readonly subscribed: ReadonlySet<number>;
  /** How many of its sources read the depot. */
  sourceCount(depot: number): number;
  readonly progress: ProgressOwner | undefined;
  /** After recovery. The first turn may begin. */
  start(): void;
  /** Once all of its sources have begun, or are waited for no longer. */
  begun?(): Promise<void>;
  appended(records: AppendedRecords): void;
  /** A record of a duplicate append: `wait.doneWith` or `failed` is called once it has been processed. */
  attach(task: Task, depot: number, offset: number, index: number, wait: AppendWait): void;
  /** No further ACK append should be stored for this partition now. */
  full(task: Task, depot: number): boolean;
  /** Entries up to now are applied (outside turns): partitions have grown. */
  applied(): void;
  event(arrived: ArrivedEvent): void;
  ack(task: number, tree: number, answer: number, returns: unknown[]): void;
  failure(task: number, tree: number, error: RamaError): void;
  forget(ref: TreeRef): void;
  /** Another engine went away: what was asked of these tasks is not answered. */
  peerGone?(tasks: ReadonlySet<number>): void;
  /** Another engine has lost what was on its way to it. */
  peerLost?(): void;
  /** Begins one tick of the depot; `done` when its tree has ended. */
  tick(depot: number, done: (error: RamaError | null) => void): void;
  pause(): void;
  resume(): void;
  status(): TopologyStatus;
  deadLetters?(): DeadLetterStatus[];
  /** Begins to run them again, or forgets them; durable at the end of the turn. Returns how many it found. */
  changeDeadLetters?(action: DeadLetterAction, choice: DeadLetterChoice): number;
  /** Offset of the first record of the partition that it may read again; undefined: it does not read the depot. What is on disk counts. */
  neededFrom?(depot: number, task: number): number | undefined;
  /** Writes of before the restart wait for a decision, and are not in memory. */
  readonly restoring?: boolean;
  /** Records that it may run stand in the depots. */
  readonly behind: boolean;
  close(): void;
  /** Drops timers and all else; answers nobody. */
  abort(): void;
}

export interface QueryRuntime extends TopologyRuntime {
  /** Starts an invoke on a task of this engine. */
  invokeHere(task: Task, args: readonly unknown[], reply: (error: RamaError | null, value: unknown) => void): void;
}

export type RuntimeFactory = (host: RuntimeHost, topology: CompiledTopology) => TopologyRuntime;

/** By kind of topology; handed to the engine by `topology/open-engine.ts`. */
export interface RuntimeFactories {
  readonly stream: RuntimeFactory;
  readonly microbatch: RuntimeFactory | undefined;
  readonly query: (host: RuntimeHost, topology: CompiledTopology) => QueryRuntime;
}
