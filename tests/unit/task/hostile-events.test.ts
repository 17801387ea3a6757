// Frames of events as nobody of ours sends them: cut off, with numbers that mean nothing, with values where others must stand. They are BAD_FRAME, or dropped; they never
// reach a topology as something that it takes for granted.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { encodeValue } from "../../../src/base/value-codec.ts";
import { type EventReceiver, EventSender, receiveEvents } from "../../../src/task/event-codec.ts";
import { control, isControl } from "../../../src/topology/microbatch/control.ts";

/** All six kinds, as one frame. */
function whole(): Uint8Array {
  let frame: Uint8Array = new Uint8Array(0);
  const sender = new EventSender((_task, bytes) => (frame = bytes), undefined);
  const ref = { task: 0, tree: 7 };
  const origin = { key: 9, offset: 5, low: 3, path: 1 };
  sender.event(0, { stage: 1, task: 0, ref, event: 2, origin }, encodeValue([1, "a"]));
  sender.ack(0, ref, 5, [null, "x"]);
  sender.failure(0, ref, new RamaError("TIMEOUT", "late"));
  sender.call(2, 0, 0, 1, [1]);
  sender.result(0, 1, null, { a: 1 });
  sender.result(0, 1, new RamaError("TIMEOUT", "late"), undefined);
  sender.forget(0, 0, ref);
  sender.flush();
  return frame;
}

function received(frame: Uint8Array): unknown[] {
  const got: unknown[] = [];
  const take =
    (kind: string) =>
    (...parts: unknown[]) =>
      void got.push([kind, ...parts]);
  const to = Object.fromEntries(
    ["event", "ack", "failure", "call", "result", "forget"].map((kind) => [kind, take(kind)]),
  ) as unknown as EventReceiver;
  receiveEvents(0, frame, undefined, to);
  return got;
}

test("all kinds arrive in order", () => {
  const kinds = received(whole()).map((each) => (each as unknown[])[0]);
  expect(kinds).toEqual(["event", "ack", "failure", "call", "result", "result", "forget"]);
});

test("a frame that is cut off anywhere, or damaged anywhere, is received in part or is BAD_FRAME", () => {
  const frame = whole();
  const outcomes = new Set<string>();
  const attempt = (bytes: Uint8Array): void => {
    try {
      received(bytes);
      outcomes.add("received");
    } catch (error) {
      outcomes.add(error instanceof RamaError ? error.code : String(error));
    }
  };
  for (let end = 0; end < frame.length; end++) attempt(frame.slice(0, end));
  for (let at = 0; at < frame.length; at++)
    for (const byte of [0, 1, 0x7f, 0x80, 0xff]) {
      const damaged = frame.slice();
      damaged[at] = byte;
      attempt(damaged);
    }
  expect([...outcomes].sort()).toEqual(["BAD_FRAME", "received"]);
});

test("what a failure of user code throws while an event is received is not taken for a bad frame", () => {
  const to = { event: () => raise(new TypeError("ours")) } as unknown as EventReceiver;
  expect(() => receiveEvents(0, whole(), undefined, to)).toThrow(TypeError);
});

test("messages of microbatches have to be of a known stage, with numbers and lists where they belong", () => {
  expect(isControl(control.hello, [1, 2, 3, 4])).toBe(true);
  expect(isControl(control.primed, [1, 2, 3, 4, [], []])).toBe(true);
  expect(isControl(control.ask, [])).toBe(true);
  expect(isControl(control.hello, [1, 2, "3", 4])).toBe(false);
  expect(isControl(control.primed, [1, 2, 3, 4, []])).toBe(false);
  expect(isControl(control.letters, [7])).toBe(false);
  expect(isControl(1_000_900, [])).toBe(false);
});

function raise(error: Error): never {
  throw error;
}
