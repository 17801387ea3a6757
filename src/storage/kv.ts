// Contract: an ordered map of bytes to bytes on disk. Implementations: `kv-level.ts` (LevelDB), `kv-memory.ts` (in process and simulated: forgets
// batches that were not synced when the power is cut). Suite: tests/conformance/kv.ts.
//
// Obligations
//   K1  Keys are ordered bytewise, a prefix first.
//   K2  A batch is atomic: after any crash all of it or none of it is there, and batches survive in order (a prefix of what was written).
//   K3  A batch with `sync: true` survives a power cut once its promise has resolved.
//   K4  `getSync` sees every batch whose promise has resolved.
//   K5  A page of `range` is a consistent view at the call.
//   K6  One opener per directory; a second `open` fails with STORE_LOCKED.
//   K7  Returned bytes belong to the caller's reading: they never change, and must not be written to. They may be Buffers: copy with `new Uint8Array(x)`.
//   K8  `batch` takes its bytes before it returns.
//   K9  A snapshot sees every batch whose promise had resolved, and for each other one all of it or nothing; nothing that comes later. It is to be closed before the Kv.

export type KvOp =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array };

/** [gte, lt) in key order; `limit` entries at most, from the end when `reverse`. */
export interface KvRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export interface KvEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The Kv as it was at one moment. */
export interface KvSnapshot {
  getSync(key: Uint8Array): Uint8Array | undefined;
  range(range: KvRange): Promise<KvEntry[]>;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface Kv {
  getSync(key: Uint8Array): Uint8Array | undefined;
  batch(ops: readonly KvOp[], options: { readonly sync: boolean }): Promise<void>;
  range(range: KvRange): Promise<KvEntry[]>;
  snapshot(): KvSnapshot;
  /** Removes every key in [gte, lt). Not atomic with batches; durable like an unsynced batch. */
  clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void>;
  /** Bytes on disk, roughly, of the keys in the range. */
  approximateSize(gte: Uint8Array, lt: Uint8Array): Promise<number>;
  /** Brings all that was written into the form that an open finds at once, and changes nothing that can be seen: an open after it has little to do. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface KvOpener {
  open(dir: string): Promise<Kv>;
}
