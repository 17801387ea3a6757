// language.md 22 in microbatch topologies.
import { expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, Ops, Path, PState, SubSource } from "rama";
import {
  KeyToFixedItemsPStateGroup,
  KeyToLinkedEntitySetPStateGroup,
  KeyToUniqueFixedItemsPStateGroup,
  ModuleUniqueIdPState,
  TopologyScheduler,
} from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { moduleOf } from "./observed.ts";

const newest = Number.MAX_SAFE_INTEGER;

test("ids are unique over all tasks and microbatches", async () => {
  const ids = new ModuleUniqueIdPState("$$id");
  const module = moduleOf("Ids", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    const mb = topologies.microbatch("mb");
    ids.declarePState(mb);
    mb.pstate("$$ids", PState.mapSchema(Number, BigInt));
    mb.source("*d")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*n")
      .macro(ids.genId("*id"))
      .hashPartition("*n")
      .localTransform("$$ids", Path.key("*n").termVal("*id"));
  });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(module, { tasks: 4, threads: 2 });
  await Promise.all(Array.from({ length: 50 }, (_, n) => handle.depot("*d").append(n)));
  await handle.waitForProcessed("mb", 50);
  const found = new Set<unknown>();
  for (let n = 0; n < 50; n++) found.add(await handle.pstate("$$ids").selectOne(Path.key(n)));
  expect(found.size).toBe(50);
});

test("due items are handled once, all of them, and are gone with the microbatch; code may hook into the block", async () => {
  const timers = new TopologyScheduler("$$timers");
  const module = moduleOf("Timers", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.declareTickDepot("*tick", 1000);
    const mb = topologies.microbatch("mb");
    timers.declarePStates(mb);
    mb.pstate("$$done", PState.mapSchema(String, Number));
    mb.pstate("$$even", Number).global().initialValue(0);
    mb.source("*d")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ at: "*at", text: "*text" })
      .macro(timers.scheduleItem("*at", "*text"));
    mb.source("*tick")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .macro(
        timers.handleExpirations(
          "*text",
          "*now",
          Block.anchor("due")
            .keepTrue(true)
            .hashPartition("*text")
            .compoundAgg("$$done", CompoundAgg.map("*text", Agg.count())),
        ),
      )
      .hook("due")
      .globalPartition()
      .agg("$$even", Agg.count());
  });
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 4, threads: 2 });
  const texts = Array.from({ length: 30 }, (_, i) => `text ${i}`);
  await Promise.all(texts.map((text, i) => handle.depot("*d").append({ at: i < 20 ? 5 : 50, text })));
  await handle.waitForProcessed("mb", 30);
  const done = () => Promise.all(texts.map((text) => handle.pstate("$$done").selectOne(Path.key(text))));
  const hooked = () => handle.pstate("$$even").selectOne(Path.stay());
  await ipc.advanceTime(5);
  await ipc.tick("Timers", "*tick");
  await handle.waitForProcessed("mb", 31);
  expect(await done()).toEqual(texts.map((_, i) => (i < 20 ? 1 : null)));
  expect(await hooked()).toBe(20);
  await ipc.tick("Timers", "*tick");
  await handle.waitForProcessed("mb", 32);
  expect(await done()).toEqual(texts.map((_, i) => (i < 20 ? 1 : null)));
  await ipc.advanceTime(100);
  await ipc.tick("Timers", "*tick");
  await handle.waitForProcessed("mb", 33);
  expect(await done()).toEqual(texts.map(() => 1));
  expect(await hooked()).toBe(30);
});

test("what a block schedules for at once is handled by the next tick, not lost", async () => {
  const timers = new TopologyScheduler("$$timers");
  const module = moduleOf("Again", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.declareTickDepot("*tick", 1000);
    const mb = topologies.microbatch("mb");
    timers.declarePStates(mb);
    mb.pstate("$$n", Number).global().initialValue(0);
    mb.source("*d").out("*mb").explodeMicrobatch("*mb").out("*n").macro(timers.scheduleItem(0, "*n"));
    mb.source("*tick")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .macro(
        timers.handleExpirations(
          "*n",
          "*now",
          Block.macro(timers.scheduleItem("*now", "*n")).globalPartition().agg("$$n", Agg.count()),
        ),
      );
  });
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 1 });
  await handle.depot("*d").append(1);
  await handle.waitForProcessed("mb", 1);
  for (let tick = 1; tick <= 3; tick++) {
    await ipc.tick("Again", "*tick");
    await handle.waitForProcessed("mb", 1 + tick);
    expect(await handle.pstate("$$n").selectOne(Path.stay())).toBe(tick);
  }
});

test("collections by key: fixed items, unique ones, linked sets", async () => {
  const latest = new KeyToFixedItemsPStateGroup("$$latest", 3, String, Number).clearBatchSize(2);
  const recent = new KeyToUniqueFixedItemsPStateGroup("$$recent", 3, String, Number);
  const linked = new KeyToLinkedEntitySetPStateGroup("$$linked", String, Number);
  const module = moduleOf("Collections", (setup, topologies) => {
    setup.declareDepot("*d", Depot.hashBy("key"));
    const mb = topologies.microbatch("mb");
    for (const group of [latest, recent, linked]) group.declarePStates(mb);
    mb.pstate("$$ends", PState.mapSchema(String, Number));
    mb.source("*d")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*c", { key: "*key", n: "*n" })
      .subSource(
        "*c",
        SubSource.create({ do: "add" })
          .macro(latest.addItem("*key", "*n"))
          .macro(recent.addItem("*key", "*n"))
          .macro(linked.addToLinkedSet("*key", "*n")),
        SubSource.create({ do: "remove" })
          .macro(latest.removeItemById("*key", newest - 4))
          .macro(recent.removeItem("*key", "*n"))
          .macro(linked.removeFromLinkedSet("*key", "*n")),
        SubSource.create({ do: "clear" }).macro(latest.clearItems("*key")).macro(recent.clearItems("*key")),
      )
      .compoundAgg("$$ends", CompoundAgg.map("*key", Agg.count()));
  });
  await using ipc = await InProcessCluster.create();
  const handle = await ipc.launchModule(module, { tasks: 4, threads: 2 });
  const depot = handle.depot("*d");
  const values = (pstate: string, key: string) => handle.pstate(pstate).select(Path.key(key).mapVals());
  for (const n of [1, 2, 3, 2, 4]) await depot.append({ do: "add", key: "a", n });
  await handle.waitForProcessed("mb", 5);
  expect(await values("$$latest", "a")).toEqual([4, 2, 3]);
  expect(await values("$$recent", "a")).toEqual([4, 2, 3]);
  expect(await values("$$linkedById", "a")).toEqual([1, 3, 2, 4]);
  await depot.append({ do: "remove", key: "a", n: 4 });
  await handle.waitForProcessed("mb", 6);
  expect(await values("$$latest", "a")).toEqual([2, 3]);
  expect(await values("$$recent", "a")).toEqual([2, 3]);
  expect(await handle.pstate("$$linked").selectOne(Path.key("a").view(Ops.SIZE))).toBe(3);
  await depot.append({ do: "clear", key: "a" });
  await handle.waitForProcessed("mb", 7);
  expect([await values("$$latest", "a"), await values("$$recent", "a")]).toEqual([[], []]);
  expect(await handle.pstate("$$ends").selectOne(Path.key("a"))).toBe(7);
});
