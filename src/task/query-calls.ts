// Invokes that start on another engine: who waits for which answer, and where an invoke starts.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import type { CompiledTopology } from "../dataflow/compiled.ts";

interface Call {
  readonly query: string;
  readonly task: number;
  readonly reply: Reply;
  readonly timer: Timer;
}

export function engineGone(query: string, task: number): RamaError {
  const message = `query ${query}: the worker that has task ${task} went away while the query ran: invoke it again`;
  return new RamaError("CONNECTION_LOST", message, { query, task });
}

type Reply = (error: RamaError | null, value: unknown) => void;

export class QueryCalls {
  readonly #open = new Map<number, Call>();
  #next: number;

  constructor(
    readonly env: Env,
    readonly timeoutMs: () => number,
  ) {
    // Answers to an earlier life of the engine must not be taken for ours.
    this.#next = Math.floor(env.random() * 2 ** 40) * 2 ** 12;
  }

  /** The caller's own task where the query may start anywhere. */
  startTask(topology: CompiledTopology, args: readonly unknown[], tasks: number, own: number): number {
    const start = topology.query!.start;
    if (start.kind === "task") return start.task;
    if (start.kind === "hashInput") return taskOf(args[start.input] ?? null, tasks);
    return own;
  }

  /** `task`: where the query starts. */
  add(query: string, task: number, reply: Reply): number {
    const call = this.#next++;
    const timer = this.env.setTimer(this.timeoutMs(), () => {
      this.answer(
        call,
        new RamaError("TIMEOUT", `a query on another engine took longer than ${this.timeoutMs()} ms`),
        undefined,
      );
    });
    this.#open.set(call, { query, task, reply, timer });
    return call;
  }

  /** The engine of these tasks went away. */
  peerGone(tasks: ReadonlySet<number>): void {
    for (const [call, { query, task }] of this.#open)
      if (tasks.has(task)) this.answer(call, engineGone(query, task), undefined);
  }

  answer(call: number, error: RamaError | null, value: unknown): void {
    const open = this.#open.get(call);
    if (open === undefined) return;
    this.#open.delete(call);
    open.timer.cancel();
    open.reply(error, value);
  }

  abort(): void {
    for (const { timer } of this.#open.values()) timer.cancel();
    this.#open.clear();
  }

  close(): void {
    for (const call of [...this.#open.keys()])
      this.answer(call, new RamaError("MODULE_NOT_RUNNING", "the engine stops"), undefined);
  }
}
