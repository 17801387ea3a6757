// A module on three machines under load, through every fault of `cases.ts`: calm, fault, recovery. Clients in a process of their own append and read all the time; in the end each
// acknowledged record is there once, none that was refused, and the bank has never been seen with money missing. While a fault lasts that the replicas allow for,
// appends have to be acknowledged. `npm run test:cluster` sets RAMA_PHASE_SECONDS (10) and RAMA_CLUSTER_FULL (all cases, not the gate's alone).
import { afterAll, expect, test } from "bun:test";
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs } from "../needs.ts";
import { until } from "../release/built-release.ts";
import { type Case, cases, type Scene } from "./cases.ts";
import { LoadProcess } from "./load.ts";
import { moduleName, moduleSource } from "./module.ts";
import { conductorPort, type NodeParts, RealCluster } from "./nodes.ts";

const possible = needs("network-namespaces") && needs("zookeeper");
const phaseMs = Number(process.env["RAMA_PHASE_SECONDS"] ?? 10) * 1000;
const full = process.env["RAMA_CLUSTER_FULL"] === "1";
/** For one case by a part of its name. */
const only = process.env["RAMA_CLUSTER_ONLY"];
const timeoutMs = 600_000 + 3 * phaseMs;
const tasks = 4;
const settleMs = 1_000;

interface Row {
  readonly group: number;
  readonly role: string;
  readonly epoch: number;
  readonly inSync: boolean;
  readonly host: string;
}

interface Running {
  readonly cluster: RealCluster;
  readonly parts: NodeParts | undefined;
  readonly replicas: number;
}

let running: Running | undefined;
let loads = 0;

afterAll(() => stop(), 60_000);

async function stop(): Promise<void> {
  const { cluster } = running ?? {};
  running = undefined;
  await cluster?.[Symbol.asyncDispose]();
}

/** Cases with the same parts share a cluster, as long as none has failed. */
async function clusterFor({ parts, replicas = 3 }: { readonly parts?: NodeParts; readonly replicas?: number }) {
  const alike = running?.replicas === replicas && Bun.deepEquals(running.parts, parts);
  if (running !== undefined && alike) return running;
  await stop();
  const cluster = await RealCluster.start(3, parts);
  running = { cluster, parts, replicas };
  writeFileSync(join(cluster.conductor.home, "module.ts"), moduleSource);
  const workers = replicas === 1 ? 3 : 1;
  const size = ["--tasks", String(tasks), "--threads", replicas === 1 ? "3" : "2", "--workers", String(workers)];
  const words = ["--action", "launch", "--jar", "module.ts", ...size, "--replicationFactor", String(replicas)];
  const deployed = await cluster.rama("deploy", ...words);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  return running;
}

async function rows(cluster: RealCluster): Promise<Row[]> {
  const { out, err } = await cluster.rama("taskGroupsStatus", moduleName, "--json");
  if (err !== "") throw new Error(err);
  return JSON.parse(out) as Row[];
}

async function whole({ cluster, replicas }: Running): Promise<void> {
  if (replicas === 1) return;
  const inSync = ({ inSync, role }: Row) => inSync && (role === "leader" || role === "follower");
  await until("all replicas in sync", async () => (await rows(cluster)).every(inSync), 180_000);
}

async function scene({ cluster, replicas }: Running): Promise<Scene> {
  const host = replicas === 1 ? undefined : (await rows(cluster)).find(({ role }) => role === "leader")!.host;
  const leader = Math.max(
    0,
    cluster.network.machines.findIndex(({ address }) => address === host),
  );
  return { cluster, leader, others: [0, 1, 2].filter((node) => node !== leader) };
}

/** The last result is kept in docs/reliability.md. */
function tell(name: string, facts: Readonly<Record<string, unknown>>): void {
  console.log(`${name}: ${JSON.stringify(facts)}`);
  const file = process.env["RAMA_CLUSTER_RESULTS"];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ name, ...facts })}\n`);
}

/** A machine that others have stopped for seconds says nothing about ours: once more, then, three times at most. */
const heldMsMax = 1_000;

async function runCase(of: Case): Promise<void> {
  for (let left = 3; left > 0; left--) if ((await tryCase(of, left === 1)) < heldMsMax) return;
}

/** Resolves to how long the load's own process has stood still. */
async function tryCase(of: Case, last: boolean): Promise<number> {
  const lacking = of.lacks?.();
  if (lacking !== undefined) {
    tell(of.name, { skipped: lacking });
    return 0;
  }
  const on = await clusterFor(of);
  await whole(on);
  const at = await scene(on);
  const { address: host } = on.cluster.network;
  using load = new LoadProcess({ host, port: conductorPort, tasks, tag: `load-${++loads}` });
  await load.progress(200);
  await load.phase();
  await Bun.sleep(phaseMs);
  const calm = await load.phase();
  const impossible = await of.begin(at);
  if (typeof impossible === "string") {
    tell(of.name, { skipped: impossible });
    return 0;
  }
  const startMs = performance.now();
  // What had been acknowledged when the fault struck is told a little later.
  await Bun.sleep(settleMs);
  if (of.standsStill !== true) await load.progress(50);
  await Bun.sleep(Math.max(0, phaseMs - (performance.now() - startMs)));
  const fault = await load.phase();
  await of.end(at);
  await load.progress(200);
  await Bun.sleep(phaseMs);
  const recovery = await load.phase();
  const { wrong, ...result } = await load.end();
  const held = Math.max(calm.heldMs, fault.heldMs, recovery.heldMs);
  if (held < heldMsMax || last) tell(of.name, { calm, fault, recovery, ...result, wrong: wrong.length });
  else console.log(`${of.name}: once more, the machine stood still for ${Math.round(held)} ms`);
  expect({ lost: result.lost, doubled: result.doubled, wrong }).toEqual({ lost: 0, doubled: 0, wrong: [] });
  await whole(on);
  return held;
}

for (const of of cases) {
  const wanted = only === undefined ? full || of.gate === true : of.name.includes(only);
  if (!wanted) continue;
  test.skipIf(!possible)(
    of.name,
    async () => {
      try {
        await runCase(of);
      } catch (error) {
        tell(of.name, { failed: String((error as Error).message).slice(0, 200) });
        if (process.env["RAMA_CLUSTER_KEEP"] !== "1") await stop();
        throw error;
      }
    },
    timeoutMs,
  );
}
