// Reads and changes the cluster's records in the metastore (metastore/tree.ts), typed. Every change of a module record is conditional on the version that was read, so
// that two conductors, or one that was restarted in the middle, cannot both carry out the same step.
import { RamaError } from "../base/errors.ts";
import type { Metastore, MetastoreOp } from "../metastore/metastore.ts";
import { fromNode, toNode, tree } from "../metastore/tree.ts";
import type {
  InstanceRecord,
  Leaderless,
  ModulePauses,
  ModuleRecord,
  OperationLogEntry,
  SupervisorRecord,
  TopologyPause,
  WorkerReport,
  WorkerTask,
} from "../protocol/cluster-records.ts";
import { dataIdOf, workerIdOf } from "../protocol/cluster-records.ts";
import type { GroupRecord } from "../replication/group-record.ts";
import { firstRecords } from "./replica-sets.ts";

export interface Versioned<T> {
  readonly value: T;
  readonly version: number;
}

const operationsKept = 200;

/** Someone else was faster. */
const racing: ReadonlySet<string> = new Set(["METASTORE_CONFLICT", "METASTORE_NODE_EXISTS", "METASTORE_NO_NODE"]);

export class ClusterStore {
  readonly #metastore: Metastore;

  constructor(metastore: Metastore) {
    this.#metastore = metastore;
  }

