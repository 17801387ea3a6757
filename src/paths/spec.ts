// A path as data: a frozen list of steps, each one navigator with its arguments and sub-paths. `path.ts` builds it, `compile*.ts` turn it into
// JavaScript, `path-codec.ts` sends it. Several arguments of `key`, `must`, `nth` become as many steps, and the ten range navigators become two.
import { RamaError } from "../base/errors.ts";
import type { ArgNode } from "./arg.ts";

export type StepName =
  // values
  | "key"
  | "must"
  | "nth"
  | "first"
  | "last"
  | "all"
  | "mapVals"
  | "mapKeys"
  | "mapKey"
  | "setElem"
  | "indexedVals"
  | "index"
  // insertion, transform only
  | "afterElem"
  | "beforeElem"
  | "beforeIndex"
  | "voidSetElem"
  // substructures
  | "beginning"
  | "end"
  | "sublist"
  | "sublistDynamic"
  | "filteredList"
  | "subMap"
  | "subMapOf"
  | "subSet"
  | "subSetOf"
  | "mapRange"
  | "setRange"
  | "subselect"
  // filters
  | "filterPred"
  | "filterEqual"
  | "filterNotEqual"
  | "filterLessThan"
  | "filterLessThanOrEqual"
  | "filterGreaterThan"
  | "filterGreaterThanOrEqual"
  | "filterSelected"
  | "filterNotSelected"
  | "isCollected"
  // views
  | "nullToVal"
  | "nullToList"
  | "nullToSet"
  | "view"
  | "contains"
  | "transformed"
  // control and collection
  | "stay"
  | "stop"
  | "ifPath"
  | "condPath"
  | "multiPath"
  | "continueThenStay"
  | "collect"
  | "collectOne"
  | "putCollected"
  | "dispenseCollected"
  | "withPageSize"
  | "customNav"
  | "customNavBuilder"
  // terminals
  | "termVal"
  | "term"
  | "termVoid"
  | "termFields"
  // aggregation: what `aggregators/` adds to a path
  | "aggregate";

export type Steps = readonly Step[];

/**
 * Which of `args` a range has: `from`, `to`, `limit` in this order, as far as present. `limit` counts from the end when `reverse`.
 */
export interface RangeShape {
  readonly hasFrom: boolean;
  readonly fromExclusive: boolean;
  readonly hasTo: boolean;
  readonly toInclusive: boolean;
  readonly hasLimit: boolean;
  readonly reverse: boolean;
}

export interface Step {
  readonly nav: StepName;
  readonly args: readonly ArgNode[];
  readonly paths: readonly Steps[];
  /** mapRange, setRange. */
  readonly range?: RangeShape;
  /** termFields: the names of `args`. */
  readonly names?: readonly string[];
}

const none: readonly never[] = Object.freeze([]);

export function step(
  nav: StepName,
  args: readonly ArgNode[] = none,
  paths: readonly Steps[] = none,
  extra?: Partial<Step>,
): Step {
  // Read-only by its type alone: freezing a step, its list and its arguments cost 2 µs of a client's read of 5 µs.
  if (extra === undefined) return { nav, args, paths };
  return { nav, args, paths, ...extra };
}

export const terminals: ReadonlySet<StepName> = new Set(["termVal", "term", "termVoid", "termFields", "aggregate"]);

/** What a schema says of a place, as far as paths care. `module/schema.ts` SchemaNode fits. */
export interface SchemaHint {
  readonly kind: string;
  readonly value?: SchemaHint;
  readonly element?: unknown;
  readonly fields?: ReadonlyMap<string, SchemaHint>;
  readonly to?: SchemaHint;
  readonly subindexed?: unknown;
}

/**
 * The symbolic arguments (vars and expressions) of a path in the order of its steps; the same var counts once. A compiled path takes their
 * values as its `args`.
 */
export function collectArgs(steps: Steps): ArgNode[] {
  const found: ArgNode[] = [];
  visitArgs(steps, (arg) => {
    if (arg.kind === "expr" ? !found.includes(arg) : arg.kind === "var" && slotOf(found, arg) < 0) found.push(arg);
  });
  return found;
}

/** Where `arg` stands in the list of `collectArgs`. */
export function slotOf(list: readonly ArgNode[], arg: ArgNode): number {
  return list.findIndex(
    (other) => other === arg || (other.kind === "var" && arg.kind === "var" && other.name === arg.name),
  );
}

export function visitArgs(steps: Steps, visit: (arg: ArgNode) => void): void {
  for (const { args, paths } of steps) {
    for (const arg of args) visit(arg);
    for (const path of paths) visitArgs(path, visit);
  }
}

/** The same path with every argument replaced. */
export function mapArgs(steps: Steps, change: (arg: ArgNode) => ArgNode): Steps {
  return steps.map((each) => {
    const args = each.args.map(change);
    const paths = each.paths.map((path) => mapArgs(path, change));
    return Object.freeze({ ...each, args, paths });
  });
}

const dataForms = new WeakMap<Steps, Steps>();

/** The path as a client means it: a var is the string it is written as. BAD_PATH for expressions, which only dataflow can compute. */
export function asData(steps: Steps): Steps {
  if (collectArgs(steps).length === 0) return steps;
  let form = dataForms.get(steps);
  if (form === undefined) {
    form = mapArgs(steps, dataArg);
    dataForms.set(steps, form);
  }
  return form;
}

function dataArg(arg: ArgNode): ArgNode {
  if (arg.kind === "expr") throw new RamaError("BAD_PATH", "expressions can be computed in module code only");
  return arg.kind === "var" ? { kind: "const", value: arg.name } : arg;
}
