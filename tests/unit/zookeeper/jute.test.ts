import { expect, test } from "bun:test";
import { JuteError, JuteReader, JuteWriter } from "../../../src/zookeeper/jute.ts";

test("what is written is read back", () => {
  const writer = new JuteWriter(1);
  writer.bool(true);
  writer.int(-2);
  writer.long(-(1n << 63n));
  writer.longNumber(2 ** 52 + 3);
  writer.longNumber(-1);
  writer.buffer(null);
  writer.buffer(new Uint8Array([1, 2]));
  writer.string("naïve ☃ 😀");
  writer.strings(new Set(["a", ""]));
  const reader = new JuteReader(writer.copy());
  expect([reader.bool(), reader.int(), reader.long(), reader.longNumber(), reader.longNumber()]).toEqual([
    true,
    -2,
    -(1n << 63n),
    2 ** 52 + 3,
    -1,
  ]);
  expect([reader.buffer(), reader.buffer()]).toEqual([null, new Uint8Array([1, 2])]);
  expect([reader.string(), reader.strings(), reader.remaining]).toEqual(["naïve ☃ 😀", ["a", ""], 0]);
});

test("the worked example of the file head holds", () => {
  const writer = new JuteWriter();
  writer.string("/a");
  expect(Buffer.from(writer.copy()).toString("hex")).toBe("000000022f61");
});

test("lengths and counts beyond the bytes are refused before anything is reserved", () => {
  const reader = () => new JuteReader(new Uint8Array([0x7f, 0xff, 0xff, 0xff, 0, 0]));
  expect(() => reader().buffer()).toThrow(JuteError);
  expect(() => reader().string()).toThrow(JuteError);
  expect(() => reader().strings()).toThrow(JuteError);
  expect(() => new JuteReader(new Uint8Array([0xff, 0xff, 0xff, 0xfe])).buffer()).toThrow(JuteError);
  expect(() => new JuteReader(new Uint8Array(3)).int()).toThrow(JuteError);
});

test("a reader keeps within its part of the bytes", () => {
  const reader = new JuteReader(new Uint8Array([9, 0, 0, 0, 5, 9, 9]), 1, 5);
  expect(reader.int()).toBe(5);
  expect(() => reader.bool()).toThrow(JuteError);
});

test("dropping the front keeps the rest, and holes are filled in place", () => {
  const writer = new JuteWriter(4);
  const frame = writer.hole();
  writer.string("abc");
  writer.closeFrame(frame);
  writer.int(77);
  writer.dropFront(11);
  expect([...writer.copy()]).toEqual([0, 0, 0, 77]);
  writer.dropFront(4);
  expect(writer.length).toBe(0);
});
