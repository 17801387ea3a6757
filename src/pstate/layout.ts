// Where PStates stand in the store's Kv. All integers of the header big-endian; `id` is the varint of ByteWriter, `key` is base/key-encoding.ts.
//
//   stored key := 50 | object u16 | task u16 | place
//   place      := 00 00                      the root: the value of a leaf PState; of a map or fixed one the id of its structure (absent: 0)
//               | 00 01                      the next free structure id; present from the first commit of the partition on
//               | 00 02                      about how many elements the partition has (statistics only)
//               | 00 03 level u8 path        a dropped structure whose elements are still to be removed: how many levels may stand below it
//               | 00 04                      how far migrations are (migration-record.ts); absent where there never were any
//               | level u8 | path            level = 1 … 0xfe
//   path       := (id key)* id               meta of the structure `id`: its size, or [first position, size] of a list
//               | (id key)* id key           an element; as many ids as `level` says
//   values     := base/value-codec.ts; where the schema says subindexed, the structure's id stands instead of the structure; null when there is none.
//
// Example: element "b" of the set at key 5 of PState 1 on task 3, whose structure has the id 7, the map above having 0:
//   50 0001 0003 02 00 110500 07 206200.
//
// A structure's elements are one run of keys, with nothing of the structures below in between (those are a level deeper), so that a range touches only
// what is in it. Everything below an element begins, a level deeper, with the element's path: removing it is one range delete per level.
//
// Ids come from a counter per partition and are never used again. A structure that is deleted and made anew is another run: the old one stays
// readable for the external view until the deletion is committed, and its keys may be removed at any time after the batch in which nothing refers to them
// is durable. That batch carries a `00 03` record, so that a crash between forgets nothing (flush.ts).
//
// Format version 1 (entry.ts has its own). A change of this layout needs another first byte.
import type { ByteWriter } from "../base/value-bytes.ts";

export const PSTATE_PREFIX = 0x50;
export const HEADER_BYTES = 5;

export const PLACE_ROOT = 0x00;
export const PLACE_COUNTER = 0x01;
export const PLACE_STATISTICS = 0x02;
export const PLACE_DROPPED = 0x03;
export const PLACE_MIGRATION = 0x04;

/** Element keys, encoded, lie in [keyStart, keyEnd): the encoding's first bytes are 02 … 53. */
export const keyStart = "\x01";
export const keyEnd = "\xff";

function partitionHeader(objectId: number, taskId: number): number[] {
  return [PSTATE_PREFIX, objectId >>> 8, objectId & 0xff, taskId >>> 8, taskId & 0xff];
}

export function ownKey(objectId: number, taskId: number, place: number): Uint8Array {
  return Uint8Array.from([...partitionHeader(objectId, taskId), 0, place]);
}

/** `place`: level and path of the dropped structure. */
export function droppedKey(objectId: number, taskId: number, place: Uint8Array): Uint8Array {
  return Uint8Array.from([...partitionHeader(objectId, taskId), 0, PLACE_DROPPED, ...place]);
}

export function partitionRange(objectId: number, taskId: number): { gte: Uint8Array; lt: Uint8Array } {
  return {
    gte: Uint8Array.from(partitionHeader(objectId, taskId)),
    lt: Uint8Array.from(partitionHeader(objectId, taskId + 1)),
  };
}

export function droppedRange(objectId: number, taskId: number): { gte: Uint8Array; lt: Uint8Array } {
  return { gte: ownKey(objectId, taskId, PLACE_DROPPED), lt: ownKey(objectId, taskId, PLACE_DROPPED + 1) };
}

/** What stands before `path` in every key of that level. */
export function pathHeader(objectId: number, taskId: number, level: number): Uint8Array {
  return Uint8Array.from([...partitionHeader(objectId, taskId), level]);
}

const idScratch = new Uint8Array(8);

export function idBytes(id: number): Uint8Array {
  let at = 0;
  let rest = id;
  while (rest > 0x7f) {
    idScratch[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  idScratch[at++] = rest;
  return idScratch.slice(0, at);
}

/** Where the id that `readId` read last ends. */
export let idEnd = 0;

export function readId(bytes: Uint8Array, from: number): number {
  let at = from;
  let value = 0;
  let factor = 1;
  for (;;) {
    const byte = bytes[at++]!;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) break;
    factor *= 128;
  }
  idEnd = at;
  return value;
}

/** The stored key that `place` (a view into an entry) stands for. */
export function storedKeyOf(
  objectId: number,
  taskId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  const key = new Uint8Array(HEADER_BYTES + end - start);
  key.set(partitionHeader(objectId, taskId));
  key.set(bytes.subarray(start, end), HEADER_BYTES);
  return key;
}

/** Writes a varint length and the place of a stored key. */
export function writePlace(writer: ByteWriter, storedKey: Uint8Array): void {
  const length = storedKey.length - HEADER_BYTES;
  writer.reserve(length + 8);
  writer.varint(length);
  const bytes = writer.bytes;
  let at = writer.length;
  if (length < 48) for (let i = HEADER_BYTES; i < storedKey.length; i++) bytes[at++] = storedKey[i]!;
  else bytes.set(storedKey.subarray(HEADER_BYTES), at);
  writer.length += length;
}
