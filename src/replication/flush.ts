// Brings what has been applied to the disk in its final place, many commits at a time: twice a second, or after 8 MB, one atomic synced Kv batch with what changed in
// PStates, progress and depot tables of all groups of the store, and how far each group is applied. Rarer, since it costs a sync per partition, the depots' files
// are synced. Then the log lets go of what it alone has held so far.
//
// A group is collected in one turn of the event loop, so that its part is its state at one position; the groups one turn after the other, so that
// nobody waits for all of them.
import type { Env, Timer } from "../base/env.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import { positionsOp, replayFrom } from "../storage/store.ts";
import type { StoreLog } from "../storage/store-contract.ts";
import type { GroupReplog } from "./replog.ts";

const defaultIntervalMs = 500;
const defaultBytesMax = 8 * 1024 * 1024;
/** The log keeps what has been appended for so long, or so many bytes. After a crash it is read again: 1.4 us per append, 0.5 s for 32 MB of small ones. */
const defaultDepotSyncMs = 10_000;
const defaultDepotSyncBytes = 32 * 1024 * 1024;

export interface Collected {
  readonly ops: readonly KvOp[];
  /** The batch is durable. */
  done(): void;
  /** It is not: the changes must come again with the next collection. */
  failed(): void;
}

/** What of one group is flushed. Structural, so that PStates and depots need not know each other. */
export interface FlushSources {
  readonly replog: GroupReplog;
  readonly pstates?: {
    readonly unflushedBytes: number;
    collect(): Collected;
    /** Deletes keys that the last durable batches have made unreachable. */
    removeDropped?(): Promise<void>;
  };
  readonly depots?: { readonly uncopiedBytes: number; copy(): void; sync(): Promise<boolean>; collect(): Collected };
  /** Progress of topologies and the like: opaque to the flusher. Called in the same turn as the others. */
  readonly progress?: () => Collected | readonly KvOp[];
}

export interface FlusherOptions {
  readonly env: Env;
  readonly kv: Kv;
  readonly log: Pick<StoreLog, "release" | "bytes">;
  readonly intervalMs?: number;
  readonly bytesMax?: number;
  readonly depotSyncMs?: number;
  readonly depotSyncBytes?: number;
  /** A flush that was not asked for has failed: the store must stop. `flushNow` rejects instead. */
  readonly onFailed?: (error: unknown) => void;
}

interface FlushedGroup {
  readonly group: number;
  readonly sources: FlushSources;
  /** In the Kv. */
  applied: number;
  synced: number;
  /** In the batch in flight. */
  nextApplied: number;
  /** Every record of entries below is durable in the depots' files. */
  depotsSynced: number;
}

export class StoreFlusher {
  readonly #options: FlusherOptions;
  readonly #groups: FlushedGroup[] = [];
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #depotsSyncedMs: number;
  #depotsSyncedLogBytes: number;
  #closed = false;
  /** The keys of dropped structures are being deleted; flushes go on meanwhile. */
  #removing: Promise<void> | undefined;
  /** Flushes that have written a batch. */
  flushes = 0;
  lastFlushMs = 0;

  constructor(options: FlusherOptions) {
    this.#options = options;
    this.#depotsSyncedMs = options.env.monotonicMs();
    this.#depotsSyncedLogBytes = options.log.bytes;
  }

  /** `positions`: what the Kv has now (`OpenedStore.positions`). What the replog has applied since is flushed soon. */
  add(
    group: number,
    sources: FlushSources,
    positions: { readonly applied: number; readonly depotsSynced: number },
  ): void {
    const { applied, depotsSynced } = positions;
    this.#groups.push({ group, sources, applied, synced: depotsSynced, nextApplied: applied, depotsSynced });
    sources.replog.onAdvance = () => this.#advanced(sources);
    if (sources.replog.applied > applied) this.#arm();
  }

  /** Bytes that are applied and not yet in their final place. */
  unflushed(): number {
    let bytes = 0;
    for (const { sources } of this.#groups) {
      bytes += (sources.pstates?.unflushedBytes ?? 0) + (sources.depots?.uncopiedBytes ?? 0);
    }
    return bytes;
  }

