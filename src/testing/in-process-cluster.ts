// A whole cluster in one JavaScript thread: engines over memory disks, clients over the memory network. No bundle is needed, module code may close over anything,
// and any number of clusters may run at once.
//   await using ipc = await InProcessCluster.create();
//   const counts = await ipc.launchModule(WordCountModule, { tasks: 4, threads: 2 });
import { systemEnv } from "../base/env-system.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { release } from "../base/release.ts";
import { type Class, ClassRegistry, type RamaCustomSerialization } from "../base/values.ts";
import { configOf } from "../config/rama-yaml.ts";
import { ClientCore } from "../client/client-core.ts";
import type { ClusterClient } from "../client/cluster-client.ts";
import type { DepotClient } from "../client/depot.ts";
import type { ModuleName } from "../client/module-name.ts";
import { moduleNameOf } from "../module/module-name.ts";
import type { PStateClient } from "../client/pstate.ts";
import type { QueryClient } from "../client/query.ts";
import { checkDependency, dependenciesOf } from "../cluster/dependencies.ts";
import { compileModule } from "../dataflow/compile.ts";
import type { CompiledModule } from "../dataflow/compiled.ts";
import { defineModule } from "../module/build.ts";
import { checkUpdate, type UsedObject } from "../module/compatibility.ts";
import { moduleContract } from "../module/contract.ts";
import { migrationLines } from "../module/migrations.ts";
import type { ModuleDefinition } from "../module/definition.ts";
import type { RamaModule } from "../module/module.ts";
import { moduleClasses } from "./module-classes.ts";
import { MemoryNetwork, MemoryTransport } from "../net/transport-memory.ts";
import { type EventHook, EventHooks } from "../task/event-hook.ts";
import { type LaunchConfig, type LaunchLiteral, launchConfigOf } from "./launch-config.ts";
import type { DeadLetterChoice } from "../task/engine-api.ts";
import { type DeadLetter, ModuleInstance, type ModuleInstanceOptions } from "./module-instance.ts";
import type { UpdateLiteral } from "./update-options.ts";
import { waitFor } from "./wait-for.ts";

export interface InProcessOptions {
  /** Own serializations by name. */
  readonly serializations?: Readonly<Record<string, RamaCustomSerialization>>;
  /** Classes whose instances are appended, sent or stored, beside those that schemas name. */
  readonly classes?: readonly Class[];
  /** Settings, as in rama.yaml. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Ticks come by `tick` alone. */
  readonly manualTicks?: boolean;
  /** "simulated": wall time in tasks and helpers starts at 0 and moves by `advanceTime` alone. Timers stay real. */
  readonly clock?: "real" | "simulated";
}

/** A module that runs in an in-process cluster. */
export interface LaunchedModule {
  readonly name: string;
  depot<T = any>(name: string): DepotClient<T>;
  pstate<T = any>(name: string): PStateClient<T>;
  query<T = any>(name: string): QueryClient<T>;
  /** Resolves once the topology has processed `count` records since launch; TIMEOUT after `timeoutMs` (60 s) with the count reached. */
  waitForProcessed(topology: string, count: number, timeoutMs?: number): Promise<void>;
  pause(topology: string): Promise<void>;
  resume(topology: string): Promise<void>;
  /** Records that topologies have set aside: sources with the option `deadLetterAfter`. */
  deadLetters(): DeadLetter[];
  /** Begins to process them again; resolves with how many. What is left out of `choice` does not matter. */
  retryDeadLetters(choice?: DeadLetterChoice): Promise<number>;
  dropDeadLetters(choice?: DeadLetterChoice): Promise<number>;
  /** Another version of this module, whatever its class is called. See `InProcessCluster.updateModule`. */
  update(module: ModuleClassOrInstance, options?: UpdateLiteral): Promise<void>;
  destroy(): Promise<void>;
}

type ModuleClassOrInstance = RamaModule | (new () => RamaModule);

