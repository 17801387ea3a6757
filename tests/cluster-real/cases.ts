// The faults: what is done to which part, whether records have to be acknowledged meanwhile, and what ends it. `gate`: also run by `.ci/run`.
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasFaketime, type NodeParts, type RealCluster } from "./nodes.ts";

/** Where a fault strikes: the node that leads the first group, and the two others. */
export interface Scene {
  readonly cluster: RealCluster;
  readonly leader: number;
  readonly others: readonly number[];
}

export interface Case {
  readonly name: string;
  readonly gate?: boolean;
  /** With one replica there is nobody to go on. */
  readonly replicas?: 1;
  /** No acknowledgement can be demanded while it lasts. */
  readonly standsStill?: boolean;
  readonly parts?: NodeParts;
  /** What the machine lacks for it. */
  readonly lacks?: () => string | undefined;
  /** A text: the fault could not be made, for that reason. */
  readonly begin: (scene: Scene) => unknown;
  readonly end: (scene: Scene) => unknown;
}

/** Twice what `disk.min.free` asks to be left. */
const diskBytes = 2 * 1024 * 1024 * 1024;

const kills: readonly Case[] = [
  {
    name: "the leader's worker is killed (kill -9)",
    gate: true,
    begin: ({ cluster, leader }) => {
      for (const pid of cluster.nodes[leader]!.workerPids()) process.kill(pid, "SIGKILL");
    },
    end: () => {},
  },
  {
    name: "the leader's machine loses its power (kill -9 of all of it)",
    begin: ({ cluster, leader }) => cluster.nodes[leader]!.kill(),
    end: ({ cluster, leader }) => cluster.nodes[leader]!.start(),
  },
  {
    name: "the leader's machine stands still (SIGSTOP)",
    gate: true,
    begin: ({ cluster, leader }) => cluster.nodes[leader]!.signal("SIGSTOP"),
    end: ({ cluster, leader }) => cluster.nodes[leader]!.signal("SIGCONT"),
  },
  {
    name: "all workers are killed at once",
    begin: ({ cluster }) => {
      for (const node of cluster.nodes) for (const pid of node.workerPids()) process.kill(pid, "SIGKILL");
    },
    end: () => {},
  },
  {
    name: "the leader's supervisor is killed, its workers go on",
    begin: ({ cluster, leader }) => cluster.nodes[leader]!.killDaemon(),
    end: ({ cluster, leader }) => cluster.nodes[leader]!.start(),
  },
  {
    name: "the conductor is killed",
    begin: ({ cluster }) => cluster.conductor.kill(),
    end: ({ cluster }) => cluster.conductor.start(),
  },
  {
    name: "ZooKeeper is killed and started again",
    begin: ({ cluster }) => cluster.zookeeper.restart(),
    end: () => {},
  },
  {
    name: "ZooKeeper stands still (SIGSTOP)",
    begin: ({ cluster }) => cluster.zookeeper.freeze(),
    end: ({ cluster }) => cluster.zookeeper.resume(),
  },
];

const heal = ({ cluster }: Scene) => {
  for (const machine of cluster.network.machines) cluster.network.heal(machine);
};

const cuts: readonly Case[] = [
  {
    name: "the leader hears all and is heard by no one (one-way cut)",
    gate: true,
    begin: ({ cluster, leader }) => cluster.network.cut(cluster.machine(leader), "out"),
    end: heal,
  },
  {
    name: "the leader is heard by all and hears no one (one-way cut)",
    begin: ({ cluster, leader }) => cluster.network.cut(cluster.machine(leader), "in"),
    end: heal,
  },
  {
    name: "the leader's machine is cut off from everything",
    begin: ({ cluster, leader }) => cluster.network.cut(cluster.machine(leader)),
    end: heal,
  },
  {
    name: "the leader and one follower do not reach each other",
    begin: ({ cluster, leader, others }) =>
      cluster.network.cut(cluster.machine(leader), "both", cluster.machine(others[0]!).address),
    end: heal,
  },
  {
    name: "the leader is cut off from its followers alone",
    // It keeps its session and its clients, so it goes on leading: those that could take over have nothing that says it should not.
    standsStill: true,
    begin: ({ cluster, leader, others }) => {
      for (const other of others) cluster.network.cut(cluster.machine(leader), "both", cluster.machine(other).address);
    },
    end: heal,
  },
  {
    name: "each machine is not heard by the next one (ring)",
    standsStill: true,
    begin: ({ cluster }) => {
      const { machines } = cluster.network;
      for (const [i, machine] of machines.entries())
        cluster.network.cut(machine, "out", machines[(i + 1) % machines.length]!.address);
    },
    end: heal,
  },
  {
    name: "the leader's machine does not reach ZooKeeper alone",
    begin: ({ cluster, leader }) =>
      cluster.network.cut(cluster.machine(leader), "both", cluster.network.address, cluster.zookeeper.port),
    end: heal,
  },
];

