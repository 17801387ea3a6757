// The leader of one task group in one epoch, as a pure state machine: what is committed, who is in sync, when the group stands still. It knows no clock, disk or
// socket; `replica.ts` tells it what happened and does what it says.
//
//   committed ≤ durable of every member of the in-sync set (the leader's own included) ≤ end
// An entry is committed when every member of the set holds it durably and the set has at least `minInSync` members. A member that does not keep up leaves the set in
// the metastore first and only then ceases to count; one that returns counts from the moment that its entry into the set is asked for. So at any moment every
// member of the set that the metastore has, whichever of the two it is, holds all that is committed.
import { assert } from "../base/assert.ts";
import type { Member } from "./group-record.ts";

export interface LeaderOptions {
  readonly self: Member;
  readonly epoch: number;
  readonly members: readonly Member[];
  readonly inSync: readonly Member[];
  readonly minInSync: number;
  /** Of the leader's own log. Whatever it holds may have been committed by an earlier leader: it serves when all of that is committed. */
  readonly end: number;
  readonly durable: number;
  readonly committed: number;
  readonly maxLagMs: number;
  readonly nowMs: number;
}

interface Follower {
  readonly member: Member;
  /** It has a connection over which it has told its log's end. */
  connected: boolean;
  /** Its process has no session: it is not waited for. */
  gone: boolean;
  /** Entries below are on its disk, in this epoch. -1: not known. */
  durable: number;
  /** Entries below have been sent over its present connection. */
  sent: number;
  /** Since when it has not been connected. */
  awaySinceMs: number;
}

/** A follower that is so near takes part again. */
const nearEntries = 1_000;

export class GroupLeader {
  readonly self: Member;
  readonly epoch: number;
  /** It may serve once `committed` has reached this. */
  readonly servesFrom: number;
  minInSync: number;
  maxLagMs: number;
  #end: number;
  #durable: number;
  #committed: number;
  readonly #followers = new Map<Member, Follower>();
  #inSync: ReadonlySet<Member>;
  /** Asked for in the metastore; until the answer is known either set may be the one that counts. */
  #asked: ReadonlySet<Member> | undefined;
  /** Since when the next entry has waited for somebody; undefined: nothing waits. */
  #waitingSinceMs: number | undefined;
  #stalled = false;

  constructor(options: LeaderOptions) {
    const { self, epoch, members, inSync, end, durable, committed } = options;
    assert(inSync.includes(self), `member ${self} leads epoch ${epoch} without being in sync`);
    assert(committed <= durable && durable <= end, `leader: committed ${committed}, durable ${durable}, end ${end}`);
    assert(options.maxLagMs > 0 && options.minInSync > 0, "leader: its limits are not numbers");
    this.self = self;
    this.epoch = epoch;
    this.servesFrom = end;
    this.minInSync = options.minInSync;
    this.maxLagMs = options.maxLagMs;
    this.#end = end;
    this.#durable = durable;
    this.#committed = committed;
    this.#inSync = new Set(inSync);
    for (const member of members) {
      if (member === self) continue;
      const away = { connected: false, gone: false, durable: -1, sent: 0, awaySinceMs: options.nowMs };
      this.#followers.set(member, { member, ...away });
    }
  }

  get end(): number {
    return this.#end;
  }

  get durable(): number {
    return this.#durable;
  }

  get committed(): number {
    return this.#committed;
  }

  get serves(): boolean {
    return this.#committed >= this.servesFrom;
  }

