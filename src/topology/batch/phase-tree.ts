// Event trees of phases: the whole of a phase's on the engine where it began, the part of it that arrived at another engine. Both know the *run* (one attempt of a
// microbatch, one invoke of a query) whose tables and temporary state their events use. Trees of one run have numbers in a row: run number × 4096 + serial.
import { RamaError } from "../../base/errors.ts";
import type { EventTree } from "../../task/event.ts";
import type { TreeRef } from "../../task/event-codec.ts";
import { AckTree, randomAck } from "../stream/ack-tree.ts";
import type { BatchRun } from "./batch-run.ts";

/** Phases that one run may begin. */
export const treesOfRun = 4096;

export function runOf(tree: number): number {
  return Math.floor(tree / treesOfRun);
}

export interface PhaseOwner {
  random(): number;
  /** A phase has begun: answers may come for it. */
  phaseBegan(tree: PhaseTree): void;
  phaseEnded(tree: PhaseTree): void;
  partEnded(part: PhasePart): void;
  partFailed(part: PhasePart, error: unknown): void;
}

export abstract class RunTree implements EventTree {
  dead = false;
  abstract readonly ref: TreeRef;
  readonly ack: AckTree;

  constructor(
    readonly owner: PhaseOwner,
    readonly run: BatchRun,
    event: number,
  ) {
    this.ack = new AckTree(event);
  }

  born(): void {
    this.ack.born();
  }

  abstract ended(): void;
  abstract failed(error: unknown): void;
  returned(): void {}

  leave(): { readonly task: number; readonly tree: number; readonly event: number } {
    const event = randomAck(() => this.owner.random());
    this.ack.left(event);
    return { task: this.ref.task, tree: this.ref.tree, event };
  }
}

export class PhaseTree extends RunTree {
  readonly ref: TreeRef;

  /** `done` is called once: when all events have ended, or with the first failure. */
  constructor(
    owner: PhaseOwner,
    run: BatchRun,
    task: number,
    readonly done: (error: unknown) => void,
  ) {
    super(owner, run, 0);
    const serial = run.nextTree++;
    if (serial >= treesOfRun) {
      throw new RamaError("NOT_ALLOWED_HERE", `more than ${treesOfRun} phases of batch blocks in one run`);
    }
    this.ref = { task, tree: run.number * treesOfRun + serial };
    owner.phaseBegan(this);
  }

  ended(): void {
    this.ack.ended();
    this.#check();
  }

  answered(answer: number): void {
    this.ack.acked(answer);
    this.#check();
  }

  #check(): void {
    if (!this.dead && this.ack.complete) this.#end(null);
  }

  failed(error: unknown): void {
    this.ack.ended();
    this.abort(error);
  }

  abort(error: unknown): void {
    if (!this.dead) this.#end(error);
  }

  #end(error: unknown): void {
    this.dead = true;
    this.owner.phaseEnded(this);
    this.done(error);
  }
}

/** One event that came from another engine, with what it causes here. */
export class PhasePart extends RunTree {
  constructor(
    owner: PhaseOwner,
    run: BatchRun,
    readonly ref: TreeRef,
    event: number,
  ) {
    super(owner, run, event);
  }

  ended(): void {
    if (this.ack.ended() && !this.dead) this.owner.partEnded(this);
  }

  failed(error: unknown): void {
    this.ack.ended();
    if (this.dead) return;
    this.dead = true;
    this.owner.partFailed(this, error);
  }
}
