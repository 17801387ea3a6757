// A replica's eye on its group's record in the metastore, and its hand: tells every change, stands for leader when it is its turn, and writes in-sync sets for the leader
// that it serves. All changes are conditional on the version that was read, so that of two that stand at once one leads.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Metastore, MetastoreOp } from "../metastore/metastore.ts";
import { fromNode, toNode, tree } from "../metastore/tree.ts";
import {
  candidateOf,
  electedRecord,
  type GroupRecord,
  handedOver,
  hasLeader,
  type LiveMembers,
  type Member,
} from "./group-record.ts";
import type { MemberWatch } from "./member-watch.ts";

export interface GroupWatchOptions {
  readonly env: Env;
  readonly metastore: Metastore;
  readonly dataId: string;
  readonly group: number;
  readonly self: Member;
  readonly members: MemberWatch;
  readonly minInSync: () => number;
  /** False: the replica lacks entries that it once confirmed (`rebuild.ts`). Call `look` when that changes. */
  readonly mayLead?: () => boolean;
  readonly onView: (record: GroupRecord) => void;
}

const retryMs = 200;
/** A member whose turn it is not stands after so long, should the one whose turn it is not have done so. */
const secondMs = 1_000;
/** At a launch the preferred leader may still be loading the module. */
const firstElectionMs = 3_000;

export class GroupWatch {
  readonly #options: GroupWatchOptions;
  readonly #stop = new AbortController();
  #record: GroupRecord | undefined;
  #version = 0;
  #timer: Timer | undefined;
  #standing = false;

  constructor(options: GroupWatchOptions) {
    this.#options = options;
    options.members.onChange(() => this.#look());
  }

  get record(): GroupRecord | undefined {
    return this.#record;
  }

  /** Looks again at who should lead. */
  look(): void {
    this.#look();
  }

  start(): void {
    this.#options.env.spawn(`record of group ${this.#options.group}`, () => this.#watch());
  }

  stop(): void {
    this.#stop.abort();
    this.#timer?.cancel();
  }

  /** See `ReplicaControl.propose`. METASTORE_UNAVAILABLE: whether it was written is not known. */
  propose(epoch: number, inSync: readonly Member[]): Promise<GroupRecord> {
    return this.#change(epoch, (record) => ({ ...record, inSync }));
  }

  /** See `ReplicaControl.handOver`. METASTORE_UNAVAILABLE: as above. */
  handOver(epoch: number, to: Member): Promise<GroupRecord> {
    const minInSync = this.#options.minInSync();
    return this.#change(epoch, (record) => handedOver(record, this.#lives(), to, { minInSync }));
  }

  /** For the leader of `epoch`: what stands there in the end, which is as it was where `next` is undefined or another leads. */
  async #change(epoch: number, nextOf: (record: GroupRecord) => GroupRecord | undefined): Promise<GroupRecord> {
    for (;;) {
      const { record, version } = await this.#read();
      const next = record.epoch === epoch ? nextOf(record) : undefined;
      if (next === undefined) return record;
      try {
        await this.#options.metastore.set(this.#path, toNode(next), version);
        return next;
      } catch (error) {
        if (!(error instanceof RamaError && error.code === "METASTORE_CONFLICT")) throw error;
      }
    }
  }

