import { expect, test } from "bun:test";
import { Gathering } from "../../../src/topology/microbatch/gathering.ts";

function busy(tookMs = 5): Gathering {
  const gathering = new Gathering();
  gathering.maxMs = 50;
  gathering.ended(5000, tookMs, 1000);
  return gathering;
}

test("the first microbatch, and one after a small one, begins at once", () => {
  const gathering = new Gathering();
  gathering.maxMs = 50;
  expect(gathering.waitsUntil(0, 1, false)).toBeUndefined();
  gathering.ended(100, 30, 1000);
  expect(gathering.waitsUntil(1000, 5000, false)).toBeUndefined();
});

test("after a big one records gather while they keep coming, eight times as long as it took", () => {
  const gathering = busy();
  let waiting = 0;
  for (let ms = 1000; ms < 1040; ms++) expect(gathering.waitsUntil(ms, ++waiting, false)).toBeGreaterThan(ms);
  expect(gathering.waitsUntil(1040, ++waiting, false)).toBeUndefined();
});

test("they gather no longer than the option says, and with 0 not at all", () => {
  const gathering = busy(1000);
  for (let ms = 1000; ms < 1050; ms++) expect(gathering.waitsUntil(ms, ms, false)).toBeDefined();
  expect(gathering.waitsUntil(1050, 2000, false)).toBeUndefined();
  gathering.maxMs = 0;
  gathering.ended(5000, 1000, 2000);
  expect(gathering.waitsUntil(2000, 1, false)).toBeUndefined();
});

test("the microbatch begins when no record has come for six milliseconds", () => {
  const gathering = busy();
  expect(gathering.waitsUntil(1000, 10, false)).toBe(1006);
  expect(gathering.waitsUntil(1001, 20, false)).toBe(1007);
  expect(gathering.waitsUntil(1006, 20, false)).toBe(1007);
  expect(gathering.waitsUntil(1007, 20, false)).toBeUndefined();
});

test("it begins when it could not take more", () => {
  expect(busy().waitsUntil(1001, 10_000, true)).toBeUndefined();
});
