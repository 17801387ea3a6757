// language.md 22.4: TopologyUtils, the simulated clock of a program, TaskGlobalField.
import { expect, test } from "bun:test";
import { Block, Depot, Helpers, record } from "rama";
import {
  advanceSimTime,
  currentTimeMillis,
  extractFields,
  getFieldByName,
  startSimTime,
  TaskGlobalField,
  TopologyUtils,
} from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf, rows } from "./observed.ts";

test("extractFields binds each var to the field of its name, a generated var to that of its prefix", async () => {
  const generated = Helpers.genVar("city");
  const block = Block.each((x) => x, record({ name: "Ada", city: "London" }))
    .out("*person")
    .macro(extractFields("*person", "*name", generated));
  expect(await rows(block, "*name", generated)).toEqual([["Ada", "London"]]);
  expect(await codeOf(rows(block.macro(extractFields("*person", "*age")), "*age"))).toBe("FIELD_MISSING");
});

test("getFieldByName reads objects, instances and Maps, and may be what a depot hashes by", async () => {
  class Point {
    x = 1;
  }
  expect([
    getFieldByName({ x: 1 }, "x"),
    getFieldByName(new Point(), "x"),
    getFieldByName(new Map([["x", 1]]), "x"),
  ]).toEqual([1, 1, 1]);
  expect(await codeOf(() => getFieldByName({ x: 1 }, "y"))).toBe("FIELD_MISSING");
});

test("TopologyUtils holds the same functions", () => {
  expect({ ...TopologyUtils }).toEqual({
    extractFields,
    getFieldByName,
    startSimTime,
    advanceSimTime,
    currentTimeMillis,
  });
});

test("simulated time of a program starts at 0, moves by hand, and ends when it is closed", () => {
  const before = currentTimeMillis();
  {
    using _time = startSimTime();
    expect(currentTimeMillis()).toBe(0);
    advanceSimTime(1500);
    advanceSimTime(500n);
    expect(currentTimeMillis()).toBe(2000);
  }
  expect(currentTimeMillis()).toBeGreaterThanOrEqual(before);
  expect(() => advanceSimTime(1)).toThrow("startSimTime");
});

test("in tasks the time is that of their cluster: simulated where the cluster's clock is", async () => {
  const module = moduleOf("Clock", (setup, topologies) => {
    setup.declareDepot("*d", Depot.random());
    topologies.stream("s").source("*d").each(currentTimeMillis).out("*now").ackReturn("*now");
    topologies.query("now").out("*now").each(currentTimeMillis).out("*now").originPartition();
  });
  await using simulated = await InProcessCluster.create({ clock: "simulated" });
  await using real = await InProcessCluster.create();
  const a = await simulated.launchModule(module, { tasks: 2 });
  const b = await real.launchModule(module, { tasks: 2 });
  await simulated.advanceTime(70);
  const before = currentTimeMillis();
  expect((await a.depot("*d").append(1))["s"]).toBe(70);
  expect(await a.query("now").invoke()).toBe(70);
  expect(simulated.currentTimeMillis()).toBe(70);
  expect((await b.depot("*d").append(1))["s"]).toBeGreaterThanOrEqual(before);
});

test("a TaskGlobalField is one mutable field of each task", async () => {
  const module = moduleOf("Field", (setup, topologies) => {
    setup.declareDepot(
      "*d",
      Depot.hashBy((key: unknown) => key),
    );
    setup.declareObject("*seen", () => new TaskGlobalField(0));
    topologies
      .stream("s")
      .source("*d")
      .each((seen: TaskGlobalField<number>) => ++seen.field, "*seen")
      .out("*count")
      .ackReturn("*count");
  });
  await using ipc = await InProcessCluster.create();
  const depot = (await ipc.launchModule(module, { tasks: 4 })).depot("*d");
  const [first, second] = Helpers.genHashingIndexKeys(4);
  const counts: unknown[] = [];
  for (const key of [first, first, second, first]) counts.push((await depot.append(key))["s"]);
  expect(counts).toEqual([1, 2, 1, 3]);
});

test("one TaskGlobalField for all tasks is refused with what to write instead", async () => {
  const module = moduleOf("Shared", (setup) => {
    setup.declareObject("*seen", new TaskGlobalField(0));
  });
  await using ipc = await InProcessCluster.create();
  expect(await codeOf(ipc.launchModule(module, { tasks: 1 }))).toBe("BAD_MODULE");
});
