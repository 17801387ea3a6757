// Compiled paths over stored structures: creating, changing and removing through levels. A fault here loses what a topology wrote.
import { expect, test } from "bun:test";
import type { SchemaNode } from "../../../src/module/schema.ts";
import { Path } from "../../../src/paths/path.ts";
import { compileSelect, compileTransform } from "../../../src/paths/compile.ts";
import { asData } from "../../../src/paths/spec.ts";
import { TestPStateBacking } from "../../../src/pstate/test-backing.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";
import { fixed, leaf, list, map, set, sub } from "./one-partition.ts";
async function open(schema: SchemaNode) {
  const b = new TestPStateBacking({ kv: await memoryKv().open("x"), schema });
  return {
    t: async (p: Path) => {
      const c = compileTransform(asData(p.steps), { schema });
      await b.transform((root, s) => {
        const x = root.get();
        const y = c(x, [], s);
        if (y !== x) root.set(y);
      });
    },
    s: async (p: Path) => {
      const c = compileSelect(asData(p.steps), { schema });
      return b.read((root, s) => c(root.get(), [], s));
    },
  };
}
test("paths create, change, range over and remove structures inside a fixed value", async () => {
  const q = await open(
    map(
      String,
      fixed({
        name: leaf(String),
        posts: map(Number, leaf(String), sub),
        tags: set(String, sub),
        log: list(leaf(Number), sub),
      }),
    ),
  );
  await q.t(Path.key("u").key("posts").key(5).termVal("five"));
  await q.t(Path.key("u").key("posts").key(7).termVal("seven"));
  await q.t(Path.key("u").key("name").termVal("n"));
  await q.t(Path.key("u").key("tags").voidSetElem().termVal("t1"));
  await q.t(Path.key("u").key("tags").voidSetElem().termVal("t2"));
  await q.t(Path.key("u").key("log").afterElem().termVal(1));
  await q.t(Path.key("u").key("log").beforeElem().termVal(0));
  await q.t(Path.key("u").key("log").afterElem().termVal(2));
  await q.t(Path.key("u").key("log").first().termVoid());
  expect(await q.s(Path.key("u").key("posts").all())).toEqual([
    [5, "five"],
    [7, "seven"],
  ]);
  expect(await q.s(Path.key("u").key("tags").all())).toEqual(["t1", "t2"]);
  expect(await q.s(Path.key("u").key("log").all())).toEqual([1, 2]);
  expect(await q.s(Path.key("u").key("name"))).toEqual(["n"]);
  await q.t(Path.key("u").key("posts").sortedMapRangeFrom(6).mapKeys().termVoid());
  expect(await q.s(Path.key("u").key("posts").sortedMapRangeFromStart(9))).toEqual([new Map([[5, "five"]])]);
  await q.t(Path.key("u").key("tags").setElem("t1").termVoid());
  expect(await q.s(Path.key("u").key("tags").all())).toEqual(["t2"]);
  await q.t(Path.key("u").key("tags").termVoid());
  expect(await q.s(Path.key("u").key("tags").all())).toEqual([]);
  await q.t(Path.all().nth(1).key("name").termVal("m"));
  expect(await q.s(Path.key("u").key("name"))).toEqual(["m"]);
  expect(await q.s(Path.key("u").key("log").all())).toEqual([1, 2]);
  await expect(q.s(Path.key("u").key("log"))).rejects.toThrow();
  await q.t(Path.key("u").termVoid());
  expect(await q.s(Path.mapKeys())).toEqual([]);
});
