// A worker process: starts the engine threads that its assignment asks for, answers on the hello port, tells the supervisor through files that it lives, and stops in
// order. The data path does not pass through here: clients and other engines talk to the engine threads' own ports.
import { decodeControl, encodeControl } from "../../base/codec.ts";
import type { Timer } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import { configOf, type Config } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import { RpcClient } from "../../net/rpc.ts";
import type { Listener } from "../../net/transport.ts";
import type { OptionSetting, TopologyPause } from "../../protocol/cluster-records.ts";
import type { DeadLettersAnswer, DeadLettersCall, PauseTopology, VersionAnswer } from "../../protocol/control.ts";
import { WORKER_STATUS } from "../../protocol/conductor.ts";
import { type GroupAddress, type ModuleRoutes, moduleRoutes } from "../../protocol/routes.ts";
import {
  DEAD_LETTERS,
  GET_ROUTES,
  GET_VERSION,
  PAUSE_TOPOLOGY,
  PROTOCOL_VERSION,
  RESIGN_LEADER,
  SET_WORKER_OPTIONS,
} from "../../protocol/table.ts";
import { stuckNoteBytes } from "../../task/stuck-note.ts";
import { checkedDeadLetters, checkedSettings, type ControlHandler, field, listenForCalls } from "../control-calls.ts";
import { WorkerFiles } from "../supervisor/worker-files.ts";
import { dealGroups, type EngineTable, instanceInfo, type WorkerAssignment } from "./assignment.ts";
import { routeServers } from "./cluster-access.ts";
import { EngineHandle, type StartThread } from "./engine-handle.ts";
import { ReplicaSeats } from "./replica-seats.ts";
import { StuckRecords } from "./stuck-records.ts";
import { StuckWatch } from "./stuck-watch.ts";

export interface WorkerOptions {
  readonly platform: Platform;
  readonly assignment: WorkerAssignment;
  readonly release: string;
  readonly pid: number;
  /** Starts an engine thread: `bunThread(new URL("./engine-main.ts", import.meta.url))`. */
  readonly startThread: StartThread;
  /** Ends the process at once; for a thread that user code holds. */
  readonly abort: (reason: string) => void;
}

const peersEveryMs = 500;
/** While the place of a group is not known. */
const missingPeersEveryMs = 20;
/** How often a prepared worker looks whether it may go on. */
const goEveryMs = 5;

