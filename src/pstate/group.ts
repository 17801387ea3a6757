// All PState partitions of one task group over its store's Kv: opened once, used on the thread that runs the group.
import { assert } from "../base/assert.ts";
import { RamaError } from "../base/errors.ts";
import type { ClassRegistry } from "../base/values.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import type {
  OpenPStateGroup,
  PStateGroup,
  PStatePartition,
  PStateSnapshot,
  PStateTransaction,
  PStateSpec,
} from "./contract.ts";
import { visitEntry } from "./entry.ts";
import { FlushQueue } from "./flush.ts";
import { partitionRange } from "./layout.ts";
import { PartitionMigration } from "./migration-run.ts";
import { type Node, NodeCache, UNKNOWN } from "./node-cache.ts";
import { Partition } from "./partition.ts";
import { snapshotOf } from "./snapshot.ts";
import { Transaction } from "./transaction.ts";
import { Validator } from "./validate.ts";
import { rootTypeOf } from "./value-type.ts";

export const openPStateGroup: OpenPStateGroup = (options) => new Group(options);

class Group implements PStateGroup {
  readonly #kv: Kv;
  readonly #classes: ClassRegistry | undefined;
  readonly #tasks: readonly number[];
  readonly #cache: NodeCache;
  readonly #flush: FlushQueue;
  readonly #partitions = new Map<number, Map<number, Partition>>();
  #foundDropped = false;

  constructor(options: Parameters<OpenPStateGroup>[0]) {
    this.#kv = options.kv;
    this.#classes = options.classes;
    this.#tasks = options.tasks;
    this.#cache = new NodeCache(options.kv, options.classes, options.cacheBytes, options.observer);
    this.#flush = new FlushQueue(this.#cache);
    for (const spec of options.specs) this.#open(spec, options.deepValidation);
  }

  #open(spec: PStateSpec, deep: boolean): void {
    assert(spec.objectId >= 0 && spec.objectId <= 0xffff, `object id ${spec.objectId} does not fit the key layout`);
    assert(!this.#partitions.has(spec.objectId), `object id ${spec.objectId} is used twice`);
    const validator = new Validator(spec.name, this.#classes);
    const type = rootTypeOf(spec.schema, validator, deep);
    const partitions = new Map<number, Partition>();
    for (const taskId of this.#tasks) {
      assert(taskId >= 0 && taskId < 0xffff, `task ${taskId} does not fit the key layout`);
      partitions.set(taskId, new Partition({ spec, taskId, cache: this.#cache, validator, type }));
    }
    this.#partitions.set(spec.objectId, partitions);
  }

  partition(objectId: number, taskId: number): Partition {
    const partition = this.#partitions.get(objectId)?.get(taskId);
    assert(partition !== undefined, `no partition of object ${objectId} on task ${taskId} in this group`);
    return partition;
  }

  /** Those that have migrations, or had some. In the order of the declarations. */
  migrations(): PartitionMigration[] {
    return [...this.#partitions.values()].flatMap((partitions) =>
      [...partitions.values()]
        .filter(({ migrations }) => migrations.all.length > 0 || migrations.record.names.length > 0)
        .map((partition) => new PartitionMigration(partition, new Transaction(this.#flush, this.#classes, true))),
    );
  }

  snapshot(partition: PStatePartition, transaction?: PStateTransaction): PStateSnapshot {
    const of = partition as Partition;
    const overlay = this.#flush.unflushed(of);
    for (const [key, value] of (transaction as Transaction | undefined)?.unsealed(of) ?? []) overlay.set(key, value);
    return snapshotOf(of, overlay, this.#classes);
  }

  transaction(): Transaction {
    return new Transaction(this.#flush, this.#classes);
  }

  applyWrites(view: Uint8Array): void {
    // Nodes refer to the bytes until they are flushed; the entry's own are reused by the log.
    const bytes = new Uint8Array(view);
    let partition: Partition | undefined;
    const place = (node: Node, start: number, end: number, length: number) => {
      if (node.structure.level === 0 && isBehind(node, bytes, start, end)) return;
      const was = node.applied;
      if (was === undefined && end >= start) node.structure.count(node, 1);
      else if (was !== undefined && was !== UNKNOWN && end < start) node.structure.count(node, -1);
      this.#flush.add(node, bytes, start, end, length, false);
      node.applied = UNKNOWN;
      node.current = UNKNOWN;
      if (node.structure.level === 0) partition!.replacedOwn();
      partition!.watched?.applied(node);
    };
    visitEntry(bytes, {
      // An object that a later version has dropped: its writes in the old log count no more.
      partition: (objectId, taskId) => {
        partition = this.#partitions.get(objectId)?.get(taskId);
      },
      put: (_, placeStart, placeEnd, valueEnd) => {
        if (partition !== undefined)
          place(partition.nodeAtPlace(bytes, placeStart, placeEnd), placeEnd, valueEnd, valueEnd - placeStart);
      },
      delete: (_, placeStart, placeEnd) => {
        if (partition !== undefined)
          place(partition.nodeAtPlace(bytes, placeStart, placeEnd), 0, -1, placeEnd - placeStart);
      },
      drop: (_, placeStart, placeEnd, levels) => {
        if (partition === undefined) return;
        partition.structureNamed(bytes, placeStart, placeEnd).discard();
        this.#flush.drop(partition, bytes.slice(placeStart, placeEnd), levels);
      },
    });
  }

  get unflushedBytes(): number {
    return this.#flush.bytes;
  }

  collect(): { readonly ops: KvOp[]; done(): void; failed(): void } {
    return this.#flush.collect();
  }

  async removeDropped(): Promise<void> {
    if (!this.#foundDropped) {
      this.#foundDropped = true;
      for (const partitions of this.#partitions.values()) await this.#flush.findDropped(partitions.values());
    }
    await this.#flush.removeDropped();
  }

  status(): { readonly objectId: number; readonly name: string; readonly entries: number }[] {
    return [...this.#partitions.values()].map((partitions) => {
      const all = [...partitions.values()];
      const { objectId, name } = all[0]!.spec;
      return { objectId, name, entries: all.reduce((sum, partition) => sum + Math.max(0, partition.entries), 0) };
    });
  }

  async approximateBytes(objectId: number): Promise<number> {
    let bytes = 0;
    for (const taskId of this.#tasks) {
      const { gte, lt } = partitionRange(objectId, taskId);
      bytes += await this.#kv.approximateSize(gte, lt);
    }
    return bytes;
  }

  async deleteObject(objectId: number): Promise<void> {
    if (this.#partitions.has(objectId)) {
      throw new RamaError("INTERNAL", `PState ${objectId} is deleted while it is open`, { objectId });
    }
    for (const taskId of this.#tasks) await this.#kv.clear(partitionRange(objectId, taskId));
  }
}

/** An entry's counter that is older than the one that has been applied: two topologies' writes may be applied in another order than they were made. */
function isBehind(node: Node, bytes: Uint8Array, start: number, end: number): boolean {
  const { partition } = node.structure;
  return node === partition.counter && end >= start && partition.isCounterBack(node, decodeValue(bytes, start, end));
}
