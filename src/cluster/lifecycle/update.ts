// A module update as a persisted state machine: (record, what was observed) → what to do next. Like launch.ts it knows no clock, metastore or socket, and every step may be
// repeated. Until the hand-over the old instance is untouched, and whatever goes wrong ends with it alone; from the hand-over on the update only goes forward.
//
//   [:running] ─ checked, new instance assigned beside the old one ─▶ [:updating-next-assigned]
//   [:updating-next-assigned]       every new worker has loaded and compiled the module ─▶ [:updating-prepare-handover]
//   [:updating-prepare-handover]    every old worker serves, or did not for `steadyMs` ─▶ [:updating-handover]
//   [:updating-handover]            old workers withdrawn, new ones let go: they open the same stores; all serve, the old ones are gone ─▶ [:running]
//   before the hand-over: a new worker failed, or time is up ─▶ [:updating-rollback] ── new workers are gone ──▶ [:running] with `error`
//
// In [:updating-handover] a new worker that cannot open its store is told of in `error`; the next update may then replace the instance (`mayUpdate`).
import type { InstanceRecord, ModuleRecord, ModuleState, WorkerReport } from "../../protocol/cluster-records.ts";

export interface UpdateObserved {
  readonly nowMs: number;
  /** Reports by instance id, then worker index. */
  readonly workers: ReadonlyMap<string, ReadonlyMap<number, WorkerReport>>;
  readonly prepareTimeoutMs: number;
}

export type UpdateStep =
  | { readonly kind: "wait" }
  /** Write the record in this state; `letGo`: in the same step withdraw the old workers and take `waits` from the new ones. */
  | { readonly kind: "advance"; readonly record: ModuleRecord; readonly note: string; readonly letGo?: boolean }
  /** Write the record, forget the instance's manifest and reports. */
  | {
      readonly kind: "settle";
      readonly record: ModuleRecord;
      readonly forget: InstanceRecord;
      readonly note: string;
    };

const wait: UpdateStep = { kind: "wait" };
/** Hand-over waits so long for an old worker that is being started again. */
const steadyMs = 5_000;

export function isUpdating(state: ModuleState): boolean {
  return state.startsWith("[:updating-");
}

/** At rest, or stuck in a hand-over whose new instance does not come up. */
export function mayUpdate(record: ModuleRecord): boolean {
  return record.state === "[:running]" || (record.state === "[:updating-handover]" && record.error !== undefined);
}

/** The record of a module whose next instance has been placed. */
export function updating(record: ModuleRecord, next: InstanceRecord, nowMs: number): ModuleRecord {
  const old = record.instances.find(({ id }) => id === record.readTarget)!;
  const { error: _, ...rest } = record;
  return { ...rest, state: "[:updating-next-assigned]", stateSinceMs: nowMs, instances: [old, next] };
}

export function nextUpdateStep(record: ModuleRecord, observed: UpdateObserved): UpdateStep {
  switch (record.state) {
    case "[:updating-next-assigned]":
      return assignedStep(record, observed);
    case "[:updating-prepare-handover]":
      return prepareStep(record, observed);
    case "[:updating-handover]":
      return handoverStep(record, observed);
    case "[:updating-rollback]":
      return rollbackStep(record, observed);
    default:
      return wait;
  }
}

function assignedStep(record: ModuleRecord, observed: UpdateObserved): UpdateStep {
  const [, next] = record.instances;
  const failed = failureOf(next!, observed);
  if (failed !== undefined) return rollBack(record, observed, failed);
  const missing = indexesNot(next!, observed, "prepared");
  if (missing.length === 0) {
    const text = "new workers are prepared";
    return advance(record, "[:updating-prepare-handover]", observed, text);
  }
  if (observed.nowMs - record.stateSinceMs < observed.prepareTimeoutMs) return wait;
  const seconds = Math.round(observed.prepareTimeoutMs / 1000);
  return rollBack(record, observed, `new workers ${missing.join(", ")} were not prepared within ${seconds} s`);
}

function prepareStep(record: ModuleRecord, observed: UpdateObserved): UpdateStep {
  const [old, next] = record.instances;
  const failed = failureOf(next!, observed);
  if (failed !== undefined) return rollBack(record, observed, failed);
  const waitedMs = observed.nowMs - record.stateSinceMs;
  if (indexesNot(next!, observed, "prepared").length > 0) {
    if (waitedMs < observed.prepareTimeoutMs) return wait;
    return rollBack(record, observed, "a new worker did not stay prepared");
  }
  if (indexesNot(old!, observed, "running").length > 0 && waitedMs < steadyMs) return wait;
  const handover = advance(record, "[:updating-handover]", observed, "hand-over");
  const targets = { readTarget: next!.id, appendTarget: next!.id };
  return { ...handover, record: { ...handover.record, ...targets }, letGo: true };
}

function handoverStep(record: ModuleRecord, observed: UpdateObserved): UpdateStep {
  const [old, next] = record.instances;
  const failed = failureOf(next!, observed);
  if (failed !== undefined && record.error !== failed)
    return { kind: "advance", record: { ...record, error: failed }, note: `after the hand-over: ${failed}` };
  if (indexesNot(next!, observed, "running").length > 0) return wait;
  if ((observed.workers.get(old!.id)?.size ?? 0) > 0) return wait;
  const { error: _, ...rest } = record;
  return {
    kind: "settle",
    record: { ...rest, state: "[:running]", stateSinceMs: observed.nowMs, instances: [next!] },
    forget: old!,
    note: `running as instance ${next!.id}`,
  };
}

function rollbackStep(record: ModuleRecord, observed: UpdateObserved): UpdateStep {
  const [old, next] = record.instances;
  if ((observed.workers.get(next!.id)?.size ?? 0) > 0) return wait;
  return {
    kind: "settle",
    record: { ...record, state: "[:running]", stateSinceMs: observed.nowMs, instances: [old!] },
    forget: next!,
    note: "rolled back: the old instance runs on",
  };
}

function failureOf(instance: InstanceRecord, observed: UpdateObserved): string | undefined {
  for (const report of observed.workers.get(instance.id)?.values() ?? []) {
    if (report.state === "failed")
      return `worker ${report.workerIndex} did not start: ${report.error ?? "see its log"}`;
  }
  return undefined;
}

function indexesNot(instance: InstanceRecord, observed: UpdateObserved, state: WorkerReport["state"]): number[] {
  const reports = observed.workers.get(instance.id);
  return instance.placement
    .map(({ workerIndex }) => workerIndex)
    .filter((index) => reports?.get(index)?.state !== state);
}

function advance(
  record: ModuleRecord,
  state: ModuleState,
  { nowMs }: UpdateObserved,
  note: string,
): Extract<UpdateStep, { kind: "advance" }> {
  return { kind: "advance", record: { ...record, state, stateSinceMs: nowMs }, note };
}

/** Whoever sees a record in [:updating-rollback] takes the new instance's assignments away, as often as it is seen. */
function rollBack(record: ModuleRecord, observed: UpdateObserved, error: string): UpdateStep {
  const back = advance(record, "[:updating-rollback]", observed, `update failed: ${error}`);
  return { ...back, record: { ...back.record, error } };
}
