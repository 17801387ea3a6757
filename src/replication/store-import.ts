// The follower's side of a copy of its leader's store. The copy is made beside the follower's store, in `<dir>.copy`, and takes its place when it is whole and
// durable. What an earlier copy that broke off has left there counts, whoever it came from: each part that the leader offers is compared with what is there.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { type CopyPart, decodeKvContent, encodeKvContent, type PartRange } from "../protocol/store-copy.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv, KvOp, KvOpener } from "../storage/kv.ts";
import { openStoreLog } from "../storage/log.ts";
import { KIND_CUT } from "../storage/segment.ts";
import { writeFormat } from "../storage/store.ts";
import { eachEntry } from "./replog-tail.ts";
import { filesBelow } from "./store-export.ts";

export interface StoreImportOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly kv: KvOpener;
  /** Of the store that the copy is for. */
  readonly dir: string;
  readonly group: number;
  readonly epoch: number;
}

/** Calls are to be made one after the other. */
export class StoreImport {
  readonly #options: StoreImportOptions;
  readonly #dir: string;
  #kv: Kv | undefined;
  #from = 0;
  #resumed = false;
  readonly #entries = new Map<number, { readonly count: number; readonly bytes: Uint8Array }>();
  /** Path → length. */
  readonly #files = new Map<string, number>();

  constructor(options: StoreImportOptions) {
    this.#options = options;
    this.#dir = `${options.dir}.copy`;
  }

  /** Resolves to whether an earlier copy has left anything. */
  async begin(from: number): Promise<boolean> {
    const { disk, kv } = this.#options;
    this.#from = from;
    this.#resumed = disk.exists(`${this.#dir}/kv`);
    disk.mkdir(this.#dir);
    try {
      this.#kv = await kv.open(`${this.#dir}/kv`);
    } catch (error) {
      if (!this.#resumed || !(error instanceof RamaError) || error.code === "STORE_LOCKED") throw error;
      this.discard();
      this.#resumed = false;
      disk.mkdir(this.#dir);
      this.#kv = await kv.open(`${this.#dir}/kv`);
    }
    // Entries are sent anew.
    disk.removeTree(`${this.#dir}/log`);
    return this.#resumed;
  }

  /** What is there where the part belongs; undefined: surely something else. */
  async present(range: PartRange): Promise<Uint8Array | undefined> {
    if (!this.#resumed || range.kind === "entries") return undefined;
    if (range.kind === "kv") {
      const { gte, lt, count } = range;
      const entries = await this.#kv!.range({ gte, lt, limit: count + 1 });
      return entries.length === count ? encodeKvContent(entries) : undefined;
    }
    const path = `${this.#dir}/${range.path}`;
    const { disk } = this.#options;
    if (!disk.exists(path)) return undefined;
    const file = disk.open(path, "read");
    try {
      const bytes = file.read(range.position, range.length);
      return bytes.length === range.length ? bytes : undefined;
    } finally {
      file.close();
    }
  }

  /** The part is there already. */
  has(range: PartRange): void {
    if (range.kind === "file") this.#files.set(`${this.#dir}/${range.path}`, range.fileLength);
  }

  /** The bytes are not used after the promise has resolved. BAD_FRAME. */
  async take({ range, content }: CopyPart): Promise<void> {
    this.has(range);
    if (range.kind === "kv") {
      const { gte, lt, count } = range;
      const entries = decodeKvContent(content, count);
      if (this.#resumed) await this.#kv!.clear({ gte, lt });
      const ops = entries.map(({ key, value }): KvOp => ({ type: "put", key, value }));
      if (ops.length > 0) await this.#kv!.batch(ops, { sync: false });
    } else if (range.kind === "file") this.#write(range.path, range.position, content);
    else this.#entries.set(range.from, { count: range.count, bytes: content.slice() });
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
  }

  /** Every part is there: makes the copy durable. `replace` may be called afterwards, when the store is closed. */
  async finish(): Promise<void> {
    try {
      await this.#finish();
    } catch (error) {
      // After a sync that failed nothing of it is to be trusted, whatever reads say.
      await this.abort();
      this.discard();
      throw error;
    }
  }

  async #finish(): Promise<void> {
    const { disk, env, group, epoch } = this.#options;
    const dirs = new Set<string>();
    for (const path of filesBelow(disk, this.#dir, "depots"))
      if (!this.#files.has(`${this.#dir}/${path}`)) disk.remove(`${this.#dir}/${path}`);
    for (const [path, length] of this.#files) {
      const file = disk.open(path, "write");
      if (file.size() > length) file.truncate(length);
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
    for (;;) {
      const chunk = this.#entries.get(offset);
      if (chunk === undefined) break;
      eachEntry(chunk.bytes, chunk.count, (entry) =>
        log.append(entry.kind, group, entry.epoch, offset++, [entry.payload]),
      );
    }
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

  /** What was taken stays for the next one. */
  async abort(): Promise<void> {
    await this.#kv?.close();
    this.#kv = undefined;
  }

  /** Nothing of it is left. */
  discard(): void {
    this.#options.disk.removeTree(this.#dir);
  }
}
