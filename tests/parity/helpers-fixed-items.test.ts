// language.md 22.3: KeyToFixedItemsPStateGroup.
import { expect, test } from "bun:test";
import { Depot, Ops, Path, SubSource } from "rama";
import { KeyToFixedItemsPStateGroup } from "rama/helpers";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { moduleOf } from "./observed.ts";

const newest = Number.MAX_SAFE_INTEGER;

const moduleWith = (group: KeyToFixedItemsPStateGroup) =>
  moduleOf("Latest", (setup, topologies) => {
    setup.declareDepot("*commands", Depot.hashBy("key"));
    const s = topologies.stream("s");
    group.declarePStates(s);
    s.source("*commands")
      .out("*c", { key: "*key", item: "*item", id: "*id" })
      .subSource(
        "*c",
        SubSource.create({ do: "add" }).macro(group.addItem("*key", "*item")),
        SubSource.create({ do: "remove" }).macro(group.removeItemById("*key", "*id")),
        SubSource.create({ do: "clear" }).macro(group.clearItems("*key")),
        SubSource.create({ do: "removeKey" }).macro(group.removeKey("*key")),
      )
      .ackReturn("*key");
  });

async function launched(ipc: InProcessCluster, group = new KeyToFixedItemsPStateGroup("$$p", 3, String, String)) {
  const handle = await ipc.launchModule(moduleWith(group), { tasks: 4, threads: 2 });
  return actions(handle);
}

function actions(handle: LaunchedModule) {
  const depot = handle.depot("*commands");
  const p = handle.pstate("$$p");
  return {
    add: async (key: string, ...items: string[]) => {
      for (const item of items) await depot.append({ do: "add", key, item });
    },
    remove: (key: string, id: unknown) => depot.append({ do: "remove", key, id }),
    clear: (key: string) => depot.append({ do: "clear", key }),
    removeKey: (key: string) => depot.append({ do: "removeKey", key }),
    items: (key: string) => p.select(Path.key(key).mapVals()),
    ids: (key: string) => p.select(Path.key(key).mapKeys()),
    p,
  };
}

test("items of a key come newest first, with ids that descend from 2^53 - 1", async () => {
  await using ipc = await InProcessCluster.create();
  const { add, items, ids } = await launched(ipc);
  await add("a", "one", "two");
  await add("b", "other");
  expect(await items("a")).toEqual(["two", "one"]);
  expect(await ids("a")).toEqual([newest - 1, newest]);
  expect(await ids("b")).toEqual([newest]);
});

test("the oldest item goes when there are more than the maximum; equal items are different items", async () => {
  await using ipc = await InProcessCluster.create();
  const { add, items, ids } = await launched(ipc);
  await add("a", "one", "two", "two", "three", "four");
  expect(await items("a")).toEqual(["four", "three", "two"]);
  expect(await ids("a")).toEqual([newest - 4, newest - 3, newest - 2]);
});

test("an item is removed by its id, a number or a bigint, and makes room for another", async () => {
  await using ipc = await InProcessCluster.create();
  const { add, remove, items } = await launched(ipc);
  await add("a", "one", "two", "three");
  await remove("a", newest - 1);
  await remove("a", 17);
  await remove("nobody", newest);
  expect(await items("a")).toEqual(["three", "one"]);
  await add("a", "four");
  expect(await items("a")).toEqual(["four", "three", "one"]);
  await remove("a", BigInt(newest));
  expect(await items("a")).toEqual(["four", "three"]);
});

test("clearItems removes all in batches and ids go on; removeKey forgets them", async () => {
  await using ipc = await InProcessCluster.create();
  const group = new KeyToFixedItemsPStateGroup("$$p", 100, String, String).clearBatchSize(5);
  const { add, clear, removeKey, items, ids, p } = await launched(ipc, group);
  const names = Array.from({ length: 23 }, (_, i) => `item ${i}`);
  await add("a", ...names);
  await add("b", "stays");
  await clear("a");
  expect(await items("a")).toEqual([]);
  expect(await p.selectOne(Path.key("a").view(Ops.SIZE))).toBe(0);
  await add("a", "again");
  expect(await ids("a")).toEqual([newest - 23]);
  await removeKey("a");
  expect(await p.selectOne(Path.key("a"))).toBeNull();
  await add("a", "new");
  expect(await ids("a")).toEqual([newest]);
  expect(await items("b")).toEqual(["stays"]);
});

test("clearing and removing a key that never was does nothing, and each block ends exactly once", async () => {
  await using ipc = await InProcessCluster.create();
  const { clear, removeKey, items, add } = await launched(ipc);
  expect(await clear("nobody")).toEqual({ s: "nobody" } as never);
  expect(await removeKey("nobody")).toEqual({ s: "nobody" } as never);
  expect(await items("nobody")).toEqual([]);
  await add("nobody", "one");
  expect(await items("nobody")).toEqual(["one"]);
});

test("a maximum or batch size that is none is refused", () => {
  expect(() => new KeyToFixedItemsPStateGroup("$$p", 0, String, String)).toThrow("maximum");
  expect(() => new KeyToFixedItemsPStateGroup("$$p", 3, String, String).clearBatchSize(1.5)).toThrow("clearBatchSize");
});
