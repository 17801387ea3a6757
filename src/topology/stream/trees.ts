// Event trees as the stream runtime holds them: the whole of a record's on its start engine, the part of one that arrived from elsewhere.
import type { EventTree } from "../../task/event.ts";
import type { TreeRef } from "../../task/event-codec.ts";
import { AckTree, randomAck } from "./ack-tree.ts";
import type { SourcePartition, Waiter } from "./source.ts";

export interface TreeOwner {
  random(): number;
  /** Makes the tree findable for answers; returns its number. */
  register(tree: RecordTree): number;
  unregister(tree: RecordTree): void;
  subtreeEnded(tree: Subtree): void;
  subtreeFailed(tree: Subtree, error: unknown): void;
}

export class RecordTree implements EventTree {
  readonly ack = new AckTree();
  /** 0 until an event leaves this engine. */
  id = 0;
  dead = false;
  /** It is in its source's table: it outlived the turn in which it began. */
  entered = false;
  returns: unknown[] | undefined = undefined;

  constructor(
    readonly owner: TreeOwner,
    readonly source: SourcePartition,
    readonly offset: number,
    public waiters: Waiter[] | undefined,
    readonly failures: number,
    readonly startedMs: number,
  ) {}

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

export class Subtree implements EventTree {
  readonly ack: AckTree;
  dead = false;
  readonly returns: unknown[] = [];

  constructor(
    readonly owner: TreeOwner,
    readonly ref: TreeRef,
    event: number,
  ) {
    this.ack = new AckTree(event);
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
