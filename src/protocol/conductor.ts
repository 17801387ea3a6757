// Calls that change or describe the cluster, answered by the conductor over `net/rpc.ts`; bodies are CBOR (base/codec.ts). The CLI and
// `rama dev` make them. Method numbers are never used twice.
import type {
  Leaderless,
  ModuleRecord,
  OperationLogEntry,
  OptionSetting,
  SupervisorRecord,
  WorkerReport,
} from "./cluster-records.ts";
import type { MigrationStatus } from "../module/migrations.ts";
import type { ModuleManifest, ObjectTable } from "./routes.ts";

export const PUT_BUNDLE = 16;
export const LAUNCH = 17;
export const DESTROY = 18;
export const MODULE_STATUS = 19;
export const TASK_GROUPS_STATUS = 20;
export const CLUSTER_STATUS = 21;
export const SET_OPTION = 22;
/** The conductor and supervisors alike: what an engine says of itself, asked of the worker's hello port by the caller. */
export const WORKER_STATUS = 23;

/** Answered with `LaunchAnswer`, when the new instance serves. */
export const UPDATE = 24;

/** Answered with `LeadersAnswer`, when every leader that can has left the node. SUPERVISOR_NOT_FOUND, LEADERS_DISALLOWED. */
export const DISALLOW_LEADERS = 25;
/** Answered with `LeadersAnswer`, when leaders have come back. */
export const ALLOW_LEADERS = 26;

/** Bytes of a bundle in one PUT_BUNDLE. */
export const BUNDLE_CHUNK_BYTES = 4 * 1024 * 1024;

/** One piece of a bundle. The last one ends at `total`, and then the hash is checked (BAD_BUNDLE). */
export interface PutBundle {
  /** SHA-256 of the whole, hex. */
  readonly hash: string;
  readonly offset: number;
  readonly total: number;
  readonly bytes: Uint8Array;
}

export interface LaunchRequest {
  readonly moduleName: string;
  readonly moduleExport: string;
  readonly bundleHash: string;
  readonly ramaVersion: string;
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;
  readonly replicationFactor: number;
  readonly targetLabel?: string;
  readonly metadata?: string;
  readonly configOverrides: Readonly<Record<string, unknown>>;
  readonly options: readonly OptionSetting[];
  readonly objects: ModuleManifest;
  /** Names of modules and objects that the module mirrors. */
  readonly dependencies: readonly {
    readonly module: string;
    readonly kind: "depot" | "pstate" | "query";
    readonly object: string;
    /** A depot that is appended to, or is a source (`cluster/dependencies.ts`). */
    readonly appends?: boolean;
    readonly reads?: boolean;
  }[];
}

/** Tasks, threads, workers and replication stay as they were launched. */
export interface UpdateRequest
  extends Pick<
    LaunchRequest,
    | "moduleName"
    | "moduleExport"
    | "bundleHash"
    | "ramaVersion"
    | "metadata"
    | "configOverrides"
    | "options"
    | "objects"
    | "dependencies"
  > {
  /** Exactly the depots and PStates that the new version no longer has. */
  readonly objectsToDelete: readonly string[];
  /** True: earlier `configOverrides` are dropped; else the new ones are laid over them. */
  readonly resetConfig: boolean;
  /** Dynamic options that the new version's code sets at launch: for what has no setting yet. */
  readonly launchOptions: readonly OptionSetting[];
}

/** `to` is the index of a worker that is in sync. LEADER_STAYS, MOVED: the group is led as before. */
export interface ResignLeader {
  readonly group: number;
  readonly to: number;
}

export interface LaunchAnswer {
  readonly moduleName: string;
  readonly instanceId: string;
}

export interface ModuleName {
  readonly moduleName: string;
}

/** What an engine says of itself; the parts that CLI and UI show. */
export interface EngineReport {
  readonly depots: readonly {
    readonly name: string;
    readonly task: number;
    readonly startOffset: number;
    readonly endOffset: number;
    readonly bytes?: number;
  }[];
  readonly pstates: readonly { readonly name: string; readonly entries?: number; readonly bytes?: number }[];
  readonly topologies: readonly {
    readonly name: string;
    readonly kind: string;
    readonly paused: boolean;
    readonly processed: number;
    readonly executing: number;
    readonly failures: number;
    readonly lastError: string | null;
    /** A record that has failed and has not been processed since. */
    readonly blocked?: {
      readonly depot: string;
      readonly partition: number;
      readonly offset: number;
      readonly failures: number;
      readonly error: string;
    } | null;
    /** Records that are set aside. */
    readonly deadLetters?: number;
    /** Why it is paused, in the worker's words. */
    readonly pauseReason?: string | null;
  }[];
  readonly migrations?: readonly MigrationStatus[];
  readonly logBytes: number;
  /** Of a replicated task group. */
  readonly replica?: ReplicaReport;
  readonly failed: string | null;
  /** Where it was asked for: what each task group holds at an applied offset, as a hash. */
  readonly contents?: readonly { readonly group: number; readonly applied: number; readonly hash: string }[];
}

export interface LeadersAnswer {
  /** Task groups that another replica leads now. */
  readonly moved: number;
  /** Task groups that the node still leads, by module: no other replica is in sync. */
  readonly stay: readonly { readonly module: string; readonly groups: readonly number[] }[];
}

export interface ModuleStatusAnswer {
  readonly module: ModuleRecord;
  readonly objects: ObjectTable | null;
  readonly workers: readonly WorkerReport[];
  /** Of those workers that answered. */
  readonly engines: readonly { readonly workerId: string; readonly engines: readonly EngineReport[] }[];
  /** Of a replicated module, by task group of the instance that serves: leader, epoch, in-sync set. */
  readonly groups: readonly (GroupState | null)[];
  readonly log: readonly OperationLogEntry[];
}

/** Members are worker indexes. */
export interface GroupState {
  readonly epoch: number;
  readonly leader: number | null;
  readonly members: readonly number[];
  readonly inSync: readonly number[];
}

/** A follower as its leader sees it. */
export interface FollowerReport {
  readonly member: number;
  readonly lag: number | null;
  readonly far: boolean;
  /** How much it has of the copy of its leader's store that is being sent. */
  readonly copy: { readonly bytes: number; readonly totalBytes: number } | null;
}

/** What the replica of one engine tells (replication/replica-status.ts). */
export interface ReplicaReport {
  readonly group: number;
  readonly member: number;
  readonly role: "leader" | "recovering" | "follower";
  /** Its store was damaged; its leader fills a new one. */
  readonly rebuilding?: boolean;
  readonly epoch: number;
  readonly end: number;
  readonly applied: number;
  readonly stalled: boolean;
  readonly followers: readonly FollowerReport[];
}

export interface ClusterStatusAnswer {
  readonly release: string;
  readonly metadata: string | null;
  readonly uiPort: number;
  readonly supervisors: readonly SupervisorRecord[];
  readonly modules: readonly ModuleRecord[];
  /** The node on which leaders are disallowed. */
  readonly leaderless: Leaderless | null;
}
