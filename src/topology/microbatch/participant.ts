// Task groups whose microbatches are coordinated by another engine: say that they are there, that records wait, and do what they are told.
import type { Timer } from "../../base/env.ts";
import { BatchRun } from "../batch/batch-run.ts";
import type { EventRecord } from "../../task/event.ts";
import type { Attempts } from "./attempts.ts";
import { control } from "./control.ts";
import type { PrimePlan } from "./prime-plan.ts";

/** How often a group that waits for the coordinator speaks again. */
const helloMs = 250;

export class Participant {
  readonly #at: Attempts;
  /** Groups that the coordinator has not answered yet. */
  readonly #strangers: Set<number>;
  /** Groups that have said that records wait, since they were primed last. */
  readonly #announced = new Set<number>();
  #timer: Timer | undefined = undefined;

  /** After recovery. */
  constructor(at: Attempts) {
    this.#at = at;
    this.#strangers = new Set(at.runners.keys());
    this.#hello();
  }

  #hello(): void {
    if (this.#at.closed || this.#strangers.size === 0) return;
    for (const group of this.#strangers) {
      const { committed, prepared } = this.#at.runners.get(group)!.state;
      this.#at.tell(0, control.hello, [group, committed, prepared?.id ?? 0, prepared?.run ?? 0]);
    }
    this.#timer = this.#at.host.env.setTimer(helloMs, () => this.#at.job(() => this.#hello()));
  }

  /** The coordinator has restarted. What it begins from now on has another number: an attempt that it does not know any more is prepared nowhere after this. */
  #asked(): void {
    this.#at.dropRun();
    this.peerLost();
  }

  /** What was on its way to the coordinator may be lost: it hears from us again. */
  peerLost(): void {
    this.#announced.clear();
    for (const group of this.#at.runners.keys()) this.#strangers.add(group);
    this.#timer?.cancel();
    this.#hello();
    this.announce();
  }

  /** Records wait here that no microbatch has taken. */
  announce(): void {
    if (this.#at.closed) return;
    for (const [group, runner] of this.#at.runners) {
      if (this.#announced.has(group) || !runner.slices.some((slice) => slice.waits(0, true))) continue;
      this.#announced.add(group);
      this.#at.tell(0, control.data, [group]);
    }
  }

  told(stage: number, group: number, vars: readonly unknown[]): void {
    switch (stage) {
      case control.prime:
        this.#prime(group, ...(vars as [number, number, PrimePlan | null]));
        return;
      case control.prepare:
        this.#prepare(group, ...(vars as [number, number]));
        return;
      case control.apply:
        this.#apply(group, vars[0] as number);
        return;
      case control.welcome:
        this.#strangers.delete(group);
        this.lettersRetried(this.#at.runners.get(group)!.retried);
        return;
      case control.ask:
        this.#asked();
        return;
      case control.drop:
        if (this.#at.run?.number === vars[0]) this.#at.dropRun();
    }
  }

  #prime(group: number, id: number, run: number, plan: PrimePlan | null): void {
    const runner = this.#at.runners.get(group)!;
    this.#strangers.delete(group);
    this.#announced.delete(group);
    if (this.#at.run?.number !== run) {
      this.#at.dropRun();
      this.#at.run = new BatchRun(run, this.#at.host.env.monotonicMs());
    }
    // It may come twice; what has been written since must stay.
    if (runner.primedRun !== run) {
      runner.prime(id, plan);
      runner.primedRun = run;
    }
    const answer = () =>
      this.#at.tell(0, control.primed, [run, group, ...runner.visible, runner.primed, runner.retried]);
    if (runner.appliesLate) this.#at.host.loop.after(answer);
    else answer();
  }

  #prepare(group: number, id: number, run: number): void {
    if (this.#at.run?.number !== run) return;
    this.#at.runners.get(group)!.prepareChanges(id, run);
    this.#at.host.loop.after(() => this.#at.tell(0, control.prepared, [run, group]));
  }

  #apply(group: number, id: number): void {
    const runner = this.#at.runners.get(group)!;
    runner.apply(id);
    this.#at.host.loop.after(() => this.#at.tell(0, control.applied, [group, ...runner.visible]));
    this.announce();
  }

  /** Dead letters that are to run: the coordinator begins a microbatch for each. */
  lettersRetried(letters: readonly EventRecord[]): void {
    if (letters.length > 0) this.#at.tell(0, control.letters, [letters]);
  }

  close(): void {
    this.#timer?.cancel();
  }
}
