// A module over two worker processes, its records hopping between them: kill -9 of either one under load loses nothing and counts nothing twice.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RamaClusterManager } from "../../src/client.ts";
import { unpackedRelease } from "./built-release.ts";
import { hopModule } from "./hop-module.ts";
import { Load } from "./load.ts";

test("either of two workers is killed under load: every record that is stored is counted exactly once", async () => {
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  writeFileSync(join(home, "hop.ts"), hopModule);
  // Two engines in each worker, so that records hop between threads, too.
  writeFileSync(join(home, "overrides.yaml"), "worker.task.threads: 2\n");
  const size = ["--tasks", "8", "--threads", "4", "--workers", "2", "--configOverrides", "overrides.yaml"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "hop.ts", ...size);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  expect(cluster.workerPids()).toHaveLength(2);
  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const load = new Load(manager, { module: "HopModule", tasks: 8, users: 23, ordered: false });
  await load.progress(300);
  for (let round = 0; round < 6; round++) {
    process.kill(cluster.workerPids()[round % 2]!, "SIGKILL");
    await load.progress(300);
  }
  for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
  await load.progress(300);
  await load.end();
  await load.check();
  expect(load.count).toBeGreaterThan(2000);
}, 240_000);
