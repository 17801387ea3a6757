// The way into a running cluster from any program: Bun or Node, on a cluster node or elsewhere. Needs `conductor.host` (and `conductor.port`) or `supervisors`;
// never speaks to ZooKeeper.
import { systemEnv } from "../base/env-system.ts";
import type { LogLevel } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { release } from "../base/release.ts";
import { type Class, ClassRegistry, type RamaCustomSerialization } from "../base/values.ts";
import { type Config, configOf, type HostPair } from "../config/rama-yaml.ts";
import { tcpTransport } from "../net/transport-tcp.ts";
import { ClientCore } from "./client-core.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { readClientConfig } from "./config-file.ts";
import { ControlClient } from "./control-client.ts";
import type { DepotClient } from "./depot.ts";
import type { ModuleName } from "./module-name.ts";
import type { PStateClient } from "./pstate.ts";
import type { QueryClient } from "./query.ts";

/** Settings by name, as in rama.yaml, which they win over. */
export interface ClusterManagerConfig {
  readonly [setting: string]: unknown;
  /** Classes whose instances are appended or read. */
  readonly classes?: readonly Class[];
  /** Own serializations by name; a name is what the module's bundle exports it as. */
  readonly serializations?: Readonly<Record<string, RamaCustomSerialization>>;
}

export class RamaClusterManager implements ClusterClient {
  readonly #core: ClientCore;
  readonly #control: ControlClient;

  private constructor(core: ClientCore, control: ControlClient) {
    this.#core = core;
    this.#control = control;
  }

  /**
   * Connects from outside the cluster: external host names. `open({ "conductor.host": "localhost" })`; without argument the settings of `rama.yaml` in the
   * working directory. Errors: CONDUCTOR_UNREACHABLE, WRONG_VERSION, BAD_CONFIG.
   */
  static open(config: ClusterManagerConfig = {}): Promise<RamaClusterManager> {
    return RamaClusterManager.#open(config, "external");
  }

  /** The same from a node of the cluster: internal host names. */
  static openInternal(config: ClusterManagerConfig = {}): Promise<RamaClusterManager> {
    return RamaClusterManager.#open(config, "internal");
  }

  static async #open(given: ClusterManagerConfig, side: keyof HostPair): Promise<RamaClusterManager> {
    const { classes = [], serializations = {}, ...settings } = given;
    const config = readClientConfig().with(configOf(settings, "the client's settings"));
    const registry = new ClassRegistry();
    for (const type of classes) registry.register(type);
    for (const [name, serialization] of Object.entries(serializations)) registry.registerCustom(name, serialization);
    const logLevel = (config.get<LogLevel | undefined>("log.level") ?? "warn") satisfies LogLevel;
    const env = systemEnv({ logLevel, sink: (line) => process.stderr.write(`${line}\n`) });
    const transport = tcpTransport(env, {
      maxFrameBytes: config.get("limit.frame.bytes"),
      maxUnsentBytes: config.get("limit.unsent.bytes"),
    });
    const control = new ControlClient({ env, transport, servers: serversOf(config, side), side });
    try {
      await control.check(release);
    } catch (error) {
      control.close();
      throw error;
    }
    const fetchRoutes = (moduleName: string) => control.fetchRoutes(moduleName);
    return new RamaClusterManager(
      new ClientCore({ env, transport, config, release, classes: registry, fetchRoutes }),
      control,
    );
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

  /** Waits a moment for appends that are on their way, then closes every connection. Idempotent. */
  async close(): Promise<void> {
    await this.#core.close();
    this.#control.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function serversOf(config: Config, side: keyof HostPair): string[] {
  const supervisors = config.get<readonly string[] | undefined>("supervisors") ?? [];
  if (!config.isSet("conductor.host")) {
    if (supervisors.length > 0) return [...supervisors];
    throw new RamaError(
      "BAD_CONFIG",
      "a client needs conductor.host or supervisors: in rama.yaml, or in the settings given to open",
    );
  }
  return [`${config.host("conductor.host", side)}:${config.get<number>("conductor.port")}`, ...supervisors];
}
