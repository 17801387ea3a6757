// A PState on its own behaves like one in a module: schema, paths, subindexed structures, failed transforms.
import { expect, test } from "bun:test";
import { Ops } from "../../../src/dataflow/ops.ts";
import { PState } from "../../../src/module/pstate-schema.ts";
import { Path } from "../../../src/paths/path.ts";
import { TestPState } from "../../../src/testing/test-pstate.ts";
import { codeOf } from "../../fake-engine.ts";

test("transforms are read back by path", async () => {
  await using counts = TestPState.create(PState.mapSchema(String, Number));
  await counts.transform(Path.key("a").nullToVal(0).term(Ops.PLUS, 2));
  await counts.transform(Path.key("a").nullToVal(0).term(Ops.INC));
  expect(await counts.selectOne(Path.key("a"))).toBe(3);
  expect(await counts.selectOne(Path.key("b"))).toBe(null);
  expect(await counts.select(Path.mapVals())).toEqual([3]);
});

test("subindexed structures are read by range", async () => {
  await using posts = TestPState.create(PState.mapSchema(String, PState.mapSchema(Number, String).subindexed()));
  for (let n = 0; n < 50; n++) await posts.transform(Path.key("ann", n).termVal(`post ${n}`));
  expect(await posts.select(Path.key("ann").sortedMapRange(3, 5).mapVals())).toEqual(["post 3", "post 4"]);
  expect(await posts.selectOne(Path.key("ann").view(Ops.SIZE))).toBe(50);
});

test("what the schema does not take changes nothing", async () => {
  await using counts = TestPState.create(PState.mapSchema(String, Number));
  await counts.transform(Path.key("a").termVal(1));
  expect(await codeOf(counts.transform(Path.key("a").termVal("text")))).toBe("SCHEMA_MISMATCH");
  expect(await counts.selectOne(Path.key("a"))).toBe(1);
  expect(await codeOf(counts.selectOne(Path.mapVals().filterGreaterThan(5)))).toBe("NOT_EXACTLY_ONE");
});

test("a leaf at the top holds one value", async () => {
  await using total = TestPState.create(Number);
  await total.transform(Path.termVal(7));
  expect(await total.selectOne(Path.stay())).toBe(7);
});
