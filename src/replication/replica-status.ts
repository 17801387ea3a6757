// What a replica tells of itself: shown by `taskGroupsStatus`, `moduleStatus` and REST.
import { RamaError } from "../base/errors.ts";
import type { CopyProgress } from "./copy-sender.ts";
import type { GroupRecord, Member } from "./group-record.ts";
import type { GroupLeader } from "./leader.ts";

export interface ReplicaStatus {
  readonly group: number;
  readonly member: Member;
  /** "recovering": it leads, and what its log holds is not all on the in-sync replicas yet; nothing is served. */
  readonly role: "leader" | "recovering" | "follower";
  /** Its store was damaged; its leader fills a new one. */
  readonly rebuilding: boolean;
  readonly epoch: number;
  readonly leader: Member | null;
  readonly inSync: readonly Member[];
  readonly end: number;
  readonly durable: number;
  readonly committed: number;
  readonly applied: number;
  /** Leaders: too few replicas are in sync, nothing is committed. */
  readonly stalled: boolean;
  readonly followers: readonly FollowerStatus[];
}

/** As its leader sees it. */
export interface FollowerStatus {
  readonly member: Member;
  /** Entries that it lacks; null while it is not connected, or further behind than the log goes back. */
  readonly lag: number | null;
  /** Further behind than the log goes back. */
  readonly far: boolean;
  /** How much it has of the copy that is being sent. */
  readonly copy: CopyProgress | null;
}

export function statusOfReplica(of: {
  readonly group: number;
  readonly self: Member;
  readonly record: GroupRecord | undefined;
  readonly leader: GroupLeader | undefined;
  readonly serves: boolean;
  readonly rebuilding: boolean;
  readonly positions: { readonly end: number; readonly durable: number; readonly applied: number };
  /** Members further behind than the log goes back, and how much they have of a copy. */
  readonly far: ReadonlyMap<Member, CopyProgress | undefined>;
}): ReplicaStatus {
  const { group, self, record, leader, serves, rebuilding, positions, far } = of;
  const { end, applied } = positions;
  return {
    group,
    member: self,
    role: leader === undefined ? "follower" : serves ? "leader" : "recovering",
    rebuilding,
    epoch: leader?.epoch ?? record?.epoch ?? 0,
    leader: leader?.self ?? record?.leader ?? null,
    inSync: leader?.inSync ?? record?.inSync ?? [],
    end,
    durable: leader?.durable ?? positions.durable,
    committed: leader?.committed ?? applied,
    applied,
    stalled: leader?.stalled ?? false,
    followers: (leader?.followers ?? []).map(({ member, connected, durable }) => ({
      member,
      lag: connected && durable >= 0 ? end - durable : null,
      far: far.has(member),
      copy: far.get(member) ?? null,
    })),
  };
}

export function stalledError(group: number, leader: GroupLeader): RamaError {
  const { inSync, minInSync, committed, end } = leader;
  const message = `task group ${group} has too few replicas in sync: ${minInSync} must hold each entry, nothing is stored meanwhile`;
  return new RamaError("IN_SYNC_TOO_SMALL", message, {
    group,
    inSync: inSync.join(),
    needed: minInSync,
    committed,
    end,
  });
}
