// What the parts of one engine share: its tasks and topologies, its turn, and whether it may work at all.
import { RamaError } from "../base/errors.ts";
import type { CommitLoop } from "./commit-loop.ts";
import type { EngineOptions } from "./engine-api.ts";
import type { OptionView } from "./option-view.ts";
import { clientJobs, lowLatencyJobs } from "./run-queue.ts";
import type { Task } from "./task.ts";
import type { TaskGroup } from "./task-group.ts";
import type { TopologyRuntime } from "./topology-runtime.ts";

export class EngineCore {
  readonly options: EngineOptions;
  readonly view: OptionView;
  readonly groups: readonly TaskGroup[];
  /** By task id; undefined: the task lives on another engine. */
  readonly tasks: (Task | undefined)[] = [];
  readonly groupOf: (TaskGroup | undefined)[] = [];
  readonly runtimes: TopologyRuntime[] = [];
  /** By depot index. */
  readonly subscribers: TopologyRuntime[][] = [];
  /** Appends of clients are refused with it, reads go on. */
  refusal: RamaError | null = null;
  /** Too few replicas are in sync: the same. */
  stalled: RamaError | null = null;
  /** False: another replica leads the group, or this one is about to. */
  leads = true;
  /** The engine has stopped for good. */
  failed: RamaError | null = null;
  closing = false;
  #loop: CommitLoop | undefined;

  constructor(options: EngineOptions, view: OptionView, groups: readonly TaskGroup[]) {
    this.options = options;
    this.view = view;
    this.groups = groups;
    for (const group of groups) {
      for (const task of group.tasks) {
        this.tasks[task.id] = task;
        this.groupOf[task.id] = group;
      }
    }
  }

  get loop(): CommitLoop {
    return this.#loop!;
  }

  set loop(loop: CommitLoop) {
    this.#loop = loop;
  }

  /** Runs in a turn, in the topologies' share of the thread. */
  job(fn: () => void): void {
    this.#push(lowLatencyJobs, fn);
  }

  /** Runs in a turn, in the clients' share of the thread. */
  clientJob(fn: () => void): void {
    this.#push(clientJobs, fn);
  }

  #push(category: number, fn: () => void): void {
    this.loop.push(category, {
      run: () => {
        fn();
        return undefined;
      },
    });
  }

  /** MOVED, BAD_PARTITION; null: the task is here and `find` finds the object's partition in it. */
  partitionError(name: string, task: number, find: (task: Task) => unknown): RamaError | null {
    const found = this.tasks[task];
    if (!this.leads) return new RamaError("MOVED", `task ${task} is led by another replica`, { task });
    if (found === undefined) {
      if (task >= 0 && task < this.options.info.numTasks)
        return new RamaError("MOVED", `task ${task} is not here`, { task });
      return new RamaError("BAD_PARTITION", `${name} has no partition ${task}`, { object: name, task });
    }
    return find(found) === undefined
      ? new RamaError("BAD_PARTITION", `${name} has no partition ${task}`, { object: name, task })
      : null;
  }
}