  /**
   * Whether the leader of `epoch`, on this worker, had not been succeeded when this was asked, and cannot be while the session lasts. Asked as a write, though nothing is
   * changed: so it is answered by who decides, and not out of an older state.
   */
  async confirm(epoch: number): Promise<boolean> {
    const { metastore, dataId, self } = this.#options;
    let known = this.#record?.epoch === epoch ? this.#version : undefined;
    for (let tries = 0; tries < 2; tries++) {
      if (known === undefined) {
        const { record, version } = await this.#read();
        if (record.epoch !== epoch) return false;
        known = version;
      }
      try {
        await metastore.multi([
          { kind: "check", path: this.#path, expectedVersion: known },
          // Written once by each session.
          { kind: "check", path: tree.member(dataId, self), expectedVersion: 0 },
        ]);
        return true;
      } catch (error) {
        if (!(error instanceof RamaError && error.code === "METASTORE_CONFLICT")) throw error;
        known = undefined;
      }
    }
    return false;
  }

  get #path(): string {
    return tree.group(this.#options.dataId, this.#options.group);
  }

  async #read(): Promise<{ readonly record: GroupRecord; readonly version: number }> {
    const node = await this.#options.metastore.get(this.#path);
    if (node === undefined)
      throw new RamaError("METASTORE_NO_NODE", `${this.#path} is not there`, { path: this.#path });
    return { record: fromNode<GroupRecord>(node.data), version: node.version };
  }

  async #watch(): Promise<void> {
    const { env, metastore } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const node of metastore.watch(this.#path, signal)) {
          if (node === undefined || (this.#record !== undefined && node.version < this.#version)) continue;
          this.#record = fromNode<GroupRecord>(node.data);
          this.#version = node.version;
          this.#look();
        }
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        await env.sleep(retryMs, signal);
      }
    }
  }

  #lives(): LiveMembers {
    return new Map([...this.#options.members.live].map(([member, { life }]) => [member, life]));
  }

  #look(): void {
    const record = this.#record;
    if (record === undefined || this.#stop.signal.aborted) return;
    this.#options.onView(record);
    const live = this.#lives();
    this.#timer?.cancel();
    this.#timer = undefined;
    const { self, env } = this.#options;
    if (hasLeader(record, live) || !record.inSync.includes(self) || !live.has(self)) return;
    if (this.#options.mayLead?.() === false) return;
    const { excluded } = this.#options.members;
    const candidate = candidateOf(record, live, excluded);
    // Where its node shall not lead, it leads only if there is nobody else.
    if (excluded.has(self) && candidate !== self) return;
    const preferred = record.members.find((member) => !excluded.has(member));
    const isFirst = record.epoch === 0 && preferred !== undefined ? preferred === self : candidate === self;
    if (isFirst) this.#stand();
    else this.#timer = env.setTimer(record.epoch === 0 ? firstElectionMs : secondMs, () => this.#stand());
  }

  #stand(): void {
    if (this.#standing || this.#stop.signal.aborted) return;
    this.#standing = true;
    const { env, group } = this.#options;
    env.spawn(`election of group ${group}`, async () => {
      try {
        await this.#tryToLead();
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        // Somebody else was faster, or the metastore is away: the next change, or the timer, decides.
        this.#timer ??= env.setTimer(retryMs, () => this.#look());
      } finally {
        this.#standing = false;
      }
    });
  }

  async #tryToLead(): Promise<void> {
    const { metastore, self, minInSync, members } = this.#options;
    const { record, version } = await this.#read();
    const live = this.#lives();
    if (hasLeader(record, live) || !record.inSync.includes(self) || !live.has(self)) return;
    if (this.#options.mayLead?.() === false) return;
    if (members.excluded.has(self) && candidateOf(record, live, members.excluded) !== self) return;
    const next = electedRecord(record, live, self, { minInSync: minInSync() });
    const absent = record.leader !== null && !live.has(record.leader) ? record.leader : undefined;
    if (absent === undefined) await metastore.set(this.#path, toNode(next), version);
    else await metastore.multi(whileAbsent(tree.member(this.#options.dataId, absent), this.#path, next, version));
  }
}

/** The former leader's node must not stand at that very moment: it may have come back, and rely on it that nobody is elected while it is there. */
function whileAbsent(member: string, path: string, next: GroupRecord, expectedVersion: number): MetastoreOp[] {
  return [
    { kind: "create", path: member, data: toNode({}) },
    { kind: "remove", path: member },
    { kind: "set", path, data: toNode(next), expectedVersion },
  ];
}
