// The conductor: takes launches and destroys, keeps bundles, tells clients where modules are, serves the Cluster UI. Not in the way of data: while it is down
// everything that runs goes on. All its state is in the metastore, but for the bundles in its directory.
import { RamaError } from "../../base/errors.ts";
import { ClusterStore } from "../../cluster/cluster-store.ts";
import { routesOf } from "../../cluster/routes.ts";
import { type Config, configOf } from "../../config/rama-yaml.ts";
import type { ConductorView, HttpApp } from "../../http/views.ts";
import type { Metastore } from "../../metastore/metastore.ts";
import { fromNode, toNode, tree } from "../../metastore/tree.ts";
import type { HttpServer, Platform } from "../../net/platform.ts";
import type { Listener } from "../../net/transport.ts";
import type { ModuleRecord, ConductorRecord } from "../../protocol/cluster-records.ts";
import {
  ALLOW_LEADERS,
  CLUSTER_STATUS,
  type ClusterStatusAnswer,
  DESTROY,
  DISALLOW_LEADERS,
  LAUNCH,
  type LaunchRequest,
  type GroupState,
  MODULE_STATUS,
  type ModuleStatusAnswer,
  PUT_BUNDLE,
  type PutBundle,
  UPDATE,
  type UpdateRequest,
} from "../../protocol/conductor.ts";
import type { DeadLettersAnswer, DeadLettersCall, PeersAnswer, VersionAnswer } from "../../protocol/control.ts";
import type { ObjectTable } from "../../protocol/routes.ts";
import {
  DEAD_LETTERS,
  GET_MODULE_NAMES,
  GET_PEERS,
  GET_ROUTES,
  GET_VERSION,
  PAUSE_TOPOLOGY,
  PROTOCOL_VERSION,
} from "../../protocol/table.ts";
import { bindAddress, openClusterMetastore } from "../cluster-settings.ts";
import { checkedDeadLetters, type ControlHandler, field, listenForCalls } from "../control-calls.ts";
import { RoleDirectory } from "../local-dir.ts";
import { BundleStore } from "./bundles.ts";
import { handOver, Leaders } from "./leaders.ts";
import { Operations } from "./operations.ts";
import type { MigrationStatus } from "../../module/migrations.ts";
import { askWorkers, deadLettersOfWorkers, pauseAtWorkers } from "./worker-status.ts";

export interface ConductorOptions {
  readonly platform: Platform;
  readonly config: Config;
  readonly localDir: string;
  readonly release: string;
  readonly pid: number;
  /** The HTTP app of port 8888, made for this conductor (http/ is handed in by the role's caller, so that tests may leave it out). */
  readonly httpApp?: (view: ConductorView) => HttpApp;
}

interface ConductorParts {
  readonly directory: RoleDirectory;
  readonly metastore: Metastore;
  readonly listener: Listener;
  readonly http: HttpServer | undefined;
  readonly operations: Operations;
  readonly leaders: Leaders;
}

export class Conductor {
  readonly host: string;
  readonly port: number;
  readonly uiPort: number;
  readonly #parts: ConductorParts;

  private constructor(parts: ConductorParts, host: string, uiPort: number) {
    this.#parts = parts;
    this.host = host;
    this.port = parts.listener.port;
    this.uiPort = uiPort;
  }

  /** STORE_LOCKED, PORT_IN_USE, METASTORE_UNAVAILABLE, BAD_CONFIG: nothing is left open then. */
  static async start(options: ConductorOptions): Promise<Conductor> {
    const { platform, config, localDir } = options;
    const directory = await RoleDirectory.open(platform, localDir, "conductor", options.pid);
    const closing: (() => Promise<void>)[] = [() => directory.close()];
    try {
      const metastore = await openClusterMetastore(platform, config);
      closing.push(() => metastore.close());
      return await Conductor.#wire(options, directory, metastore, closing);
    } catch (error) {
      for (const close of closing.reverse()) await close();
      throw error;
    }
  }

