// How far a microbatch topology has come, on disk as progress states (task/turn-entry.ts, section 3). Written in the same turn as the PState changes that it tells of.
//   of a source in a partition := version u8 (1) | first | next | attempted | end                              (varints)
//                              or version u8 (2) | first | next | attempted | end | offset | failures | at (epoch ms) | code text | message text | length, record
//     Version 2: record `offset` of the slice does not run; it becomes a dead letter with the commit.
//     All records in [first, next) are committed. [next, end) is the slice of microbatch `attempted`, when that is the group's `attempted` too.
//   of a task group, under its first task := version u8 (1) | committed | attempted | 0
//                                         or version u8 (2) | committed | attempted | prepared id | run | length, writes
//                                         or version u8 (1) | committed | attempted | prepared id | length, writes      (of earlier releases; run 0)
//     Microbatches up to `committed` are applied here. The slices of `attempted` have been chosen: it runs again with exactly those. Prepared: the writes
//     of attempt `run` of that microbatch are complete and durable here. It is decided when all groups have prepared the same run.
import { RamaError } from "../../base/errors.ts";
import { ByteReader, ByteWriter } from "../../base/value-bytes.ts";

const VERSION = 1;
const VERSION_SKIPPING = 2;
const VERSION_RUN = 2;

export interface SliceState {
  readonly first: number;
  readonly next: number;
  /** 0: none. */
  readonly attempted: number;
  readonly end: number;
  readonly skip?: SkippedRecord | undefined;
}

export interface SkippedRecord {
  readonly offset: number;
  readonly failures: number;
  readonly atMs: number;
  readonly code: string;
  readonly message: string;
  /** Empty until the attempt has come past it. */
  readonly record: Uint8Array;
}

export interface PreparedState {
  readonly id: number;
  /** The attempt. */
  readonly run: number;
  readonly writes: Uint8Array;
}

export interface GroupState {
  readonly committed: number;
  readonly attempted: number;
  readonly prepared: PreparedState | undefined;
}

export function encodeSlice({ first, next, attempted, end, skip }: SliceState): Uint8Array {
  const writer = new ByteWriter(24);
  writer.u8(skip === undefined ? VERSION : VERSION_SKIPPING);
  for (const each of [first, next, attempted, end]) writer.varint(each);
  if (skip !== undefined) {
    for (const each of [skip.offset, skip.failures, skip.atMs]) writer.varint(each);
    writer.text(skip.code);
    writer.text(skip.message);
    writer.varint(skip.record.length);
    writer.raw(skip.record);
  }
  return writer.take();
}

export function decodeSlice(bytes: Uint8Array): SliceState {
  const reader = readerOf(bytes, VERSION_SKIPPING);
  const [first, next, attempted, end] = [reader.varint(), reader.varint(), reader.varint(), reader.varint()];
  if (bytes[0] === VERSION) return { first, next, attempted, end };
  const [offset, failures, atMs] = [reader.varint(), reader.varint(), reader.varint()];
  const [code, message, length] = [reader.text(), reader.text(), reader.varint()];
  const record = bytes.slice(reader.pos, reader.pos + length);
  return { first, next, attempted, end, skip: { offset, failures, atMs, code, message, record } };
}

export function encodeGroup({ committed, attempted, prepared }: GroupState): Uint8Array {
  const writer = new ByteWriter(32 + (prepared?.writes.length ?? 0));
  writer.u8(prepared === undefined ? VERSION : VERSION_RUN);
  writer.varint(committed);
  writer.varint(attempted);
  writer.varint(prepared?.id ?? 0);
  if (prepared !== undefined) {
    writer.varint(prepared.run);
    writer.varint(prepared.writes.length);
    writer.raw(prepared.writes);
  }
  return writer.take();
}

export function decodeGroup(bytes: Uint8Array): GroupState {
  const reader = readerOf(bytes, VERSION_RUN);
  const [committed, attempted, id] = [reader.varint(), reader.varint(), reader.varint()];
  if (id === 0) return { committed, attempted, prepared: undefined };
  const run = bytes[0] === VERSION_RUN ? reader.varint() : 0;
  const length = reader.varint();
  const writes = bytes.slice(reader.pos, reader.pos + length);
  return { committed, attempted, prepared: { id, run, writes } };
}

function readerOf(bytes: Uint8Array, newest = VERSION): ByteReader {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version >= VERSION && version <= newest) return reader;
  throw new RamaError("STORE_CORRUPT", `microbatch progress of version ${version} is not known to this release`, {
    version,
  });
}
