// Every JSON navigator by both of its names makes the path that a program would write.
import { expect, test } from "bun:test";
import { Ops } from "../../../src/dataflow/ops.ts";
import { pathOfJson } from "../../../src/paths/json-path.ts";
import { Path } from "../../../src/paths/path.ts";

const k = Path.key("k");
const cases: [string, unknown[], Path][] = [
  ["implicit key and number", ["k", 5], k.key(5)],
  ["implicit filter", ["k", Ops.IS_EVEN], k.filterPred(Ops.IS_EVEN)],
  ["all", [["key", "k"], ["ALL"]], k.all()],
  ["keypath", [["keypath", "k", "l"]], k.key("l")],
  ["must", ["k", ["must", 1]], k.must(1)],
  ["mapKeys", ["k", ["MAP-KEYS"]], k.mapKeys()],
  [
    "ranges",
    ["k", ["sorted-map-range", 1, 5, { "inclusive-start?": false, "inclusive-end?": true }]],
    k.sortedMapRange(1, 5, { excludeStart: true, includeEnd: true }),
  ],
  ["range from with amount", ["k", ["sortedMapRangeFrom", 1, 10]], k.sortedMapRangeFrom(1, 10)],
  [
    "range from with options",
    ["k", ["sortedMapRangeFrom", 1, { "max-amt": 3, "inclusive?": false }]],
    k.sortedMapRangeFrom(1, { maxAmt: 3, excludeStart: true }),
  ],
  ["range to", ["k", ["sortedSetRangeTo", 9, { "inclusive?": true }]], k.sortedSetRangeTo(9, { includeEnd: true })],
  ["submap", ["k", ["submap", "a", "b"]], k.subMap("a", "b")],
  ["filterer", ["k", ["filterer", ["pred>", 3]]], k.filteredList(Path.filterGreaterThan(3))],
  ["selected?", ["k", ["selected?", "a", ["pred=", 1]]], k.filterSelected(Path.key("a").filterEqual(1))],
  ["view with arguments", ["k", ["view", Ops.PLUS, 2]], k.view(Ops.PLUS, 2)],
  ["transformed", ["k", ["transformed", ["mapVals"], ["term", Ops.INC]]], k.transformed(Path.mapVals().term(Ops.INC))],
  [
    "ifPath",
    ["k", ["if-path", [["pred=", 1]], ["a"], ["b"]]],
    k.ifPath(Path.filterEqual(1), Path.key("a"), Path.key("b")),
  ],
  ["multiPath", ["k", ["multiPath", ["a"], ["b", ["all"]]]], k.multiPath(Path.key("a"), Path.key("b").all())],
  ["subselect", ["k", ["subselect", ["mapVals"]]], k.subselect(Path.mapVals())],
  ["withPageSize", ["k", ["withPageSize", 10, [["all"]]]], k.withPageSize(10, Path.all())],
  ["collect", ["k", ["collectOne", "a"], ["DISPENSE"]], k.collectOne(Path.key("a")).dispenseCollected()],
  ["nil->val", ["k", ["nil->val", 0]], k.nullToVal(0)],
];

test.each(cases)("%s", (_name, json, path) => {
  expect(pathOfJson(json).path.steps).toEqual(path.steps);
});

test("pkey stands first and is no navigator", () => {
  const { path, partitionKey } = pathOfJson([["pkey", null], ["all"]]);
  expect(partitionKey).toEqual({ value: null });
  expect(path.steps).toEqual(Path.all().steps);
});

test.each([
  [{}],
  [[["nosuch"]]],
  [[["mapKey"]]],
  [["a", ["pkey", 1]]],
  [[["view", 3]]],
  [[{ a: 1 }]],
  [["k", ["sortedMapRange", 1, 2, { x: 1 }]]],
])("%j is BAD_PATH", (json) => {
  expect(() => pathOfJson(json)).toThrow(expect.objectContaining({ code: "BAD_PATH" }));
});
