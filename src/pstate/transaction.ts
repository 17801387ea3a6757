// The writes of one topology on one task group: what they replace, until they are sealed, and the sealed entry until it is applied.
//
// A write changes `current` of a node and notes the old value; rolling back walks the notes backwards. Sealing encodes each changed node once, into
// the entry's payload; the same bytes go to the Kv at the next flush. A node is pinned once per note, later once by the sealed writes.
import { assert } from "../base/assert.ts";
import { latin1Of } from "../base/bytes.ts";
import { ByteWriter } from "../base/value-bytes.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { PStateTransaction, SealedWrites } from "./contract.ts";
import { ENTRY_VERSION, WRITE_DELETE, WRITE_DROP, WRITE_PARTITION, WRITE_PUT } from "./entry.ts";
import type { FlushQueue } from "./flush.ts";
import { HEADER_BYTES, writePlace } from "./layout.ts";
import { writeStamp } from "./migration.ts";
import { type Node, UNKNOWN } from "./node-cache.ts";
import type { Partition } from "./partition.ts";
import type { Structure } from "./structure.ts";

interface Drop {
  readonly structure: Structure;
  /** Number of notes when it happened; the write that cut the structure off is among them. */
  readonly at: number;
}

/** Distinguishes seals; nodes carry the last that saw them. */
let lastStamp = 0;

export class Transaction implements PStateTransaction {
  readonly #flush: FlushQueue;
  readonly #writer: ByteWriter;
  #nodes: Node[] = [];
  #olds: unknown[] = [];
  #drops: Drop[] = [];

  /** Nobody who reads sees what it writes (migrations): watchers and observers are not told. */
  readonly #quiet: boolean;

  constructor(flush: FlushQueue, classes: ClassRegistry | undefined, quiet = false) {
    this.#flush = flush;
    this.#quiet = quiet;
    this.#writer = new ByteWriter(4096, classes);
  }

  get empty(): boolean {
    return this.#nodes.length === 0;
  }

  mark(): number {
    return this.#nodes.length;
  }

  write(node: Node, value: unknown): void {
    const old = node.current;
    if (old === value) return;
    assert(!node.gone, "a write to a node that has left memory");
    this.#nodes.push(node);
    this.#olds.push(old);
    node.pins++;
    node.current = value;
  }

  /** The value stays, and is stored anew. */
  rewrite(node: Node): void {
    assert(!node.gone && node.current !== UNKNOWN, "a node that is rewritten is in memory");
    this.#nodes.push(node);
    this.#olds.push(node.current);
    node.pins++;
  }

  /** The structure is no longer referred to; to be called after the write that did that. */
  drop(structure: Structure): void {
    this.#drops.push({ structure, at: this.#nodes.length });
  }

