// language.md 22.3: KeyToLinkedEntitySetPStateGroup.
import { expect, test } from "bun:test";
import { Depot, Ops, Path, SubSource } from "rama";
import { KeyToLinkedEntitySetPStateGroup } from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { moduleOf } from "./observed.ts";

async function launched(ipc: InProcessCluster, group: KeyToLinkedEntitySetPStateGroup, tasks = 4) {
  const module = moduleOf("Linked", (setup, topologies) => {
    setup.declareDepot("*commands", Depot.hashBy("key"));
    const s = topologies.stream("s");
    group.declarePStates(s);
    s.source("*commands")
      .out("*c", { key: "*key", arg: "*arg" })
      .subSource(
        "*c",
        SubSource.create({ do: "add" }).macro(group.addToLinkedSet("*key", "*arg")),
        SubSource.create({ do: "remove" }).macro(group.removeFromLinkedSet("*key", "*arg")),
        SubSource.create({ do: "removeById" }).macro(group.removeFromLinkedSetByEntityId("*key", "*arg")),
        SubSource.create({ do: "removeKey" }).macro(group.removeKey("*key")),
        SubSource.create({ do: "exists" }).macro(group.filterKeyExists("*key")),
      )
      .ackReturn("*key");
  });
  const handle = await ipc.launchModule(module, { tasks });
  const depot = handle.depot("*commands");
  return {
    run: async (what: string, key: string, ...args: unknown[]) => {
      for (const arg of args.length === 0 ? [null] : args) {
        expect(await depot.append({ do: what, key, arg })).toEqual({ s: key } as never);
      }
    },
    exists: async (key: string) => "s" in (await depot.append({ do: "exists", key, arg: null })),
    ordered: (key: string) => handle.pstate("$$pById").select(Path.key(key).mapVals()),
    orderedIds: (key: string) => handle.pstate("$$pById").select(Path.key(key).mapKeys()),
    size: (key: string) => handle.pstate("$$p").selectOne(Path.key(key).view(Ops.SIZE)),
    idOf: (key: string, entity: unknown) => handle.pstate("$$p").selectOne(Path.key(key, entity)),
  };
}

const plain = () => new KeyToLinkedEntitySetPStateGroup("$$p", String, String);

test("entities are kept in the order in which they came, each once", async () => {
  await using ipc = await InProcessCluster.create();
  const { run, ordered, size, idOf } = await launched(ipc, plain());
  await run("add", "a", "x", "y", "z", "x");
  expect(await ordered("a")).toEqual(["y", "z", "x"]);
  expect(await size("a")).toBe(3);
  expect(await idOf("a", "x")).toBeGreaterThan(await idOf("a", "z"));
  expect(await idOf("a", "unknown")).toBeNull();
});

test("ids count up from 0 and are never used twice; descending ones go down from 2^53 - 1", async () => {
  await using ipc = await InProcessCluster.create();
  const up = await launched(ipc, plain(), 1);
  await up.run("add", "a", "x", "y");
  await up.run("remove", "a", "y");
  await up.run("add", "b", "y");
  expect([await up.orderedIds("a"), await up.orderedIds("b")]).toEqual([[0], [2]]);
  await using other = await InProcessCluster.create();
  const down = await launched(other, plain().descending(), 1);
  await down.run("add", "a", "x", "y");
  expect(await down.ordered("a")).toEqual(["y", "x"]);
  expect(await down.orderedIds("a")).toEqual([2 ** 53 - 2, 2 ** 53 - 1]);
});

test("an own identity: adding replaces the entity, removing takes an entity or its id", async () => {
  const group = new KeyToLinkedEntitySetPStateGroup("$$p", String, Object).entityIdFunction(String, (e) => e.name);
  await using ipc = await InProcessCluster.create();
  const { run, ordered, size } = await launched(ipc, group);
  const entity = (name: string, n: number) => ({ name, n });
  await run("add", "a", entity("p", 1), entity("q", 1), entity("r", 1), entity("p", 2));
  expect(await ordered("a")).toEqual([entity("q", 1), entity("r", 1), entity("p", 2)]);
  await run("remove", "a", entity("q", 7), entity("unknown", 7));
  await run("removeById", "a", "r", "unknown");
  expect(await ordered("a")).toEqual([entity("p", 2)]);
  expect(await size("a")).toBe(1);
});

test("filterKeyExists goes on for keys that have had an entity, until removeKey", async () => {
  await using ipc = await InProcessCluster.create();
  const { run, exists, ordered, size } = await launched(ipc, plain());
  expect(await exists("a")).toBe(false);
  await run("add", "a", "x");
  expect(await exists("a")).toBe(true);
  await run("remove", "a", "x");
  expect(await exists("a")).toBe(true);
  await run("add", "a", "x", "y");
  await run("removeKey", "a");
  expect(await exists("a")).toBe(false);
  expect([await ordered("a"), await size("a")]).toEqual([[], 0]);
});
