// What a sink holds for one task.
import { finished } from "../../aggregators/aggregator.ts";
import { compareValues } from "../../base/compare.ts";
import { KeyIndex } from "./key-index.ts";
import type { MergedState } from "./merged-state.ts";
import type { AggSink, JoinSink, LimitUnit, Sink, Table } from "./sinks.ts";

export function makeTable(sink: Sink): AggTable | JoinTable {
  return sink.kind === "agg" ? new AggTable(sink) : new JoinTable(sink);
}

/** What travels to another engine: merged states only where that is what they are. */
export function makeTravelTable(sink: Sink): Table {
  return sink.kind === "agg" && sink.mergeable ? new AggTable(sink) : new RowTable();
}

const ROWS = 0;
const STATES = 1;

/** Rows as they came. */
class RowTable implements Table {
  readonly #rows: unknown[] = [];

  get count(): number {
    return this.#rows.length / 2;
  }

  put(side: number, row: readonly unknown[]): void {
    this.#rows.push(side, row);
  }

  partial(): unknown {
    return [ROWS, this.#rows];
  }

  merge(): void {
    throw new Error("rows on their way are merged where they arrive");
  }
}

type Partial = [kind: number, content: unknown[], stateRows: unknown[][][], merged: [unknown[], unknown[]][][]];

interface Group {
  readonly keys: readonly unknown[];
  readonly states: unknown[];
  readonly limits: LimitState[];
}

export class AggTable implements Table {
  readonly #sink: AggSink;
  readonly #groups = new KeyIndex<Group>();
  /** By state unit: the arguments of each row, where they are not combined. */
  readonly #stateRows: unknown[][][];
  /** By state unit: combined states by key path. */
  readonly #merged: KeyIndex<Group>[];
  count = 0;

  constructor(sink: AggSink) {
    this.#sink = sink;
    this.#stateRows = sink.states.map(() => []);
    this.#merged = sink.states.map(() => new KeyIndex<Group>());
    if (sink.groupKeys === undefined) this.#group([]);
  }

  #group(keys: readonly unknown[]): Group {
    let group = this.#groups.get(keys);
    if (group === undefined) {
      const { outputs, limits } = this.#sink;
      group = {
        keys,
        states: outputs.map(({ leaf }) => leaf.init()),
        limits: limits.map((unit) => new LimitState(unit)),
      };
      this.#groups.add(keys, group);
    }
    return group;
  }

  put(_side: number, row: readonly unknown[]): void {
    const { outputs, limits, states, groupKeys } = this.#sink;
    this.count++;
    if (outputs.length > 0 || limits.length > 0 || groupKeys !== undefined) {
      const keys = groupKeys === undefined ? [] : row.slice(0, groupKeys);
      const group = this.#group(keys);
      for (let i = 0; i < outputs.length; i++) {
        const { leaf, from, width } = outputs[i]!;
        group.states[i] =
          width === 0
            ? leaf.accumulate(group.states[i])
            : width === 1
              ? leaf.accumulate(group.states[i], row[from])
              : leaf.accumulate(group.states[i], ...row.slice(from, from + width));
      }
      for (let i = 0; i < limits.length; i++) {
        const { from, sorts, width } = limits[i]!;
        group.limits[i]!.add(row.slice(from, from + 1 + sorts + width));
      }
    }
    for (let i = 0; i < states.length; i++) {
      const { from, width, merged } = states[i]!;
      if (merged === undefined) this.#stateRows[i]!.push(row.slice(from, from + width));
      else this.#combine(this.#merged[i]!, merged, row, from);
    }
  }

