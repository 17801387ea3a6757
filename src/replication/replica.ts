// One replica of a task group: the log's entries on their way to the other replicas and back. It is the log that the engine writes to (`StoreLog`): entries become
// "durable" for the engine when they are committed, on every in-sync replica, so that the engine is the same as with one replica. The decisions are made by `leader.ts`
// and `follower.ts`; here the log is written, frames are sent, and committed entries are handed to the application.
//
// A replica follows until the metastore's record names it the leader. Then it brings what its log holds to the in-sync set, has all of it applied, and only then the
// application leads. When it is succeeded it stops for good (`onDeposed`): what it has in memory may be void. Its owner opens the store anew.
import { assert } from "../base/assert.ts";
import type { Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { Connection, ConnectionHandlers } from "../net/transport.ts";
import { ENTRY_HEADER_BYTES } from "../protocol/replication.ts";
import type { CopyMessage } from "../protocol/store-copy.ts";
import { KIND_CUT } from "../storage/segment.ts";
import type { StoreLog } from "../storage/store-contract.ts";
import { EPOCH_BEGINS } from "./entry.ts";
import type { EpochRuns } from "./epoch-runs.ts";
import { FollowerLink } from "./follower-link.ts";
import { FollowerSession } from "./follower-session.ts";
import { GroupFollower } from "./follower.ts";
import type { GroupRecord, Member } from "./group-record.ts";
import { InSyncKeeper } from "./in-sync-keeper.ts";
import { GroupLeader } from "./leader.ts";
import { Rebuilding } from "./rebuild.ts";
import type { LiveReplica, ReplicaOptions, ReplicaStore } from "./replica-contract.ts";
import { type ReplicaStatus, statusOfReplica } from "./replica-status.ts";
import { eachEntry, type EntryChunk, ReplogTail } from "./replog-tail.ts";
import { leaderStays, Resignation } from "./resignation.ts";
import { ReadGate } from "./read-gate.ts";
import { StoreCopies } from "./store-copies.ts";
import { SyncMarks } from "./sync-marks.ts";
import { UnappliedEntries } from "./unapplied.ts";

const tickMs = 50;
/** The log keeps so much for followers that are away; what is beyond has to be copied (far catch-up). */
const keptForFollowersBytes = 128 * 1024 * 1024;
const keptForFollowersEntries = 50_000;

export class Replica implements StoreLog {
  /** Told when entries are committed, once the application leads; in numbers of the physical log. */
  onDurable: (upTo: number) => void = () => {};
  onFailed: (error: Error) => void = () => {};
  readonly #options: ReplicaOptions;
  readonly #log: ReplicaStore["log"];
  readonly #runs: EpochRuns;
  readonly #tail: ReplogTail;
  readonly #follower: GroupFollower;
  #leader: GroupLeader | undefined;
  readonly #links = new Map<Member, FollowerLink>();
  #upstream: FollowerSession | undefined;
  #live: ReadonlyMap<Member, LiveReplica> = new Map();
  /** Members that have ever been there: of another it is not known that it is gone. */
  readonly #seen = new Set<Member>();
  #record: GroupRecord | undefined;
  /** Entries whose sync is on its way, as positions of both kinds. */
  readonly #marks = new SyncMarks();
  readonly #unapplied: UnappliedEntries;
  /** The greatest of what the engine applied since it leads, and what was applied before. */
  #servedUpTo = 0;
  #serves = false;
  /** Number of the physical log's entry behind which offset 0 would stand; while it serves. */
  #numberBase = 0;
  #tick: Timer | undefined;
  #keeper: InSyncKeeper | undefined;
  /** Whether reads may be answered. */
  readonly reads: ReadGate;
  #resignation: Resignation | undefined;
  #old: EntryChunk | undefined;
  readonly #rebuild: Rebuilding;
  readonly #copies: StoreCopies;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    const { store } = options;
    this.#options = options;
    this.#log = store.log;
    this.#rebuild = new Rebuilding(options);
    this.#runs = store.runs;
    this.#unapplied = new UnappliedEntries(store.applied);
    this.reads = new ReadGate({
      env: options.env,
      group: options.group,
      confirm: () => options.control.confirm(this.#leader!.epoch),
      others: () => this.#leader!.rivals,
      ask: (round) => {
        for (const link of this.#links.values()) link.confirm(round);
      },
    });
    this.#copies = new StoreCopies(options, (offset) => this.#entriesFrom(offset));
    this.#follower = new GroupFollower({ log: store.runs, applied: store.applied, epoch: store.epoch });
    this.#tail = new ReplogTail(store.applied, options.keptEntries === undefined ? undefined : 4_096);
    if (store.unapplied !== undefined) this.#queue(store.unapplied);
    assert(this.#tail.end === store.runs.end, `replica: ${this.#tail.end} entries read, ${store.runs.end} expected`);
    store.log.onDurable = (upTo) => this.#synced(upTo);
    store.log.onFailed = (error) => this.onFailed(error);
  }

  get leads(): boolean {
    return this.#serves && !this.#stopped;
  }

  status(): ReplicaStatus {
    const { group, self } = this.#options;
    const positions = {
      end: this.#runs.end,
      durable: this.#follower.durable,
      applied: Math.max(this.#servedUpTo, this.#unapplied.applied),
    };
    return statusOfReplica({
      group,
      self,
      record: this.#record,
      leader: this.#stopped ? undefined : this.#leader,
      serves: this.leads,
      rebuilding: this.#rebuild.isOn,
      positions,
      far: new Map([...this.#links.values()].flatMap((link) => (link.far ? [[link.member, link.copyProgress]] : []))),
    });
  }

  // ---- the engine's log

  get end(): number {
    return this.#log.end;
  }

  get bytes(): number {
    return this.#log.bytes;
  }

  get overloaded(): boolean {
    return this.#log.overloaded;
  }

  append(kind: number, group: number, epoch: number, offset: number, parts: readonly Uint8Array[]): void {
    const leader = this.#leader;
    if (this.#stopped || leader === undefined || !this.#serves) {
      throw notLed(group);
    }
    assert(offset === leader.end, `replica: entry ${offset} follows ${leader.end}`);
    this.#log.append(kind, group, epoch, offset, parts);
    this.#tail.append(kind, epoch, parts);
    this.#runs.append(epoch);
    leader.appended(offset + 1);
  }

  commit(busy: boolean): void {
    if (this.#stopped) return;
    this.#mark();
    this.#tail.seal();
    // Before a sync on this thread: the followers' syncs run beside it.
    for (const link of this.#links.values()) link.pump();
    this.#log.commit(busy);
    // A sync that ended within this turn has carried them already, perhaps.
    this.#synced(this.#log.durable);
  }

  release(group: number, offset: number): void {
    let upTo = offset;
    if (this.#log.bytes < keptForFollowersBytes) {
      upTo = Math.min(upTo, this.#runs.end - (this.#options.keptEntries ?? keptForFollowersEntries));
      if (this.#options.keptEntries === undefined)
        for (const { durable } of this.#leader?.followers ?? []) upTo = Math.min(upTo, Math.max(0, durable));
    }
    upTo = Math.min(upTo, this.#copies.heldFrom);
    if (upTo > 0) this.#log.release(group, upTo);
  }

  async close(): Promise<void> {
    this.stop();
    await this.#copies.close();
    await this.#log.close();
  }

  /** Answers nobody any more. The log stays open for `close`. */
  stop(): void {
    this.#stopped = true;
    this.#resignation?.end();
    this.reads.stop();
    this.#tick?.cancel();
    for (const link of this.#links.values()) link.close();
    this.#upstream?.close("the replica stops");
  }

  // ---- who leads

  /** What the metastore says now: the group's record, and which replicas have a process. */
  view(record: GroupRecord, live: ReadonlyMap<Member, LiveReplica>): void {
    if (this.#stopped) return;
    this.#live = live;
    for (const member of live.keys()) this.#seen.add(member);
    const { self, life } = this.#options;
    const leader = this.#leader;
    if (leader !== undefined) {
      if (record.epoch > leader.epoch) {
        this.#depose();
        return;
      }
      this.#record = record;
      this.#tellGone(leader);
      return;
    }
    this.#record = record;
    if (record.epoch < this.#follower.epoch) return;
    if (record.leader === self && record.leaderLife === life) this.#lead(record);
    else {
      this.#follower.fenced(record.epoch);
      if (this.#upstream !== undefined && this.#upstream.epoch < record.epoch)
        this.#upstream.close("there is a leader");
    }
  }

  #lead(record: GroupRecord): void {
    const { env, self, group, dataId: data, minInSync, maxLagMs } = this.#options;
    const { epoch, members, inSync } = record;
    this.#follower.greeted(epoch);
    this.#upstream?.close("this replica leads");
    this.#upstream = undefined;
    this.#log.append(EPOCH_BEGINS, group, epoch, this.#runs.end, []);
    const from = this.#runs.end;
    this.#runs.append(epoch);
    this.#tail.append(EPOCH_BEGINS, epoch, []);
    this.#tail.seal();
    const chunk = this.#tail.at(from)!;
    this.#unapplied.add(chunk);
    const { durable } = this.#follower;
    this.#leader = new GroupLeader({
      self,
      epoch,
      members,
      inSync,
      minInSync: minInSync(),
      end: this.#runs.end,
      durable,
      committed: Math.min(durable, this.#follower.committed),
      maxLagMs: maxLagMs(),
      nowMs: env.monotonicMs(),
    });
    env.log.info("a task group has a new leader: this replica", { group, epoch, member: self, end: from + 1, data });
    this.#keeper = new InSyncKeeper({
      ...this.#options,
      leader: this.#leader,
      stopped: () => this.#stopped,
      onRecord: (next) => {
        this.#record = next;
        this.#advance();
      },
      onDeposed: () => this.#depose(),
    });
    for (const member of members) if (member !== self) this.#link(member);
    this.#tellGone(this.#leader);
    this.#mark();
    this.#log.commit(false);
    this.#everyTick();
  }

  #tellGone(leader: GroupLeader): void {
    for (const { member } of leader.followers) leader.gone(member, this.#seen.has(member) && !this.#live.has(member));
  }

  #link(member: Member): void {
    const { env, transport, dataId, group } = this.#options;
    const link = new FollowerLink({
      env,
      transport,
      member,
      dataId,
      group,
      leader: this.#leader!,
      log: this.#runs,
      addressOf: (of) => this.#live.get(of)?.address,
      lifeOf: (of) => this.#live.get(of)?.life,
      entriesFrom: (offset) => this.#entriesFrom(offset),
      copySender: (send) => this.#copies.sender(send),
      copy: (sender) => this.#copies.send(sender),
      onChange: () => this.#advance(),
      onConfirmed: (round) => this.reads.answered(member, round),
      onFenced: (epoch) => {
        env.log.info("a replica follows a later leader", { group, member, epoch });
      },
    });
    this.#links.set(member, link);
    link.start();
  }

  #entriesFrom(offset: number): EntryChunk | "later" | "gone" {
    if (offset >= this.#tail.start) return this.#tail.at(offset) ?? "later";
    if (this.#old === undefined || offset < this.#old.from || offset >= this.#old.to) {
      this.#old = this.#options.store.read(offset, Math.min(this.#tail.start, this.#leader!.durable));
    }
    const old = this.#old;
    if (old === undefined) return this.#leader!.durable < this.#tail.start ? "later" : "gone";
    if (old.from === offset) return old;
    this.#old = this.#options.store.read(offset, Math.min(this.#tail.start, this.#leader!.durable));
    return this.#old ?? "gone";
  }

  #depose(): void {
    if (this.#stopped) return;
    this.stop();
    this.#options.onDeposed();
  }

  #everyTick(): void {
    if (this.#stopped) return;
    this.#tick = this.#options.env.setTimer(tickMs, () => {
      this.#keeper!.look(this.#resignation?.handing === true);
      this.#resignation?.look();
      this.reads.look();
      for (const link of this.#links.values()) {
        link.check();
        link.tell();
      }
      this.#everyTick();
    });
  }

  /** After any change of the leader's positions. */
  #advance(): void {
    const leader = this.#leader;
    if (leader === undefined || this.#stopped) return;
    const { committed } = leader;
    if (this.#serves) {
      this.#servedUpTo = committed;
      this.onDurable(this.#numberBase + committed);
    } else {
      this.#applyUpTo(committed);
      if (leader.serves && this.#unapplied.applied === this.#runs.end) this.#serve();
    }
    this.#keeper!.advanced();
    this.#resignation?.look();
  }

  #serve(): void {
    const leader = this.#leader!;
    this.#serves = true;
    this.reads.lead();
    this.#numberBase = this.#log.end - leader.end;
    this.onDurable(this.#log.end);
    this.#options.application.lead(leader.epoch, leader.end);
  }

  /** Hands the group over to a member that is in sync, which leads then. LEADER_STAYS: this replica goes on, and why; MOVED: it does not lead. */
  async resign(to: Member): Promise<void> {
    const { group } = this.#options;
    const leader = this.#leader;
    if (leader === undefined || !this.leads) throw notLed(group);
    const refusal = this.#resignation === undefined ? leader.refusalOf(to) : "a hand-over is under way";
    if (refusal !== undefined) throw leaderStays(group, to, refusal);
    const resignation = new Resignation({
      ...this.#options,
      leader,
      to,
      reads: this.reads,
      onSucceeded: () => this.#depose(),
    });
    this.#resignation = resignation;
    try {
      await resignation.run();
    } finally {
      this.#resignation = undefined;
    }
  }

  // ---- following

  /** A leader has connected, with this hello. Its handlers from now on. */
  accept(connection: Connection, hello: { readonly epoch: number; readonly leader: Member }): ConnectionHandlers {
    const follower = this.#follower;
    const mayListen = !this.#stopped && this.#leader === undefined && this.#rebuild.mayListen(this.#record);
    const listens = mayListen && follower.greeted(hello.epoch);
    const session = new FollowerSession({
      connection,
      epoch: hello.epoch,
      onAgreed: (common) => this.#agreed(session, common),
      onEntries: (from, count, committed, bytes) => this.#entries(session, from, count, committed, bytes),
      onConfirm: (round) => {
        if (session === this.#upstream && !this.#stopped && follower.epoch === session.epoch) session.follows(round);
      },
      onCopy: (message) => {
        this.#copies.inTurn(
          () => this.#takeCopy(session, message),
          (error) => session.close(messageOf(error)),
        );
      },
      onLost: () => {
        if (this.#upstream !== session) return;
        this.#upstream = undefined;
        follower.left();
      },
      onBroken: (error) => this.onFailed(error instanceof Error ? error : new Error(messageOf(error))),
    });
    if (listens) {
      this.#upstream?.close("there is a later leader");
      this.#upstream = session;
    }
    // What is not durable yet counts as not there: it is sent again.
    const { epoch, applied, durable } = follower;
    session.answer({ listens, epoch: listens ? hello.epoch : epoch, applied, end: durable, runs: this.#runs.runs });
    return session.handlers;
  }

  #agreed(session: FollowerSession, common: number): void {
    if (session !== this.#upstream) return;
    const cuts = common < this.#runs.end;
    if (this.#follower.agreed(session.epoch, common) === "stale") return;
    if (!cuts) return;
    const { group, env } = this.#options;
    env.log.info("entries that no later leader has are taken back", { group, from: common, end: this.#tail.end });
    this.#tail.truncate(common);
    this.#unapplied.truncate(common);
    this.#marks.cut(common);
    this.#log.append(KIND_CUT, group, session.epoch, common, []);
    this.#mark();
  }

  #entries(session: FollowerSession, from: number, count: number, committed: number, bytes: Uint8Array): void {
    if (session !== this.#upstream || this.#stopped) return;
    const follower = this.#follower;
    const entries = follower.entries(session.epoch, from, count);
    if (entries.kind !== "take") {
      session.close(entries.kind === "gap" ? "entries are missing" : "another leader is followed");
      return;
    }
    if (count > entries.skip) this.#take(from, count, entries.skip, bytes.slice());
    follower.committedUpTo(session.epoch, committed);
    this.#rebuild.told(session.epoch, committed);
    this.#applyFollowing();
  }

  #take(from: number, count: number, skip: number, bytes: Uint8Array): void {
    const { group } = this.#options;
    const chunk: EntryChunk = { from, to: from + count, bytes };
    let index = 0;
    let start = 0;
    let at = 0;
    eachEntry(bytes, count, ({ kind, epoch, payload }) => {
      if (index === skip) start = at;
      at += ENTRY_HEADER_BYTES + payload.length;
      if (index++ < skip) return;
      this.#log.append(kind, group, epoch, this.#follower.append(epoch), [payload]);
    });
    this.#queue({ from: from + skip, to: chunk.to, bytes: bytes.subarray(start) });
    this.#mark();
    this.#log.commit(false);
  }

  #queue(chunk: EntryChunk): void {
    this.#tail.add(chunk);
    this.#unapplied.add(chunk);
  }

  async #takeCopy(session: FollowerSession, message: CopyMessage): Promise<void> {
    if (this.#stopped || session !== this.#upstream) return;
    const received = await this.#copies.take(message, session.epoch);
    if (received?.kind === "answer") session.copied(received.number, received.answer);
    if (received?.kind !== "whole" || this.#stopped) return;
    const { env, group, onDeposed } = this.#options;
    env.log.info("a copy of the leader's store takes the place of this replica's", { group });
    this.stop();
    onDeposed(received.replace);
  }

  #applyFollowing(): void {
    if (this.#leader !== undefined) return;
    const follower = this.#follower;
    this.#applyUpTo(Math.min(follower.committed, follower.durable));
    follower.appliedUpTo(this.#unapplied.applied);
    this.#rebuild.applied(follower.applied);
  }

  #applyUpTo(offset: number): void {
    const { application } = this.#options;
    if (this.#unapplied.applyUpTo(offset, (entry, at) => application.apply(entry, at)))
      application.appliedUpTo(this.#unapplied.applied);
  }

  // ---- the disk

  #mark(): void {
    this.#marks.add(this.#log.end, this.#runs.end);
  }

  #synced(number: number): void {
    const durable = this.#marks.reached(number);
    if (durable === undefined || this.#stopped) return;
    if (this.#leader !== undefined) {
      this.#leader.synced(durable, this.#options.env.monotonicMs());
      this.#advance();
      return;
    }
    this.#follower.synced(durable);
    this.#upstream?.confirm(this.#follower.durable);
    this.#applyFollowing();
  }
}

function notLed(group: number): RamaError {
  return new RamaError("MOVED", `task group ${group} is led by another replica`, { group });
}
