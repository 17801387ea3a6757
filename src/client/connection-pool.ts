// The connections of one client: one per engine port and module instance, made when first needed, shared by everything that the client does.
import type { Env } from "../base/env.ts";
import type { Address, Transport } from "../net/transport.ts";
import { CLIENT_ID_BYTES, encodeHello, PEER_CLIENT } from "../protocol/hello.ts";
import type { ModuleRoutes } from "../protocol/routes.ts";
import { features } from "../protocol/table.ts";
import { EngineConnection } from "./connection.ts";
import type { RouteTable } from "./routing.ts";

export interface ConnectionPoolOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly release: string;
  readonly connectTimeoutMs: number;
  /** A connection to an engine of the module has ended. */
  readonly onCut: (moduleName: string) => void;
  /** Requests to an engine of the module are not answered for a while. */
  readonly onSilent: (moduleName: string, connection: EngineConnection) => void;
}

export class ConnectionPool {
  /** Names this client in append tokens. */
  readonly clientId: Uint8Array;
  readonly #options: ConnectionPoolOptions;
  readonly #connections = new Map<string, EngineConnection>();
  #closed = false;

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
    this.clientId = options.env.randomBytes(CLIENT_ID_BYTES);
  }

  /** The connection to the engine that has the task. MODULE_NOT_RUNNING when the table knows none. */
  to(table: RouteTable, task: number): EngineConnection {
    const group = task % table.routes.groups.length;
    const known = table.connections[group];
    if (known !== undefined && known.state !== "closed") return known;
    const connection = this.#get(table.address(task), table.routes);
    table.connections[group] = connection;
    return connection;
  }

  /** Open or opening. */
  #get(address: Address, { moduleName, moduleInstanceId }: ModuleRoutes): EngineConnection {
    const key = `${address.host}:${address.port}/${moduleInstanceId}`;
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    const { env, transport, release, connectTimeoutMs, onSilent, onCut } = this.#options;
    const connection = new EngineConnection({
      env,
      transport,
      address,
      hello: encodeHello({ peer: PEER_CLIENT, clientId: this.clientId, release, moduleInstanceId, features }),
      connectTimeoutMs,
      onSilent: (silent) => onSilent(moduleName, silent),
      onClosed: (closed) => {
        if (this.#connections.get(key) === closed) this.#connections.delete(key);
        onCut(moduleName);
      },
    });
    if (this.#closed) connection.close();
    else this.#connections.set(key, connection);
    return connection;
  }

  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections.values()]) connection.close();
  }
}
