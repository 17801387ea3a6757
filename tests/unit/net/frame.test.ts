// Frames survive any cutting of the stream, and a length that is too large is seen wherever its header is cut.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { FrameGatherer, FrameSplitter } from "../../../src/net/frame.ts";

test("what is gathered and cut anywhere comes out as it went in", () => {
  const frame = fc.uint8Array({ maxLength: 60 });
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 40 }),
      fc.array(fc.nat(50), { minLength: 1, maxLength: 30 }),
      (frames, cuts) => {
        const gatherer = new FrameGatherer();
        frames.forEach((one, i) => {
          if (i % 3 === 0) gatherer.addParts([one.subarray(0, 5), one.subarray(5)]);
          else gatherer.add(one);
        });
        const size = frames.reduce((sum, one) => sum + 4 + one.length, 0);
        expect(gatherer.bytes).toBe(size);
        const stream = new Uint8Array(Buffer.concat(gatherer.take()));
        expect([stream.length, gatherer.bytes]).toEqual([size, 0]);
        const got: Uint8Array[] = [];
        const splitter = new FrameSplitter(60, (one) => {
          got.push(one.slice());
          return true;
        });
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = Math.min(stream.length, at + cuts[i % cuts.length]! + (i % 2));
          expect(splitter.push(stream.slice(at, next))).toBeUndefined();
          at = next;
        }
        expect(got).toEqual(frames.map((one) => new Uint8Array(one)));
      },
    ),
  );
});

test("a frame above the limit is refused with its length, however its header is cut", () => {
  for (let cut = 0; cut <= 4; cut++) {
    const splitter = new FrameSplitter(10, () => true);
    const stream = new Uint8Array([1, 0, 0, 0, 9, 11, 0, 0, 0, 1]);
    const first = splitter.push(stream.slice(0, 5 + cut));
    expect(first ?? splitter.push(stream.slice(5 + cut))).toBe(11);
  }
});

test("after the receiver has said no, the rest of the stream is ignored", () => {
  const got: number[] = [];
  const splitter = new FrameSplitter(10, (frame) => got.push(frame[0]!) < 1);
  expect(splitter.push(new Uint8Array([1, 0, 0, 0, 7, 1, 0, 0, 0, 8]))).toBeUndefined();
  expect(got).toEqual([7]);
});
