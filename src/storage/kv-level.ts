// LevelDB through classic-level: the only file that knows it. One directory has one opener, also inside one process.
//
// Reads of single keys are synchronous (0.6-1.0 us); every promise costs 25-45 us through the native thread pool, so writers batch and ranges are
// read in pages. Values are handed out as classic-level makes them (Buffers, each with memory of its own): wrapping them costs 0.9 us of a 4 us read
// on a busy machine. `close` waits for what is in flight: ending a thread with native work under way kills the whole process (toolchain.md 4).
import { ClassicLevel } from "classic-level";
import { type ErrorCode, messageOf, RamaError } from "../base/errors.ts";
import type { Kv, KvEntry, KvOp, KvOpener, KvRange, KvSnapshot } from "./kv.ts";

type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** Behind every key that the product writes. */
const noKeys = new Uint8Array([0xff, 0xff, 0xff, 0xff]);

/** Entries fetched per crossing into the native library: past some hundreds the crossing no longer counts. */
const pageEntries = 1_000;

export interface LevelKvOptions {
  /** Bytes of uncompressed blocks that LevelDB keeps; default 8 MB. */
  readonly cacheSizeBytes?: number;
  /** Bytes gathered in memory before a table is written; default 4 MB. */
  readonly writeBufferBytes?: number;
}

export function levelKv(options: LevelKvOptions = {}): KvOpener {
  return {
    async open(dir) {
      const level: Level = new ClassicLevel(dir, {
        keyEncoding: "view",
        valueEncoding: "view",
        ...(options.cacheSizeBytes === undefined ? {} : { cacheSize: options.cacheSizeBytes }),
        ...(options.writeBufferBytes === undefined ? {} : { writeBufferSize: options.writeBufferBytes }),
      });
      try {
        await level.open();
      } catch (error) {
        throw levelError(error, dir);
      }
      return new LevelKv(level, dir);
    },
  };
}

function levelError(error: unknown, dir: string): RamaError {
  const chain: { code?: string; cause?: unknown; message?: string }[] = [];
  for (let at: any = error; at && chain.length < 5; at = at.cause) chain.push(at);
  const has = (code: string, text: RegExp) => chain.some((e) => e.code === code || text.test(e.message ?? ""));
  let code: ErrorCode = "DISK_FAILED";
  if (has("LEVEL_LOCKED", /lock .*: (already held|Resource temporarily)/)) code = "STORE_LOCKED";
  else if (has("LEVEL_CORRUPTION", /^Corruption/)) code = "STORE_CORRUPT";
  else if (has("ENOSPC", /No space left/)) code = "DISK_FULL";
  else if (has("EACCES", /Permission denied|Read-only file system/)) code = "DISK_READ_ONLY";
  const deepest = chain.at(-1);
  return new RamaError(code, `${dir}: ${deepest?.message ?? messageOf(error)}`, { dir }, error);
}

class LevelKv implements Kv {
  readonly #level: Level;
  readonly #dir: string;
  /** Writes that have not resolved. */
  #writes = 0;
  #lastWrite: Promise<void> = Promise.resolve();
  readonly #written = () => {
    this.#writes--;
  };

  constructor(level: Level, dir: string) {
    this.#level = level;
    this.#dir = dir;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  async batch(ops: readonly KvOp[], options: { readonly sync: boolean }): Promise<void> {
    if (ops.length === 0 && !options.sync) return;
    try {
      // A chained batch copies and hands each op to the native side at once; array batches make an intermediate object per op first
      // (100-op batches and up: 0.4-0.6 against 0.6-1.3 us per op on this thread; below that no difference).
      const batch = this.#level.batch();
      for (const op of ops) {
        if (op.type === "put") batch.put(op.key, op.value);
        else batch.del(op.key);
      }
      await this.#inOrder(() => batch.write({ sync: options.sync }));
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  async range(range: KvRange): Promise<KvEntry[]> {
    return rangeOf(this.#level, this.#dir, range, {});
  }

  snapshot(): KvSnapshot {
    try {
      return new LevelSnapshot(this.#level, this.#dir);
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  async clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    try {
      await this.#inOrder(() => this.#level.clear({ gte: range.gte, lt: range.lt }));
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  async approximateSize(gte: Uint8Array, lt: Uint8Array): Promise<number> {
    try {
      return await this.#level.approximateSize(gte, lt);
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  /** LevelDB reads its log again at each open (4 MB: 30-50 ms) unless what stands there is in a table; a compaction of no keys at all writes that table. */
  async settle(): Promise<void> {
    try {
      await this.#inOrder(() => this.#level.compactRange(noKeys, noKeys));
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  async close(): Promise<void> {
    await this.#lastWrite;
    await this.#level.close();
  }

  /** One write at a time: the native thread pool would let a later batch overtake an earlier one (seen: 50 batches, the 43rd won). */
  #inOrder(write: () => Promise<void>): Promise<void> {
    const done = this.#writes++ === 0 ? write() : this.#lastWrite.then(write);
    this.#lastWrite = done.then(this.#written, this.#written);
    return done;
  }
}

type Snapshot = ReturnType<Level["snapshot"]>;

class LevelSnapshot implements KvSnapshot {
  readonly #level: Level;
  readonly #dir: string;
  readonly #snapshot: Snapshot;

  constructor(level: Level, dir: string) {
    this.#level = level;
    this.#dir = dir;
    this.#snapshot = level.snapshot();
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key, { snapshot: this.#snapshot });
    } catch (error) {
      throw levelError(error, this.#dir);
    }
  }

  range(range: KvRange): Promise<KvEntry[]> {
    return rangeOf(this.#level, this.#dir, range, { snapshot: this.#snapshot });
  }

  close(): Promise<void> {
    return this.#snapshot.close();
  }
}

async function rangeOf(
  level: Level,
  dir: string,
  range: KvRange,
  at: { readonly snapshot?: Snapshot },
): Promise<KvEntry[]> {
  const limit = range.limit ?? Number.POSITIVE_INFINITY;
  const iterator = level.iterator({
    ...at,
    gte: range.gte,
    lt: range.lt,
    reverse: range.reverse === true,
    ...(range.limit === undefined ? {} : { limit: range.limit }),
  });
  const found: KvEntry[] = [];
  try {
    while (found.length < limit) {
      const page = await iterator.nextv(Math.min(pageEntries, limit - found.length));
      if (page.length === 0) break;
      for (const [key, value] of page) found.push({ key, value });
    }
  } catch (error) {
    throw levelError(error, dir);
  } finally {
    await iterator.close();
  }
  return found;
}
