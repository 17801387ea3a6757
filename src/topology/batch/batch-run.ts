// What one run (an attempt of a microbatch, an invoke of a query) keeps on one engine besides PStates: temporary states, kept rows, tables of sinks.
import { makeTable, makeTravelTable } from "../../dataflow/batch/tables.ts";
import type { Sink, Table } from "../../dataflow/batch/sinks.ts";
import type { PathRoot } from "../../paths/indexed.ts";

export class BatchRun {
  /** Trees that this engine has begun for the run; the first is the run's own. */
  nextTree = 0;
  /** Executions of batch blocks begun. */
  nextInstance = 0;
  readonly #states = new Map<string, unknown>();
  /** By instance and sink, then task. */
  readonly #tables = new Map<string, (Table | undefined)[]>();
  /** The last of them that was asked for: rows come in runs. */
  #lastTables: { readonly instance: number; readonly sink: Sink; readonly tables: (Table | undefined)[] } | undefined =
    undefined;
  /** For tasks of other engines: by instance and sink, then task. */
  readonly #travelling = new Map<string, Map<number, Table>>();

  constructor(
    readonly number: number,
    readonly sinceMs: number,
  ) {}

  temporary(index: number, task: number): PathRoot {
    const key = `${task}/${index}`;
    return {
      get: () => this.#states.get(key) ?? null,
      set: (value) => void this.#states.set(key, value),
    };
  }

  keep(index: number, task: number, row: unknown[]): void {
    const key = `${task}/${index}`;
    const rows = this.#states.get(key) as unknown[][] | undefined;
    if (rows === undefined) this.#states.set(key, [row]);
    else rows.push(row);
  }

  kept(index: number, task: number): readonly unknown[][] {
    return (this.#states.get(`${task}/${index}`) as unknown[][] | undefined) ?? [];
  }

  table(sink: Sink, instance: number, task: number): Table {
    const tables = this.#tablesOf(sink, instance);
    let table = tables[task];
    if (table === undefined) {
      table = makeTable(sink);
      tables[task] = table;
    }
    return table;
  }

  #tablesOf(sink: Sink, instance: number): (Table | undefined)[] {
    const last = this.#lastTables;
    if (last !== undefined && last.instance === instance && last.sink === sink) return last.tables;
    const key = `${instance}/${sink.id}`;
    let tables = this.#tables.get(key);
    if (tables === undefined) {
      tables = [];
      this.#tables.set(key, tables);
    }
    this.#lastTables = { instance, sink, tables };
    return tables;
  }

  takeTable(sink: Sink, instance: number, task: number): Table {
    const table = this.table(sink, instance, task);
    this.#tablesOf(sink, instance)[task] = undefined;
    return table;
  }

  travelling(sink: Sink, instance: number, task: number): Table {
    const key = `${instance}/${sink.id}`;
    let byTask = this.#travelling.get(key);
    if (byTask === undefined) {
      byTask = new Map();
      this.#travelling.set(key, byTask);
    }
    let table = byTask.get(task);
    if (table === undefined) {
      table = makeTravelTable(sink);
      byTask.set(task, table);
    }
    return table;
  }

  /** What has gathered for the task, or for every task. */
  takeTravelling(sink: Sink, instance: number, task?: number): [number, Table][] {
    const byTask = this.#travelling.get(`${instance}/${sink.id}`);
    if (byTask === undefined) return [];
    const found = [...byTask].filter(([to]) => task === undefined || to === task);
    for (const [to] of found) byTask.delete(to);
    return found;
  }
}
