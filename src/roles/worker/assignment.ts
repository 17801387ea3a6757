// What a worker process is told to be: written by the supervisor as `assignment.json` into the worker's directory, read once at start. Also what an engine thread
// of that worker is given.
import type { ModulePauses, OptionSetting } from "../../protocol/cluster-records.ts";
import type { ModuleInstanceInfo } from "../../module/definition.ts";

export interface WorkerAssignment {
  readonly workerId: string;
  readonly moduleName: string;
  readonly instanceId: string;
  /** As given to `deploy --module`. */
  readonly moduleExport: string;
  /** The bundle on this node. */
  readonly bundlePath: string;
  /** Directory whose `.js` files module code may import by name. */
  readonly libDir?: string;
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;
  readonly workerIndex: number;
  /** Absent: its groups have no other replica. `dataId` names the module's data over all its instances; `factor`: replicas of each group; `node`: id of the supervisor. */
  readonly replication?: { readonly dataId: string; readonly factor: number; readonly node?: string };
  /** Task groups of this worker. */
  readonly groups: readonly number[];
  /** Holds the worker's stores; stays over restarts and updates. */
  readonly dataDir: string;
  /** Where the worker's own files are (`roles/supervisor/worker-files.ts`). */
  readonly workerDir: string;
  /** Name that others reach the worker by. */
  readonly host: string;
  /** Address to listen on; `host` when left out. */
  readonly bindHost?: string;
  /** 0 takes a free one. */
  readonly helloPort: number;
  /** One per engine thread; 0 takes a free one. Their number counts at the first start only. */
  readonly enginePorts: readonly number[];
  /** Settings of the cluster, overridden by those of the module instance. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly options: readonly OptionSetting[];
  /** Topologies of the module that are paused at the start. */
  readonly pauses?: ModulePauses;
  /** `host:port` of those who answer GET_ROUTES: this node's supervisor, the conductor. Modules of several workers find each other by them. */
  readonly routeServers?: readonly string[];
  /** True: load and compile the module, then wait for the file `go` before any store is opened. */
  readonly waits?: boolean;
  /** Depots and PStates whose data is deleted when the stores are opened, if there is any. */
  readonly deletedObjects?: readonly string[];
}

/** Written into the data directory at the first start and never changed: which engine (and its store) carries which groups. */
export interface EngineTable {
  readonly engines: readonly { readonly store: string; readonly groups: readonly number[] }[];
}

export function instanceInfo(assignment: WorkerAssignment): ModuleInstanceInfo {
  return {
    moduleName: assignment.moduleName,
    moduleInstanceId: assignment.instanceId,
    numTasks: assignment.tasks,
    numThreads: assignment.threads,
    numWorkers: assignment.workers,
  };
}

/** Groups dealt out evenly over at most `engines` engines. */
export function dealGroups(groups: readonly number[], engines: number): EngineTable {
  const count = Math.max(1, Math.min(engines, groups.length));
  return {
    engines: Array.from({ length: count }, (_, engine) => ({
      store: `store-${engine}`,
      groups: groups.filter((_group, i) => i % count === engine),
    })),
  };
}
