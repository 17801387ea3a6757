// What programs and tests ask of a cluster, wherever it runs: `RamaClusterManager` and `InProcessCluster` implement it.
import type { DepotClient } from "./depot.ts";
import type { ModuleName } from "./module-name.ts";
import type { PStateClient } from "./pstate.ts";
import type { QueryClient } from "./query.ts";

export interface ClusterClient {
  /** Returns at once; an unknown module or depot is told by the first call. */
  clusterDepot<T = any>(module: ModuleName, depot: string): DepotClient<T>;
  clusterPState<T = any>(module: ModuleName, pstate: string): PStateClient<T>;
  clusterQuery<T = any>(module: ModuleName, query: string): QueryClient<T>;
  getDeployedModuleNames(): Promise<Set<string>>;
  close(): Promise<void>;
}
