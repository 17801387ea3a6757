// Runs one plan: cluster up, modules launched, load under faults; then everything heals, and within a minute the product has to be whole again: every record that was
// acknowledged is there once and in order, every PState is what a plain fold over the depots gives, proxies agree, and all processes end when asked to.
import { RamaError } from "../../base/errors.ts";
import { Path } from "../../paths/path.ts";
import type { SimulatedClient } from "../client.ts";
import { CLUSTER_STATUS, type ClusterStatusAnswer } from "../../protocol/conductor.ts";
import { dataIdOf } from "../../protocol/cluster-records.ts";
import { localDir, SimulatedCluster } from "../cluster.ts";
import { Faults } from "./faults.ts";
import { History, Stalled, Violation } from "./history.ts";
import { Load } from "./load.ts";
import {
  AuditModule,
  BankModule,
  foldStep,
  groupOf,
  LedgerModule,
  ScratchModule,
  type SimEvent,
  type Transfer,
  userCode,
} from "./modules.ts";
import type { Plan } from "./plan.ts";
import { ReplicaOracles } from "./replica-oracles.ts";
import { replicasUnlike, watchReplicas } from "./replicas.ts";

export interface RunResult {
  readonly seed: number;
  /** undefined: all held. */
  readonly problem: string | undefined;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly records: number;
  readonly operations: number;
  readonly counters: Readonly<Record<string, number>>;
}

export interface RunOptions {
  readonly sink?: (line: string) => void;
  readonly logLevel?: "debug" | "info" | "warn" | "error";
}

/** Everything has to be as it should so long after healing. */
const healMs = 90_000;

export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<RunResult> {
  const run = new Run(plan, options);
  let problem: string | undefined;
  try {
    await run.perform();
  } catch (error) {
    problem = error instanceof Violation ? error.message : `${(error as Error).stack ?? error}`;
    // Without replicas, what stands on a decayed disk is told, and stays away.
    if (error instanceof Stalled && run.isCorruptionTold) problem = undefined;
  } finally {
    userCode.check = () => {};
  }
  const { env, counters } = run.cluster.world;
  return {
    seed: plan.seed,
    problem,
    traceHash: env.traceHash,
    simulatedMs: env.monotonicMs(),
    records: run.history.appends.size,
    operations: run.load.operations,
    counters: { ...counters, ...run.history.codes },
  };
}

class Run {
  readonly cluster: SimulatedCluster;
  readonly history = new History();
  readonly load: Load;
  readonly #replicas = new ReplicaOracles();
  readonly #plan: Plan;
  readonly #faults: Faults;
  #updates = 0;
  #corruptionTold = 0;
  #scratch: Promise<void> = Promise.resolve();
  #scratchIsThere = false;
  #isLoadOver = false;

