// A replicated module over a world in memory: several hosts with a worker each, engines that follow and lead, elections through the world's metastore. Hosts can be
// killed, lose their power and be started again. For tests and simulation: the same engine, replica, server and router as in worker processes.
import { release } from "../base/release.ts";
import { RamaError } from "../base/errors.ts";
import { ClassRegistry } from "../base/values.ts";
import { ClientCore } from "../client/client-core.ts";
import { configOf } from "../config/rama-yaml.ts";
import { assign } from "../cluster/assignment.ts";
import type { CompiledModule } from "../dataflow/compiled.ts";
import type { ModuleInstanceInfo } from "../module/definition.ts";
import { toNode, tree } from "../metastore/tree.ts";
import type { Metastore } from "../metastore/metastore.ts";
import type { OptionSetting, Placement } from "../protocol/cluster-records.ts";
import { type GroupAddress, type ModuleRoutes, moduleRoutes, objectTable } from "../protocol/routes.ts";
import { firstRecord, minInSyncOf } from "../replication/group-record.ts";
import type { ReplicaStatus } from "../replication/replica-status.ts";
import { membersOf } from "../cluster/replica-sets.ts";
import { DynamicOptions } from "../roles/worker/dynamic-options.ts";
import { GroupReplica } from "../roles/worker/group-replica.ts";
import { leaseMsOf } from "../roles/worker/replica-seats.ts";
import { WorkerReplicas } from "../roles/worker/worker-replicas.ts";
import { OptionView } from "../task/option-view.ts";
import type { Engine } from "../task/engine.ts";
import type { TopologyStatus } from "../task/engine-api.ts";
import type { MemoryPlatform, MemoryWorld } from "./platform-memory.ts";

export interface ReplicatedModuleOptions {
  readonly world: MemoryWorld;
  readonly module: CompiledModule;
  readonly tasks: number;
  readonly threads: number;
  readonly workers: number;
  readonly replicationFactor: number;
  /** Names of the hosts; at least as many as the replication factor. */
  readonly hosts: readonly string[];
  readonly classes?: ClassRegistry;
  readonly settings?: readonly OptionSetting[];
  readonly manualTicks?: boolean;
  /** Entries that logs keep for followers. */
  readonly keptEntries?: number;
  /** Size of the logs' segments. */
  readonly segmentSizeBytes?: number;
  /** An engine has stopped for good: its process would end. */
  readonly onBroken?: (host: string, error: unknown) => void;
}

/** A worker from its start to its end. */
interface WorkerLife {
  readonly platform: MemoryPlatform;
  readonly life: string;
  readonly replicas: Map<number, GroupReplica>;
  /** Groups whose replica here lacks entries that it once confirmed. */
  readonly mayNotLead: Set<number>;
  watch: WorkerReplicas | undefined;
  leaders: readonly GroupAddress[];
  dead: boolean;
}

const dataId = "m1";
const root = "/rama";
const sessionTimeoutMs = 5_000;

export class ReplicatedModule {
  readonly info: ModuleInstanceInfo;
  readonly placements: readonly Placement[];
  readonly #options: ReplicatedModuleOptions;
  readonly #classes: ClassRegistry;
  readonly #config = configOf({}, "replicated module");
  /** By worker index. */
  readonly #workers: (WorkerLife | undefined)[] = [];
  #lives = 0;
  #module: CompiledModule;
  #version = 1;

  private constructor(options: ReplicatedModuleOptions) {
    const { module, tasks, threads, workers, replicationFactor, hosts } = options;
    this.#options = options;
    this.#module = module;
    this.#classes = options.classes ?? new ClassRegistry();
    this.info = {
      moduleName: module.definition.name,
      moduleInstanceId: dataId,
      numTasks: tasks,
      numThreads: threads,
      numWorkers: workers,
    };
    const supervisors = hosts.map((id) => ({ id, labels: [], workers: 0 }));
    this.placements = assign({ tasks, threads, workers, replicationFactor }, supervisors);
  }

  /** Starts every worker; resolves when each group has a leader that serves. */
  static async launch(options: ReplicatedModuleOptions): Promise<ReplicatedModule> {
    const module = new ReplicatedModule(options);
    const metastore = options.world.metastoreServer.session(root);
    for (let group = 0; group < options.threads; group++) {
      await metastore.create(tree.group(dataId, group), toNode(firstRecord(membersOf(module.placements, group))));
    }
    await metastore.close();
    await Promise.all(module.placements.map(({ workerIndex }) => module.start(workerIndex)));
    await module.whenServing();
    return module;
  }

