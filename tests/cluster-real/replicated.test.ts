// A module with three replicas on three machines: while the machine that leads is dead, stands still or is not heard, the module goes on; nothing acknowledged is lost, each
// record counts once, and when the machine is back all replicas are in sync again. `RAMA_PHASE_SECONDS` (default 4) is the length of each fault.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RamaClusterManager } from "../../src/client.ts";
import { needs } from "../needs.ts";
import { until } from "../release/built-release.ts";
import { hopModule } from "../release/hop-module.ts";
import { Load } from "../release/load.ts";
import { RealCluster } from "./nodes.ts";

const possible = needs("network-namespaces") && needs("zookeeper");
const phaseMs = Number(process.env["RAMA_PHASE_SECONDS"] ?? 4) * 1000;
const timeoutMs = 150_000 + 3 * phaseMs;
const tasks = 4;

interface Row {
  readonly group: number;
  readonly role: string;
  readonly epoch: number;
  readonly inSync: boolean;
  readonly host: string;
}

let cluster: RealCluster;
let manager: RamaClusterManager;
let loads = 0;

beforeAll(async () => {
  if (!possible) return;
  cluster = await RealCluster.start(3);
  writeFileSync(join(cluster.conductor.home, "hop.ts"), hopModule);
  const size = ["--tasks", String(tasks), "--threads", "2", "--workers", "1", "--replicationFactor", "3"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "hop.ts", ...size);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  manager = await cluster.client();
  await until("all replicas in sync", allInSync);
}, 150_000);

afterAll(async () => {
  if (possible) await cluster?.[Symbol.asyncDispose]();
}, 60_000);

async function rows(): Promise<Row[]> {
  const { out, err } = await cluster.rama("taskGroupsStatus", "HopModule", "--json");
  if (err !== "") throw new Error(err);
  return JSON.parse(out) as Row[];
}

const allInSync = async (): Promise<boolean> =>
  (await rows()).every(({ inSync, role }) => inSync && (role === "leader" || role === "follower"));

/** Number of a machine that leads a group. */
async function leader(): Promise<number> {
  const { host } = (await rows()).find(({ role }) => role === "leader")!;
  return cluster.network.machines.findIndex(({ address }) => address === host);
}

/** Under load, before, in and after a fault of a machine that leads; appends have to be acknowledged during the fault. */
async function fault(begin: (node: number) => void | Promise<void>, end: (node: number) => void | Promise<void>) {
  const load = new Load(manager, { module: "HopModule", tasks, users: 23, ordered: false, tag: `load-${++loads} ` });
  await load.progress(300);
  const node = await leader();
  const epochs = (await rows()).map(({ epoch }) => epoch);
  await begin(node);
  const began = performance.now();
  await load.progress(300);
  const goesOnMs = performance.now() - began;
  await Bun.sleep(Math.max(0, phaseMs - goesOnMs));
  await load.progress(50);
  await end(node);
  await load.progress(300);
  await load.end();
  await load.check();
  await until("all replicas in sync", allInSync);
  expect(Math.max(...(await rows()).map(({ epoch }) => epoch))).toBeGreaterThan(Math.max(...epochs) - 1);
  console.log(`300 appends after ${Math.round(goesOnMs)} ms of the fault`);
}

const some = test.skipIf(!possible);

some(
  "the machine that leads loses its power: the others go on without it",
  () =>
    fault(
      (node) => cluster.nodes[node]!.kill(),
      (node) => cluster.nodes[node]!.start(),
    ),
  timeoutMs,
);

some(
  "the machine that leads stands still: the others go on, and it does nothing of its own when it wakes",
  () =>
    fault(
      (node) => cluster.nodes[node]!.signal("SIGSTOP"),
      (node) => cluster.nodes[node]!.signal("SIGCONT"),
    ),
  timeoutMs,
);

some(
  "the machine that leads hears all and is heard by no one: the others go on",
  () =>
    fault(
      (node) => cluster.network.cut(cluster.machine(node), "out"),
      (node) => cluster.network.heal(cluster.machine(node)),
    ),
  timeoutMs,
);

some(
  "a machine is heard by all and hears no one: the others go on",
  () =>
    fault(
      (node) => cluster.network.cut(cluster.machine(node), "in"),
      (node) => cluster.network.heal(cluster.machine(node)),
    ),
  timeoutMs,
);
