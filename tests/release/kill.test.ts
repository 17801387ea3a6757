// kill -9 of every process of a single-node cluster, one by one and all at once, under load: what was acknowledged is there, in order, once, and every count equals a
// fold over the depot. Guards the whole way from append to recovery, with the compiled executable on a real disk.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { RamaClusterManager } from "../../src/client.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";
import { root, unpackedRelease } from "./built-release.ts";
import { Load } from "./load.ts";

const tasks = 4;

async function killWorkers(cluster: LocalCluster): Promise<void> {
  for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
}

test("after kill -9 of any process, and of all at once, nothing acknowledged is lost or counted twice", async () => {
  await using unpacked = unpackedRelease();
  const { cluster } = unpacked;
  await cluster.startAll();
  const module = join(root, "bench/modules/count.ts");
  const deployed = await cluster.rama(
    "deploy",
    "--action",
    "launch",
    "--jar",
    module,
    "--module",
    "CountModule",
    "--tasks",
    String(tasks),
    "--threads",
    "2",
    "--workers",
    "1",
  );
  expect(deployed.err).toBe("");
  expect(deployed.code).toBe(0);
  const settings = { "conductor.host": "localhost", "conductor.port": cluster.ports.conductor };
  const manager = await RamaClusterManager.open(settings);
  const load = new Load(manager, { module: "CountModule", tasks, users: 7, ordered: true });
  await load.progress(200);

  await killWorkers(cluster);
  await load.progress(200);
  await killWorkers(cluster);
  await load.progress(200);

  await cluster.kill("conductor");
  await load.progress(200);
  await cluster.start("conductor");

  await cluster.kill("supervisor");
  await load.progress(200);
  await cluster.start("supervisor");

  await cluster.kill("devZookeeper");
  await load.progress(200);
  await cluster.start("devZookeeper");

  for (let round = 0; round < 2; round++) {
    await Promise.all([
      cluster.kill("conductor"),
      cluster.kill("supervisor"),
      cluster.kill("devZookeeper"),
      killWorkers(cluster),
    ]);
    await cluster.startAll();
    await load.progress(200);
  }
  await load.end();
  await load.check();
  await manager.close();
}, 180_000);
