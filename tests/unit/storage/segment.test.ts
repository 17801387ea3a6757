// The log's format: bytes of version 1 stay readable, and nothing but valid records is ever taken for one.
import { expect, test } from "bun:test";
import {
  BatchBuffer,
  decodeSegmentHeader,
  encodeSegmentHeader,
  findBatch,
  SEGMENT_HEADER_BYTES,
  scanSegment,
  segmentName,
  segmentNumber,
} from "../../../src/storage/segment.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const ascii = (text: string) => new TextEncoder().encode(text);

const goldenHeader = "52414d414c4f4731000000000000f03f000000000000f03f0000000004bb4206";
const goldenBatch =
  "0d0000003c20c668000000410000000100000000000f0000004c4199d60102000300000005000000000061620d000000038021de01020003000000060000000000";

function batch(segment: number, firstEntry: number, payloads: readonly string[]): Uint8Array {
  const buffer = new BatchBuffer(16);
  buffer.begin(segment, firstEntry);
  for (const [i, payload] of payloads.entries()) buffer.add(1, 2, 3, 5 + i, [ascii(payload)]);
  return buffer.finish().slice();
}

function scan(bytes: Uint8Array, segment: number, position = 0) {
  const seen: string[] = [];
  const result = scanSegment(bytes, segment, position, {
    batch: (firstEntry, at) => seen.push(`batch ${firstEntry} at ${at}`),
    entry: ({ kind, group, epoch, offset, payload }) =>
      seen.push(`${kind} ${group} ${epoch} ${offset} ${new TextDecoder().decode(payload)}`),
  });
  return { ...result, seen };
}

test("version 1: header and batch are these bytes", () => {
  expect(hex(encodeSegmentHeader({ number: 1, firstEntry: 1, recycled: false }))).toBe(goldenHeader);
  expect(hex(batch(1, 1, ["ab", ""]))).toBe(goldenBatch);
});

test("version 1: bytes of earlier times are read", () => {
  expect(decodeSegmentHeader(unhex(goldenHeader))).toEqual({ number: 1, firstEntry: 1, recycled: false });
  const bytes = unhex(goldenBatch);
  expect(scan(bytes, 1)).toEqual({
    validEnd: bytes.length,
    declaredEnd: bytes.length,
    seen: ["batch 1 at 0", "1 2 3 5 ab", "1 2 3 6 "],
  });
});

test("offsets above 2^32 survive", () => {
  const buffer = new BatchBuffer();
  buffer.begin(7, 2 ** 40);
  buffer.add(255, 65535, 2 ** 32 - 1, 2 ** 48 - 1, []);
  expect(scan(buffer.finish(), 7).seen).toEqual([`batch ${2 ** 40} at 0`, `255 65535 ${2 ** 32 - 1} ${2 ** 48 - 1} `]);
});

test("a header with a flipped bit, or of another version, is none", () => {
  for (let bit = 0; bit < SEGMENT_HEADER_BYTES * 8; bit++) {
    const bytes = encodeSegmentHeader({ number: 9, firstEntry: 100, recycled: true });
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    expect(decodeSegmentHeader(bytes)).toBeUndefined();
  }
  expect(decodeSegmentHeader(new Uint8Array(SEGMENT_HEADER_BYTES))).toBeUndefined();
  expect(decodeSegmentHeader(new Uint8Array(3))).toBeUndefined();
});

test("a flipped bit anywhere ends the valid part in front of its record", () => {
  const whole = batch(1, 1, ["ab", "cdef"]);
  const starts = [0, 21, 21 + 23];
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = whole.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const record = starts.findLast((start) => start <= bit >> 3)!;
    expect(scan(bytes, 1).validEnd).toBe(record);
  }
});

test("each cut ends the valid part in front of the record that it hits", () => {
  const whole = batch(1, 1, ["ab", "cdef"]);
  for (let length = 0; length < whole.length; length++) {
    const { validEnd, declaredEnd } = scan(whole.subarray(0, length), 1);
    expect(validEnd).toBe(length < 21 ? 0 : length < 44 ? 21 : 44);
    expect(declaredEnd).toBe(length < 21 ? 0 : whole.length);
  }
});

test("records of another segment do not count: a recycled file's old content is nothing", () => {
  expect(scan(batch(4, 1, ["ab"]), 5).validEnd).toBe(0);
});

test("a later batch is found behind damage, an earlier one and zeros are not", () => {
  const first = batch(1, 10, ["ab"]);
  const second = batch(1, 11, ["cd"]);
  const bytes = new Uint8Array([...first, 1, 2, 3, ...second, ...new Uint8Array(100)]);
  expect(findBatch(bytes, 1, first.length, 11)).toBe(first.length + 3);
  expect(findBatch(bytes, 1, first.length, 12)).toBe(-1);
  expect(findBatch(bytes, 2, 0, 0)).toBe(-1);
});

test("a segment's name is its number, and sorts like it", () => {
  expect(segmentName(12)).toBe("000000000012.log");
  expect(segmentNumber("000000000012.log")).toBe(12);
  for (const other of ["12.log", "000000000012.log.spare", "x"]) expect(segmentNumber(other)).toBeUndefined();
});
