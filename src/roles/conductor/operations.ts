// Carries out what `cluster/lifecycle` decides: reads a module's record and what its workers report, takes the next step, and does so again until the operation is at
// rest. All state stands in the metastore: a restarted conductor finds operations under way and goes on with them.
import type { Env } from "../../base/env.ts";
import { endsWithin } from "../../base/ends-within.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import { assign, checkParallelism } from "../../cluster/assignment.ts";
import type { LeaderSwitch } from "../../cluster/leader-balance.ts";
import type { ClusterStore } from "../../cluster/cluster-store.ts";
import { checkDependency } from "../../cluster/dependencies.ts";
import { balancing, isBalancing, nextBalanceStep } from "../../cluster/lifecycle/balance.ts";
import { destroying, nextStep } from "../../cluster/lifecycle/launch.ts";
import { isUpdating, nextUpdateStep, updating } from "../../cluster/lifecycle/update.ts";
import type { ModuleRecord, WorkerReport } from "../../protocol/cluster-records.ts";
import type { LaunchAnswer, LaunchRequest, UpdateRequest } from "../../protocol/conductor.ts";
import type { ObjectTable } from "../../protocol/routes.ts";
import { leadersOf } from "./leaders.ts";
import { uuidOf } from "../local-dir.ts";
import type { MigrationStatus } from "../../module/migrations.ts";
import { checkedUpdate, nextInstance, nextOptions } from "./updates.ts";

/** While an operation is under way its module is looked at so often. */
const pollMs = 20;
/** How long a caller waits for a destroy before it is told that it goes on by itself. */
const destroyWaitMs = 60_000;
/** Somebody else has changed the module's record meanwhile. */
const conflictsMax = 3;

export interface OperationsOptions {
  readonly env: Env;
  readonly store: ClusterStore;
  readonly launchTimeoutMs: number;
  readonly hasBundle: (hash: string) => boolean;
  /** What the workers of the serving instance say of their migrations. */
  readonly migrationsOf: (record: ModuleRecord) => Promise<readonly MigrationStatus[]>;
  /** Has a leader hand its group over. LEADER_STAYS, MOVED, or it is not known whether it has. */
  readonly handOver: (record: ModuleRecord, of: LeaderSwitch) => Promise<void>;
  /** A module is gone: bundles may have become unused. */
  readonly onRemoved: () => Promise<void>;
}

export class Operations {
  readonly #options: OperationsOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** By module: the state that is being driven, and when it was seen first. */
  readonly #states = new Map<string, { state: string; stateSinceMs: number; seenMs: number }>();
  /** By module whose leaders are being balanced. */
  readonly #balances = new Map<string, { done: number; readonly refused: Set<number> }>();
  #closed = false;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Goes on with whatever an earlier conductor left. */
  async resume(): Promise<void> {
    const { env, store } = this.#options;
    while (!this.#closed) {
      try {
        for (const record of await store.modules()) if (record.state !== "[:running]") this.#drive(record.name);
        return;
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        env.log.warn("operations are not known now, and asked for again", { error: error.message });
        await env.sleep(500);
      }
    }
  }