  async moduleNames(): Promise<string[]> {
    return (await this.#metastore.children(tree.modules)).map(tree.moduleName);
  }

  async module(name: string): Promise<Versioned<ModuleRecord> | undefined> {
    const node = await this.#metastore.get(tree.module(name));
    return node && { value: fromNode<ModuleRecord>(node.data), version: node.version };
  }

  async modules(): Promise<ModuleRecord[]> {
    const records = await Promise.all((await this.moduleNames()).map((name) => this.module(name)));
    return records.flatMap((record) => (record ? [record.value] : []));
  }

  /** MODULE_NOT_FOUND that lists what there is. */
  async requireModule(name: string): Promise<Versioned<ModuleRecord>> {
    const record = await this.module(name);
    if (record) return record;
    const names = await this.moduleNames();
    throw new RamaError(
      "MODULE_NOT_FOUND",
      `there is no module named ${name}; deployed: ${names.join(", ") || "none"}`,
      { module: name },
    );
  }

  async pauses(module: string): Promise<ModulePauses> {
    const node = await this.#metastore.get(tree.pauses(module));
    return node === undefined ? {} : fromNode<ModulePauses>(node.data);
  }

  /** Over restarts and updates; `undefined` resumes. False: it was so already. Repeatable. */
  async setPause(module: string, topology: string, pause: TopologyPause | undefined): Promise<boolean> {
    const path = tree.pauses(module);
    for (;;) {
      const node = await this.#metastore.get(path);
      const { [topology]: before, ...others } = node === undefined ? {} : fromNode<ModulePauses>(node.data);
      if ((before === undefined) === (pause === undefined)) return false;
      const data = toNode(pause === undefined ? others : { ...others, [topology]: pause });
      try {
        if (node === undefined) await this.#metastore.create(path, data);
        else await this.#metastore.set(path, data, node.version);
        return true;
      } catch (error) {
        const isRace = error instanceof RamaError && racing.has(error.code);
        if (!isRace) throw error;
      }
    }
  }

  async supervisors(): Promise<SupervisorRecord[]> {
    const ids = await this.#metastore.children(tree.supervisors);
    const nodes = await Promise.all(ids.map((id) => this.#metastore.get(`${tree.supervisors}/${id}`)));
    return nodes.flatMap((node) => (node ? [fromNode<SupervisorRecord>(node.data)] : []));
  }

  async manifest<T>(instanceId: string): Promise<T | undefined> {
    const node = await this.#metastore.get(tree.manifest(instanceId));
    return node && fromNode<T>(node.data);
  }

  async workers(instanceId: string): Promise<Map<number, WorkerReport>> {
    const names = await this.#metastore.children(tree.workers(instanceId));
    const nodes = await Promise.all(names.map((name) => this.#metastore.get(`${tree.workers(instanceId)}/${name}`)));
    const reports = nodes.flatMap((node) => (node ? [fromNode<WorkerReport>(node.data)] : []));
    return new Map(reports.map((report) => [report.workerIndex, report]));
  }

  /** Tasks that the supervisor has been given. */
  async assignments(supervisorId: string): Promise<WorkerTask[]> {
    const names = await this.#metastore.children(tree.assignments(supervisorId));
    const nodes = await Promise.all(
      names.map((name) => this.#metastore.get(`${tree.assignments(supervisorId)}/${name}`)),
    );
    return nodes.flatMap((node) => (node ? [fromNode<WorkerTask>(node.data)] : []));
  }

  /** Of a replicated instance: who leads each of its task groups, who is in sync. */
  async groups(instance: InstanceRecord): Promise<(GroupRecord | undefined)[]> {
    if (instance.replicationFactor < 2) return [];
    const dataId = dataIdOf(instance);
    const numbers = Array.from({ length: instance.threads }, (_, group) => group);
    const nodes = await Promise.all(numbers.map((group) => this.#metastore.get(tree.group(dataId, group))));
    return nodes.map((node) => node && fromNode<GroupRecord>(node.data));
  }

  /** Of a replicated instance: workers that have a process. */
  async liveMembers(instance: InstanceRecord): Promise<Set<number>> {
    return new Set((await this.#metastore.children(tree.members(dataIdOf(instance)))).map(Number));
  }

  /** The node that shall lead nothing. */
  async leaderless(): Promise<Leaderless | undefined> {
    const node = await this.#metastore.get(tree.leaderless);
    return node && fromNode<Leaderless>(node.data);
  }

  /** LEADERS_DISALLOWED: there is another one. Repeatable. */
  async setLeaderless(leaderless: Leaderless): Promise<void> {
    try {
      await this.#metastore.create(tree.leaderless, toNode(leaderless));
    } catch (error) {
      if (!(error instanceof RamaError && error.code === "METASTORE_NODE_EXISTS")) throw error;
      const present = await this.leaderless();
      if (present === undefined || present.supervisorId === leaderless.supervisorId) return;
      const { supervisorId } = present;
      const message = `leaders are disallowed on ${supervisorId} already, and one node at a time may be without: rama allowLeaders ${supervisorId} first`;
      throw new RamaError("LEADERS_DISALLOWED", message, { supervisorId });
    }
  }

  /** False: leaders were allowed there. */
  async removeLeaderless(supervisorId: string): Promise<boolean> {
    const node = await this.#metastore.get(tree.leaderless);
    if (node === undefined || fromNode<Leaderless>(node.data).supervisorId !== supervisorId) return false;
    await this.#metastore.remove(tree.leaderless, node.version);
    return true;
  }

  /** Workers per supervisor over all modules. */
  async loads(): Promise<Map<string, number>> {
    const loads = new Map<string, number>();
    for (const module of await this.modules()) {
      for (const instance of module.instances) {
        for (const { supervisorId } of instance.placement) loads.set(supervisorId, (loads.get(supervisorId) ?? 0) + 1);
      }
    }
    return loads;
  }

  /** The record, its manifest and every assignment, as a whole. MODULE_EXISTS. */
  async createModule(record: ModuleRecord, manifest: unknown): Promise<void> {
    const instance = record.instances[0]!;
    const { dataId, records } = firstRecords(instance);
    await this.#ensureParents(record);
    const ops: MetastoreOp[] = [
      { kind: "create", path: tree.module(record.name), data: toNode(record) },
      { kind: "create", path: tree.manifest(instance.id), data: toNode(manifest) },
      { kind: "create", path: tree.workers(instance.id), data: toNode({}) },
      ...assignmentsOf(record, instance).map(
        ({ supervisorId, task }): MetastoreOp => ({
          kind: "create",
          path: tree.assignment(supervisorId, task.workerId),
          data: toNode(task),
        }),
      ),
      ...records.map((group, i): MetastoreOp => ({ kind: "create", path: tree.group(dataId, i), data: toNode(group) })),
    ];
    try {
      await this.#metastore.multi(ops);
    } catch (error) {
      if (await this.module(record.name)) {
        throw new RamaError("MODULE_EXISTS", `${record.name} is deployed already`, { module: record.name }, error);
      }
      throw error;
    }
  }

  /** METASTORE_CONFLICT when someone else was faster. */
  async updateModule(record: ModuleRecord, version: number): Promise<void> {
    await this.#metastore.set(tree.module(record.name), toNode(record), version);
  }

  /** The new instance of an update beside the old one, its workers told to wait, as a whole. METASTORE_CONFLICT. */
  async beginUpdate(record: ModuleRecord, version: number, next: InstanceRecord, manifest: unknown): Promise<void> {
    await this.#metastore.multi([
      { kind: "set", path: tree.module(record.name), data: toNode(record), expectedVersion: version },
      { kind: "create", path: tree.manifest(next.id), data: toNode(manifest) },
      { kind: "create", path: tree.workers(next.id), data: toNode({}) },
      ...assignmentsOf(record, next, true).map(
        ({ supervisorId, task }): MetastoreOp => ({
          kind: "create",
          path: tree.assignment(supervisorId, task.workerId),
          data: toNode(task),
        }),
      ),
    ]);
  }

  /** The old workers lose their tasks and the new ones need no longer wait, as a whole. METASTORE_CONFLICT. */
  async handOver(record: ModuleRecord, version: number): Promise<void> {
    const [old, next] = record.instances;
    await this.#metastore.multi([
      { kind: "set", path: tree.module(record.name), data: toNode(record), expectedVersion: version },
      ...old!.placement.map(
        ({ supervisorId, workerIndex }): MetastoreOp => ({
          kind: "remove",
          path: tree.assignment(supervisorId, workerIdOf(old!.id, workerIndex)),
        }),
      ),
      ...assignmentsOf(record, next!, false).map(
        ({ supervisorId, task }): MetastoreOp => ({
          kind: "set",
          path: tree.assignment(supervisorId, task.workerId),
          data: toNode(task),
        }),
      ),
    ]);
  }

  /** An instance is no longer part of its module: its manifest and what was reported of it. Repeatable. */
  async forgetInstance(instance: InstanceRecord): Promise<void> {
    await this.#metastore.remove(tree.workers(instance.id));
    await this.#metastore.remove(tree.manifest(instance.id));
  }

  /** Takes the tasks of all its workers away, or of one instance's. Repeatable. */
  async withdrawAssignments(record: ModuleRecord, of: readonly InstanceRecord[] = record.instances): Promise<void> {
    for (const instance of of) {
      for (const { supervisorId, workerIndex } of instance.placement) {
        await this.#metastore.remove(tree.assignment(supervisorId, workerIdOf(instance.id, workerIndex)));
      }
    }
  }

  /** The last step of a destroy. Repeatable. */
  async removeModule(record: ModuleRecord): Promise<void> {
    for (const instance of record.instances) {
      await this.forgetInstance(instance);
      if (instance.replicationFactor < 2) continue;
      await this.#metastore.remove(tree.groups(dataIdOf(instance)));
      await this.#metastore.remove(tree.members(dataIdOf(instance)));
    }
    await this.#metastore.remove(tree.pauses(record.name));
    await this.#metastore.remove(tree.module(record.name));
  }

  async log(entry: OperationLogEntry): Promise<void> {
    await this.#metastore.create(`${tree.operations}/op-`, toNode(entry), { sequential: true });
    const names = await this.#metastore.children(tree.operations);
    for (const name of names.slice(0, Math.max(0, names.length - operationsKept))) {
      await this.#metastore.remove(`${tree.operations}/${name}`);
    }
  }

  /** Newest last; of one module, or of all. */
  async operations(module?: string): Promise<OperationLogEntry[]> {
    const names = await this.#metastore.children(tree.operations);
    const nodes = await Promise.all(names.map((name) => this.#metastore.get(`${tree.operations}/${name}`)));
    const entries = nodes.flatMap((node) => (node ? [fromNode<OperationLogEntry>(node.data)] : []));
    return module === undefined ? entries : entries.filter((entry) => entry.module === module);
  }

  async #ensureParents(record: ModuleRecord): Promise<void> {
    const instance = record.instances[0]!;
    const parents = [
      tree.modules,
      ...(instance.replicationFactor < 2 ? [] : ["/groups", tree.groups(dataIdOf(instance))]),
      "/manifests",
      "/workers",
      "/assignments",
    ];
    for (const { supervisorId } of record.instances[0]!.placement) parents.push(tree.assignments(supervisorId));
    for (const path of new Set(parents)) {
      if (await this.#metastore.get(path)) continue;
      try {
        await this.#metastore.create(path, toNode({}));
      } catch (error) {
        if (!(error instanceof RamaError) || error.code !== "METASTORE_NODE_EXISTS") throw error;
      }
    }
  }
}

function assignmentsOf(
  record: ModuleRecord,
  instance: InstanceRecord,
  waits = false,
): { supervisorId: string; task: WorkerTask }[] {
  const { placement, ...rest } = instance;
  return placement.map(({ supervisorId, workerIndex, groups }) => ({
    supervisorId,
    task: {
      workerId: workerIdOf(instance.id, workerIndex),
      moduleName: record.name,
      instance: rest,
      workerIndex,
      groups,
      options: record.options,
      ...(waits ? { waits } : {}),
    },
  }));
}
