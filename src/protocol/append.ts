// Appends of a client to depot partitions. One frame holds what one client appends to one partition in one turn, all with the same level:
//   APPEND        := kind | level u8 | depot u16 | task u32 | request u32 | count u32 | sequence f64 | reserved u32 | record*
//   record        := length u32 | value[length]
//   APPEND_DONE   := kind | (request u32 | offset f64)*
//   APPEND_RESULT := kind | request u32 | offset f64 | returns block | failure count u32 | (index u32 | failure text)*
// `sequence` is the number of the first record among all that this client has appended to this partition; with the client id of the hello it is the
// token by which an append that is sent again lands once. A batch is sent again exactly as it was. `returns` is empty, or the value of an array with what
// each record's topologies returned (null: nothing). FAILURE in place of both: nothing of the batch was stored, unless the code is APPEND_OUTCOME_UNKNOWN.
// Example, one record "a" (2 bytes) to depot 0, task 3, level ACK, request 1, sequence 0:
//   10 00 0000 03000000 01000000 01000000 0000000000000000 00000000 02000000 xx xx
//
//   CHOOSE_PARTITIONS := kind | depot u16 | request u32 | count u32 | record*        ANSWER: partition u32*
import { u32At } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { failureOf, failureText } from "./failure.ts";
import { badFrame, FrameReader, type FrameWriter } from "./frame-fields.ts";
import { APPEND, APPEND_RESULT, CHOOSE_PARTITIONS } from "./table.ts";

export const ACK_LEVELS: readonly AckLevelName[] = ["ack", "appendAck", "none"];
export const APPEND_HEADER_BYTES = 28;

export interface AppendRequest {
  level: AckLevelName;
  depot: number;
  task: number;
  request: number;
  count: number;
  sequence: number;
  /** A view of the frame. */
  records: Uint8Array;
}

export interface AppendHeader {
  readonly level: AckLevelName;
  readonly depot: number;
  readonly task: number;
  readonly request: number;
  readonly count: number;
  readonly sequence: number;
}

/** The frame without its records, which follow it as they are. */
export function appendHeader(writer: FrameWriter, header: AppendHeader): Uint8Array {
  writer.begin(APPEND).u8(ACK_LEVELS.indexOf(header.level)).u16(header.depot).u32(header.task);
  return writer.u32(header.request).u32(header.count).f64(header.sequence).raw(fourZeroBytes).view();
}

// Reserved for flags of later versions.
const fourZeroBytes = new Uint8Array(4);

/**
 * Checks the layout as far as the records' lengths: they must fill the frame exactly. BAD_FRAME otherwise, TOO_LARGE (with the request) when one record is
 * longer than `maxRecordBytes`.
 */
export function decodeAppend(frame: Uint8Array, maxRecordBytes: number): AppendRequest {
  const reader = new FrameReader(frame);
  const level = ACK_LEVELS[reader.u8()];
  if (level === undefined) throw badFrame("unknown ack level");
  const append: AppendRequest = {
    level,
    depot: reader.u16(),
    task: reader.u32(),
    request: reader.u32(),
    count: reader.u32(),
    sequence: reader.count(),
    records: reader.raw(4),
  };
  append.records = reader.rest();
  checkRecords(append.records, append.count, maxRecordBytes, append.request);
  return append;
}

function checkRecords(records: Uint8Array, count: number, maxRecordBytes: number, request: number): void {
  if (count === 0) throw badFrame("an append without records");
  let at = 0;
  let longest = 0;
  for (let left = count; left > 0; left--) {
    if (at + 4 > records.length) throw badFrame("the records end before their count");
    const length = u32At(records, at);
    if (length > longest) longest = length;
    at += 4 + length;
  }
  if (at !== records.length) throw badFrame("the records do not fill their frame");
  if (longest > maxRecordBytes) throw tooLarge(longest, maxRecordBytes, request);
}

export function tooLarge(bytes: number, limit: number, request?: number): RamaError {
  const facts = { bytes, limit, ...(request === undefined ? {} : { request }) };
  return new RamaError("TOO_LARGE", `a record of ${bytes} bytes is over limit.record.bytes (${limit})`, facts);
}

/** Calls `visit` with the bounds of each record's value. */
export function eachRecord(records: Uint8Array, visit: (start: number, end: number, index: number) => void): void {
  let at = 0;
  for (let index = 0; at < records.length; index++) {
    const start = at + 4;
    at = start + u32At(records, at);
    visit(start, at, index);
  }
}

export interface AppendResult {
  readonly request: number;
  readonly offset: number;
  /** Empty when nothing was returned. */
  readonly returns: Uint8Array;
  readonly failures: ReadonlyMap<number, RamaError>;
}

export function encodeAppendResult(writer: FrameWriter, result: AppendResult): Uint8Array {
  writer.begin(APPEND_RESULT).u32(result.request).f64(result.offset).block(result.returns).u32(result.failures.size);
  for (const [index, error] of result.failures) writer.u32(index).text(failureText(error));
  return writer.view();
}

export function decodeAppendResult(frame: Uint8Array): AppendResult {
  const reader = new FrameReader(frame);
  const request = reader.u32();
  const offset = reader.count();
  const returns = reader.block();
  const failures = new Map<number, RamaError>();
  for (let left = reader.u32(); left > 0; left--) failures.set(reader.u32(), failureOf(reader.text()));
  return { request, offset, returns, failures };
}

export interface ChoosePartitions {
  readonly depot: number;
  readonly request: number;
  readonly count: number;
  readonly records: Uint8Array;
}

export function encodeChoosePartitions(writer: FrameWriter, choose: ChoosePartitions): Uint8Array {
  writer.begin(CHOOSE_PARTITIONS).u16(choose.depot).u32(choose.request).u32(choose.count);
  return writer.raw(choose.records).view();
}

export function decodeChoosePartitions(frame: Uint8Array, maxRecordBytes: number): ChoosePartitions {
  const reader = new FrameReader(frame);
  const choose = { depot: reader.u16(), request: reader.u32(), count: reader.u32(), records: reader.rest() };
  checkRecords(choose.records, choose.count, maxRecordBytes, choose.request);
  return choose;
}
