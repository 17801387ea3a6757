// Disk and LevelDB as one process of the simulated world has them: every call passes the process's gate; syncs and batches take time; what was under way when the
// process is killed may or may not have happened. Files and stores belong to the host and stay.
import type { Disk, DiskFile, DiskSpace } from "../storage/disk.ts";
import type { Kv, KvEntry, KvOp, KvOpener, KvRange, KvSnapshot } from "../storage/kv.ts";
import type { SimulatedEnv } from "./env-simulated.ts";
import type { SimulatedProcess } from "./process.ts";

export interface StorageTimes {
  /** Milliseconds of a sync of `path`. */
  readonly syncMs: (path: string) => number;
  /** Called before a batch of a store; what it throws is what the caller gets. */
  readonly kvFault: (dir: string) => void;
}

export class ProcessDisk implements Disk {
  readonly #process: SimulatedProcess;
  readonly #disk: Disk;
  readonly #env: SimulatedEnv;
  readonly #times: StorageTimes;

  constructor(process: SimulatedProcess, disk: Disk, env: SimulatedEnv, times: StorageTimes) {
    this.#process = process;
    this.#disk = disk;
    this.#env = env;
    this.#times = times;
  }

  open(path: string, mode: "read" | "write" | "create" | "upsert"): DiskFile {
    this.#process.leave();
    return new ProcessFile(this.#process, this.#disk.open(path, mode), this.#env, this.#times);
  }

  exists(path: string): boolean {
    this.#process.leave();
    return this.#disk.exists(path);
  }

  list(dir: string): string[] {
    this.#process.leave();
    return this.#disk.list(dir);
  }

  mkdir(dir: string): void {
    this.#process.leave();
    this.#disk.mkdir(dir);
  }

  rename(from: string, to: string): void {
    this.#process.leave();
    this.#disk.rename(from, to);
  }

  remove(path: string): void {
    this.#process.leave();
    this.#disk.remove(path);
  }

  removeTree(dir: string): void {
    this.#process.leave();
    this.#disk.removeTree(dir);
  }

  syncDir(dir: string): void {
    this.#process.leave();
    this.#env.spend(this.#times.syncMs(dir));
    this.#disk.syncDir(dir);
  }

  readFile(path: string): Uint8Array {
    this.#process.leave();
    return this.#disk.readFile(path);
  }

  /** In the steps of the real one, so that the process may die between them. */
  writeFile(path: string, bytes: Uint8Array): void {
    const temporary = `${path}.tmp`;
    const file = this.open(temporary, "upsert");
    try {
      file.truncate(0);
      file.write(bytes, 0);
      file.datasyncSync();
    } finally {
      file.close();
    }
    this.rename(temporary, path);
    this.syncDir(path.slice(0, path.lastIndexOf("/")) || "/");
  }

  size(path: string): number {
    this.#process.leave();
    return this.#disk.size(path);
  }

  space(path: string): DiskSpace {
    this.#process.leave();
    return this.#disk.space(path);
  }
}

class ProcessFile implements DiskFile {
  readonly path: string;
  readonly #process: SimulatedProcess;
  readonly #file: DiskFile;
  readonly #env: SimulatedEnv;
  readonly #times: StorageTimes;

  constructor(process: SimulatedProcess, file: DiskFile, env: SimulatedEnv, times: StorageTimes) {
    this.path = file.path;
    this.#process = process;
    this.#file = file;
    this.#env = env;
    this.#times = times;
  }

  size(): number {
    this.#process.leave();
    return this.#file.size();
  }

  write(bytes: Uint8Array, position: number): void {
    this.#process.leave();
    this.#file.write(bytes, position);
  }

  read(position: number, length: number): Uint8Array {
    this.#process.leave();
    return this.#file.read(position, length);
  }

  datasyncSync(): void {
    this.#process.leave();
    this.#env.spend(this.#times.syncMs(this.path));
    this.#file.datasyncSync();
  }

  datasync(): Promise<void> {
    this.#process.leave();
    // The time is that of the disk's `syncDelay`; a process that dies meanwhile has its sync all the same.
    return this.#process.answer(this.#file.datasync());
  }

  truncate(size: number): void {
    this.#process.leave();
    this.#file.truncate(size);
  }

  allocate(size: number): void {
    this.#process.leave();
    this.#file.allocate(size);
  }

  close(): void {
    if (this.#process.alive) this.#file.close();
  }
}

/** The stores of a process; `end` lets go of them as the system does when it is killed. */
export class ProcessKv implements KvOpener {
  readonly #process: SimulatedProcess;
  readonly #opener: KvOpener;
  readonly #env: SimulatedEnv;
  readonly #times: StorageTimes;
  readonly #open = new Set<ProcessStore>();

