// An engine with its port and its way to the other engines: what an engine thread of a worker holds, and what the in-process cluster holds once per worker.
import type { Env } from "../../base/env.ts";
import type { ClassRegistry } from "../../base/values.ts";
import { RamaError } from "../../base/errors.ts";
import type { Address, Connection, ConnectionHandlers, Transport } from "../../net/transport.ts";
import { decodeReplicaHello } from "../../protocol/replication.ts";
import type { Replica } from "../../replication/replica.ts";
import type { FunctionNamed } from "../../paths/path-codec.ts";
import type { Engine } from "../../task/engine.ts";
import type { EngineOptions } from "../../task/engine-api.ts";
import { openEngine } from "../../topology/open-engine.ts";
import type { HeldListener } from "./held-listener.ts";
import { EngineRouter } from "./router.ts";
import { EngineServer } from "./server.ts";

export interface EngineHostOptions extends Omit<EngineOptions, "router" | "classes"> {
  readonly transport: Transport;
  readonly classes: ClassRegistry;
  /** Where to listen; port 0 takes a free one. */
  readonly address: Address;
  /** Listens there already. */
  readonly held?: HeldListener | undefined;
  readonly release: string;
  readonly recordBytesMax: number;
  readonly answerBytesMax: number;
  /** The engine that owns a task, as far as known. */
  readonly addressOf: (task: number) => Address | undefined;
  readonly functionNamed?: FunctionNamed;
}

export class EngineHost {
  readonly engine: Engine;
  readonly address: Address;
  readonly #server: EngineServer;
  readonly #router: EngineRouter;
  readonly #env: Env;

  private constructor(env: Env, engine: Engine, address: Address, server: EngineServer, router: EngineRouter) {
    this.#env = env;
    this.engine = engine;
    this.address = address;
    this.#server = server;
    this.#router = router;
  }

  static async open(options: EngineHostOptions): Promise<EngineHost> {
    const { env, transport, info, address, release, addressOf } = options;
    let opened: Engine | undefined;
    const router = new EngineRouter({
      env,
      transport,
      release,
      moduleInstanceId: info.moduleInstanceId,
      addressOf,
      onPeerLost: (tasks) => opened?.peerGone(tasks),
      onPeerBack: () => opened?.peerLost(),
    });
    const engine = await openEngine({ ...options, router });
    opened = engine;
    const { replica } = engine;
    const onReplica =
      replica && ((connection: Connection, hello: Uint8Array) => acceptReplica(options, replica, connection, hello));
    const server = new EngineServer({ ...options, engine, ...(onReplica === undefined ? {} : { onReplica }) });
    try {
      return new EngineHost(env, engine, await server.listen(address, options.held), server, router);
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Another replica leads: clients are told to look elsewhere, and everything is dropped that is not applied. */
  async depose(): Promise<void> {
    await this.#server.close(new RamaError("MOVED", "another replica leads this task group"));
    this.#router.close();
    await this.engine.depose();
  }

  /** Stops as a killed process does. For tests and simulation; a process is really killed. */
  abort(): void {
    this.#router.close();
    this.engine.abort();
  }

  /**
   * No new work, then the engine drains, flushes and closes its store. Most of the flushing is done while reads are still served, so that whoever waits for
   * the store has it soon after.
   */
  async close(): Promise<void> {
    this.#server.holdAppends();
    try {
      await this.engine.settle();
    } catch (error) {
      this.#env.log.debug("flushing before the close failed", { error });
    }
    await this.#server.close();
    this.#router.close();
    await this.engine.close();
    this.#env.log.debug("engine closed", { port: this.address.port });
  }
}

function acceptReplica(
  { replication, groups }: EngineHostOptions,
  replica: Replica,
  connection: Connection,
  frame: Uint8Array,
): ConnectionHandlers {
  const hello = decodeReplicaHello(frame);
  if (hello.dataId === replication!.dataId && hello.group === groups[0]) return replica.accept(connection, hello);
  throw new RamaError("MOVED", `group ${hello.group} of ${hello.dataId} is not here`, { group: hello.group });
}
