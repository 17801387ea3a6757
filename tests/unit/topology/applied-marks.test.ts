// Guards against an event that is applied twice because its mark was pruned, and against one that is taken for such and never applied.
import { expect, test } from "bun:test";
import { AppliedMarks } from "../../../src/topology/stream/applied-marks.ts";

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
