// Which workers hold replicas of which task group, and in which order they are preferred as its leader: so that the leaders of all groups are spread evenly over the
// workers when everybody is there.
import type { InstanceRecord, Placement } from "../protocol/cluster-records.ts";
import { dataIdOf } from "../protocol/cluster-records.ts";
import { firstRecord, type GroupRecord, type Member } from "../replication/group-record.ts";

/** Group g of a worker's i-th is led by the replica set i mod replication factor. */
export function membersOf(placements: readonly Placement[], group: number): Member[] {
  const holders = placements.filter(({ groups }) => groups.includes(group));
  const members = holders.map(({ workerIndex }) => workerIndex);
  if (members.length < 2) return members;
  const first = holders[0]!.groups.indexOf(group) % members.length;
  return [...members.slice(first), ...members.slice(0, first)];
}

/** The records of a launched module's groups; none for a module without replicas. */
export function firstRecords(instance: InstanceRecord): { readonly dataId: string; readonly records: GroupRecord[] } {
  const dataId = dataIdOf(instance);
  if (instance.replicationFactor < 2) return { dataId, records: [] };
  const records = Array.from({ length: instance.threads }, (_, group) =>
    firstRecord(membersOf(instance.placement, group)),
  );
  return { dataId, records };
}