  constructor(process: SimulatedProcess, opener: KvOpener, env: SimulatedEnv, times: StorageTimes) {
    this.#process = process;
    this.#opener = opener;
    this.#env = env;
    this.#times = times;
  }

  open(dir: string): Promise<Kv> {
    this.#process.leave();
    const opening = this.#opener.open(dir).then((kv) => {
      const store = new ProcessStore(this.#process, kv, dir, this.#env, this.#times, () => this.#open.delete(store));
      // Killed while it opened.
      if (!this.#process.alive) void kv.close();
      else this.#open.add(store);
      return store;
    });
    return this.#process.answer(opening);
  }

  end(): void {
    for (const store of this.#open) store.end();
    this.#open.clear();
  }
}

interface Batch {
  readonly ops: readonly KvOp[];
  readonly sync: boolean;
}

class ProcessStore implements Kv {
  readonly #process: SimulatedProcess;
  readonly #kv: Kv;
  readonly #dir: string;
  readonly #env: SimulatedEnv;
  readonly #times: StorageTimes;
  readonly #onClose: () => void;
  /** In the order in which they were given. */
  readonly #underWay: Batch[] = [];
  #dueMs = 0;

  constructor(
    process: SimulatedProcess,
    kv: Kv,
    dir: string,
    env: SimulatedEnv,
    times: StorageTimes,
    onClose: () => void,
  ) {
    this.#process = process;
    this.#kv = kv;
    this.#dir = dir;
    this.#env = env;
    this.#times = times;
    this.#onClose = onClose;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#process.leave();
    return this.#kv.getSync(key);
  }

  batch(ops: readonly KvOp[], options: { readonly sync: boolean }): Promise<void> {
    this.#process.leave();
    const batch: Batch = { ops: ops.map(copyOf), sync: options.sync };
    this.#underWay.push(batch);
    const takesMs = options.sync ? this.#times.syncMs(this.#dir) : this.#env.random() * 0.2;
    this.#dueMs = Math.max(this.#dueMs, this.#env.monotonicMs() + takesMs);
    return new Promise((resolve, reject) => {
      this.#env.setTimer(this.#dueMs - this.#env.monotonicMs(), () => {
        const at = this.#underWay.indexOf(batch);
        if (at < 0) return;
        this.#underWay.splice(at, 1);
        this.#apply(batch).then(
          () => this.#process.enter("batch", resolve),
          (error: unknown) => this.#process.enter("batch", () => reject(error)),
        );
      });
    });
  }

  range(range: KvRange): Promise<KvEntry[]> {
    this.#process.leave();
    return this.#later(this.#kv.range(range));
  }

  snapshot(): KvSnapshot {
    this.#process.leave();
    const snapshot = this.#kv.snapshot();
    return {
      getSync: (key) => snapshot.getSync(key),
      range: (range) => this.#later(snapshot.range(range)),
      close: () => snapshot.close(),
    };
  }

  clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    this.#process.leave();
    return this.#process.answer(this.#kv.clear(range));
  }

  settle(): Promise<void> {
    this.#process.leave();
    return this.#process.answer(this.#kv.settle());
  }

  approximateSize(gte: Uint8Array, lt: Uint8Array): Promise<number> {
    this.#process.leave();
    return this.#process.answer(this.#kv.approximateSize(gte, lt));
  }

  close(): Promise<void> {
    this.#process.leave();
    this.#onClose();
    return this.#process.answer(this.#kv.close());
  }

  /** Killed: of the batches under way the first few have happened. */
  end(): void {
    const batches = this.#underWay.splice(0);
    const done = Math.floor(this.#env.random() * (batches.length + 1));
    for (const batch of batches.slice(0, done)) this.#kv.batch(batch.ops, { sync: batch.sync }).catch(() => {});
    this.#kv.close().catch(() => {});
  }

  async #apply(batch: Batch): Promise<void> {
    this.#times.kvFault(this.#dir);
    await this.#kv.batch(batch.ops, { sync: batch.sync });
  }

  /** Pages come from another thread. */
  #later<T>(promise: Promise<T>): Promise<T> {
    const later = new Promise<T>((resolve, reject) => {
      this.#env.setTimer(this.#env.random() * 0.3, () => promise.then(resolve, reject));
    });
    return this.#process.answer(later);
  }
}

function copyOf(op: KvOp): KvOp {
  const key = new Uint8Array(op.key);
  return op.type === "put" ? { type: "put", key, value: new Uint8Array(op.value) } : { type: "del", key };
}
