// The append-only journal of a running server. `append` buffers, `commit` writes what was buffered and makes it durable as one group; the server
// answers nothing that rests on an entry before `durableZxid` has reached it. Files and their layout: `journal-file.ts`.
//
// Small groups are synced on this thread: a pool's fdatasync costs two thread wake-ups, about as much as the sync of 16 KB itself. Larger ones, or
// any when the disk was slow last time, go off the thread, one at a time, while the next group gathers.

import { assert } from "../base/assert.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk, DiskFile } from "../storage/disk.ts";
import { type Change, writeEntry } from "./changes.ts";
import { JOURNAL_MAGIC, journalName, listDirectory, RECORD_HEAD_BYTES, snapshotName } from "./journal-file.ts";
import { JuteWriter } from "./jute.ts";

const inlineSyncBytesMax = 16 * 1024;
const inlineSyncMsMax = 1.5;
/** Reserved ahead, so that a sync need not also write the file's size: about a third off its time. */
const reserveBytes = 1024 * 1024;
const retryFullDiskMs = 1000;
const snapshotsKept = 2;

export interface JournalOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly dir: string;
  /** Where recovery stopped. */
  readonly zxid: number;
  readonly newest?: { readonly path: string; readonly endPosition: number };
  /** A snapshot is due after this many entries or bytes since the last one. */
  readonly snapshotEveryEntries: number;
  readonly snapshotEveryBytes: number;
  /** `durableZxid` has grown. */
  readonly onDurable: () => void;
  /** The disk has failed; nothing more is written, and nothing more may be answered. */
  readonly onFailed: (error: unknown) => void;
}

export class Journal {
  private readonly options: JournalOptions;
  private readonly pending = new JuteWriter(64 * 1024);
  private file: DiskFile;
  private position: number;
  private reservedTo: number;
  private lastSyncMs = 0;
  private state: "idle" | "syncing" | "diskFull" | "failed" | "closed" = "idle";
  private entriesSinceSnapshot = 0;
  private bytesSinceSnapshot = 0;
  private idleWaiters: (() => void)[] = [];
  /** Of the last entry appended. Invariant: durableZxid <= writtenZxid <= appendedZxid. */
  appendedZxid: number;
  private writtenZxid: number;
  durableZxid: number;
  /** Syncs done and their time, for `mntr`. */
  readonly syncs = { count: 0, totalMs: 0, maxMs: 0 };

  constructor(options: JournalOptions) {
    this.options = options;
    this.appendedZxid = this.writtenZxid = this.durableZxid = options.zxid;
    const { disk, dir, newest, zxid } = options;
    if (newest === undefined) {
      this.file = this.createFile(zxid + 1);
      this.position = JOURNAL_MAGIC.length;
    } else {
      this.file = disk.open(newest.path, "write");
      this.position = newest.endPosition;
      this.file.truncate(newest.endPosition);
      if (newest.endPosition === 0) {
        this.file.write(JOURNAL_MAGIC, 0);
        this.position = JOURNAL_MAGIC.length;
      }
      this.file.datasyncSync();
      disk.syncDir(dir);
      // A file that is already long gets its snapshot soon after the start, not only after as much again.
      this.bytesSinceSnapshot = this.position;
    }
    this.reservedTo = this.position;
  }

  get pendingBytes(): number {
    return this.pending.length;
  }

  get isSnapshotDue(): boolean {
    const { snapshotEveryEntries, snapshotEveryBytes } = this.options;
    const due = this.entriesSinceSnapshot >= snapshotEveryEntries || this.bytesSinceSnapshot >= snapshotEveryBytes;
    return due && this.state === "idle" && this.entriesSinceSnapshot > 0;
  }

  append(zxid: number, timeMs: number, changes: readonly Change[]): void {
    assert(zxid === this.appendedZxid + 1, "a journal entry skips a zxid");
    const { pending } = this;
    const headAt = pending.length;
    const lengthAt = pending.hole();
    const crcAt = pending.hole();
    writeEntry(pending, { zxid, timeMs, durableZxid: this.durableZxid, changes });
    const payloadAt = headAt + RECORD_HEAD_BYTES;
    pending.patchInt(lengthAt, pending.length - payloadAt);
    pending.patchInt(crcAt, Bun.hash.crc32(pending.peek(payloadAt)) | 0);
    this.appendedZxid = zxid;
    this.entriesSinceSnapshot++;
  }

  /** Starts making durable what was appended. While a sync runs, or the disk is full, what is pending waits for its end. */
  commit(): void {
    while (this.state === "idle" && this.pending.length > 0) {
      const groupBytes = this.pending.length;
      const startedMs = this.options.env.monotonicMs();
      try {
        this.writePending();
        if (groupBytes > inlineSyncBytesMax || this.lastSyncMs > inlineSyncMsMax) {
          this.syncOffThread(startedMs);
          return;
        }
        this.file.datasyncSync();
      } catch (error) {
        this.onTrouble(error);
        return;
      }
      this.synced(startedMs);
    }
  }

