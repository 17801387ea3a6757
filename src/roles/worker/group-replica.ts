// One replica of a task group in a worker: an engine that follows or leads, and is opened anew on the same port when it has been succeeded. Its owner tells it what the
// metastore says (`worker-replicas.ts`).
import type { Env } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Address } from "../../net/transport.ts";
import type { GroupRecord, Member } from "../../replication/group-record.ts";
import { isRebuilding, setAside } from "../../replication/rebuild.ts";
import type { LiveReplica } from "../../replication/replica-contract.ts";
import type { EngineReplication } from "../../task/engine-api.ts";
import { EngineHost, type EngineHostOptions } from "./engine-host.ts";

export interface GroupReplicaOptions {
  readonly env: Env;
  /** Asked for each time that the engine is opened. */
  readonly host: () => Omit<EngineHostOptions, "replication">;
  readonly replication: Omit<EngineReplication, "onDeposed" | "onRebuilt">;
  /** False: it lacks entries that it once confirmed, or its disk is in trouble; it must not stand for leader until true. */
  readonly onMayLead?: (mayLead: boolean) => void;
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
/** A disk in trouble is tried again after so long. */
const diskTryMs = 1_000;

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
    const hooks: HostHooks = {
      onDeposed: (replace) => replica?.onDeposed(replace),
      onBroken: (error) => {
        if (replica === undefined) options.onFailed(error);
        else replica.onBroken(error);
      },
    };
    const host = await openHost(options, options.host().address, hooks);
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

  /** A write or sync has failed, or the store is damaged. A follower opens its store anew by itself; a leader's process ends, so that another replica leads at once. */
  onBroken(error: unknown): void {
    const { env, replication, onFailed, onMayLead } = this.#options;
    if (this.#closed || this.#reopening !== undefined) return;
    const follows = this.#host.engine.replica!.status().role === "follower";
    if (!follows || !isDiskTrouble(error)) {
      onFailed(error);
      return;
    }
    env.log.error("a replica stops: its disk is in trouble", { member: replication.self, error: messageOf(error) });
    onMayLead?.(false);
    this.onDeposed();
  }

  async #reopen(replace: (() => void) | undefined): Promise<void> {
    const { env, onFailed } = this.#options;
    const hooks: HostHooks = { onDeposed: (next) => this.onDeposed(next), onBroken: (error) => this.onBroken(error) };
    try {
      await this.#closeHost();
      replace?.();
      for (let left = portTries; !this.#closed; ) {
        try {
          this.#host = await openHost(this.#options, this.address, hooks);
          break;
        } catch (error) {
          const isPort = error instanceof RamaError && error.code === "PORT_IN_USE" && left-- > 0;
          if (!isPort && !isDiskTrouble(error)) throw error;
          if (!isPort) env.log.warn("a replica does not open: its disk is in trouble", { error: messageOf(error) });
          await env.sleep(isPort ? portTryMs : diskTryMs);
        }
      }
      this.#reopening = undefined;
      if (this.#view !== undefined) this.view(this.#view);
    } catch (error) {
      env.log.error("a replica does not open again", { error: messageOf(error) });
      onFailed(error);
    }
  }

  /** What cannot be flushed any more is in the log, or at the leader. */
  async #closeHost(): Promise<void> {
    try {
      await this.#host.depose();
    } catch (error) {
      if (!isDiskTrouble(error)) throw error;
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

interface HostHooks {
  readonly onDeposed: EngineReplication["onDeposed"];
  readonly onBroken: (error: unknown) => void;
}

/** A damaged store is set aside, and an empty one opened in its place. */
async function openHost(options: GroupReplicaOptions, address: Address, hooks: HostHooks): Promise<EngineHost> {
  const { env, replication, onMayLead } = options;
  const host = options.host();
  const { onDeposed, onBroken } = hooks;
  const open = async (): Promise<EngineHost> => {
    onMayLead?.(!isRebuilding(host.disk, host.dir));
    const onRebuilt = (): void => onMayLead?.(true);
    return EngineHost.open({ ...host, address, onBroken, replication: { ...replication, onDeposed, onRebuilt } });
  };
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof RamaError && error.code === "STORE_CORRUPT")) throw error;
    const facts = { dir: host.dir, groups: host.groups.join(), error: messageOf(error) };
    env.log.error("a replica's store is damaged: it is set aside, and rebuilt from the group's leader", facts);
    setAside(host.disk, host.dir);
    return await open();
  }
}

function isDiskTrouble(error: unknown): boolean {
  if (!(error instanceof RamaError)) return false;
  return ["DISK_FULL", "DISK_FAILED", "DISK_READ_ONLY", "STORE_CORRUPT"].includes(error.code);
}
