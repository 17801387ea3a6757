// A worker's replicas as the metastore sees them: says that the worker lives, watches who leads which task group of the module, stands for leader of the worker's own
// groups, and writes in-sync sets for those that it leads. The replicas themselves are elsewhere (other threads), behind `onView`.
import type { Env } from "../../base/env.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import type { GroupAddress } from "../../protocol/routes.ts";
import type { GroupRecord, Member } from "../../replication/group-record.ts";
import { GroupWatch } from "../../replication/group-watch.ts";
import { MemberWatch } from "../../replication/member-watch.ts";
import type { LiveReplica } from "../../replication/replica-contract.ts";
import type { GroupView } from "./group-replica.ts";

export interface WorkerReplicasOptions {
  readonly env: Env;
  readonly metastore: Metastore;
  readonly dataId: string;
  readonly member: Member;
  readonly life: string;
  readonly host: string;
  /** Id of the supervisor that runs the worker. */
  readonly node?: string;
  /** Workers of the module, over all replica sets. */
  readonly memberCount: number;
  /** Task groups of the module, and those that this worker has replicas of. */
  readonly groupCount: number;
  readonly groups: readonly number[];
  readonly minInSync: () => number;
  /** False: the group's replica here lacks entries that it once confirmed. */
  readonly mayLead?: (group: number) => boolean;
  readonly onView: (group: number, view: GroupView) => void;
  /** Where each group of the module is led now; port 0: nowhere. */
  readonly onLeaders: (leaders: readonly GroupAddress[]) => void;
}

const nowhere: GroupAddress = { host: "", port: 0 };

export class WorkerReplicas {
  readonly #options: WorkerReplicasOptions;
  readonly #watches: GroupWatch[] = [];
  #members: MemberWatch | undefined;
  #told = "";

  constructor(options: WorkerReplicasOptions) {
    this.#options = options;
  }

  /** `groupPorts`: of the worker's own replicas, which are open. Resolves when others can see the worker. */
  async start(groupPorts: Readonly<Record<string, number>>): Promise<void> {
    const { env, metastore, dataId, member, life, host, node, memberCount, groupCount, minInSync } = this.#options;
    const members = new MemberWatch({
      env,
      metastore,
      dataId,
      self: { member, life, host, ...(node === undefined ? {} : { node }), groupPorts },
      members: Array.from({ length: memberCount }, (_, each) => each),
    });
    this.#members = members;
    for (let group = 0; group < groupCount; group++) {
      const watch: GroupWatch = new GroupWatch({
        env,
        metastore,
        dataId,
        group,
        self: member,
        members,
        minInSync,
        mayLead: () => this.#options.mayLead?.(group) !== false,
        onView: (record) => this.#viewed(group, record),
      });
      this.#watches.push(watch);
    }
    await members.start();
    for (const watch of this.#watches) watch.start();
  }

  propose(group: number, epoch: number, inSync: readonly Member[]): Promise<GroupRecord> {
    return this.#watches[group]!.propose(epoch, inSync);
  }

  handOver(group: number, epoch: number, to: Member): Promise<GroupRecord> {
    return this.#watches[group]!.handOver(epoch, to);
  }

  confirm(group: number, epoch: number): Promise<boolean> {
    return this.#watches[group]!.confirm(epoch);
  }

  /** What `mayLead` says of the group has changed. */
  look(group: number): void {
    this.#watches[group]?.look();
  }

  record(group: number): GroupRecord | undefined {
    return this.#watches[group]?.record;
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch.stop();
    await this.#members?.stop();
  }

  /** Stops as a killed process does. */
  abort(): void {
    for (const watch of this.#watches) watch.stop();
    this.#members?.abort();
  }

  #viewed(group: number, record: GroupRecord): void {
    const { groups, onView } = this.#options;
    if (groups.includes(group)) onView(group, { record, live: this.#liveOf(group) });
    this.#tellLeaders();
  }

  #liveOf(group: number): Map<Member, LiveReplica> {
    const live = new Map<Member, LiveReplica>();
    for (const [member, { life, host, groupPorts }] of this.#members!.live) {
      const port = groupPorts[group];
      if (port !== undefined) live.set(member, { life, address: { host, port } });
    }
    return live;
  }

  #tellLeaders(): void {
    const leaders = this.#watches.map(({ record }, group) => {
      if (record?.leader === null || record?.leader === undefined) return nowhere;
      const leader = this.#liveOf(group).get(record.leader);
      return leader?.life === record.leaderLife ? leader.address : nowhere;
    });
    const text = JSON.stringify(leaders);
    if (text === this.#told) return;
    this.#told = text;
    this.#options.onLeaders(leaders);
  }
}
