// kill -9 of every process of a single-node cluster, one by one and all at once, under load: what was acknowledged is there, in order, once, and every count equals a
// fold over the depot. Guards the whole way from append to recovery, with the compiled executable on a real disk.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";
import { root, unpackedRelease } from "./built-release.ts";

interface Event {
  readonly userId: string;
  readonly url: string;
  readonly ts: number;
}

const tasks = 4;
const users = 7;

/** Appends one after another in each lane until told to stop; remembers what was acknowledged. */
class Load {
  readonly acknowledged: Event[][] = [];
  unknown = 0;
  #stop = false;
  #lanes: Promise<void>[] = [];

  start(manager: RamaClusterManager): void {
    const depot = manager.clusterDepot<Event>("CountModule", "*events");
    for (let lane = 0; lane < 4; lane++) {
      const mine: Event[] = [];
      this.acknowledged.push(mine);
      this.#lanes.push(this.#run(depot, lane, mine));
    }
  }

  async #run(depot: ReturnType<RamaClusterManager["clusterDepot"]>, lane: number, mine: Event[]): Promise<void> {
    for (let i = 0; !this.#stop; i++) {
      const event = { userId: `user-${i % users}`, url: `lane-${lane}`, ts: i };
      try {
        await depot.append(event);
        mine.push(event);
      } catch (error) {
        const code = (error as { code?: string }).code;
        if (code !== "APPEND_OUTCOME_UNKNOWN" && code !== "TIMEOUT") throw error;
        this.unknown++;
      }
    }
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#lanes);
  }

  get count(): number {
    return this.acknowledged.reduce((sum, lane) => sum + lane.length, 0);
  }

  /** Resolves once `more` further appends have been acknowledged. */
  async progress(more: number): Promise<void> {
    const wanted = this.count + more;
    while (this.count < wanted) await Bun.sleep(10);
  }
}

async function check(manager: RamaClusterManager, load: Load): Promise<void> {
  const depot = manager.clusterDepot<Event>("CountModule", "*events");
  const counts = manager.clusterPState("CountModule", "$$counts");
  const stored: Event[] = [];
  for (let partition = 0; partition < tasks; partition++) {
    const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
    for (let from = startOffset; from < endOffset; from += 500)
      stored.push(...(await depot.read(partition, from, Math.min(endOffset, from + 500))));
  }
  const folded = new Map<string, number>();
  for (const { userId } of stored) folded.set(userId, (folded.get(userId) ?? 0) + 1);
  const got = new Map<string, number>();
  for (const user of folded.keys()) got.set(user, (await counts.selectOne<number>(Path.key(user))) as number);
  expect(got).toEqual(folded);

  load.acknowledged.forEach((mine, lane) => {
    const ofLane = stored.filter((event) => event.url === `lane-${lane}`);
    const seen = new Set(ofLane.map((event) => event.ts));
    expect(seen.size).toBe(ofLane.length);
    expect(mine.filter((event) => !seen.has(event.ts))).toEqual([]);
    for (let user = 0; user < users; user++) {
      const order = ofLane.filter((event) => event.userId === `user-${user}`).map((event) => event.ts);
      expect(order).toEqual([...order].sort((x, y) => x - y));
    }
  });
}

async function killWorkers(cluster: LocalCluster): Promise<void> {
  for (const pid of cluster.workerPids()) process.kill(pid, "SIGKILL");
}

test("after kill -9 of any process, and of all at once, nothing acknowledged is lost or counted twice", async () => {
  await using unpacked = unpackedRelease();
  const { cluster } = unpacked;
  await cluster.startAll();
  const module = join(root, "bench/count-module.ts");
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
  const load = new Load();
  load.start(manager);
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
  await check(manager, load);
  await manager.close();
}, 180_000);
