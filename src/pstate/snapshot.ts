// One partition as it is at a moment, to be read in pages while it goes on changing: a snapshot of the Kv, over it what had been applied and was not in the Kv.
// It is a partition of its own with a small cache, so that everything that reads partitions reads it alike.
import { latin1Of } from "../base/bytes.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { Kv, KvEntry, KvRange, KvSnapshot } from "../storage/kv.ts";
import type { PStateSnapshot } from "./contract.ts";
import { NodeCache } from "./node-cache.ts";
import { Partition } from "./partition.ts";

const cacheBytes = 4 * 1024 * 1024;

/** By key; undefined: deleted. */
export type Overlay = ReadonlyMap<string, Uint8Array | undefined>;

export function snapshotOf(of: Partition, overlay: Overlay, classes: ClassRegistry | undefined): PStateSnapshot {
  const kv = new OverlaidKv(of.cache.kv.snapshot(), overlay);
  const { spec, taskId, validator, type } = of;
  const cache = new NodeCache(kv, classes, cacheBytes, undefined);
  const partition = new Partition({ spec, taskId, cache, validator, type });
  return {
    external: (session: ReadSession): PathRoot => partition.external(session),
    close: () => kv.close(),
  };
}

class OverlaidKv implements Kv {
  readonly #below: KvSnapshot;
  readonly #overlay: Overlay;
  #keys: string[] | undefined;

  constructor(below: KvSnapshot, overlay: Overlay) {
    this.#below = below;
    this.#overlay = overlay;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    const text = latin1Of(key, 0);
    return this.#overlay.has(text) ? this.#overlay.get(text) : this.#below.getSync(key);
  }

  async range(range: KvRange): Promise<KvEntry[]> {
    const { limit = Number.POSITIVE_INFINITY } = range;
    const [from, to] = [latin1Of(range.gte, 0), latin1Of(range.lt, 0)];
    this.#keys ??= [...this.#overlay.keys()].sort((a, b) => (a < b ? -1 : 1));
    const over = this.#keys.slice(lowerBound(this.#keys, from), lowerBound(this.#keys, to));
    // As many more as the overlay may take away.
    const wanted = limit === Number.POSITIVE_INFINITY ? {} : { limit: limit + over.length };
    const below = await this.#below.range({ ...range, ...wanted });
    if (over.length === 0) return below;
    const found = new Map<string, KvEntry>();
    for (const entry of below) found.set(latin1Of(entry.key, 0), entry);
    for (const key of over) {
      const value = this.#overlay.get(key);
      if (value === undefined) found.delete(key);
      else found.set(key, { key: Buffer.from(key, "latin1"), value });
    }
    const keys = [...found.keys()].sort((a, b) => (a < b ? -1 : 1));
    if (range.reverse === true) keys.reverse();
    return keys.slice(0, limit).map((key) => found.get(key)!);
  }

  snapshot(): KvSnapshot {
    return this;
  }

  close(): Promise<void> {
    return this.#below.close();
  }

  batch(): Promise<void> {
    throw readOnly();
  }

  clear(): Promise<void> {
    throw readOnly();
  }

  approximateSize(): Promise<number> {
    throw readOnly();
  }

  settle(): Promise<void> {
    throw readOnly();
  }
}

function readOnly(): Error {
  return new Error("a snapshot of a PState is read only");
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
