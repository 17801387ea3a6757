// The worker's main thread between its replicas, which are engine threads, and the metastore: hands views of the groups' records down and proposals of in-sync sets up.
import type { Env } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import type { Config } from "../../config/rama-yaml.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import type { Platform } from "../../net/platform.ts";
import { failureText } from "../../protocol/failure.ts";
import type { OptionSetting } from "../../protocol/cluster-records.ts";
import type { GroupAddress } from "../../protocol/routes.ts";
import { minInSyncOf } from "../../replication/group-record.ts";
import { openClusterMetastore } from "../cluster-settings.ts";
import type { WorkerAssignment } from "./assignment.ts";
import type { EngineHandle } from "./engine-handle.ts";
import { WorkerReplicas } from "./worker-replicas.ts";

export interface ReplicaSeatsOptions {
  readonly platform: Platform;
  readonly config: Config;
  readonly assignment: WorkerAssignment;
  /** Another one for each process. */
  readonly life: string;
  /** By task group. */
  readonly engines: ReadonlyMap<number, EngineHandle>;
  readonly settings: () => readonly OptionSetting[];
  readonly onLeaders: (leaders: readonly GroupAddress[]) => void;
}

/** The metastore may give a session less time than is asked for, and hear of its last sign of life a tick late. */
const leaseMaxMs = 5_000;
export const leaseMsOf = (sessionTimeoutMs: number): number => Math.min(leaseMaxMs, sessionTimeoutMs / 2);

export class ReplicaSeats {
  readonly #env: Env;
  readonly #metastore: Metastore;
  readonly #replicas: WorkerReplicas;
  readonly #leaseMs: number;

  private constructor(env: Env, metastore: Metastore, replicas: WorkerReplicas, leaseMs: number) {
    this.#leaseMs = leaseMs;
    this.#env = env;
    this.#metastore = metastore;
    this.#replicas = replicas;
  }

  /** Resolves when the other workers can see this one. METASTORE_UNAVAILABLE. */
  static async open(options: ReplicaSeatsOptions, groupPorts: Readonly<Record<string, number>>): Promise<ReplicaSeats> {
    const { platform, config, assignment, life, engines, settings, onLeaders } = options;
    const { dataId, factor, node } = assignment.replication!;
    const metastore = await openClusterMetastore(platform, config);
    const setting = () => settings().find(({ name, scope }) => name === "replication.min.isr" && scope === "module");
    const replicas = new WorkerReplicas({
      env: platform.env,
      metastore,
      dataId,
      member: assignment.workerIndex,
      life,
      host: assignment.host,
      ...(node === undefined ? {} : { node }),
      memberCount: assignment.workers * factor,
      groupCount: assignment.threads,
      groups: assignment.groups,
      minInSync: () => minInSyncOf(setting()?.value, factor),
      mayLead: (group) => engines.get(group)?.mayLead !== false,
      onView: (group, { record, live }) => engines.get(group)?.post({ kind: "view", record, live: [...live] }),
      onLeaders,
    });
    const seats = new ReplicaSeats(
      platform.env,
      metastore,
      replicas,
      leaseMsOf(config.get<number>("zookeeper.session.timeout.millis")),
    );
    for (const [group, engine] of engines) seats.#serve(group, engine);
    try {
      await replicas.start(groupPorts);
    } catch (error) {
      await seats.close();
      throw error;
    }
    return seats;
  }

  #serve(group: number, engine: EngineHandle): void {
    engine.onMayLead = () => this.#replicas.look(group);
    engine.onPropose = ({ request, epoch, change }) => {
      this.#env.spawn(`record of group ${group}`, async () => {
        try {
          if (change === "confirm") {
            const leaseMs = (await this.#replicas.confirm(group, epoch)) ? this.#leaseMs : 0;
            engine.post({ kind: "proposed", request, leaseMs });
            return;
          }
          const record =
            "leader" in change
              ? await this.#replicas.handOver(group, epoch, change.leader)
              : await this.#replicas.propose(group, epoch, change.inSync);
          engine.post({ kind: "proposed", request, record });
        } catch (error) {
          if (!(error instanceof RamaError)) throw error;
          engine.post({ kind: "proposed", request, failure: failureText(error) });
        }
      });
    };
  }

  async close(): Promise<void> {
    await this.#replicas.stop();
    await this.#metastore.close();
  }
}
