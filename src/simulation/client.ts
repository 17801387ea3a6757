// A program that uses the cluster: the client library in a process of the simulated world. What it calls never returns once it is killed.
import { release } from "../base/release.ts";
import { ClassRegistry } from "../base/values.ts";
import { ClientCore } from "../client/client-core.ts";
import type { ClusterClient } from "../client/cluster-client.ts";
import { ControlClient } from "../client/control-client.ts";
import type { DepotClient } from "../client/depot.ts";
import type { ModuleName } from "../client/module-name.ts";
import type { PStateClient } from "../client/pstate.ts";
import type { QueryClient } from "../client/query.ts";
import type { Config } from "../config/rama-yaml.ts";
import type { SimulatedProcess } from "./process.ts";
import type { ProcessContext } from "./world.ts";

export class SimulatedClient implements ClusterClient {
  readonly process: SimulatedProcess;
  readonly #core: ClientCore;
  readonly #control: ControlClient;

  constructor({ platform, process }: ProcessContext, config: Config, servers: readonly string[]) {
    this.process = process;
    const { env, transport } = platform;
    this.#control = new ControlClient({ env, transport, servers, side: "internal" });
    const fetchRoutes = (moduleName: string) => this.#control.fetchRoutes(moduleName);
    this.#core = new ClientCore({ env, transport, config, release, classes: new ClassRegistry(), fetchRoutes });
  }

  clusterDepot<T = any>(module: ModuleName, depot: string): DepotClient<T> {
    return this.#core.depot<T>(module, depot);
  }

  clusterPState<T = any>(module: ModuleName, pstate: string): PStateClient<T> {
    return this.#core.pstate<T>(module, pstate);
  }

  clusterQuery<T = any>(module: ModuleName, query: string): QueryClient<T> {
    return this.#core.query<T>(module, query);
  }

  async getDeployedModuleNames(): Promise<Set<string>> {
    return new Set(await this.#control.moduleNames());
  }

  async close(): Promise<void> {
    await this.#core.close();
    this.#control.close();
  }
}
