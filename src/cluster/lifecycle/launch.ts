// Launch and destroy as persisted state machines: (record, what was observed) → what to do next. No clock, metastore or socket; the conductor performs the
// steps, each of which may be repeated. Before the instance runs a launch rolls back; afterwards nothing undoes it.
//
//   launch    [:launching-starting-workers] ── all workers running ──▶ [:running]
//                       └── a worker failed, or time is up ──▶ assignments removed, workers gone ──▶ record removed, error to the caller
//   destroy   [:running] ──▶ [:destroying] ── all workers gone ──▶ record removed
import type { ModuleRecord, WorkerReport } from "../../protocol/cluster-records.ts";

export interface Observed {
  readonly nowMs: number;
  /** By worker index; absent: nothing reported (yet, or any more). */
  readonly workers: ReadonlyMap<number, WorkerReport>;
  readonly launchTimeoutMs: number;
}

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
      return observed.workers.size === 0 ? { kind: "remove", note: record.error ?? "destroyed" } : wait;
    default:
      return wait;
  }
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