  /** Workers that start from now on run this version; the data stays. */
  replace(module: CompiledModule): void {
    this.#module = module;
  }

  client(host = "client"): ClientCore {
    const { world } = this.#options;
    return new ClientCore({
      env: world.env,
      transport: world.platform(host).transport,
      config: this.#config,
      release,
      classes: this.#classes,
      fetchRoutes: async () => this.routes,
    });
  }

  /** As any live worker knows them. */
  get routes(): ModuleRoutes {
    const known = this.#workers.find((worker) => worker !== undefined && !worker.dead && worker.leaders.length > 0);
    const nowhere = Array.from({ length: this.info.numThreads }, () => ({ host: "", port: 0 }));
    return moduleRoutes(this.info, objectTable(this.#module), known?.leaders ?? nowhere, this.#version);
  }

  /** Waits until every task group is served by somebody. */
  async whenServing(): Promise<void> {
    const { env } = this.#options.world;
    for (let group = 0; group < this.info.numThreads; group++) {
      while (this.leaderOf(group) === undefined) await env.sleep(5);
    }
  }

  /** The worker that serves the group; undefined: none does now. */
  leaderOf(group: number): number | undefined {
    const found = this.#workers.findIndex((worker) => {
      if (worker === undefined || worker.dead) return false;
      return worker.replicas.get(group)?.host.engine.serves === true;
    });
    return found < 0 ? undefined : found;
  }

  statusOf(worker: number, group: number): ReplicaStatus | undefined {
    const life = this.#workers[worker];
    return life === undefined || life.dead ? undefined : life.replicas.get(group)?.host.engine.replica?.status();
  }

  /** Over the engines that lead. */
  topology(name: string): Pick<TopologyStatus, "processed" | "executing" | "failures"> {
    const total = { processed: 0, executing: 0, failures: 0 };
    for (const worker of this.#workers) {
      if (worker === undefined || worker.dead) continue;
      for (const { host } of worker.replicas.values()) {
        if (!host.engine.serves) continue;
        const status = host.engine.status().topologies.find((topology) => topology.name === name);
        total.processed += status?.processed ?? 0;
        total.executing += status?.executing ?? 0;
        total.failures += status?.failures ?? 0;
      }
    }
    return total;
  }

  /** The group's leader hands it over to another worker, as the conductor has it done. LEADER_STAYS, MOVED. */
  async resign(group: number, to: number): Promise<void> {
    const leader = this.leaderOf(group);
    if (leader === undefined) throw new RamaError("MOVED", `nobody leads task group ${group} now`, { group });
    await this.engineOf(leader, group)!.replica!.resign(to);
  }

  engineOf(worker: number, group: number): Engine | undefined {
    return this.#workers[worker]?.replicas.get(group)?.host.engine;
  }

  /** The worker's metastore session is lost, as after a pause; it renews itself after so long. */
  expireSession(worker: number, renewAfterMs: number): void {
    const { platform } = this.#workers[worker]!;
    for (const session of platform.sessions) this.#options.world.metastoreServer.expire(session, renewAfterMs);
  }

  isUp(worker: number): boolean {
    return this.#workers[worker]?.dead === false;
  }

  hostOf(worker: number): string {
    return this.placements[worker]!.supervisorId;
  }

  async start(worker: number): Promise<void> {
    const { world, replicationFactor } = this.#options;
    const { groups } = this.placements[worker]!;
    const host = this.hostOf(worker);
    const platform = world.platform(host);
    const life: WorkerLife = {
      platform,
      life: `${worker}.${++this.#lives}`,
      replicas: new Map(),
      mayNotLead: new Set(),
      watch: undefined,
      leaders: [],
      dead: false,
    };
    this.#workers[worker] = life;
    const metastore = await platform.openMetastore({ servers: [], root, sessionTimeoutMs });
    for (const group of groups) {
      const replica = await this.#openReplica(life, worker, group);
      if (life.dead) return;
      life.replicas.set(group, replica);
    }
    life.watch = this.#watch(
      life,
      worker,
      metastore,
      minInSyncOf(this.#setting("replication.min.isr"), replicationFactor),
    );
    const ports = [...life.replicas].map(([group, { address }]) => [group, address.port]);
    await life.watch.start(Object.fromEntries(ports));
  }

