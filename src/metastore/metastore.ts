// Contract: the cluster's small shared facts, as a tree of versioned nodes (ZooKeeper's model without its wire). Implementations:
// `metastore-zookeeper.ts`, `metastore-memory.ts`. Suite: tests/conformance/metastore.ts. Where each fact lives: `metastore/tree.ts`.
//
// Obligations
//   M1  Every change of a node adds one to its version; `expectedVersion` makes set and remove conditional (METASTORE_CONFLICT).
//   M2  `multi` happens as a whole or not at all.
//   M3  Ephemeral nodes go with the session. After a lost session the implementation opens a new one, recreates the ephemerals that this object
//       created (with their last data) and calls `onSession("renewed")`; watches go on without a gap.
//   M4  `watch` yields the present state first and then after each change; states in between may be skipped, the last one never.
//   M5  Requests during an outage wait until the connection returns or `timeoutMs` of the implementation has passed (METASTORE_UNAVAILABLE);
//       whether a change that ended so has happened is unknown, and the caller reads before it repeats.

export interface NodeValue {
  readonly data: Uint8Array;
  readonly version: number;
  readonly ephemeral: boolean;
}

export type MetastoreOp =
  | { readonly kind: "create"; readonly path: string; readonly data: Uint8Array; readonly ephemeral?: boolean }
  | { readonly kind: "set"; readonly path: string; readonly data: Uint8Array; readonly expectedVersion?: number }
  | { readonly kind: "remove"; readonly path: string; readonly expectedVersion?: number }
  | { readonly kind: "check"; readonly path: string; readonly expectedVersion: number };

/** After a short outage "disconnected", "connected"; after a lost session "disconnected", "renewed", "connected". */
export type SessionEvent = "connected" | "disconnected" | "renewed";

export interface Metastore {
  get(path: string): Promise<NodeValue | undefined>;
  /** Names of children, sorted; empty when the node is missing. */
  children(path: string): Promise<string[]>;
  /** Creates missing parents (persistent, empty). METASTORE_NODE_EXISTS when it is there. `sequential` appends ten digits; the real path is returned. */
  create(path: string, data: Uint8Array, options?: { ephemeral?: boolean; sequential?: boolean }): Promise<string>;
  /** Creates or replaces; with `expectedVersion` only replaces. Returns the new version. METASTORE_CONFLICT, METASTORE_NO_NODE. */
  set(path: string, data: Uint8Array, expectedVersion?: number): Promise<number>;
  /** Removes a node and all below it; no-op when missing (with `expectedVersion`: METASTORE_CONFLICT, and only a leaf). */
  remove(path: string, expectedVersion?: number): Promise<void>;
  /** All or nothing. METASTORE_CONFLICT with the index of the op that failed. */
  multi(ops: readonly MetastoreOp[]): Promise<void>;
  watch(path: string, signal: AbortSignal): AsyncIterable<NodeValue | undefined>;
  watchChildren(path: string, signal: AbortSignal): AsyncIterable<string[]>;
  onSession(listener: (event: SessionEvent) => void): () => void;
  close(): Promise<void>;
}
