// typescript-api.md 3, Running and Finer points: the simulated clock and ticks by hand.
import { expect, test } from "bun:test";
import { Agg, Depot, Ops, Path, PState } from "rama";
import { currentTimeMillis, TopologyUtils } from "rama/helpers";
import { InProcessCluster } from "rama/test";
import { codeOf, moduleOf } from "./observed.ts";

const module = moduleOf("Times", (setup, topologies) => {
  setup.declareDepot("*d", Depot.random());
  setup.declareTickDepot("*tick", 1);
  const s = topologies.stream("s");
  s.pstate("$$times", PState.mapSchema(String, Number));
  s.pstate("$$ticks", PState.mapSchema(Number, Number));
  s.source("*d").each(TopologyUtils.currentTimeMillis).out("*now").ackReturn("*now");
  s.source("*tick")
    .each(currentTimeMillis)
    .out("*now")
    .hashPartition("*now")
    .localTransform("$$ticks", Path.key("*now").nullToVal(0).term(Ops.INC));
  const mb = topologies.microbatch("mb");
  mb.pstate("$$n", Number).global().initialValue(0);
  mb.source("*tick").out("*mb").explodeMicrobatch("*mb").globalPartition().agg("$$n", Agg.count());
});

test("a simulated clock starts at 0 and moves by advanceTime alone, in tasks and outside", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 2 });
  const now = async () => (await handle.depot("*d").append(1))["s"];
  expect([await now(), ipc.currentTimeMillis()]).toEqual([0, 0]);
  await ipc.advanceTime(1000);
  await ipc.advanceTime(500n);
  expect([await now(), ipc.currentTimeMillis()]).toEqual([1500, 1500]);
});

test("clusters have clocks of their own; without a simulated one the time is the real one", async () => {
  await using simulated = await InProcessCluster.create({ clock: "simulated" });
  await using real = await InProcessCluster.create({ clock: "real" });
  await simulated.advanceTime(5);
  expect(simulated.currentTimeMillis()).toBe(5);
  expect(Math.abs(real.currentTimeMillis() - currentTimeMillis())).toBeLessThan(10_000);
  expect(await codeOf(real.advanceTime(5))).toBe("NOT_ALLOWED_HERE");
});

test("a tick by hand is through in stream topologies when it resolves; each microbatch topology gets it once", async () => {
  await using ipc = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 4, threads: 2 });
  const at = (ms: number) => handle.pstate("$$ticks").selectOne(Path.key(ms));
  await ipc.tick("Times", "*tick");
  expect(await at(0)).toBe(1);
  await ipc.advanceTime(7);
  await Promise.all([ipc.tick("Times", "*tick"), ipc.tick("Times", "*tick"), ipc.tick("Times", "*tick")]);
  expect([await at(0), await at(7)]).toEqual([1, 3]);
  await handle.waitForProcessed("mb", 4);
  expect(await handle.pstate("$$n").selectOne(Path.stay())).toBe(4);
});

test("ticks that a paused microbatch topology has missed come when it goes on, each in a microbatch", async () => {
  await using ipc = await InProcessCluster.create({ manualTicks: true });
  const handle = await ipc.launchModule(module, { tasks: 1 });
  await handle.pause("mb");
  await ipc.tick("Times", "*tick");
  await ipc.tick("Times", "*tick");
  await handle.resume("mb");
  await handle.waitForProcessed("mb", 2);
  expect(await handle.pstate("$$n").selectOne(Path.stay())).toBe(2);
});

test("a tick of what is no tick depot, or of no module, is refused", async () => {
  await using ipc = await InProcessCluster.create({ manualTicks: true });
  await ipc.launchModule(module, { tasks: 1 });
  expect(await codeOf(ipc.tick("Times", "*d"))).toBe("UNKNOWN_OBJECT");
  expect(await codeOf(ipc.tick("Nothing", "*tick"))).toBe("MODULE_NOT_FOUND");
});
