// language.md 22.2: TopologyScheduler in stream topologies.
import { expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, Path, PState } from "rama";
import { TopologyScheduler } from "rama/helpers";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const reminders = (scheduler = new TopologyScheduler("$$timers"), fail?: () => boolean) =>
  moduleOf("Reminders", (setup, topologies) => {
    setup.declareDepot("*reminders", Depot.hashBy("text"));
    setup.declareTickDepot("*tick", 1000);
    const s = topologies.stream("s");
    scheduler.declarePStates(s);
    s.pstate("$$done", PState.mapSchema(String, PState.listSchema(Number)));
    s.source("*reminders").out({ at: "*at", text: "*text" }).macro(scheduler.scheduleItem("*at", "*text"));
    s.source("*tick").macro(
      scheduler.handleExpirations(
        "*text",
        "*now",
        Block.each((text: string) => {
          if (fail?.()) throw new Error(`no ${text}`);
        }, "*text")
          .hashPartition("*text")
          .compoundAgg("$$done", CompoundAgg.map("*text", Agg.list("*now"))),
      ),
    );
  });

async function launched(ipc: InProcessCluster, module = reminders(), tasks = 4): Promise<LaunchedModule> {
  return ipc.launchModule(module, { tasks, threads: Math.min(2, tasks) });
}

test("an item is handled once, by the first tick at or after its time", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await launched(ipc);
  const depot = handle.depot("*reminders");
  await depot.append({ at: 100, text: "tea" });
  await depot.append({ at: 250n, text: "cake" });
  const done = async () => [
    await handle.pstate("$$done").selectOne(Path.key("tea")),
    await handle.pstate("$$done").selectOne(Path.key("cake")),
  ];
  await ipc.advanceTime(99);
  await ipc.tick("Reminders", "*tick");
  expect(await done()).toEqual([null, null]);
  await ipc.advanceTime(1);
  await ipc.tick("Reminders", "*tick");
  expect(await done()).toEqual([[100], null]);
  await ipc.tick("Reminders", "*tick");
  await ipc.advanceTime(1000);
  await ipc.tick("Reminders", "*tick");
  await ipc.tick("Reminders", "*tick");
  expect(await done()).toEqual([[100], [1100]]);
});

test("items of all tasks are found by one tick", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await launched(ipc);
  const texts = Array.from({ length: 40 }, (_, i) => `text ${i}`);
  await Promise.all(texts.map((text) => handle.depot("*reminders").append({ at: 5, text })));
  await ipc.advanceTime(10);
  await ipc.tick("Reminders", "*tick");
  const done = handle.pstate("$$done");
  for (const text of texts) expect(await done.selectOne(Path.key(text))).toEqual([10]);
});

test("one call handles at most maxFetchAmt items of a task, the latest first; each in order of time", async () => {
  const order: string[] = [];
  const scheduler = new TopologyScheduler("$$timers").maxFetchAmt(2);
  const module = moduleOf("Few", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.declareTickDepot("*tick", 1000);
    const s = topologies.stream("s");
    scheduler.declarePStates(s);
    s.source("*d").out({ at: "*at", item: "*item" }).macro(scheduler.scheduleItem("*at", "*item"));
    s.source("*tick").macro(
      scheduler.handleExpirations(
        "*item",
        "*now",
        Block.each((item: string) => {
          order.push(item);
        }, "*item"),
      ),
    );
  });
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 1 });
  for (const at of [3, 1, 5, 2, 4]) await handle.depot("*d").append({ at, item: `at ${at}` });
  await ipc.advanceTime(5);
  await ipc.tick("Few", "*tick");
  expect(order).toEqual(["at 4", "at 5"]);
  await ipc.tick("Few", "*tick");
  expect(order.slice(2)).toEqual(["at 2", "at 3"]);
  await ipc.tick("Few", "*tick");
  expect(order.slice(4)).toEqual(["at 1"]);
});

test("items of one time keep the order in which they came", async () => {
  const order: number[] = [];
  const scheduler = new TopologyScheduler("$$timers");
  const module = moduleOf("Same", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    setup.declareTickDepot("*tick", 1000);
    const s = topologies.stream("s");
    scheduler.declarePStates(s);
    s.source("*d").out("*n").macro(scheduler.scheduleItem(7, "*n"));
    s.source("*tick").macro(
      scheduler.handleExpirations(
        "*n",
        "*now",
        Block.each((n: number) => order.push(n), "*n"),
      ),
    );
  });
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 1 });
  for (let n = 0; n < 20; n++) await handle.depot("*d").append(n);
  await ipc.advanceTime(7);
  await ipc.tick("Same", "*tick");
  expect(order).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

test("an item whose block fails stays and is handled again", async () => {
  let failures = 0;
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await launched(
    ipc,
    reminders(undefined, () => failures++ < 1),
    1,
  );
  await handle.depot("*reminders").append({ at: 1, text: "tea" });
  await ipc.advanceTime(1);
  expect(await codeOf(ipc.tick("Reminders", "*tick"))).toBe("PROCESSING_FAILED");
  await ipc.tick("Reminders", "*tick");
  expect(failures).toBe(2);
  expect(await handle.pstate("$$done").selectOne(Path.key("tea"))).toEqual([1]);
});

test("a time that is none is refused", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await launched(ipc);
  expect(await codeOf(handle.depot("*reminders").append({ at: "soon", text: "tea" }))).toBe("PROCESSING_FAILED");
  expect(() => new TopologyScheduler("$$x").maxFetchAmt(0)).toThrow("maxFetchAmt");
});
