// What must hold of the replicas of task groups, judged from log lines and from what the conductor tells of a module: one leader for each epoch, epochs and positions that
// never go back, and after all the same contents on every replica. No clock and no cluster: `replicas.ts` asks.
import { dataIdOf } from "../../protocol/cluster-records.ts";
import type { GroupState, ModuleStatusAnswer, ReplicaReport } from "../../protocol/conductor.ts";
import { Violation } from "./history.ts";

/** One replica at rest. */
export interface HeldContents {
  readonly worker: string;
  readonly applied: number;
  readonly hash: string;
}

interface Group {
  /** By epoch: the process that began to lead. */
  readonly leaders: Map<number, string>;
  /** Of the record in the metastore. */
  epoch: number;
  /** The furthest that the leader of the latest epoch has told to be committed. */
  committed: { epoch: number; offset: number };
  /** The furthest that anybody has applied. */
  applied: number;
}

const leaderLine = /^(\S+) .*a task group has a new leader: this replica group=(\d+) epoch=(\d+) .*data=(\S+)/;

export class ReplicaOracles {
  readonly #groups = new Map<string, Group>();

  /** A line of a process's log. */
  line(line: string): void {
    if (!line.includes("has a new leader")) return;
    const [, process, group, epoch, data] = leaderLine.exec(line) ?? [];
    if (process !== undefined) this.leads(`${data} group ${group}`, Number(epoch), process);
  }

  /** Processes that began to lead a group and were not seen to be succeeded. */
  get leaders(): string[] {
    return [...this.#groups.values()].flatMap(({ leaders }) => leaders.get(Math.max(...leaders.keys())) ?? []);
  }

  leads(name: string, epoch: number, process: string): void {
    const { leaders } = this.#group(name);
    const other = leaders.get(epoch);
    if (other !== undefined) throw new Violation(`${name}: ${other} and ${process} both lead epoch ${epoch}`);
    leaders.set(epoch, process);
  }

  /** What the conductor tells of a module; answers have to come in the order in which they were asked for. */
  status({ module, groups, engines }: ModuleStatusAnswer): void {
    const instance = module.instances[0];
    if (instance === undefined) return;
    const data = dataIdOf(instance);
    groups.forEach((state, group) => {
      if (state !== null) this.#record(`${data} group ${group}`, state);
    });
    for (const replica of engines.flatMap((worker) => worker.engines.flatMap((engine) => engine.replica ?? []))) {
      this.#replica(`${data} group ${replica.group}`, replica);
    }
  }

  #record(name: string, { epoch }: GroupState): void {
    const group = this.#group(name);
    if (epoch < group.epoch) throw new Violation(`${name}: epoch ${epoch} comes after epoch ${group.epoch}`);
    group.epoch = epoch;
  }

  /** Of followers `applied` alone counts: their view of the epoch is an old one now and then, and a restart begins at what was flushed. */
  #replica(name: string, { role, epoch, applied, member }: ReplicaReport): void {
    const group = this.#group(name);
    group.applied = Math.max(group.applied, applied);
    // A leader's applied entries are what it has committed. One that was succeeded may not know yet.
    const before = group.committed;
    if (role !== "leader" || epoch < before.epoch) return;
    if (applied < before.offset) {
      const told = `member ${member} leads epoch ${epoch} with ${applied} committed entries`;
      throw new Violation(`${name}: ${told}; the leader of epoch ${before.epoch} had told ${before.offset}`);
    }
    group.committed = { epoch, offset: applied };
  }

  /** All replicas of a group, at rest. True: they are level, and hold the same; false: they are not level yet. */
  same(data: string, group: number, held: readonly HeldContents[]): boolean {
    const name = `${data} group ${group}`;
    const byOffset = new Map<number, HeldContents>();
    for (const contents of held) {
      const other = byOffset.get(contents.applied);
      if (other !== undefined && other.hash !== contents.hash) {
        const who = `${other.worker} and ${contents.worker} have applied ${contents.applied} entries each`;
        throw new Violation(`replicas of group ${group} differ: ${who} (${name})`);
      }
      byOffset.set(contents.applied, contents);
    }
    if (byOffset.size !== 1) return false;
    const { applied } = held[0]!;
    const most = this.#group(name).applied;
    if (applied < most) throw new Violation(`${name}: all replicas have applied ${applied} entries, one had ${most}`);
    return true;
  }

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { leaders: new Map(), epoch: 0, committed: { epoch: 0, offset: 0 }, applied: 0 };
      this.#groups.set(name, group);
    }
    return group;
  }
}
