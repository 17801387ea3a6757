// Guards against an event that is applied twice because its mark was pruned, and against one that is taken for such and never applied.
import { expect, test } from "bun:test";
import { ByteReader, ByteWriter } from "../../../src/base/value-bytes.ts";
import { AppliedMarks, readMarks, writeMarks } from "../../../src/topology/stream/applied-marks.ts";

const of = (offset: number) => ({ key: 7, task: 3, offset });

test("an event that comes after all is done with its record is outdated, unless its sender says nothing of that", () => {
  const marks = new AppliedMarks();
  marks.note(of(5), 1);
  marks.apply(marks.take());
  expect(marks.has(of(5), 1)).toBe(true);
  expect(marks.isOutdated(of(5), 5)).toBe(false);
  marks.prune(7, 3, 6);
  expect(marks.has(of(5), 1)).toBe(false);
  // Sent by a leader that was stopped before its successor ran the record to its end.
  expect(marks.isOutdated(of(5), 5)).toBe(true);
  // A dead letter that runs again, long after, says nothing.
  expect(marks.isOutdated(of(5), 0)).toBe(false);
  expect(marks.isOutdated(of(6), 6)).toBe(false);
  expect(marks.isOutdated({ key: 7, task: 4, offset: 5 }, 1)).toBe(false);
});

test("a follower drops what its leader has dropped, with the next entry of marks", () => {
  const leader = new AppliedMarks();
  const follower = new AppliedMarks();
  const send = () => {
    const list = leader.take();
    leader.apply(list);
    const writer = new ByteWriter(64);
    writeMarks(writer, list);
    follower.apply(readMarks(new ByteReader(writer.take())));
  };
  for (let offset = 0; offset < 1000; offset++) {
    leader.note(of(offset), 1);
    send();
    leader.prune(7, 3, offset - 5);
  }
  send();
  for (const marks of [leader, follower]) {
    const writer = new ByteWriter(64);
    marks.encode(writer);
    expect(readMarks(new ByteReader(writer.take())).marks.map(({ origin }) => origin.offset)).toEqual([
      994, 995, 996, 997, 998, 999,
    ]);
  }
  expect(follower.isOutdated(of(3), 2)).toBe(true);
});

test("a list of an earlier release has no lows", () => {
  const writer = new ByteWriter(64);
  writer.varint(1);
  writer.u32(7);
  writer.varint(3);
  writer.varint(5);
  writer.u32(1);
  expect(readMarks(new ByteReader(writer.take()))).toEqual({ marks: [{ origin: of(5), path: 1 }], lows: [] });
});
