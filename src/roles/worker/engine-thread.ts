// One engine thread of a worker: loads the bundle, opens its engine over its store, listens on a port of its own and does what the main thread tells. The entry file
// of the thread (`src/engine-main.ts`) hands in the platform and the doors. It ends cooperatively: the main thread never terminates it while it holds a store.
import type { Env, Timer } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import { configOf } from "../../config/rama-yaml.ts";
import type { Platform } from "../../net/platform.ts";
import type { ClassRegistry } from "../../base/values.ts";
import type { DeadLettersCall } from "../../protocol/control.ts";
import { failureOf, failureText } from "../../protocol/failure.ts";
import type { ModulePauses, OptionSetting, TopologyPause } from "../../protocol/cluster-records.ts";
import { type GroupAddress, objectTable } from "../../protocol/routes.ts";
import { parseMinimumFree, SpaceGuard } from "../../storage/space-guard.ts";
import { type TaskGlobals, taskGlobals } from "../../task/task-globals.ts";
import { instanceInfo } from "./assignment.ts";
import { ClusterAccess, routeServers } from "./cluster-access.ts";
import { letterRows } from "./dead-letter-rows.ts";
import { DynamicOptions } from "./dynamic-options.ts";
import { EngineHost, type EngineHostOptions } from "./engine-host.ts";
import { HeldListener } from "./held-listener.ts";
import { type Doors, installDoors, type LoadedModule, type LoadOptions, loadModule } from "./module-loader.ts";
import type { RehearsalOptions } from "./rehearsal.ts";
import { GroupReplica, type GroupReplicaOptions } from "./group-replica.ts";
import { type GroupRecord, type Member, minInSyncOf } from "../../replication/group-record.ts";
import { OptionView } from "../../task/option-view.ts";
import type { FromEngine, OpenEngine, ProposeRecord, ToEngine } from "./thread-messages.ts";

export interface EngineThreadOptions {
  readonly platform: Pick<Platform, "env" | "disk" | "kv" | "transport">;
  readonly doors: Doors;
  send(message: FromEngine): void;
  /** Ends the thread. */
  exit(): void;
  /** What to do while the stores are not there yet (`rehearsal.ts`); left out in simulated clusters, where code is never cold. */
  readonly rehearse?: (options: RehearsalOptions) => Promise<void>;
  /** Where a module comes from other than from a bundle's file: simulated clusters. */
  readonly load?: (options: LoadOptions) => Promise<LoadedModule>;
}

type Proposed = Extract<ToEngine, { kind: "proposed" }>;

const spaceEveryMs = 500;
/** A store that another process holds is tried again so often, and for so long: somewhat longer than a worker may take to stop. */
const storeTryMs = 2;
const storeFreeMs = 15_000;

export class EngineThread {
  readonly #options: EngineThreadOptions;
  readonly #env: Env;
  #single: EngineHost | undefined;
  /** Instead, where the group has other replicas. */
  #replica: GroupReplica | undefined;
  /** What the main thread has not answered yet. */
  readonly #proposals = new Map<number, (message: Proposed) => void>();
  #lastProposal = 0;
  #paused: string[] = [];
  #access: ClusterAccess | undefined;
  /** Prepared for a hand-over. */
  #globals: TaskGlobals | undefined;
  #held: HeldListener | undefined;
  #groups: readonly GroupAddress[] = [];
  #dynamic: DynamicOptions | undefined;
  #spaceTimer: Timer | undefined;
  #classes: ClassRegistry | undefined;
  #go: () => void = () => {};
  #closing = false;

  constructor(options: EngineThreadOptions) {
    this.#options = options;
    this.#env = options.platform.env;
  }

  onMessage(message: ToEngine): void {
    switch (message.kind) {
      case "open":
        this.#env.spawn("engine", () => this.#open(message));
        return;
      case "go":
        this.#go();
        return;
      case "groups":
        this.#setGroups(message.groups);
        return;
      case "view":
        this.#replica?.view({ record: message.record, live: new Map(message.live) });
        return;
      case "resign":
        this.#env.spawn("a hand-over", () => this.#resign(message.request, message.to));
        return;
      case "proposed":
        this.#proposals.get(message.request)?.(message);
        this.#proposals.delete(message.request);
        return;
      case "options":
        this.#setOptions(message.settings);
        return;
      case "pause":
        this.#paused = this.#paused.filter((name) => name !== message.topology);
        if (message.paused) this.#paused.push(message.topology);
        if (message.paused) this.#host?.engine.pauseTopology(message.topology);
        else this.#host?.engine.resumeTopology(message.topology);
        return;
      case "status":
        this.#env.spawn("status", () => this.#status(message.request, message.withContents));
        return;
      case "deadLetters":
        this.#env.spawn("dead letters", () => this.#deadLetters(message.request, message.call));
        return;
      case "close":
        this.#env.spawn("engine close", () => this.#close());
    }
  }

