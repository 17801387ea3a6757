// A disk that really fills up, in a namespace where the workers' stores are on a small file system: appends are refused before and when it is full, reads go on, all
// resumes by itself once there is space, and nothing that was acknowledged is missing after a kill -9.
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import { localCluster, type LocalCluster } from "../../scripts/local-cluster.ts";
import { needs } from "../needs.ts";
import { root, unpackedRelease, until } from "./built-release.ts";

const isHere = needs("namespaces");
const diskBytes = 96 * 1024 * 1024;

/** A cluster whose supervisor (and its workers) sees a file system of its own at `data/`. */
async function smallDisk(home: string): Promise<LocalCluster> {
  const stores = join(home, "local-rama-data/supervisor/data");
  mkdirSync(stores, { recursive: true });
  const wrapper = join(home, "on-small-disk");
  const inside = `mount -t tmpfs -o size=${diskBytes} tmpfs ${stores} && exec ${home}/rama supervisor`;
  writeFileSync(
    wrapper,
    `#!/bin/sh\nif [ "$1" = supervisor ]; then exec unshare -rm sh -c '${inside}'; fi\nexec ${home}/rama "$@"\n`,
  );
  chmodSync(wrapper, 0o755);
  const cluster = localCluster({ home, executable: wrapper });
  await cluster.startAll();
  return cluster;
}

async function launch(cluster: LocalCluster, minimum: string): Promise<RamaClusterManager> {
  writeFileSync(join(cluster.home, "overrides.yaml"), `disk.min.free: "${minimum}"\n`);
  const files = ["--jar", join(root, "bench/modules/count.ts"), "--configOverrides", "overrides.yaml"];
  const deployed = await cluster.rama("deploy", "--action", "launch", ...files, "--tasks", "2", "--threads", "2");
  expect(deployed).toMatchObject({ code: 0, err: "" });
  return RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
    "foreign.depot.operation.timeout.millis": 5000,
  });
}

/** The worker's stores as the supervisor sees them. */
function inside(cluster: LocalCluster): string {
  const stores = join(`/proc/${cluster.pid("supervisor")}/root`, cluster.home, "local-rama-data/supervisor/data");
  return join(stores, readdirSync(stores)[0]!);
}

/** Leaves `free` bytes. */
function fill(cluster: LocalCluster, free: number): void {
  const filler = join(inside(cluster), "filler");
  Bun.spawnSync(["sh", "-c", `dd if=/dev/zero of=${filler} bs=4k 2>/dev/null; truncate -s -${free} ${filler}`]);
}

const clear = (cluster: LocalCluster) => rmSync(join(inside(cluster), "filler"));

const url = "u".repeat(500);
const code = (error: unknown) => (error as { code: string }).code;

/** Runs `work` and ends what runs in the namespace, whatever comes. */
async function onSmallDisk(
  minimum: string,
  work: (cluster: LocalCluster, manager: RamaClusterManager) => Promise<void>,
): Promise<void> {
  await using unpacked = unpackedRelease();
  const cluster = await smallDisk(unpacked.home);
  try {
    await using manager = await launch(cluster, minimum);
    await work(cluster, manager);
  } finally {
    await cluster.end();
  }
}

test.skipIf(!isHere)(
  "appends are refused while less than disk.min.free is left, and taken again by themselves",
  () =>
    onSmallDisk("16m", async (cluster, manager) => {
      const depot = manager.clusterDepot("CountModule", "*events");
      const counts = manager.clusterPState("CountModule", "$$counts");
      await depot.append({ userId: "a", url, ts: 0 });
      fill(cluster, 8 * 1024 * 1024);
      const refusal = async () =>
        depot.append({ userId: "b", url, ts: 1 }).then(
          () => undefined,
          (error: unknown) => error,
        );
      await until("the refusal", async () => (await refusal()) !== undefined, 5000);
      expect(await refusal()).toMatchObject({
        code: "DISK_FULL",
        message: expect.stringContaining("supervisor/data"),
      });
      expect(await counts.selectOne<number>(Path.key("a"))).toBe(1);
      clear(cluster);
      await until("appends again", async () => (await refusal()) === undefined, 5000);
    }),
  90_000,
);

test.skipIf(!isHere)(
  "a disk without a byte left loses nothing: what is acknowledged is there after kill -9, once",
  () =>
    onSmallDisk("0", async (cluster, manager) => {
      const depot = manager.clusterDepot<{ ts: number }>("CountModule", "*events");
      const acknowledged: number[] = [];
      let ts = 0;
      const append = async (): Promise<string | undefined> => {
        const record = { userId: "a", url, ts: ts++ };
        return depot.append(record).then(() => void acknowledged.push(record.ts), code);
      };
      for (let i = 0; i < 500; i++) expect(await append()).toBeUndefined();
      fill(cluster, 0);
      const refused = new Set<string>();
      // What is preallocated may take some; then nothing more goes.
      const deadline = performance.now() + 15_000;
      while (refused.size === 0 && performance.now() < deadline) {
        const answers = await Promise.all(Array.from({ length: 500 }, append));
        for (const answer of answers) if (answer !== undefined) refused.add(answer);
      }
      expect(
        [...refused].filter((each) => !/^(DISK_FULL|OVERLOADED|TIMEOUT|APPEND_OUTCOME_UNKNOWN)$/.test(each)),
      ).toEqual([]);
      expect(refused.size).toBeGreaterThan(0);
      expect(await manager.clusterPState("CountModule", "$$counts").selectOne<number>(Path.key("a"))).toBeGreaterThan(
        500,
      );
      clear(cluster);
      await until("appends again", async () => (await append()) === undefined, 30_000);
      process.kill(cluster.workerPids()[0]!, "SIGKILL");
      await until("appends after the kill", async () => (await append()) === undefined, 30_000);

      const stored: number[] = [];
      for (let partition = 0; partition < 2; partition++) {
        const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
        for (let from = startOffset; from < endOffset; from += 500)
          for (const record of await depot.read(partition, from, Math.min(endOffset, from + 500)))
            stored.push(record.ts);
      }
      expect(new Set(stored).size).toBe(stored.length);
      const there = new Set(stored);
      expect(acknowledged.filter((each) => !there.has(each))).toEqual([]);
      const counts = manager.clusterPState("CountModule", "$$counts");
      expect(await counts.selectOne<number>(Path.key("a"))).toBe(stored.length);
      expect(readdirSync(inside(cluster)).length).toBeGreaterThan(0);
    }),
  120_000,
);
