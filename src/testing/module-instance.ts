// One module running in an in-process cluster: an engine per worker over memory disks and the memory network, the same engine, server and router as in a worker
// process. The disks outlive the engines, so that an instance can be stopped and started again.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { release } from "../base/release.ts";
import type { ClientCore } from "../client/client-core.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { Config } from "../config/rama-yaml.ts";
import { EngineEvents, type EventHooks } from "../task/event-hook.ts";
import type { CompiledModule } from "../dataflow/compiled.ts";
import { type ModuleContract, moduleContract } from "../module/contract.ts";
import { finishedMigrations, type MigrationStatus } from "../module/migrations.ts";
import type { ModuleInstanceInfo } from "../module/definition.ts";
import { type MemoryNetwork, MemoryTransport } from "../net/transport-memory.ts";
import { type GroupAddress, type ModuleRoutes, moduleRoutes, objectTable } from "../protocol/routes.ts";
import { DynamicOptions } from "../roles/worker/dynamic-options.ts";
import { EngineHost } from "../roles/worker/engine-host.ts";
import { MemoryDisk } from "../storage/disk-memory.ts";
import { memoryKv } from "../storage/kv-memory.ts";
import { type TaskGlobals, taskGlobals } from "../task/task-globals.ts";
import type { DeadLetterAction, DeadLetterChoice, DeadLetterStatus, TopologyStatus } from "../task/engine-api.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { LaunchConfig } from "./launch-config.ts";

export interface ModuleInstanceOptions {
  readonly env: Env;
  readonly network: MemoryNetwork;
  readonly module: CompiledModule;
  readonly instanceId: string;
  readonly launch: LaunchConfig;
  readonly config: Config;
  readonly classes: ClassRegistry;
  readonly manualTicks: boolean;
  readonly client?: ClientCore;
  readonly hooks?: EventHooks;
  readonly clusterRetriever: () => unknown;
  readonly print: (line: string) => void;
  /** The instance that this one takes the stores of; its engines have to be closed before `open`. */
  readonly after?: ModuleInstance;
  /** Depots and PStates whose data goes. */
  readonly deletedObjects?: readonly string[];
}

interface MemoryWorker {
  readonly host: string;
  readonly groups: readonly number[];
  readonly disk: MemoryDisk;
  readonly kv: ReturnType<typeof memoryKv>;
  engine: EngineHost | undefined;
  /** Prepared for the next engine. */
  globals: TaskGlobals | undefined;
}

/** Idle microbatches come soon: programs of tests wait for them. */
const inProcessSleep = {
  scope: "module",
  object: "",
  name: "topology.microbatch.empty.sleep.time.millis",
  value: 500,
} as const;

/** A record that a topology has set aside, with its error. */
export interface DeadLetter extends Omit<DeadLetterStatus, "record"> {
  readonly record: unknown;
}

export class ModuleInstance {
  readonly info: ModuleInstanceInfo;
  readonly #options: ModuleInstanceOptions;
  readonly #workers: readonly MemoryWorker[];
  readonly #groups: GroupAddress[];
  #version: number;
  /** Topologies, over updates. */
  readonly #paused: Set<string>;

