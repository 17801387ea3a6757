// What a soak does to its cluster, one fault at a time: each ends healed, so that all has to go on afterwards.
import type { LocalCluster } from "../local-cluster.ts";
import type { SoakLoad } from "./load.ts";
import { clearDisk, fillDisk, signal, type SoakCluster } from "./cluster.ts";

export interface Fault {
  readonly name: string;
  /** Of all faults drawn; relative. */
  readonly weight: number;
  run(): Promise<void>;
}

export interface FaultsOptions {
  readonly cluster: SoakCluster;
  readonly loads: readonly SoakLoad[];
  readonly random: () => number;
}

export function soakFaults({ cluster, loads, random }: FaultsOptions): Fault[] {
  const { first, nodes, smallDisk } = cluster;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const between = (least: number, most: number): Promise<void> => Bun.sleep(least + random() * (most - least));
  const worker = (): number | undefined => pick(nodes.flatMap((node) => node.workerPids()));

  const killed = async (node: LocalCluster, daemon: "devZookeeper" | "conductor" | "supervisor"): Promise<void> => {
    await node.kill(daemon);
    await between(0, 5_000);
    await cluster.start(node, daemon);
  };
  /** Stands still and goes on again. */
  const stopped = async (pids: readonly (number | undefined)[], leastMs: number, mostMs: number): Promise<void> => {
    const there = pids.filter((pid) => pid !== undefined && signal(pid, "SIGSTOP")) as number[];
    await between(leastMs, mostMs);
    for (const pid of there) signal(pid, "SIGCONT");
  };
  const filled = async (freeBytes: number): Promise<void> => {
    fillDisk(smallDisk!, freeBytes);
    try {
      await between(3_000, 8_000);
    } finally {
      clearDisk(smallDisk!);
    }
  };

  const faults: Fault[] = [
    {
      name: "kill a worker",
      weight: 6,
      async run() {
        const pid = worker();
        if (pid !== undefined) signal(pid, "SIGKILL");
      },
    },
    { name: "kill a supervisor", weight: 2, run: () => killed(pick(nodes), "supervisor") },
    { name: "kill the conductor", weight: 2, run: () => killed(first, "conductor") },
    { name: "kill devZookeeper", weight: 2, run: () => killed(first, "devZookeeper") },
    {
      name: "kill a node",
      weight: 3,
      async run() {
        const node = pick(nodes.slice(1));
        await cluster.kill(node, ["supervisor"], true);
        await between(2_000, 12_000);
        await cluster.start(node, "supervisor");
      },
    },
    {
      name: "kill everything",
      weight: 1,
      async run() {
        const all = nodes.map((node) =>
          cluster.kill(node, node === first ? ["devZookeeper", "conductor", "supervisor"] : ["supervisor"], true),
        );
        await Promise.all(all);
        for (const daemon of ["devZookeeper", "conductor"] as const) await cluster.start(first, daemon);
        for (const node of nodes) await cluster.start(node, "supervisor");
      },
    },
    { name: "stop a worker (1-15 s)", weight: 4, run: () => stopped([worker()], 1_000, 15_000) },
    {
      name: "stop a node (3-20 s)",
      weight: 2,
      async run() {
        const node = pick(nodes.slice(1));
        await stopped([node.pid("supervisor"), ...node.workerPids()], 3_000, 20_000);
      },
    },
    { name: "stop devZookeeper (1-10 s)", weight: 1, run: () => stopped([first.pid("devZookeeper")], 1_000, 10_000) },
    { name: "stop the conductor (1-10 s)", weight: 1, run: () => stopped([first.pid("conductor")], 1_000, 10_000) },
    {
      name: "update a module",
      weight: 2,
      run() {
        const load = pick(loads);
        load.updates++;
        return cluster.deploy("update", load.module);
      },
    },
  ];
  if (smallDisk !== undefined) {
    faults.push({ name: "disk of a node nearly full", weight: 2, run: () => filled(4 * 1024 * 1024) });
    faults.push({ name: "disk of a node full", weight: 1, run: () => filled(0) });
  }
  return faults;
}

export function drawn(faults: readonly Fault[], random: () => number): Fault {
  let left = random() * faults.reduce((sum, { weight }) => sum + weight, 0);
  for (const fault of faults) {
    left -= fault.weight;
    if (left < 0) return fault;
  }
  return faults.at(-1)!;
}