  /** Resolves when all that was appended is durable, or cannot become so now: the disk is full or has failed. */
  async whenIdle(): Promise<void> {
    this.commit();
    if (this.state === "syncing") await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
  }

  /** Writes a snapshot of all that is durable, begins a new file and removes what nobody needs any more. All must be durable. */
  rotate(snapshot: Uint8Array): void {
    assert(this.durableZxid === this.appendedZxid && this.state === "idle", "a snapshot of what is not durable");
    const { disk, dir } = this.options;
    try {
      disk.writeFile(`${dir}/${snapshotName(this.durableZxid)}`, snapshot);
      const old = this.file;
      this.file = this.createFile(this.durableZxid + 1);
      old.close();
      this.position = this.reservedTo = JOURNAL_MAGIC.length;
      this.entriesSinceSnapshot = this.bytesSinceSnapshot = 0;
      this.removeOld();
    } catch (error) {
      if (!(error instanceof RamaError && error.code === "DISK_FULL")) {
        this.fail(error);
        return;
      }
      // The journal itself goes on; try again after as many entries more.
      this.options.env.log.warn("no space for a ZooKeeper snapshot", { dir });
      this.entriesSinceSnapshot = this.bytesSinceSnapshot = 0;
    }
  }

  async close(): Promise<void> {
    await this.whenIdle();
    if (this.state !== "failed") this.state = "closed";
    this.file.close();
  }

  private writePending(): void {
    const bytes = this.pending.peek();
    if (this.position + bytes.length > this.reservedTo) {
      const to = this.position + bytes.length + reserveBytes;
      this.file.allocate(to);
      this.reservedTo = to;
    }
    this.file.write(bytes, this.position);
    this.position += bytes.length;
    this.bytesSinceSnapshot += bytes.length;
    this.writtenZxid = this.appendedZxid;
    this.pending.reset();
  }

  private syncOffThread(startedMs: number): void {
    this.state = "syncing";
    this.options.env.spawn("zookeeper journal sync", async () => {
      try {
        await this.file.datasync();
      } catch (error) {
        return this.fail(error);
      }
      this.state = "idle";
      this.synced(startedMs);
      this.commit();
      this.wakeIdle();
    });
  }

  private synced(startedMs: number): void {
    const ms = this.options.env.monotonicMs() - startedMs;
    this.lastSyncMs = ms;
    this.syncs.count++;
    this.syncs.totalMs += ms;
    this.syncs.maxMs = Math.max(this.syncs.maxMs, ms);
    this.durableZxid = this.writtenZxid;
    this.options.onDurable();
  }

  private onTrouble(error: unknown): void {
    // Nothing of this group was synced, so it may be written again at the same place. A sync that failed is another matter: see `fail`.
    const nothingWritten = this.writtenZxid !== this.appendedZxid;
    if (!(nothingWritten && error instanceof RamaError && error.code === "DISK_FULL")) {
      this.fail(error);
      return;
    }
    const { env, dir } = this.options;
    env.log.error("no space for the ZooKeeper journal: all answers wait", { dir, advice: error.advice });
    this.state = "diskFull";
    env.setTimer(retryFullDiskMs, () => {
      if (this.state !== "diskFull") return;
      this.state = "idle";
      this.commit();
      this.wakeIdle();
    });
  }

  private fail(error: unknown): void {
    if (this.state === "failed") return;
    this.state = "failed";
    this.options.onFailed(error);
    this.wakeIdle();
  }

  private wakeIdle(): void {
    if (this.state === "syncing") return;
    const waiters = this.idleWaiters;
    this.idleWaiters = [];
    for (const wake of waiters) wake();
  }

  private createFile(firstZxid: number): DiskFile {
    const { disk, dir } = this.options;
    const path = `${dir}/${journalName(firstZxid)}`;
    try {
      const file = disk.open(path, "upsert");
      file.truncate(0);
      file.write(JOURNAL_MAGIC, 0);
      file.datasyncSync();
      disk.syncDir(dir);
      return file;
    } catch (error) {
      // We may go on in the old file, and recovery would take this name for the end of that one.
      disk.remove(path);
      disk.syncDir(dir);
      throw error;
    }
  }

  private removeOld(): void {
    const { disk, dir } = this.options;
    const { journals, snapshots } = listDirectory(disk, dir);
    const oldestKept = snapshots.at(-snapshotsKept);
    if (oldestKept === undefined) return;
    for (const zxid of snapshots) if (zxid < oldestKept) disk.remove(`${dir}/${snapshotName(zxid)}`);
    journals.forEach((firstZxid, i) => {
      const next = journals[i + 1];
      if (next !== undefined && next <= oldestKept + 1) disk.remove(`${dir}/${journalName(firstZxid)}`);
    });
    disk.syncDir(dir);
  }
}
