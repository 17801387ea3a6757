// Modules that use each other, each in worker processes of its own: depots of one are sources of the other, its PStates and queries are read, its depots appended to.
// Whoever is killed, and whichever is updated, each record counts once; what the other needs can be neither removed nor destroyed.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { unpackedRelease, until } from "./built-release.ts";
import { Load } from "./load.ts";

const shop = (uses = "") => `
import { Agg, Block, CompoundAgg, Depot, Path, PState, RamaModule } from "rama";
export class Shop extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    setup.declareDepot("*notes", Depot.hashBy("userId"));
    const s = topologies.stream("shop");
    s.pstate("$$counts", PState.mapSchema(String, Number));
    s.source("*events").out({ userId: "*userId" }).compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
    s.pstate("$$notes", PState.mapSchema(String, Number));
    s.source("*notes").out({ userId: "*userId", n: "*n" }).compoundAgg("$$notes", CompoundAgg.map("*userId", Agg.sum("*n")));
    topologies.query("countOf", "*userId").out("*count")
      .hashPartition("*userId").localSelect("$$counts", Path.key("*userId")).out("*count").originPartition();
    ${uses}
  }
}`;

const analytics = `
import { Agg, CompoundAgg, Depot, MicrobatchSourceOptions, Path, PState, RamaModule, StreamSourceOptions } from "rama";
export class Analytics extends RamaModule {
  define(setup, topologies) {
    setup.clusterDepot("*theirs", "Shop", "*events");
    setup.clusterDepot("*notes", "Shop", "*notes");
    setup.clusterPState("$$counts", "Shop", "$$counts");
    setup.clusterQuery("*countOf", "Shop", "countOf");
    const s = topologies.stream("stream");
    s.pstate("$$streamed", PState.mapSchema(String, Number));
    s.source("*theirs", StreamSourceOptions.startFromBeginning()).out({ userId: "*userId" })
      .hashPartition("*userId").compoundAgg("$$streamed", CompoundAgg.map("*userId", Agg.count()));
    const m = topologies.microbatch("micro");
    m.pstate("$$micro", PState.mapSchema(String, Number));
    m.source("*theirs", MicrobatchSourceOptions.startFromBeginning()).out("*mb")
      .explodeMicrobatch("*mb").out({ userId: "*userId" })
      .hashPartition("*userId").compoundAgg("$$micro", CompoundAgg.map("*userId", Agg.count()));
    setup.declareDepot("*asks", Depot.hashBy("userId"));
    s.source("*asks").out("*ask", { userId: "*userId" })
      .select("$$counts", Path.key("*userId")).out("*read")
      .invokeQuery("*countOf", "*userId").out("*asked")
      .hashPartition("*notes", "*userId").depotPartitionAppend("*notes", "*ask", "ack")
      .each((read, asked) => [read, asked], "*read", "*asked").out("*both").ackReturn("*both");
  }
}`;

/** Shop reads Analytics in turn: only an update can make that. */
const circle = `
    setup.clusterPState("$$micro", "Analytics", "$$micro");
    topologies.query("microOf", "*userId").out("*count").select("$$micro", Path.key("*userId")).out("*count").originPartition();`;

test("mirrors between modules in worker processes of their own, under kill -9 and updates", async () => {
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  const file = (name: string, text: string) => {
    writeFileSync(join(home, name), text);
    return name;
  };
  const deploy = (action: string, jar: string, ...more: string[]) =>
    cluster.rama("deploy", "--action", action, "--jar", jar, ...more);
  const size = (tasks: number, threads: number, workers: number) =>
    ["--tasks", tasks, "--threads", threads, "--workers", workers].map(String);

  const early = await deploy("launch", file("analytics.ts", analytics), ...size(2, 2, 1));
  expect(early.code).toBe(1);
  expect(early.err).toContain("Shop");
  expect(await deploy("launch", file("shop.ts", shop()), ...size(8, 4, 2))).toMatchObject({ code: 0, err: "" });
  expect(await deploy("launch", "analytics.ts", ...size(2, 2, 1))).toMatchObject({ code: 0, err: "" });
  expect(cluster.workerPids()).toHaveLength(3);

  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const users = 11;
  const load = new Load(manager, { module: "Shop", tasks: 8, users, ordered: true });
  await load.progress(300);
  for (let round = 0; round < 3; round++) {
    for (const pid of cluster.workerPids().slice(round, round + 1)) process.kill(pid, "SIGKILL");
    await load.progress(200);
    await until("three workers", () => cluster.workerPids().length === 3);
  }

  // The mirrored module is updated, then the reading one, then the mirrored one once more so that it reads in turn.
  expect(await deploy("update", file("shop2.ts", shop("// again")))).toMatchObject({ code: 0, err: "" });
  expect(await deploy("update", "analytics.ts")).toMatchObject({ code: 0, err: "" });
  expect(await deploy("update", file("shop3.ts", shop(circle)))).toMatchObject({ code: 0, err: "" });
  await load.progress(200);
  for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
  await load.progress(200);
  await load.end();

  const stored = new Map<string, number>();
  for (let partition = 0; partition < 8; partition++) {
    const { endOffset } = await manager.clusterDepot("Shop", "*events").getPartitionInfo(partition);
    for (let from = 0; from < endOffset; from += 500)
      for (const { userId } of await manager
        .clusterDepot("Shop", "*events")
        .read(partition, from, Math.min(endOffset, from + 500)))
        stored.set(userId, (stored.get(userId) ?? 0) + 1);
  }
  const all = async (module: string, pstate: string) => {
    const found = new Map<string, number>();
    for (const userId of stored.keys()) {
      const count = await manager.clusterPState(module, pstate).selectOne<number>(Path.key(userId));
      if (typeof count === "number") found.set(userId, count);
    }
    return found;
  };
  const total = (counts: ReadonlyMap<string, number>) => [...counts.values()].reduce((sum, n) => sum + n, 0);
  for (const pstate of ["$$streamed", "$$micro"]) {
    await until(pstate, async () => total(await all("Analytics", pstate)) >= total(stored));
    expect(await all("Analytics", pstate)).toEqual(stored);
  }

  // Reads, queries and appends across, both ways.
  const userId = [...stored.keys()][0]!;
  const both = await manager.clusterDepot("Analytics", "*asks").append({ userId, n: 7 });
  expect(both).toEqual({ stream: [stored.get(userId), stored.get(userId)] });
  expect(await manager.clusterPState("Shop", "$$notes").selectOne<number>(Path.key(userId))).toBe(7);
  expect(await manager.clusterQuery("Shop", "microOf").invoke(userId)).toBe(stored.get(userId));

  // Neither may lose what the other needs.
  const destroyed = await cluster.rama("destroy", "Shop");
  expect(destroyed.code).toBe(1);
  expect(destroyed.err).toContain("Analytics");
  const less = shop().replace('topologies.query("countOf"', 'topologies.query("anotherName"');
  const removed = await deploy("update", file("shop4.ts", less));
  expect(removed.code).toBe(1);
  expect(removed.err).toContain("countOf");
  expect(await deploy("update", file("shop5.ts", shop()))).toMatchObject({ code: 0, err: "" });
  expect(await cluster.rama("destroy", "Analytics")).toMatchObject({ code: 0 });
  expect(await cluster.rama("destroy", "Shop")).toMatchObject({ code: 0 });
}, 300_000);
