// What goes on while a role is away: the data path does not know conductor, supervisor and ZooKeeper.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Path, RamaClusterManager } from "../../src/client.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";
import { root, type Unpacked, unpackedRelease, until } from "./built-release.ts";

async function started(settings: Readonly<Record<string, unknown>> = {}): Promise<Unpacked> {
  const unpacked = unpackedRelease(settings);
  await unpacked.cluster.startAll();
  return unpacked;
}

async function launch(cluster: LocalCluster): Promise<void> {
  const module = join(root, "bench/modules/count.ts");
  const deployed = await cluster.rama(
    "deploy",
    "--action",
    "launch",
    "--jar",
    module,
    "--tasks",
    "4",
    "--threads",
    "2",
  );
  expect(deployed).toMatchObject({ code: 0, err: "" });
}

const open = (cluster: LocalCluster) =>
  RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": cluster.ports.conductor });

const event = (userId: string) => ({ userId, url: "u", ts: 1 });

test("a supervisor that was killed and comes back adopts its worker, and starts the one that died meanwhile", async () => {
  await using unpacked = await started();
  const { cluster } = unpacked;
  await launch(cluster);
  await using manager = await open(cluster);
  const depot = manager.clusterDepot("CountModule", "*events");
  const counts = manager.clusterPState("CountModule", "$$counts");
  await depot.append(event("a"));
  const [worker] = cluster.workerPids();
  await cluster.kill("supervisor");
  await depot.append(event("a"));
  await cluster.start("supervisor");
  await until("the word of the adoption", () => cluster.logTail("supervisor").includes("1 workers found"));
  await depot.append(event("a"));
  expect(cluster.workerPids()).toEqual([worker!]);

  await cluster.kill("supervisor");
  process.kill(worker!, "SIGKILL");
  await until("the worker's end", () => cluster.workerPids().length === 0);
  await cluster.start("supervisor");
  await depot.append(event("a"));
  expect(await counts.selectOne<number>(Path.key("a"))).toBe(4);
  expect(cluster.workerPids()).not.toEqual([worker!]);
}, 60_000);

test("without a conductor appends and reads go on, and new clients find their way by a supervisor", async () => {
  await using unpacked = await started();
  const { cluster, home } = unpacked;
  await launch(cluster);
  await using manager = await open(cluster);
  await manager.clusterDepot("CountModule", "*events").append(event("a"));
  const ports = JSON.parse(readFileSync(join(home, "local-rama-data/supervisor/ports.json"), "utf8")) as {
    rpc: number;
  };
  await cluster.kill("conductor");

  await manager.clusterDepot("CountModule", "*events").append(event("a"));
  await using another = await RamaClusterManager.open({ supervisors: [`localhost:${ports.rpc}`] });
  expect(await another.getDeployedModuleNames()).toEqual(new Set(["CountModule"]));
  await another.clusterDepot("CountModule", "*events").append(event("a"));
  expect(await another.clusterPState("CountModule", "$$counts").selectOne<number>(Path.key("a"))).toBe(3);

  // A worker that dies now comes back as well: its bundle is on the node.
  process.kill(cluster.workerPids()[0]!, "SIGKILL");
  await manager.clusterDepot("CountModule", "*events").append(event("a"));
  const refused = await cluster.rama("moduleStatus", "CountModule");
  expect(refused).toMatchObject({ code: 3, err: expect.stringContaining("CONDUCTOR_UNREACHABLE") });
}, 60_000);

test("devZookeeper may be away for longer than the session: data goes on, a worker that dies is started, and all recovers", async () => {
  await using unpacked = await started({ "zookeeper.session.timeout.millis": 2000 });
  const { cluster, home } = unpacked;
  await launch(cluster);
  await using manager = await open(cluster);
  const depot = manager.clusterDepot("CountModule", "*events");
  await depot.append(event("a"));
  await cluster.kill("devZookeeper");
  const deadline = performance.now() + 8000;
  let appended = 1;
  while (performance.now() < deadline) {
    await depot.append(event("a"));
    appended++;
  }
  await cluster.start("devZookeeper");
  await until("supervisor and conductor to be registered again", async () => {
    const { code, out } = await cluster.rama("moduleStatus", "--json");
    return code === 0 && out.includes("CountModule");
  });
  process.kill(cluster.workerPids()[0]!, "SIGKILL");
  await depot.append(event("a"));
  expect(await manager.clusterPState("CountModule", "$$counts").selectOne<number>(Path.key("a"))).toBe(appended + 1);
  const again = await cluster.rama("deploy", "--action", "launch", "--jar", "examples/word-count.ts", "--tasks", "2");
  expect(again).toMatchObject({ code: 0, err: "" });
  expect(existsSync(join(home, "local-rama-data/supervisor/workers"))).toBe(true);
}, 90_000);
