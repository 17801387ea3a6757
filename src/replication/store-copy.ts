// Far catch-up: a replica that lacks more than its leader's log keeps gets a copy of the leader's store - LevelDB as it was at one moment, the depots' files, the log's
// entries from where the two count - and goes on from there by entries. The leader goes on serving meanwhile.
//
// The copy is made beside the follower's store, in `<dir>.copy`, and takes its place when it is whole and durable. A copy that breaks off is begun anew.
import { assert } from "../base/assert.ts";
import type { Env } from "../base/env.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv, KvOp, KvOpener } from "../storage/kv.ts";
import { openStoreLog } from "../storage/log.ts";
import { KIND_CUT } from "../storage/segment.ts";
import { positionsIn, replayFrom, writeFormat } from "../storage/store.ts";
import type { CopyPart } from "../protocol/replication.ts";
import { eachEntry, type EntryChunk } from "./replog-tail.ts";

const pageEntries = 500;
const fileBytes = 512 * 1024;

export interface StoreExportOptions {
  readonly disk: Disk;
  readonly kv: Kv;
  /** Of the store. */
  readonly dir: string;
  readonly group: number;
  /** Brings what is applied into the Kv and the depots' files. */
  readonly flush: () => Promise<void>;
  /** Entries from `offset` on; undefined: the log has let go of them. */
  readonly entriesFrom: (offset: number) => EntryChunk | undefined;
  /** The log keeps entries from here on, until the copy is there. */
  readonly hold: (offset: number) => void;
  /** Resolves when more may be sent. */
  readonly send: (part: CopyPart) => Promise<void>;
}

/** Sends everything; rejects when something has gone meanwhile (a depot that was trimmed), upon which it is to be begun anew. */
export async function exportStore(options: StoreExportOptions): Promise<void> {
  const { disk, kv, dir, group, flush, entriesFrom, hold, send } = options;
  await flush();
  const snapshot = kv.snapshot();
  try {
    const positions = positionsIn(snapshot, group);
    const from = replayFrom(positions);
    hold(from);
    await send({ kind: "begin", from });
    let gte = new Uint8Array(0);
    for (;;) {
      const entries = await snapshot.range({ gte, lt: Uint8Array.of(0xff), limit: pageEntries });
      if (entries.length > 0) await send({ kind: "kv", entries });
      if (entries.length < pageEntries) break;
      const { key } = entries.at(-1)!;
      gte = new Uint8Array(key.length + 1);
      gte.set(key);
    }
    for (const path of filesBelow(disk, dir, "depots")) await sendFile(disk, dir, path, send);
    for (let offset = from; offset < positions.applied; ) {
      const chunk = entriesFrom(offset);
      assert(chunk !== undefined, `group ${group}: entry ${offset} has gone from the log during a copy`);
      await send({ kind: "entries", from: chunk.from, count: chunk.to - chunk.from, bytes: chunk.bytes });
      offset = chunk.to;
    }
    await send({ kind: "end" });
  } finally {
    await snapshot.close();
  }
}

function filesBelow(disk: Disk, dir: string, path: string): string[] {
  if (!disk.exists(`${dir}/${path}`)) return [];
  return disk.list(`${dir}/${path}`).flatMap((name) => {
    const below = `${path}/${name}`;
    return name.endsWith(".depot") ? [below] : filesBelow(disk, dir, below);
  });
}

async function sendFile(disk: Disk, dir: string, path: string, send: StoreExportOptions["send"]): Promise<void> {
  const file = disk.open(`${dir}/${path}`, "read");
  try {
    const size = file.size();
    for (let position = 0; position < size; position += fileBytes) {
      const bytes = file.read(position, Math.min(fileBytes, size - position));
      await send({ kind: "file", path, position, bytes });
    }
  } finally {
    file.close();
  }
}

export interface StoreImportOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly kv: KvOpener;
  /** Of the store that the copy is for. */
  readonly dir: string;
  readonly group: number;
  readonly epoch: number;
}

/** A copy that is being received. Parts are to be given one after the other. */
export class StoreImport {
  readonly #options: StoreImportOptions;
  readonly #dir: string;
  #kv: Kv | undefined;
  #from = 0;
  readonly #chunks: { readonly count: number; readonly bytes: Uint8Array }[] = [];
  readonly #files = new Set<string>();

  constructor(options: StoreImportOptions) {
    this.#options = options;
    this.#dir = `${options.dir}.copy`;
  }

  /** True: the copy is whole and durable; `replace` may be called when the store is closed. The bytes are not used after the promise has resolved. */
  async take(part: CopyPart): Promise<boolean> {
    const { disk, kv } = this.#options;
    switch (part.kind) {
      case "begin":
        if (disk.exists(this.#dir)) disk.removeTree(this.#dir);
        disk.mkdir(this.#dir);
        this.#kv = await kv.open(`${this.#dir}/kv`);
        this.#from = part.from;
        return false;
      case "kv":
        await this.#kv!.batch(
          part.entries.map(({ key, value }): KvOp => ({ type: "put", key, value })),
          { sync: false },
        );
        return false;
      case "file":
        this.#write(part.path, part.position, part.bytes);
        return false;
      case "entries":
        this.#chunks.push({ count: part.count, bytes: part.bytes.slice() });
        return false;
      case "end":
        await this.#finish();
        return true;
    }
  }

  #write(path: string, position: number, bytes: Uint8Array): void {
    const { disk } = this.#options;
    const full = `${this.#dir}/${path}`;
    disk.mkdir(full.slice(0, full.lastIndexOf("/")));
    const file = disk.open(full, "upsert");
    try {
      file.write(bytes, position);
    } finally {
      file.close();
    }
    this.#files.add(full);
  }

  async #finish(): Promise<void> {
    const { disk, env, group, epoch } = this.#options;
    const dirs = new Set<string>();
    for (const path of this.#files) {
      const file = disk.open(path, "write");
      await file.datasync();
      file.close();
      for (let dir = path; dir.length > this.#dir.length; ) {
        dir = dir.slice(0, dir.lastIndexOf("/"));
        dirs.add(dir);
      }
    }
    // LevelDB's batches are durable with the next synced one.
    const kv = this.#kv!;
    const marker = Uint8Array.of(0x4b);
    await kv.batch([{ type: "put", key: marker, value: marker }], { sync: true });
    await kv.batch([{ type: "del", key: marker }], { sync: true });
    await kv.close();
    this.#kv = undefined;
    const { log } = await openStoreLog({ env, disk, dir: `${this.#dir}/log`, replay: () => {}, from: () => 0 });
    log.append(KIND_CUT, group, epoch, this.#from, []);
    let offset = this.#from;
    for (const { bytes, count } of this.#chunks)
      eachEntry(bytes, count, (entry) => log.append(entry.kind, group, entry.epoch, offset++, [entry.payload]));
    await log.close();
    writeFormat(disk, this.#dir);
    for (const dir of dirs) disk.syncDir(dir);
    disk.syncDir(this.#dir);
  }

  /** The store is closed: the copy takes its place. */
  replace(): void {
    const { disk, dir } = this.#options;
    disk.removeTree(dir);
    disk.rename(this.#dir, dir);
    disk.syncDir(dir.slice(0, dir.lastIndexOf("/")) || "/");
  }

  async abort(): Promise<void> {
    await this.#kv?.close();
    this.#kv = undefined;
  }
}
