// For authors: their own modules in a simulated cluster under faults, from a seed, with their own invariants. The same seed gives the same run, so that what one night's
// fresh seed has found stays as a test.
import { messageOf, RamaError } from "../base/errors.ts";
import type { RamaModule } from "../module/module.ts";
import { Chance } from "./chance.ts";
import type { SimulatedClient } from "./client.ts";
import { SimulatedCluster, type SimulatedLaunch } from "./cluster.ts";
import { Faults } from "./swarm/faults.ts";
import { faultKinds, faultsOf, type FaultKind, leaderKinds, settingsOf } from "./swarm/plan.ts";

export interface SimulatedModule extends SimulatedLaunch {
  readonly module: new () => RamaModule;
}

/** What a program under faults may ask beside its client. */
export interface LoadContext {
  /** Uniform in [0, 1), from the seed. `Math.random` would make each run another one. */
  readonly random: () => number;
  /** Simulated milliseconds. */
  readonly sleep: (ms: number) => Promise<unknown>;
  /** The time under faults is over: return. */
  readonly isOver: () => boolean;
  /** The programs are counted from 0; one in the place of a killed one has a new number. */
  readonly number: number;
}

export interface SimulateOptions {
  readonly seed: number;
  /** In the order of their dependencies. */
  readonly modules: readonly SimulatedModule[];
  /** Hosts with a supervisor each. Default 2. */
  readonly nodes?: number;
  /** Kinds of faults; which of them strike, and when, comes from the seed. Default: all. */
  readonly faults?: readonly FaultKind[];
  /** Simulated time under faults. Default 10,000. */
  readonly faultsMs?: number;
  /** How many programs run `load` at once. Default 2. */
  readonly programs?: number;
  /**
   * A program that uses the modules. It may be killed at any await. RamaErrors of its calls that it does not catch end it; another one takes its place. Anything else
   * that it throws is a failure.
   */
  readonly load: (client: SimulatedClient, context: LoadContext) => Promise<void>;
  /** What holds at every moment: called again and again under faults. RamaErrors (nobody answers) count as nothing seen; anything else that it throws is a failure. */
  readonly always?: (client: SimulatedClient) => Promise<void>;
  /** What holds after all has healed: tried until it throws nothing, for a simulated minute at most. */
  readonly afterwards?: (client: SimulatedClient) => Promise<void>;
  /** Receives the log of all processes. */
  readonly sink?: (line: string) => void;
  /** Settings, as in rama.yaml; some are drawn from the seed where nothing is said. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

export interface SimulateReport {
  readonly seed: number;
  /** The same for the same seed and the same code. */
  readonly traceHash: string;
  readonly simulatedMs: number;
  /** How often each kind of fault has struck, and what followed. */
  readonly counters: Readonly<Record<string, number>>;
}

/** User code of the modules throws when its author wants it to. */
const ownFaults = faultKinds.filter((kind) => kind !== "user code throws" && !leaderKinds.includes(kind));
const afterwardsMs = 60_000;
const alwaysEveryMs = 50;

