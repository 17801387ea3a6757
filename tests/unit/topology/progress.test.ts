// Guards what recovery starts from: no record lost, none that succeeded run again, through any sequence of starts, ends, rewinds and crashes.
import { expect, test } from "bun:test";
import { ByteReader, ByteWriter } from "../../../src/base/value-bytes.ts";
import {
  applyDelta,
  decodeState,
  encodeState,
  processedCount,
  SourceProgress,
  startState,
} from "../../../src/topology/stream/progress.ts";

function delta(progress: SourceProgress): Uint8Array | undefined {
  const writer = new ByteWriter(64);
  return progress.takeDelta(writer) ? writer.take() : undefined;
}

test("a record that opened and closed between two deltas leaves no trace but next", () => {
  const progress = new SourceProgress(startState(10));
  progress.started(3);
  progress.opened(11);
  progress.closed(11);
  expect([...delta(progress)!]).toEqual([13, 13, 0, 0]);
  expect(delta(progress)).toBeUndefined();
});

test("deltas bring the durable state to the live one, whatever happens", () => {
  for (let seed = 1; seed <= 100; seed++) {
    let state = seed;
    const random = (n: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % n;
    };
    const progress = new SourceProgress(startState(5));
    const durable = startState(5);
    for (let step = 0; step < 200; step++) {
      const { live } = progress;
      const kind = random(10);
      if (kind < 4) {
        progress.started(1);
        if (random(2) === 0) progress.opened(live.next - 1);
      } else if (kind < 7 && live.open.size > 0) progress.closed([...live.open][random(live.open.size)]!);
      else if (kind === 7 && live.next > 5) progress.rewind(live.next - 1 - random(Math.min(4, live.next - 5)));
      else if (kind > 7) {
        const bytes = delta(progress);
        if (bytes !== undefined) applyDelta(durable, new ByteReader(bytes));
        expect({ ...durable, open: [...durable.open].sort() }).toEqual({ ...live, open: [...live.open].sort() });
        expect(decodeState(encodeState(durable))).toEqual({
          ...durable,
          open: new Set([...durable.open].sort((a, b) => a - b)),
        });
      }
    }
  }
});

test("processed counts records that are through, each once", () => {
  const progress = new SourceProgress(startState(100));
  progress.started(5);
  progress.opened(102);
  expect(processedCount(progress.live)).toBe(4);
  progress.closed(102);
  expect(processedCount(progress.live)).toBe(5);
});

test("a state of another version is refused", () => {
  const bytes = encodeState(startState(0));
  bytes[0] = 99;
  expect(() => decodeState(bytes)).toThrow("version 99");
});
