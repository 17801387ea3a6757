// Event trees as the stream runtime holds them: the whole of a record's on its start engine, the part of one that arrived from elsewhere.
import type { EventTree } from "../../task/event.ts";
import type { TreeRef } from "../../task/event-codec.ts";
import type { RecordOrigin } from "./applied-marks.ts";
import { AckTree, randomAck } from "./ack-tree.ts";
import type { SourcePartition } from "./source.ts";
import type { Waiter } from "./waiters.ts";

export interface TreeOwner {
  random(): number;
  /** Makes the tree findable for answers; returns its number. */
  register(tree: RecordTree): number;
  unregister(tree: RecordTree): void;
  subtreeEnded(tree: Subtree): void;
  subtreeFailed(tree: Subtree, error: unknown): void;
}

/** What the runner needs of either kind of tree. */
export interface StreamTree extends EventTree {
  readonly origin: RecordOrigin;
  /** Events of it may have been through before: their marks are looked for. */
  readonly again: boolean;
  /** An event of it has written. */
  wrote(runner: MarkNoter, path: number): void;
}

/** Remembers marks in the entry of the turn that runs. */
export interface MarkNoter {
  mark(origin: RecordOrigin, path: number): void;
}

export class RecordTree implements StreamTree {
  readonly ack = new AckTree();
  /** 0 until an event leaves this engine. */
  id = 0;
  dead = false;
  /** It is in its source's table: it outlived the turn in which it began. */
  entered = false;
  returns: unknown[] | undefined = undefined;
  /** Runner and path of each event that wrote, while nobody knows whether the tree outlives its turn. */
  #writes: (MarkNoter | number)[] | undefined = undefined;

  constructor(
    readonly owner: TreeOwner,
    readonly source: SourcePartition,
    readonly offset: number,
    public waiters: Waiter[] | undefined,
    readonly failures: number,
    readonly again: boolean,
    readonly startedMs: number,
  ) {}

  get origin(): RecordOrigin {
    return { key: this.source.key, task: this.source.task.id, offset: this.offset };
  }

  wrote(runner: MarkNoter, path: number): void {
    if (this.entered) runner.mark(this.origin, path);
    else {
      this.#writes ??= [];
      this.#writes.push(runner, path);
    }
  }

  /** Its record will run again, or may: what it has written is marked. */
  markWrites(): void {
    const writes = this.#writes;
    if (writes === undefined) return;
    this.#writes = undefined;
    const { origin } = this;
    for (let i = 0; i < writes.length; i += 2) (writes[i] as MarkNoter).mark(origin, writes[i + 1] as number);
  }

  born(): void {
    this.ack.born();
  }

  ended(): void {
    if (this.ack.ended() && this.ack.complete && !this.dead) this.source.succeeded(this);
  }

  failed(error: unknown): void {
    this.ack.ended();
    if (!this.dead) this.source.failed(this, error);
  }

  leave(): { readonly task: number; readonly tree: number; readonly event: number } {
    if (this.id === 0) this.id = this.owner.register(this);
    const event = randomAck(() => this.owner.random());
    this.ack.left(event);
    return { task: this.source.task.id, tree: this.id, event };
  }

  returned(value: unknown): void {
    this.returns ??= [];
    this.returns.push(value);
  }

  answered(answer: number, returns: readonly unknown[]): void {
    for (const value of returns) this.returned(value);
    this.ack.acked(answer);
    if (this.ack.complete && !this.dead) this.source.succeeded(this);
  }

  /** Nothing of this attempt counts any more. */
  end(): void {
    this.dead = true;
    if (this.id !== 0) this.owner.unregister(this);
  }
}

export class Subtree implements StreamTree {
  readonly ack: AckTree;
  /** Nobody here knows whether the record ran before. */
  readonly again = true;
  dead = false;
  readonly returns: unknown[] = [];

  constructor(
    readonly owner: TreeOwner,
    readonly ref: TreeRef,
    event: number,
    readonly origin: RecordOrigin,
  ) {
    this.ack = new AckTree(event);
  }

  wrote(runner: MarkNoter, path: number): void {
    runner.mark(this.origin, path);
  }

  born(): void {
    this.ack.born();
  }

  ended(): void {
    if (this.ack.ended() && !this.dead) this.owner.subtreeEnded(this);
  }

  failed(error: unknown): void {
    this.ack.ended();
    if (this.dead) return;
    this.dead = true;
    this.owner.subtreeFailed(this, error);
  }

  leave(): { readonly task: number; readonly tree: number; readonly event: number } {
    const event = randomAck(() => this.owner.random());
    this.ack.left(event);
    return { task: this.ref.task, tree: this.ref.tree, event };
  }

  returned(value: unknown): void {
    this.returns.push(value);
  }
}
