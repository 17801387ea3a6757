// Guards the bytes between replicas: a chunk must be found, cut and read at any entry.
import { expect, test } from "bun:test";
import { eachEntry, ReplogTail } from "../../../src/replication/replog-tail.ts";

const text = (value: string) => new TextEncoder().encode(value);

function read(tail: ReplogTail, offset: number): string[] {
  const chunk = tail.at(offset);
  if (chunk === undefined) return [];
  const found: string[] = [];
  const whole = eachEntry(chunk.bytes, chunk.to - chunk.from, ({ kind, epoch, payload }) =>
    found.push(`${kind}/${epoch}/${new TextDecoder().decode(payload)}`),
  );
  expect(whole).toBe(true);
  return found;
}

function filled(): ReplogTail {
  const tail = new ReplogTail(10);
  tail.append(1, 5, [text("a"), text("bc")]);
  tail.append(2, 5, []);
  tail.seal();
  tail.append(1, 6, [text("d")]);
  tail.seal();
  return tail;
}

test("sealed entries are found from any offset on, chunk by chunk", () => {
  const tail = filled();
  expect(read(tail, 10)).toEqual(["1/5/abc", "2/5/"]);
  expect(read(tail, 11)).toEqual(["2/5/"]);
  expect(read(tail, 12)).toEqual(["1/6/d"]);
  expect([tail.at(9), tail.at(13)]).toEqual([undefined, undefined]);
});

test("what is not sealed cannot be sent", () => {
  const tail = new ReplogTail(0);
  tail.append(1, 1, [text("x")]);
  expect(tail.at(0)).toBeUndefined();
});

test("a cut within a chunk leaves what stands before it", () => {
  const tail = filled();
  tail.truncate(11);
  expect(read(tail, 10)).toEqual(["1/5/abc"]);
  expect(tail.end).toBe(11);
  tail.append(3, 7, [text("z")]);
  tail.seal();
  expect(read(tail, 11)).toEqual(["3/7/z"]);
});

test("bytes that are not whole entries are told", () => {
  expect(eachEntry(Uint8Array.of(1, 2), 1, () => {})).toBe(false);
});
