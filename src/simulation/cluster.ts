// A whole cluster in the simulated world: conductor, supervisors, workers and clients, each a process on a host, run by the product's own code. Daemons that end are
// started again after a while, as an init system does; workers are the supervisors' business.
//
// A module's bundle is a few bytes that name a class of this program, so module code may close over anything, and is the same object in all workers.
import type { LogLevel } from "../base/env.ts";
import { decodeControl, encodeControl } from "../base/codec.ts";
import { RamaError } from "../base/errors.ts";
import { release } from "../base/release.ts";
import { ClassRegistry } from "../base/values.ts";
import { dependenciesOf } from "../cluster/dependencies.ts";
import { type Config, configOf } from "../config/rama-yaml.ts";
import { compileModule } from "../dataflow/compile.ts";
import { conductorApp } from "../http/conductor-app.ts";
import { defineModule } from "../module/build.ts";
import { moduleContract } from "../module/contract.ts";
import type { RamaModule } from "../module/module.ts";
import { RpcClient } from "../net/rpc.ts";
import { DESTROY, LAUNCH, MODULE_STATUS, type ModuleStatusAnswer, PUT_BUNDLE, UPDATE } from "../protocol/conductor.ts";
import { objectTable } from "../protocol/routes.ts";
import { sha256 } from "../roles/conductor/bundles.ts";
import { Conductor } from "../roles/conductor/conductor.ts";
import { Supervisor } from "../roles/supervisor/supervisor.ts";
import type { WorkerAssignment } from "../roles/worker/assignment.ts";
import type { StartThread } from "../roles/worker/engine-handle.ts";
import { EngineThread } from "../roles/worker/engine-thread.ts";
import type { LoadedModule } from "../roles/worker/module-loader.ts";
import { runWorker } from "../roles/worker/worker.ts";
import { moduleClasses } from "../testing/module-classes.ts";
import { SimulatedClient } from "./client.ts";
import type { SimulatedProcess } from "./process.ts";
import { type ProcessContext, SimulatedWorld } from "./world.ts";

export interface SimulatedClusterOptions {
  readonly seed: number;
  /** Hosts `node-1` … `node-n`, each with a supervisor; the conductor is on the first. Default 1. */
  readonly nodes?: number;
  /** Settings, as in rama.yaml. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly sink?: (line: string) => void;
  readonly logLevel?: LogLevel;
  readonly networkMs?: number;
  readonly syncMs?: number;
}

export interface SimulatedLaunch {
  readonly tasks: number;
  readonly threads?: number;
  readonly workers?: number;
  readonly replicationFactor?: number;
}

type ModuleClass = new () => RamaModule;

export const localDir = "/rama/local-rama-data";
const conductorPort = 1973;

export class SimulatedCluster {
  readonly world: SimulatedWorld;
  readonly nodes: readonly string[];
  readonly config: Config;
  /** Daemons by `role@host`; undefined while one is down. */
  readonly #daemons = new Map<string, SimulatedProcess | undefined>();
  readonly #bundles = new Map<string, () => LoadedModule>();
  #clients = 0;
  #stopping = false;
  /** The operator's process, for calls to the conductor. */
  #operator: Promise<ProcessContext> | undefined;

  constructor(options: SimulatedClusterOptions) {
    this.world = new SimulatedWorld(options);
    this.nodes = Array.from({ length: options.nodes ?? 1 }, (_, i) => `node-${i + 1}`);
    this.config = configOf(
      {
        "conductor.host": this.nodes[0],
        "zookeeper.servers": ["metastore"],
        "conductor.port": conductorPort,
        "cluster.ui.port": 8888,
        "supervisor.port.range": 0,
        "supervisor.http.port": 0,
        ...options.settings,
      },
      "SimulatedCluster",
    );
    this.world.onProcessEnd = (process) => this.#daemonEnded(process);
  }

  /** Every daemon begins. Nothing happens but while the world runs: `complete`, `run`. */
  start(): void {
    this.#startDaemon("conductor", this.nodes[0]!);
    for (const node of this.nodes) this.#startDaemon("supervisor", node);
  }

  get seed(): number {
    return this.world.env.seed;
  }

