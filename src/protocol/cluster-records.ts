// What the cluster knows of itself: the records in the metastore (metastore/tree.ts), which also cross the wire to the CLI and the UI.
// Plain data; the state machines of `cluster/lifecycle/` decide how they change.
/** The published names of the original where it has any; the others are ours. */
export type ModuleState =
  | "[:launching-starting-workers]"
  | "[:running]"
  | "[:leadership-balancing]"
  | "[:destroying]"
  | "[:launch-failed]"
  | "[:updating-next-assigned]"
  | "[:updating-prepare-handover]"
  | "[:updating-handover]"
  | "[:updating-rollback]";

export interface ConductorRecord {
  readonly host: string;
  readonly port: number;
  readonly uiPort: number;
  readonly pid: number;
  readonly version: string;
  readonly startedMs: number;
}

export interface SupervisorRecord {
  readonly id: string;
  readonly host: string;
  readonly rpcPort: number;
  readonly httpPort: number;
  readonly labels: readonly string[];
  readonly pid: number;
  readonly version: string;
  readonly startedMs: number;
  /** When the record was last written. */
  readonly heartbeatMs: number;
  readonly diskFreeBytes: number;
  readonly diskTotalBytes: number;
  readonly memoryBytes: number;
}

/** One process of a module instance: where it runs and which task groups it holds. */
export interface Placement {
  readonly workerIndex: number;
  readonly supervisorId: string;
  readonly groups: readonly number[];
}

export interface InstanceRecord {
  readonly id: string;
  readonly bundleHash: string;
  readonly moduleExport: string;
  readonly ramaVersion: string;
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;
  readonly replicationFactor: number;
  readonly configOverrides: Readonly<Record<string, unknown>>;
  readonly targetLabel?: string;
  readonly metadata?: string;
  readonly placement: readonly Placement[];
  readonly createdMs: number;
  /** Names the data on the nodes: the id of the instance that was launched, handed down by updates. Absent: `id`. */
  readonly dataId?: string;
  /** Depots and PStates that the update to this instance removed; their data goes when its workers open the stores. */
  readonly deletedObjects?: readonly string[];
}

export interface ModuleRecord {
  readonly name: string;
  readonly state: ModuleState;
  readonly stateSinceMs: number;
  /** One; during an update the one that serves and, after it, the one to come. */
  readonly instances: readonly InstanceRecord[];
  /** Instance that serves reads, and the one that takes appends. */
  readonly readTarget: string;
  readonly appendTarget: string;
  readonly options: readonly OptionSetting[];
  /** Modules whose objects it mirrors. */
  readonly dependsOn: readonly string[];
  /** Why the last operation ended badly. */
  readonly error?: string;
}

/** By `rama disallowLeaders`. */
export interface Leaderless {
  readonly supervisorId: string;
  readonly sinceMs: number;
}

export interface OptionSetting {
  readonly scope: "module" | "topology" | "depot" | "pstate";
  readonly object: string;
  readonly name: string;
  readonly value: unknown;
}

export interface TopologyPause {
  readonly reason: string;
  /** Its user code did not return: nothing of it runs, what other engines have sent included. */
  readonly stuck: boolean;
  readonly sinceMs: number;
}

/** By topology. */
export type ModulePauses = Readonly<Record<string, TopologyPause>>;

/** What a supervisor is told to run. The bundle is fetched from the conductor by its hash. */
export interface WorkerTask {
  readonly workerId: string;
  readonly moduleName: string;
  readonly instance: Omit<InstanceRecord, "placement">;
  readonly workerIndex: number;
  readonly groups: readonly number[];
  readonly options: readonly OptionSetting[];
  /** True: get ready to serve, and touch no store until this is taken back (an update before its hand-over). */
  readonly waits?: boolean;
}

/** "prepared": loaded and compiled, waiting for the stores. */
export type WorkerState = "starting" | "prepared" | "running" | "failed" | "stopping" | "gone";

export interface WorkerReport {
  readonly workerId: string;
  readonly workerIndex: number;
  readonly supervisorId: string;
  readonly host: string;
  readonly state: WorkerState;
  readonly pid: number;
  /** Port of the hello answer (group → port). */
  readonly helloPort: number;
  /** Listening port by task group. */
  readonly groupPorts: Readonly<Record<string, number>>;
  readonly startedMs: number;
  /** Times that it was started since it was assigned. */
  readonly starts: number;
  readonly recovered?: { readonly entries: number; readonly tornBytes: number; readonly ms: number };
  /** Last words of a start that failed. */
  readonly error?: string;
}

export interface OperationLogEntry {
  readonly atMs: number;
  readonly module: string;
  readonly operation: string;
  readonly text: string;
}

export function workerIdOf(instanceId: string, workerIndex: number): string {
  return `${instanceId}-w${workerIndex}`;
}

export function dataIdOf(instance: Pick<InstanceRecord, "id" | "dataId">): string {
  return instance.dataId ?? instance.id;
}
