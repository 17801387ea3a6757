// An ordered map in memory that forgets batches which were not synced when the power is cut. In-process clusters and simulations run on it.
//
// Keys are held as latin1 strings (one character per byte, so that string order is byte order): values in a Map for point reads, the keys once more in
// sorted leaves of at most `leafKeys` for ranges. An insert moves at most one leaf; a range finds its leaf by bisection.
import { type ErrorCode, RamaError } from "../base/errors.ts";
import type { Disk } from "./disk.ts";
import type { Kv, KvEntry, KvOp, KvOpener, KvRange, KvSnapshot } from "./kv.ts";

export interface MemoryKvOptions {
  /** With a disk, the store is tied to its directory there: it moves and goes with it. Without, to the path. */
  readonly disk?: Disk;
  /** Called before each batch; an error that it throws is what the caller gets, and nothing has changed. */
  readonly fault?: (dir: string, sync: boolean) => Promise<void> | void;
}

export interface MemoryKvOpener extends KvOpener {
  /**
   * The machine stops now and starts again: open stores are dead and unlocked, and of the batches since the last synced one a random number, oldest first, is
   * still there (none without `random`).
   */
  powerCut(random?: () => number): void;
}

/** Past so many unsynced ops LevelDB has written its table and synced it, so the older half counts as durable. */
const undoOpsMax = 100_000;
const leafKeys = 512;
/** In the store's directory: says which of our stores it is. */
const markerName = "MEMORY-KV";

export function memoryKv(options: MemoryKvOptions = {}): MemoryKvOpener {
  const stores = new Map<string, MemoryStore>();
  let lastId = 0;

  function storeOf(dir: string): MemoryStore {
    let id = dir;
    if (options.disk !== undefined) {
      const marker = `${dir}/${markerName}`;
      if (!options.disk.exists(marker)) {
        options.disk.mkdir(dir);
        options.disk.writeFile(marker, new TextEncoder().encode(String(++lastId)));
      }
      id = new TextDecoder().decode(options.disk.readFile(marker));
    }
    let store = stores.get(id);
    if (store === undefined) {
      store = new MemoryStore();
      stores.set(id, store);
    }
    return store;
  }

  return {
    async open(dir) {
      const store = storeOf(dir);
      if (store.opener !== undefined) throw kvError("STORE_LOCKED", dir, "is open already");
      const kv = new MemoryKv(store, dir, options.fault);
      store.opener = kv;
      return kv;
    },
    powerCut(random = () => 0) {
      for (const store of stores.values()) store.powerCut(random);
    },
  };
}

function kvError(code: ErrorCode, dir: string, what: string): RamaError {
  return new RamaError(code, `${dir}: ${what}`, { dir });
}

const latin1Slice = (Buffer.prototype as unknown as { latin1Slice(this: Uint8Array, from: number, to: number): string })
  .latin1Slice;

