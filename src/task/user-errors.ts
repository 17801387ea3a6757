// What happened in user code, with the place where it happened: topology, builder line, and where there is one the depot, partition and offset.
import { AssertionError } from "../base/assert.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { CompiledTopology } from "../dataflow/compiled.ts";

export interface RecordPlace {
  readonly depot: string;
  readonly task: number;
  readonly offset: number;
}

/** Kind 3 is ours, not the user's: it is thrown on. Others come out as kind 2, an error of the user's code as USER_CODE_FAILED that names the line. */
export function userError(error: unknown, topology: CompiledTopology, node: number): RamaError {
  if (error instanceof AssertionError) throw error;
  if (error instanceof RamaError && error.facts["line"] !== undefined) return error;
  const place = topology.lines[node];
  const line = place?.line ?? "?";
  const facts = { topology: topology.name, line, what: place?.what };
  if (error instanceof RamaError) {
    return new RamaError(
      error.code,
      `${topology.name} at ${line}: ${error.message}`,
      { ...error.facts, ...facts },
      error.cause,
    );
  }
  return new RamaError("USER_CODE_FAILED", `${topology.name} at ${line}: ${messageOf(error)}`, facts, error);
}

/** What the appender gets: the record is stored, its processing failed. */
export function processingFailed(error: RamaError, topology: CompiledTopology, place: RecordPlace): RamaError {
  const line = String(error.facts["line"] ?? "?");
  const cause = error.code === "USER_CODE_FAILED" && error.cause !== undefined ? error.cause : error;
  const message = `${topology.name} at ${line}: ${place.depot} partition ${place.task} offset ${place.offset}: ${messageOf(cause)}`;
  const facts = {
    stored: true,
    topology: topology.name,
    line,
    depot: place.depot,
    partition: place.task,
    offset: place.offset,
  };
  return new RamaError("PROCESSING_FAILED", message, facts, cause);
}
