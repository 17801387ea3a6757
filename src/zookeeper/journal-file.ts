// One file of the journal, named for the zxid that it begins with:
//   file   := magic "RZKJRNL1" | record* | zeros (space reserved ahead)
//   record := length u32 | crc32 u32 of the payload | payload[length]          (big-endian; payload: `changes.ts`)
// Worked example: closing session 1 as zxid 5 makes a payload of 36 bytes (24 of head, kind 6, id), a record of 44.
//
// Bytes after the last whole record of the newest file are a torn tail (the process or the power ended in a write); they were never answered
// for and are cut off. Should a whole record stand behind the damage that says it was written after what is missing had been synced, then the
// disk has lost what we had answered for: STORE_CORRUPT, nothing is touched.

import { RamaError } from "../base/errors.ts";
import type { Disk } from "../storage/disk.ts";
import { type JournalEntry, readEntry } from "./changes.ts";
import { JuteError, JuteReader } from "./jute.ts";

export const JOURNAL_MAGIC = Buffer.from("RZKJRNL1");
export const RECORD_HEAD_BYTES = 8;
/** No record is longer: jute.maxbuffer of one request, times its few copies. Bounds what a broken length makes us read. */
const RECORD_BYTES_MAX = 256 * 1024 * 1024;

const journalPrefix = "journal-";
const snapshotPrefix = "snapshot-";

export function journalName(firstZxid: number): string {
  return journalPrefix + firstZxid.toString(16).padStart(16, "0");
}

export function snapshotName(zxid: number): string {
  return snapshotPrefix + zxid.toString(16).padStart(16, "0");
}

export interface JournalDirectory {
  /** First zxids, ascending. */
  readonly journals: number[];
  /** Zxids, ascending. */
  readonly snapshots: number[];
}

export function listDirectory(disk: Disk, dir: string): JournalDirectory {
  const zxidsOf = (prefix: string) =>
    disk
      .list(dir)
      .filter((name) => name.startsWith(prefix) && /^[0-9a-f]{16}$/.test(name.slice(prefix.length)))
      .map((name) => Number.parseInt(name.slice(prefix.length), 16))
      .sort((a, b) => a - b);
  return { journals: zxidsOf(journalPrefix), snapshots: zxidsOf(snapshotPrefix) };
}

export interface ScannedJournal {
  readonly entries: number;
  /** Where the next record goes. */
  readonly endPosition: number;
  /** Bytes behind `endPosition` that are neither records nor zeros. */
  readonly tornBytes: number;
}

/** Hands every whole record to `apply` and says where they end. `newest`: a torn tail is allowed. */
export function scanJournal(
  path: string,
  bytes: Uint8Array,
  newest: boolean,
  apply: (entry: JournalEntry) => void,
): ScannedJournal {
  const corrupt = (why: string) => new RamaError("STORE_CORRUPT", `${path}: ${why}`, { path });
  const used = lengthWithoutZeros(bytes);
  if (used === 0 && newest) return { entries: 0, endPosition: 0, tornBytes: 0 };
  if (!startsWithMagic(bytes)) {
    if (newest && isTornMagic(bytes, used)) return { entries: 0, endPosition: 0, tornBytes: used };
    throw corrupt("this is no journal");
  }
  let position = JOURNAL_MAGIC.length;
  let entries = 0;
  let lastZxid = 0;
  for (let record = recordAt(bytes, position); record !== undefined; record = recordAt(bytes, position)) {
    apply(record.entry);
    lastZxid = record.entry.zxid;
    entries++;
    position = record.end;
  }
  if (used <= position) return { entries, endPosition: position, tornBytes: 0 };
  if (!newest) throw corrupt(`byte ${position} is damaged`);
  if (laterRecordSays(bytes, position + 1, used, lastZxid))
    throw corrupt(`byte ${position} is damaged, and later records rely on it`);
  return { entries, endPosition: position, tornBytes: used - position };
}

interface WholeRecord {
  readonly entry: JournalEntry;
  readonly end: number;
}

function recordAt(bytes: Uint8Array, position: number): WholeRecord | undefined {
  const payloadAt = position + RECORD_HEAD_BYTES;
  if (payloadAt > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + position, RECORD_HEAD_BYTES);
  const length = view.getUint32(0);
  const end = payloadAt + length;
  // 24 bytes are the head of an entry: anything shorter, also the zeros ahead, is none.
  if (length < 24 || length > RECORD_BYTES_MAX || end > bytes.length) return undefined;
  if (Bun.hash.crc32(bytes.subarray(payloadAt, end)) !== view.getUint32(4)) return undefined;
  try {
    return { entry: readEntry(new JuteReader(bytes, payloadAt, end)), end };
  } catch (error) {
    if (error instanceof JuteError) return undefined;
    throw error;
  }
}

function laterRecordSays(bytes: Uint8Array, from: number, to: number, lastZxid: number): boolean {
  for (let position = from; position < to; position++) {
    const record = recordAt(bytes, position);
    if (record !== undefined && record.entry.durableZxid > lastZxid && record.entry.zxid > record.entry.durableZxid)
      return true;
  }
  return false;
}

function startsWithMagic(bytes: Uint8Array): boolean {
  return bytes.length >= JOURNAL_MAGIC.length && JOURNAL_MAGIC.every((byte, i) => bytes[i] === byte);
}

function isTornMagic(bytes: Uint8Array, used: number): boolean {
  return used < JOURNAL_MAGIC.length && bytes.subarray(0, used).every((byte, i) => byte === JOURNAL_MAGIC[i]);
}

function lengthWithoutZeros(bytes: Uint8Array): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
