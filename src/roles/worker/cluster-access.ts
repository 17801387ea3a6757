// The way from an engine to the other modules of its cluster: what mirrors go through, and what task globals get from `getClusterRetriever()`. Routes come from this
// node's supervisor, or from the conductor.
import type { Env } from "../../base/env.ts";
import { release } from "../../base/release.ts";
import type { ClassRegistry } from "../../base/values.ts";
import { ClientCore } from "../../client/client-core.ts";
import type { ClusterClient } from "../../client/cluster-client.ts";
import { ControlClient } from "../../client/control-client.ts";
import type { DepotClient } from "../../client/depot.ts";
import type { ModuleName } from "../../client/module-name.ts";
import type { PStateClient } from "../../client/pstate.ts";
import type { QueryClient } from "../../client/query.ts";
import type { Config } from "../../config/rama-yaml.ts";
import type { Transport } from "../../net/transport.ts";

export interface ClusterAccessOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly config: Config;
  readonly classes: ClassRegistry;
  /** `host:port` of those who tell routes. */
  readonly servers: readonly string[];
}

export class ClusterAccess implements ClusterClient {
  readonly core: ClientCore;
  readonly #control: ControlClient;

  constructor({ env, transport, config, classes, servers }: ClusterAccessOptions) {
    this.#control = new ControlClient({ env, transport, servers, side: "internal" });
    const fetchRoutes = (moduleName: string) => this.#control.fetchRoutes(moduleName);
    this.core = new ClientCore({ env, transport, config, release, classes, fetchRoutes });
  }

  clusterDepot<T = any>(module: ModuleName, depot: string): DepotClient<T> {
    return this.core.depot<T>(module, depot);
  }

  clusterPState<T = any>(module: ModuleName, pstate: string): PStateClient<T> {
    return this.core.pstate<T>(module, pstate);
  }

  clusterQuery<T = any>(module: ModuleName, query: string): QueryClient<T> {
    return this.core.query<T>(module, query);
  }

  async getDeployedModuleNames(): Promise<Set<string>> {
    return new Set(await this.#control.moduleNames());
  }

  async close(): Promise<void> {
    await this.core.close();
    this.#control.close();
  }
}

/** Who tells routes to a worker with this assignment and these settings. */
export function routeServers(given: readonly string[] | undefined, config: Config): readonly string[] {
  if (given !== undefined) return given;
  if (!config.isSet("conductor.host")) return [];
  return [`${config.host("conductor.host", "internal")}:${config.get<number>("conductor.port")}`];
}
