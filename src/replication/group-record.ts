// What the metastore knows of a replicated task group: one node per group, changed by compare-and-set alone. Pure decisions about it: who stands for leader, and what a
// new leader writes.
//
// Only members of the in-sync set have every committed entry, so only they may lead. The record is the fence: a leader that has been succeeded cannot change it any
// more, since its version has moved on, and without that it can shrink no set; and those in its set follow the new epoch and confirm nothing to the old one.

/** A replica, by the index of the worker that holds it. */
export type Member = number;

export interface GroupRecord {
  /** One more with each leader. 0: there has been none. */
  readonly epoch: number;
  readonly leader: Member | null;
  /** Which life of the leader's process: one that was started again does not lead by what an earlier one was given. */
  readonly leaderLife: string | null;
  /** Every replica, in the order in which they are preferred as leaders. */
  readonly members: readonly Member[];
  /** Those that hold every committed entry; the leader among them. */
  readonly inSync: readonly Member[];
}

export const firstRecord = (members: readonly Member[]): GroupRecord => ({
  epoch: 0,
  leader: null,
  leaderLife: null,
  members,
  inSync: members,
});

/** Processes that have a session now, with their lives. */
export type LiveMembers = ReadonlyMap<Member, string>;

export const hasLeader = (record: GroupRecord, live: LiveMembers): boolean =>
  record.leader !== null && live.get(record.leader) === record.leaderLife;

/** Who should stand for leader now; undefined: nobody need, or nobody may. `excluded`: not if there is another. */
export function candidateOf(
  record: GroupRecord,
  live: LiveMembers,
  excluded: ReadonlySet<Member> = new Set(),
): Member | undefined {
  if (hasLeader(record, live)) return undefined;
  const eligible = record.members.filter((member) => record.inSync.includes(member) && live.has(member));
  return eligible.find((member) => !excluded.has(member)) ?? eligible[0];
}

/**
 * The former leader leaves the set at once if its process is gone and enough are left: the first commit need not wait for it. Of other members that are not seen it is not
 * known whether they are gone or have not been seen yet.
 */
export function electedRecord(
  record: GroupRecord,
  live: LiveMembers,
  leader: Member,
  options: { readonly minInSync: number },
): GroupRecord {
  const here = record.inSync.filter((member) => member !== record.leader || live.has(member));
  return {
    ...record,
    epoch: record.epoch + 1,
    leader,
    leaderLife: live.get(leader) ?? null,
    inSync: here.length >= options.minInSync ? here : record.inSync,
  };
}

/**
 * The leader hands over to `to`, which has all that was appended; undefined: `to` may not lead. The former leader leaves the set where enough are left: it opens its
 * store anew before it follows, and commits need not wait for that.
 */
export function handedOver(
  record: GroupRecord,
  live: LiveMembers,
  to: Member,
  { minInSync }: { readonly minInSync: number },
): GroupRecord | undefined {
  const life = live.get(to);
  if (life === undefined || to === record.leader || !record.inSync.includes(to)) return undefined;
  const others = record.inSync.filter((member) => member !== record.leader);
  const inSync = others.length >= minInSync ? others : record.inSync;
  return { ...record, epoch: record.epoch + 1, leader: to, leaderLife: life, inSync };
}

/** `replication.min.isr` as it counts: replication factor - 1 when unset, within [1, replication factor]. */
export function minInSyncOf(setting: unknown, replicationFactor: number): number {
  const wanted = typeof setting === "number" ? setting : replicationFactor - 1;
  return Math.max(1, Math.min(replicationFactor, wanted));
}
