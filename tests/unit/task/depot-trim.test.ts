// How far a depot partition may be trimmed.
import { expect, test } from "bun:test";
import { trimTo } from "../../../src/task/depot-trim.ts";

const partition = { startOffset: 10, endOffset: 200, entriesMax: 100, excessProportion: 0.25, neededFrom: undefined };

test.each([
  ["the newest and the excess stay", {}, 75],
  ["nothing goes while there are few", { endOffset: 130 }, 10],
  ["what is needed stays", { neededFrom: 40 }, 40],
  ["what is needed long ago holds everything", { neededFrom: 3 }, 10],
  ["a topology at the end holds nothing", { neededFrom: 200 }, 75],
  ["no excess", { excessProportion: 0 }, 100],
])("%s", (_, more, wanted) => {
  expect(trimTo({ ...partition, ...more })).toBe(wanted);
});