  static async #wire(
    options: ConductorOptions,
    directory: RoleDirectory,
    metastore: Metastore,
    closing: (() => Promise<void>)[],
  ): Promise<Conductor> {
    const { platform, config, release } = options;
    const { env } = platform;
    const store = new ClusterStore(metastore);
    const bundles = new BundleStore(
      platform.disk,
      `${directory.dir}/bundles`,
      config.get<number>("limit.bundle.bytes"),
      () => env.monotonicMs(),
    );
    const operations = new Operations({
      env,
      store,
      launchTimeoutMs: config.get<number>("supervisor.worker.launch.timeout.millis") + 10_000,
      hasBundle: (hash) => bundles.has(hash),
      migrationsOf: (module) => migrationsOf(platform, store, module),
      handOver: (module, of) => handOver(platform, store, module, of),
      onRemoved: async () => {
        const hashes = (await store.modules()).flatMap((module) =>
          module.instances.map((instance) => instance.bundleHash),
        );
        bundles.keepOnly(new Set(hashes));
      },
    });
    const host = config.host("conductor.host", "internal");
    const bind = bindAddress(config);
    let uiPort = 0;
    const view: ConductorView = {
      store,
      bundle: (hash) => (bundles.has(hash) ? bundles.read(hash) : undefined),
      release,
      metadata: config.get<string | undefined>("cluster.metadata") ?? null,
      clusterStatus: () => clusterStatus(view, uiPort),
      moduleStatus: (name, verify) => moduleStatus(platform, store, name, verify),
      deadLetters: (moduleName) => deadLetters(platform, store, moduleName, { action: "list", choice: {} }),
      changeDeadLetters: (moduleName, call) => deadLetters(platform, store, moduleName, { ...call }),
      pauseTopology: async (moduleName, topology, paused) =>
        void (await pauseTopology(platform, store, { moduleName, topology, paused })),
    };
    const http =
      options.httpApp &&
      (await platform.http.serve({ host: bind, port: config.get<number>("cluster.ui.port") }, options.httpApp(view)));
    if (http) closing.push(() => http.close());
    uiPort = http?.port ?? 0;
    const handlers = conductorCalls(view, operations, bundles, () => uiPort);
    const leaders = new Leaders({ env, store, balance: (module) => operations.balance(module) });
    closing.push(async () => leaders.close());
    handlers.set(DISALLOW_LEADERS, (body) => leaders.disallow(field(body, "supervisorId", "string") as string));
    handlers.set(ALLOW_LEADERS, (body) => leaders.allow(field(body, "supervisorId", "string") as string));
    handlers.set(DEAD_LETTERS, (body) =>
      deadLetters(platform, store, field(body, "moduleName", "string") as string, checkedDeadLetters(body)),
    );
    handlers.set(PAUSE_TOPOLOGY, (body) => pauseTopology(platform, store, body));
    const listener = await listenForCalls(
      env,
      platform.transport,
      { host: bind, port: config.get<number>("conductor.port") },
      handlers,
    );
    closing.push(() => listener.close());
    const record: ConductorRecord = {
      host,
      port: listener.port,
      uiPort,
      pid: options.pid,
      version: release,
      startedMs: env.now(),
    };
    await announce(metastore, record);
    directory.writePorts({ rpc: listener.port, ui: uiPort });
    env.spawn("resume operations", () => operations.resume());
    return new Conductor({ directory, metastore, listener, http, operations, leaders }, host, uiPort);
  }

  /** Takes nothing new, lets the step under way finish, closes all. */
  async stop(): Promise<void> {
    const { directory, metastore, listener, http, operations, leaders } = this.#parts;
    leaders.close();
    await listener.close();
    await http?.close();
    await operations.close();
    try {
      await metastore.remove(tree.conductor);
    } finally {
      await metastore.close();
      await directory.close();
    }
  }
}

/** Takes the place of an earlier conductor's node, whose session may not have ended yet: the directory's lock says that it is gone. */
async function announce(metastore: Metastore, record: ConductorRecord): Promise<void> {
  await metastore.remove(tree.conductor);
  await metastore.create(tree.conductor, toNode(record), { ephemeral: true });
  const version = await metastore.get(tree.version);
  if (!version) await metastore.create(tree.version, toNode({ version: record.version }));
  else if (fromNode<{ version: string }>(version.data).version !== record.version)
    await metastore.set(tree.version, toNode({ version: record.version }));
}

function conductorCalls(
  view: ConductorView,
  operations: Operations,
  bundles: BundleStore,
  uiPort: () => number,
): Map<number, ControlHandler> {
  const { store, release } = view;
  return new Map<number, ControlHandler>([
    [GET_VERSION, (): VersionAnswer => ({ release, protocol: PROTOCOL_VERSION, role: "conductor" })],
    [GET_ROUTES, (body) => routesOf(store, field(body, "moduleName", "string") as string)],
    [GET_MODULE_NAMES, () => store.moduleNames()],
    [
      GET_PEERS,
      async (): Promise<PeersAnswer> => ({
        conductor: null,
        supervisors: (await store.supervisors()).map((s) => `${s.host}:${s.rpcPort}`),
      }),
    ],
    [
      PUT_BUNDLE,
      (body) => {
        for (const name of ["offset", "total"]) field(body, name, "number");
        if (!(body["bytes"] instanceof Uint8Array)) throw new RamaError("BAD_FRAME", "field bytes must be bytes", {});
        field(body, "hash", "string");
        return { done: bundles.put(body as unknown as PutBundle) };
      },
    ],
    [LAUNCH, (body) => operations.launch(checkedLaunch(body))],
    [UPDATE, (body) => operations.update(checkedUpdate(body))],
    [DESTROY, (body) => operations.destroy(field(body, "moduleName", "string") as string)],
    [
      MODULE_STATUS,
      (body) => {
        const name = field(body, "moduleName", "string") as string;
        return view.moduleStatus(name, body["verify"] === true);
      },
    ],
    [CLUSTER_STATUS, () => clusterStatus(view, uiPort())],
  ]);
}

