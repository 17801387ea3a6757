// Guards the count of records whose user code never returned: three times the same one pauses its topology, others do not.
import { expect, test } from "bun:test";
import { StuckRecords } from "../../../src/roles/worker/stuck-records.ts";
import { MemoryWorld } from "../../../src/testing/platform-memory.ts";

const record = { topology: "work", line: "app.ts:7", depot: "*events", partition: 1, offset: 5 };

function records() {
  const { disk } = new MemoryWorld().platform("node");
  disk.mkdir("/w");
  return () => new StuckRecords(disk, "/w");
}

test("the third time that the same record does not return its topology is paused, over restarts", () => {
  const open = records();
  expect(open().note(record)).toBe(1);
  expect(open().note({ ...record, offset: 6 })).toBe(1);
  expect(open().note(record)).toBe(2);
  expect(open().paused).toEqual({});
  expect(open().note(record)).toBe(3);
  expect(open().paused).toEqual({
    work: "work at app.ts:7: *events partition 1 offset 5 did not return, 3 times",
  });
});

test("resuming forgets the topology's records", () => {
  const open = records();
  for (let i = 0; i < 3; i++) open().note(record);
  open().forget("work");
  expect(open().paused).toEqual({});
  expect(open().note(record)).toBe(1);
});

test("code without a record, such as a query's, pauses nothing", () => {
  const open = records();
  const { depot: _, ...query } = record;
  for (let i = 0; i < 5; i++) open().note(query);
  expect(open().paused).toEqual({});
});