/** Resolves when the worker serves. Rejects, with `failure.json` written, when it cannot. */
export async function runWorker(options: WorkerOptions): Promise<Worker> {
  const worker = new Worker(options);
  try {
    await worker.start();
    return worker;
  } catch (error) {
    new WorkerFiles(options.platform.disk, options.assignment.workerDir).writeFailure(messageOf(error));
    await worker.close();
    throw error;
  }
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #config: Config;
  readonly #files: WorkerFiles;
  readonly #engines: EngineHandle[] = [];
  /** By task group of the whole module; port 0: not known. */
  #groups: GroupAddress[] = [];
  /** Of this worker's own engines, by task group. */
  readonly #ports: number[] = [];
  readonly #engineOf = new Map<number, EngineHandle>();
  readonly #life: string;
  #seats: ReplicaSeats | undefined;
  #settings: readonly OptionSetting[];
  #routesVersion = 1;
  #listener: Listener | undefined;
  #heartbeat: Timer | undefined;
  readonly #stuck: StuckRecords;
  readonly #pauses: Map<string, TopologyPause>;
  #stuckWatch: StuckWatch | undefined;
  #closing: Promise<void> | undefined;
  #hadDirectory = false;
  readonly #stopped = new AbortController();

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { assignment, platform } = options;
    this.#config = configOf(assignment.config, "the worker's settings");
    this.#files = new WorkerFiles(platform.disk, assignment.workerDir);
    this.#stuck = new StuckRecords(platform.disk, assignment.workerDir);
    this.#settings = assignment.options;
    this.#life = `${options.pid}-${Math.floor(platform.env.random() * 2 ** 32).toString(16)}`;
    this.#pauses = new Map(Object.entries(assignment.pauses ?? {}));
    this.#groups = Array.from({ length: assignment.threads }, () => ({ host: "", port: 0 }));
  }

  async start(): Promise<void> {
    const { assignment, platform, release } = this.#options;
    const { env } = platform;
    const table = this.#engineTable();
    this.#beat();
    this.#stuckWatch = new StuckWatch({
      env,
      engines: this.#engines,
      records: this.#stuck,
      limitMs: this.#config.get<number>("worker.stuck.event.seconds") * 1000,
      abort: this.#options.abort,
    });
    for (const [topology, { reason }] of this.#pauses) env.log.warn(`${topology} stays paused: ${reason}`);
    const opening = table.engines.map((engine, i) => this.#startEngine(engine.store, engine.groups, i));
    if (assignment.waits === true) {
      opening.push(this.#untilLetGo());
    }
    await Promise.all(opening);
    this.#tellGroups();
    this.#listener = await listenForCalls(
      env,
      platform.transport,
      { host: assignment.bindHost ?? assignment.host, port: assignment.helloPort },
      new Map<number, ControlHandler>([
        [GET_VERSION, () => ({ release, protocol: PROTOCOL_VERSION, role: "worker" }) satisfies VersionAnswer],
        [GET_ROUTES, () => this.#routes()],
        [WORKER_STATUS, (body) => this.#status(body["verify"] === true)],
        [SET_WORKER_OPTIONS, (body) => this.#setOptions(checkedSettings(body))],
        [DEAD_LETTERS, (body) => this.#deadLetters(checkedDeadLetters(body))],
        [RESIGN_LEADER, (body) => this.#resign(field(body, "group", "number") as number, body)],
        [
          PAUSE_TOPOLOGY,
          (body) => {
            field(body, "topology", "string");
            field(body, "paused", "boolean");
            return this.#pause(body as unknown as PauseTopology);
          },
        ],
      ]),
    );
    if (assignment.replication !== undefined) await this.#takeSeats();
    const recovered = this.#recovered();
    env.log.info("worker serves", { worker: assignment.workerId, module: assignment.moduleName, ...recovered });
    const { pid } = this.#options;
    this.#files.writeStatus({ pid, helloPort: this.#listener.port, groupPorts: this.#groupPorts(), recovered });
    if (assignment.workers > 1 && assignment.replication === undefined)
      env.spawn("routes to other workers", () => this.#followPeers());
  }

  /** No new work, acks out, flush, close. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    this.#stopped.abort();
    this.#stuckWatch?.stop();
    await Promise.all(this.#engines.map((engine) => engine.close()));
    // Only now others may lead: what this worker acknowledged is theirs by now.
    await this.#seats?.close();
    await this.#listener?.close();
    this.#heartbeat?.cancel();
  }

  /** Prepared for a hand-over: everything but the stores, which the old instance has until it ends. */
  async #untilLetGo(): Promise<void> {
    const { env } = this.#options.platform;
    await Promise.all(this.#engines.map((engine) => engine.prepared));
    this.#files.writePrepared({ pid: this.#options.pid, groupPorts: this.#groupPorts() });
    while (!this.#files.isLetGo) {
      if (this.#closing !== undefined)
        throw new RamaError("MODULE_NOT_RUNNING", "the worker stops before its hand-over");
      await env.sleep(goEveryMs);
    }
    for (const engine of this.#engines) engine.post({ kind: "go" });
  }

  #groupPorts(): Record<string, number> {
    const { groups } = this.#options.assignment;
    return Object.fromEntries(groups.map((group) => [group, this.#ports[group] ?? 0]));
  }

  /** What the first start decided; a worker with stores keeps its division for ever. */
  #engineTable(): EngineTable {
    const { assignment, platform } = this.#options;
    const path = `${assignment.dataDir}/engines.json`;
    if (platform.disk.exists(path)) {
      return JSON.parse(new TextDecoder().decode(platform.disk.readFile(path))) as EngineTable;
    }
    const table = dealGroups(assignment.groups, assignment.enginePorts.length);
    platform.disk.mkdir(assignment.dataDir);
    platform.disk.writeFile(path, new TextEncoder().encode(JSON.stringify(table)));
    return table;
  }

  async #startEngine(store: string, groups: readonly number[], index: number): Promise<void> {
    const { assignment, release, platform, startThread } = this.#options;
    const engine = new EngineHandle(platform.env, startThread, {
      kind: "open",
      assignment,
      engine: index,
      groups,
      dir: `${assignment.dataDir}/${store}`,
      release,
      port: assignment.enginePorts[index] ?? 0,
      stuckNote: new SharedArrayBuffer(stuckNoteBytes),
      pauses: Object.fromEntries(this.#pauses),
      life: this.#life,
    });
    this.#engines.push(engine);
    const place = (port: number): void => {
      for (const group of groups) {
        this.#ports[group] = port;
        this.#engineOf.set(group, engine);
        if (assignment.replication === undefined) this.#groups[group] = { host: assignment.host, port };
      }
    };
    await engine.prepared;
    place(engine.loaded?.port ?? 0);
    const { port } = await engine.opened;
    engine.onFailed = (error) => this.#options.abort(`engine thread ${index}: ${error.message}`);
    place(port);
  }

  async #takeSeats(): Promise<void> {
    const { platform, assignment } = this.#options;
    this.#seats = await ReplicaSeats.open(
      {
        platform,
        config: this.#config,
        assignment,
        life: this.#life,
        engines: this.#engineOf,
        settings: () => this.#settings,
        onLeaders: (leaders) => {
          this.#groups = [...leaders];
          this.#routesVersion++;
          this.#tellGroups();
        },
      },
      this.#groupPorts(),
    );
  }

  #tellGroups(): void {
    for (const engine of this.#engines) engine.post({ kind: "groups", groups: this.#groups });
  }

  #recovered(): { entries: number; tornBytes: number; ms: number } {
    const total = { entries: 0, tornBytes: 0, ms: 0 };
    for (const { ready } of this.#engines) {
      if (ready === undefined) continue;
      total.entries += ready.recovered.entries;
      total.tornBytes += ready.recovered.tornBytes;
      total.ms = Math.max(total.ms, ready.recovered.ms);
    }
    return total;
  }

  #routes(): ModuleRoutes {
    const objects = this.#engines[0]?.loaded?.objects;
    if (objects === undefined) throw new RamaError("MODULE_NOT_RUNNING", "the worker is starting");
    return moduleRoutes(instanceInfo(this.#options.assignment), objects, this.#groups, this.#routesVersion);
  }

  async #status(withContents: boolean): Promise<unknown> {
    const { workerId, instanceId } = this.#options.assignment;
    const statuses = await Promise.all(this.#engines.map((engine) => engine.status(withContents)));
    const engines = statuses.map((status) => ({
      ...status,
      topologies: status.topologies.map((topology) => ({
        ...topology,
        pauseReason: this.#pauses.get(topology.name)?.reason ?? null,
      })),
    }));
    return { workerId, instanceId, engines };
  }

  async #resign(group: number, body: Record<string, unknown>): Promise<Record<string, never>> {
    const engine = this.#engineOf.get(group);
    if (engine === undefined) throw new RamaError("MOVED", `task group ${group} is not here`, { group });
    await engine.resign(field(body, "to", "number") as number);
    return {};
  }

  #setOptions(settings: readonly OptionSetting[]): Record<string, never> {
    this.#settings = settings;
    for (const engine of this.#engines) engine.post({ kind: "options", settings });
    return {};
  }

  #pause({ topology, paused, reason = "by pauseTopology", stuck = false }: PauseTopology): Record<string, never> {
    const names = this.#engines[0]?.loaded?.topologies.map(({ name }) => name) ?? [];
    if (!names.includes(topology)) {
      const message = `the module has no topology ${topology}; it has: ${names.join(", ")}`;
      throw new RamaError("UNKNOWN_OBJECT", message, { topology });
    }
    if (paused) this.#pauses.set(topology, { reason, stuck, sinceMs: this.#options.platform.env.now() });
    else {
      this.#pauses.delete(topology);
      this.#stuck.forget(topology);
    }
    for (const engine of this.#engines) engine.post({ kind: "pause", topology, paused });
    return {};
  }

  async #deadLetters(call: DeadLettersCall): Promise<DeadLettersAnswer> {
    const answers = await Promise.all(this.#engines.map((engine) => engine.deadLetters(call)));
    return {
      letters: answers.flatMap(({ letters }) => letters),
      count: answers.reduce((sum, { count }) => sum + count, 0),
    };
  }

  #beat(): void {
    const { platform, pid } = this.#options;
    const every = this.#config.get<number>("worker.heartbeat.frequency.millis");
    const reason = this.#notWanted();
    if (reason !== undefined) return this.#options.abort(reason);
    this.#heartbeat = platform.env.setTimer(every, () => this.#beat());
    try {
      this.#files.writeHeartbeat({ pid, atMs: platform.env.now() });
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      platform.env.log.warn("no heartbeat could be written", { error });
    }
  }

  /**
   * A supervisor that died between starting this process and noting its pid does not know of it: the next one has started another process in its place, or
   * removed the worker. This one must not keep the stores from its successor.
   */
  #notWanted(): string | undefined {
    const { platform, pid } = this.#options;
    const isThere = platform.disk.exists(this.#files.assignmentPath);
    if (this.#hadDirectory && !isThere) return "its directory is gone";
    this.#hadDirectory = isThere;
    const noted = this.#files.process();
    if (noted === undefined || noted.pid === pid) return undefined;
    const present = platform.processes.birth(noted.pid);
    const isOther = present !== undefined && (noted.birth === undefined || present === noted.birth);
    return isOther ? `process ${noted.pid} has been started in its place` : undefined;
  }

  /** Asks where the other workers' groups are, until the worker stops. */
  async #followPeers(): Promise<void> {
    const { platform, assignment } = this.#options;
    const { env, transport } = platform;
    const servers = routeServers(assignment.routeServers, this.#config).map((server) => {
      const colon = server.lastIndexOf(":");
      return new RpcClient(env, transport, { host: server.slice(0, colon), port: Number(server.slice(colon + 1)) });
    });
    const ask = encodeControl({ moduleName: assignment.moduleName, side: "internal" });
    while (this.#closing === undefined) {
      for (const server of servers) {
        try {
          this.#learnGroups(decodeControl(await server.call(GET_ROUTES, ask, 5_000)) as ModuleRoutes);
          break;
        } catch (error) {
          if (!(error instanceof RamaError)) throw error;
          env.log.debug("routes are not known", { error });
        }
      }
      const everyMs = this.#groups.some(({ port }) => port === 0) ? missingPeersEveryMs : peersEveryMs;
      await env.sleep(everyMs, this.#stopped.signal);
    }
    for (const server of servers) server.close();
  }

  #learnGroups(routes: ModuleRoutes): void {
    const { assignment } = this.#options;
    if (routes.moduleInstanceId !== assignment.instanceId) return;
    const own = new Set(assignment.groups);
    const changed = routes.groups.filter((address, group) => {
      const known = this.#groups[group];
      if (own.has(group) || (known?.host === address.host && known.port === address.port)) return false;
      this.#groups[group] = address;
      return true;
    });
    if (changed.length === 0) return;
    this.#routesVersion = Math.max(this.#routesVersion + 1, routes.version);
    this.#tellGroups();
  }
}
