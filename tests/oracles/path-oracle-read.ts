// Reading in the oracle of paths: every navigator as the list of places that it reaches.
import { transform } from "./path-oracle.ts";
import { compareValues, valuesEqual } from "../../src/base/compare.ts";
import { RamaError } from "../../src/base/errors.ts";
import { type Navigator, VOID } from "../../src/paths/navigator.ts";
import type { Step, Steps } from "../../src/paths/spec.ts";
import {
  type Emit,
  type Entry,
  constantOf,
  call,
  truthy,
  entriesOf,
  elementsOf,
  isMapLike,
  lookup,
} from "./path-oracle-data.ts";
import { part } from "./path-oracle-parts.ts";

export function interpretSelect(steps: Steps, root: unknown): unknown[] {
  const found: unknown[] = [];
  select(steps, root, [], (value, collected) => found.push(collected.length > 0 ? [...collected, value] : value));
  return found;
}

export function select(steps: Steps, value: unknown, collected: readonly unknown[], emit: Emit): void {
  const [step, ...rest] = steps;
  if (step === undefined) return emit(value, collected);
  const go = (next: unknown, list = collected) => select(rest, next, list, emit);
  for (const [next, list] of placesOf(step, value, collected)) go(next, list);
}

export function everywhere(
  steps: Steps,
  value: unknown,
  collected: readonly unknown[] = [],
): [unknown, readonly unknown[]][] {
  const found: [unknown, readonly unknown[]][] = [];
  select(steps, value, collected, (each, list) => found.push([each, list]));
  return found;
}

/** Conditions see what has been collected on the way to them. */
export const anywhere = (steps: Steps, value: unknown, collected: readonly unknown[]) =>
  everywhere(steps, value, collected).length > 0;
export const listOf = (steps: Steps, value: unknown) => interpretSelect(steps, value);

export function placesOf(step: Step, value: unknown, collected: readonly unknown[]): [unknown, readonly unknown[]][] {
  const { nav, paths } = step;
  switch (nav) {
    case "multiPath":
      return paths.flatMap((path) => everywhere(path, value, collected));
    case "continueThenStay":
      return [...everywhere(paths[0]!, value, collected), [value, collected]];
    case "ifPath":
      return everywhere(anywhere(paths[0]!, value, collected) ? paths[1]! : paths[2]!, value, collected);
    case "condPath": {
      const at = paths.findIndex((path, i) => i % 2 === 0 && anywhere(path, value, collected));
      return at < 0 ? [] : everywhere(paths[at + 1]!, value, collected);
    }
    case "withPageSize":
      return everywhere(paths[0]!, value, collected);
    case "collect":
    case "collectOne":
    case "putCollected":
    case "dispenseCollected":
      return [[value, collect(step, value, collected)]];
    case "isCollected":
      return truthy(call(constantOf(step.args[0]), [collected])) ? [[value, collected]] : [];
    default:
      return valuesOf(step, value, collected).map((each) => [each, collected]);
  }
}

export function collect({ nav, args, paths }: Step, value: unknown, collected: readonly unknown[]): readonly unknown[] {
  if (nav === "dispenseCollected") return [];
  if (nav === "putCollected") return [...collected, constantOf(args[0])];
  const found = listOf(paths[0]!, value);
  if (nav === "collect") return [...collected, found];
  if (found.length !== 1) throw new RamaError("NOT_EXACTLY_ONE", "collectOne");
  return [...collected, found[0]];
}

export function valuesOf(step: Step, value: unknown, collected: readonly unknown[]): unknown[] {
  const { nav, args } = step;
  const first = () => constantOf(args[0]);
  switch (nav) {
    case "key":
      return [lookup(value, first())?.found ?? null];
    case "must": {
      const found = lookup(value, first());
      return found === undefined ? [] : [found.found];
    }
    case "all":
      return elementsOf(value);
    case "mapVals":
      return entriesOf(value).map(([, element]) => element);
    case "mapKeys":
      return entriesOf(value).map(([key]) => key);
    case "indexedVals":
      return elementsOf(value).map((element, i) => [i, element]);
    case "customNav":
      return [...(first() as Navigator).select(value)];
    default:
      return isFilter(step, value, collected) ?? view(step, value) ?? part(step, value)?.values ?? single(step, value);
  }
}

/** Stays or not; undefined for navigators that are no filters. */
export function isFilter(
  { nav, args, paths }: Step,
  value: unknown,
  collected: readonly unknown[],
): unknown[] | undefined {
  const kept = (holds: boolean) => (holds ? [value] : []);
  const order = () => compareValues(value, constantOf(args[0]));
  switch (nav) {
    case "stay":
      return [value];
    case "stop":
      return [];
    case "filterPred":
      return kept(truthy(call(constantOf(args[0]), [value])));
    case "filterEqual":
      return kept(valuesEqual(value, constantOf(args[0])));
    case "filterNotEqual":
      return kept(!valuesEqual(value, constantOf(args[0])));
    case "filterLessThan":
      return kept(order() < 0);
    case "filterLessThanOrEqual":
      return kept(order() <= 0);
    case "filterGreaterThan":
      return kept(order() > 0);
    case "filterGreaterThanOrEqual":
      return kept(order() >= 0);
    case "filterSelected":
      return kept(anywhere(paths[0]!, value, collected));
    case "filterNotSelected":
      return kept(!anywhere(paths[0]!, value, collected));
    default:
      return undefined;
  }
}

export function view({ nav, args, paths }: Step, value: unknown): unknown[] | undefined {
  switch (nav) {
    case "nullToVal":
      return [value === null ? constantOf(args[0]) : value];
    case "nullToList":
      return [value === null ? [] : value];
    case "nullToSet":
      return [value === null ? new Set() : value];
    case "view":
      return [call(constantOf(args[0]), [value, ...args.slice(1).map(constantOf)])];
    case "contains":
      return [lookup(Array.isArray(value) ? new Set(value) : value, constantOf(args[0])) !== undefined];
    case "transformed": {
      const changed = transform(paths[0]!, value, [], () => VOID);
      return [changed === VOID ? null : changed];
    }
    default:
      return undefined;
  }
}

/** Places that exist or not: as index or key into the collection. */
export function place({ nav, args }: Step, value: unknown): unknown[] {
  const elements = elementsOf(value);
  const byKey = [...elements].sort((a, b) => compareValues(keyOf(value, a), keyOf(value, b)));
  const index = constantOf(args[0]);
  switch (nav) {
    case "nth":
      if (!(index in elements)) throw new RamaError("INDEX_OUT_OF_RANGE", "nth");
      return [index];
    case "index":
      return index in elements ? [index] : [];
    case "first":
      return elements.length === 0 ? [] : [Array.isArray(value) ? 0 : keyOf(value, byKey[0])];
    case "last":
      return elements.length === 0
        ? []
        : [Array.isArray(value) ? elements.length - 1 : keyOf(value, byKey[byKey.length - 1])];
    default:
      return lookup(value, index) === undefined ? [] : [index];
  }
}

export const keyOf = (value: unknown, element: unknown) => (isMapLike(value) ? (element as Entry)[0] : element);

export function single(step: Step, value: unknown): unknown[] {
  return place(step, value).map((at) => {
    if (step.nav === "index" || step.nav === "mapKey" || step.nav === "setElem") return at;
    const { found } = lookup(value, at)!;
    return (step.nav === "first" || step.nav === "last") && isMapLike(value) ? [at, found] : found;
  });
}
