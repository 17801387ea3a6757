// What one seed does, drawn before anything runs: the cluster, the load and every fault with its time. Each seed switches on a few kinds of faults only (swarm
// testing: a run with everything hides what a run with two kinds shows). A plan is data, so that a failing one can be made smaller.
import { Chance } from "../chance.ts";
import type { SimulatedLaunch } from "../cluster.ts";

export const faultKinds = [
  "kill worker",
  "kill worker at a call",
  "kill supervisor",
  "kill supervisor at a call",
  "kill conductor",
  "kill conductor at a call",
  "kill all",
  "kill client",
  "power cut",
  "power cut in a sync",
  "power cut of all",
  "kill worker and power cut",
  "disk full",
  "bit flip",
  "failing syncs",
  "slow syncs",
  "cut",
  "one-way cut",
  "metastore cut",
  "metastore outage",
  "metastore session",
  "pause worker",
  "pause host",
  "slow network",
  "lost connections",
  "clock jump",
  "user code throws",
  "module update",
  "launch and destroy",
  "leader cut off",
  "leader cut off one way",
  "leader's session",
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** These aim at the leader of a task group; drawn apart, for seeds with replicas. */
export const leaderKinds: readonly FaultKind[] = ["leader cut off", "leader cut off one way", "leader's session"];

export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** How long it lasts, where it lasts. */
  readonly forMs: number;
  /** Picks whom it strikes, in [0, 1); and whom else. */
  readonly whom: number;
  readonly whomElse: number;
}

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly ledger: SimulatedLaunch | undefined;
  readonly bank: SimulatedLaunch | undefined;
  /** Reads what Ledger is appended. */
  readonly audit: SimulatedLaunch | undefined;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly networkMs: number;
  readonly syncMs: number;
  readonly clients: number;
  readonly keys: number;
  /** Of each client. */
  readonly operations: number;
  readonly thinkMs: number;
  /** Operations of one client that may be under way at once. */
  readonly width: number;
  readonly proxies: number;
  /** Modules are launched while faults strike already. */
  readonly launchUnderFaults: boolean;
  readonly chaosMs: number;
  readonly faults: readonly Fault[];
}

export interface PlanOptions {
  /** Simulated milliseconds under faults. */
  readonly chaosMs: number;
  /** Kinds to draw from; all when left out. */
  readonly kinds?: readonly FaultKind[];
  /** Half of the seeds with replicas get faults that aim at leaders, beside the others. What these have found is not all mended (docs/reliability.md): not by default. */
  readonly leaders?: boolean;
}

/** Those that strike everything are rarer. */
const weights: Partial<Record<FaultKind, number>> = {
  "kill all": 0.3,
  "power cut of all": 0.4,
  "module update": 0.3,
  "bit flip": 0.4,
  "launch and destroy": 0.5,
};

export function planOf(seed: number, options: PlanOptions): Plan {
  const chance = new Chance(seed);
  const replicas = replicasOf(seed);
  const drawn = chance.of([1, 1, 2, 2, 3]);
  const nodes = Math.max(drawn, replicas.nodes);
  const launch = (): SimulatedLaunch => {
    const tasks = chance.of([1, 2, 4, 8]);
    const threads = chance.int(1, tasks);
    const workers = chance.int(1, Math.min(threads, drawn * 2));
    return replicas.factor === 1
      ? { tasks, threads, workers }
      : { tasks, threads, workers: Math.min(workers, 2), replicationFactor: replicas.factor };
  };
  const modules = chance.of(["ledger", "bank", "both", "both"]);
  const { chaosMs } = options;
  return {
    seed,
    nodes,
    ledger: modules === "bank" ? undefined : launch(),
    bank: modules === "ledger" ? undefined : launch(),
    audit: modules === "bank" || chance.maybe(0.6) ? undefined : launch(),
    settings: settingsOf(chance),
    networkMs: chance.of([0.1, 0.3, 0.3, 2, 20]),
    syncMs: chance.of([0.2, 0.8, 0.8, 4]),
    clients: chance.int(1, 3),
    keys: chance.int(1, 12),
    operations: Math.round(chaosMs / chance.of([20, 40, 100])),
    thinkMs: chance.of([5, 20, 40]),
    width: chance.of([1, 2, 8]),
    proxies: chance.of([0, 1, 3]),
    launchUnderFaults: chance.maybe(0.25),
    chaosMs,
    faults: [...faultsOf(chance, options), ...(replicas.factor === 1 ? [] : leaderFaultsOf(seed, options))],
  };
}

function leaderFaultsOf(seed: number, { chaosMs, leaders = false }: PlanOptions): Fault[] {
  const chance = new Chance(seed ^ 0x1ead_e45);
  return !leaders || chance.maybe(0.5) ? [] : faultsOf(chance, { chaosMs, kinds: leaderKinds });
}

/** Every second seed has replicas; drawn apart, so that the others are what they were. */
function replicasOf(seed: number): { readonly factor: number; readonly nodes: number } {
  const chance = new Chance(seed ^ 0x5e9_1ca5);
  if (chance.maybe(0.5)) return { factor: 1, nodes: 1 };
  const factor = chance.of([2, 3, 3]);
  return { factor, nodes: factor + (chance.maybe(0.25) ? 1 : 0) };
}

/** Settings that make rare things happen: small files, short timeouts, few ports. */
export function settingsOf(chance: Chance): Record<string, unknown> {
  return {
    "supervisor.port.range": chance.of([0, [3000, 3063]]),
    "worker.task.threads": chance.of([1, 1, 2]),
    "zookeeper.session.timeout.millis": chance.of([1_000, 4_000, 10_000]),
    "supervisor.worker.heartbeat.timeout.millis": chance.of([1_500, 5_000]),
    "log.segment.bytes": chance.of([4 * 1024, 16 * 1024, 16 * 1024 * 1024]),
    "foreign.depot.operation.timeout.millis": chance.of([1_000, 5_000, 20_000]),
    "topology.stream.timeout.seconds": chance.of([2, 30]),
    "topology.microbatch.phase.timeout.seconds": chance.of([2, 30]),
    "depot.microbatch.max.records": chance.of([3, 20, 1000]),
  };
}

/** Faults at random times, of some of the kinds. */
export function faultsOf(chance: Chance, { chaosMs, kinds = faultKinds }: PlanOptions): Fault[] {
  const drawn = kinds === faultKinds ? kinds.filter((kind) => !leaderKinds.includes(kind)) : kinds;
  const enabled = drawn.filter(() => chance.maybe(0.22));
  if (enabled.length === 0) enabled.push(chance.of(drawn));
  const everyMs = chance.of([500, 1_500, 4_000]);
  const faults: Fault[] = [];
  for (let atMs = chance.wait(everyMs); atMs < chaosMs; atMs += chance.wait(everyMs)) {
    const kind = chance.of(enabled);
    const fault: Fault = {
      kind,
      atMs: Math.round(atMs),
      forMs: Math.round(chance.wait(chance.of([300, 2_000, 8_000]))),
      whom: chance.random(),
      whomElse: chance.random(),
    };
    if (chance.maybe(weights[kind] ?? 1)) faults.push(fault);
  }
  return faults;
}