  /** Runs the world until the promise has settled. */
  complete<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    return this.world.env.complete(promise, limitMs);
  }

  /** Runs the world for so long. */
  run(ms: number): Promise<void> {
    return this.world.env.advance(ms);
  }

  // Processes

  daemon(role: "conductor" | "supervisor", node: string): SimulatedProcess | undefined {
    return this.#daemons.get(`${role}@${node}`);
  }

  get workers(): SimulatedProcess[] {
    return this.world.hosts.flatMap((host) =>
      [...host.processes.values()].filter((process) => process.alive && process.name.startsWith("worker")),
    );
  }

  get daemons(): SimulatedProcess[] {
    return [...this.#daemons.values()].filter((process) => process !== undefined);
  }

  /** The host stands still until `powerOn`. */
  powerCut(node: string): void {
    this.world.powerCut(node);
  }

  powerOn(node: string): void {
    this.world.powerOn(node);
    for (const [key, process] of this.#daemons) {
      const [role, host] = key.split("@") as ["conductor" | "supervisor", string];
      if (host === node && process === undefined) this.#startDaemon(role, host);
    }
  }

  // Modules and clients

  /** Resolves when the module runs; goes on through trouble of the conductor. */
  async launch(module: ModuleClass, launch: SimulatedLaunch): Promise<string> {
    const { bundle, ...deployment } = this.#deployment(module);
    const { moduleName: name, bundleHash: hash } = deployment;
    const { tasks, threads = 1, workers = 1, replicationFactor = 1 } = launch;
    const request = { ...deployment, tasks, threads, workers, replicationFactor, options: deployment.launchOptions };
    for (;;) {
      try {
        await this.call(PUT_BUNDLE, { hash, offset: 0, total: bundle.length, bytes: bundle });
        await this.call(LAUNCH, request, 100_000);
        return name;
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        if (error.code === "MODULE_EXISTS" && (await this.#isRunning(name))) return name;
        if (refusals.has(error.code)) throw error;
        await (await this.#operatorContext()).process.sleep(500);
      }
    }
  }

  /** Resolves when nothing is left of it; goes on through trouble of the conductor. */
  async destroy(name: string): Promise<void> {
    for (;;) {
      try {
        await this.call(DESTROY, { moduleName: name }, 60_000);
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        if (error.code === "MODULE_NOT_FOUND") return;
        await (await this.#operatorContext()).process.sleep(500);
      }
    }
  }

  /** The same module again, with workers of its own: all data stays. RamaErrors of the conductor. */
  async update(module: ModuleClass): Promise<void> {
    const { bundle, ...deployment } = this.#deployment(module);
    await this.call(PUT_BUNDLE, { hash: deployment.bundleHash, offset: 0, total: bundle.length, bytes: bundle });
    await this.call(UPDATE, { ...deployment, options: [], objectsToDelete: [], resetConfig: false }, 60_000);
  }

  #deployment(module: ModuleClass) {
    const definition = defineModule(module);
    const { name } = definition;
    const classes = new ClassRegistry();
    for (const type of moduleClasses(definition)) classes.register(type);
    const compiled = compileModule(definition, { classes });
    const bundle = new TextEncoder().encode(`simulated module ${name}`);
    const hash = sha256(bundle);
    this.#bundles.set(hash, () => ({ module: compiled, classes, functionNamed: () => undefined }));
    return {
      bundle,
      moduleName: name,
      moduleExport: name,
      bundleHash: hash,
      ramaVersion: release,
      configOverrides: {},
      launchOptions: definition.launchOptions,
      objects: { ...objectTable(compiled), contract: moduleContract(definition) },
      dependencies: dependenciesOf(definition),
    };
  }

  async #isRunning(name: string): Promise<boolean> {
    try {
      return (await this.call<ModuleStatusAnswer>(MODULE_STATUS, { moduleName: name })).module.state === "[:running]";
    } catch (error) {
      if (error instanceof RamaError) return false;
      throw error;
    }
  }

  /** A call to the conductor. */
  async call<T>(method: number, body: unknown, timeoutMs = 20_000): Promise<T> {
    const { platform } = await this.#operatorContext();
    const client = new RpcClient(platform.env, platform.transport, { host: this.nodes[0]!, port: conductorPort });
    try {
      return decodeControl(await client.call(method, encodeControl(body), timeoutMs)) as T;
    } finally {
      client.close();
    }
  }

  /** A program of its own, on a host of its own (`client-<n>`). */
  client(): Promise<SimulatedClient> {
    const host = `client-${++this.#clients}`;
    const servers = [`${this.nodes[0]}:${conductorPort}`];
    return new Promise((resolve) => {
      this.world.start(host, "client", async (context) => {
        resolve(new SimulatedClient(context, this.config, servers));
      });
    });
  }

  /** SIGTERM to all; resolves to the names of processes that did not end within `limitMs`. */
  async stop(limitMs = 30_000): Promise<string[]> {
    this.#stopping = true;
    const all = this.world.hosts.flatMap((host) => [...host.processes.values()].filter((process) => process.alive));
    for (const process of all) this.world.signal(process, "SIGTERM");
    const { env } = this.world;
    await env.run(env.monotonicMs() + limitMs, () => all.every((process) => !process.alive));
    return all.filter((process) => process.alive).map((process) => `${process.host.name}/${process.name}`);
  }

  /** Of the process from which the conductor is called. */
  #operatorContext(): Promise<ProcessContext> {
    this.#operator ??= new Promise((resolve) => {
      this.world.start("operator", "operator", async (context) => resolve(context));
    });
    return this.#operator;
  }

  #startDaemon(role: "conductor" | "supervisor", node: string): void {
    const main = role === "conductor" ? this.#conductorMain : this.#supervisorMain;
    this.#daemons.set(`${role}@${node}`, this.world.start(node, role, main));
  }

  #daemonEnded(process: SimulatedProcess): void {
    const key = `${process.name}@${process.host.name}`;
    if (this.#daemons.get(key) !== process) return;
    this.#daemons.set(key, undefined);
    if (this.#stopping) return;
    const { env } = this.world;
    env.setTimer(100 + env.random() * 2000, () => {
      const isUp = this.world.host(process.host.name).isUp;
      if (!isUp || this.#stopping || this.#daemons.get(key) !== undefined) return;
      this.#startDaemon(process.name as "conductor" | "supervisor", process.host.name);
    });
  }

  readonly #conductorMain = async (context: ProcessContext): Promise<void> => {
    const { platform, process } = context;
    const { config } = this;
    const conductor = await Conductor.start({
      platform,
      config,
      localDir,
      release,
      pid: process.pid,
      httpApp: conductorApp,
    });
    context.onTerminate = () => stopThenEnd(this.world, process, () => conductor.stop());
  };

  readonly #supervisorMain = async (context: ProcessContext): Promise<void> => {
    const { platform, process } = context;
    const host = process.host.name;
    const supervisor = await Supervisor.start({
      platform,
      config: this.config,
      localDir,
      release,
      pid: process.pid,
      host,
      libDir: "/rama/lib",
      startWorker: ({ workerId, assignmentPath }) => {
        process.leave();
        const name = `worker-${workerId.slice(0, 8)}`;
        return this.world.start(host, name, (own) => this.#workerMain(own, assignmentPath)).pid;
      },
    });
    context.onTerminate = () => stopThenEnd(this.world, process, () => supervisor.stop());
  };

  async #workerMain(context: ProcessContext, assignmentPath: string): Promise<void> {
    const { platform, process } = context;
    const text = new TextDecoder().decode(platform.disk.readFile(assignmentPath));
    const worker = await runWorker({
      platform,
      assignment: JSON.parse(text) as WorkerAssignment,
      release,
      pid: process.pid,
      startThread: this.#threadIn(context),
      abort: (reason) => {
        process.log.error("the worker ends", { reason });
        process.kill();
      },
    });
    context.onTerminate = () => stopThenEnd(this.world, process, () => worker.close());
  }

  /** Engine threads of a simulated process: the same object that a real thread holds, messages in turns. */
  #threadIn({ platform, process }: ProcessContext): StartThread {
    return (onMessage, onEnd) => {
      const thread = new EngineThread({
        platform,
        doors: {},
        send: (message) => process.nextTurn(() => onMessage(structuredClone(message))),
        exit: () => process.nextTurn(() => onEnd("the thread ended")),
        load: async ({ bundlePath }) => {
          const loaded = this.#bundles.get(sha256(platform.disk.readFile(bundlePath)))?.();
          if (loaded === undefined) throw new RamaError("BAD_BUNDLE", `${bundlePath} is not a simulated bundle`, {});
          return loaded;
        },
      });
      return { post: (message) => process.nextTurn(() => thread.onMessage(message)) };
    };
  }
}

const refusals = new Set(["BAD_PARALLELISM", "BAD_MODULE", "BAD_FRAME", "BAD_CONFIG"]);

/** What goes wrong on the way is a failure of the world: the process has ended by then. */
function stopThenEnd(world: SimulatedWorld, process: SimulatedProcess, stop: () => Promise<void>): void {
  process.spawn("stop", async () => {
    try {
      await stop();
      if (process.timers > 0) world.count(`${process.name.replace(/-.*/, "")} stopped with timers left`);
    } catch (error) {
      if (process.alive) world.env.fail(`${process.name}: stop`, error);
    } finally {
      process.kill();
    }
  });
}
