// A replicated module on three nodes of one machine (three supervisors with directories and ports of their own), as real processes: kill -9 of workers and of whole
// nodes under load loses nothing, counts nothing twice, and the module goes on meanwhile.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RamaClusterManager } from "../../src/client.ts";
import { type Unpacked, unpackedRelease, until } from "./built-release.ts";
import { hopModule } from "./hop-module.ts";
import { Load } from "./load.ts";

interface Row {
  readonly group: number;
  readonly worker: number;
  readonly role: string;
  readonly epoch: number;
  readonly inSync: boolean;
  readonly lag: number | null;
  readonly supervisor: string;
  readonly contents?: { readonly applied: number; readonly hash: string };
}

async function groupsOf(first: Unpacked): Promise<Row[]> {
  const { out } = await first.cluster.rama("taskGroupsStatus", "HopModule", "--json");
  return JSON.parse(out) as Row[];
}

const allInSync = async (first: Unpacked): Promise<boolean> => {
  const rows = await groupsOf(first);
  return rows.every(({ inSync, role }) => inSync && (role === "leader" || role === "follower"));
};

test("workers and nodes of a replicated module are killed under load: nothing is lost, each record counts once, it goes on meanwhile", async () => {
  await using first = unpackedRelease();
  await using second = unpackedRelease();
  await using third = unpackedRelease();
  await first.cluster.startAll();
  for (const { cluster } of [second, third]) {
    cluster.ports.zookeeper = first.cluster.ports.zookeeper;
    cluster.ports.conductor = first.cluster.ports.conductor;
    await cluster.start("supervisor");
  }
  writeFileSync(join(first.home, "hop.ts"), hopModule);
  const size = ["--tasks", "4", "--threads", "2", "--workers", "1", "--replicationFactor", "3"];
  const deployed = await first.cluster.rama("deploy", "--action", "launch", "--jar", "hop.ts", ...size);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  const nodes = [first, second, third];
  for (const { cluster } of nodes) expect(cluster.workerPids()).toHaveLength(1);
  await until("all replicas in sync", () => allInSync(first));
  const rows = await groupsOf(first);
  expect(rows).toHaveLength(6);
  expect(new Set(rows.map(({ supervisor }) => supervisor)).size).toBe(3);
  expect(rows.filter(({ role }) => role === "leader").map(({ worker }) => worker)).toHaveLength(2);
  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": first.cluster.ports.conductor,
  });
  const load = new Load(manager, { module: "HopModule", tasks: 4, users: 23, ordered: false });
  await load.progress(300);
  // Workers, one after the other; their supervisors start them again.
  for (const { cluster } of nodes) {
    process.kill(cluster.workerPids()[0]!, "SIGKILL");
    await load.progress(300);
    await until("all replicas in sync", () => allInSync(first));
  }
  // A whole node: nobody starts its worker, or tells that it is gone.
  await second.cluster.kill("supervisor");
  process.kill(second.cluster.workerPids()[0]!, "SIGKILL");
  await load.progress(300);
  const without = await first.cluster.rama("moduleStatus", "HopModule");
  expect(without.out).toContain("out of sync are workers");
  await second.cluster.start("supervisor");
  await until("all replicas in sync", () => allInSync(first));
  // Every process at once.
  for (const { cluster } of nodes) for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
  await load.progress(300);
  await load.end();
  await load.check();
  expect(load.count).toBeGreaterThan(1_500);
  await until("all replicas in sync", () => allInSync(first));
  // All replicas hold the same, whoever has been killed: two groups, two hashes.
  await until("replicas with the same contents", async () => {
    const verified = await first.cluster.rama("taskGroupsStatus", "HopModule", "--verify", "--json");
    expect(verified.code).toBe(0);
    const hashes = (JSON.parse(verified.out) as Row[]).map(({ group, contents }) => `${group} ${contents?.hash}`);
    return new Set(hashes).size === 2 && !hashes.some((hash) => hash.endsWith("undefined"));
  });
}, 300_000);