  #watch(life: WorkerLife, worker: number, metastore: Metastore, minInSync: number): WorkerReplicas {
    return new WorkerReplicas({
      env: this.#options.world.env,
      metastore,
      dataId,
      member: worker,
      life: life.life,
      host: this.hostOf(worker),
      node: this.hostOf(worker),
      memberCount: this.placements.length,
      groupCount: this.info.numThreads,
      groups: this.placements[worker]!.groups,
      minInSync: () => minInSync,
      mayLead: (group) => !life.mayNotLead.has(group),
      onView: (group, view) => {
        if (!life.dead) life.replicas.get(group)?.view(view);
      },
      onLeaders: (leaders) => {
        life.leaders = leaders;
        this.#version++;
        for (const { host } of life.replicas.values()) host.engine.peerLost();
      },
    });
  }

  #setting(name: string): unknown {
    return this.#options.settings?.find((setting) => setting.name === name)?.value;
  }

  #openReplica(life: WorkerLife, worker: number, group: number): Promise<GroupReplica> {
    const module = this.#module;
    const {
      world,
      settings = [],
      replicationFactor,
      manualTicks = true,
      onBroken,
      keptEntries,
      segmentSizeBytes,
    } = this.#options;
    const host = this.hostOf(worker);
    const { disk, kv, transport } = life.platform;
    const options = new DynamicOptions(module.definition.launchOptions, settings);
    const view = new OptionView(options);
    const failed = (error: unknown) => {
      if (!life.dead) onBroken?.(host, error);
    };
    return GroupReplica.open({
      env: world.env,
      onFailed: failed,
      onMayLead: (mayLead) => {
        if (mayLead) life.mayNotLead.delete(group);
        else life.mayNotLead.add(group);
        life.watch?.look(group);
      },
      host: () => ({
        env: world.env,
        disk,
        kv,
        dir: `/data-w${worker}/group-${group}`,
        transport,
        address: { host, port: 0 },
        module,
        classes: this.#classes,
        info: this.info,
        groups: [group],
        options,
        instanceTag: `${host}/${group}`,
        release,
        recordBytesMax: this.#config.get("limit.record.bytes"),
        answerBytesMax: this.#config.get("limit.answer.bytes"),
        addressOf: (task) => life.leaders[task % this.info.numThreads],
        manualTicks,
        clusterRetriever: () => undefined,
        print: () => {},
        onBroken: failed,
        ...(segmentSizeBytes === undefined ? {} : { segmentSizeBytes }),
      }),
      replication: {
        transport,
        dataId,
        self: worker,
        ...(keptEntries === undefined ? {} : { keptEntries }),
        life: life.life,
        control: {
          propose: (epoch, inSync) => life.watch!.propose(group, epoch, inSync),
          handOver: (epoch, to) => life.watch!.handOver(group, epoch, to),
          confirm: async (epoch) => ((await life.watch!.confirm(group, epoch)) ? leaseMsOf(sessionTimeoutMs) : 0),
        },
        minInSync: () => minInSyncOf(view.get("replication.min.isr"), replicationFactor),
        maxLagMs: () => view.number("replication.max.time.lag.millis"),
        copyRate: () => view.number("replication.far.horizon.bytes.per.second"),
      },
    });
  }

  /** All files of a worker that is down are gone. */
  loseDisk(worker: number): void {
    this.#options.world.host(this.hostOf(worker)).disk.removeTree(`/data-w${worker}`);
  }

  /** The worker ends as by SIGKILL, or (`powerCut`) with its host, which forgets what was not synced. Files are dead in either case: no other worker may share the host. */
  kill(worker: number, options: { readonly powerCut?: boolean } = {}): void {
    const life = this.#workers[worker];
    if (life === undefined || life.dead) return;
    life.dead = true;
    life.watch?.abort();
    for (const replica of life.replicas.values()) replica.abort();
    life.platform.kill();
    // What was written stays after a kill; open stores and files are dead in either case.
    this.#options.world.powerCut(this.hostOf(worker), options.powerCut === true ? undefined : () => 0.999_999);
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (worker === undefined || worker.dead) return;
        worker.dead = true;
        await Promise.all([...worker.replicas.values()].map((replica) => replica.close()));
        await worker.watch?.stop();
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
