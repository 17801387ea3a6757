// The supervisor of a node: keeps the workers that the metastore assigns to it running. It decides in `reconcile.ts`; here files, processes and the
// metastore are read and the actions performed. A crash of it touches no worker: the next one finds them by their files and goes on.
import { messageOf, RamaError } from "../../base/errors.ts";
import { ClusterStore } from "../../cluster/cluster-store.ts";
import { routesOf } from "../../cluster/routes.ts";
import type { Config } from "../../config/rama-yaml.ts";
import type { HttpApp, SupervisorView } from "../../http/views.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import { fromNode, toNode, tree } from "../../metastore/tree.ts";
import type { HttpServer, Platform } from "../../net/platform.ts";
import type { Listener } from "../../net/transport.ts";
import type { ConductorRecord, SupervisorRecord, WorkerReport, WorkerTask } from "../../protocol/cluster-records.ts";
import type { PeersAnswer, VersionAnswer } from "../../protocol/control.ts";
import { GET_MODULE_NAMES, GET_PEERS, GET_ROUTES, GET_VERSION, PROTOCOL_VERSION } from "../../protocol/table.ts";
import { bindAddress, openClusterMetastore } from "../cluster-settings.ts";
import { type ControlHandler, field, listenForCalls } from "../control-calls.ts";
import { RoleDirectory } from "../local-dir.ts";
import { BundleCache } from "./bundle-cache.ts";
import { DeadMembers } from "./dead-members.ts";
import { Pauses } from "./pauses.ts";
import { type Action, type ObservedWorker, type ReconcileLimits, reconcile } from "./reconcile.ts";
import { type StartWorker, WorkerPool } from "./worker-pool.ts";

/** How often workers are looked at while one starts or stops, and else. */
const busyPollMs = 20;
const idlePollMs = 250;

export interface SupervisorOptions {
  readonly platform: Platform;
  readonly config: Config;
  readonly localDir: string;
  readonly release: string;
  readonly pid: number;
  readonly host: string;
  /** The release's `lib/`: its `.js` files are importable by module code. */
  readonly libDir: string;
  readonly startWorker: StartWorker;
  /** REST; absent in tests that do not need it. */
  readonly httpApp?: (view: SupervisorView) => HttpApp;
}

interface SupervisorParts {
  readonly options: SupervisorOptions;
  readonly id: string;
  readonly directory: RoleDirectory;
  readonly metastore: Metastore;
  readonly store: ClusterStore;
  readonly pool: WorkerPool;
  readonly bundles: BundleCache;
  readonly http: HttpServer | undefined;
  readonly listener: Listener;
}

export class Supervisor {
  readonly id: string;
  readonly rpcPort: number;
  readonly httpPort: number;
  /** Workers that an earlier supervisor of this directory left running. */
  readonly adopted: number;
  readonly #parts: SupervisorParts;
  readonly #stop = new AbortController();
  readonly #published = new Map<string, string>();
  readonly #pauses: Pauses;
  #tasks: readonly WorkerTask[] = [];
  #tasksKnown = false;
  readonly #dead: DeadMembers;
  #loop: Promise<void> = Promise.resolve();
  #lastRecordMs = Number.NEGATIVE_INFINITY;

