// Frames of reads that topologies of other modules make: written and read back, and what is impossible is refused.
import { expect, test } from "bun:test";
import {
  decodeFetchDepot,
  decodeOffsetAt,
  encodeFetchDepot,
  encodeOffsetAt,
  NO_END,
  readFetched,
  writeFetched,
} from "../../../src/protocol/depot-read.ts";
import { FrameWriter } from "../../../src/protocol/frame-fields.ts";
import { ANSWER } from "../../../src/protocol/table.ts";

const writer = new FrameWriter(16);
const bytes = Uint8Array.of(9, 1, 2, 3, 4, 5);

test("a fetch and a question for an offset come out as they went in", () => {
  const place = { depot: 3, task: 70_000, request: 5, from: 2 ** 40, to: NO_END, bytes: 1_000_000, waitMs: 5000 };
  const fetch = { ...place, consumer: "Module topology source", neededFrom: 2 ** 39 };
  expect(decodeFetchDepot(encodeFetchDepot(writer, fetch))).toEqual(fetch);
  const at = { depot: 1, task: 2, request: 3, ms: 1.5e12 };
  expect(decodeOffsetAt(encodeOffsetAt(writer, at))).toEqual(at);
});

test("fetched records keep their offsets, with gaps and with a trimmed beginning", () => {
  const records = [
    { offset: 12, bytes, start: 1, end: 3 },
    { offset: 13, bytes, start: 3, end: 3 },
    { offset: 20, bytes, start: 3, end: 6 },
  ];
  const frame = writeFetched(writer.begin(ANSWER).u32(1), 5, { startOffset: 10, nextOffset: 25, records }).take();
  const fetched = readFetched(frame, 5, 5);
  expect([fetched.startOffset, fetched.nextOffset]).toEqual([10, 25]);
  expect(fetched.records.map(({ offset, bytes, start, end }) => [offset, [...bytes.subarray(start, end)]])).toEqual([
    [12, [1, 2]],
    [13, []],
    [20, [3, 4, 5]],
  ]);
});

test("records past the told end, or cut off, are a bad frame", () => {
  const records = [{ offset: 7, bytes, start: 0, end: 6 }];
  const frame = writeFetched(writer.begin(ANSWER).u32(1), 7, { startOffset: 0, nextOffset: 7, records }).take();
  expect(() => readFetched(frame, 5, 7)).toThrow("past 7");
  expect(() => readFetched(frame.subarray(0, frame.length - 1), 5, 7)).toThrow();
});
