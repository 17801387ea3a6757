// Invokes of query topologies that begin or are asked for on one engine: started here, or at the engine that owns the start task.
import { RamaError } from "../base/errors.ts";
import type { EngineInvoke } from "./engine-api.ts";
import type { EngineCore } from "./engine-core.ts";
import type { EventSender } from "./event-codec.ts";
import { QueryCalls } from "./query-calls.ts";
import type { QueryRuntime } from "./topology-runtime.ts";

export class EngineQueries {
  readonly #core: EngineCore;
  readonly #sender: EventSender;
  readonly #calls: QueryCalls;

  constructor(core: EngineCore, sender: EventSender) {
    this.#core = core;
    this.#sender = sender;
    this.#calls = new QueryCalls(core.options.env, () => core.view.number("topology.query.timeout.millis"));
  }

  /** `fromTask`: the task that asks, or undefined for a client. */
  invoke(invoke: EngineInvoke, fromTask: number | undefined): void {
    const runtime = this.#core.runtimes[invoke.query];
    const local = fromTask ?? this.#core.groups[0]!.tasks[0]!.id;
    const tasks = this.#core.options.info.numTasks;
    let error = this.#core.failed;
    if (runtime?.topology.kind !== "query") {
      error = new RamaError("UNKNOWN_OBJECT", `the module has no query ${invoke.query}`, { query: invoke.query });
    }
    if (!this.#core.leads) error ??= new RamaError("MOVED", "another replica leads this task group");
    if (error !== null) {
      invoke.reply(error, undefined);
      return;
    }
    const start = invoke.task ?? this.#calls.startTask(runtime!.topology, invoke.args, tasks, local);
    const task = this.#core.tasks[start];
    if (task !== undefined) (runtime as QueryRuntime).invokeHere(task, invoke.args, invoke.reply);
    else if (!(start >= 0 && start < tasks)) {
      invoke.reply(new RamaError("BAD_PARTITION", `there is no task ${start}`, { task: start }), undefined);
    } else {
      const call = this.#calls.add(runtime!.topology.name, start, invoke.reply);
      this.#sender.call(invoke.query, start, local, call, invoke.args);
      this.#core.loop.wake();
    }
  }

  /** Another engine asks. */
  called(query: number, task: number, callerTask: number, call: number, args: unknown[]): void {
    this.invoke(
      { query, args, task, reply: (error, value) => this.#sendResult(callerTask, call, error, value) },
      undefined,
    );
  }

  #sendResult(callerTask: number, call: number, error: RamaError | null, value: unknown): void {
    try {
      this.#sender.result(callerTask, call, error, value);
    } catch (unsendable) {
      if (!(unsendable instanceof RamaError)) throw unsendable;
      this.#sender.result(callerTask, call, unsendable, undefined);
    }
    this.#core.loop.wake();
  }

  answered(call: number, error: RamaError | null, value: unknown): void {
    this.#calls.answer(call, error, value);
  }

  /** The engine of these tasks went away. */
  peerGone(tasks: ReadonlySet<number>): void {
    if (this.#core.failed !== null || this.#core.closing) return;
    this.#core.job(() => {
      this.#calls.peerGone(tasks);
      for (const runtime of this.#core.runtimes) runtime.peerGone?.(tasks);
    });
  }

  abort(): void {
    this.#calls.abort();
  }

  close(): void {
    this.#calls.close();
  }
}
