// What a stage asks of its batch (dataflow/batch/sinks.ts), for topologies on an engine. One per RunContext; the runner says whose run the next event belongs to.
import { RamaError } from "../../base/errors.ts";
import type { BatchContext, BatchPlan, Sink, Table } from "../../dataflow/batch/sinks.ts";
import { Event } from "../../task/event.ts";
import type { RunContext } from "../../task/stage-context.ts";
import type { BatchRun } from "./batch-run.ts";

export interface BatchesHost {
  isHere(task: number): boolean;
  /** `topology.combiner.limit`: rows that gather for another engine before they travel. */
  readonly combinerLimit: number;
}

export class RunBatches implements BatchContext {
  /** Of the event that runs. */
  current: BatchRun | undefined = undefined;

  constructor(
    readonly x: RunContext,
    readonly host: BatchesHost,
  ) {}

  get #run(): BatchRun {
    return this.current!;
  }

  explode(stage: number, vars: unknown[], source: number): void {
    this.x.out.push(new Event("explode", stage, this.x.taskId, vars, { source }));
  }

  explodeKept(stage: number, vars: unknown[], temporary: number): void {
    this.x.out.push(new Event("explode", stage, this.x.taskId, vars, { temporary }));
  }

  keep(temporary: number, row: unknown[]): void {
    this.#run.keep(temporary, this.x.taskId, row);
  }

  run(plan: BatchPlan, starts: readonly unknown[][], resume: number, vars: unknown[]): void {
    this.x.out.push(new Event("batch", resume, this.x.taskId, vars, { plan, starts }));
  }

  put(sink: Sink, instance: number, task: number, side: number, row: unknown[]): void {
    if (task === -2) for (let to = 0; to < this.x.numTasks; to++) this.#put(sink, instance, to, side, row);
    else this.#put(sink, instance, task === -1 ? this.x.taskId : task, side, row);
  }

  #put(sink: Sink, instance: number, task: number, side: number, row: unknown[]): void {
    if (!(task >= 0 && task < this.x.numTasks && Number.isInteger(task))) {
      throw new RamaError("BAD_PARTITION", `task ${task} is not in [0, ${this.x.numTasks})`, { task });
    }
    if (this.host.isHere(task)) {
      this.#run.table(sink, instance, task).put(side, row);
      return;
    }
    const table = this.#run.travelling(sink, instance, task);
    table.put(side, row);
    const grows = sink.kind === "join" || !sink.mergeable || sink.flushRequired || sink.states.length > 0;
    if (grows && table.count >= this.host.combinerLimit) {
      for (const [to, gathered] of this.#run.takeTravelling(sink, instance, task))
        this.#send(sink, instance, to, gathered);
    }
  }

  #send(sink: Sink, instance: number, task: number, table: Table): void {
    this.x.send(sink.takeStage, task, [instance, table.partial()]);
    // Rows of many records.
    this.x.out[this.x.out.length - 1]!.record = null;
  }

  take(sink: Sink, instance: number, partial: unknown): void {
    this.#run.table(sink, instance, this.x.taskId).merge(partial);
  }

  flush(sink: Sink, instance: number): void {
    for (const [task, table] of this.#run.takeTravelling(sink, instance)) this.#send(sink, instance, task, table);
  }

  table(sink: Sink, instance: number): Table {
    return this.#run.takeTable(sink, instance, this.x.taskId);
  }
}
