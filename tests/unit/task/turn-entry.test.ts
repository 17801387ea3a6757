// Guards atomicity across the groups of an engine: a turn that was torn by a crash must leave nothing, in this recovery and in every later one.
import { expect, test } from "bun:test";
import {
  SECTION_PROGRESS,
  SECTION_WRITES,
  sectionsOf,
  TurnAssembler,
  TurnEntry,
  turnEnds,
  turnGoesOn,
  turnVoid,
} from "../../../src/task/turn-entry.ts";

function payload(entry: TurnEntry): Uint8Array {
  return Uint8Array.from(entry.parts.flatMap((part) => [...part]));
}

test("sections come back as they were added", () => {
  const entry = new TurnEntry();
  entry.add(SECTION_WRITES, Uint8Array.of(1, 2, 3), () => {});
  entry.add(SECTION_PROGRESS, new Uint8Array(0), () => {});
  expect([...payload(entry)]).toEqual([1, 1, 3, 0, 0, 0, 1, 2, 3, 2, 0, 0, 0, 0]);
  expect(sectionsOf(payload(entry))).toEqual([
    { kind: SECTION_WRITES, bytes: Uint8Array.of(1, 2, 3) },
    { kind: SECTION_PROGRESS, bytes: new Uint8Array(0) },
  ]);
});

test("a section longer than its entry is corruption", () => {
  expect(() => sectionsOf(Uint8Array.of(1, 1, 200, 0, 0, 0, 5))).toThrow("longer than its entry");
});

test("entries of a turn are given together when the last one has come", () => {
  const turns = new TurnAssembler<string>();
  expect(turns.push(turnEnds, "a")).toEqual(["a"]);
  expect(turns.push(turnGoesOn, "b")).toEqual([]);
  expect(turns.push(turnGoesOn, "c")).toEqual([]);
  expect(turns.open).toBe(2);
  expect(turns.push(turnEnds, "d")).toEqual(["b", "c", "d"]);
});

test("a torn turn is void once recovery has said so, also for later recoveries", () => {
  const turns = new TurnAssembler<string>();
  turns.push(turnGoesOn, "torn");
  expect(turns.push(turnVoid, "mark")).toEqual(["mark"]);
  expect(turns.push(turnEnds, "next")).toEqual(["next"]);
});
