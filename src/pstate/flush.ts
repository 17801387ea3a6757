// What a task group has applied and not yet written to the Kv, and how it gets there.
//
// `collect` hands out one op per changed key, for one atomic batch that also carries the applied log offset, so that the Kv is a prefix of the log.
// A dropped structure is not listed key by key: the batch that makes it unreachable carries a small record naming its path. After that batch is durable
// `removeDropped` deletes the run of keys, level by level, and the record goes with the next batch. Its id is never used again, so no reader or writer
// can meet those keys, whenever they go; a crash in between finds the record and does it again (deleting an empty run changes nothing).
// Range deletes are therefore never part of the atomic batch and need no pages read before it.
import { encodeValue, decodeValue } from "../base/value-codec.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import { droppedKey, droppedRange, HEADER_BYTES, ownKey, PLACE_STATISTICS, pathHeader } from "./layout.ts";
import type { Node, NodeCache } from "./node-cache.ts";
import type { Partition } from "./partition.ts";
import { concatBytes, latin1Of, prefixSuccessor } from "../base/bytes.ts";

/** Nodes that the end of a flush looks at for eviction: some milliseconds; the rest goes as others come in. */
const looksMax = 20_000;

interface DroppedPath {
  readonly partition: Partition;
  /** First byte: the structure's level; then its path. */
  readonly place: Uint8Array;
  readonly levels: number;
  readonly recordKey: Uint8Array;
}

interface Collected {
  readonly ops: KvOp[];
  done(): void;
  failed(): void;
}

export class FlushQueue {
  readonly #cache: NodeCache;
  #nodes: Node[] = [];
  #bytes = 0;
  /** Dropped since the last collection: their records are to be written. */
  #dropped: DroppedPath[] = [];
  /** Their records are durable: their keys may go. */
  #removable: DroppedPath[] = [];
  /** Records whose keys are gone. */
  #doneRecords: Uint8Array[] = [];
  #touched = new Set<Partition>();
  /** Collected, and not known to be in the Kv. */
  readonly #inFlight = new Set<readonly Node[]>();

  constructor(cache: NodeCache) {
    this.#cache = cache;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The node's newest applied value stands at [start, end) of `bytes`; with its key it has about `length` bytes. `pinned`: the caller's pin becomes the queue's. */
  add(node: Node, bytes: Uint8Array, start: number, end: number, length: number, pinned: boolean): void {
    node.bytes = bytes;
    node.start = start;
    node.end = end;
    this.#bytes += length;
    this.#cache.weigh(node, length);
    if (node.dirty) {
      if (pinned) node.pins--;
      return;
    }
    node.dirty = true;
    if (!pinned) node.pins++;
    this.#nodes.push(node);
  }

  drop(partition: Partition, place: Uint8Array, levels: number): void {
    const recordKey = droppedKey(partition.spec.objectId, partition.taskId, place);
    this.#touched.add(partition);
    this.#dropped.push({ partition, place, levels, recordKey });
  }

  collect(): Collected {
    const nodes = this.#nodes;
    const dropped = this.#dropped;
    const records = this.#doneRecords;
    const bytes = this.#bytes;
    this.#nodes = [];
    this.#dropped = [];
    this.#doneRecords = [];
    this.#bytes = 0;
    const ops: KvOp[] = [];
    for (const node of nodes) {
      node.dirty = false;
      this.#touched.add(node.structure.partition);
      if (node.gone) continue;
      const key = node.structure.storedKeyOf(node);
      if (node.end < node.start) ops.push({ type: "del", key });
      else ops.push({ type: "put", key, value: node.bytes!.subarray(node.start, node.end) });
    }
    for (const key of records) ops.push({ type: "del", key });
    for (const path of dropped) ops.push({ type: "put", key: path.recordKey, value: encodeValue(path.levels) });
    for (const partition of this.#touched) {
      partition.collected();
      ops.push({
        type: "put",
        key: ownKey(partition.spec.objectId, partition.taskId, PLACE_STATISTICS),
        value: encodeValue(partition.entries),
      });
    }
    this.#touched.clear();
    this.#inFlight.add(nodes);
    return {
      ops,
      done: () => {
        this.#inFlight.delete(nodes);
        this.#done(nodes, dropped);
      },
      failed: () => {
        this.#inFlight.delete(nodes);
        this.#bytes += bytes;
        this.#failed(nodes);
        this.#dropped = [...dropped, ...this.#dropped];
        this.#doneRecords.push(...records);
      },
    };
  }

  /** What the Kv does not hold of the partition, or may not: newest applied values by key; undefined: deleted. */
  unflushed(partition: Partition): Map<string, Uint8Array | undefined> {
    const found = new Map<string, Uint8Array | undefined>();
    const add = (node: Node): void => {
      if (node.structure.partition !== partition || node.gone) return;
      const key = latin1Of(node.structure.storedKeyOf(node), 0);
      found.set(key, node.end < node.start ? undefined : node.bytes!.slice(node.start, node.end));
    };
    for (const nodes of this.#inFlight) for (const node of nodes) add(node);
    for (const node of this.#nodes) add(node);
    return found;
  }

  #done(nodes: readonly Node[], dropped: readonly DroppedPath[]): void {
    const flush = ++this.#cache.flushes;
    for (const node of nodes) {
      node.pins--;
      node.flushed = flush;
      if (!node.dirty) node.bytes = undefined;
    }
    this.#removable.push(...dropped);
    if (this.#cache.bytes > this.#cache.bytesMax) this.#cache.evict(Math.min(2 * nodes.length, looksMax));
  }

  #failed(nodes: readonly Node[]): void {
    for (const node of nodes) {
      if (node.dirty) node.pins--;
      else {
        node.dirty = true;
        this.#nodes.push(node);
      }
    }
  }

  get removable(): number {
    return this.#removable.length;
  }

  /** Deletes the keys of structures whose removal is durable. May be called at any time; one call at a time. */
  async removeDropped(): Promise<void> {
    const paths = this.#removable;
    this.#removable = [];
    while (paths.length > 0) {
      const path = paths[paths.length - 1]!;
      try {
        await removePath(this.#cache.kv, path);
      } catch (error) {
        this.#removable.push(...paths);
        throw error;
      }
      paths.pop();
      this.#doneRecords.push(path.recordKey);
    }
  }

  /** Structures that an earlier process dropped and did not get to remove. */
  async findDropped(partitions: Iterable<Partition>): Promise<void> {
    for (const partition of partitions) {
      const entries = await this.#cache.kv.range(droppedRange(partition.spec.objectId, partition.taskId));
      for (const { key, value } of entries) {
        const recordKey = Uint8Array.from(key);
        const place = recordKey.subarray(HEADER_BYTES + 2);
        this.#removable.push({ partition, place, levels: decodeValue(value) as number, recordKey });
      }
    }
  }
}

async function removePath(kv: Kv, path: DroppedPath): Promise<void> {
  const { partition, place, levels } = path;
  for (let level = place[0]!; level <= place[0]! + levels; level++) {
    const header = pathHeader(partition.spec.objectId, partition.taskId, level);
    const gte = concatBytes(header, place.subarray(1));
    await kv.clear({ gte, lt: prefixSuccessor(gte)! });
  }
}