export class InProcessCluster implements ClusterClient {
  readonly #env: Env;
  readonly #network: MemoryNetwork;
  readonly #core: ClientCore;
  readonly #classes: ClassRegistry;
  readonly #options: InProcessOptions;
  readonly #modules = new Map<string, ModuleInstance>();
  readonly #config: ReturnType<typeof configOf>;
  readonly #clock: { simulatedMs: number | undefined };
  readonly #updating = new Set<string>();
  readonly #hooks = new EventHooks();
  #launched = 0;
  #closed = false;

  private constructor(options: InProcessOptions) {
    this.#options = options;
    this.#config = configOf(options.config ?? {}, "InProcessCluster.create");
    const env = systemEnv({ logLevel: "warn", sink: (line) => console.error(line) });
    const clock = { simulatedMs: options.clock === "simulated" ? 0 : undefined };
    this.#clock = clock;
    this.#env = { ...env, now: () => clock.simulatedMs ?? env.now() };
    this.#network = new MemoryNetwork(this.#env);
    this.#classes = new ClassRegistry();
    for (const type of options.classes ?? []) this.#classes.register(type);
    for (const [name, custom] of Object.entries(options.serializations ?? {}))
      this.#classes.registerCustom(name, custom);
    this.#core = new ClientCore({
      env: this.#env,
      transport: new MemoryTransport(this.#network, "client"),
      config: this.#config,
      release,
      classes: this.#classes,
      fetchRoutes: async (moduleName) => this.#running(moduleName).routes,
    });
  }

  static async create(options: InProcessOptions = {}): Promise<InProcessCluster> {
    return new InProcessCluster(options);
  }

  /** Builds, compiles and starts a module; resolves when it serves. Errors: what building it throws, BAD_PARALLELISM, MODULE_EXISTS. */
  async launchModule(module: ModuleClassOrInstance, config: LaunchConfig | LaunchLiteral): Promise<LaunchedModule> {
    const launch = launchConfigOf(config);
    const definition = defineModule(module);
    const { name } = definition;
    if (this.#modules.has(name)) throw new RamaError("MODULE_EXISTS", `${name} runs already`, { module: name });
    this.#checkDependencies(definition);
    for (const type of moduleClasses(definition)) this.#classes.register(type);
    const compiled = compileModule(definition, { classes: this.#classes });
    const instance = this.#instance(compiled, launch);
    this.#modules.set(name, instance);
    try {
      await instance.open();
    } catch (error) {
      this.#modules.delete(name);
      throw error;
    }
    return this.#handle(name);
  }

  /**
   * Another version of a running module takes over its depots, PStates and progress; resolves when it serves. Calls of clients in between wait. With the same module it
   * is a restart. Errors: what building it throws, MODULE_NOT_FOUND, INCOMPATIBLE_UPDATE, DELETION_NOT_NAMED; the running version has not been touched then.
   */
  async updateModule(module: ModuleClassOrInstance, options: UpdateLiteral = {}): Promise<void> {
    const definition = defineModule(module);
    await this.#update(definition, options);
  }

  async #update(definition: ModuleDefinition, options: UpdateLiteral): Promise<void> {
    const { name } = definition;
    const old = this.#running(name);
    if (this.#updating.has(name)) {
      throw new RamaError("MODULE_NOT_RUNNING", `${name} is being updated already`, { module: name });
    }
    this.#checkDependencies(definition);
    for (const type of moduleClasses(definition)) this.#classes.register(type);
    const compiled = compileModule(definition, { classes: this.#classes });
    const to = moduleContract(definition);
    const objectsToDelete = options.objectsToDelete ?? [];
    const used = this.#usesOf(name);
    const { contract: from, migrationsFinished } = old;
    const { removed } = checkUpdate({ moduleName: name, from, to, objectsToDelete, used, migrationsFinished });
    const next = this.#instance(compiled, old.launch, { after: old, deletedObjects: removed });
    this.#updating.add(name);
    try {
      await next.prepare();
      await old.close();
      await this.#open(next, old);
      this.#modules.set(name, next);
    } catch (error) {
      await next.close();
      throw error;
    } finally {
      this.#updating.delete(name);
    }
  }

  async #open(next: ModuleInstance, old: ModuleInstance): Promise<void> {
    try {
      await next.open();
    } catch (error) {
      await next.close();
      await old.open();
      throw error;
    }
  }

  #checkDependencies(definition: ModuleDefinition): void {
    for (const dependency of dependenciesOf(definition)) {
      checkDependency(definition.name, dependency, this.#modules.get(dependency.module)?.routes);
    }
  }

  #usesOf(name: string): UsedObject[] {
    return [...this.#modules.values()].flatMap((other) =>
      other.contract.mirrors
        .filter(({ module }) => module === name && other.name !== name)
        .map(({ kind, object }) => ({ by: other.name, kind, object })),
    );
  }

  #instance(
    module: CompiledModule,
    launch: LaunchConfig,
    more: Pick<ModuleInstanceOptions, "after" | "deletedObjects"> = {},
  ): ModuleInstance {
    return new ModuleInstance({
      env: this.#env,
      network: this.#network,
      module,
      instanceId: `m${++this.#launched}`,
      launch,
      config: this.#config,
      classes: this.#classes,
      manualTicks: this.#options.manualTicks ?? false,
      client: this.#core,
      hooks: this.#hooks,
      clusterRetriever: () => this,
      print: (line) => console.log(line),
      ...more,
    });
  }

  /** Stops the module and forgets its data. MODULE_NOT_FOUND, DEPENDED_ON. */
  async destroyModule(module: ModuleName): Promise<void> {
    const name = moduleNameOf(module);
    const instance = this.#running(name);
    const dependents = [...new Set(this.#usesOf(name).map(({ by }) => by))];
    if (dependents.length > 0) {
      throw new RamaError("DEPENDED_ON", `${name} is used by ${dependents.join(", ")}`, { module: name, dependents });
    }
    this.#modules.delete(name);
    this.#core.context.routing.forget(name);
    await instance.close();
  }

  clusterDepot<T = any>(module: ModuleName, depot: string): DepotClient<T> {
    return this.#core.depot<T>(module, depot);
  }

  clusterPState<T = any>(module: ModuleName, pstate: string): PStateClient<T> {
    return this.#core.pstate<T>(module, pstate);
  }

  clusterQuery<T = any>(module: ModuleName, query: string): QueryClient<T> {
    return this.#core.query<T>(module, query);
  }

  async getDeployedModuleNames(): Promise<Set<string>> {
    return new Set(this.#modules.keys());
  }

  /** One tick of a tick depot, with `manualTicks`; resolves when stream topologies have finished the tick's tree. */
  async tick(module: ModuleName, depot: string): Promise<void> {
    if (this.#options.manualTicks !== true) {
      throw new RamaError("NOT_ALLOWED_HERE", "tick needs InProcessCluster.create({ manualTicks: true })");
    }
    await this.#running(moduleNameOf(module)).tick(depot);
  }

  /**
   * Runs the body while `hook` is told of everything that tasks do, for budgets ("one read, one write") and to make a step fail: a hook that returns "fail" fails
   * the record, invoke or phase, for the types `topology-event`, `streaming-complete` and `microbatch-attempt`. One hook at a time; what it throws is thrown at
   * the end. Example: `withEventHook((type, data) => { if (type === "pstate-read") reads.push(data.object); }, () => depot.append(1))`.
   */
  async withEventHook<T>(hook: EventHook, body: () => T | Promise<T>): Promise<T> {
    const hooks = this.#hooks;
    if (hooks.hook !== undefined) throw new RamaError("NOT_ALLOWED_HERE", "there is an event hook already");
    hooks.hook = hook;
    try {
      const result = await body();
      if (hooks.error !== undefined) throw hooks.error.thrown;
      return result;
    } finally {
      hooks.hook = undefined;
      hooks.error = undefined;
    }
  }

  /** Epoch milliseconds by the cluster's clock. */
  currentTimeMillis(): number {
    return this.#env.now();
  }

  /** Moves the simulated clock forward. */
  async advanceTime(ms: number | bigint): Promise<void> {
    const { simulatedMs } = this.#clock;
    if (simulatedMs === undefined) {
      throw new RamaError("NOT_ALLOWED_HERE", 'advanceTime needs InProcessCluster.create({ clock: "simulated" })');
    }
    this.#clock.simulatedMs = simulatedMs + Number(ms);
  }

  async waitForProcessed(module: ModuleName, topology: string, count: number, timeoutMs = 60_000): Promise<void> {
    const name = moduleNameOf(module);
    this.#running(name);
    // Engines come and go in an update: what was last known stands meanwhile.
    let last = 0;
    const processed = () => {
      if (!this.#updating.has(name)) last = this.#running(name).topology(topology).processed;
      return last;
    };
    const trouble = () => {
      const { lastError } = this.#running(name).topology(topology);
      return lastError === null ? "" : `; last failure: ${lastError}`;
    };
    await waitFor(() => processed() >= count, {
      env: this.#env,
      timeoutMs,
      what: `${count} processed records of ${topology}`,
      present: () => `${processed()} are${trouble()}`,
    });
  }

  /** Resolves when every migration of the module's depots and PStates is complete, so that the wrappers may be left out. */
  async waitForMigrations(module: ModuleName, timeoutMs = 60_000): Promise<void> {
    const name = moduleNameOf(module);
    const open = () =>
      this.#updating.has(name) ? undefined : this.#running(name).migrations.filter((each) => !each.done);
    await waitFor(() => open()?.length === 0, {
      env: this.#env,
      timeoutMs,
      what: `the migrations of ${name} to end`,
      present: () =>
        migrationLines(open() ?? [])
          .map(({ object, text }) => `${object}: ${text}`)
          .join("; "),
    });
  }

  async pauseTopology(module: ModuleName, topology: string): Promise<void> {
    const instance = this.#running(moduleNameOf(module));
    instance.pause(topology);
    if (instance.topology(topology).kind !== "microbatch") return;
    await waitFor(() => instance.topology(topology).executing === 0, {
      env: this.#env,
      timeoutMs: 60_000,
      what: `the running microbatch of ${topology} to end`,
      present: () => "it runs",
    });
  }

  /** Resolves once the topology has committed that many records since launch, ticks included. */
  waitForMicrobatchProcessedCount(module: ModuleName, topology: string, count: number, timeoutMs?: number) {
    return this.waitForProcessed(module, topology, count, timeoutMs);
  }

  /** Resolves when the microbatch that runs has ended; none begins until `resumeMicrobatchTopology`. */
  pauseMicrobatchTopology(module: ModuleName, topology: string): Promise<void> {
    return this.pauseTopology(module, topology);
  }

  resumeMicrobatchTopology(module: ModuleName, topology: string): Promise<void> {
    return this.resumeTopology(module, topology);
  }

  async resumeTopology(module: ModuleName, topology: string): Promise<void> {
    this.#running(moduleNameOf(module)).resume(topology);
  }

  /** Stops every module and closes every client. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#core.close();
    const modules = [...this.#modules.values()];
    this.#modules.clear();
    await Promise.all(modules.map((instance) => instance.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #running(name: string): ModuleInstance {
    const instance = this.#modules.get(name);
    if (instance !== undefined) return instance;
    const names = [...this.#modules.keys()].join(", ") || "none";
    throw new RamaError("MODULE_NOT_FOUND", `no module ${name} runs here; running: ${names}`, { module: name });
  }

  #handle(name: string): LaunchedModule {
    return {
      name,
      depot: (depot) => this.clusterDepot(name, depot),
      pstate: (pstate) => this.clusterPState(name, pstate),
      query: (query) => this.clusterQuery(name, query),
      waitForProcessed: (topology, count, timeoutMs) => this.waitForProcessed(name, topology, count, timeoutMs),
      pause: (topology) => this.pauseTopology(name, topology),
      resume: (topology) => this.resumeTopology(name, topology),
      deadLetters: () => this.#running(name).deadLetters(),
      retryDeadLetters: (choice = {}) => this.#running(name).changeDeadLetters("retry", choice),
      dropDeadLetters: (choice = {}) => this.#running(name).changeDeadLetters("drop", choice),
      update: async (module, options = {}) => this.#update({ ...defineModule(module), name }, options),
      destroy: () => this.destroyModule(name),
    };
  }
}