function checkedLaunch(body: Record<string, unknown>): LaunchRequest {
  for (const name of ["moduleName", "moduleExport", "bundleHash", "ramaVersion"]) field(body, name, "string");
  for (const name of ["tasks", "threads", "workers", "replicationFactor"]) field(body, name, "number");
  for (const name of ["configOverrides", "options", "objects", "dependencies"]) field(body, name, "object");
  const request = body as unknown as LaunchRequest;
  configOf(request.configOverrides, "--configOverrides");
  if (request.moduleName.length === 0 || request.moduleName.length > 500)
    throw new RamaError("BAD_MODULE", "a module's name has 1 to 500 characters", {});
  return request;
}

function checkedUpdate(body: Record<string, unknown>): UpdateRequest {
  for (const name of ["moduleName", "moduleExport", "bundleHash", "ramaVersion"]) field(body, name, "string");
  for (const name of ["configOverrides", "options", "launchOptions", "objects", "dependencies", "objectsToDelete"])
    field(body, name, "object");
  field(body, "resetConfig", "boolean");
  const request = body as unknown as UpdateRequest;
  configOf(request.configOverrides, "--configOverrides");
  return request;
}

async function moduleStatus(
  platform: Platform,
  store: ClusterStore,
  name: string,
  verify = false,
): Promise<ModuleStatusAnswer> {
  const { value: module } = await store.requireModule(name);
  const instances = module.instances;
  const reports = await Promise.all(instances.map((instance) => store.workers(instance.id)));
  const objects = await store.manifest<ObjectTable>(module.readTarget);
  const workers = reports.flatMap((map) => [...map.values()]).sort((a, b) => a.workerIndex - b.workerIndex);
  return {
    module,
    objects: objects ?? null,
    workers,
    engines: (await askWorkers(platform, workers, verify)) as ModuleStatusAnswer["engines"],
    groups: await groupStates(store, module),
    log: (await store.operations(name)).slice(-50),
  };
}

/** Of the instance that serves. */
async function groupStates(store: ClusterStore, module: ModuleRecord): Promise<(GroupState | null)[]> {
  const instance = module.instances.find(({ id }) => id === module.readTarget);
  if (instance === undefined) return [];
  return (await store.groups(instance)).map((record) => record ?? null);
}

async function migrationsOf(platform: Platform, store: ClusterStore, module: ModuleRecord): Promise<MigrationStatus[]> {
  const workers = [...(await store.workers(module.readTarget)).values()];
  const answers = (await askWorkers(platform, workers)) as ModuleStatusAnswer["engines"];
  return answers.flatMap(({ engines }) => engines.flatMap((engine) => engine.migrations ?? []));
}

/** Of the instance that serves; workers of one that is prepared or ends have none of their own. */
async function deadLetters(
  platform: Platform,
  store: ClusterStore,
  moduleName: string,
  { action, choice }: DeadLettersCall,
): Promise<DeadLettersAnswer> {
  const { value: module } = await store.requireModule(moduleName);
  const workers = [...(await store.workers(module.appendTarget)).values()];
  return deadLettersOfWorkers(platform, workers, { action, choice });
}

/** Of all workers of the module, over their restarts and over updates. A module none of whose workers runs is paused when they do. */
async function pauseTopology(platform: Platform, store: ClusterStore, body: Record<string, unknown>): Promise<object> {
  const { value: module } = await store.requireModule(field(body, "moduleName", "string") as string);
  const topology = field(body, "topology", "string") as string;
  const paused = field(body, "paused", "boolean") as boolean;
  let told = 0;
  for (const { id } of module.instances)
    told += await pauseAtWorkers(platform, [...(await store.workers(id)).values()], { topology, paused });
  // Nobody could say whether there is such a topology.
  if (told === 0 && (await store.pauses(module.name))[topology] === undefined) {
    const message = `no worker of ${module.name} answers; ${topology} is not ${paused ? "paused" : "resumed"}: try again`;
    throw new RamaError("MODULE_NOT_RUNNING", message, { module: module.name });
  }
  const atMs = platform.env.now();
  const pause = paused ? { reason: "by pauseTopology", stuck: false, sinceMs: atMs } : undefined;
  if (await store.setPause(module.name, topology, pause)) {
    const operation = paused ? "pauseTopology" : "resumeTopology";
    await store.log({ atMs, module: module.name, operation, text: `${topology} is ${paused ? "paused" : "resumed"}` });
  }
  return {};
}

async function clusterStatus(view: ConductorView, uiPort: number): Promise<ClusterStatusAnswer> {
  const { store } = view;
  const [supervisors, modules, leaderless] = await Promise.all([
    store.supervisors(),
    store.modules(),
    store.leaderless(),
  ]);
  return {
    release: view.release,
    metadata: view.metadata,
    uiPort,
    supervisors,
    modules,
    leaderless: leaderless ?? null,
  };
}
