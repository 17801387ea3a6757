// Whether a replica that takes itself for the leader may answer reads. One that was stopped, or cut off, and has been succeeded does not know it, and what it has is old.
// Appends need no such care: nothing of a former leader is committed.
//
//   lease   The metastore has confirmed, in a write's order, that the group's record is unchanged and that this process's own node stands. A successor is elected only
//           while that node does not (group-watch.ts), and the node stays for the session's timeout after the confirmation was asked for; the lease is shorter.
//           It is renewed in the background while there are reads.
//   round   Without a lease (the metastore is away, the process was stopped): every member that could have been elected says that it follows this leader still. Asked
//           after the reads had come, that is enough for these reads and no others.
// With a lease a read costs a look at the clock. A follower's gate is open: its engine answers that it does not lead.
import type { Env } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { Member } from "./group-record.ts";

export interface ReadGateOptions {
  readonly env: Env;
  readonly group: number;
  /** The metastore's word: how long the lease is that it gives, from when it was asked; 0: none. */
  readonly confirm: () => Promise<number>;
  /** Members that could lead instead. */
  readonly others: () => readonly Member[];
  /** Asks them all, with the number of the round. */
  readonly ask: (round: number) => void;
}

type Waiting = { readonly atMs: number; readonly run: (error: RamaError | null) => void };

/** The metastore is asked again so soon when it has not confirmed. */
const askAgainMs = 200;
/** A read that has waited so long is told to look elsewhere; who asks for routes then may find the successor. */
const patienceMs = 2_000;

export class ReadGate {
  readonly #options: ReadGateOptions;
  #leads = false;
  /** A successor may be written any moment: what the metastore has said or will say is no lease. */
  #suspended = false;
  #period = 0;
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #renewAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;
  #round = 0;
  /** Reads of the present round, and those that came since. */
  #inRound: Waiting[] = [];
  #waiting: Waiting[] = [];
  /** The latest round that each member has answered. */
  readonly #answered = new Map<Member, number>();

  constructor(options: ReadGateOptions) {
    this.#options = options;
  }

  /** Asked at each read. */
  get open(): boolean {
    if (!this.#leads) return true;
    const nowMs = this.#options.env.monotonicMs();
    if (nowMs >= this.#renewAtMs && !this.#suspended) this.#renew(nowMs);
    return nowMs < this.#leaseUntilMs;
  }

  /** Calls `run` when the leadership is confirmed, or with MOVED. In the order in which they came. */
  wait(run: (error: RamaError | null) => void): void {
    this.#waiting.push({ atMs: this.#options.env.monotonicMs(), run });
    if (this.#inRound.length === 0) this.#beginRound();
  }

  lead(): void {
    this.#leads = true;
    this.#renew(this.#options.env.monotonicMs());
  }

  /** From now on, until `resume`, only rounds count. */
  suspend(): void {
    this.#suspended = true;
    this.#period++;
    this.#leaseUntilMs = this.#renewAtMs = Number.NEGATIVE_INFINITY;
  }

  resume(): void {
    this.#suspended = false;
  }

  /** Nothing is answered any more. */
  stop(): void {
    this.#leads = false;
    this.#release(moved(this.#options.group));
  }

  /** Now and then. */
  look(): void {
    if (this.#inRound.length === 0) return;
    const { env, ask, group } = this.#options;
    const sinceMs = env.monotonicMs() - patienceMs;
    const late = [...this.#inRound, ...this.#waiting].filter(({ atMs }) => atMs < sinceMs);
    this.#inRound = this.#inRound.filter(({ atMs }) => atMs >= sinceMs);
    this.#waiting = this.#waiting.filter(({ atMs }) => atMs >= sinceMs);
    for (const { run } of late) run(moved(group));
    if (this.#inRound.length === 0) this.#beginRound();
    // A connection that was lost has lost the question, too; the set may have changed.
    else if (!this.#checkRound()) ask(this.#round);
  }

  /** The member follows this leader, and did when it was asked. */
  answered(member: Member, round: number): void {
    this.#answered.set(member, round);
    if (this.#inRound.length > 0) this.#checkRound();
  }

  #beginRound(): void {
    if (this.#waiting.length === 0) return;
    this.#inRound = this.#waiting;
    this.#waiting = [];
    this.#options.ask(++this.#round);
    this.#checkRound();
  }

  #checkRound(): boolean {
    if (!this.#options.others().every((member) => this.#answered.get(member) === this.#round)) return false;
    for (const { run } of this.#inRound.splice(0)) run(null);
    this.#beginRound();
    return true;
  }

  #renew(nowMs: number): void {
    if (this.#asking) return;
    this.#asking = true;
    const { env, group } = this.#options;
    const period = this.#period;
    env.spawn(`lease of group ${group}`, async () => {
      let leaseMs = 0;
      try {
        leaseMs = await this.#options.confirm();
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        env.log.debug("the metastore does not confirm a leader", { group, error: messageOf(error) });
      }
      this.#asking = false;
      // Asked before a hand-over that came to nothing: asked again.
      if (period !== this.#period) return;
      this.#renewAtMs = leaseMs > 0 ? nowMs + leaseMs / 2 : env.monotonicMs() + askAgainMs;
      if (!this.#leads || leaseMs <= 0) return;
      this.#leaseUntilMs = nowMs + leaseMs;
      if (env.monotonicMs() < this.#leaseUntilMs) this.#release(null);
    });
  }

  #release(error: RamaError | null): void {
    const all = [...this.#inRound.splice(0), ...this.#waiting.splice(0)];
    for (const { run } of all) run(error);
  }
}

function moved(group: number): RamaError {
  return new RamaError("MOVED", `it is not certain that this replica leads task group ${group} still`, { group });
}
