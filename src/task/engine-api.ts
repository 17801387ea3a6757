// What an engine is given and what it is asked. Called by `roles/worker/server.ts` and by the in-process cluster.
import type { ClientCore } from "../client/client-core.ts";
import type { Env } from "../base/env.ts";
import type { RamaError } from "../base/errors.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { AckLevelName, CompiledModule } from "../dataflow/compiled.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import type { ModuleInstanceInfo } from "../module/definition.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { DeadLetterRow } from "../protocol/control.ts";
import type { Fetched } from "../protocol/depot-read.ts";
import type { ReplicaOptions } from "../replication/replica-contract.ts";
import type { GroupContents } from "./group-contents.ts";
import type { ReplicaStatus } from "../replication/replica-status.ts";
import type { Disk } from "../storage/disk.ts";
import type { EngineEvents } from "./event-hook.ts";
import type { TaskGlobals } from "./task-globals.ts";
import type { KvOpener } from "../storage/kv.ts";

/** Takes frames to the engine that owns a task; hops inside an engine never reach it. What it cannot deliver it drops: timeouts find that. */
export interface Router {
  send(task: number, frame: Uint8Array): void;
}

/** The present value of an option. `object` is the topology, depot or PState that the most specific setting would name. */
export interface OptionLookup {
  get(name: string, object?: string): unknown;
}

/** What makes an engine one replica of its task group; it has one group then. */
export interface EngineReplication
  extends Pick<
    ReplicaOptions,
    | "transport"
    | "dataId"
    | "self"
    | "life"
    | "control"
    | "minInSync"
    | "maxLagMs"
    | "copyRate"
    | "onRebuilt"
    | "onRebuilt"
    | "keptEntries"
    | "onDeposed"
  > {
  /** Another replica leads. The engine has stopped; it is to be disposed of by `depose`, then `replace` is to be called, if it is given, and the engine opened anew. */
  readonly onDeposed: ReplicaOptions["onDeposed"];
}

export interface EngineOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly kv: KvOpener;
  /** Directory of the engine's store; created where missing. */
  readonly dir: string;
  readonly module: CompiledModule;
  readonly info: ModuleInstanceInfo;
  /** Task groups that this engine carries. */
  readonly groups: readonly number[];
  readonly router: Router;
  readonly options: OptionLookup;
  /** Classes and serializations of the module. */
  readonly classes?: ClassRegistry;
  /** Appears in log lines: which engine of which worker. */
  readonly instanceTag: string;
  /** No tick comes by itself; `tick` makes one. */
  readonly manualTicks?: boolean;
  /** The way to other modules of the cluster. Needed by modules with mirrors. */
  readonly client?: ClientCore;
  /** Prepared before the engine opens; otherwise it makes them itself. It closes them in any case. */
  readonly globals?: TaskGlobals;
  /** What task globals get from `getClusterRetriever()`. */
  readonly clusterRetriever?: () => unknown;
  /** Names of depots and PStates whose data is deleted before anything is opened, where there is any. The module may not declare them. */
  readonly deletedObjects?: readonly string[];
  /** Topologies that do not start, and whose events from other engines are dropped: their user code did not return. */
  readonly quarantined?: readonly string[];
  /** Topologies that begin paused. */
  readonly paused?: readonly string[];
  /** Shared memory that tells the worker's main thread what runs (`stuck-note.ts`). */
  readonly stuckNote?: SharedArrayBuffer;
  /** Size of a segment of the store's log. */
  readonly segmentSizeBytes?: number;
  /** Size of the files of depot partitions; tests make it small. */
  readonly depotSegmentBytes?: number;
  /** Absent: the engine's groups have no other replica, and it leads them. */
  readonly replication?: EngineReplication;
  /** The engine has stopped for good: its log failed, or something impossible was seen. The process should end and recover. */
  readonly onBroken?: (error: RamaError) => void;
  /** In process: told what tasks do, for tests. */
  readonly events?: EngineEvents;
  /** Lines of `Ops.PRINTLN`; default: the log. */
  readonly print?: (line: string) => void;
}

export interface EngineRecovery {
  readonly entries: number;
  readonly tornBytes: number;
  readonly ms: number;
}