  private constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#pauses = new Pauses(parts.options.platform, parts.store, (workerId) => parts.pool.pausesAtStart(workerId));
    this.id = parts.id;
    this.#dead = new DeadMembers(parts.metastore);
    this.rpcPort = parts.listener.port;
    this.httpPort = parts.http?.port ?? 0;
    this.adopted = [...parts.pool.observe().values()].filter((worker) => worker.alive).length;
  }

  /** STORE_LOCKED, PORT_IN_USE, METASTORE_UNAVAILABLE, BAD_CONFIG: nothing is left open then. Workers that run are adopted. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const { platform, config } = options;
    const directory = await RoleDirectory.open(platform, options.localDir, "supervisor", options.pid);
    const closing: (() => Promise<void>)[] = [() => directory.close()];
    try {
      const metastore = await openClusterMetastore(platform, config);
      closing.push(() => metastore.close());
      const store = new ClusterStore(metastore);
      const id = directory.id();
      const bind = bindAddress(config);
      let rpcPort = 0;
      const conductor = `${config.host("conductor.host", "internal")}:${config.get<number>("conductor.port")}`;
      const routeServers = () => [`${options.host}:${rpcPort}`, conductor];
      const pool = new WorkerPool({ ...options, supervisorId: id, routeServers }, directory.dir);
      const { httpApp } = options;
      const view: SupervisorView = {
        store,
        supervisorId: id,
        release: options.release,
        nowMs: () => platform.env.monotonicMs(),
        routesAddress: () => `${options.host}:${rpcPort}`,
      };
      const serve = (port: number) => platform.http.serve({ host: bind, port }, httpApp!(view));
      const fixedPort = config.get<number | undefined>("supervisor.http.port");
      const http = httpApp && (await (fixedPort === undefined ? pool.onFreePort("http", serve) : serve(fixedPort)));
      if (http) closing.push(() => http.close());
      const answers = calls(store, metastore, options.release);
      const listener = await pool.onFreePort("rpc", (port) =>
        listenForCalls(platform.env, platform.transport, { host: bind, port }, answers),
      );
      rpcPort = listener.port;
      closing.push(() => listener.close());
      directory.writePorts({ http: http?.port ?? 0, rpc: listener.port });
      const bundles = new BundleCache(platform, `${directory.dir}/bundles`, metastore);
      const supervisor = new Supervisor({ options, id, directory, metastore, store, pool, bundles, http, listener });
      // The node of an earlier process of this directory may outlive it by its session's timeout; the lock says that the process is gone.
      await metastore.remove(tree.supervisor(id));
      await supervisor.#writeRecord();
      supervisor.#begin();
      return supervisor;
    } catch (error) {
      for (const close of closing.reverse()) await close();
      throw error;
    }
  }

  /** Leaves the workers running: they belong to the cluster, not to this process. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    const { metastore, http, listener, directory } = this.#parts;
    await listener.close();
    await http?.close();
    try {
      await metastore.remove(tree.supervisor(this.id));
    } finally {
      await metastore.close();
      await directory.close();
    }
  }

  #begin(): void {
    const { env } = this.#parts.options.platform;
    env.spawn("watch assignments", () => this.#watchAssignments());
    this.#parts.metastore.onSession((event) => {
      if (event === "renewed") this.#lastRecordMs = Number.NEGATIVE_INFINITY;
    });
    this.#loop = this.#run();
  }

  async #watchAssignments(): Promise<void> {
    const { signal } = this.#stop;
    for await (const _names of this.#parts.metastore.watchChildren(tree.assignments(this.id), signal)) {
      while (!(await this.#readTasks()) && !signal.aborted) await this.#parts.options.platform.env.sleep(500, signal);
    }
  }

  /** False: the metastore was out of reach. */
  async #readTasks(): Promise<boolean> {
    try {
      this.#tasks = await this.#parts.store.assignments(this.id);
      this.#tasksKnown = true;
      return true;
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      this.#parts.options.platform.env.log.warn("tasks are not known now, and asked for again", {
        error: error.message,
      });
      return false;
    }
  }

  async #run(): Promise<void> {
    const { env } = this.#parts.options.platform;
    while (!this.#stop.signal.aborted) {
      let busy = true;
      try {
        busy = await this.#turn();
      } catch (error) {
        env.log.warn("a turn of the supervisor is repeated", { error: messageOf(error) });
        await env.sleep(500, this.#stop.signal);
      }
      await env.sleep(busy ? busyPollMs : idlePollMs, this.#stop.signal);
    }
  }

  /** True while something starts or stops. */
  async #turn(): Promise<boolean> {
    const { env } = this.#parts.options.platform;
    const { config } = this.#parts.options;
    if (env.monotonicMs() - this.#lastRecordMs >= config.get<number>("supervisor.heartbeat.frequency.millis"))
      await this.#writeRecord();
    // Before the tasks are known no worker may be taken for withdrawn.
    if (!this.#tasksKnown) return true;
    const workers = this.#parts.pool.observe();
    const limits: ReconcileLimits = {
      heartbeatTimeoutMs: config.get<number>("supervisor.worker.heartbeat.timeout.millis"),
      launchTimeoutMs: config.get<number>("supervisor.worker.launch.timeout.millis"),
      stopTimeoutMs: 10_000,
      failedStarts: 3,
    };
    const actions = reconcile(this.#tasks, workers, env.monotonicMs(), limits);
    // What one worker lacks (a bundle that cannot be had, a directory that cannot be written) must not keep the others from theirs.
    const troubles: unknown[] = [];
    const apart = (step: Promise<void>) => step.catch((error: unknown) => void troubles.push(error));
    await apart(this.#dead.look(this.#tasks, workers));
    for (const action of actions) await apart(this.#perform(action));
    const running: { readonly task: WorkerTask; readonly report: WorkerReport }[] = [];
    for (const task of this.#tasks) {
      const publishing = this.#publish(task, workers.get(task.workerId)).then((report) => {
        if (report?.state === "running") running.push({ task, report });
      });
      await apart(publishing);
    }
    await apart(this.#pauses.sync(running));
    if (troubles.length > 0) throw troubles[0];
    const starting = [...workers.values()].some((worker) => worker.pid !== 0 && !worker.ready);
    return starting || actions.length > 0;
  }

  async #perform(action: Action): Promise<void> {
    const { pool, bundles, options, metastore } = this.#parts;
    const { log } = options.platform.env;
    switch (action.kind) {
      case "start": {
        const bundlePath = await bundles.path(action.task.instance.bundleHash);
        const { workerId } = action.task;
        const pauses = await this.#pauses.beforeStart(action.task, pool.workerDir(workerId));
        const pid = pool.start(action.task, bundlePath, pauses);
        this.#pauses.started(workerId, pid, pauses);
        log.info("worker started", { worker: action.task.workerId, module: action.task.moduleName, pid });
        return;
      }
      case "terminate":
        pool.terminate(action.workerId, action.pid);
        return;
      case "letGo":
        pool.letGo(action.workerId);
        return;
      case "kill":
        log.warn("worker killed", { worker: action.workerId, pid: action.pid, reason: action.reason });
        options.platform.processes.signal(action.pid, "SIGKILL");
        return;
      case "reportFailed":
        return;
      case "remove": {
        // The report first: without the directory nobody would know of it, and an operation would wait for it for ever.
        const worker = pool.assigned(action.workerId);
        if (worker) await metastore.remove(tree.worker(worker.instanceId, worker.workerIndex));
        pool.remove(action.workerId, this.#tasks);
        this.#published.delete(action.workerId);
        log.info("worker removed", { worker: action.workerId });
        bundles.keepOnly(new Set(this.#tasks.map((task) => task.instance.bundleHash)));
        return;
      }
    }
  }

  async #publish(task: WorkerTask, worker: ObservedWorker | undefined): Promise<WorkerReport | undefined> {
    const { pool, metastore, options } = this.#parts;
    const report = pool.report(task, worker, this.id, options.host);
    if (!report) return undefined;
    const text = JSON.stringify(report);
    if (this.#published.get(task.workerId) === text) return report;
    await writeReport(metastore, task, report);
    this.#published.set(task.workerId, text);
    return report;
  }

  async #writeRecord(): Promise<void> {
    const { options, directory, metastore } = this.#parts;
    const { env, disk } = options.platform;
    const space = disk.space(directory.dir);
    const record: SupervisorRecord = {
      id: this.id,
      host: options.host,
      rpcPort: this.rpcPort,
      httpPort: this.httpPort,
      labels: options.config.get<string[] | undefined>("supervisor.labels") ?? [],
      pid: options.pid,
      version: options.release,
      startedMs: env.now(),
      heartbeatMs: env.now(),
      diskFreeBytes: space.freeBytes,
      diskTotalBytes: space.totalBytes,
      memoryBytes: 0,
    };
    const path = tree.supervisor(this.id);
    if (await metastore.get(path)) await metastore.set(path, toNode(record));
    else await metastore.create(path, toNode(record), { ephemeral: true });
    this.#lastRecordMs = env.monotonicMs();
  }
}

async function writeReport(metastore: Metastore, task: WorkerTask, report: WorkerReport): Promise<void> {
  // Not below an instance that is gone: its parent is removed last by the conductor.
  const path = tree.worker(task.instance.id, task.workerIndex);
  if (await metastore.get(path)) await metastore.set(path, toNode(report));
  else await metastore.create(path, toNode(report));
}

function calls(store: ClusterStore, metastore: Metastore, release: string): Map<number, ControlHandler> {
  return new Map<number, ControlHandler>([
    [GET_VERSION, (): VersionAnswer => ({ release, protocol: PROTOCOL_VERSION, role: "supervisor" })],
    [GET_ROUTES, (body) => routesOf(store, field(body, "moduleName", "string") as string)],
    [GET_MODULE_NAMES, () => store.moduleNames()],
    [
      GET_PEERS,
      async (): Promise<PeersAnswer> => {
        const conductor = await metastore.get(tree.conductor);
        const record = conductor && fromNode<ConductorRecord>(conductor.data);
        const supervisors = (await store.supervisors()).map((s) => `${s.host}:${s.rpcPort}`);
        return { conductor: record ? `${record.host}:${record.port}` : null, supervisors };
      },
    ],
  ]);
}
