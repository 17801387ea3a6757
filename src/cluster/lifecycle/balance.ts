// Leader balancing as a persisted state machine: (record, what was observed) → what to do next. It keeps nothing but the state: which leaders should go is seen anew at every
// step (`leader-balance.ts`), so that a restarted conductor, or a node that dies in the middle, changes nothing but the steps to come.
//
//   [:running] ─ leaders could be spread better ─▶ [:leadership-balancing] ── one hand-over after the other; none is left, or none more succeeds, or time is up ──▶ [:running]
import type { ModuleRecord } from "../../protocol/cluster-records.ts";
import type { LeaderSwitch } from "../leader-balance.ts";

export interface BalanceObserved {
  readonly nowMs: number;
  readonly switches: readonly LeaderSwitch[];
  /** Groups whose leader has not handed over in this operation when it was asked to. */
  readonly refused: ReadonlySet<number>;
  /** Hand-overs so far. */
  readonly done: number;
}

export type BalanceStep =
  | { readonly kind: "handOver"; readonly of: LeaderSwitch }
  /** Write the record: the module is at rest. */
  | { readonly kind: "settle"; readonly record: ModuleRecord; readonly note: string };

const limitMs = 120_000;

export const isBalancing = (record: Pick<ModuleRecord, "state">): boolean => record.state === "[:leadership-balancing]";

export function balancing(record: ModuleRecord, nowMs: number): ModuleRecord {
  return { ...record, state: "[:leadership-balancing]", stateSinceMs: nowMs };
}

export function nextBalanceStep(record: ModuleRecord, observed: BalanceObserved): BalanceStep {
  const { nowMs, switches, refused, done } = observed;
  const next = switches.find(({ group }) => !refused.has(group));
  if (next !== undefined && nowMs - record.stateSinceMs < limitMs) return { kind: "handOver", of: next };
  const left =
    switches.length === 0 ? "" : `; as they were stay groups ${switches.map(({ group }) => group).join(", ")}`;
  return {
    kind: "settle",
    record: { ...record, state: "[:running]", stateSinceMs: nowMs },
    note: `${done} task group${done === 1 ? "" : "s"} handed over${left}`,
  };
}
