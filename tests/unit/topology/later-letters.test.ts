// Dead letters of a source that is not there yet are kept, flushed and handed over as if it were.
import { expect, test } from "bun:test";
import { ByteReader } from "../../../src/base/value-bytes.ts";
import { RamaError } from "../../../src/base/errors.ts";
import { DeadLetterBox, letterOf } from "../../../src/topology/dead-letters.ts";
import { LaterLetters } from "../../../src/topology/later-letters.ts";

const letter = (offset: number) =>
  letterOf(offset, Uint8Array.of(offset), new RamaError("USER_CODE_FAILED", "no"), 2, 1000);

function deltaOf(...offsets: number[]): ByteReader {
  const box = new DeadLetterBox(7, 3);
  for (const offset of offsets) box.put(letter(offset));
  return new ByteReader(box.takeDelta());
}

function opened(box: DeadLetterBox): number[] {
  box.begin();
  return box.list().map(({ offset }) => offset);
}

test("state and log are put together, flushed when the log told something, and handed to the source's box", () => {
  const later = new LaterLetters();
  const stored = new DeadLetterBox(7, 3);
  stored.applyDelta(deltaOf(1, 2).bytes);
  later.load(7, 3, stored.encode());
  expect(later.takeChanged()).toEqual([]);
  later.replay(7, 3, deltaOf(5));
  const [flushed] = later.takeChanged();
  expect([flushed!.sourceId, flushed!.task]).toEqual([7, 3]);
  const again = new DeadLetterBox(7, 3);
  again.load(flushed!.state);
  expect(opened(again)).toEqual([1, 2, 5]);
  expect(later.takeChanged()).toEqual([]);
  later.lost();
  const own = new DeadLetterBox(7, 3);
  later.hand(own);
  expect(own.dirty).toBe(true);
  expect(opened(own)).toEqual([1, 2, 5]);
  expect(later.takeChanged()).toEqual([]);
  const other = new DeadLetterBox(7, 4);
  later.hand(other);
  expect(opened(other)).toEqual([]);
});
