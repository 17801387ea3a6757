// Launch and destroy as persisted state machines: (record, what was observed) → what to do next. No clock, metastore or socket; the conductor performs the
// steps, each of which may be repeated. Before the instance runs a launch rolls back; afterwards nothing undoes it.
//
//   launch    [:launching-starting-workers] ── all workers running ──▶ [:running]
//                       └── a worker failed, or time is up ──▶ assignments removed, workers gone ──▶ record removed, error to the caller
//   destroy   [:running] ──▶ [:destroying] ── all workers gone ──▶ record removed
//
// A node that is away does not hold up the end of a module for ever: its supervisor stops and deletes what has no task any more as soon as it is back.
import type { ModuleRecord, WorkerReport } from "../../protocol/cluster-records.ts";

export interface Observed {
  readonly nowMs: number;
  /** By worker index; absent: nothing reported (yet, or any more). */
  readonly workers: ReadonlyMap<number, WorkerReport>;
  /** Of the supervisors that are there. */
  readonly supervisors: ReadonlySet<string>;
  readonly launchTimeoutMs: number;
}

/** How long a module's end waits for workers whose supervisor is not there: longer than one takes that is started again. */
const awayMs = 30_000;

export type Step =
  | { readonly kind: "wait" }
  /** Write the record in this state. */
  | { readonly kind: "advance"; readonly record: ModuleRecord; readonly note: string }
  /** Remove record, manifest, bundle reference and reports. */
  | { readonly kind: "remove"; readonly note: string };

const wait: Step = { kind: "wait" };

export function nextStep(record: ModuleRecord, observed: Observed): Step {
  switch (record.state) {
    case "[:launching-starting-workers]":
      return launchStep(record, observed);
    case "[:launch-failed]":
    case "[:destroying]":
      return endStep(record, observed);
    default:
      return wait;
  }
}

function endStep(record: ModuleRecord, { nowMs, workers, supervisors }: Observed): Step {
  const note = record.error ?? "destroyed";
  if (workers.size === 0) return { kind: "remove", note };
  const nodes = new Set([...workers.values()].map(({ supervisorId }) => supervisorId));
  const isLeft = [...nodes].some((id) => supervisors.has(id));
  if (isLeft || nowMs - record.stateSinceMs < awayMs) return wait;
  return {
    kind: "remove",
    note: `${note}; away are supervisors ${[...nodes].join(", ")}, which delete their part when they are back`,
  };
}

function launchStep(record: ModuleRecord, observed: Observed): Step {
  const instance = record.instances[0]!;
  const missing: number[] = [];
  for (const { workerIndex } of instance.placement) {
    const report = observed.workers.get(workerIndex);
    if (report?.state === "failed") {
      return fail(record, observed, `worker ${workerIndex} did not start: ${report.error ?? "see its log"}`);
    }
    if (report?.state !== "running") missing.push(workerIndex);
  }
  if (missing.length === 0) {
    return {
      kind: "advance",
      record: { ...record, state: "[:running]", stateSinceMs: observed.nowMs },
      note: "running",
    };
  }
  const waitedMs = observed.nowMs - record.stateSinceMs;
  if (waitedMs >= observed.launchTimeoutMs) {
    return fail(
      record,
      observed,
      `workers ${missing.join(", ")} did not start within ${Math.round(observed.launchTimeoutMs / 1000)} s`,
    );
  }
  return wait;
}

/** Whoever sees a record in [:launch-failed] or [:destroying] takes its assignments away, as often as it is seen. */
function fail(record: ModuleRecord, observed: Observed, error: string): Step {
  return {
    kind: "advance",
    record: { ...record, state: "[:launch-failed]", stateSinceMs: observed.nowMs, error },
    note: `launch failed: ${error}`,
  };
}

/** The record of a module that is to be destroyed. */
export function destroying(record: ModuleRecord, nowMs: number): ModuleRecord {
  return { ...record, state: "[:destroying]", stateSinceMs: nowMs };
}