  /** Resolves once the module runs; rejects with what kept it from running, after everything has been taken back. */
  async launch(request: LaunchRequest): Promise<LaunchAnswer> {
    const { env, store } = this.#options;
    checkParallelism(request);
    if (!this.#options.hasBundle(request.bundleHash)) {
      throw new RamaError("BAD_BUNDLE", "the bundle has not been uploaded", { hash: request.bundleHash });
    }
    if (await store.module(request.moduleName)) {
      throw new RamaError("MODULE_EXISTS", `${request.moduleName} is deployed already`, { module: request.moduleName });
    }
    await this.#checkDependencies(request);
    const record = await this.#plan(request);
    await this.#written(record.name, async () => {
      await store.createModule(record, request.objects);
      await store.log({ atMs: env.now(), module: record.name, operation: "launch", text: "assigned" });
    });
    await this.#drive(record.name);
    const after = await store.module(record.name);
    if (after?.value.state === "[:running]") return { moduleName: record.name, instanceId: record.instances[0]!.id };
    const entries = await store.operations(record.name);
    const failure = entries.findLast((entry) => entry.text.startsWith("launch failed"));
    throw new RamaError("MODULE_NOT_RUNNING", failure?.text ?? `${record.name} was destroyed while it was launched`, {
      module: record.name,
    });
  }

  /** Resolves once the new version serves; rejects when the update is refused or was rolled back, and then the old version runs on. */
  update(request: UpdateRequest): Promise<LaunchAnswer> {
    return this.#unbalanced(request.moduleName, () => this.#update(request));
  }

  /** Leaders are balanced without anybody's asking: nobody who asks for something else should be refused for that. */
  async #unbalanced<T>(moduleName: string, work: () => Promise<T>): Promise<T> {
    for (let left = conflictsMax; ; left--) {
      const found = await this.#options.store.module(moduleName);
      if (found !== undefined && isBalancing(found.value)) await this.#drive(moduleName);
      try {
        return await work();
      } catch (error) {
        const isRace = error instanceof RamaError && error.code === "METASTORE_CONFLICT";
        if (!isRace || left === 0) throw error;
      }
    }
  }

  async #update(request: UpdateRequest): Promise<LaunchAnswer> {
    const { env, store } = this.#options;
    const { moduleName } = request;
    if (!this.#options.hasBundle(request.bundleHash)) {
      throw new RamaError("BAD_BUNDLE", "the bundle has not been uploaded", { hash: request.bundleHash });
    }
    const { value: record, version } = await store.requireModule(moduleName);
    const deletedObjects = await checkedUpdate(store, record, request, this.#options.migrationsOf);
    await this.#checkDependencies(request);
    const nowMs = env.now();
    const next = nextInstance(record, request, { id: uuidOf(env.randomBytes(16)), nowMs, deletedObjects });
    const dependsOn = [...new Set(request.dependencies.map((d) => d.module))];
    const begun = updating({ ...record, options: nextOptions(record, request), dependsOn }, next, nowMs);
    await this.#written(moduleName, async () => {
      await store.beginUpdate(begun, version, next, request.objects);
      await store.log({ atMs: nowMs, module: moduleName, operation: "update", text: `instance ${next.id} assigned` });
    });
    await this.#drive(moduleName);
    const after = await store.module(moduleName);
    if (after?.value.readTarget === next.id && after.value.state === "[:running]")
      return { moduleName, instanceId: next.id };
    const why = after?.value.error ?? `${moduleName} was destroyed while it was updated`;
    throw new RamaError("MODULE_NOT_RUNNING", `the update was not carried out: ${why}`, { module: moduleName });
  }

  destroy(moduleName: string): Promise<void> {
    return this.#unbalanced(moduleName, () => this.#destroy(moduleName));
  }

  async #destroy(moduleName: string): Promise<void> {
    const { env, store } = this.#options;
    const dependents = await this.#dependents(moduleName);
    const { value: record, version } = await store.requireModule(moduleName);
    if (dependents.length > 0) {
      throw new RamaError("DEPENDED_ON", `${moduleName} is used by ${dependents.join(", ")}`, {
        module: moduleName,
        dependents,
      });
    }
    await this.#written(moduleName, async () => {
      if (record.state !== "[:destroying]") await store.updateModule(destroying(record, env.now()), version);
      await store.log({ atMs: env.now(), module: moduleName, operation: "destroy", text: "begun" });
    });
    const waited = await endsWithin(env, this.#drive(moduleName), destroyWaitMs);
    if (!waited) {
      throw new RamaError(
        "TIMEOUT",
        `${moduleName} is being destroyed; its workers have not stopped within 60 s, and this goes on by itself`,
        {
          module: moduleName,
        },
      );
    }
  }

  /** Spreads the leaders of a replicated module over its nodes, where it is at rest; resolves with how many have handed over. */
  async balance(moduleName: string): Promise<number> {
    const { env, store } = this.#options;
    const found = await store.module(moduleName);
    if (found === undefined || found.value.state !== "[:running]") return 0;
    const { switches } = await leadersOf(store, found.value);
    if (switches.length === 0) return 0;
    await this.#written(moduleName, () => store.updateModule(balancing(found.value, env.now()), found.version));
    const balance = { done: 0, refused: new Set<number>() };
    this.#balances.set(moduleName, balance);
    await this.#drive(moduleName);
    return balance.done;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running.values());
  }

  async #checkDependencies(request: Pick<LaunchRequest, "moduleName" | "dependencies">): Promise<void> {
    for (const dependency of request.dependencies) {
      const record = await this.#options.store.module(dependency.module);
      const objects = record && (await this.#options.store.manifest<ObjectTable>(record.value.readTarget));
      checkDependency(request.moduleName, dependency, objects);
    }
  }

  async #dependents(moduleName: string): Promise<string[]> {
    const names: string[] = [];
    for (const record of await this.#options.store.modules()) {
      if (record.name !== moduleName && record.dependsOn.includes(moduleName)) names.push(record.name);
    }
    return names;
  }

  async #plan(request: LaunchRequest): Promise<ModuleRecord> {
    const { env, store } = this.#options;
    const loads = await store.loads();
    const supervisors = (await store.supervisors()).map((s) => ({
      id: s.id,
      labels: s.labels,
      workers: loads.get(s.id) ?? 0,
    }));
    const placement = assign(request, supervisors);
    const id = uuidOf(env.randomBytes(16));
    const nowMs = env.now();
    return {
      name: request.moduleName,
      state: "[:launching-starting-workers]",
      stateSinceMs: nowMs,
      dependsOn: [...new Set(request.dependencies.map((d) => d.module))],
      readTarget: id,
      appendTarget: id,
      options: request.options,
      instances: [
        {
          id,
          bundleHash: request.bundleHash,
          moduleExport: request.moduleExport,
          ramaVersion: request.ramaVersion,
          tasks: request.tasks,
          threads: request.threads,
          workers: request.workers,
          replicationFactor: request.replicationFactor,
          configOverrides: request.configOverrides,
          ...(request.targetLabel === undefined ? {} : { targetLabel: request.targetLabel }),
          ...(request.metadata === undefined ? {} : { metadata: request.metadata }),
          placement,
          createdMs: nowMs,
        },
      ],
    };
  }

  /** Begins an operation. It may stand in the metastore although the caller is told of trouble: it goes on then, or nobody would take it up before the next conductor. */
  async #written(moduleName: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#options.env.spawn("an operation that may have begun", () => this.#drive(moduleName));
      throw error;
    }
  }

  /** One driver a module; a second caller waits for the first one's end. */
  #drive(moduleName: string): Promise<void> {
    const running = this.#running.get(moduleName);
    if (running) return running;
    const drive = this.#driveToRest(moduleName).finally(() => {
      this.#running.delete(moduleName);
      this.#states.delete(moduleName);
      this.#balances.delete(moduleName);
    });
    this.#running.set(moduleName, drive);
    return drive;
  }

  async #driveToRest(moduleName: string): Promise<void> {
    const { env } = this.#options;
    while (!this.#closed) {
      try {
        if (await this.#step(moduleName)) return;
      } catch (error) {
        env.log.warn("an operation's step is repeated", { module: moduleName, error: messageOf(error) });
        await env.sleep(500);
        continue;
      }
      await env.sleep(pollMs);
    }
  }

  /** True when the module is at rest. */
  async #step(moduleName: string): Promise<boolean> {
    const { env, store, launchTimeoutMs } = this.#options;
    const found = await store.module(moduleName);
    if (!found || found.value.state === "[:running]") return true;
    const record = found.value;
    if (isBalancing(record)) return this.#balanceStep(record, found.version);
    if (isUpdating(record.state)) return this.#updateStep(record, found.version);
    // Repeated at every step, since the conductor may have died between writing the state and doing this.
    if (record.state !== "[:launching-starting-workers]") await store.withdrawAssignments(record);
    const workers = await this.#reports(record);
    const supervisors = new Set((await store.supervisors()).map(({ id }) => id));
    const nowMs = this.#stateNowMs(record);
    const step = nextStep(record, { nowMs, workers: anyOf(workers), supervisors, launchTimeoutMs });
    if (step.kind === "wait") return false;
    const operation = record.state === "[:launching-starting-workers]" ? "launch" : "destroy";
    if (step.kind === "remove") {
      await store.removeModule(record);
      await this.#options.onRemoved();
    } else {
      await store.updateModule(step.record, found.version);
    }
    await store.log({ atMs: env.now(), module: moduleName, operation, text: step.note });
    env.log.info(`${operation} of ${moduleName}: ${step.note}`);
    return step.kind === "remove" || (step.kind === "advance" && step.record.state === "[:running]");
  }

  async #updateStep(record: ModuleRecord, version: number): Promise<boolean> {
    const { env, store, launchTimeoutMs } = this.#options;
    const next = record.instances[1]!;
    // Repeated at every step, since the conductor may have died between writing the state and doing this.
    if (record.state === "[:updating-rollback]") await store.withdrawAssignments(record, [next]);
    const workers = await this.#reports(record);
    const step = nextUpdateStep(record, {
      nowMs: this.#stateNowMs(record),
      workers,
      prepareTimeoutMs: launchTimeoutMs,
    });
    // Stuck after the hand-over: the caller is told; a restarted worker or the next update goes on.
    if (step.kind === "wait") return record.state === "[:updating-handover]" && record.error !== undefined;
    if (step.kind === "settle") {
      await store.forgetInstance(step.forget);
      await store.updateModule(step.record, version);
      await this.#options.onRemoved();
    } else if (step.letGo) await store.handOver(step.record, version);
    else await store.updateModule(step.record, version);
    await store.log({ atMs: env.now(), module: record.name, operation: "update", text: step.note });
    env.log.info(`update of ${record.name}: ${step.note}`);
    return step.kind === "settle";
  }

  async #balanceStep(record: ModuleRecord, version: number): Promise<boolean> {
    const { env, store, handOver } = this.#options;
    const { name } = record;
    const balance = this.#balances.get(name) ?? { done: 0, refused: new Set<number>() };
    this.#balances.set(name, balance);
    const { switches } = await leadersOf(store, record);
    const step = nextBalanceStep(record, { nowMs: this.#stateNowMs(record), switches, ...balance });
    if (step.kind === "settle") {
      await store.updateModule(step.record, version);
      await store.log({ atMs: env.now(), module: name, operation: "leadership balancing", text: step.note });
      env.log.info(`leadership balancing of ${name}: ${step.note}`);
      return true;
    }
    try {
      await handOver(record, step.of);
      balance.done++;
    } catch (error) {
      balance.refused.add(step.of.group);
      env.log.info("a task group stays where it is", { module: name, ...step.of, error: messageOf(error) });
    }
    return false;
  }

  /** The time since a state began is measured, not told by a wall clock that jumps. A restarted conductor measures anew. */
  #stateNowMs(record: ModuleRecord): number {
    const nowMs = this.#options.env.monotonicMs();
    const { name, state, stateSinceMs } = record;
    const known = this.#states.get(name);
    if (known?.state === state && known.stateSinceMs === stateSinceMs) return stateSinceMs + (nowMs - known.seenMs);
    this.#states.set(name, { state, stateSinceMs, seenMs: nowMs });
    return stateSinceMs;
  }

  async #reports(record: ModuleRecord): Promise<Map<string, ReadonlyMap<number, WorkerReport>>> {
    const { store } = this.#options;
    const reports = await Promise.all(record.instances.map(async ({ id }) => [id, await store.workers(id)] as const));
    return new Map(reports);
  }
}

/** Of all instances as one; where there are several, the numbers tell nothing. */
function anyOf(workers: ReadonlyMap<string, ReadonlyMap<number, WorkerReport>>): ReadonlyMap<number, WorkerReport> {
  const [first, ...more] = workers.values();
  if (first !== undefined && more.every(({ size }) => size === 0)) return first;
  return new Map([...workers.values()].flatMap((reports) => [...reports.values()]).map((report, i) => [i, report]));
}
