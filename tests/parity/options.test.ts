// language.md 21 and 11.3: dynamic options that a module sets for its launch, and what they change.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Ops, Path, PState, type Setup, StreamSourceOptions, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";
import { codeOf, errorOf, moduleOf } from "./observed.ts";

test("an event tree that does not end in time fails its record and is tried again", async () => {
  await using ipc = await InProcessCluster.create();
  let calls = 0;
  const module = await ipc.launchModule(
    moduleOf("TimedOut", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      setup.setLaunchTopologyDynamicOption("s", "topology.stream.timeout.seconds", 1);
      const s = topologies.stream("s");
      s.pstate("$$n", Number).global().initialValue(0);
      s.source("*d")
        .out("*x")
        .eachAsync(() => (calls++ === 0 ? new Promise(() => {}) : Promise.resolve(1)))
        .out("*v")
        .globalPartition()
        .agg("$$n", Agg.count());
    }),
    { tasks: 2 },
  );
  const error = await errorOf(module.depot("*d").append(1));
  expect(error.code).toBe("PROCESSING_FAILED");
  expect(error.stored).toBe(true);
  await module.waitForProcessed("s", 1);
  expect(await module.pstate("$$n").selectOne(Path.stay())).toBe(1);
});

test("depot.ack.failure.on.any.streaming.failure=false: the append waits for the retries", async () => {
  await using ipc = await InProcessCluster.create();
  let failures = 2;
  const module = await ipc.launchModule(
    moduleOf("Patient", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random());
      setup.setLaunchDepotDynamicOption("*d", "depot.ack.failure.on.any.streaming.failure", false);
      topologies
        .stream("s")
        .source("*d")
        .out("*x")
        .each(() => {
          if (failures-- > 0) throw new Error("again");
          return "done";
        })
        .out("*r")
        .ackReturn("*r");
    }),
    { tasks: 2 },
  );
  expect(await module.depot("*d").append(1)).toEqual({ s: "done" });
});

test("the most specific level of an option wins", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Specific", (setup, topologies) => {
      setup.setLaunchModuleDynamicOption("topology.query.timeout.millis", 60_000);
      setup.setLaunchTopologyDynamicOption("slow", "topology.query.timeout.millis", 50);
      topologies
        .query("slow")
        .out("*r")
        .eachAsync(() => new Promise(() => {}))
        .out("*r")
        .originPartition();
    }),
    { tasks: 1 },
  );
  expect(await codeOf(module.query("slow").invoke())).toBe("TIMEOUT");
});

const refused: [string, string, (setup: Setup, topologies: Topologies) => void][] = [
  ["an option that does not exist", "BAD_CONFIG", (s) => [s.setLaunchModuleDynamicOption("no.such.option", 1)]],
  ["a setting of a process", "BAD_CONFIG", (s) => [s.setLaunchModuleDynamicOption("local.dir", "x")]],
  [
    "a value of another type",
    "BAD_CONFIG",
    (s) => [s.setLaunchModuleDynamicOption("topology.stream.timeout.seconds", "soon")],
  ],
  [
    "a topology of no such name",
    "UNKNOWN_OBJECT",
    (s) => [s.setLaunchTopologyDynamicOption("none", "topology.stream.timeout.seconds", 5)],
  ],
  ["a depot of no such name", "UNKNOWN_OBJECT", (s) => [s.setLaunchDepotDynamicOption("*none", "depot.max.fetch", 5)]],
  [
    "a PState of no such name",
    "UNKNOWN_OBJECT",
    (s) => [s.setLaunchPStateDynamicOption("$$none", "pstate.yielding.select.page.size", 5)],
  ],
  [
    "retryNone with a sourceId",
    "BAD_MODULE",
    (s, t) => {
      s.declareDepot("*d", Depot.random());
      t.stream("s").source("*d", StreamSourceOptions.sourceId("x").retryNone()).out("*x");
    },
  ],
  ["a tick period of 0", "BAD_MODULE", (s) => [s.declareTickDepot("*t", 0)]],
];

test.each(refused)("%s is refused when the module is built", async (_name, code, define) => {
  await using ipc = await InProcessCluster.create();
  const error = await errorOf(ipc.launchModule(moduleOf("Options", define), { tasks: 1 }));
  expect(error.code as string).toBe(code);
  expect(error.message).toMatch(/options\.test\.ts:\d+/);
});

test("small pages change nothing in what a select gives", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(
    moduleOf("Pages", (setup, topologies) => {
      setup.declareDepot("*d", Depot.random()).global();
      setup.setLaunchPStateDynamicOption("$$p", "pstate.yielding.select.page.size", 3);
      const s = topologies.stream("s");
      s.pstate("$$p", PState.mapSchema(String, PState.mapSchema(Number, Number).subindexed())).global();
      s.source("*d")
        .out("*n")
        .each(Ops.RANGE, 0, "*n")
        .out("*i")
        .compoundAgg("$$p", CompoundAgg.map("k", CompoundAgg.map("*i", Agg.sum("*i"))));
    }),
    { tasks: 1 },
  );
  await module.depot("*d").append(20);
  const expected = Array.from({ length: 20 }, (_, i) => i);
  expect(await module.pstate("$$p").select(Path.key("k").mapVals())).toEqual(expected);
  expect(await module.pstate("$$p").select(Path.withPageSize(2, Path.key("k").mapVals()))).toEqual(expected);
});

test("clients are closed one by one", async () => {
  await using ipc = await InProcessCluster.create();
  await ipc.launchModule(
    moduleOf("Closing", (setup) => {
      setup.declareDepot("*d", Depot.random());
    }),
    { tasks: 1 },
  );
  const depot = ipc.clusterDepot("Closing", "*d");
  await depot.append(1);
  await depot.close();
  expect(await codeOf(depot.append(2))).not.toMatch(/^resolved|not a Rama/);
  await using other = ipc.clusterDepot("Closing", "*d");
  await other.append(3);
});
