// Performs the faults of a plan on a cluster, counts each kind, and takes everything back (`heal`).
import type { MemoryDisk } from "../../storage/disk-memory.ts";
import { localDir, type SimulatedCluster } from "../cluster.ts";
import type { SimulatedProcess } from "../process.ts";
import { metastoreHost } from "../world.ts";
import { userCode } from "./modules.ts";
import type { Fault, FaultKind } from "./plan.ts";

export interface FaultTargets {
  /** Hosts of clients, for cuts. */
  readonly clientHosts: () => readonly string[];
  /** Kills a client and starts another one in its place. */
  readonly killClient: (whom: number) => boolean;
  /** Updates one of the modules to itself. */
  readonly update: (whom: number) => void;
  /** Launches a small module of its own, or destroys it. */
  readonly launchOrDestroy?: (() => void) | undefined;
  /** Processes that lead a task group, as `host/name`. */
  readonly leaders?: (() => readonly string[]) | undefined;
}

/** What user code throws while a run wants it to. */
export class UserCodeFault extends Error {}

export class Faults {
  readonly #cluster: SimulatedCluster;
  readonly #targets: FaultTargets;
  readonly #paused = new Set<SimulatedProcess>();
  readonly #cuts = new Map<string, readonly [string, string]>();
  readonly #armed = new Set<SimulatedProcess>();
  #healed = false;
  #slowNetworkMs = 0;

