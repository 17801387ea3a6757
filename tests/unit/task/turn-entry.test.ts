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

const part = (group: number, offset: number, payload: Uint8Array) => ({ group, offset, payload });
const notInKv = () => false;

test("an entry that is not the last waits for the one that it names", () => {
  const turns = new TurnAssembler();
  const [a, b, c] = [part(0, 5, turnGoesOn(2, 9)), part(1, 7, turnGoesOn(2, 9)), part(2, 9, turnEnds)];
  expect(turns.push(a)).toEqual([]);
  expect(turns.push(b)).toEqual([]);
  expect(turns.push(c)).toEqual([a, b, c]);
  expect(turns.end(notInKv)).toEqual({ whole: [], torn: [] });
});

test("a turn of one group counts at once", () => {
  const turns = new TurnAssembler();
  const only = part(0, 5, turnEnds);
  expect(turns.push(only)).toEqual([only]);
});

test("a torn turn is void once recovery has said so, although its last offset is given again", () => {
  const turns = new TurnAssembler();
  turns.push(part(0, 5, turnGoesOn(1, 9)));
  expect(turns.end(notInKv)).toEqual({ whole: [], torn: [0] });
  const mark = part(0, 6, turnVoid);
  const next = part(1, 9, turnEnds);
  expect(turns.push(mark)).toEqual([mark]);
  expect(turns.push(next)).toEqual([next]);
});

test("an entry whose last one is in the kv already counts, and so does one that others of its group follow", () => {
  const turns = new TurnAssembler();
  const a = part(0, 5, turnGoesOn(1, 9));
  turns.push(a);
  expect(turns.end((group, offset) => group === 1 && offset === 9)).toEqual({ whole: [a], torn: [] });
  const next = part(0, 6, turnEnds);
  expect(turns.push(next)).toEqual([a, next]);
});

test("sections stand behind the longer head too", () => {
  const entry = new TurnEntry();
  entry.add(SECTION_WRITES, Uint8Array.of(9), () => {});
  entry.parts[0] = turnGoesOn(1, 2);
  expect(sectionsOf(payload(entry))).toEqual([{ kind: SECTION_WRITES, bytes: Uint8Array.of(9) }]);
});
