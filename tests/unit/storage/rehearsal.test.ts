// Rehearsing to open a store.
import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";
import { rehearseStore } from "../../../src/storage/rehearsal.ts";

test("a rehearsal leaves nothing behind, and is not disturbed by what an earlier one left", async () => {
  const disk = new MemoryDisk();
  const options = { env: systemEnv({ sink: () => {} }), disk, kv: memoryKv(), dir: "/w/rehearsal-0" };
  disk.mkdir("/w/rehearsal-0/log");
  await rehearseStore(options);
  expect(disk.list("/w")).toEqual([]);
  await rehearseStore(options);
  expect(disk.list("/w")).toEqual([]);
});
