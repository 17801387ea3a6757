// Runs stages: one at a time, to the end or until a page from disk is missing. What every kind of topology shares; queue and consequences are the subclass's.
import type { CompiledTopology } from "../dataflow/compiled.ts";
import type { RamaError } from "../base/errors.ts";
import { enterTask, leaveTask } from "../base/task-clock.ts";
import { failedByHook } from "./event-hook.ts";
import type { Job } from "./run-queue.ts";
import type { RunContext } from "./stage-context.ts";
import { userError } from "./user-errors.ts";

export type StageOutcome = "done" | "failed" | "suspended";

export abstract class StageRunner implements Job {
  /** Of the last "failed". */
  protected error: RamaError | undefined = undefined;
  #suspended: Generator<void, void, void> | undefined = undefined;
  #loading: unknown = undefined;

  constructor(
    readonly topology: CompiledTopology,
    readonly x: RunContext,
  ) {}

  abstract run(): Promise<void> | undefined;

  protected get isSuspended(): boolean {
    return this.#suspended !== undefined;
  }

  /** `x` has been turned to the task. */
  protected runStage(index: number, vars: unknown[]): StageOutcome {
    const { x } = this;
    x.begin();
    return x.events?.on ? this.#observed(index, vars) : this.#start(index, vars);
  }

  #start(index: number, vars: unknown[]): StageOutcome {
    const { x } = this;
    const stage = this.topology.stages[index]!;
    enterTask(x);
    try {
      if (!stage.suspends) {
        stage.run(x, vars);
        return "done";
      }
      this.#suspended = stage.run(x, vars);
    } catch (error) {
      return this.fail(error);
    } finally {
      leaveTask();
    }
    return this.#goOn();
  }

  /** The same, told to the event hook. */
  #observed(index: number, vars: unknown[]): StageOutcome {
    const { x, topology } = this;
    if (x.events!.eventBegins(topology, x.taskId)) {
      x.at = 0;
      return this.fail(failedByHook("topology-event"));
    }
    return this.#told(() => this.#start(index, vars));
  }

  #told(run: () => StageOutcome): StageOutcome {
    const { x, topology } = this;
    const events = x.events!;
    events.stageRuns(this);
    const outcome = run();
    events.stageRests();
    if (outcome === "done") events.eventAsked(topology.name, x.taskId, x.out);
    return outcome;
  }

  /** After the missed pages have come, or not. */
  protected goOn(): StageOutcome {
    return this.x.events?.on ? this.#told(() => this.#goOn()) : this.#goOn();
  }

  #goOn(): StageOutcome {
    const stage = this.#suspended!;
    enterTask(this.x);
    try {
      if (this.#loading !== undefined) {
        const error = this.#loading;
        this.#loading = undefined;
        throw error;
      }
      if (!stage.next().done) return "suspended";
      this.#suspended = undefined;
      return "done";
    } catch (error) {
      this.#suspended = undefined;
      return this.fail(error);
    } finally {
      leaveTask();
    }
  }

  /** What the suspended stage waits for. */
  protected async load(): Promise<void> {
    try {
      await this.x.session.load();
    } catch (error) {
      this.#loading = error;
    }
  }

  protected fail(error: unknown): "failed" {
    this.error = userError(error, this.topology, this.x.at);
    return "failed";
  }
}
