// A follower of one task group, as a pure state machine: which leader it listens to, which entries it takes, and what it may apply. `replica.ts` writes, syncs, applies
// and answers for it.
//
//   applied ≤ committed ≤ end        applied ≤ durable ≤ end
// The fence: it listens to no leader of a lower epoch than one that it has listened to, or that its log has an entry of. Its log is what survives a restart, and
// that is enough: an entry that it could lose by listening to an old leader is an entry with the newer epoch.
import { assert } from "../base/assert.ts";
import type { EpochRuns } from "./epoch-runs.ts";

/** "stale": from a leader that is none any more, or not over the present agreement; drop it. "gap": entries are missing before; begin anew. */
export type Entries = { readonly kind: "stale" | "gap" } | { readonly kind: "take"; readonly skip: number };

export class GroupFollower {
  readonly log: EpochRuns;
  #epoch: number;
  /** The present leader knows where our log ends. */
  #agreed = false;
  #durable: number;
  #committed: number;
  #applied: number;

  /** What was found on disk: all of it is durable. Entries below `applied` are committed. */
  constructor(found: { readonly log: EpochRuns; readonly applied: number; readonly epoch?: number }) {
    assert(found.applied <= found.log.end, `follower: applied ${found.applied}, end ${found.log.end}`);
    this.log = found.log;
    this.#epoch = Math.max(found.log.lastEpoch, found.epoch ?? 0);
    this.#durable = found.log.end;
    this.#committed = found.applied;
    this.#applied = found.applied;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get end(): number {
    return this.log.end;
  }

  get durable(): number {
    return this.#durable;
  }

  get committed(): number {
    return this.#committed;
  }

  get applied(): number {
    return this.#applied;
  }

  /** A leader of that epoch wants to be followed. False: there has been a later one. */
  greeted(epoch: number): boolean {
    if (epoch < this.#epoch) return false;
    this.#epoch = epoch;
    this.#agreed = false;
    return true;
  }

  /** Somebody of that epoch leads, says the metastore: earlier leaders are not listened to any more. */
  fenced(epoch: number): void {
    if (epoch <= this.#epoch) return;
    this.#epoch = epoch;
    this.#agreed = false;
  }

  /** The leader's first word after our answer: our log agrees with its own below `common`. What lies behind goes, before anything else is taken. */
  agreed(epoch: number, common: number): "stale" | "ok" {
    if (epoch !== this.#epoch) return "stale";
    assert(
      common >= this.#applied,
      `follower: the leader of epoch ${epoch} would take back what is applied (${common} < ${this.#applied})`,
    );
    assert(common <= this.end, `follower: the leader agrees up to ${common}, our log ends at ${this.end}`);
    this.log.truncate(common);
    this.#durable = Math.min(this.#durable, common);
    this.#committed = Math.min(this.#committed, common);
    this.#agreed = true;
    return "ok";
  }

  /** `count` entries from offset `from` on. The caller appends those it may take with `append`. */
  entries(epoch: number, from: number, count: number): Entries {
    if (epoch !== this.#epoch || !this.#agreed) return { kind: "stale" };
    if (from > this.end) return { kind: "gap" };
    return { kind: "take", skip: Math.min(count, this.end - from) };
  }

  append(epoch: number): number {
    const offset = this.end;
    this.log.append(epoch);
    return offset;
  }

  synced(durable: number): void {
    assert(durable <= this.end, `follower: durable ${durable} is past the end ${this.end}`);
    this.#durable = Math.max(this.#durable, durable);
  }

  /** The leader has committed everything below; what of that we have may be applied. True: it moved. */
  committedUpTo(epoch: number, committed: number): boolean {
    if (epoch !== this.#epoch || !this.#agreed) return false;
    const reached = Math.min(committed, this.end);
    if (reached <= this.#committed) return false;
    this.#committed = reached;
    return true;
  }

  appliedUpTo(applied: number): void {
    assert(applied <= this.#committed, `follower: applied ${applied}, committed ${this.#committed}`);
    this.#applied = Math.max(this.#applied, applied);
    this.log.forget(this.#applied);
  }

  /** Connection lost: what comes next has to be agreed on anew. */
  left(): void {
    this.#agreed = false;
  }
}
