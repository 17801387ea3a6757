// An engine's port: accepts connections of clients and of other engines, over TCP and in memory alike. The sessions do the talking (`session.ts`), the
// requests are carried out by `requests.ts`.
import type { Env } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import type { Address, Connection, ConnectionHandlers, Listener, Transport } from "../../net/transport.ts";
import { REPLICA_HELLO } from "../../protocol/table.ts";
import { EngineRequests, type EngineRequestsOptions } from "./requests.ts";
import type { HeldListener } from "./held-listener.ts";
import { Session } from "./session.ts";

export interface EngineServerOptions extends Omit<EngineRequestsOptions, "log"> {
  readonly env: Env;
  readonly transport: Transport;
  /** Another replica of the engine's group has connected, with this hello. Absent: the engine has no replicas. */
  readonly onReplica?: (connection: Connection, hello: Uint8Array) => ConnectionHandlers;
}

/** A connection that has not said hello by then is closed. */
const helloTimeoutMs = 10_000;

export class EngineServer {
  readonly #env: Env;
  readonly #transport: Transport;
  readonly #requests: EngineRequests;
  readonly #sessions = new Set<Session>();
  readonly #onReplica: EngineServerOptions["onReplica"];
  #listener: Listener | undefined;
  #closing: RamaError | undefined;

  constructor(options: EngineServerOptions) {
    this.#env = options.env;
    this.#transport = options.transport;
    this.#onReplica = options.onReplica;
    this.#requests = new EngineRequests({ ...options, log: options.env.log });
  }

  /** Port 0 takes a free one; the address taken is returned. `held`: listens already, and has those who came too early. */
  async listen(address: Address, held?: HeldListener): Promise<Address> {
    const accept = (connection: Connection) => this.#accept(connection);
    this.#listener = held ?? (await this.#transport.listen(address, accept));
    held?.serve(accept);
    return { host: this.#listener.host, port: this.#listener.port };
  }

  /** Appends are no longer taken; reads are. For good. */
  holdAppends(): void {
    this.#requests.holdsAppends = true;
  }

  /** Tells every client to look elsewhere, and takes no more connections. */
  async close(reason = new RamaError("MODULE_NOT_RUNNING", "the worker stops")): Promise<void> {
    this.#closing = reason;
    for (const session of [...this.#sessions]) session.goodbye(reason);
    await this.#listener?.close();
  }

  #accept(connection: Connection): ConnectionHandlers {
    const session = new Session(connection, this.#requests, this.#env);
    if (this.#closing !== undefined) session.goodbye(this.#closing);
    this.#sessions.add(session);
    const timer = this.#env.setTimer(helloTimeoutMs, () => {
      if (!session.greeted) session.goodbye(new RamaError("TIMEOUT", `no hello within ${helloTimeoutMs} ms`));
    });
    let replica: ConnectionHandlers | undefined;
    return {
      onFrame: (frame, from) => {
        if (session.greeted) session.onFrame(frame);
        else if (replica !== undefined) replica.onFrame(frame, from);
        else if (frame[0] === REPLICA_HELLO && this.#onReplica !== undefined) {
          timer.cancel();
          this.#sessions.delete(session);
          replica = this.#joined(connection, frame);
        } else session.onFrame(frame);
      },
      onClose: (reason, from) => {
        replica?.onClose(reason, from);
        timer.cancel();
        session.closed();
        this.#sessions.delete(session);
      },
    };
  }

  #joined(connection: Connection, hello: Uint8Array): ConnectionHandlers | undefined {
    try {
      return this.#onReplica!(connection, hello);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      connection.close(error.message);
      return undefined;
    }
  }
}