/** Runs one seed. Rejects with what was broken, and with the seed, so that it can be run again. */
export async function simulate(options: SimulateOptions): Promise<SimulateReport> {
  const simulation = new Simulation(options);
  try {
    return await simulation.run();
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${messageOf(error)}`, { cause: error });
  }
}

class Simulation {
  readonly #options: SimulateOptions;
  readonly #cluster: SimulatedCluster;
  readonly #faults: Faults;
  readonly #programs = new Set<SimulatedClient>();
  #started = 0;
  #isOver = false;
  #broken: unknown;
  #isBroken = false;

  constructor(options: SimulateOptions) {
    this.#options = options;
    const { seed, nodes = 2, settings = {}, sink } = options;
    const drawn = settingsOf(new Chance(seed + 1));
    this.#cluster = new SimulatedCluster({
      seed,
      nodes,
      settings: { ...drawn, ...settings },
      ...(sink === undefined ? {} : { sink }),
    });
    this.#faults = new Faults(this.#cluster, {
      clientHosts: () => [...this.#programs].map((client) => client.process.host.name),
      killClient: (whom) => this.#killProgram(whom),
      update: (whom) => this.#update(whom),
    });
  }

  async run(): Promise<SimulateReport> {
    const { seed, modules, faultsMs = 10_000, faults = ownFaults, programs = 2 } = this.#options;
    const cluster = this.#cluster;
    const { env, counters } = cluster.world;
    cluster.start();
    for (const { module, ...launch } of modules) await cluster.complete(cluster.launch(module, launch));
    this.#faults.schedule(faultsOf(new Chance(seed), { chaosMs: faultsMs, kinds: faults }));
    for (let i = 0; i < programs; i++) this.#startProgram();
    this.#watch();
    await this.#runFor(faultsMs);
    this.#isOver = true;
    this.#faults.heal();
    await this.#afterwards();
    const left = await cluster.stop();
    if (left.length > 0) throw new Error(`did not end within 30 s of SIGTERM: ${left.join(", ")}`);
    this.#check();
    return { seed, traceHash: env.traceHash, simulatedMs: env.monotonicMs(), counters };
  }

  #startProgram(): void {
    const number = this.#started++;
    const chance = new Chance(this.#options.seed * 31 + number);
    void this.#cluster.client().then((client) => {
      this.#programs.add(client);
      const { process } = client;
      const context: LoadContext = {
        random: chance.random,
        sleep: (ms) => process.sleep(ms),
        isOver: () => this.#isOver,
        number,
      };
      process.spawn("load", async () => {
        await this.#guarded(() => this.#options.load(client, context));
        this.#programs.delete(client);
        if (this.#isOver) return;
        await process.sleep(20);
        this.#startProgram();
      });
    });
  }

  #killProgram(whom: number): boolean {
    const client = [...this.#programs][Math.floor(whom * this.#programs.size)];
    if (client === undefined) return false;
    this.#programs.delete(client);
    client.process.kill();
    if (!this.#isOver) this.#startProgram();
    return true;
  }

  #update(whom: number): void {
    const { modules } = this.#options;
    const { module } = modules[Math.floor(whom * modules.length)]!;
    this.#cluster.world.env.spawn("update", () => this.#guarded(() => this.#cluster.update(module)));
  }

  #watch(): void {
    const { always } = this.#options;
    if (always === undefined) return;
    void this.#cluster.client().then((client) => {
      client.process.spawn("always", async () => {
        while (!this.#isOver) {
          await this.#guarded(() => always(client));
          await client.process.sleep(alwaysEveryMs);
        }
      });
    });
  }

  async #guarded(body: () => Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      if (error instanceof RamaError || this.#isBroken) return;
      this.#isBroken = true;
      this.#broken = error;
    }
  }

  async #afterwards(): Promise<void> {
    const { afterwards } = this.#options;
    if (afterwards === undefined) return this.#runFor(1_000);
    const cluster = this.#cluster;
    const { env } = cluster.world;
    const client = await cluster.complete(cluster.client());
    const deadlineMs = env.monotonicMs() + afterwardsMs;
    for (;;) {
      try {
        return await cluster.complete(afterwards(client), afterwardsMs);
      } catch (error) {
        if (env.monotonicMs() > deadlineMs) throw error;
      }
      await this.#runFor(200);
    }
  }

  async #runFor(ms: number): Promise<void> {
    const { env, failures } = this.#cluster.world;
    await env.run(env.monotonicMs() + ms, () => this.#isBroken || failures.length > 0);
    this.#check();
  }

  #check(): void {
    if (this.#isBroken) throw this.#broken;
    const failure = this.#cluster.world.failures[0];
    if (failure !== undefined) throw new Error(`nobody awaited: ${failure.where}`, { cause: failure.error });
  }
}
