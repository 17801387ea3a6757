// Task globals: what `declareObject` says, made for each task. A function is called once per task with (taskId, context); of what it returns `prepareForTask`,
// `gainedLeadership`, `tick` and `close` are called where present. Anything else is one constant that all tasks share. They may be prepared before the engine is there
// (an update does, beside the old version): `give` hands a task what has been prepared for it.
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { ModuleDefinition, ModuleInstanceInfo } from "../module/definition.ts";
import { checkExternalDepot } from "./external-depot.ts";
import type { EngineOptions } from "./engine-api.ts";
import { SharedResources, shareResources } from "./managed-resources.ts";
import type { Task } from "./task.ts";

export interface TaskGlobalContext {
  getModuleInstanceInfo(): ModuleInstanceInfo;
  /** Tasks of the same group. */
  getTaskGroup(): number[];
  getReplicaId(): string;
  getVarName(): string;
  getClusterRetriever(): unknown;
  getLogThrottler(): LogThrottler;
}

export interface LogThrottler {
  /** Logs `message` at most once a second; says how many were left out. */
  log(message: string): void;
}

/** What the function given to `declareObject` may return for its task. */
export interface TaskGlobalObject {
  /** Before any event of the task. */
  prepareForTask?(taskId: number, context: TaskGlobalContext): unknown;
  gainedLeadership?(): unknown;
  /** At shutdown. */
  close?(): unknown;
}

/** The same, with `tick` called between events every `getFrequencyMillis()`. */
export interface TaskGlobalObjectWithTick extends TaskGlobalObject {
  getFrequencyMillis(): number;
  tick(): unknown;
}

type TaskGlobalMethods = TaskGlobalObject & Partial<TaskGlobalObjectWithTick>;

export interface TaskGlobalsOptions {
  readonly env: Env;
  readonly definition: ModuleDefinition;
  readonly info: ModuleInstanceInfo;
  readonly clusterRetriever: (() => unknown) | undefined;
  readonly replicaId: string;
}

interface Made {
  readonly name: string;
  readonly methods: TaskGlobalMethods;
}

const throttleMs = 1000;

export class TaskGlobals {
  readonly #options: TaskGlobalsOptions;
  readonly #made: Made[] = [];
  /** By task: prepared and not given yet. */
  readonly #prepared = new Map<number, { readonly values: unknown[]; readonly made: readonly Made[] }>();
  /** Runs a tick between events. */
  onThread: (fn: () => void) => void = (fn) => fn();
  readonly #timers = new Set<Timer>();
  readonly #resources = new SharedResources();
  #closed = false;

  constructor(options: TaskGlobalsOptions) {
    this.#options = options;
  }

  /** Of whole groups, before their engine opens. */
  async prepareGroups(groups: readonly number[]): Promise<void> {
    for (const group of groups) for (const task of this.#tasksOf(group)) await this.#prepare(task, group);
  }

  /** Before the first event of the task. */
  async give(task: Task): Promise<void> {
    if (!this.#prepared.has(task.id)) await this.#prepare(task.id, task.group);
    const { values, made } = this.#prepared.get(task.id)!;
    this.#prepared.delete(task.id);
    for (const [index, value] of values.entries()) task.globals[index] = value;
    for (const { name, methods } of made) {
      await userCode(name, task.id, () => methods.gainedLeadership?.());
      if (typeof methods.tick === "function" && typeof methods.getFrequencyMillis === "function")
        this.#tickEvery(name, methods, methods.getFrequencyMillis());
    }
  }

  #tasksOf(group: number): number[] {
    const { numTasks, numThreads } = this.#options.info;
    const tasks: number[] = [];
    for (let task = group; task < numTasks; task += numThreads) tasks.push(task);
    return tasks;
  }

  /** A function that throws is USER_CODE_FAILED with the object's name; a source that is no ExternalDepot NOT_ALLOWED_HERE. */
  async #prepare(task: number, group: number): Promise<void> {
    const values: unknown[] = [];
    const made: Made[] = [];
    for (const { name, value, index } of this.#options.definition.globals) {
      if (typeof value !== "function") values[index] = value;
      else {
        const make = value as (...args: unknown[]) => unknown;
        values[index] = await userCode(name, task, () => this.#make(name, make, { task, group, made }));
      }
      this.#checkSource(name, values[index]);
    }
    this.#prepared.set(task, { values, made });
  }

  async #make(
    name: string,
    make: (...args: unknown[]) => unknown,
    place: { readonly task: number; readonly group: number; readonly made: Made[] },
  ): Promise<unknown> {
    const { task, group, made } = place;
    const context = this.#context(name, group);
    const object = make(task, context);
    if (object === null || typeof object !== "object") return object;
    const methods = object as TaskGlobalMethods;
    this.#made.push({ name, methods });
    made.push({ name, methods });
    await methods.prepareForTask?.(task, context);
    return object;
  }

  #checkSource(name: string, object: unknown): void {
    for (const topology of this.#options.definition.topologies) {
      for (const { depot } of topology.sources) {
        if (depot.kind === "external" && depot.name === name) checkExternalDepot(name, object, topology.name);
      }
    }
  }

  #context(name: string, group: number): TaskGlobalContext {
    const { info, clusterRetriever, env, replicaId } = this.#options;
    const context: TaskGlobalContext = {
      getModuleInstanceInfo: () => info,
      getTaskGroup: () => this.#tasksOf(group),
      getReplicaId: () => replicaId,
      getVarName: () => name,
      getClusterRetriever: () => {
        if (clusterRetriever === undefined) throw new RamaError("NOT_ALLOWED_HERE", "there is no cluster to ask here");
        return clusterRetriever();
      },
      getLogThrottler: () => throttler(env),
    };
    shareResources(context, this.#resources, `thread ${group}`);
    return context;
  }

  #tickEvery(name: string, methods: TaskGlobalMethods, ms: number): void {
    const { env } = this.#options;
    const timer = env.setTimer(ms, () => {
      this.#timers.delete(timer);
      if (this.#closed) return;
      this.onThread(() => {
        try {
          methods.tick!();
        } catch (error) {
          env.log.error("tick of a task global threw", { object: name, error: messageOf(error) });
        }
      });
      this.#tickEvery(name, methods, ms);
    });
    this.#timers.add(timer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    for (const { name, methods } of this.#made.splice(0)) {
      try {
        await methods.close?.();
      } catch (error) {
        this.#options.env.log.error("close of a task global threw", { object: name, error: messageOf(error) });
      }
    }
  }
}

/** Those of an engine with these options, not prepared yet. */
export function taskGlobals(
  options: Pick<EngineOptions, "env" | "module" | "info" | "clusterRetriever" | "instanceTag">,
): TaskGlobals {
  const { env, module, info, clusterRetriever, instanceTag } = options;
  return new TaskGlobals({ env, definition: module.definition, info, clusterRetriever, replicaId: instanceTag });
}

async function userCode<T>(name: string, task: number, run: () => T): Promise<Awaited<T>> {
  try {
    return await run();
  } catch (error) {
    const message = `${name} on task ${task}: ${messageOf(error)}`;
    throw new RamaError("USER_CODE_FAILED", message, { object: name, task }, error);
  }
}

function throttler(env: Env): LogThrottler {
  let lastMs = Number.NEGATIVE_INFINITY;
  let leftOut = 0;
  return {
    log(message: string) {
      const nowMs = env.monotonicMs();
      if (nowMs - lastMs < throttleMs) {
        leftOut++;
        return;
      }
      env.log.warn(message, leftOut > 0 ? { leftOut } : undefined);
      lastMs = nowMs;
      leftOut = 0;
    },
  };
}
