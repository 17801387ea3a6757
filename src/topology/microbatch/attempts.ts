// What the loop of task 0's engine and the groups of other engines need of their topology (microbatch-topology.ts).
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import type { BatchRun } from "../batch/batch-run.ts";
import type { MicrobatchRunner } from "./runner.ts";
import type { SourceSlice } from "./slice.ts";

export interface Attempts {
  readonly host: RuntimeHost;
  readonly topology: CompiledTopology;
  /** By task group of this engine. */
  readonly runners: ReadonlyMap<number, MicrobatchRunner>;
  readonly slices: readonly SourceSlice[];
  readonly closed: boolean;
  /** Of one microbatch. */
  recordsMaxOf(slice: SourceSlice): number;
  /** The attempt that runs here. */
  run: BatchRun | undefined;
  /** Nothing of the attempt counts any more. */
  dropRun(): void;
  /** A message (control.ts) to a group of another engine. */
  tell(group: number, stage: number, vars: unknown[]): void;
  /** Runs it in a turn of the engine. */
  job(fn: () => void, category?: number): void;
  /** Starts every source block; `done` when all that they cause has ended. */
  process(run: BatchRun, done: (error: unknown) => void): void;
}
