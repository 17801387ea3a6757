// The aggregation of one batch: which leaves, whether by group, and the state that a task keeps until the phase before has ended everywhere. States are
// plain values in temporary state; the rows of the following phase are made of them at once.
import type { AggregatorLeaf } from "../aggregators/aggregator.ts";
import { leaf } from "../aggregators/aggregator.ts";
import type { LimitAgg } from "../aggregators/limit.ts";
import { compareValues, mapGet, mapSet } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import type { PathRoot } from "../paths/indexed.ts";

export interface AggItem {
  readonly leaf: AggregatorLeaf;
  /** Fields of the result; of a limit those of each kept row. */
  readonly fields: number;
  /** The result is a list of rows, each of which becomes one row of the batch. */
  readonly rows: boolean;
}

export interface AggPlan {
  /** Number of keys of a groupBy; 0 without one. */
  readonly keys: number;
  readonly items: readonly AggItem[];
}

type States = unknown[];
interface Group {
  readonly keys: readonly unknown[];
  readonly states: States;
}

/** One row of the batch goes into the task's states. */
export function aggregate(
  root: PathRoot,
  plan: AggPlan,
  keys: readonly unknown[],
  inputs: readonly (readonly unknown[])[],
): void {
  const states = statesOf(root, plan, keys);
  plan.items.forEach(({ leaf }, i) => {
    states[i] = leaf.accumulate(states[i], ...inputs[i]!);
  });
}

function statesOf(root: PathRoot, plan: AggPlan, keys: readonly unknown[]): States {
  if (plan.keys === 0) {
    let states = root.get() as States | null;
    if (states === null) {
      states = initialStates(plan);
      root.set(states);
    }
    return states;
  }
  let groups = root.get() as Map<unknown, Group> | null;
  if (groups === null) {
    groups = new Map();
    root.set(groups);
  }
  const key = keys.length === 1 ? keys[0] : keys;
  let group = mapGet(groups, key) as Group | undefined;
  if (group === undefined) {
    group = { keys, states: initialStates(plan) };
    mapSet(groups, key, group);
  }
  return group.states;
}

function initialStates(plan: AggPlan): States {
  return plan.items.map(({ leaf }) => leaf.init());
}

/** The rows after the aggregation: keys, then the results. Without groups there is one even when no row came. */
export function aggregatedRows(root: PathRoot, plan: AggPlan): readonly (readonly unknown[])[] {
  const state = root.get();
  if (plan.keys === 0) return rowsOf(plan, [], (state as States | null) ?? initialStates(plan));
  if (state === null) return [];
  return [...(state as Map<unknown, Group>).values()].flatMap(({ keys, states }) => rowsOf(plan, keys, states));
}

function rowsOf(plan: AggPlan, keys: readonly unknown[], states: States): (readonly unknown[])[] {
  let rows: (readonly unknown[])[] = [keys];
  plan.items.forEach(({ leaf, rows: manyRows }, i) => {
    const result = leaf.finish === undefined ? states[i] : leaf.finish(states[i]);
    rows = manyRows
      ? rows.flatMap((row) => (result as unknown[][]).map((kept) => [...row, ...kept]))
      : rows.map((row) => [...row, result ?? null]);
  });
  return rows;
}

// ---- limitAgg

interface Kept {
  readonly amount: number;
  rows: { readonly by: readonly unknown[]; readonly row: readonly unknown[] }[];
}

/** A limit as an aggregator: inputs are the amount, what to sort by, the vars of the row. */
export function limitItem(limit: LimitAgg): AggItem {
  const by = limit.sortArgs.length;
  const order = limit.descending ? -1 : 1;
  const cut = (kept: Kept): Kept => {
    if (by > 0) kept.rows.sort((a, b) => order * compareValues(a.by, b.by));
    kept.rows.length = Math.min(kept.rows.length, kept.amount);
    return kept;
  };
  const accumulate = (state: Kept | null, given: unknown, ...rest: unknown[]): Kept => {
    const kept = state ?? { amount: amountOf(given), rows: [] };
    if (by === 0 && kept.rows.length >= kept.amount) return kept;
    kept.rows.push({ by: rest.slice(0, by), row: rest.slice(by) });
    // Sorting once per so many rows costs little, and memory stays bounded.
    return kept.rows.length >= 2 * kept.amount + 64 ? cut(kept) : kept;
  };
  const finish = (state: Kept | null): unknown[][] =>
    state === null
      ? []
      : cut(state).rows.map(({ row }, rank) => (limit.rankVar === undefined ? [...row] : [...row, rank]));
  const fields = limit.vars.length + (limit.rankVar === undefined ? 0 : 1);
  return { leaf: leaf({ name: "limit", init: () => null, step: accumulate, accumulate, finish }), fields, rows: true };
}

function amountOf(value: unknown): number {
  const amount = Number(value);
  if (Number.isInteger(amount) && amount >= 0) return amount;
  throw new RamaError("USER_CODE_FAILED", `limitAgg keeps a whole number of rows, not ${String(value)}`);
}
