// Substructure navigators in the oracle of paths: one collection value, and how a replacement of it goes back.
import { distribute } from "./path-oracle.ts";
import { compareValues, valuesEqual } from "../../src/base/compare.ts";
import { RamaError } from "../../src/base/errors.ts";
import { isPlainObject } from "../../src/base/values.ts";
import { VOID } from "../../src/paths/navigator.ts";
import type { Step, Steps } from "../../src/paths/spec.ts";
import {
  type Entry,
  constantOf,
  call,
  entriesOf,
  elementsOf,
  fromEntries,
  fromElements,
  lookup,
} from "./path-oracle-data.ts";
import { listOf } from "./path-oracle-read.ts";

export interface Part {
  readonly values: [unknown];
  back(next: unknown): unknown;
}

export function part(step: Step, value: unknown): Part | undefined {
  const { nav, args, paths } = step;
  switch (nav) {
    case "beginning":
      return sublist(value, 0, 0);
    case "end":
      return sublist(value, elementsOf(value).length, elementsOf(value).length);
    case "sublist":
      return sublist(value, constantOf(args[0]), constantOf(args[1]));
    case "sublistDynamic": {
      const from = call(constantOf(args[0]), [elementsOf(value)]);
      return sublist(value, from as number, call(constantOf(args[1]), [elementsOf(value), from]) as number);
    }
    case "subMap":
    case "subMapOf": {
      const keys: unknown[] = nav === "subMap" ? args.map(constantOf) : elementsOf(constantOf(args[0]));
      const chosen = keys.flatMap((key): Entry[] =>
        entriesOf(value)
          .filter(([k]) => valuesEqual(k, key))
          .slice(0, 1),
      );
      return entriesPart(value, chosen, isPlainObject(value) ? value : new Map());
    }
    case "subSet":
    case "subSetOf": {
      const wanted: unknown[] = nav === "subSet" ? args.map(constantOf) : elementsOf(constantOf(args[0]));
      return elementsPart(
        value,
        wanted.filter((element) => lookup(value, element) !== undefined),
      );
    }
    case "mapRange":
      return entriesPart(
        value,
        inRange(step, entriesOf(value), (entry) => entry[0]),
        new Map(),
      );
    case "setRange":
      return elementsPart(
        value,
        inRange(step, elementsOf(value), (element) => element),
      );
    case "subselect":
      return { values: [listOf(paths[0]!, value)], back: (next) => distribute(paths[0]!, value, next) };
    case "filteredList": {
      const path: Steps = [
        { nav: "all", args: [], paths: [] },
        { nav: "filterSelected", args: [], paths },
      ];
      return { values: [listOf(path, value)], back: (next) => distribute(path, value, next) };
    }
    default:
      return undefined;
  }
}

export const listIn = (next: unknown): unknown[] => (next === VOID ? [] : elementsOf(next));

export function sublist(value: unknown, from: number, to: number): Part {
  const list = elementsOf(value);
  if (from < 0 || to > list.length || from > to) throw new RamaError("INDEX_OUT_OF_RANGE", "sublist");
  const back = (next: unknown) => {
    const result = [...list.slice(0, from), ...listIn(next), ...list.slice(to)];
    return value === null && result.length === 0 ? null : result;
  };
  return { values: [list.slice(from, to)], back };
}

export function entriesPart(value: unknown, chosen: readonly Entry[], like: unknown): Part {
  const back = (next: unknown) => {
    const added = listIn(next) as Entry[];
    if (value === null && added.length === 0) return null;
    const others = entriesOf(value).filter(([key]) => !chosen.some(([k]) => valuesEqual(k, key)));
    return fromEntries(value, [...others, ...added]);
  };
  return { values: [fromEntries(like, chosen)], back };
}

export function elementsPart(value: unknown, chosen: readonly unknown[]): Part {
  const back = (next: unknown) => {
    const others = elementsOf(value).filter((element) => !chosen.some((each) => valuesEqual(each, element)));
    return fromElements([...others, ...listIn(next)]);
  };
  return { values: [fromElements(chosen)], back };
}

export function inRange<T>({ range, args }: Step, list: readonly T[], keyOf: (element: T) => unknown): T[] {
  const bounds = args.map(constantOf);
  const from = range!.hasFrom ? bounds.shift() : undefined;
  const to = range!.hasTo ? bounds.shift() : undefined;
  const inside = list
    .filter((element) => {
      const low = range!.hasFrom ? compareValues(keyOf(element), from) : 1;
      const high = range!.hasTo ? compareValues(keyOf(element), to) : -1;
      return (low > 0 || (low === 0 && !range!.fromExclusive)) && (high < 0 || (high === 0 && range!.toInclusive));
    })
    .sort((a, b) => compareValues(keyOf(a), keyOf(b)));
  if (!range!.hasLimit) return inside;
  const limit = Number(bounds[0]);
  return range!.reverse ? inside.slice(Math.max(0, inside.length - limit)) : inside.slice(0, limit);
}
