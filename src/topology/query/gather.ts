// One invoke of a query topology: what it has running where, its result, its temporary state. The invoke lives on the engine of its start task; events of it
// on other engines are parts that answer with the XOR of stream trees (stream/ack-tree.ts).
import { messageOf, RamaError } from "../../base/errors.ts";
import type { PathRoot } from "../../paths/indexed.ts";
import type { EventTree } from "../../task/event.ts";
import type { TreeRef } from "../../task/event-codec.ts";
import { AckTree, randomAck } from "../stream/ack-tree.ts";

export interface InvokeOwner {
  random(): number;
  /** All its events have ended: begins the next phase. False when that was the last. */
  nextPhase(invoke: Invoke): boolean;
  /** All its events have ended, or it failed. Called once. */
  invokeEnded(invoke: Invoke, error: RamaError | null): void;
  partEnded(part: InvokePart): void;
  partFailed(part: InvokePart, error: unknown): void;
}

/** Values of `$$query$$` by task; shared by all parts of an invoke on one engine. */
export type Temporaries = Map<string, unknown>;

export abstract class InvokeTree implements EventTree {
  dead = false;
  abstract readonly ref: TreeRef;
  readonly ack: AckTree;

  constructor(
    readonly owner: InvokeOwner,
    event: number,
  ) {
    this.ack = new AckTree(event);
  }

  born(): void {
    this.ack.born();
  }

  abstract ended(): void;
  abstract failed(error: unknown): void;
  /** Queries have no ack returns. */
  returned(): void {}

  leave(): { readonly task: number; readonly tree: number; readonly event: number } {
    const event = randomAck(() => this.owner.random());
    this.ack.left(event);
    return { task: this.ref.task, tree: this.ref.tree, event };
  }
}

export class Invoke extends InvokeTree {
  readonly results: unknown[] = [];
  /** Phases that have begun after the first. */
  phase = 0;
  /** Tasks on other engines that it was sent to: they may hold temporary state. */
  readonly visited = new Set<number>();

  constructor(
    owner: InvokeOwner,
    readonly ref: TreeRef,
    readonly query: string,
    readonly startedMs: number,
    readonly reply: (error: RamaError | null, value: unknown) => void,
    readonly args: readonly unknown[] = [],
  ) {
    super(owner, 0);
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
    this.owner.invokeEnded(this, known);
  }

  #check(): void {
    if (this.dead || !this.ack.complete || this.owner.nextPhase(this)) return;
    if (this.results.length === 1) {
      this.dead = true;
      this.owner.invokeEnded(this, null);
      return;
    }
    const count = this.results.length;
    const message = `query ${this.query} produced its result ${count} times; it must do so exactly once`;
    this.abort(new RamaError("NOT_EXACTLY_ONE", message, { query: this.query, results: count }));
  }
}

/** One event that came from another engine, with what it causes here. */
export class InvokePart extends InvokeTree {
  constructor(
    owner: InvokeOwner,
    readonly ref: TreeRef,
    event: number,
  ) {
    super(owner, event);
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

export function temporaryRoot(temporaries: Temporaries, key: string): PathRoot {
  return {
    get: () => temporaries.get(key) ?? null,
    set: (value) => void temporaries.set(key, value),
  };
}
