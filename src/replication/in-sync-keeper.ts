// Keeps a group's in-sync set for the replica that leads it: has laggards removed and members that have caught up taken in, in the metastore first, and tells the
// application while the set is too small for anything to be committed. What the set should be is decided by `leader.ts`.
import type { Env } from "../base/env.ts";
import { messageOf } from "../base/errors.ts";
import type { GroupRecord, Member } from "./group-record.ts";
import type { GroupLeader } from "./leader.ts";
import type { ReplicaOptions } from "./replica-contract.ts";
import { stalledError } from "./replica-status.ts";

const askAgainMs = 200;

export interface InSyncKeeperOptions
  extends Pick<ReplicaOptions, "group" | "minInSync" | "maxLagMs" | "control" | "application"> {
  readonly env: Env;
  readonly leader: GroupLeader;
  readonly stopped: () => boolean;
  /** The set is another one now; something may have been committed by that. */
  readonly onRecord: (record: GroupRecord) => void;
  /** Another leads. */
  readonly onDeposed: () => void;
}

export class InSyncKeeper {
  readonly #options: InSyncKeeperOptions;
  /** What the application has been told. */
  #refused = false;

  constructor(options: InSyncKeeperOptions) {
    this.#options = options;
  }

  /** Now and then. `keeps`: the set stays as it is for the moment. */
  look(keeps: boolean): void {
    const { leader, env, minInSync, maxLagMs, group } = this.#options;
    leader.minInSync = minInSync();
    leader.maxLagMs = maxLagMs();
    const set = keeps ? undefined : leader.wanted(env.monotonicMs());
    if (set !== undefined) {
      leader.asked(set);
      env.spawn(`in-sync set of group ${group}`, () => this.#ask(set));
    }
    this.#tellStalled();
  }

  /** Something was committed. */
  advanced(): void {
    if (this.#refused) this.#tellStalled();
  }

  #tellStalled(): void {
    const { group, application, env, leader } = this.#options;
    if (leader.stalled === this.#refused) return;
    this.#refused = leader.stalled;
    if (!this.#refused) {
      env.log.info("a task group goes on", { group });
      application.refuse(null);
      return;
    }
    const error = stalledError(group, leader);
    env.log.warn(error.message, error.facts);
    application.refuse(error);
  }

  async #ask(set: readonly Member[]): Promise<void> {
    const { env, control, group, leader, stopped, onRecord, onDeposed } = this.#options;
    for (;;) {
      if (stopped()) return;
      try {
        const record = await control.propose(leader.epoch, set);
        if (stopped()) return;
        if (record.epoch !== leader.epoch) {
          onDeposed();
          return;
        }
        env.log.info("in-sync set", { group, epoch: leader.epoch, inSync: record.inSync.join() });
        leader.decided(record.inSync, env.monotonicMs());
        onRecord(record);
        return;
      } catch (error) {
        // Whether it was written is not known: both sets count until it is.
        env.log.warn("the in-sync set is not written yet", { group, error: messageOf(error) });
        await env.sleep(askAgainMs);
      }
    }
  }
}
