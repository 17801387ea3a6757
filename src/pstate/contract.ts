// What the task runtime may ask of PStates. Implemented in `pstate/` (partition.ts, transaction.ts, node-cache.ts, layout.ts, flush.ts).
//
// A partition is a tree of *nodes*; a node is one stored key: a place (bytes) and its value. A node in memory has up to three values, oldest first:
//   flushed   what LevelDB holds
//   applied   committed and visible to everyone (external view)
//   current   with the owner's writes that are sealed or still in the running batch (owner's view)
// Writes go to `current` under a Transaction, which remembers what was there before. `seal` turns the writes since the last seal into one entry of
// place → new value; `apply` makes exactly those visible, in sealing order; `rollback` takes back what is not sealed.
// Unflushed nodes are pinned; clean ones are evicted by bytes. A flush is one atomic Kv batch of every node applied since the last, so that the Kv is
// always a prefix of the log.
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { SchemaNode } from "../module/schema.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import type { PartitionMigration } from "./migration-run.ts";
import type { PStateObserver } from "./observer.ts";
import type { Watcher } from "./watch.ts";

export interface PStateSpec {
  /** Stable small number of the PState in this store's catalogue (by name, survives updates). */
  readonly objectId: number;
  readonly name: string;
  readonly schema: SchemaNode;
  readonly initialValue?: unknown;
}

export interface SealedWrites {
  /** The entry's payload; read by `applyWrites` of followers and of recovery. */
  readonly bytes: Uint8Array;
  /** Number of stored keys changed. */
  readonly writes: number;
  /** Makes the writes visible. Called once, in sealing order of the group. */
  apply(): void;
  /** Takes the writes back: for sealed writes that will never be applied (an aborted microbatch). Newest first. */
  discard(): void;
}

export interface PStateTransaction {
  /** Position for `rollbackTo`. */
  mark(): number;
  rollbackTo(mark: number): void;
  readonly empty: boolean;
  /** undefined when nothing was written since the last seal. */
  seal(): SealedWrites | undefined;
}

export interface PStatePartition {
  readonly spec: PStateSpec;
  readonly taskId: number;
  /** Writes through the root belong to `transaction`. */
  owner(transaction: PStateTransaction, session: ReadSession): PathRoot;
  /** Committed state only; `set` throws. */
  external(session: ReadSession): PathRoot;
  /**
   * From now on `watcher` is told when something below the top-level key of `place` (absent: anything of the partition) has been applied. To be ended by
   * `unwatch` with the same arguments.
   */
  watch(watcher: Watcher, place?: { readonly key: unknown }): void;
  unwatch(watcher: Watcher, place?: { readonly key: unknown }): void;
  /** Back to the starting state, as writes of `transaction`. */
  clear(transaction: PStateTransaction): void;
}

/** A partition as it was at one moment: what was applied then. */
export interface PStateSnapshot {
  external(session: ReadSession): PathRoot;
  /** To be called before the Kv is closed. Idempotent. */
  close(): Promise<void>;
}

/** All PState partitions of one task group, over the store's Kv. */
export interface PStateGroup {
  partition(objectId: number, taskId: number): PStatePartition;
  /** One per topology of the group: its writes roll back and seal together. */
  transaction(): PStateTransaction;
  /** Of a partition of this group, now; with what the transaction has written to it. */
  snapshot(partition: PStatePartition, transaction?: PStateTransaction): PStateSnapshot;
  /** The partitions whose values migrate, or did before. */
  migrations(): PartitionMigration[];
  /** Replays a sealed entry of another process or of the log: visible at once. */
  applyWrites(bytes: Uint8Array): void;
  readonly unflushedBytes: number;
  /** Collects every applied, unflushed node; call `done` after the batch is durable (or `failed` to keep them dirty). */
  collect(): { readonly ops: KvOp[]; done(): void; failed(): void };
  /**
   * Deletes the keys of structures whose removal a finished flush has made durable. To be called after `done`, by one caller at a time; later is fine,
   * and so is never: those keys are unreachable and only take room.
   */
  removeDropped(): Promise<void>;
  /** Elements per object, nested ones included, approximately: overwrites and deletions that did not look first are not counted. */
  status(): { readonly objectId: number; readonly name: string; readonly entries: number }[];
  /** Bytes on disk, roughly; what is not flushed does not count. */
  approximateBytes(objectId: number): Promise<number>;
  /** Removes all of an object (destroy, deletion in an update). The group must have been opened without it. */
  deleteObject(objectId: number): Promise<void>;
}

export type OpenPStateGroup = (options: {
  readonly kv: Kv;
  readonly groupId: number;
  readonly tasks: readonly number[];
  readonly specs: readonly PStateSpec[];
  readonly cacheBytes: number;
  readonly deepValidation: boolean;
  /** Classes and custom serializations of the module's values; without it only plain data. */
  readonly classes?: ClassRegistry;
  readonly observer?: PStateObserver;
}) => PStateGroup;
