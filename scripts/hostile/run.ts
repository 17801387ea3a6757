// A cluster out of the release with a module that good clients use, and hostile connections at all its ports beside them. In the end: the same processes live, their memory and
// descriptors are bounded, the good clients were served all the time and have lost nothing.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Chance } from "../../src/simulation/chance.ts";
import { Path, RamaClusterManager, type RamaError } from "../../src/client.ts";
import { release } from "../../src/base/release.ts";
import { unpackedRelease } from "../../tests/release/built-release.ts";
import type { LocalCluster } from "../local-cluster.ts";
import { measure } from "../soak/meters.ts";
import {
  type EngineTarget,
  engineFrame,
  engineHello,
  eventsFrame,
  preparations,
  replicaFrame,
} from "./engine-frames.ts";
import type { Random } from "./mutate.ts";
import { callFrame, httpRequest, zookeeperConnect, zookeeperPacket } from "./other-frames.ts";
import { noCounts, raid, type RaidCounts, type RaidTarget } from "./raider.ts";

export interface HostileOptions {
  readonly frames: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

export interface ProcessRow {
  readonly name: string;
  readonly rssBeforeMb: number;
  readonly rssPeakMb: number;
  readonly rssAfterMb: number;
  readonly descriptorsBefore: number;
  readonly descriptorsPeak: number;
  readonly descriptorsAfter: number;
}

export interface HostileResult {
  readonly seconds: number;
  readonly ports: ReadonlyMap<string, RaidCounts>;
  readonly processes: readonly ProcessRow[];
  readonly appends: number;
  readonly slowestAppendMs: number;
  readonly violations: readonly string[];
}

const tasks = 4;
const raidersPerPort = 2;
/** Of a process at any time, with thousands of hostile connections behind it. */
const rssPeakMaxMb = 1_000;
const descriptorGrowthMax = 30;
/** An append beside the noise; the raiders take most of the processor. */
const appendMaxMs = 15_000;

const moduleSource = `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class HostileModule extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    setup.declareDepot("*junk", Depot.random());
    const s = topologies.stream("counts");
    s.pstate("$$counts", PState.mapSchema(String, Number));
    s.pstate("$$junk", PState.mapSchema(String, Object));
    s.source("*events").out({ userId: "*userId" }).compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
    s.source("*junk").out("*value")
      .each((value) => (typeof value === "string" ? value : "other"), "*value").out("*key")
      .hashPartition("*key")
      .compoundAgg("$$junk", CompoundAgg.map("*key", Agg.count()));
    const m = topologies.microbatch("late");
    m.pstate("$$late", PState.mapSchema(String, Number));
    m.source("*events").out("*mb").explodeMicrobatch("*mb").out({ userId: "*userId" })
      .compoundAgg("$$late", CompoundAgg.map("*userId", Agg.count()));
    topologies.query("echo", "*a").out("*b").each((a) => a, "*a").out("*b").originPartition();
  }
}`;

export async function hostile(options: HostileOptions): Promise<HostileResult> {
  const { log } = options;
  await using unpacked = unpackedRelease();
  const { cluster, home } = unpacked;
  await cluster.startAll();
  writeFileSync(join(home, "hostile.ts"), moduleSource);
  const size = ["--tasks", String(tasks), "--threads", "2", "--workers", "1", "--replicationFactor", "1"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", "hostile.ts", ...size);
  if (deployed.code !== 0) throw new Error(deployed.err);
  await using manager = await RamaClusterManager.open({
    "conductor.host": "localhost",
    "conductor.port": cluster.ports.conductor,
  });
  const began = performance.now();
  const good = new GoodClient(manager);
  const watched = new Watched(cluster);
  const targets = await targetsOf(cluster);
  const ports = new Map<string, RaidCounts>(targets.map(({ name }) => [name, noCounts()]));
  const { random } = new Chance(options.seed);
  const sent = () => [...ports.values()].reduce((sum, { frames }) => sum + frames, 0);
  let over = false;
  const raiders = targets.flatMap((target) =>
    Array.from({ length: raidersPerPort }, async () => {
      while (!over && sent() < options.frames) await raid(target, random, ports.get(target.name)!);
    }),
  );
  const watching = (async () => {
    for (let at = 0; !over; at++) {
      watched.sample();
      if (watched.dead.length > 0) over = true;
      if (at % 50 === 49)
        log(
          `${Math.round((performance.now() - began) / 1000)} s: ${sent()} frames, ${good.acknowledged.length} good appends`,
        );
      await Bun.sleep(200);
    }
  })();
  await Promise.all(raiders);
  over = true;
  await watching;
  await good.end();
  const violations = [...watched.dead.map((name) => `${name} has ended\n${lastWords(cluster)}`)];
  if (watched.dead.length === 0) {
    violations.push(...(await settled(watched)));
    violations.push(...(await good.check()));
  }
  violations.push(...good.violations);
  if (good.slowestMs > appendMaxMs) violations.push(`a good append took ${Math.round(good.slowestMs)} ms`);
  for (const [name, { refused, frames, reasons }] of ports) {
    if (refused > 0) violations.push(`${name} refused ${refused} connections`);
    if (frames === 0) violations.push(`${name} got nothing`);
    if ((reasons.get("INTERNAL") ?? 0) > 0) violations.push(`${name} said INTERNAL ${reasons.get("INTERNAL")} times`);
  }
  return {
    seconds: Math.round((performance.now() - began) / 1000),
    ports,
    processes: watched.rows(),
    appends: good.acknowledged.length,
    slowestAppendMs: good.slowestMs,
    violations,
  };
}

/** Of workers: what stood in their output before they ended. */
function lastWords({ home }: LocalCluster): string {
  const logs = join(home, "logs");
  const lines = readdirSync(logs)
    .filter((name) => name.startsWith("worker-"))
    .flatMap((name) => readFileSync(join(logs, name), "utf8").split("\n"));
  return lines
    .filter((line) => !/ (INFO|DEBUG) /.test(line))
    .slice(-25)
    .join("\n");
}

async function targetsOf(cluster: LocalCluster): Promise<RaidTarget[]> {
  const { out } = await cluster.rama("moduleStatus", "HostileModule", "--json");
  const status = JSON.parse(out) as {
    module: { appendTarget: string };
    workers: { helloPort: number; groupPorts: Record<string, number> }[];
  };
  const engine: EngineTarget = {
    moduleInstanceId: status.module.appendTarget,
    release,
    depot: 1,
    pstate: 1,
    query: 2,
    tasks,
  };
  const engines = [...new Set(Object.values(status.workers[0]!.groupPorts))];
  const calls = (name: string, port: number): RaidTarget => ({
    name,
    port,
    framed: true,
    saysGoodbye: false,
    frame: callFrame,
    framesMax: 300,
  });
  const http = (name: string, port: number): RaidTarget => ({
    name,
    port,
    framed: false,
    saysGoodbye: false,
    frame: (random) => httpRequest(random).bytes,
    framesMax: 3,
  });
  const client = (port: number, name: string): RaidTarget => ({
    name,
    port,
    framed: true,
    saysGoodbye: true,
    hello: (random) => [engineHello(random, engine, "client", random() < 0.98), ...preparations(random)],
    frame: (random) => engineFrame(random, engine),
    framesMax: 2_000,
  });
  const { ports } = cluster;
  return [
    ...engines.flatMap((port, i) => [
      client(port, `engine ${i} as a client`),
      {
        ...client(port, `engine ${i} as an engine`),
        hello: (random: Random) => [engineHello(random, engine, "engine", true)],
        frame: (random: Random) => eventsFrame(random, engine),
      },
      { ...client(port, `engine ${i} as a leader`), hello: () => [], frame: replicaFrame, framesMax: 5 },
    ]),
    calls("worker hello", status.workers[0]!.helloPort),
    calls("conductor", ports.conductor),
    http("conductor HTTP", ports.ui),
    http("supervisor HTTP", ports.rest),
    {
      name: "devZookeeper",
      port: ports.zookeeper,
      framed: false,
      saysGoodbye: false,
      hello: (random) => [zookeeperConnect(random)],
      frame: zookeeperPacket,
      framesMax: 1_000,
    },
  ];
}

/** One append after another, each read back. */
class GoodClient {
  readonly acknowledged: number[] = [];
  readonly violations: string[] = [];
  slowestMs = 0;
  readonly #manager: RamaClusterManager;
  readonly #running: Promise<void>;
  /** All that this process has stood still, by whatever it was: no fault of the cluster. */
  #stillMs = 0;
  #stop = false;

  constructor(manager: RamaClusterManager) {
    this.#manager = manager;
    let beforeMs = performance.now();
    const beat = setInterval(() => {
      const now = performance.now();
      this.#stillMs += Math.max(0, now - beforeMs - 200);
      beforeMs = now;
      if (this.#stop) clearInterval(beat);
    }, 100);
    this.#running = this.#run();
  }

  async end(): Promise<void> {
    this.#stop = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const depot = this.#manager.clusterDepot("HostileModule", "*events");
    const counts = this.#manager.clusterPState("HostileModule", "$$counts");
    for (let n = 0; !this.#stop; n++) {
      const userId = `good-${n % 50}`;
      const before = performance.now() - this.#stillMs;
      try {
        await depot.append({ userId, n });
        this.acknowledged.push(n);
        const count = (await counts.selectOne<number>(Path.key(userId))) ?? 0;
        const least = Math.floor(n / 50);
        if (count < least) this.violations.push(`count of ${userId} is ${count} after append ${n}`);
      } catch (error) {
        this.violations.push(`append ${n}: ${(error as RamaError).message}`);
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - this.#stillMs - before);
      if (this.violations.length > 50) return;
      await Bun.sleep(5);
    }
  }

  /** All of it is there, once, and no more than that is counted. */
  async check(): Promise<string[]> {
    const wrong: string[] = [];
    const depot = this.#manager.clusterDepot<{ userId?: unknown; n?: number } | null>("HostileModule", "*events");
    const seen = new Map<number, number>();
    for (let partition = 0; partition < tasks; partition++) {
      const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
      for (let from = startOffset; from < endOffset; ) {
        const records = await depot.read(partition, from, Math.min(endOffset, from + 500));
        from += records.length;
        for (const record of records)
          if (String(record?.userId).startsWith("good-")) seen.set(record!.n!, (seen.get(record!.n!) ?? 0) + 1);
      }
    }
    const lost = this.acknowledged.filter((n) => seen.get(n) !== 1);
    if (lost.length > 0) wrong.push(`${lost.length} good records are not there once, the first is ${lost[0]}`);
    if (this.acknowledged.length === 0) wrong.push("no good append was acknowledged");
    return wrong;
  }
}

/** The processes of the cluster: all have to be the same ones in the end. */
class Watched {
  readonly dead: string[] = [];
  readonly #pids: readonly (readonly [string, number])[];
  readonly #rows = new Map<string, { -readonly [K in keyof ProcessRow]: ProcessRow[K] }>();

  constructor(cluster: LocalCluster) {
    const daemons = (["devZookeeper", "conductor", "supervisor"] as const).map(
      (each) => [each, cluster.pid(each)!] as const,
    );
    this.#pids = [...daemons, ...cluster.workerPids().map((pid) => ["worker", pid] as const)];
    this.sample();
  }

  sample(): void {
    for (const [name, pid] of this.#pids) {
      const now = measure(pid);
      const row = this.#rows.get(name);
      if (now === undefined) {
        if (!this.dead.includes(name)) this.dead.push(name);
      } else if (row === undefined)
        this.#rows.set(name, {
          name,
          rssBeforeMb: now.rssMb,
          rssPeakMb: now.rssMb,
          rssAfterMb: now.rssMb,
          descriptorsBefore: now.descriptors,
          descriptorsPeak: now.descriptors,
          descriptorsAfter: now.descriptors,
        });
      else {
        row.rssAfterMb = now.rssMb;
        row.descriptorsAfter = now.descriptors;
        row.rssPeakMb = Math.max(row.rssPeakMb, now.rssMb);
        row.descriptorsPeak = Math.max(row.descriptorsPeak, now.descriptors);
      }
    }
  }

  rows(): ProcessRow[] {
    return [...this.#rows.values()];
  }
}

/** Descriptors go back by themselves; memory stays below its bound. */
async function settled(watched: Watched): Promise<string[]> {
  const grown = () =>
    watched.rows().filter((row) => row.descriptorsAfter > row.descriptorsBefore + descriptorGrowthMax);
  const deadline = performance.now() + 30_000;
  do {
    await Bun.sleep(300);
    watched.sample();
  } while (grown().length > 0 && performance.now() < deadline);
  return [
    ...grown().map((row) => `${row.name} went from ${row.descriptorsBefore} to ${row.descriptorsAfter} descriptors`),
    ...watched
      .rows()
      .filter((row) => row.rssPeakMb > rssPeakMaxMb)
      .map((row) => `${row.name} had ${Math.round(row.rssPeakMb)} MB`),
    ...watched.dead.map((name) => `${name} has ended`),
  ];
}
