// The unit on disk of a thread: one physical log and one Kv in one directory, holding whole task groups (design.md 3). Implemented by `storage/log.ts`
// (segments, group commit) and `replication/` + `depot/` (what the entries mean).
//
// Positions of a group's replog, at all times: applied ≤ committed ≤ durable ≤ end. With one replica `committed` follows `durable`.
import type { Kv } from "./kv.ts";

/** One entry as read back from the log. `payload` is a view: copy to keep. */
export interface LogEntry {
  readonly group: number;
  readonly epoch: number;
  readonly offset: number;
  readonly kind: number;
  readonly payload: Uint8Array;
}

export interface LogRecovery {
  readonly entries: number;
  readonly tornBytes: number;
  readonly segments: number;
}

/**
 * The physical log of one store. `append` copies into the open batch; `commit` (called by the engine thread when it has run what was runnable) seals the batch
 * if no sync is in flight, and otherwise remembers to do so when it returns. `onDurable` is called once per sealed batch, on the thread, in order; inside `commit`
 * when the sync was made inline.
 */
export interface StoreLog {
  append(kind: number, group: number, epoch: number, offset: number, parts: readonly Uint8Array[]): void;
  /** `busy`: other work is runnable on this thread, so an inline sync would make it wait. */
  commit(busy: boolean): void;
  onDurable: (upTo: number) => void;
  /** After a failed write or sync: no further entry is accepted, `error` says why. */
  onFailed: (error: Error) => void;
  /** Sequence number of the newest appended entry of the whole log; `onDurable(upTo)` counts in it. */
  readonly end: number;
  readonly bytes: number;
  /** Entries of `group` below `offset` are no longer needed; segments go when all their groups have let go. */
  release(group: number, offset: number): void;
  close(): Promise<void>;
}

export interface Store {
  readonly dir: string;
  readonly log: StoreLog;
  readonly kv: Kv;
}