  /** The engine of now. */
  get #host(): EngineHost | undefined {
    return this.#replica?.host ?? this.#single;
  }

  #setGroups(groups: readonly GroupAddress[]): void {
    const before = this.#groups;
    this.#groups = groups;
    const moved = before.some(({ host, port }, group) => {
      const now = groups[group];
      return port !== 0 && (now?.host !== host || now.port !== port);
    });
    // Events that were on their way to a former leader are lost.
    if (moved && this.#replica !== undefined) this.#replica.host.engine.peerLost();
  }

  async #status(request: number, withContents: boolean): Promise<void> {
    const engine = this.#host?.engine;
    if (engine === undefined) return;
    // Its store may be closed meanwhile, or be in trouble: then what can be said without it.
    const status = await engine.statusWithSizes(withContents).catch(() => engine.status());
    this.#options.send({ kind: "status", request, status });
  }

  async #deadLetters(request: number, { action, choice }: DeadLettersCall): Promise<void> {
    const engine = this.#host?.engine;
    if (engine === undefined) return;
    const answer =
      action === "list"
        ? { letters: letterRows(engine.deadLetters(), choice, this.#classes), count: 0 }
        : { letters: [], count: await engine.changeDeadLetters(action, choice) };
    this.#options.send({ kind: "deadLetters", request, answer });
  }

  async #resign(request: number, to: Member): Promise<void> {
    try {
      const replica = this.#replica?.host.engine.replica;
      if (replica === undefined) throw new RamaError("MOVED", "the engine has no other replica, or is not open");
      await replica.resign(to);
      this.#options.send({ kind: "resigned", request });
    } catch (error) {
      this.#options.send({ kind: "resigned", request, failure: failureText(error) });
    }
  }

  #setOptions(settings: readonly OptionSetting[]): void {
    const before = this.#dynamic?.settings ?? [];
    this.#dynamic?.replace(settings);
    for (const { name, scope, object, value } of settings) {
      this.#host?.engine.setOption(name, value, scope === "module" ? undefined : object);
    }
    for (const { name, scope, object } of before) {
      const kept = settings.some((each) => each.name === name && each.scope === scope && each.object === object);
      if (!kept) this.#host?.engine.setOption(name, undefined, scope === "module" ? undefined : object);
    }
  }

  async #open(open: OpenEngine): Promise<void> {
    try {
      const { assignment } = open;
      const config = configOf(assignment.config, "the worker's settings");
      const { module, classes, functionNamed } = await (this.#options.load ?? this.#loadBundle)({
        bundlePath: assignment.bundlePath,
        moduleExport: assignment.moduleExport,
        serializations: config.get<readonly string[] | undefined>("custom.serializations") ?? [],
        ...(assignment.libDir === undefined ? {} : { libDir: assignment.libDir }),
      });
      this.#classes = classes;
      const access = new ClusterAccess({
        ...this.#options.platform,
        config,
        classes,
        servers: routeServers(assignment.routeServers, config),
      });
      this.#access = access;
      const shared = {
        module,
        clusterRetriever: () => access,
        info: instanceInfo(assignment),
        instanceTag: `${assignment.workerId}/${open.engine}`,
      };
      if (assignment.waits === true) {
        // What they throw ends the update while the old version still serves; what takes long makes nobody wait.
        this.#globals = taskGlobals({ env: this.#env, ...shared });
        await this.#globals.prepareGroups(open.groups);
      }
      const address = { host: assignment.bindHost ?? assignment.host, port: open.port };
      if (assignment.waits === true) {
        const { platform } = this.#options;
        await this.#rehearse({
          platform,
          dir: `${assignment.workerDir}/rehearsal-${open.engine}`,
          release: open.release,
          config,
        });
        this.#held = await HeldListener.open(platform.transport, address);
      }
      this.#options.send({
        kind: "loaded",
        port: this.#held?.port ?? 0,
        objects: objectTable(module),
        topologies: module.topologies.map(({ name, lines }) => ({ name, lines: lines.map(({ line }) => line) })),
      });
      if (assignment.waits === true) {
        await new Promise<void>((resolve) => {
          this.#go = resolve;
        });
      }
      this.#dynamic = new DynamicOptions(module.definition.launchOptions, assignment.options);
      const answerBytesMax = Math.min(
        config.get<number>("limit.answer.bytes"),
        config.get<number>("limit.frame.bytes") - 64,
      );
      const host = (): EngineHostOptions => ({
        ...this.#options.platform,
        address,
        held: this.#replica === undefined ? this.#held : undefined,
        dir: open.dir,
        ...shared,
        // A replica that is opened anew makes its own.
        ...(this.#globals === undefined || assignment.replication !== undefined ? {} : { globals: this.#globals }),
        classes,
        functionNamed,
        client: access.core,
        groups: open.groups,
        options: this.#dynamic!,
        stuckNote: open.stuckNote,
        quarantined: topologies(open.pauses, (pause) => pause.stuck),
        paused: this.#paused,
        release: open.release,
        recordBytesMax: config.get("limit.record.bytes"),
        segmentSizeBytes: config.get("log.segment.bytes"),
        answerBytesMax,
        addressOf: (task) => this.#groups[task % assignment.threads],
        // Its disk or an assertion failed: a process that is started again recovers from what is durable, one that stays answers nothing.
        onBroken: (error) => this.#options.send({ kind: "failed", failure: failureText(error) }),
        ...(assignment.deletedObjects === undefined ? {} : { deletedObjects: assignment.deletedObjects }),
      });
      this.#paused = topologies(open.pauses, (pause) => !pause.stuck);
      if (assignment.replication === undefined) this.#single = await this.#whenFree(() => EngineHost.open(host()));
      else this.#replica = await this.#whenFree(() => GroupReplica.open(this.#replicaOptions(open, host)));
      this.#guardSpace(open.dir, config.get("disk.min.free"));
      const { address: taken, engine } = this.#host!;
      this.#options.send({ kind: "ready", port: taken.port, recovered: engine.recovered });
    } catch (error) {
      this.#env.log.error("engine did not open", { error });
      await this.#held?.close();
      this.#options.send({ kind: "failed", failure: failureText(error) });
    }
  }

  #replicaOptions({ assignment, life }: OpenEngine, host: () => EngineHostOptions): GroupReplicaOptions {
    const { dataId, factor } = assignment.replication!;
    const options = new OptionView(this.#dynamic!);
    return {
      env: this.#env,
      host,
      replication: {
        transport: this.#options.platform.transport,
        dataId,
        self: assignment.workerIndex,
        life,
        control: {
          propose: (epoch, inSync) => this.#propose(epoch, { inSync }),
          handOver: (epoch, leader) => this.#propose(epoch, { leader }),
          confirm: async (epoch) => (await this.#askMain(epoch, "confirm")).leaseMs ?? 0,
        },
        minInSync: () => minInSyncOf(options.get("replication.min.isr"), factor),
        maxLagMs: () => options.number("replication.max.time.lag.millis"),
        copyRate: () => options.number("replication.far.horizon.bytes.per.second"),
      },
      onMayLead: (mayLead) => this.#options.send({ kind: "mayLead", mayLead }),
      onFailed: (error) => this.#options.send({ kind: "failed", failure: failureText(error) }),
    };
  }

  async #propose(epoch: number, change: ProposeRecord["change"]): Promise<GroupRecord> {
    return (await this.#askMain(epoch, change)).record!;
  }

  #askMain(epoch: number, change: ProposeRecord["change"]): Promise<Proposed> {
    return new Promise((resolve, reject) => {
      const request = ++this.#lastProposal;
      this.#proposals.set(request, (answer) => {
        if (answer.failure === undefined) resolve(answer);
        else reject(failureOf(answer.failure));
      });
      this.#options.send({ kind: "propose", request, epoch, change });
    });
  }

  readonly #loadBundle = (options: LoadOptions): Promise<LoadedModule> => {
    const { libDir } = options;
    const { disk } = this.#options.platform;
    const libFiles = libDir === undefined ? [] : disk.list(libDir).filter((name) => name.endsWith(".js"));
    installDoors(
      this.#options.doors,
      libFiles.map((name) => ({ name: name.slice(0, -".js".length), path: `${libDir}/${name}` })),
    );
    return loadModule(options);
  };

  /** A worker that ends holds its stores a moment longer: the lock goes when the last byte is written. */
  async #whenFree<T>(open: () => Promise<T>): Promise<T> {
    const deadlineMs = this.#env.monotonicMs() + storeFreeMs;
    for (;;) {
      try {
        return await open();
      } catch (error) {
        const isLocked = error instanceof RamaError && error.code === "STORE_LOCKED";
        if (!isLocked || this.#closing || this.#env.monotonicMs() >= deadlineMs) throw error;
        await this.#env.sleep(storeTryMs);
      }
    }
  }

  /** Appends are refused while the store's file system is nearly full. */
  #guardSpace(dir: string, minimum: string): void {
    const { env, disk } = this.#options.platform;
    const guard = new SpaceGuard({ env, disk, path: dir, minimum: parseMinimumFree(minimum) });
    let refusal: RamaError | null = null;
    const look = (): void => {
      if (guard.refusal !== refusal) {
        refusal = guard.refusal;
        this.#host?.engine.refuseAppends(refusal);
      }
      this.#spaceTimer = env.setTimer(spaceEveryMs, look);
    };
    look();
  }

  /** Only makes the start quicker: what goes wrong is of no consequence. */
  async #rehearse(options: RehearsalOptions): Promise<void> {
    try {
      await this.#options.rehearse?.(options);
    } catch (error) {
      this.#env.log.debug("the rehearsal failed", { error });
    }
  }

  async #close(): Promise<void> {
    this.#closing = true;
    this.#spaceTimer?.cancel();
    try {
      await (this.#replica ?? this.#single)?.close();
      await this.#globals?.close();
      if (this.#host === undefined) await this.#held?.close();
      await this.#access?.close();
    } catch (error) {
      // What is durable is durable; the next start recovers the rest.
      this.#env.log.error("the engine did not close in order", { error });
    } finally {
      this.#options.send({ kind: "closed" });
      this.#options.exit();
    }
  }
}

function topologies(pauses: ModulePauses, which: (pause: TopologyPause) => boolean): string[] {
  return Object.entries(pauses).flatMap(([name, pause]) => (which(pause) ? [name] : []));
}
