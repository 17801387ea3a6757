// Reads of depot partitions by offset.
//   PARTITION_INFO := kind | depot u16 | task u32 | request u32                                   ANSWER: start offset f64 | end offset f64
//   READ_DEPOT     := kind | depot u16 | task u32 | request u32 | from f64 | to f64               ANSWER: (length u32 | value)*
//   FETCH_DEPOT    := kind | depot u16 | task u32 | request u32 | from f64 | to f64 | bytes u32 | wait u32
//                                             | needed from f64 | consumer text
//                                             ANSWER: start offset f64 | next offset f64 | (skipped u32 | length u32 | value)*
//   OFFSET_AT      := kind | depot u16 | task u32 | request u32 | epoch milliseconds f64          ANSWER: offset f64
// A value of no bytes that was read is a tombstone. `to` is exclusive. Offsets outside [start, end] are FAILURE OFFSET_OUT_OF_RANGE. A fetch gives records of [from, to) until they have `bytes`; when there are none it
// is answered once there are, or after `wait` milliseconds. One from below the start begins at the start. All records below `next offset` are in the answer or gone;
// `skipped` is how many offsets before a record are. The consumer (module, topology, source) may still ask for records from `needed from` on:
// trimming keeps them.
import { badFrame, FrameReader, type FrameWriter } from "./frame-fields.ts";
import { FETCH_DEPOT, OFFSET_AT, PARTITION_INFO, READ_DEPOT } from "./table.ts";

export interface PartitionInfoRequest {
  readonly depot: number;
  readonly task: number;
  readonly request: number;
}

export interface ReadDepotRequest extends PartitionInfoRequest {
  readonly from: number;
  readonly to: number;
}

export function encodePartitionInfo(writer: FrameWriter, ask: PartitionInfoRequest): Uint8Array {
  return writer.begin(PARTITION_INFO).u16(ask.depot).u32(ask.task).u32(ask.request).view();
}

export function decodePartitionInfo(frame: Uint8Array): PartitionInfoRequest {
  const reader = new FrameReader(frame);
  return { depot: reader.u16(), task: reader.u32(), request: reader.u32() };
}

export function encodeReadDepot(writer: FrameWriter, ask: ReadDepotRequest): Uint8Array {
  return writer.begin(READ_DEPOT).u16(ask.depot).u32(ask.task).u32(ask.request).f64(ask.from).f64(ask.to).view();
}

export function decodeReadDepot(frame: Uint8Array): ReadDepotRequest {
  const reader = new FrameReader(frame);
  return {
    depot: reader.u16(),
    task: reader.u32(),
    request: reader.u32(),
    from: reader.count(),
    to: reader.count(),
  };
}

export interface FetchDepotRequest extends ReadDepotRequest {
  readonly bytes: number;
  readonly waitMs: number;
  /** "": nobody that trimming would heed. */
  readonly consumer: string;
  readonly neededFrom: number;
}

/** Where a record lies: its value is [start, end) of `bytes`. */
export interface FetchedRecord {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export interface Fetched {
  /** First offset that can be read. */
  readonly startOffset: number;
  /** What is below is in `records`, or gone. */
  readonly nextOffset: number;
  readonly records: readonly FetchedRecord[];
}

/** `to` of a fetch without an end. */
export const NO_END = Number.MAX_SAFE_INTEGER;

export function encodeFetchDepot(writer: FrameWriter, ask: FetchDepotRequest): Uint8Array {
  writer.begin(FETCH_DEPOT).u16(ask.depot).u32(ask.task).u32(ask.request).f64(ask.from).f64(ask.to);
  return writer.u32(ask.bytes).u32(ask.waitMs).f64(ask.neededFrom).text(ask.consumer).view();
}

export function decodeFetchDepot(frame: Uint8Array): FetchDepotRequest {
  const reader = new FrameReader(frame);
  return {
    depot: reader.u16(),
    task: reader.u32(),
    request: reader.u32(),
    from: reader.count(),
    to: reader.count(),
    bytes: reader.u32(),
    waitMs: reader.u32(),
    neededFrom: reader.count(),
    consumer: reader.text(),
  };
}

/** The answer's body. `from`: where the fetch began. */
export function writeFetched(writer: FrameWriter, from: number, fetched: Fetched): FrameWriter {
  writer.f64(fetched.startOffset).f64(fetched.nextOffset);
  let next = Math.max(from, fetched.startOffset);
  for (const { offset, bytes, start, end } of fetched.records) {
    writer.u32(offset - next).block(bytes.subarray(start, end));
    next = offset + 1;
  }
  return writer;
}

/** The records lie in a copy of the frame. */
export function readFetched(frame: Uint8Array, at: number, from: number): Fetched {
  const reader = new FrameReader(frame.slice(at), 0);
  const startOffset = reader.count();
  const nextOffset = reader.count();
  const records: FetchedRecord[] = [];
  let offset = Math.max(from, startOffset);
  while (reader.remaining > 0) {
    offset += reader.u32();
    const length = reader.u32();
    const start = reader.at;
    reader.raw(length);
    records.push({ offset, bytes: reader.bytes, start, end: reader.at });
    offset++;
  }
  if (nextOffset < offset) throw badFrame(`fetched records reach ${offset}, past ${nextOffset}`);
  return { startOffset, nextOffset, records };
}

export function encodeOffsetAt(writer: FrameWriter, ask: PartitionInfoRequest & { readonly ms: number }): Uint8Array {
  return writer.begin(OFFSET_AT).u16(ask.depot).u32(ask.task).u32(ask.request).f64(ask.ms).view();
}

export function decodeOffsetAt(frame: Uint8Array): PartitionInfoRequest & { readonly ms: number } {
  const reader = new FrameReader(frame);
  return { depot: reader.u16(), task: reader.u32(), request: reader.u32(), ms: reader.f64() };
}
