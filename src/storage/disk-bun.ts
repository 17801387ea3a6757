// The real file system, over node:fs calls that Bun provides. Everything but `datasync` is synchronous on the caller's thread: the callers batch.
import * as fs from "node:fs";
import { dirname } from "node:path";
import { type ErrorCode, messageOf, RamaError } from "../base/errors.ts";
import type { Disk, DiskFile, DiskSpace } from "./disk.ts";

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: "DISK_FULL",
  EDQUOT: "DISK_FULL",
  EROFS: "DISK_READ_ONLY",
  EACCES: "DISK_READ_ONLY",
  EPERM: "DISK_READ_ONLY",
  ENOENT: "FILE_NOT_FOUND",
};

const openFlags = {
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
  upsert: fs.constants.O_RDWR | fs.constants.O_CREAT,
} as const;

/** Zeros that `allocate` writes from; 1 MB per call is past the point where larger writes are faster. */
const zeros = new Uint8Array(1 << 20);

export function bunDisk(): Disk {
  return new BunDisk();
}

function diskError(error: unknown, path: string): RamaError {
  const systemCode = (error as { code?: string }).code ?? "";
  const code = Object.hasOwn(codes, systemCode) ? codes[systemCode]! : "DISK_FAILED";
  return new RamaError(code, `${path}: ${messageOf(error)}`, { path, systemCode }, error);
}

function mapped<T>(path: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw diskError(error, path);
  }
}

const isMissing = (error: unknown): boolean => (error as { code?: string }).code === "ENOENT";

class BunDisk implements Disk {
  open(path: string, mode: "read" | "write" | "create" | "upsert"): DiskFile {
    return new BunFile(
      path,
      mapped(path, () => fs.openSync(path, openFlags[mode], 0o644)),
    );
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  list(dir: string): string[] {
    try {
      return fs.readdirSync(dir).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw diskError(error, dir);
    }
  }

  mkdir(dir: string): void {
    const first = mapped(dir, () => fs.mkdirSync(dir, { recursive: true }));
    if (first === undefined) return;
    // The new names become durable here, so that no caller has to know how many parents were missing.
    for (let at = dir; at.length >= first.length; at = dirname(at)) this.syncDir(dirname(at));
  }

  rename(from: string, to: string): void {
    mapped(from, () => fs.renameSync(from, to));
  }

  remove(path: string): void {
    try {
      fs.unlinkSync(path);
    } catch (error) {
      if (!isMissing(error)) throw diskError(error, path);
    }
  }

  removeTree(dir: string): void {
    mapped(dir, () => fs.rmSync(dir, { recursive: true, force: true }));
  }

  syncDir(dir: string): void {
    mapped(dir, () => {
      const fd = fs.openSync(dir, fs.constants.O_RDONLY);
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  readFile(path: string): Uint8Array {
    return mapped(path, () => plain(fs.readFileSync(path)));
  }

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
    this.syncDir(dirname(path));
  }

  size(path: string): number {
    return mapped(path, () => fs.statSync(path).size);
  }

  space(path: string): DiskSpace {
    let at = path;
    while (!fs.existsSync(at) && dirname(at) !== at) at = dirname(at);
    return mapped(at, () => {
      const stat = fs.statfsSync(at);
      return { freeBytes: stat.bavail * stat.bsize, totalBytes: stat.blocks * stat.bsize };
    });
  }
}

/** The same memory without Buffer's methods: what leaves this file is a plain Uint8Array. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

class BunFile implements DiskFile {
  readonly path: string;
  readonly #fd: number;
  /** Asynchronous syncs in flight; the descriptor stays open until they have returned. */
  #syncs = 0;
  #closed = false;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  size(): number {
    return mapped(this.path, () => fs.fstatSync(this.#usable()).size);
  }

  write(bytes: Uint8Array, position: number): void {
    try {
      const fd = this.#usable();
      let done = 0;
      while (done < bytes.length) done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
    } catch (error) {
      throw diskError(error, this.path);
    }
  }

  read(position: number, length: number): Uint8Array {
    try {
      const fd = this.#usable();
      const buffer = plain(Buffer.allocUnsafeSlow(length));
      let done = 0;
      while (done < length) {
        const count = fs.readSync(fd, buffer, done, length - done, position + done);
        if (count === 0) return buffer.subarray(0, done);
        done += count;
      }
      return buffer;
    } catch (error) {
      throw diskError(error, this.path);
    }
  }

  datasyncSync(): void {
    mapped(this.path, () => fs.fdatasyncSync(this.#usable()));
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) => {
      try {
        fs.fdatasync(this.#usable(), (error) => {
          this.#syncs--;
          if (this.#closed && this.#syncs === 0) fs.closeSync(this.#fd);
          if (error) reject(diskError(error, this.path));
          else resolve();
        });
        this.#syncs++;
      } catch (error) {
        reject(diskError(error, this.path));
      }
    });
  }

  truncate(size: number): void {
    mapped(this.path, () => fs.ftruncateSync(this.#usable(), size));
  }

  allocate(size: number): void {
    // Node has no fallocate. Written zeros are also what makes later syncs cheap: no block is allocated then (toolchain.md 4).
    for (let at = this.size(); at < size; at += zeros.length) {
      this.write(zeros.subarray(0, Math.min(zeros.length, size - at)), at);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#syncs === 0) mapped(this.path, () => fs.closeSync(this.#fd));
  }

  #usable(): number {
    if (this.#closed) throw new Error("the file is closed");
    return this.#fd;
  }
}
