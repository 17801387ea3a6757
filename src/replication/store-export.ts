// The leader's side of a copy of its store (`store-import.ts` has the follower's): LevelDB as it was at one moment, the depots' files, the log's entries from where the two
// count. The leader goes on serving meanwhile.
import { assert } from "../base/assert.ts";
import { type CopyPart, encodeKvContent } from "../protocol/store-copy.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv, KvEntry, KvSnapshot } from "../storage/kv.ts";
import { positionsIn, replayFrom } from "../storage/store.ts";
import type { EntryChunk } from "./replog-tail.ts";

/** A part is about so large, so that a part that arrives damaged costs little. */
const partBytes = 512 * 1024;
const firstPageEntries = 16;
const pageEntriesMax = 4_000;
/** Above every key of a store. */
export const KEYS_END = Uint8Array.of(0xff);

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
  /** `from`: of the entries that go with it. `totalBytes`: about how much will come. */
  readonly begin: (from: number, totalBytes: number) => Promise<void>;
  /** Resolves when more may be sent. */
  readonly send: (part: CopyPart) => Promise<void>;
  readonly end: () => Promise<void>;
}

/** Sends everything; rejects when something has gone meanwhile (a depot that was trimmed), upon which it is to be begun again. */
export async function exportStore(options: StoreExportOptions): Promise<void> {
  const { disk, kv, dir, group, flush, entriesFrom, hold, begin, send, end } = options;
  await flush();
  const snapshot = kv.snapshot();
  try {
    const positions = positionsIn(snapshot, group);
    const from = replayFrom(positions);
    hold(from);
    const files = filesBelow(disk, dir, "depots");
    const fileBytes = files.reduce((sum, path) => sum + disk.size(`${dir}/${path}`), 0);
    await begin(from, fileBytes + (await kv.approximateSize(new Uint8Array(0), KEYS_END)));
    await sendKv(snapshot, send);
    for (const path of files) await sendFile(disk, dir, path, send);
    for (let offset = from; offset < positions.applied; ) {
      const chunk = entriesFrom(offset);
      assert(chunk !== undefined, `group ${group}: entry ${offset} has gone from the log during a copy`);
      const range = { kind: "entries", from: chunk.from, count: chunk.to - chunk.from } as const;
      await send({ range, content: chunk.bytes });
      offset = chunk.to;
    }
    await end();
  } finally {
    await snapshot.close();
  }
}

/** The ranges of the parts touch each other: what is in none of them is not there. */
async function sendKv(snapshot: KvSnapshot, send: StoreExportOptions["send"]): Promise<void> {
  let gte: Uint8Array = new Uint8Array(0);
  let limit = firstPageEntries;
  for (;;) {
    const entries = await snapshot.range({ gte, lt: KEYS_END, limit });
    const isLast = entries.length < limit;
    let bytes = 0;
    let part: KvEntry[] = [];
    const flush = async (lt: Uint8Array): Promise<void> => {
      await send({ range: { kind: "kv", gte, lt, count: part.length }, content: encodeKvContent(part) });
      gte = lt;
      part = [];
      bytes = 0;
    };
    let pageBytes = 0;
    for (const entry of entries) {
      const size = entry.key.length + entry.value.length + 8;
      if (part.length > 0 && bytes + size > partBytes) await flush(entry.key);
      part.push(entry);
      bytes += size;
      pageBytes += size;
    }
    if (isLast) {
      await flush(KEYS_END);
      return;
    }
    await flush(keyAfter(entries.at(-1)!.key));
    // Values of 16 MB must not be read by the thousand.
    const fitting = Math.floor((partBytes / pageBytes) * entries.length);
    limit = Math.max(1, Math.min(pageEntriesMax, limit * 8, fitting));
  }
}

function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** Of the depots: paths below `dir`. */
export function filesBelow(disk: Disk, dir: string, path: string): string[] {
  if (!disk.exists(`${dir}/${path}`)) return [];
  return disk.list(`${dir}/${path}`).flatMap((name) => {
    const below = `${path}/${name}`;
    return name.endsWith(".depot") ? [below] : filesBelow(disk, dir, below);
  });
}

async function sendFile(disk: Disk, dir: string, path: string, send: StoreExportOptions["send"]): Promise<void> {
  const file = disk.open(`${dir}/${path}`, "read");
  try {
    // What is appended meanwhile belongs to later entries.
    const fileLength = file.size();
    for (let position = 0; position < fileLength; position += partBytes) {
      const content = file.read(position, Math.min(partBytes, fileLength - position));
      const range = { kind: "file", path, position, length: content.length, fileLength } as const;
      await send({ range, content });
    }
  } finally {
    file.close();
  }
}
