// Batches without event trees: one thread, a queue, and a phase ends when nothing waits any more. For detached blocks and for tests of compiled code.
import type { BatchContext, BatchPhase, BatchPlan, Sink, Table } from "./sinks.ts";
import { makeTable } from "./tables.ts";

export interface LocalBatchesHost {
  readonly numTasks: number;
  /** The task that runs. */
  readonly taskId: number;
  push(stage: number, task: number, vars: unknown[]): void;
}

interface OpenBatch {
  readonly plan: BatchPlan;
  readonly starts: readonly unknown[][];
  readonly instance: number;
  readonly task: number;
  readonly resume: number;
  readonly vars: unknown[];
  phase: number;
  start: number;
}

export class LocalBatches implements BatchContext {
  readonly #host: LocalBatchesHost;
  readonly #open: OpenBatch[] = [];
  readonly #tables = new Map<string, Table>();
  readonly #kept = new Map<string, unknown[][]>();
  #instances = 0;

  constructor(host: LocalBatchesHost) {
    this.#host = host;
  }

  /** Nothing waits: the newest batch goes on. False when there is none. */
  advance(): boolean {
    const batch = this.#open[this.#open.length - 1];
    if (batch === undefined) return false;
    const phase = batch.plan.phases[batch.phase++];
    if (phase === undefined) {
      this.#open.pop();
      if (batch.resume >= 0) this.#host.push(batch.resume, batch.task, batch.vars);
    } else this.#begin(batch, phase);
    return true;
  }

  #begin(batch: OpenBatch, phase: BatchPhase): void {
    for (const { stage, where } of phase.starts) {
      const vars = [...batch.starts[batch.start++]!, batch.instance];
      const first = where === "here" ? batch.task : 0;
      const last = where === "all" ? this.#host.numTasks - 1 : first;
      for (let task = first; task <= last; task++) this.#host.push(stage, task, [...vars]);
    }
  }

  run(plan: BatchPlan, starts: readonly unknown[][], resume: number, vars: unknown[]): void {
    const task = this.#host.taskId;
    this.#open.push({ plan, starts, instance: this.#instances++, task, resume, vars, phase: 0, start: 0 });
  }

  explode(): void {
    throw new Error("there is no microbatch here");
  }

  explodeKept(stage: number, vars: unknown[], temporary: number): void {
    for (let task = 0; task < this.#host.numTasks; task++) {
      for (const row of this.#kept.get(`${temporary}/${task}`) ?? []) this.#host.push(stage, task, [...vars, ...row]);
    }
  }

  keep(temporary: number, row: unknown[]): void {
    const key = `${temporary}/${this.#host.taskId}`;
    this.#kept.set(key, [...(this.#kept.get(key) ?? []), row]);
  }

  put(sink: Sink, instance: number, task: number, side: number, row: unknown[]): void {
    const { numTasks, taskId } = this.#host;
    const first = task === -2 ? 0 : task === -1 ? taskId : task;
    const last = task === -2 ? numTasks - 1 : first;
    for (let to = first; to <= last; to++) this.#table(sink, instance, to).put(side, row);
  }

  #table(sink: Sink, instance: number, task: number): Table {
    const key = `${instance}/${sink.id}/${task}`;
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = makeTable(sink);
      this.#tables.set(key, table);
    }
    return table;
  }

  table(sink: Sink, instance: number): Table {
    const table = this.#table(sink, instance, this.#host.taskId);
    this.#tables.delete(`${instance}/${sink.id}/${this.#host.taskId}`);
    return table;
  }

  take(sink: Sink, instance: number, partial: unknown): void {
    this.#table(sink, instance, this.#host.taskId).merge(partial);
  }

  flush(): void {}
}