function textOf(key: Uint8Array): string {
  return latin1Slice.call(key, 0, key.length);
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

interface UndoOp {
  readonly key: string;
  readonly before: Uint8Array | undefined;
}

class MemoryStore {
  opener: MemoryKv | undefined;
  readonly values = new Map<string, Uint8Array>();
  readonly keys = new SortedKeys();
  /** What takes back the batches since the last synced one, oldest first. */
  #undo: UndoOp[][] = [];
  #undoOps = 0;
  /** Each keeps what was there before it changed. */
  readonly snapshots = new Set<Map<string, Uint8Array | undefined>>();

  apply(ops: readonly KvOp[], sync: boolean): void {
    const undo: UndoOp[] = [];
    for (const op of ops) {
      const key = textOf(op.key);
      const before = this.values.get(key);
      if (!sync) undo.push({ key, before });
      this.#put(key, op.type === "put" ? new Uint8Array(op.value) : undefined, before !== undefined);
    }
    if (sync) {
      this.#undo = [];
      this.#undoOps = 0;
      return;
    }
    this.#undo.push(undo);
    this.#undoOps += undo.length;
    if (this.#undoOps > undoOpsMax && this.#undo.length > 1) {
      for (const dropped of this.#undo.splice(0, this.#undo.length >> 1)) this.#undoOps -= dropped.length;
    }
  }

  powerCut(random: () => number): void {
    this.opener = undefined;
    const kept = Math.floor(random() * (this.#undo.length + 1));
    for (let i = this.#undo.length - 1; i >= kept; i--) {
      const batch = this.#undo[i]!;
      for (let j = batch.length - 1; j >= 0; j--) {
        const { key, before } = batch[j]!;
        this.#put(key, before, this.values.has(key));
      }
    }
    this.#undo = [];
    this.#undoOps = 0;
  }

  #put(key: string, value: Uint8Array | undefined, present: boolean): void {
    for (const before of this.snapshots) if (!before.has(key)) before.set(key, this.values.get(key));
    if (value === undefined) {
      if (!present) return;
      this.values.delete(key);
      this.keys.remove(key);
      return;
    }
    this.values.set(key, value);
    if (!present) this.keys.insert(key);
  }
}

class MemorySnapshot implements KvSnapshot {
  readonly #store: MemoryStore;
  /** Of keys that have changed since; undefined: was not there. */
  readonly #before = new Map<string, Uint8Array | undefined>();

  constructor(store: MemoryStore) {
    this.#store = store;
    store.snapshots.add(this.#before);
  }

  #valueOf(key: string): Uint8Array | undefined {
    return this.#before.has(key) ? this.#before.get(key) : this.#store.values.get(key);
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.#valueOf(textOf(key));
  }

  async range(range: KvRange): Promise<KvEntry[]> {
    const [from, to] = [textOf(range.gte), textOf(range.lt)];
    const keys = this.#store.keys.between(from, to, false, Number.POSITIVE_INFINITY);
    const all = new Set(keys);
    for (const key of this.#before.keys()) if (key >= from && key < to) all.add(key);
    const found = [...all].filter((key) => this.#valueOf(key) !== undefined).sort(byText);
    if (range.reverse === true) found.reverse();
    return found.slice(0, range.limit).map((key) => ({ key: bytesOf(key), value: this.#valueOf(key)! }));
  }

  async close(): Promise<void> {
    this.#store.snapshots.delete(this.#before);
  }
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

class MemoryKv implements Kv {
  readonly #store: MemoryStore;
  readonly #dir: string;
  readonly #fault: MemoryKvOptions["fault"];

  constructor(store: MemoryStore, dir: string, fault: MemoryKvOptions["fault"]) {
    this.#store = store;
    this.#dir = dir;
    this.#fault = fault;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.#open().values.get(textOf(key));
  }

  async batch(ops: readonly KvOp[], options: { readonly sync: boolean }): Promise<void> {
    this.#open();
    if (this.#fault !== undefined) {
      // The bytes are the caller's again once `batch` has returned.
      const copies = ops.map(copyOf);
      await this.#fault(this.#dir, options.sync);
      this.#open().apply(copies, options.sync);
      return;
    }
    this.#open().apply(ops, options.sync);
  }

  async range(range: KvRange): Promise<KvEntry[]> {
    const store = this.#open();
    const found: KvEntry[] = [];
    const limit = range.limit ?? Number.POSITIVE_INFINITY;
    for (const key of store.keys.between(textOf(range.gte), textOf(range.lt), range.reverse === true, limit)) {
      found.push({ key: bytesOf(key), value: store.values.get(key)! });
    }
    return found;
  }

  snapshot(): KvSnapshot {
    return new MemorySnapshot(this.#open());
  }

  async clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    const store = this.#open();
    const keys = store.keys.between(textOf(range.gte), textOf(range.lt), false, Number.POSITIVE_INFINITY);
    store.apply(
      keys.map((key) => ({ type: "del", key: bytesOf(key) })),
      false,
    );
  }

  async approximateSize(gte: Uint8Array, lt: Uint8Array): Promise<number> {
    const store = this.#open();
    let sum = 0;
    for (const key of store.keys.between(textOf(gte), textOf(lt), false, Number.POSITIVE_INFINITY)) {
      sum += key.length + store.values.get(key)!.length;
    }
    return sum;
  }

  async settle(): Promise<void> {
    this.#open();
  }

  async close(): Promise<void> {
    if (this.#store.opener === this) this.#store.opener = undefined;
  }

  #open(): MemoryStore {
    if (this.#store.opener !== this) throw kvError("DISK_FAILED", this.#dir, "is closed, or the power was cut");
    return this.#store;
  }
}

function copyOf(op: KvOp): KvOp {
  const key = new Uint8Array(op.key);
  return op.type === "put" ? { type: "put", key, value: new Uint8Array(op.value) } : { type: "del", key };
}

/** A sorted set of strings as a list of sorted leaves, none of them empty. */
class SortedKeys {
  readonly #leaves: string[][] = [];

  insert(key: string): void {
    if (this.#leaves.length === 0) {
      this.#leaves.push([key]);
      return;
    }
    const at = this.#leafFor(key);
    const leaf = this.#leaves[at]!;
    if (key > leaf[leaf.length - 1]!) leaf.push(key);
    else leaf.splice(lowerBound(leaf, key), 0, key);
    if (leaf.length <= leafKeys) return;
    // Keys that arrive in order leave full leaves behind them.
    const inOrder = at === this.#leaves.length - 1 && leaf[leaf.length - 1] === key;
    this.#leaves.splice(at + 1, 0, leaf.splice(inOrder ? leafKeys : leafKeys >> 1));
  }

  remove(key: string): void {
    const at = this.#leafFor(key);
    const leaf = this.#leaves[at]!;
    leaf.splice(lowerBound(leaf, key), 1);
    if (leaf.length === 0) this.#leaves.splice(at, 1);
  }

  /** Keys in [gte, lt), at most `limit`, from the end when `reverse`. */
  between(gte: string, lt: string, reverse: boolean, limit: number): string[] {
    const found: string[] = [];
    if (this.#leaves.length === 0 || gte >= lt) return found;
    if (reverse) {
      for (let at = this.#leafFor(lt); at >= 0; at--) {
        const leaf = this.#leaves[at]!;
        for (let i = lowerBound(leaf, lt) - 1; i >= 0; i--) {
          if (found.length >= limit || leaf[i]! < gte) return found;
          found.push(leaf[i]!);
        }
      }
      return found;
    }
    for (let at = this.#leafFor(gte); at < this.#leaves.length; at++) {
      const leaf = this.#leaves[at]!;
      for (let i = lowerBound(leaf, gte); i < leaf.length; i++) {
        if (found.length >= limit || leaf[i]! >= lt) return found;
        found.push(leaf[i]!);
      }
    }
    return found;
  }

  /** The last leaf whose first key is not above `key`, or the first leaf. */
  #leafFor(key: string): number {
    let low = 0;
    let high = this.#leaves.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#leaves[middle]![0]! <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Index of the first element that is not below `key`. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
