// One replica of a task group in a worker: an engine that follows or leads, and is opened anew on the same port when it has been succeeded. Its owner tells it what the
// metastore says (`worker-replicas.ts`).
import type { Env } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Address } from "../../net/transport.ts";
import type { GroupRecord, Member } from "../../replication/group-record.ts";
import type { LiveReplica } from "../../replication/replica-contract.ts";
import type { EngineReplication } from "../../task/engine-api.ts";
import { EngineHost, type EngineHostOptions } from "./engine-host.ts";

export interface GroupReplicaOptions {
  readonly env: Env;
  /** Asked for each time that the engine is opened. */
  readonly host: () => Omit<EngineHostOptions, "replication">;
  readonly replication: Omit<EngineReplication, "onDeposed">;
  /** It cannot be opened anew: the process should end. */
  readonly onFailed: (error: unknown) => void;
}

/** What the metastore says of the group. */
export interface GroupView {
  readonly record: GroupRecord;
  readonly live: ReadonlyMap<Member, LiveReplica>;
}

/** The port of an engine that has just closed may take a moment to be free. */
const portTryMs = 20;
const portTries = 100;

export class GroupReplica {
  readonly address: Address;
  readonly #options: GroupReplicaOptions;
  #host: EngineHost;
  #view: GroupView | undefined;
  #reopening: Promise<void> | undefined;
  #closed = false;

  private constructor(options: GroupReplicaOptions, host: EngineHost) {
    this.#options = options;
    this.#host = host;
    this.address = host.address;
  }

  static async open(options: GroupReplicaOptions): Promise<GroupReplica> {
    let replica: GroupReplica | undefined;
    const host = await openHost(options, options.host().address, (replace) => replica?.onDeposed(replace));
    replica = new GroupReplica(options, host);
    return replica;
  }

  /** The engine of now; another one after a succession. */
  get host(): EngineHost {
    return this.#host;
  }

  view(view: GroupView): void {
    this.#view = view;
    if (this.#reopening === undefined && !this.#closed) this.#host.engine.replica!.view(view.record, view.live);
  }

  onDeposed(replace?: () => void): void {
    if (this.#closed || this.#reopening !== undefined) return;
    this.#reopening = this.#reopen(replace);
    this.#options.env.spawn("a replica begins to follow", () => this.#reopening!);
  }

  async #reopen(replace: (() => void) | undefined): Promise<void> {
    const { env, onFailed } = this.#options;
    try {
      await this.#host.depose();
      replace?.();
      for (let left = portTries; !this.#closed; left--) {
        try {
          this.#host = await openHost(this.#options, this.address, (next) => this.onDeposed(next));
          break;
        } catch (error) {
          if (!(error instanceof RamaError && error.code === "PORT_IN_USE") || left === 0) throw error;
          await env.sleep(portTryMs);
        }
      }
      this.#reopening = undefined;
      if (this.#view !== undefined) this.view(this.#view);
    } catch (error) {
      env.log.error("a replica does not open again", { error: messageOf(error) });
      onFailed(error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#reopening;
    await this.#host.close();
  }

  /** Stops as a killed process does. */
  abort(): void {
    this.#closed = true;
    this.#host.abort();
  }
}

function openHost(
  options: GroupReplicaOptions,
  address: Address,
  onDeposed: EngineReplication["onDeposed"],
): Promise<EngineHost> {
  return EngineHost.open({ ...options.host(), address, replication: { ...options.replication, onDeposed } });
}
