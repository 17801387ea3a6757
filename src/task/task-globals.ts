// Task globals: what `declareObject` says, made for each task. A function is called once per task with (taskId, context); of what it returns `prepareForTask`,
// `gainedLeadership`, `tick` and `close` are called where present. Anything else is one constant that all tasks share.
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { ModuleDefinition, ModuleInstanceInfo } from "../module/definition.ts";
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
  readonly tasksOfGroup: (group: number) => readonly number[];
  readonly clusterRetriever: (() => unknown) | undefined;
  readonly replicaId: string;
  /** Runs a tick between events. */
  readonly onThread: (fn: () => void) => void;
}

const throttleMs = 1000;

export class TaskGlobals {
  readonly #options: TaskGlobalsOptions;
  readonly #made: { readonly name: string; readonly methods: TaskGlobalMethods }[] = [];
  readonly #timers = new Set<Timer>();
  readonly #resources = new SharedResources();
  #closed = false;

  constructor(options: TaskGlobalsOptions) {
    this.#options = options;
  }

  /** Before the first event of the task. A function that throws is USER_CODE_FAILED with the object's name. */
  async prepare(task: Task): Promise<void> {
    for (const { name, value, index } of this.#options.definition.globals) {
      if (typeof value !== "function") {
        task.globals[index] = value;
        continue;
      }
      try {
        task.globals[index] = await this.#make(name, value as (...args: unknown[]) => unknown, task);
      } catch (error) {
        throw new RamaError(
          "USER_CODE_FAILED",
          `${name} on task ${task.id}: ${messageOf(error)}`,
          { object: name, task: task.id },
          error,
        );
      }
    }
  }

  async #make(name: string, make: (...args: unknown[]) => unknown, task: Task): Promise<unknown> {
    const context = this.#context(name, task);
    const made = make(task.id, context);
    if (made === null || typeof made !== "object") return made;
    const methods = made as TaskGlobalMethods;
    this.#made.push({ name, methods });
    await methods.prepareForTask?.(task.id, context);
    await methods.gainedLeadership?.();
    if (typeof methods.tick === "function" && typeof methods.getFrequencyMillis === "function") {
      this.#tickEvery(name, methods, methods.getFrequencyMillis());
    }
    return made;
  }

  #context(name: string, task: Task): TaskGlobalContext {
    const { info, tasksOfGroup, clusterRetriever, env, replicaId } = this.#options;
    const context: TaskGlobalContext = {
      getModuleInstanceInfo: () => info,
      getTaskGroup: () => [...tasksOfGroup(task.group)],
      getReplicaId: () => replicaId,
      getVarName: () => name,
      getClusterRetriever: () => {
        if (clusterRetriever === undefined) throw new RamaError("NOT_ALLOWED_HERE", "there is no cluster to ask here");
        return clusterRetriever();
      },
      getLogThrottler: () => throttler(env),
    };
    shareResources(context, this.#resources, `thread ${task.group}`);
    return context;
  }

  #tickEvery(name: string, methods: TaskGlobalMethods, ms: number): void {
    const { env, onThread } = this.#options;
    const timer = env.setTimer(ms, () => {
      this.#timers.delete(timer);
      if (this.#closed) return;
      onThread(() => {
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
