// A module over three machines: each dies, is paused and is cut off while clients append. Whatever was acknowledged is there, once, and the others go on meanwhile.
// `RAMA_PHASE_SECONDS` (default 4) is the length of each phase: calm, fault, recovery.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Path, type RamaClusterManager } from "../../src/client.ts";
import { needs } from "../needs.ts";
import { hopModule } from "../release/hop-module.ts";
import { Load } from "../release/load.ts";
import { RealCluster } from "./nodes.ts";

const possible = needs("network-namespaces") && needs("zookeeper");
const phaseMs = Number(process.env["RAMA_PHASE_SECONDS"] ?? 4) * 1000;
const timeoutMs = 150_000 + 3 * phaseMs;
const tasks = 8;

let cluster: RealCluster;
let manager: RamaClusterManager;

beforeAll(async () => {
  if (!possible) return;
  cluster = await RealCluster.start(3);
  writeFileSync(join(cluster.conductor.home, "hop.ts"), hopModule);
  const size = ["--tasks", String(tasks), "--threads", "6", "--workers", "3"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "hop.ts", ...size);
  expect(deployed).toMatchObject({ code: 0, err: "" });
  manager = await cluster.client();
}, 120_000);

afterAll(async () => {
  if (possible) await cluster?.[Symbol.asyncDispose]();
}, 60_000);

let loads = 0;
const newLoad = () =>
  new Load(manager, { module: "HopModule", tasks, users: 23, ordered: false, tag: `load-${++loads} ` });

/** Load through a calm phase, a fault and its end; afterwards all must go on and nothing may be missing. */
async function under(fault: () => void | Promise<void>, end: () => void | Promise<void>): Promise<void> {
  const load = newLoad();
  await load.progress(300);
  await fault();
  await Bun.sleep(phaseMs);
  await end();
  await load.progress(300);
  await load.end();
  await load.check();
}

const some = test.skipIf(!possible);

some(
  "three workers are on three machines, and every client's record and count comes through",
  async () => {
    expect(cluster.nodes.map((node) => node.workerPids().length)).toEqual([1, 1, 1]);
    await under(
      () => {},
      () => {},
    );
    const count = await manager.clusterPState("HopModule", "$$counts").selectOne<number>(Path.key("user-1"));
    expect(count).toBeGreaterThan(0);
  },
  120_000,
);

some(
  "a machine loses its power and comes back: nothing acknowledged is lost, nothing is counted twice",
  async () => {
    const node = cluster.nodes[1]!;
    await under(
      () => node.kill(),
      () => node.start(),
    );
  },
  timeoutMs,
);

some(
  "a machine stands still for a while: its groups wait, and go on where they were",
  async () => {
    const node = cluster.nodes[2]!;
    await under(
      () => node.signal("SIGSTOP"),
      () => node.signal("SIGCONT"),
    );
  },
  timeoutMs,
);

some(
  "a machine is heard by no one but hears all: when its link is whole again all goes on, and each record is there once",
  async () => {
    const machine = cluster.machine(0);
    await under(
      () => cluster.network.cut(machine, "out"),
      () => cluster.network.heal(machine),
    );
  },
  timeoutMs,
);

some(
  "the conductor stands still: clients do not notice",
  async () => {
    const load = newLoad();
    await load.progress(100);
    cluster.conductor.signal("SIGSTOP");
    await load.progress(300);
    cluster.conductor.signal("SIGCONT");
    await load.end();
    await load.check();
  },
  timeoutMs,
);
