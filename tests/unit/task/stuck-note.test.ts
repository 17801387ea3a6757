// Guards what the main thread reads when user code never returns.
import { expect, test } from "bun:test";
import { readStuckNote, StuckNote, stuckNoteBytes } from "../../../src/task/stuck-note.ts";

test("another thread sees the record and node that run", () => {
  const memory = new SharedArrayBuffer(stuckNoteBytes);
  const note = new StuckNote(memory);
  note.turnBegins();
  note.topology(2, 7);
  note.record(1, 2 ** 33 + 5);
  note.node = 12;
  const seen = readStuckNote(memory);
  const record = { depot: 1, partition: 7, offset: 2 ** 33 + 5 };
  expect(seen).toEqual({ turn: 1, running: true, topology: 2, node: 12, task: 7, ...record });
  note.record(1, 3, 4);
  expect(readStuckNote(memory)).toMatchObject({ task: 7, partition: 4, offset: 3 });
});

test("a turn that ends counts on and names nothing", () => {
  const memory = new SharedArrayBuffer(stuckNoteBytes);
  const note = new StuckNote(memory);
  note.turnBegins();
  note.topology(0, 0);
  note.turnEnds();
  note.turnBegins();
  note.turnEnds();
  const seen = readStuckNote(memory);
  expect(seen.running).toBe(false);
  expect(seen.turn).toBe(4);
  expect(seen.topology).toBeUndefined();
});
