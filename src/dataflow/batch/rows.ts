// What comes out of a sink on one task. Called by generated code at the beginning of a phase.
import { KeyIndex } from "./key-index.ts";
import type { AggTable, JoinTable } from "./tables.ts";
import type { StageContext } from "../compiled.ts";
import { runtime } from "../runtime.ts";
import type { AggSink, JoinSink, StateUnit } from "./sinks.ts";

export function joinedRows(x: StageContext, sink: JoinSink, instance: number): Iterable<unknown[]> {
  return (x.batch!.table(sink, instance) as JoinTable).rows();
}

/** Applies what goes into states, then the rows of post-agg. Yields while pages from disk are missing. */
export function* aggregatedRows(x: StageContext, sink: AggSink, instance: number): Generator<void, unknown[][], void> {
  const table = x.batch!.table(sink, instance) as AggTable;
  let rows = keptOutputs(x, sink, table.rows());
  for (const [i, unit] of sink.states.entries()) {
    const touched = yield* applied(x, unit, table.stateArgs(i));
    if (unit.capture !== undefined) rows = rows.flatMap((row) => touched.map((values) => [...row, ...values]));
  }
  return rows;
}

/** Outputs that are temporary PStates go there and leave the rows. */
function keptOutputs(x: StageContext, sink: AggSink, rows: unknown[][]): unknown[][] {
  const { outputs, groupKeys = 0 } = sink;
  if (outputs.every(({ temporary }) => temporary === undefined)) return rows;
  for (const row of rows)
    for (const [i, { temporary }] of outputs.entries())
      if (temporary !== undefined) x.temporary(temporary).set(row[groupKeys + i]);
  return rows.map((row) => row.filter((_, i) => outputs[i - groupKeys]?.temporary === undefined));
}

/** The key paths that the rows touched, each once, with the values there now. */
function* applied(x: StageContext, unit: StateUnit, rows: readonly unknown[][]): Generator<void, unknown[][], void> {
  const { state, transform, finish, capture } = unit;
  const root = () => (state.kind === "pstate" ? x.root(state.index) : x.temporary(state.index));
  for (const args of rows) while (!runtime.attemptTransform(x, transform, root(), args)) yield;
  if (finish !== undefined && rows.length > 0) while (!runtime.attemptTransform(x, finish, root(), [])) yield;
  if (capture === undefined) return [];
  const touched = new KeyIndex<unknown[]>();
  for (const args of rows) {
    const keys = capture.keys.map((at, i) => (at < 0 ? capture.constants[i] : args[at]));
    if (touched.get(keys) === undefined) touched.add(keys, keys);
  }
  const captured: unknown[][] = [];
  for (const keys of touched.values()) {
    const values: unknown[] = [];
    for (const select of capture.values) {
      let value = runtime.attempt(x, select, root(), keys);
      for (; value === runtime.missed; value = runtime.attempt(x, select, root(), keys)) yield;
      values.push(value ?? null);
    }
    captured.push([...keys, ...values]);
  }
  return captured;
}
