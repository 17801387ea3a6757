// One invoke of a query topology: what it has running where, its result. The invoke lives on the engine of its start task; phases of its batches and events on other
// engines are trees of its run (batch/phase-tree.ts).
import { messageOf, RamaError } from "../../base/errors.ts";
import type { TreeRef } from "../../task/event-codec.ts";
import type { BatchRun } from "../batch/batch-run.ts";
import { type PhaseOwner, RunTree, treesOfRun } from "../batch/phase-tree.ts";

export interface InvokeOwner extends PhaseOwner {
  /** All its events have ended, or it failed. Called once. */
  invokeEnded(invoke: Invoke, error: RamaError | null): void;
}

export class Invoke extends RunTree {
  readonly results: unknown[] = [];
  /** Tasks on other engines that it was sent to: they may hold temporary state. */
  readonly visited = new Set<number>();
  readonly ref: TreeRef;
  readonly #owner: InvokeOwner;

  constructor(
    owner: InvokeOwner,
    run: BatchRun,
    task: number,
    readonly query: string,
    readonly reply: (error: RamaError | null, value: unknown) => void,
  ) {
    super(owner, run, 0);
    this.#owner = owner;
    this.ref = { task, tree: run.number * treesOfRun + run.nextTree++ };
  }

  ended(): void {
    this.ack.ended();
    this.#check();
  }

  answered(answer: number): void {
    this.ack.acked(answer);
    this.#check();
  }

  failed(error: unknown): void {
    this.ack.ended();
    this.abort(error);
  }

  abort(error: unknown): void {
    if (this.dead) return;
    this.dead = true;
    const known = error instanceof RamaError ? error : new RamaError("USER_CODE_FAILED", messageOf(error), {}, error);
    this.#owner.invokeEnded(this, known);
  }

  #check(): void {
    if (this.dead || !this.ack.complete) return;
    if (this.results.length === 1) {
      this.dead = true;
      this.#owner.invokeEnded(this, null);
      return;
    }
    const count = this.results.length;
    const message = `query ${this.query} produced its result ${count} times; it must do so exactly once`;
    this.abort(new RamaError("NOT_EXACTLY_ONE", message, { query: this.query, results: count }));
  }
}
