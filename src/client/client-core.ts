// What every client is made of, wherever its routes come from: connections, routes, appenders. `RamaClusterManager` and `InProcessCluster` each hold one.
import type { Env } from "../base/env.ts";
import { ClassRegistry } from "../base/values.ts";
import type { Config } from "../config/rama-yaml.ts";
import type { Transport } from "../net/transport.ts";
import { Appender } from "./appender.ts";
import type { CallContext } from "./call.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { DepotClient } from "./depot.ts";
import type { ModuleName } from "./module-name.ts";
import { FrameWriter } from "../protocol/frame-fields.ts";
import { moduleNameOf } from "../module/module-name.ts";
import { PStateClient } from "./pstate.ts";
import { QueryClient } from "./query.ts";
import { type FetchRoutes, Routing } from "./routing.ts";

export interface ClientCoreOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly config: Config;
  readonly release: string;
  readonly classes?: ClassRegistry;
  readonly fetchRoutes: FetchRoutes;
}

/** How long `close` waits for appends that are on their way. */
const closeDrainMs = 5_000;

export class ClientCore {
  readonly context: CallContext;
  readonly #appenders = new Map<string, Appender>();

  constructor(options: ClientCoreOptions) {
    const { env, transport, config, release } = options;
    const classes = options.classes ?? new ClassRegistry();
    this.context = {
      env,
      config,
      routing: new Routing(env, options.fetchRoutes),
      pool: new ConnectionPool({
        env,
        transport,
        release,
        connectTimeoutMs: 5_000,
        onCut: (moduleName) => this.context.routing.doubt(moduleName),
        onSilent: (moduleName, connection) =>
          env.spawn("routes of a silent engine", () => this.context.routing.leaveIfMoved(moduleName, connection)),
      }),
      classes,
      scratch: new FrameWriter(256, classes),
      proxies: new Set(),
      closed: false,
    };
  }

  depot<T = any>(module: ModuleName, depot: string): DepotClient<T> {
    const moduleName = moduleNameOf(module);
    return new DepotClient(this.context, this.appender(moduleName, depot), moduleName, depot);
  }

  /** Shared by all that append to the depot through this client. */
  appender(moduleName: string, depot: string): Appender {
    const key = `${moduleName} ${depot}`;
    let appender = this.#appenders.get(key);
    if (appender === undefined) {
      appender = new Appender(this.context, moduleName, depot);
      this.#appenders.set(key, appender);
    }
    return appender;
  }

  pstate<T = any>(module: ModuleName, pstate: string): PStateClient<T> {
    return new PStateClient(this.context, moduleNameOf(module), pstate);
  }

  query<T = any>(module: ModuleName, query: string): QueryClient<T> {
    return new QueryClient(this.context, moduleNameOf(module), query);
  }

  async close(): Promise<void> {
    if (this.context.closed) return;
    const { env, proxies } = this.context;
    for (const proxy of proxies) await proxy.close();
    const deadline = env.monotonicMs() + closeDrainMs;
    while ([...this.#appenders.values()].some((appender) => !appender.idle) && env.monotonicMs() < deadline) {
      await env.sleep(2);
    }
    this.context.closed = true;
    this.context.routing.closed = true;
    for (const appender of this.#appenders.values()) appender.close();
    this.context.pool.close();
  }
}
