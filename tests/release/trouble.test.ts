// Circumstances that a worker cannot cure by itself: user code that never returns, a disk that is nearly full. It says what is wrong, others are unaffected, and nothing
// acknowledged is lost.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";
import { unpackedRelease, until } from "./built-release.ts";

const userModule = `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class TroubleModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("key"));
    const s = topologies.stream("work");
    s.pstate("$$seen", PState.mapSchema(String, Number));
    s.source("*events").out("*event")
      .each((event) => { while (event.kind === "endless") {} return event.key; }, "*event").out("*key")
      .compoundAgg("$$seen", CompoundAgg.map("*key", Agg.count()));
    const other = topologies.stream("other");
    other.pstate("$$all", PState.mapSchema(String, Number));
    other.source("*events").out("*event").bind("*event", { key: "*key" }).compoundAgg("$$all", CompoundAgg.map("*key", Agg.count()));
  }
}`;

async function deploy(cluster: LocalCluster, overrides: string): Promise<RamaClusterManager> {
  writeFileSync(join(cluster.home, "trouble.ts"), userModule);
  writeFileSync(join(cluster.home, "overrides.yaml"), overrides);
  const files = ["--jar", "trouble.ts", "--configOverrides", "overrides.yaml"];
  const deployed = await cluster.rama("deploy", "--action", "launch", ...files, "--tasks", "2", "--threads", "2");
  expect(deployed).toMatchObject({ code: 0, err: "" });
  return RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": cluster.ports.conductor });
}

interface Status {
  readonly workers: readonly { readonly starts: number; readonly state: string }[];
  readonly engines: readonly {
    readonly engines: readonly {
      readonly depots: readonly { readonly name: string; readonly endOffset: number; readonly bytes: number }[];
      readonly pstates: readonly { readonly name: string; readonly entries: number; readonly bytes: number }[];
      readonly topologies: readonly { readonly name: string; readonly paused: boolean }[];
      readonly logBytes: number;
    }[];
  }[];
}

async function status(cluster: LocalCluster): Promise<Status> {
  const { out } = await cluster.rama("moduleStatus", "TroubleModule", "--json");
  return JSON.parse(out) as Status;
}

const engineOf = ({ engines }: Status) => engines[0]?.engines[0];

function workerLogs(home: string): string {
  const logs = join(home, "logs");
  return readdirSync(logs)
    .filter((name) => name.startsWith("worker"))
    .map((name) => readFileSync(join(logs, name), "utf8"))
    .join("");
}

test("user code that never returns ends its worker with the record's place, and is paused the third time", async () => {
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  const manager = await deploy(cluster, "worker.stuck.event.seconds: 1\n");
  const depot = manager.clusterDepot("TroubleModule", "*events");
  await depot.append({ key: "a", kind: "fine" });
  await depot.append({ key: "a", kind: "endless" }, "appendAck").catch(() => {});

  const isPaused = async () => engineOf(await status(cluster))?.topologies[0]?.paused === true;
  await until("the pause", isPaused);
  expect(workerLogs(home)).toMatch(/work at .*trouble\.ts:\d+: \*events partition \d offset 1/);
  const shown = await cluster.rama("moduleStatus", "TroubleModule");
  expect(shown.out).toMatch(
    /work is PAUSED: work at .*trouble\.ts:\d+: \*events partition \d offset 1 did not return, 3 times/,
  );
  expect((await status(cluster)).workers).toMatchObject([{ starts: 4, state: "running" }]);

  // Others go on: the depot takes records, and the other topology has processed the endless one, too.
  await depot.append({ key: "a", kind: "fine" }, "appendAck");
  const all = manager.clusterPState("TroubleModule", "$$all");
  await until("the other topology's count", async () => (await all.selectOne<number>(Path.key("a"))) === 3);
  expect(await manager.clusterPState("TroubleModule", "$$seen").selectOne<number>(Path.key("a"))).toBe(1);

  const resumed = await cluster.rama("resumeTopology", "TroubleModule", "work");
  expect(resumed).toMatchObject({ code: 0, out: "work of TroubleModule is resumed\n" });
  await until("the next attempt", async () => (await status(cluster)).workers[0]!.starts > 4);

  // It hangs three times more, stays paused over an update that mends the code, and goes on when it is resumed.
  await until("the next pause", isPaused);
  writeFileSync(join(home, "trouble.ts"), userModule.replace('event.kind === "endless"', "false"));
  const updated = await cluster.rama("deploy", "--action", "update", "--jar", "trouble.ts");
  expect(updated).toMatchObject({ code: 0, err: "" });
  expect((await cluster.rama("moduleStatus", "TroubleModule")).out).toContain("did not return, 3 times");
  expect(await isPaused()).toBe(true);
  expect((await cluster.rama("resumeTopology", "TroubleModule", "work")).code).toBe(0);
  const seen = manager.clusterPState("TroubleModule", "$$seen");
  await until("all records", async () => (await seen.selectOne<number>(Path.key("a"))) === 3);
  await manager.close();
}, 180_000);

test("appends to a nearly full disk are refused with its path, reads go on, and moduleStatus shows what takes the space", async () => {
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  const manager = await deploy(cluster, "");
  const depot = manager.clusterDepot("TroubleModule", "*events");
  const text = "x".repeat(1000);
  await depot.appendMany(Array.from({ length: 3000 }, (_, i) => ({ key: `k${i % 100}`, kind: "fine", text })));
  await until("all entries", async () =>
    engineOf(await status(cluster))!.pstates.every(({ entries }) => entries === 100),
  );
  const { depots, logBytes } = engineOf(await status(cluster))!;
  expect(depots.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(3_000_000);
  expect(logBytes).toBeGreaterThan(0);
  const shown = await cluster.rama("moduleStatus", "TroubleModule");
  expect(shown.out).toMatch(/\*events +records +3,000 +[\d.,]+ ?MB/);
  await manager.close();

  expect((await cluster.rama("destroy", "TroubleModule")).code).toBe(0);
  const full = await deploy(cluster, "disk.min.free: 100%\n");
  const error = await full
    .clusterDepot("TroubleModule", "*events")
    .append({ key: "a", kind: "fine" })
    .then(
      () => undefined,
      (thrown: { code: string; message: string }) => thrown,
    );
  expect(error).toMatchObject({ code: "DISK_FULL", message: expect.stringContaining(home) });
  expect(await full.clusterPState("TroubleModule", "$$seen").selectOne(Path.key("a"))).toBeNull();
  await full.close();
}, 120_000);