/**
 * `error`: nothing of the batch is stored, or (APPEND_OUTCOME_UNKNOWN) that is not known. `offset` is that of the first record, -1 with level "none". `ackReturns` has one entry per
 * record, or is null when none returned anything. `failures` maps the index of a record to its PROCESSING_FAILED: stored, and retried by its source's mode.
 */
export type AppendReply = (
  error: RamaError | null,
  offset: number,
  ackReturns: (Record<string, unknown> | null)[] | null,
  failures: ReadonlyMap<number, RamaError> | null,
) => void;

export interface AppendToken {
  /** 16 bytes. */
  readonly client: Uint8Array;
  /** Sequence of the first record; a batch is sent again exactly as it was. */
  readonly seq: number;
}

export interface EngineAppend {
  readonly depot: number;
  readonly task: number;
  readonly token: AppendToken | null;
  /** (u32 little-endian length | value bytes)*. The engine keeps the bytes. */
  readonly records: Uint8Array;
  readonly count: number;
  readonly level: AckLevelName;
  readonly reply: AppendReply;
}

/** Records of [from, to), at most about `bytes`; waits for the first of them. */
export interface EngineFetch {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly waitMs: number;
  /** Who asks, and what it may still ask for; "": nobody that trimming would heed. */
  readonly consumer: string;
  readonly neededFrom: number;
  readonly reply: (error: RamaError | null, fetched: Fetched | null) => void;
}

export interface EngineSelect {
  readonly pstate: number;
  readonly task: number;
  readonly select: (root: PathRoot, session: ReadSession) => unknown[];
  readonly reply: (error: RamaError | null, rows: unknown[]) => void;
}

export interface EngineInvoke {
  /** Index of the query topology in the module. */
  readonly query: number;
  readonly args: readonly unknown[];
  /** Start task; chosen by the topology when absent. */
  readonly task?: number;
  readonly reply: (error: RamaError | null, value: unknown) => void;
}

export interface TopologyStatus {
  readonly name: string;
  readonly kind: "stream" | "microbatch" | "query";
  readonly paused: boolean;
  /** Records that succeeded, each once, over all tasks of this engine. Queries: invokes. */
  readonly processed: number;
  /** Records (invokes) that have been started and have not ended. */
  readonly executing: number;
  readonly failures: number;
  readonly lastError: string | null;
  /** A record that has failed and has not been processed since: it holds the topology up, or is retried beside the others. Of several the one that failed most often. */
  readonly blocked: BlockedRecord | null;
  /** Records that are set aside. */
  readonly deadLetters: number;
}

export interface BlockedRecord {
  readonly depot: string;
  readonly partition: number;
  readonly offset: number;
  readonly failures: number;
  readonly error: string;
}

/** A record that has been set aside; it counts as processed. */
export interface DeadLetterStatus extends Omit<DeadLetterRow, "record"> {
  /** An encoded value. */
  readonly record: Uint8Array;
}

/** Which dead letters; what is left out does not matter. */
export interface DeadLetterChoice {
  readonly topology?: string;
  readonly depot?: string;
  readonly partition?: number;
  readonly offset?: number;
}

export type DeadLetterAction = "retry" | "drop";

export interface EngineStatus {
  readonly groups: readonly {
    readonly group: number;
    readonly end: number;
    readonly durable: number;
    readonly applied: number;
  }[];
  readonly depots: readonly {
    readonly name: string;
    readonly task: number;
    readonly startOffset: number;
    readonly endOffset: number;
    /** Of its files, and of what is on its way there. */
    readonly bytes: number;
  }[];
  readonly pstates: readonly {
    readonly name: string;
    /** Elements, nested ones that are subindexed included; approximate. */
    readonly entries: number;
    /** In LevelDB's tables, compressed; what was flushed last may be missing. Only in `statusWithSizes`. */
    readonly bytes?: number;
  }[];
  readonly topologies: readonly TopologyStatus[];
  /** Of depots and PStates, per task. */
  readonly migrations: readonly MigrationStatus[];
  readonly logBytes: number;
  /** Of a replicated task group. */
  readonly replica?: ReplicaStatus;
  /** By group, where it was asked for and the group stood still long enough. */
  readonly contents?: readonly GroupContents[];
  readonly failed: string | null;
}
