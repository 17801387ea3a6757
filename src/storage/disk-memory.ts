// A disk in memory that keeps its promises and no more: what was not synced can be lost when the power is cut. In-process clusters and simulations
// run on it.
//
// Per file an undo list holds what the writes since the last sync replaced; a sync drops the list, a power cut plays part of it backwards. A write past
// the former end replaces nothing and is joined with the one before it, so that appending costs one copy and no bookkeeping that grows.
import { type ErrorCode, RamaError } from "../base/errors.ts";
import type { Disk, DiskFile, DiskSpace } from "./disk.ts";

export interface MemoryDiskOptions {
  /** Bytes of file content that fit; default 1 TB. */
  readonly capacityBytes?: number;
  /** Called before each operation; an error that it throws is what the caller gets. A failed sync makes the file untrustworthy, as on a real system. */
  readonly fault?: (operation: "write" | "sync" | "open" | "syncDir" | "rename", path: string) => void;
  /** Waited for by `datasync`: how long a sync takes. Default: no delay. */
  readonly syncDelay?: (path: string) => Promise<void>;
}

/** What takes a write back: the size before it, and the bytes that it replaced at `position`. */
interface Undo {
  readonly sizeBefore: number;
  readonly position: number;
  length: number;
  readonly replaced: Uint8Array;
}

const nothing = new Uint8Array(0);
const sectorBytes = 512;

class FileNode {
  readonly kind = "file";
  /** Bytes beyond `data` and below `size` are zero: reserving space costs no memory. */
  data: Uint8Array = nothing;
  size = 0;
  unsynced: Undo[] = [];
  /** Lists of syncs in flight, oldest first. */
  syncing: Undo[][] = [];
  /** After a failed sync nothing that was unsynced then ever becomes durable, although later syncs succeed - unless it is written once more. */
  doubtful: Undo[] = [];
}

class DirNode {
  readonly kind = "dir";
  now = new Map<string, Node>();
  durable = new Map<string, Node>();
}

type Node = FileNode | DirNode;

