// A leader hands its group over to a replica that is in sync, without an interval in which nobody leads: it begins no more turns, waits until the successor's disk has
// everything that its own log has, and writes the successor into the metastore itself, as the leader of the next epoch. Whatever goes wrong before leaves it the leader.
//
//   stopping ── no turn runs any more ──▶ levelling ── all is committed, the successor has it ──▶ handing ── written ──▶ the leader is deposed
//       └────────────── time is up, or the successor has left the in-sync set: it goes on ──────────────┘
// Whether the record was written may stay unknown; the leader may go on then, too: a successor that has begun confirms nothing to it, so that it commits nothing.
import { RamaError } from "../base/errors.ts";
import type { Member } from "./group-record.ts";
import type { GroupLeader } from "./leader.ts";
import type { ReadGate } from "./read-gate.ts";
import type { ReplicaOptions } from "./replica-contract.ts";

/** For so long a group may stand still for a hand-over: some commits and a write to the metastore take milliseconds. */
const patienceMs = 2_000;

export interface ResignationOptions extends Pick<ReplicaOptions, "env" | "group" | "application" | "control"> {
  readonly leader: GroupLeader;
  readonly to: Member;
  readonly reads: ReadGate;
  /** Another leads, as the metastore has it. */
  readonly onSucceeded: () => void;
}

export class Resignation {
  readonly #options: ResignationOptions;
  readonly #untilMs: number;
  #onLevel: (() => void) | undefined;
  #ended = false;
  /** The successor is being written into the metastore: the in-sync set must not change. */
  handing = false;

  constructor(options: ResignationOptions) {
    this.#options = options;
    this.#untilMs = options.env.monotonicMs() + patienceMs;
  }

  /** LEADER_STAYS: the leader goes on, and why. */
  async run(): Promise<void> {
    const { application, control, leader, env, group, to, reads, onSucceeded } = this.#options;
    const beganMs = env.monotonicMs();
    try {
      await application.hold();
      await this.#levelled();
      if (this.#ended) return;
      this.handing = true;
      reads.suspend();
      const record = await control.handOver(leader.epoch, to);
      if (record.epoch === leader.epoch) throw this.#stays("its process is gone, or it has left the in-sync set");
      const ms = Math.round(env.monotonicMs() - beganMs);
      env.log.info("a task group is handed over", { group, epoch: record.epoch, to: record.leader, stoodStillMs: ms });
      this.#ended = true;
      onSucceeded();
    } catch (error) {
      throw error instanceof RamaError && error.code !== "LEADER_STAYS" ? this.#stays(error.message, error) : error;
    } finally {
      this.handing = false;
      reads.resume();
      if (!this.#ended) application.goOn();
      this.#ended = true;
    }
  }

  /** A position has moved, or time has passed. */
  look(): void {
    const { leader, to, env } = this.#options;
    if (this.#onLevel === undefined) return;
    if (leader.isLevel(to) || env.monotonicMs() >= this.#untilMs || leader.refusalOf(to) !== undefined) this.#onLevel();
  }

  /** Another leads already, or the replica stops: nothing goes on here. */
  end(): void {
    this.#ended = true;
    this.#onLevel?.();
  }

  async #levelled(): Promise<void> {
    const { leader, to } = this.#options;
    if (this.#ended || leader.isLevel(to)) return;
    await new Promise<void>((resolve) => {
      this.#onLevel = resolve;
      this.look();
    });
    this.#onLevel = undefined;
    if (this.#ended || leader.isLevel(to)) return;
    throw this.#stays(leader.refusalOf(to) ?? `it was not level within ${patienceMs} ms`);
  }

  #stays(why: string, cause?: unknown): RamaError {
    return leaderStays(this.#options.group, this.#options.to, why, cause);
  }
}

export function leaderStays(group: number, to: Member, why: string, cause?: unknown): RamaError {
  const message = `task group ${group} is not handed over to worker ${to}: ${why}`;
  return new RamaError("LEADER_STAYS", message, { group, to }, cause);
}