  rollbackTo(mark: number): void {
    const nodes = this.#nodes;
    assert(mark >= 0 && mark <= nodes.length, `no such mark: ${mark} of ${nodes.length}`);
    for (let i = nodes.length - 1; i >= mark; i--) {
      const node = nodes[i]!;
      node.current = this.#olds[i];
      node.pins--;
    }
    nodes.length = mark;
    this.#olds.length = mark;
    while (this.#drops.length > 0 && this.#drops[this.#drops.length - 1]!.at > mark) this.#drops.pop();
  }

  seal(): SealedWrites | undefined {
    if (this.#nodes.length === 0) return undefined;
    const nodes = this.#nodes;
    const olds = this.#olds;
    const writer = this.#writer;
    const stamp = ++lastStamp;
    const starts: number[] = [];
    const ends: number[] = [];
    const values: unknown[] = [];
    writer.reset();
    writer.u8(ENTRY_VERSION);
    let partition: Partition | undefined;
    let count = 0;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]!;
      if (node.stamp === stamp) {
        node.pins--;
        continue;
      }
      node.stamp = stamp;
      if (node.structure.partition !== partition) {
        partition = node.structure.partition;
        this.#enter(partition);
      }
      const value = node.current;
      writer.u8(value === undefined ? WRITE_DELETE : WRITE_PUT);
      node.structure.writePlace(writer, node);
      starts.push(writer.length);
      if (value !== undefined) {
        if (node.structure.migrates) this.#stamp(node);
        writer.writeValue(value);
      }
      ends.push(value === undefined ? -1 : writer.length);
      values.push(value);
      nodes[count] = node;
      olds[count] = olds[i];
      count++;
    }
    nodes.length = count;
    olds.length = count;
    const drops = this.#drops;
    for (const { structure } of drops) partition = this.#writeDrop(structure, partition);
    this.#nodes = [];
    this.#olds = [];
    this.#drops = [];
    return new Sealed(this.#flush, writer.take(), { nodes, olds, values, starts, ends, drops, quiet: this.#quiet });
  }

  /** What is written to the partition and not sealed: newest values by key, as the Kv would hold them; undefined: deleted. */
  unsealed(partition: Partition): Map<string, Uint8Array | undefined> {
    const found = new Map<string, Uint8Array | undefined>();
    const writer = new ByteWriter(4096, this.#writer.classes);
    const add = (node: Node, value: unknown): void => {
      const key = latin1Of(node.structure.storedKeyOf(node), 0);
      writer.reset();
      if (value !== undefined) {
        if (node.structure.migrates) this.#stamp(node, writer);
        writer.writeValue(value);
      }
      found.set(key, value === undefined ? undefined : writer.take());
    };
    for (const node of this.#nodes) if (node.structure.partition === partition) add(node, node.current);
    if (found.size > 0 && partition.counter.current === undefined) add(partition.counter, partition.nextId);
    return found;
  }

  #stamp(node: Node, writer = this.#writer): void {
    const type = node.structure.migratedType(node);
    if (type !== undefined) writeStamp(writer, node.structure.partition.migrations.stampOf(type.migration!));
  }

  #enter(partition: Partition): void {
    this.#writer.u8(WRITE_PARTITION);
    this.#writer.varint(partition.spec.objectId);
    this.#writer.varint(partition.taskId);
    // The counter is there from the first commit on: an absent one tells that nothing of the partition is in the Kv.
    if (partition.counter.current === undefined) this.write(partition.counter, partition.nextId);
  }

  #writeDrop(structure: Structure, entered: Partition | undefined): Partition {
    const { partition } = structure;
    if (partition !== entered) {
      this.#writer.u8(WRITE_PARTITION);
      this.#writer.varint(partition.spec.objectId);
      this.#writer.varint(partition.taskId);
    }
    this.#writer.u8(WRITE_DROP);
    this.#writer.u8(structure.type!.levels);
    writePlace(this.#writer, structure.prefix);
    return partition;
  }
}

interface SealedContent {
  readonly nodes: readonly Node[];
  readonly olds: readonly unknown[];
  readonly values: readonly unknown[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly drops: readonly Drop[];
  readonly quiet: boolean;
}

class Sealed implements SealedWrites {
  readonly bytes: Uint8Array;
  readonly #flush: FlushQueue;
  #content: SealedContent | undefined;

  constructor(flush: FlushQueue, bytes: Uint8Array, content: SealedContent) {
    this.#flush = flush;
    this.bytes = bytes;
    this.#content = content;
  }

  get writes(): number {
    return this.#content?.nodes.length ?? 0;
  }

  apply(): void {
    const { nodes, values, starts, ends, drops, quiet } = this.#take();
    const flush = this.#flush;
    const bytes = this.bytes;
    let begin = 0;
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]!;
      const value = values[i];
      if (node.structure.level === 0 && node.structure.partition.isCounterBack(node, value)) {
        node.pins--;
        begin = Math.max(starts[i]!, ends[i]!);
        continue;
      }
      const before = node.applied;
      if (before === undefined) {
        if (value !== undefined) node.structure.count(node, 1);
      } else if (value === undefined && before !== UNKNOWN) node.structure.count(node, -1);
      node.applied = value;
      const start = starts[i]!;
      const end = ends[i]!;
      const last = Math.max(start, end);
      flush.add(node, bytes, start, end, last - begin, true);
      begin = last;
    }
    if (nodes[0]!.structure.cache.watchers > 0 && !quiet) {
      for (let i = 0; i < nodes.length; i++) nodes[i]!.structure.partition.watched?.applied(nodes[i]!);
    }
    if (nodes[0]!.structure.cache.observer?.on && !quiet) tellCommitted(nodes);
    for (const { structure } of drops) {
      flush.drop(structure.partition, structure.prefix.subarray(HEADER_BYTES), structure.type!.levels);
      structure.discard();
    }
  }

  discard(): void {
    const { nodes, olds } = this.#take();
    for (let i = nodes.length - 1; i >= 0; i--) {
      nodes[i]!.current = olds[i];
      nodes[i]!.pins--;
    }
  }

  #take(): SealedContent {
    const content = this.#content;
    assert(content !== undefined, "sealed writes are applied or discarded once");
    this.#content = undefined;
    return content;
  }
}

/** By partition; the counter of structures is nobody's key. */
function tellCommitted(nodes: readonly Node[]): void {
  const writes = new Map<Partition, number>();
  for (const node of nodes) {
    const { partition } = node.structure;
    if (node !== partition.counter) writes.set(partition, (writes.get(partition) ?? 0) + 1);
  }
  for (const [partition, count] of writes) partition.cache.observer!.committed(partition, count);
}