export class MemoryDisk implements Disk {
  options: MemoryDiskOptions;
  #root = new DirNode();
  #used = 0;
  #life = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.options = options;
  }

  /** Bytes of all files. */
  get usedBytes(): number {
    return this.#used;
  }

  open(path: string, mode: "read" | "write" | "create" | "upsert"): DiskFile {
    this.options.fault?.("open", path);
    const { dir, name } = this.#parent(path);
    let node = dir.now.get(name);
    if (node?.kind === "dir") throw diskError("DISK_FAILED", path, "is a directory");
    if (node !== undefined && mode === "create") throw diskError("DISK_FAILED", path, "exists already");
    if (node === undefined) {
      if (mode === "read" || mode === "write") throw diskError("FILE_NOT_FOUND", path, "is not there");
      node = new FileNode();
      dir.now.set(name, node);
    }
    return new MemoryFile(this, node, path, mode === "read", this.#life);
  }

  exists(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  isFile(path: string): boolean {
    return this.#find(path)?.kind === "file";
  }

  list(dir: string): string[] {
    const node = this.#find(dir);
    return node?.kind === "dir" ? [...node.now.keys()].sort() : [];
  }

  mkdir(dir: string): void {
    let at = this.#root;
    for (const name of namesOf(dir)) {
      let next = at.now.get(name);
      if (next === undefined) {
        next = new DirNode();
        at.now.set(name, next);
        at.durable.set(name, next);
      }
      if (next.kind !== "dir") throw diskError("DISK_FAILED", dir, "is below a file");
      at = next;
    }
  }

  rename(from: string, to: string): void {
    this.options.fault?.("rename", from);
    const source = this.#parent(from);
    const node = source.dir.now.get(source.name);
    if (node === undefined) throw diskError("FILE_NOT_FOUND", from, "is not there");
    const target = this.#parent(to);
    const replaced = target.dir.now.get(target.name);
    if (replaced === node) return;
    if (replaced !== undefined) this.#used -= contentBytes(replaced);
    source.dir.now.delete(source.name);
    target.dir.now.set(target.name, node);
  }

  remove(path: string): void {
    const parent = this.#lookupParent(path);
    const node = parent?.dir.now.get(parent.name);
    if (parent === undefined || node === undefined) return;
    if (node.kind === "dir") throw diskError("DISK_FAILED", path, "is a directory");
    this.#used -= node.size;
    parent.dir.now.delete(parent.name);
  }

  removeTree(dir: string): void {
    const parent = this.#lookupParent(dir);
    const node = parent?.dir.now.get(parent.name);
    if (parent === undefined || node === undefined) return;
    this.#used -= contentBytes(node);
    parent.dir.now.delete(parent.name);
  }

  syncDir(dir: string): void {
    this.options.fault?.("syncDir", dir);
    const node = this.#find(dir);
    if (node?.kind !== "dir") throw diskError("FILE_NOT_FOUND", dir, "is not a directory");
    node.durable = new Map(node.now);
  }

  readFile(path: string): Uint8Array {
    const file = this.open(path, "read");
    return file.read(0, file.size());
  }

  writeFile(path: string, bytes: Uint8Array): void {
    const temporary = `${path}.tmp`;
    const file = this.open(temporary, "upsert");
    file.truncate(0);
    file.write(bytes, 0);
    file.datasyncSync();
    file.close();
    this.rename(temporary, path);
    this.syncDir(path.slice(0, path.lastIndexOf("/")) || "/");
  }

  size(path: string): number {
    const node = this.#find(path);
    if (node?.kind !== "file") throw diskError("FILE_NOT_FOUND", path, "is not there");
    return node.size;
  }

  space(_path: string): DiskSpace {
    const totalBytes = this.options.capacityBytes ?? 2 ** 40;
    return { freeBytes: Math.max(0, totalBytes - this.#used), totalBytes };
  }

  /**
   * The machine stops now and starts again: open files are dead, names that were not synced are as they were, and of each file's unsynced writes a random
   * prefix has reached the disk, the last of them torn. In a share `scattered` of the files the written sectors have reached it in no order at all.
   */
  powerCut(random: () => number, scattered = 0): void {
    this.#life++;
    const seen = new Set<Node>();
    const visit = (node: Node) => {
      if (seen.has(node)) return;
      seen.add(node);
      if (node.kind === "file") {
        loseUnsynced(node, random, scattered);
        return;
      }
      node.now = new Map(node.durable);
      for (const child of node.now.values()) visit(child);
    };
    visit(this.#root);
    this.#used = contentBytes(this.#root);
  }

  /** Bits of a byte flip, as on a disk that decays: nobody is told. False when the file has no such byte. */
  decay(path: string, position: number, bits: number): boolean {
    const node = this.#find(path);
    if (node?.kind !== "file" || position >= Math.min(node.size, node.data.length)) return false;
    node.data[position]! ^= bits;
    return true;
  }

  /** For `MemoryFile`: is a handle opened in `life` still good? */
  alive(life: number): boolean {
    return life === this.#life;
  }

  /** For `MemoryFile`: accounts for a file that grows or shrinks. */
  grow(path: string, bytes: number): void {
    if (bytes > 0 && this.#used + bytes > (this.options.capacityBytes ?? 2 ** 40)) {
      throw diskError("DISK_FULL", path, "no space is left");
    }
    this.#used += bytes;
  }

  #find(path: string): Node | undefined {
    let at: Node | undefined = this.#root;
    for (const name of namesOf(path)) {
      if (at?.kind !== "dir") return undefined;
      at = at.now.get(name);
    }
    return at;
  }

  #lookupParent(path: string): { dir: DirNode; name: string } | undefined {
    const at = path.lastIndexOf("/");
    const dir = this.#find(path.slice(0, at));
    return dir?.kind === "dir" ? { dir, name: path.slice(at + 1) } : undefined;
  }

  #parent(path: string): { dir: DirNode; name: string } {
    const parent = this.#lookupParent(path);
    if (parent === undefined) throw diskError("FILE_NOT_FOUND", path, "its directory is not there");
    return parent;
  }
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}

function contentBytes(node: Node): number {
  if (node.kind === "file") return node.size;
  let sum = 0;
  for (const child of node.now.values()) sum += contentBytes(child);
  return sum;
}

function diskError(code: ErrorCode, path: string, what: string): RamaError {
  return new RamaError(code, `${path}: ${what}`, { path });
}

/** Keeps a random number of the unsynced writes, oldest first, and a part of the next one; or some sectors of all of them. */
function loseUnsynced(node: FileNode, random: () => number, scattered: number): void {
  const writes = [...node.doubtful, ...node.syncing.flat(), ...node.unsynced];
  if (writes.length === 0) return;
  if (scattered > 0 && random() < scattered) {
    scatter(node, writes, random);
    return;
  }
  const kept = Math.floor(random() * (writes.length + 1));
  for (let i = writes.length - 1; i >= kept; i--) {
    const undo = writes[i]!;
    const torn = i === kept ? Math.floor(random() * undo.length) : 0;
    takeBack(node, undo, torn);
  }
  forget(node);
}

/** Each sector that was written is new or old. */
function scatter(node: FileNode, writes: readonly Undo[], random: () => number): void {
  const written = node.data.slice(0, node.size);
  const writtenSize = node.size;
  for (let i = writes.length - 1; i >= 0; i--) takeBack(node, writes[i]!, 0);
  forget(node);
  // The length is metadata of its own.
  const size = random() < 0.5 ? writtenSize : Math.min(node.size, writtenSize);
  if (size > node.size) reserve(node, Math.min(size, written.length));
  const touched = new Set<number>();
  for (const { position, length } of writes) {
    const end = Math.min(position + length, size);
    for (let at = Math.floor(position / sectorBytes); at * sectorBytes < end; at++) touched.add(at);
  }
  for (const sector of touched) {
    if (random() < 0.5) continue;
    const from = sector * sectorBytes;
    const bytes = written.subarray(from, Math.min(from + sectorBytes, size));
    if (bytes.length === 0) continue;
    reserve(node, from + bytes.length);
    node.data.set(bytes, from);
  }
  node.size = size;
}

function forget(node: FileNode): void {
  node.unsynced = [];
  node.syncing = [];
  node.doubtful = [];
}

/** What a failed sync had left in doubt and was written again since is in doubt no more; the file's length comes with any sync that succeeds. */
function becameDurable(node: FileNode, writes: readonly Undo[]): void {
  if (node.doubtful.length === 0) return;
  const end = Math.max(0, ...writes.map(({ position, length }) => position + length));
  for (const { position, length } of writes) {
    node.doubtful = node.doubtful.flatMap((doubt) => without(doubt, position, position + length));
  }
  node.doubtful = node.doubtful
    .filter((doubt) => doubt.length > 0)
    .map((doubt) => ({ ...doubt, sizeBefore: Math.max(doubt.sizeBefore, end) }));
}

/** What is left of `doubt` outside of [from, to). */
function without(doubt: Undo, from: number, to: number): Undo[] {
  const end = doubt.position + doubt.length;
  if (to <= doubt.position || from >= end) return [doubt];
  const piece = (start: number, stop: number): Undo[] =>
    start >= stop
      ? []
      : [
          {
            ...doubt,
            position: start,
            length: stop - start,
            replaced: doubt.replaced.subarray(
              Math.min(doubt.replaced.length, start - doubt.position),
              Math.min(doubt.replaced.length, stop - doubt.position),
            ),
          },
        ];
  return [...piece(doubt.position, Math.min(from, end)), ...piece(Math.max(to, doubt.position), end)];
}

/** Restores what was there before one write, except for its first `torn` bytes. */
function takeBack(node: FileNode, undo: Undo, torn: number): void {
  const { position, replaced, sizeBefore } = undo;
  if (torn < replaced.length) {
    reserve(node, position + replaced.length);
    node.data.set(replaced.subarray(torn), position + torn);
  }
  const size = torn > 0 ? Math.max(sizeBefore, position + torn) : sizeBefore;
  if (size < node.size) node.data.fill(0, size, Math.min(node.size, node.data.length));
  node.size = size;
}

function reserve(node: FileNode, length: number): void {
  if (length <= node.data.length) return;
  const larger = new Uint8Array(Math.max(length, node.data.length * 2, 256));
  larger.set(node.data.subarray(0, Math.min(node.size, node.data.length)));
  node.data = larger;
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #disk: MemoryDisk;
  readonly #node: FileNode;
  readonly #readOnly: boolean;
  readonly #life: number;
  #closed = false;

  constructor(disk: MemoryDisk, node: FileNode, path: string, readOnly: boolean, life: number) {
    this.#disk = disk;
    this.#node = node;
    this.path = path;
    this.#readOnly = readOnly;
    this.#life = life;
  }

  size(): number {
    this.#check(false);
    return this.#node.size;
  }

  write(bytes: Uint8Array, position: number): void {
    this.#check(true);
    this.#disk.options.fault?.("write", this.path);
    const node = this.#node;
    const end = position + bytes.length;
    if (end > node.size) this.#disk.grow(this.path, end - node.size);
    this.#remember(position, bytes.length);
    reserve(node, end);
    node.data.set(bytes, position);
    if (end > node.size) node.size = end;
  }

  read(position: number, length: number): Uint8Array {
    this.#check(false);
    const node = this.#node;
    const end = Math.min(position + length, node.size);
    if (position >= end) return new Uint8Array(0);
    if (end <= node.data.length) return node.data.slice(position, end);
    const bytes = new Uint8Array(end - position);
    if (position < node.data.length) bytes.set(node.data.subarray(position, node.data.length));
    return bytes;
  }

  datasyncSync(): void {
    this.#check(false);
    const node = this.#node;
    this.#syncFault(node.unsynced);
    becameDurable(node, [...node.syncing.flat(), ...node.unsynced]);
    node.unsynced = [];
    node.syncing = [];
  }

  async datasync(): Promise<void> {
    this.#check(false);
    const node = this.#node;
    const writes = node.unsynced;
    node.unsynced = [];
    node.syncing.push(writes);
    await this.#disk.options.syncDelay?.(this.path);
    this.#check(false, true);
    const at = node.syncing.indexOf(writes);
    if (at >= 0) node.syncing.splice(at, 1);
    this.#syncFault(writes);
    becameDurable(node, writes);
  }

  truncate(size: number): void {
    this.#check(true);
    const node = this.#node;
    if (size === node.size) return;
    this.#disk.grow(this.path, size - node.size);
    if (size > node.size)
      node.unsynced.push({ sizeBefore: node.size, position: node.size, length: 0, replaced: nothing });
    else {
      const cut = node.data.slice(size, Math.max(size, Math.min(node.size, node.data.length)));
      node.unsynced.push({ sizeBefore: node.size, position: size, length: 0, replaced: cut });
      node.data.fill(0, size, Math.min(node.size, node.data.length));
    }
    node.size = size;
  }

  allocate(size: number): void {
    this.#check(true);
    if (size > this.#node.size) this.truncate(size);
  }

  close(): void {
    this.#closed = true;
  }

  #remember(position: number, length: number): void {
    const node = this.#node;
    const last = node.unsynced.at(-1);
    if (position >= node.size) {
      const joins =
        last !== undefined && last.replaced.length === 0 && last.length > 0 && last.position + last.length === position;
      if (joins && position === node.size) last.length += length;
      else node.unsynced.push({ sizeBefore: node.size, position, length, replaced: nothing });
      return;
    }
    const replaced = new Uint8Array(Math.min(length, node.size - position));
    if (position < node.data.length) {
      replaced.set(node.data.subarray(position, Math.min(position + replaced.length, node.data.length)));
    }
    node.unsynced.push({ sizeBefore: node.size, position, length, replaced });
  }

  #syncFault(writes: readonly Undo[]): void {
    try {
      this.#disk.options.fault?.("sync", this.path);
    } catch (error) {
      this.#node.doubtful.push(...writes);
      if (writes === this.#node.unsynced) this.#node.unsynced = [];
      throw error;
    }
  }

  #check(writing: boolean, evenClosed = false): void {
    if (!this.#disk.alive(this.#life)) throw diskError("DISK_FAILED", this.path, "the power was cut");
    if (this.#closed && !evenClosed) throw diskError("DISK_FAILED", this.path, "the file is closed");
    if (writing && this.#readOnly) throw diskError("DISK_FAILED", this.path, "was opened for reading");
  }
}
