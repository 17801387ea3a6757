// What the HTTP apps are given to read: by the conductor for the Cluster UI, by a supervisor for REST.
import type { ClusterStore } from "../cluster/cluster-store.ts";
import type { DeadLettersAnswer, DeadLettersCall } from "../protocol/control.ts";
import type { ClusterStatusAnswer, ModuleStatusAnswer } from "../protocol/conductor.ts";

export type HttpApp = (request: Request) => Response | Promise<Response>;

export interface ConductorView {
  readonly store: ClusterStore;
  readonly release: string;
  /** Text of cluster.metadata. */
  readonly metadata: string | null;
  /** undefined for one that is not there. */
  bundle(hash: string): Uint8Array | undefined;
  clusterStatus(): Promise<ClusterStatusAnswer>;
  moduleStatus(name: string, verify?: boolean): Promise<ModuleStatusAnswer>;
  deadLetters(moduleName: string): Promise<DeadLettersAnswer>;
  changeDeadLetters(moduleName: string, call: DeadLettersCall): Promise<DeadLettersAnswer>;
  pauseTopology(moduleName: string, topology: string, paused: boolean): Promise<void>;
}

export interface SupervisorView {
  readonly store: ClusterStore;
  readonly supervisorId: string;
  /** Monotonic. */
  readonly nowMs: () => number;
  /** host:port where this supervisor tells routes. */
  readonly routesAddress: () => string;
  readonly release: string;
}
