// Guards the frames between engines: what one writes the other reads, in order, and a frame of nonsense is refused.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { encodeValue } from "../../../src/base/value-codec.ts";
import { noOrigin, EventSender, type EventReceiver, receiveEvents } from "../../../src/task/event-codec.ts";

function recorder(): { calls: unknown[][]; receiver: EventReceiver } {
  const calls: unknown[][] = [];
  const record =
    (name: string) =>
    (...args: unknown[]) =>
      void calls.push([name, ...args]);
  const receiver = Object.fromEntries(
    ["event", "ack", "failure", "call", "result", "forget"].map((name) => [name, record(name)]),
  );
  return { calls, receiver: receiver as unknown as EventReceiver };
}

test("all messages of a turn to one task travel in one frame, in order", () => {
  const frames: [number, Uint8Array][] = [];
  const sender = new EventSender((task, frame) => frames.push([task, frame]), undefined);
  const origin = { key: 0xffff_fff0, offset: 2 ** 40, low: 2 ** 40 - 5, path: 0x8000_0001 };
  const leaving = { stage: 3, task: 5, ref: { task: 1, tree: 77 }, event: 2 ** 52 + 1, origin };
  sender.event(0, leaving, encodeValue(["x", null, new Map([["k", 1n]])]));
  sender.event(1, { ...leaving, origin: noOrigin }, encodeValue([]));
  sender.ack(2, { task: 5, tree: 9 }, 2 ** 53 - 1, ["returned", 4]);
  sender.ack(2, { task: 6, tree: 10 }, 5, []);
  sender.forget(4, 5, { task: 0, tree: 3 });
  sender.flush();
  sender.flush();
  expect(frames.map(([task]) => task)).toEqual([5, 6]);
  const { calls, receiver } = recorder();
  receiveEvents(5, frames[0]![1], undefined, receiver);
  expect(calls).toEqual([
    ["event", 0, { ...leaving, vars: ["x", null, new Map([["k", 1n]])] }],
    ["event", 1, { ...leaving, origin: noOrigin, vars: [] }],
    ["ack", 2, 5, 9, 2 ** 53 - 1, ["returned", 4]],
    ["forget", 4, { task: 0, tree: 3 }],
  ]);
});

test("an ack has the bytes of the layout", () => {
  let bytes = new Uint8Array(0);
  const sender = new EventSender((_task, frame) => (bytes = frame as Uint8Array<ArrayBuffer>), undefined);
  sender.ack(0, { task: 1, tree: 7 }, 5, []);
  sender.flush();
  expect(Buffer.from(bytes).toString("hex")).toBe("02000000000000001c40000000000000144000");
});

test("calls and results carry values or errors", () => {
  const frames: Uint8Array[] = [];
  const sender = new EventSender((_task, frame) => frames.push(frame), undefined);
  sender.call(1, 2, 3, 99, ["a", 1]);
  sender.result(2, 99, null, { sum: 3 });
  sender.result(2, 100, new RamaError("TIMEOUT", "too slow"), undefined);
  sender.flush();
  const { calls, receiver } = recorder();
  receiveEvents(2, frames[0]!, undefined, receiver);
  expect(calls[0]).toEqual(["call", 1, 2, 3, 99, ["a", 1]]);
  expect(calls[1]).toEqual(["result", 99, null, { sum: 3 }]);
  expect((calls[2]![2] as RamaError).code).toBe("TIMEOUT");
});

test("a value that cannot travel leaves the frame as it was", () => {
  const frames: Uint8Array[] = [];
  const sender = new EventSender((_task, frame) => frames.push(frame), undefined);
  sender.result(1, 1, null, "first");
  expect(() => sender.result(1, 2, null, () => 1)).toThrow("cannot be stored or sent");
  sender.result(1, 3, null, "third");
  sender.flush();
  const { calls, receiver } = recorder();
  receiveEvents(1, frames[0]!, undefined, receiver);
  expect(calls).toEqual([
    ["result", 1, null, "first"],
    ["result", 3, null, "third"],
  ]);
});

test("an unknown message is a bad frame", () => {
  const { receiver } = recorder();
  expect(() => receiveEvents(0, Uint8Array.of(200), undefined, receiver)).toThrow("not known");
});
