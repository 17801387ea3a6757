// Object ids of PStates. A fault here gives a PState the data of another.
import { expect, test } from "bun:test";
import { openPStateCatalogue } from "../../../src/pstate/pstate-catalogue.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";

test("a name keeps its id over openings, and an id is never given again", async () => {
  const kv = await memoryKv().open("store");
  const first = await openPStateCatalogue(kv);
  expect([...(await first.ensure(["$$a", "$$b"]))]).toEqual([
    ["$$a", 1],
    ["$$b", 2],
  ]);
  expect(await first.beginRemoval("$$b")).toBe(2);
  expect(await first.beginRemoval("$$none")).toBeUndefined();
  const second = await openPStateCatalogue(kv);
  expect(second.removing).toEqual([2]);
  expect([...(await second.ensure(["$$b", "$$a"]))]).toEqual([
    ["$$b", 3],
    ["$$a", 1],
  ]);
  await second.endRemoval(2);
  const third = await openPStateCatalogue(kv);
  expect([third.removing, [...third.objects]]).toEqual([
    [],
    [
      ["$$a", 1],
      ["$$b", 3],
    ],
  ]);
});
