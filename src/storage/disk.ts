// Contract: files and directories. Implementations: `disk-bun.ts` (real), `disk-memory.ts` (in process and simulated: loses what was not synced
// when the power is cut). Suite: tests/conformance/disk.ts.
//
// Obligations
//   D1  What `write` returned is read back by `read`, at once, by every open handle.
//   D2  What was written before a `datasync`/`datasyncSync` that returned survives a power cut; nothing else is promised to.
//   D3  A created, renamed or removed name survives a power cut only after `syncDir` of its directory has returned.
//   D4  After a failed sync the file must not be trusted again: the caller stops the groups that it carries.
//   D5  Errors are RamaError: DISK_FULL (no space), DISK_READ_ONLY, DISK_FAILED (anything else), each with the path; a missing file is FILE_NOT_FOUND.
// Paths are absolute with `/`.

export interface DiskFile {
  readonly path: string;
  /** Current size in bytes. */
  size(): number;
  /** Writes all of `bytes` at `position`; synchronous; extends the file where needed. */
  write(bytes: Uint8Array, position: number): void;
  /** Reads up to `length` bytes into a new array; shorter only at the end of the file. */
  read(position: number, length: number): Uint8Array;
  /** Makes all written bytes durable, on the caller's thread. */
  datasyncSync(): void;
  /** The same, off the caller's thread. */
  datasync(): Promise<void>;
  truncate(size: number): void;
  /** Reserves space so that later writes inside [0, size) cannot fail for lack of it; the new bytes read as zero. */
  allocate(size: number): void;
  close(): void;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface Disk {
  /** "read": must exist. "write": must exist. "create": must not exist. "upsert": either. */
  open(path: string, mode: "read" | "write" | "create" | "upsert"): DiskFile;
  exists(path: string): boolean;
  /** Names, sorted; empty when the directory is missing. */
  list(dir: string): string[];
  /** Creates parents also; the new directories survive a power cut without `syncDir`. */
  mkdir(dir: string): void;
  rename(from: string, to: string): void;
  /** Removes a file; nothing happens when it is missing. */
  remove(path: string): void;
  /** Removes a directory with all it holds; nothing happens when it is missing. */
  removeTree(dir: string): void;
  syncDir(dir: string): void;
  readFile(path: string): Uint8Array;
  /** Replaces the file's content as a whole, durably: temporary file, sync, rename, directory sync. */
  writeFile(path: string, bytes: Uint8Array): void;
  size(path: string): number;
  space(path: string): DiskSpace;
}