const lines: readonly Case[] = [
  {
    name: "a follower's link carries 2 Mbit/s",
    begin: ({ cluster, others }) =>
      cluster.network.narrow(cluster.machine(others[0]!), "2mbit") ? undefined : "this kernel has no tbf",
    end: ({ cluster, others }) => cluster.network.widen(cluster.machine(others[0]!)),
  },
  {
    name: "a follower's packets come late (10 to 40 ms), in another order, 1 % never",
    begin: ({ cluster, others }) =>
      cluster.network.disturb(cluster.machine(others[0]!), { delayMs: 10, jitterMs: 30, lossPercent: 1 }),
    end: ({ cluster, others }) => cluster.network.smooth(cluster.machine(others[0]!)),
  },
  {
    name: "the leader's packets come late (10 to 40 ms), in another order, 1 % never",
    begin: ({ cluster, leader }) =>
      cluster.network.disturb(cluster.machine(leader), { delayMs: 10, jitterMs: 30, lossPercent: 1 }),
    end: ({ cluster, leader }) => cluster.network.smooth(cluster.machine(leader)),
  },
];

const filler = ({ cluster }: Scene, node: number) => join(cluster.nodes[node]!.home, "local-rama-data/filler");

/** Leaves the file system without a block. */
function fill(scene: Scene, node: number): void {
  const file = filler(scene, node);
  const { bavail, bsize } = statfsSync(join(file, ".."));
  Bun.spawnSync(["dd", "if=/dev/zero", `of=${file}`, "bs=1M", `count=${Math.ceil((bavail * bsize) / 1e6) + 8}`]);
}

function setClock({ cluster }: Scene, node: number, shift: string): void {
  writeFileSync(join(cluster.nodes[node]!.home, "clock"), `${shift}\n`);
}

const machines: readonly Case[] = [
  {
    name: "a follower's file system is full",
    parts: { diskBytes },
    begin: (scene) => fill(scene, scene.others[0]!),
    end: (scene) => rmSync(filler(scene, scene.others[0]!), { force: true }),
  },
  {
    name: "the leader's file system is full",
    parts: { diskBytes },
    // It goes on leading, and refuses appends with DISK_FULL.
    standsStill: true,
    begin: (scene) => fill(scene, scene.leader),
    end: (scene) => rmSync(filler(scene, scene.leader), { force: true }),
  },
  {
    name: "the leader's clock is a day ahead, then right again",
    parts: { clock: true },
    lacks: () => (hasFaketime() ? undefined : "libfaketime (apt-get install faketime)"),
    begin: (scene) => setClock(scene, scene.leader, "+1d"),
    end: (scene) => setClock(scene, scene.leader, "+0"),
  },
  {
    name: "the leader's clock is an hour behind, then right again",
    parts: { clock: true },
    lacks: () => (hasFaketime() ? undefined : "libfaketime (apt-get install faketime)"),
    begin: (scene) => setClock(scene, scene.leader, "-1h"),
    end: (scene) => setClock(scene, scene.leader, "+0"),
  },
];

const alone: readonly Case[] = [
  {
    name: "without replicas: a machine loses its power",
    replicas: 1,
    standsStill: true,
    begin: ({ cluster }) => cluster.nodes[1]!.kill(),
    end: ({ cluster }) => cluster.nodes[1]!.start(),
  },
  {
    name: "without replicas: a machine stands still (SIGSTOP)",
    replicas: 1,
    standsStill: true,
    begin: ({ cluster }) => cluster.nodes[2]!.signal("SIGSTOP"),
    end: ({ cluster }) => cluster.nodes[2]!.signal("SIGCONT"),
  },
  {
    name: "without replicas: a machine is heard by no one (one-way cut)",
    replicas: 1,
    standsStill: true,
    begin: ({ cluster }) => cluster.network.cut(cluster.machine(0), "out"),
    end: heal,
  },
];

export const cases: readonly Case[] = [...kills, ...cuts, ...lines, ...machines, ...alone];