  constructor(options: ModuleInstanceOptions) {
    this.#options = options;
    const { launch, instanceId, module } = options;
    this.info = {
      moduleName: module.definition.name,
      moduleInstanceId: instanceId,
      numTasks: launch.tasks,
      numThreads: launch.threads,
      numWorkers: launch.workers,
    };
    this.#paused = new Set(options.after === undefined ? [] : options.after.#paused);
    this.#version = 1 + (options.after?.routes.version ?? 0);
    this.#workers = Array.from({ length: launch.workers }, (_, worker) => {
      const before = options.after === undefined ? undefined : options.after.#workers[worker];
      const disk = before?.disk ?? new MemoryDisk();
      const groups = Array.from({ length: launch.threads }, (_unused, group) => group);
      return {
        host: `${instanceId}-w${worker}`,
        groups: groups.filter((group) => group % launch.workers === worker),
        disk,
        kv: before?.kv ?? memoryKv({ disk }),
        engine: undefined,
        globals: undefined,
      };
    });
    this.#groups = Array.from({ length: launch.threads }, () => ({ host: "", port: 0 }));
  }

  get name(): string {
    return this.info.moduleName;
  }

  get contract(): ModuleContract {
    return moduleContract(this.#options.module.definition);
  }

  get launch(): LaunchConfig {
    return this.#options.launch;
  }

  get routes(): ModuleRoutes {
    return moduleRoutes(this.info, objectTable(this.#options.module), [...this.#groups], this.#version);
  }

  /** Task globals, before anything is opened: what they throw leaves the running instance alone. */
  async prepare(): Promise<void> {
    const { env, module, clusterRetriever } = this.#options;
    await Promise.all(
      this.#workers.map(async (worker) => {
        worker.globals = taskGlobals({ env, module, info: this.info, clusterRetriever, instanceTag: worker.host });
        await worker.globals.prepareGroups(worker.groups);
      }),
    );
  }

  async open(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => this.#openWorker(worker)));
    this.#version++;
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) for (const group of worker.groups) this.#groups[group] = { host: "", port: 0 };
    await Promise.all(this.#workers.map((worker) => worker.engine?.close()));
    for (const worker of this.#workers) {
      await worker.globals?.close();
      worker.engine = worker.globals = undefined;
    }
  }

  /** By topology, summed over the engines. */
  topology(name: string): Pick<TopologyStatus, "kind" | "processed" | "executing" | "failures" | "lastError"> {
    const total = {
      kind: "stream" as TopologyStatus["kind"],
      processed: 0,
      executing: 0,
      failures: 0,
      lastError: null as string | null,
    };
    let found = false;
    for (const { engine } of this.#workers) {
      const status = engine?.engine.status().topologies.find((topology) => topology.name === name);
      if (status === undefined) continue;
      found = true;
      total.kind = status.kind;
      total.processed += status.processed;
      total.executing += status.executing;
      total.failures += status.failures;
      total.lastError ??= status.lastError;
    }
    if (!found) throw new RamaError("UNKNOWN_OBJECT", `${this.name} has no topology ${name}`, { topology: name });
    return total;
  }

  deadLetters(): DeadLetter[] {
    const { classes } = this.#options;
    const found = this.#workers.flatMap(({ engine }) => engine?.engine.deadLetters() ?? []);
    return found.map((letter) => ({
      ...letter,
      record: decodeValue(letter.record, 0, letter.record.length, classes),
    }));
  }

  async changeDeadLetters(action: DeadLetterAction, choice: DeadLetterChoice): Promise<number> {
    const counts = this.#workers.map(({ engine }) => engine?.engine.changeDeadLetters(action, choice) ?? 0);
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  get migrations(): MigrationStatus[] {
    return this.#workers.flatMap(({ engine }) => engine?.engine.status().migrations ?? []);
  }

  /** Depots and PStates whose migrations are complete on every task. */
  get migrationsFinished(): string[] {
    return finishedMigrations(this.migrations, this.info.numTasks);
  }

  pause(topology: string): void {
    this.#paused.add(topology);
    for (const { engine } of this.#workers) engine?.engine.pauseTopology(topology);
  }

  resume(topology: string): void {
    this.#paused.delete(topology);
    for (const { engine } of this.#workers) engine?.engine.resumeTopology(topology);
  }

  /** One tick of a tick depot; resolves when stream topologies have finished its tree. */
  tick(depotName: string): Promise<void> {
    const depot = this.#options.module.definition.depots.find(({ name }) => name === depotName);
    if (depot?.tickMs === undefined) {
      throw new RamaError("UNKNOWN_OBJECT", `${this.name} has no tick depot ${depotName}`, { depot: depotName });
    }
    const owner = this.#workers.find(({ groups }) => groups.includes(0))!;
    return new Promise((resolve, reject) => {
      owner.engine!.engine.tick(depot.index, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  async #openWorker(worker: MemoryWorker): Promise<void> {
    const {
      env,
      network,
      module,
      config,
      classes,
      manualTicks,
      client,
      clusterRetriever,
      print,
      deletedObjects,
      hooks,
    } = this.#options;
    const { globals } = worker;
    worker.globals = undefined;
    worker.engine = await EngineHost.open({
      env,
      disk: worker.disk,
      kv: worker.kv,
      dir: "/data",
      transport: new MemoryTransport(network, worker.host),
      address: { host: worker.host, port: 0 },
      module,
      classes,
      info: this.info,
      groups: worker.groups,
      options: new DynamicOptions(module.definition.launchOptions, [inProcessSleep]),
      instanceTag: worker.host,
      paused: [...this.#paused],
      release,
      recordBytesMax: config.get("limit.record.bytes"),
      answerBytesMax: config.get("limit.answer.bytes"),
      addressOf: (task) => this.#groups[task % this.info.numThreads],
      manualTicks,
      ...(client === undefined ? {} : { client }),
      clusterRetriever,
      ...(globals === undefined ? {} : { globals }),
      ...(hooks === undefined ? {} : { events: new EngineEvents(hooks, module.definition) }),
      print,
      ...(deletedObjects === undefined ? {} : { deletedObjects }),
    });
    for (const group of worker.groups) this.#groups[group] = worker.engine.address;
  }
}