  get inSync(): readonly Member[] {
    return [...this.#inSync];
  }

  /** Nothing is committed and, as it is, nothing will be. */
  get stalled(): boolean {
    return this.#stalled;
  }

  // ---- what happened

  appended(end: number): void {
    assert(end >= this.#end, `leader: end went back from ${this.#end} to ${end}`);
    this.#end = end;
  }

  /** The leader's own log has synced. */
  synced(durable: number, nowMs: number): void {
    assert(durable <= this.#end, `leader: durable ${durable} is past the end ${this.#end}`);
    this.#durable = Math.max(this.#durable, durable);
    this.#commit(nowMs);
  }

  /** The follower's log agrees with ours below `common`, and is durable there. */
  joined(member: Member, common: number, nowMs: number): void {
    const follower = this.#follower(member);
    follower.connected = true;
    follower.gone = false;
    follower.durable = common;
    follower.sent = common;
    this.#commit(nowMs);
  }

  left(member: Member, nowMs: number): void {
    const follower = this.#follower(member);
    if (follower.connected) follower.awaySinceMs = nowMs;
    follower.connected = false;
  }

  /** Its process is gone (or there again), says the metastore. */
  gone(member: Member, isGone: boolean): void {
    this.#follower(member).gone = isGone;
  }

  sent(member: Member, upTo: number): void {
    this.#follower(member).sent = upTo;
  }

  confirmed(member: Member, durable: number, nowMs: number): void {
    const follower = this.#follower(member);
    if (!follower.connected) return;
    assert(durable <= follower.sent, `member ${member} confirms ${durable}, sent ${follower.sent}`);
    follower.durable = Math.max(follower.durable, durable);
    this.#commit(nowMs);
  }

  // ---- the in-sync set

  /** The set that the metastore should have now, when it is another one. To be followed by `asked`, then `decided`. */
  wanted(nowMs: number): readonly Member[] | undefined {
    if (this.#asked !== undefined) return undefined;
    const laggards = new Set([...this.#followers.values()].filter((f) => this.#lags(f, nowMs)).map((f) => f.member));
    const kept = [...this.#inSync].filter((member) => !laggards.has(member));
    const blocked = this.#waitingSinceMs !== undefined && nowMs - this.#waitingSinceMs >= this.maxLagMs;
    this.#stalled = this.#inSync.size - this.#lost < this.minInSync || (blocked && kept.length < this.minInSync);
    const set = kept.length >= this.minInSync ? kept : [...this.#inSync];
    for (const follower of this.#followers.values()) {
      if (!this.#inSync.has(follower.member) && this.#returns(follower)) set.push(follower.member);
    }
    const same = set.length === this.#inSync.size && set.every((member) => this.#inSync.has(member));
    return same ? undefined : set;
  }

  /** Members of the set without a process. */
  get #lost(): number {
    let lost = 0;
    for (const { member, gone } of this.#followers.values()) if (gone && this.#inSync.has(member)) lost++;
    return lost;
  }

  #lags(follower: Follower, nowMs: number): boolean {
    if (!this.#inSync.has(follower.member)) return false;
    if (follower.gone) return true;
    if (!follower.connected) return nowMs - follower.awaySinceMs >= this.maxLagMs;
    // Its store was damaged, and it has begun anew: what it confirmed is there no more.
    if (follower.durable < this.#committed) return true;
    if (this.#waitingSinceMs === undefined || nowMs - this.#waitingSinceMs < this.maxLagMs) return false;
    return follower.durable <= this.#committed;
  }

  #returns({ connected, gone, durable }: Follower): boolean {
    return connected && !gone && durable >= this.#committed && this.#end - durable <= nearEntries;
  }

  asked(set: readonly Member[]): void {
    assert(this.#asked === undefined, "leader: two changes of the in-sync set at once");
    assert(set.includes(this.self), "leader: a set without the leader");
    this.#asked = new Set(set);
  }

  /** The metastore has this set. */
  decided(set: readonly Member[], nowMs: number): void {
    this.#asked = undefined;
    this.#inSync = new Set(set);
    this.#commit(nowMs);
  }

  /** Who could have been elected: members of the in-sync set, whichever of the two it is. */
  get rivals(): readonly Member[] {
    return [...this.#followers.keys()].filter((member) => this.#inSync.has(member) || this.#asked?.has(member));
  }

  // ---- handing over

  /** Why the member cannot take the group over; undefined: it can. */
  refusalOf(member: Member): string | undefined {
    const follower = this.#followers.get(member);
    if (follower === undefined) return "it is no other replica of the group";
    if (!this.#inSync.has(member) || follower.gone) return "it is not in sync";
    return follower.connected ? undefined : "it is not connected";
  }

  /** Nothing is on its way: all is committed, on the member's disk too, and the in-sync set is known. */
  isLevel(member: Member): boolean {
    if (this.#asked !== undefined || this.refusalOf(member) !== undefined) return false;
    return this.#committed === this.#end && this.#follower(member).durable === this.#end;
  }

  // ---- reading positions

  /** Offset from which the follower wants entries next; undefined while it is not connected. */
  sendFrom(member: Member): number | undefined {
    const { connected, sent } = this.#follower(member);
    return connected ? sent : undefined;
  }

  /** The follower has confirmed all that it was sent. */
  owesNothing(member: Member): boolean {
    const { connected, durable, sent } = this.#follower(member);
    return connected && durable >= sent;
  }

  /** Entries from here on are needed by somebody who follows by entries. */
  get neededFrom(): number {
    let needed = this.#durable;
    for (const { connected, durable } of this.#followers.values()) if (connected && durable < needed) needed = durable;
    return needed;
  }

  get followers(): readonly { readonly member: Member; readonly connected: boolean; readonly durable: number }[] {
    return [...this.#followers.values()].map(({ member, connected, durable }) => ({ member, connected, durable }));
  }

  #commit(nowMs: number): void {
    let committed = this.#durable;
    for (const { member, durable } of this.#followers.values()) {
      if (!this.#inSync.has(member) && !this.#asked?.has(member)) continue;
      if (durable < committed) committed = durable;
    }
    if (this.#inSync.size < this.minInSync) committed = this.#committed;
    const moved = committed > this.#committed;
    if (moved) {
      this.#committed = committed;
      this.#stalled = false;
    }
    if (this.#committed >= this.#durable) this.#waitingSinceMs = undefined;
    else if (moved || this.#waitingSinceMs === undefined) this.#waitingSinceMs = nowMs;
  }

  #follower(member: Member): Follower {
    const follower = this.#followers.get(member);
    assert(follower !== undefined, `member ${member} is no replica of this group`);
    return follower;
  }
}
