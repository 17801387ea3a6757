// What an attempt differs in from taking all that waits (culprit-search.ts, dead letters): the coordinator tells it each group with `prime`. Plain data, since it
// crosses engines; sources by their index in the topology.
import type { RamaError } from "../../base/errors.ts";
import type { Span } from "./culprit-search.ts";

export interface PlannedFailure {
  readonly source: number;
  readonly task: number;
  readonly offset: number;
  readonly failures: number;
  readonly code: string;
  readonly message: string;
}

export interface PrimePlan {
  /** Slices take records up to these offsets (exclusive), slices that are not named none. null: they take what waits. */
  readonly ends: readonly { readonly source: number; readonly task: number; readonly end: number }[] | null;
  /** A record of a slice that does not run; it becomes a dead letter when the microbatch is committed. */
  readonly skip: PlannedFailure | null;
  /** A dead letter that runs. */
  readonly letter: { readonly source: number; readonly task: number; readonly offset: number } | null;
  /** Dead letters whose retries have failed: they rest again. */
  readonly rest: readonly PlannedFailure[];
}

/** As in `primed`: source, task, from, to of slices that are not empty. */
export type PrimedSpan = readonly [source: number, task: number, from: number, to: number];

export function spansOf(primed: readonly PrimedSpan[]): Span[] {
  return primed.map(([source, task, from, to]) => ({ source, task, from, to }));
}

export function plannedFailure(
  place: { readonly source: number; readonly task: number; readonly offset: number },
  { code, message }: RamaError,
  failures: number,
): PlannedFailure {
  const { source, task, offset } = place;
  return { source, task, offset, failures, code, message };
}
