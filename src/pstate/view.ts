// One reader's or writer's eyes on a partition: the owner's view with its transaction, or the external view, and the session that notes missed ranges.
import { assert } from "../base/assert.ts";
import type { ReadSession } from "../paths/indexed.ts";
import { type Node, UNKNOWN } from "./node-cache.ts";
import type { Partition } from "./partition.ts";
import type { Transaction } from "./transaction.ts";

export class View {
  readonly partition: Partition;
  /** undefined: the external view. */
  readonly transaction: Transaction | undefined;
  readonly session: ReadSession;

  constructor(partition: Partition, transaction: Transaction | undefined, session: ReadSession) {
    this.partition = partition;
    this.transaction = transaction;
    this.session = session;
  }

  get owner(): boolean {
    return this.transaction !== undefined;
  }

  /** undefined when absent. */
  valueOf(node: Node): unknown {
    if (this.transaction !== undefined) return node.current !== UNKNOWN ? node.current : node.structure.currentOf(node);
    return node.applied !== UNKNOWN ? node.applied : node.structure.appliedOf(node);
  }

  writer(): Transaction {
    assert(this.transaction !== undefined, "a write through the external view of a PState");
    return this.transaction;
  }
}