  constructor(cluster: SimulatedCluster, targets: FaultTargets) {
    this.#cluster = cluster;
    this.#targets = targets;
    const { network } = cluster.world;
    const delayMs = network.options.delayMs!;
    network.options.delayMs = (from, to) =>
      delayMs(from, to) + (this.#slowNetworkMs > 0 ? cluster.world.env.random() * this.#slowNetworkMs : 0);
  }

  schedule(faults: readonly Fault[]): void {
    const { env } = this.#cluster.world;
    for (const fault of faults) {
      env.setTimer(fault.atMs, () => {
        if (this.#healed) return;
        env.trace(`fault ${fault.kind}`);
        env.log.info(`fault: ${fault.kind}`, { forMs: fault.forMs });
        if (this.#strike(fault)) this.#cluster.world.count(`fault: ${fault.kind}`);
      });
    }
  }

  /** Whatever stands in the way goes; what was killed is started again by whoever does that. */
  heal(): void {
    this.#healed = true;
    const { world } = this.#cluster;
    for (const process of this.#armed) process.killAtCall(0);
    for (const process of this.#paused) process.resume();
    this.#paused.clear();
    for (const [a, b] of this.#cuts.values()) world.network.heal(a, b);
    this.#cuts.clear();
    world.metastoreIsUp = true;
    this.#slowNetworkMs = 0;
    userCode.check = () => {};
    for (const host of world.hosts) {
      host.atSync = undefined;
      host.trouble.failing = 0;
      host.trouble.slowMs = 0;
      delete (host.disk.options as { capacityBytes?: number }).capacityBytes;
      if (!host.isUp) this.#cluster.powerOn(host.name);
    }
  }

  /** False when there was nobody to strike. */
  #strike(fault: Fault): boolean {
    return strikes[fault.kind](this, this.#cluster, fault);
  }

  // For the table below.

  get targets(): FaultTargets {
    return this.#targets;
  }

  later(ms: number, fn: () => void): void {
    this.#cluster.world.env.setTimer(ms, () => {
      if (!this.#healed) fn();
    });
  }

  pause(process: SimulatedProcess, forMs: number): void {
    process.pause();
    this.#paused.add(process);
    this.later(forMs, () => {
      if (this.#paused.delete(process)) process.resume();
    });
  }

  cut(a: string, b: string, forMs: number, isOneWay = false): boolean {
    const key = a < b ? `${a}|${b}` : `${b}|${a}`;
    if (a === b || this.#cuts.has(key)) return false;
    const { network } = this.#cluster.world;
    this.#cuts.set(key, [a, b]);
    if (isOneWay) network.cutOneWay(a, b);
    else network.cut(a, b);
    this.later(forMs, () => {
      if (this.#cuts.delete(key)) network.heal(a, b);
    });
    return true;
  }

  arm(process: SimulatedProcess, calls: number): void {
    this.#armed.add(process);
    process.killAtCall(calls);
  }

  slowNetwork(ms: number): void {
    this.#slowNetworkMs = ms;
  }
}

type Strike = (faults: Faults, cluster: SimulatedCluster, fault: Fault) => boolean;

function filesBelow(disk: MemoryDisk, dir: string): string[] {
  return disk.list(dir).flatMap((name) => {
    const path = `${dir}/${name}`;
    const inside = filesBelow(disk, path);
    return inside.length > 0 || !disk.isFile(path) ? inside : [path];
  });
}

function pick<T>(all: readonly T[], whom: number): T | undefined {
  return all[Math.floor(whom * all.length)];
}

function kill(process: SimulatedProcess | undefined): boolean {
  process?.kill();
  return process !== undefined;
}

/** In the middle of running code: few calls are more likely than many. */
function killAtCall(faults: Faults, process: SimulatedProcess | undefined, { whomElse }: Fault): boolean {
  if (process !== undefined) faults.arm(process, 1 + Math.floor(whomElse * whomElse * 400));
  return process !== undefined;
}

function node(cluster: SimulatedCluster, whom: number): string {
  return pick(cluster.nodes, whom)!;
}

function powerCut(faults: Faults, cluster: SimulatedCluster, name: string, forMs: number): boolean {
  if (!cluster.world.host(name).isUp) return false;
  cluster.powerCut(name);
  faults.later(200 + forMs, () => cluster.powerOn(name));
  return true;
}

/** The host of a leader, from the other nodes: not from clients or the metastore. One way: it hears them, or they hear it. */
function cutLeaderOff(faults: Faults, cluster: SimulatedCluster, { whom, whomElse, forMs }: Fault, oneWay: boolean) {
  const leader = pick(faults.targets.leaders?.() ?? [], whom)?.split("/")[0];
  if (leader === undefined) return false;
  const isHeard = whomElse < 0.5;
  const others = cluster.nodes.filter((name) => name !== leader);
  const cuts = others.map((other) =>
    isHeard ? faults.cut(other, leader, forMs, oneWay) : faults.cut(leader, other, forMs, oneWay),
  );
  return cuts.includes(true);
}

const strikes: Readonly<Record<FaultKind, Strike>> = {
  "kill worker": (_, cluster, { whom }) => kill(pick(cluster.workers, whom)),
  "kill worker at a call": (faults, cluster, fault) => killAtCall(faults, pick(cluster.workers, fault.whom), fault),
  "kill supervisor": (_, cluster, { whom }) => kill(cluster.daemon("supervisor", node(cluster, whom))),
  "kill supervisor at a call": (faults, cluster, fault) =>
    killAtCall(faults, cluster.daemon("supervisor", node(cluster, fault.whom)), fault),
  "kill conductor at a call": (faults, cluster, fault) =>
    killAtCall(faults, cluster.daemon("conductor", cluster.nodes[0]!), fault),
  "kill conductor": (_, cluster) => kill(cluster.daemon("conductor", cluster.nodes[0]!)),
  "kill all": (_, cluster) => {
    const all = [...cluster.workers, ...cluster.daemons];
    for (const process of all) process.kill();
    return all.length > 0;
  },
  "kill client": (faults, _, { whom }) => faults.targets.killClient(whom),
  "power cut": (faults, cluster, { whom, forMs }) => powerCut(faults, cluster, node(cluster, whom), forMs),
  "power cut in a sync": (faults, cluster, { whom, whomElse, forMs }) => {
    const name = node(cluster, whom);
    const strike = () => void powerCut(faults, cluster, name, forMs);
    cluster.world.host(name).atSync = { left: 1 + Math.floor(whomElse * 20), strike };
    return true;
  },
  "power cut of all": (faults, cluster, { forMs }) =>
    cluster.nodes.map((name) => powerCut(faults, cluster, name, forMs)).includes(true),
  "disk full": (faults, cluster, { whom, whomElse, forMs }) => {
    const { disk } = cluster.world.host(node(cluster, whom));
    const options = disk.options as { capacityBytes?: number };
    options.capacityBytes = disk.usedBytes + Math.floor(whomElse * 100_000);
    faults.later(forMs, () => delete options.capacityBytes);
    return true;
  },
  "kill worker and power cut": (faults, cluster, { whom, whomElse, forMs }) => {
    const worker = pick(cluster.workers, whom);
    if (worker === undefined) return false;
    worker.kill();
    // About when the next process has opened the stores.
    faults.later(20 + whomElse * 300, () => powerCut(faults, cluster, worker.host.name, forMs));
    return true;
  },
  "bit flip": (_, cluster, { whom, whomElse }) => {
    const { disk } = cluster.world.host(node(cluster, whom));
    const data = `${localDir}/supervisor/data`;
    const files = disk
      .list(data)
      .flatMap((worker) => disk.list(`${data}/${worker}`).map((store) => `${data}/${worker}/${store}`))
      .flatMap((store) => [...filesBelow(disk, `${store}/log`), ...filesBelow(disk, `${store}/depots`)]);
    const path = pick(files, (whomElse * 97) % 1);
    return path !== undefined && disk.decay(path, Math.floor(whomElse * disk.size(path)), 1 << Math.floor(whom * 8));
  },
  "failing syncs": (faults, cluster, { whom, whomElse, forMs }) => {
    const { trouble } = cluster.world.host(node(cluster, whom));
    trouble.failing = 0.05 + whomElse * 0.5;
    faults.later(Math.min(forMs, 1_000), () => {
      trouble.failing = 0;
    });
    return true;
  },
  "slow syncs": (faults, cluster, { whom, whomElse, forMs }) => {
    const { trouble } = cluster.world.host(node(cluster, whom));
    trouble.slowMs = 10 + whomElse * 200;
    faults.later(forMs, () => {
      trouble.slowMs = 0;
    });
    return true;
  },
  cut: (faults, cluster, { whom, whomElse, forMs }) => {
    const hosts = [...cluster.nodes, ...faults.targets.clientHosts()];
    return faults.cut(node(cluster, whom), pick(hosts, whomElse)!, forMs);
  },
  "one-way cut": (faults, cluster, { whom, whomElse, forMs }) => {
    const hosts = [...cluster.nodes, ...faults.targets.clientHosts()];
    const ends = [node(cluster, whom), pick(hosts, whomElse)!] as const;
    return faults.cut(ends[forMs % 2]!, ends[1 - (forMs % 2)]!, forMs, true);
  },
  "metastore cut": (faults, cluster, { whom, forMs }) => faults.cut(node(cluster, whom), metastoreHost, forMs),
  "metastore outage": (faults, { world }, { forMs }) => {
    if (!world.metastoreIsUp) return false;
    world.metastoreIsUp = false;
    faults.later(forMs, () => {
      world.metastoreIsUp = true;
    });
    return true;
  },
  "metastore session": (_, { world }, { whom }) => {
    const session = pick([...world.sessions], whom);
    session?.expire();
    return session !== undefined;
  },
  "pause worker": (faults, cluster, { whom, forMs }) => {
    const worker = pick(cluster.workers, whom);
    if (worker === undefined || worker.paused) return false;
    faults.pause(worker, forMs);
    return true;
  },
  "pause host": (faults, cluster, { whom, forMs }) => {
    const { processes } = cluster.world.host(node(cluster, whom));
    const all = [...processes.values()].filter((process) => process.alive && !process.paused);
    for (const process of all) faults.pause(process, forMs);
    return all.length > 0;
  },
  "slow network": (faults, _, { whom, forMs }) => {
    faults.slowNetwork(5 + whom * whom * 400);
    faults.later(forMs, () => faults.slowNetwork(0));
    return true;
  },
  "lost connections": (faults, cluster, { whom, whomElse }) => {
    const hosts = [...cluster.nodes, ...faults.targets.clientHosts()];
    cluster.world.network.closeConnections(node(cluster, whom), pick(hosts, whomElse)!);
    return true;
  },
  "clock jump": (_, cluster, { whom, whomElse }) => {
    const host = cluster.world.host(node(cluster, whom));
    host.clockOffsetMs += (whomElse - 0.5) * (whom > 0.7 ? 86_400_000 : 20_000);
    return true;
  },
  "user code throws": (faults, { world }, { whom, forMs }) => {
    const share = 0.02 + whom * whom * 0.5;
    userCode.check = () => {
      if (world.env.random() >= share) return;
      world.count("user code threw");
      throw new UserCodeFault("the plan wants it");
    };
    faults.later(Math.min(forMs, 3_000), () => {
      userCode.check = () => {};
    });
    return true;
  },
  "module update": (faults, _, { whom }) => {
    faults.targets.update(whom);
    return true;
  },
  "launch and destroy": ({ targets }) => {
    targets.launchOrDestroy?.();
    return targets.launchOrDestroy !== undefined;
  },
  "leader cut off": (faults, cluster, fault) => cutLeaderOff(faults, cluster, fault, false),
  "leader cut off one way": (faults, cluster, fault) => cutLeaderOff(faults, cluster, fault, true),
  "leader's session": (faults, { world }, { whom }) => {
    const leader = pick(faults.targets.leaders?.() ?? [], whom);
    const sessions = [...world.sessions].filter(({ owner }) => owner === leader);
    for (const session of sessions) session.expire();
    return sessions.length > 0;
  },
};