  constructor(plan: Plan, options: RunOptions) {
    const { seed, nodes, settings, networkMs, syncMs } = plan;
    this.#plan = plan;
    const sink = (line: string) => {
      if (line.includes("STORE_CORRUPT")) this.#corruptionTold++;
      try {
        this.#replicas.line(line);
      } catch (error) {
        this.load.violations.push(error);
      }
      options.sink?.(line);
    };
    this.cluster = new SimulatedCluster({ seed, nodes, settings, networkMs, syncMs, ...options, sink });
    this.load = new Load(this.cluster, plan, this.history);
    this.#faults = new Faults(this.cluster, {
      clientHosts: () => this.load.clientHosts,
      killClient: (whom) => this.load.killClient(whom),
      update: (whom) => this.#update(whom),
      launchOrDestroy: () => this.#launchOrDestroy(),
      leaders: () => this.#replicas.leaders,
    });
  }

  /** A bit has flipped, and somebody has said so. */
  get isCorruptionTold(): boolean {
    const flips = this.cluster.world.counters["fault: bit flip"] ?? 0;
    const told = (this.history.codes["STORE_CORRUPT"] ?? 0) + (this.history.codes["read: STORE_CORRUPT"] ?? 0);
    return flips > 0 && this.#corruptionTold + told > 0;
  }

  async perform(): Promise<void> {
    const { cluster, load } = this;
    const plan = this.#plan;
    cluster.start();
    const launched = this.#launch();
    if (!plan.launchUnderFaults) await cluster.complete(launched, 120_000);
    this.#faults.schedule(plan.faults);
    load.begin();
    const watches = this.#replicated.map((name) => this.#watch(name));
    await this.#run(plan.chaosMs);
    this.#faults.heal();
    if (plan.launchUnderFaults) await cluster.complete(launched, healMs);
    load.end();
    this.#isLoadOver = true;
    await cluster.complete(Promise.all(watches), healMs);
    await this.#until("the clients' calls to end", () => load.isIdle);
    const checker = await cluster.complete(cluster.client());
    if (plan.ledger !== undefined) await this.#checkLedger(checker);
    if (plan.bank !== undefined) await this.#checkBank(checker);
    for (const name of this.#replicated) await this.#checkReplicas(name);
    await this.#checkNothingLeft();
    this.#checkNow();
    const left = await cluster.stop();
    if (left.length > 0) throw new Violation(`did not end within 30 s of SIGTERM: ${left.join(", ")}`);
    this.#checkNow();
  }

  async #launch(): Promise<void> {
    const { ledger, bank, audit } = this.#plan;
    if (ledger !== undefined) await this.cluster.launch(LedgerModule, ledger);
    if (bank !== undefined) await this.cluster.launch(BankModule, bank);
    if (audit !== undefined) await this.cluster.launch(AuditModule, audit);
  }

  /** The world goes on for so long, unless something is found. */
  async #run(ms: number): Promise<void> {
    const { env } = this.cluster.world;
    await env.run(env.monotonicMs() + ms, () => this.#isBroken);
    this.#checkNow();
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>, present = () => ""): Promise<void> {
    const { env } = this.cluster.world;
    const deadlineMs = env.monotonicMs() + healMs;
    while (!(await condition())) {
      if (env.monotonicMs() > deadlineMs)
        throw new Stalled(`waited ${healMs / 1000} s after healing for ${what} ${present()}`);
      await this.#run(100);
    }
  }

  /** Modules with replicas. */
  get #replicated(): string[] {
    const { ledger, bank, audit } = this.#plan;
    return Object.entries({ Ledger: ledger, Bank: bank, Audit: audit })
      .filter(([, launch]) => (launch?.replicationFactor ?? 1) > 1)
      .map(([name]) => name);
  }

  async #watch(name: string): Promise<void> {
    try {
      await watchReplicas(this.cluster, this.#replicas, name, () => this.#isBroken || this.#isLoadOver);
    } catch (error) {
      this.load.violations.push(error);
    }
  }

  get #isBroken(): boolean {
    return this.load.violations.length > 0 || this.cluster.world.failures.length > 0;
  }

  #checkNow(): void {
    const violation = this.load.violations[0];
    if (violation !== undefined) throw violation;
    const failure = this.cluster.world.failures[0];
    if (failure === undefined) return;
    const { where, error } = failure;
    throw new Violation(
      `nobody awaited: ${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }

  #update(whom: number): void {
    const modules = [
      this.#plan.ledger && LedgerModule,
      this.#plan.bank && BankModule,
      this.#plan.audit && AuditModule,
    ].filter((each) => each !== undefined);
    const module = modules[Math.floor(whom * modules.length)]!;
    this.#updates++;
    this.cluster.world.env.spawn("update", async () => {
      try {
        await this.cluster.update(module);
        this.cluster.world.count("module updated");
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
      }
    });
  }

  /** One after the other, whatever becomes of each. */
  #launchOrDestroy(): void {
    const { cluster } = this;
    const { env } = cluster.world;
    this.#scratch = this.#scratch.then(async () => {
      this.#scratchIsThere = !this.#scratchIsThere;
      if (this.#scratchIsThere)
        await cluster.launch(ScratchModule, { tasks: 2, threads: 2, workers: Math.min(2, this.#plan.nodes) });
      else await cluster.destroy("Scratch");
      cluster.world.count(this.#scratchIsThere ? "scratch launched" : "scratch destroyed");
    });
    env.spawn("scratch", () => this.#scratch);
  }

  // After healing

  /** Of modules and instances that are gone nothing stays on any node. */
  async #checkNothingLeft(): Promise<void> {
    const { cluster } = this;
    await cluster.complete(this.#scratch, healMs);
    await cluster.complete(cluster.destroy("Scratch"), healMs);
    let found = "";
    await this.#until(
      "what is gone to be deleted",
      async () => {
        found = await this.#leftovers();
        return found === "";
      },
      () => found,
    );
  }

  async #leftovers(): Promise<string> {
    const { cluster } = this;
    const { workers, data } = await this.#ask(async () => {
      const { modules } = await cluster.call<ClusterStatusAnswer>(CLUSTER_STATUS, {});
      const instances = modules.flatMap((module) => module.instances);
      return {
        workers: new Set(instances.map(({ id }) => id)),
        data: new Set(instances.map(dataIdOf)),
      };
    });
    const gone = (names: readonly string[], ids: ReadonlySet<string>) =>
      names.filter((name) => !ids.has(name.replace(/-w\d+$/, "")));
    return cluster.nodes
      .flatMap((node) => {
        const { disk } = cluster.world.host(node);
        const dir = `${localDir}/supervisor`;
        return [
          ...gone(disk.list(`${dir}/workers`), workers).map((name) => `${node}: workers/${name}`),
          ...gone(disk.list(`${dir}/data`), data).map((name) => `${node}: data/${name}`),
        ];
      })
      .join(", ");
  }

  async #ask<T>(asked: () => Promise<T>): Promise<T> {
    const { env } = this.cluster.world;
    const deadlineMs = env.monotonicMs() + healMs;
    for (;;) {
      try {
        return await this.cluster.complete(asked(), healMs);
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        if (error.code === "STORE_CORRUPT") this.#corruptionTold++;
        if (env.monotonicMs() > deadlineMs)
          throw new Stalled(`no answer ${healMs / 1000} s after healing: ${error.code}: ${error.message}`);
        await this.#run(200);
      }
    }
  }

  async #log<R extends { id: number }>(
    checker: SimulatedClient,
    module: string,
    depot: "*events" | "*transfers",
    tasks: number,
  ): Promise<R[][]> {
    const reader = checker.clusterDepot<R>(module, depot);
    const log: R[][] = [];
    for (let partition = 0; partition < tasks; partition++) {
      const records = await this.#ask(async () => {
        const { startOffset, endOffset } = await reader.getPartitionInfo(partition);
        if (startOffset !== 0) throw new Violation(`${depot}/${partition} begins at ${startOffset}`);
        return reader.read(partition, 0, endOffset);
      });
      log.push(records);
    }
    this.history.checkLog(
      depot,
      log.map((records) => records.map(({ id }) => id)),
    );
    return log;
  }

  async #checkLedger(checker: SimulatedClient): Promise<void> {
    const log = await this.#log<SimEvent>(checker, "Ledger", "*events", this.#plan.ledger!.tasks);
    const counts = new Map<string, number>();
    const inbox = new Map<string, number>();
    const folds = new Map<string, number>();
    for (const { id, key, to } of log.flat()) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
      inbox.set(to, (inbox.get(to) ?? 0) + 1);
      folds.set(key, foldStep(folds.get(key) ?? 7, id));
    }
    // What was open during an update may have been processed twice.
    const isExact = this.#updates === 0;
    await this.#state(checker, "Ledger", "$$counts", counts, isExact);
    await this.#state(checker, "Ledger", "$$inbox", inbox, isExact);
    await this.#state(checker, "Ledger", "$$later", counts, isExact);
    if (this.#plan.audit !== undefined) {
      await this.#state(checker, "Audit", "$$live", counts, isExact);
      await this.#state(checker, "Audit", "$$batched", counts, true);
    }
    // A record that failed runs again behind later ones.
    const inOrder = !this.#plan.faults.some(({ kind }) => kind === "user code throws");
    if (isExact && inOrder) await this.#state(checker, "Ledger", "$$folds", folds, true);
    await this.#checkProxies(checker);
  }

  async #checkProxies(checker: SimulatedClient): Promise<void> {
    for (const { key, state } of this.load.proxies) {
      const value = await this.#ask(() =>
        checker.clusterPState("Ledger", "$$counts").selectOne<number | null>(Path.key(key)),
      );
      await this.#until(
        `the proxy of ${key} to show ${value}; it shows ${state.get()} (${state.getStatus()})`,
        () => state.get() === value || state.getStatus() === "TERMINATED_UNGRACEFULLY",
      );
    }
  }

  async #checkReplicas(name: string): Promise<void> {
    let unlike = "";
    await this.#until(
      `the replicas of ${name} to be level`,
      async () => {
        unlike = await this.#ask(() => replicasUnlike(this.cluster, this.#replicas, name));
        return unlike === "";
      },
      () => unlike,
    );
    this.cluster.world.count("replicas compared");
  }

  async #checkBank(checker: SimulatedClient): Promise<void> {
    const log = await this.#log<Transfer>(checker, "Bank", "*transfers", this.#plan.bank!.tasks);
    const funds = new Map<string, number>();
    const seen = new Map<number, number>();
    const groups = new Map<string, Map<string, number>>();
    const move = (accounts: Map<string, number>, account: string, amt: number) =>
      accounts.set(account, (accounts.get(account) ?? 0) + amt);
    for (const { id, from, to, amt } of log.flat()) {
      move(funds, from, -amt);
      move(funds, to, amt);
      seen.set(id, 1);
      const group = groups.get(groupOf(from)) ?? new Map<string, number>();
      groups.set(groupOf(from), group);
      move(group, from, -amt);
      move(group, to, amt);
    }
    await this.#state(checker, "Bank", "$$funds", funds, true);
    for (const [group, accounts] of groups) {
      await this.#equals(checker, "Bank", "$$groups", group, Object.fromEntries(accounts), true);
    }
    // Each is kept where its record is: on the task of its first account.
    const transfers = log.flat().filter((_, i) => i % Math.ceil(seen.size / 50) === 0);
    for (const { id, from } of transfers) await this.#equals(checker, "Bank", "$$seen", id, 1, true, from);
  }

  async #state(
    checker: SimulatedClient,
    module: string,
    pstate: string,
    expected: ReadonlyMap<string, number>,
    isExact: boolean,
  ): Promise<void> {
    for (const [key, value] of expected) await this.#equals(checker, module, pstate, key, value, isExact);
  }

  async #equals(
    checker: SimulatedClient,
    module: string,
    pstate: string,
    key: string | number,
    expected: unknown,
    isExact: boolean,
    partitionKey?: string,
  ): Promise<void> {
    const client = checker.clusterPState(module, pstate);
    const path = Path.key(key);
    let present: unknown;
    const isSo = async () => {
      present = plain(
        await this.#ask(() =>
          partitionKey === undefined ? client.selectOne(path) : client.selectOne(partitionKey, path),
        ),
      );
      if (isExact) return Bun.deepEquals(present, expected);
      return (present as number) >= (expected as number);
    };
    if (await isSo()) return;
    const { env } = this.cluster.world;
    const deadlineMs = env.monotonicMs() + healMs;
    while (!(await isSo())) {
      if (
        typeof present === "number" &&
        pstate !== "$$funds" &&
        pstate !== "$$folds" &&
        isExact &&
        present > (expected as number)
      )
        break;
      if (env.monotonicMs() > deadlineMs) break;
      await this.#run(200);
    }
    if (!(await isSo()))
      throw new Violation(
        `${pstate} at ${key} is ${JSON.stringify(present)}; a fold over the depot gives ${JSON.stringify(expected)}`,
      );
  }
}
function plain(value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value;
}
