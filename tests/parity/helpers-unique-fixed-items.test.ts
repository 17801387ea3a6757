// language.md 22.3: KeyToUniqueFixedItemsPStateGroup.
import { expect, test } from "bun:test";
import { Depot, Path, SubSource } from "rama";
import { KeyToUniqueFixedItemsPStateGroup } from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { moduleOf } from "./observed.ts";

const newest = Number.MAX_SAFE_INTEGER;

async function launched(ipc: InProcessCluster, group: KeyToUniqueFixedItemsPStateGroup) {
  const module = moduleOf("Recent", (setup, topologies) => {
    setup.declareDepot("*commands", Depot.hashBy("key"));
    const s = topologies.stream("s");
    group.declarePStates(s);
    s.source("*commands")
      .out("*c", { key: "*key", arg: "*arg" })
      .subSource(
        "*c",
        SubSource.create({ do: "add" }).macro(group.addItem("*key", "*arg")),
        SubSource.create({ do: "remove" }).macro(group.removeItem("*key", "*arg")),
        SubSource.create({ do: "removeById" }).macro(group.removeItemById("*key", "*arg")),
        SubSource.create({ do: "removeByEntity" }).macro(group.removeItemByEntityId("*key", "*arg")),
        SubSource.create({ do: "clear" }).macro(group.clearItems("*key")),
        SubSource.create({ do: "removeKey" }).macro(group.removeKey("*key")),
      )
      .ackReturn("*key");
  });
  const handle = await ipc.launchModule(module, { tasks: 4, threads: 2 });
  const depot = handle.depot("*commands");
  return {
    run: async (what: string, key: string, ...args: unknown[]) => {
      for (const arg of args.length === 0 ? [null] : args) {
        expect(await depot.append({ do: what, key, arg })).toEqual({ s: key } as never);
      }
    },
    items: (key: string) => handle.pstate("$$p").select(Path.key(key).mapVals()),
    ids: (key: string) => handle.pstate("$$p").select(Path.key(key).mapKeys()),
    reverse: async (key: string) =>
      Object.fromEntries((await handle.pstate("$$pReverse").select(Path.key(key).all())) as [string, number][]),
  };
}

const plain = () => new KeyToUniqueFixedItemsPStateGroup("$$p", 3, String, String);

test("an item that is added again moves to the newest place", async () => {
  await using ipc = await InProcessCluster.create();
  const { run, items, ids, reverse } = await launched(ipc, plain());
  await run("add", "a", "x", "y", "z", "x");
  expect(await items("a")).toEqual(["x", "z", "y"]);
  expect(await ids("a")).toEqual([newest - 3, newest - 2, newest - 1]);
  expect(await reverse("a")).toEqual({ x: newest - 3, z: newest - 2, y: newest - 1 });
});

test("the oldest beyond the maximum goes, from the reverse index too", async () => {
  await using ipc = await InProcessCluster.create();
  const { run, items, reverse } = await launched(ipc, plain());
  await run("add", "a", "v", "w", "x", "y", "z");
  expect(await items("a")).toEqual(["z", "y", "x"]);
  expect(Object.keys(await reverse("a")).sort()).toEqual(["x", "y", "z"]);
  await run("add", "a", "v");
  expect(await items("a")).toEqual(["v", "z", "y"]);
});

test("items are removed by themselves, by id and by entity id; what is not there is no error", async () => {
  await using ipc = await InProcessCluster.create();
  const group = new KeyToUniqueFixedItemsPStateGroup("$$p", 10, String, Object).entityIdFunction(
    String,
    (page) => page.name,
  );
  const { run, items, reverse } = await launched(ipc, group);
  const page = (name: string, n: number) => ({ name, n });
  await run("add", "a", page("p", 1), page("q", 1), page("r", 1), page("s", 1), page("p", 2));
  expect(await items("a")).toEqual([page("p", 2), page("s", 1), page("r", 1), page("q", 1)]);
  await run("remove", "a", page("q", 99), page("unknown", 1));
  await run("removeByEntity", "a", "r", "unknown");
  await run("removeById", "a", newest - 3, newest - 3, 4);
  await run("removeById", "nobody", 4);
  expect(await items("a")).toEqual([page("p", 2)]);
  expect(await reverse("a")).toEqual({ p: newest - 4 });
});

test("clearItems and removeKey leave nothing in the reverse index", async () => {
  await using ipc = await InProcessCluster.create();
  const group = new KeyToUniqueFixedItemsPStateGroup("$$p", 100, String, String).clearBatchSize(4);
  const { run, items, ids, reverse } = await launched(ipc, group);
  await run("add", "a", ...Array.from({ length: 10 }, (_, i) => `item ${i}`));
  await run("clear", "a");
  expect([await items("a"), await reverse("a")]).toEqual([[], {}]);
  await run("add", "a", "item 3", "item 4");
  expect(await items("a")).toEqual(["item 4", "item 3"]);
  expect(await ids("a")).toEqual([newest - 11, newest - 10]);
  await run("removeKey", "a");
  expect([await items("a"), await reverse("a")]).toEqual([[], {}]);
  await run("add", "a", "item 3");
  expect(await ids("a")).toEqual([newest]);
});

test("a list of items that was longer is cut when the maximum is smaller now", async () => {
  // Both groups over the same PStates: what a new version of the module would see.
  const wide = new KeyToUniqueFixedItemsPStateGroup("$$p", 50, String, Number).clearBatchSize(3);
  const narrow = new KeyToUniqueFixedItemsPStateGroup("$$p", 2, String, Number).clearBatchSize(3);
  const module = moduleOf("Cut", (setup, topologies) => {
    setup.declareDepot("*wide", Depot.random());
    setup.declareDepot("*narrow", Depot.random());
    const s = topologies.stream("s");
    wide.declarePStates(s);
    s.source("*wide").out("*n").macro(wide.addItem("a", "*n"));
    s.source("*narrow").out("*n").macro(narrow.addItem("a", "*n")).ackReturn("*n");
  });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(module, { tasks: 1 });
  for (let n = 0; n < 20; n++) await handle.depot("*wide").append(n);
  expect(await handle.depot("*narrow").append(20)).toEqual({ s: 20 } as never);
  expect(await handle.pstate("$$p").select(Path.key("a").mapVals())).toEqual([20, 19]);
  expect(await handle.pstate("$$pReverse").select(Path.key("a").mapKeys())).toEqual([19, 20]);
});