  #combine(into: KeyIndex<Group>, merged: MergedState, row: readonly unknown[], from: number): void {
    const { keys } = merged;
    const found = keys.length === 1 ? into.getOne(row[from + keys[0]!]) : undefined;
    const { states } =
      found ??
      this.#mergedAt(
        into,
        merged,
        keys.map((at) => row[from + at]),
      );
    for (let i = 0; i < merged.leaves.length; i++) {
      const { leaf, inputs, constants } = merged.leaves[i]!;
      if (inputs.length === 0) states[i] = leaf.accumulate(states[i]);
      else if (inputs.length === 1)
        states[i] = leaf.accumulate(states[i], inputs[0]! < 0 ? constants[0] : row[from + inputs[0]!]);
      else states[i] = leaf.accumulate(states[i], ...inputs.map((at, k) => (at < 0 ? constants[k] : row[from + at])));
    }
  }

  #mergedAt(into: KeyIndex<Group>, merged: MergedState, keys: readonly unknown[]): Group {
    let group = into.get(keys);
    if (group === undefined) {
      group = { keys, states: merged.leaves.map(({ leaf }) => leaf.init()), limits: [] };
      into.add(keys, group);
    }
    return group;
  }

  /** What the transform of state unit `i` is called with, one after another. */
  stateArgs(i: number): unknown[][] {
    if (this.#sink.states[i]!.merged === undefined) return this.#stateRows[i]!;
    return [...this.#merged[i]!.values()].map(({ keys, states }) => [...keys, ...states]);
  }

  partial(): unknown {
    const groups = [...this.#groups.values()].map(({ keys, states, limits }) => [
      keys,
      states,
      limits.map(({ rows }) => rows),
    ]);
    const merged = this.#merged.map((byKey) => [...byKey.values()].map(({ keys, states }) => [keys, states]));
    return [STATES, groups, this.#stateRows, merged];
  }

  merge(partial: unknown): void {
    const [kind, content, stateRows, mergedStates] = partial as Partial;
    if (kind === ROWS) {
      for (let i = 0; i < content.length; i += 2) this.put(content[i] as number, content[i + 1] as unknown[]);
      return;
    }
    const { outputs } = this.#sink;
    for (const [keys, states, limits] of content as [unknown[], unknown[], unknown[][][]][]) {
      const group = this.#group(keys);
      for (let i = 0; i < outputs.length; i++) {
        group.states[i] = outputs[i]!.leaf.combine!(group.states[i], states[i]);
      }
      for (const [i, rows] of limits.entries()) for (const row of rows) group.limits[i]!.add(row);
    }
    for (const [i, rows] of stateRows.entries()) for (const row of rows) this.#stateRows[i]!.push(row);
    for (const [i, groups] of mergedStates.entries()) {
      const { merged } = this.#sink.states[i]!;
      for (const [keys, partials] of groups) {
        const { states } = this.#mergedAt(this.#merged[i]!, merged!, keys);
        merged!.leaves.forEach(({ leaf }, k) => {
          states[k] = leaf.combine!(states[k], partials[k]);
        });
      }
    }
  }

  /** Rows of post-agg: group keys, outputs, then for each limit its kept values and rank. */
  rows(): unknown[][] {
    const { outputs } = this.#sink;
    const rows: unknown[][] = [];
    for (const { keys, states, limits } of this.#groups.values()) {
      let heads: unknown[][] = [[...keys, ...states.map((state, i) => finished(outputs[i]!.leaf, state))]];
      for (const limit of limits) {
        const kept = limit.kept();
        heads = heads.flatMap((head) => kept.map((values) => [...head, ...values]));
      }
      for (const head of heads) rows.push(head);
    }
    return rows;
  }
}

/** The best n rows so far; more than that for a while. */
class LimitState {
  readonly #unit: LimitUnit;
  rows: unknown[][] = [];

  constructor(unit: LimitUnit) {
    this.#unit = unit;
  }

  add(row: unknown[]): void {
    const amount = Number(row[0]);
    if (this.#unit.sorts === 0) {
      if (this.rows.length < amount) this.rows.push(row);
      return;
    }
    this.rows.push(row);
    if (this.rows.length >= 2 * amount + 16) this.#cut(amount);
  }

  #cut(amount: number): void {
    const { sorts, descending } = this.#unit;
    const sign = descending ? -1 : 1;
    this.rows.sort((a, b) => {
      for (let i = 1; i <= sorts; i++) {
        const order = compareValues(a[i], b[i]);
        if (order !== 0) return sign * order;
      }
      return 0;
    });
    this.rows.length = Math.min(this.rows.length, Math.max(0, amount));
  }

  kept(): unknown[][] {
    const { sorts, ranked } = this.#unit;
    if (this.rows.length === 0) return [];
    this.#cut(Number(this.rows[0]![0]));
    return this.rows.map((row, rank) => {
      const values = row.slice(1 + sorts);
      if (ranked) values.push(rank);
      return values;
    });
  }
}

interface Pair {
  readonly keys: readonly unknown[];
  readonly sides: [unknown[][], unknown[][]];
}

export class JoinTable implements Table {
  readonly #sink: JoinSink;
  readonly #pairs = new KeyIndex<Pair>();
  count = 0;

  constructor(sink: JoinSink) {
    this.#sink = sink;
  }

  /** `row` is [keys, values]. */
  put(side: number, row: readonly unknown[]): void {
    this.count++;
    const keys = row[0] as unknown[];
    let pair = this.#pairs.get(keys);
    if (pair === undefined) {
      pair = { keys, sides: [[], []] };
      this.#pairs.add(keys, pair);
    }
    pair.sides[side]!.push(row[1] as unknown[]);
  }

  partial(): unknown {
    throw new Error("rows of joins travel as they are");
  }

  merge(partial: unknown): void {
    const [, content] = partial as [number, unknown[]];
    for (let i = 0; i < content.length; i += 2) this.put(content[i] as number, content[i + 1] as unknown[]);
  }

  *rows(): Iterable<unknown[]> {
    const { keepsAlone, widths } = this.#sink;
    const alone = widths.map((width) => [new Array<unknown>(width).fill(null)]);
    for (const { keys, sides } of this.#pairs.values()) {
      const [left, right] = [sides[0], sides[1]];
      if (right.length === 0 && !keepsAlone[0]) continue;
      if (left.length === 0 && !keepsAlone[1]) continue;
      for (const a of left.length === 0 ? alone[0]! : left)
        for (const b of right.length === 0 ? alone[1]! : right) yield [...keys, ...a, ...b];
    }
  }
}