  /** Resolves when everything that is applied now is flushed; with the depots' files, if so wanted. */
  async flushNow(withDepots = false): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => {});
    await this.#start(withDepots);
  }

  /** The same with the depots' files: of what is applied now, the log holds nothing that is needed. */
  async flushWholly(): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => {});
    await this.#start(true);
  }

  /** Flushes wholly, for the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    while (this.#running !== undefined) await this.#running.catch(() => {});
    await this.#start(true);
    await this.#removing?.catch(() => {});
  }

  /** No flush begins any more; for a store that has failed or is killed. */
  abort(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #advanced(sources: FlushSources): void {
    if (this.#closed) return;
    if ((sources.pstates?.unflushedBytes ?? 0) < (this.#options.bytesMax ?? defaultBytesMax)) this.#arm();
    else if (this.#running === undefined) this.#flushAside();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#options.env.setTimer(this.#options.intervalMs ?? defaultIntervalMs, () => {
      this.#timer = undefined;
      this.#flushAside();
    });
  }

  #flushAside(): void {
    if (this.#closed) return;
    if (this.#running !== undefined) {
      this.#arm();
      return;
    }
    this.#options.env.spawn("flush", async () => {
      try {
        await this.#start(false);
      } catch (error) {
        if (this.#options.onFailed === undefined) throw error;
        this.#options.onFailed(error);
      }
    });
  }

  #start(withDepots: boolean): Promise<void> {
    const running = this.#flush(withDepots).finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #flush(withDepots: boolean): Promise<void> {
    const { env, kv, log } = this.#options;
    const startMs = env.monotonicMs();
    if (withDepots || this.#depotsAreDue()) await this.#syncDepots();
    const ops: KvOp[] = [];
    const collected: Collected[] = [];
    const changed: FlushedGroup[] = [];
    for (const group of this.#groups) {
      if (changed.length > 0) await new Promise<void>((resolve) => env.nextTurn(resolve));
      if (!this.#collect(group, ops, collected)) continue;
      changed.push(group);
    }
    if (ops.length === 0) return;
    try {
      await kv.batch(ops, { sync: true });
    } catch (error) {
      for (const part of collected) part.failed();
      throw error;
    }
    for (const part of collected) part.done();
    for (const group of changed) {
      group.applied = group.nextApplied;
      group.synced = group.depotsSynced;
      log.release(group.group, replayFrom(group));
    }
    this.#removeDroppedAside();
    this.flushes++;
    this.lastFlushMs = env.monotonicMs() - startMs;
    if (this.#groups.some(({ sources, applied }) => sources.replog.applied > applied)) this.#arm();
  }

  #removeDroppedAside(): void {
    if (this.#removing !== undefined || this.#closed) return;
    const remove = async () => {
      for (const { sources } of this.#groups) await sources.pstates?.removeDropped?.();
    };
    this.#removing = remove().finally(() => {
      this.#removing = undefined;
    });
    const removing = this.#removing;
    this.#options.env.spawn("dropped structures", async () => {
      try {
        await removing;
      } catch (error) {
        // What is left is found again by whoever opens the store next.
        if (this.#closed) return;
        if (this.#options.onFailed === undefined) throw error;
        this.#options.onFailed(error);
      }
    });
  }

  #collect(group: FlushedGroup, ops: KvOp[], collected: Collected[]): boolean {
    const { sources } = group;
    const { applied } = sources.replog;
    const parts: Collected[] = [];
    const progress = sources.progress?.();
    sources.depots?.copy();
    for (const part of [sources.pstates?.collect(), sources.depots?.collect()])
      if (part !== undefined) parts.push(part);
    if (progress !== undefined) parts.push("ops" in progress ? progress : plainOps(progress));
    const before = ops.length;
    for (const part of parts) for (const op of part.ops) ops.push(op);
    collected.push(...parts);
    if (ops.length === before && applied === group.applied && group.depotsSynced === group.synced) return false;
    group.nextApplied = applied;
    ops.push(positionsOp(group.group, { applied, depotsSynced: group.depotsSynced }));
    return true;
  }

  #depotsAreDue(): boolean {
    const { env, log, depotSyncMs, depotSyncBytes } = this.#options;
    if (env.monotonicMs() - this.#depotsSyncedMs >= (depotSyncMs ?? defaultDepotSyncMs)) return true;
    return log.bytes - this.#depotsSyncedLogBytes >= (depotSyncBytes ?? defaultDepotSyncBytes);
  }

  async #syncDepots(): Promise<void> {
    const { env, log } = this.#options;
    for (const group of this.#groups) {
      // What is applied from here on may reach the files as well; it is not counted as synced.
      const { applied } = group.sources.replog;
      if (applied === group.depotsSynced) continue;
      // A full disk: the log keeps the records until it is not.
      if ((await group.sources.depots?.sync()) === false) continue;
      group.depotsSynced = applied;
    }
    this.#depotsSyncedMs = env.monotonicMs();
    this.#depotsSyncedLogBytes = log.bytes;
  }
}

const plainOps = (ops: readonly KvOp[]): Collected => ({ ops, done: () => {}, failed: () => {} });
