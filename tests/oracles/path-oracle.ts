// The slow and obvious evaluation of paths over plain data: the oracle that compiled paths are tested against (tests/property/paths.test.ts). It knows
// nothing of indexed structures and takes constants only. Every navigator is told in terms of plain lists, Maps and Sets. Reading is in `path-oracle-read.ts`.
import { valuesEqual } from "../../src/base/compare.ts";
import { RamaError } from "../../src/base/errors.ts";
import { type Navigator, VOID } from "../../src/paths/navigator.ts";
import type { Step, Steps } from "../../src/paths/spec.ts";
import {
  type Change,
  type Entry,
  constantOf,
  call,
  truthy,
  entriesOf,
  elementsOf,
  fromEntries,
  fromElements,
  lookup,
  replaced,
} from "./path-oracle-data.ts";
import { anywhere, collect, isFilter, view, place } from "./path-oracle-read.ts";
import { part, listIn } from "./path-oracle-parts.ts";

export function interpretTransform(steps: Steps, root: unknown): unknown {
  const result = transform(steps, root, [], () => {
    throw new RamaError("NO_TERMINAL", "a route ends in no terminal");
  });
  if (result === VOID) throw new RamaError("VOID_AT_ROOT", "the root is removed");
  return result;
}

export function distribute(path: Steps, value: unknown, next: unknown): unknown {
  const replacement = [...listIn(next)];
  return transform(path, value, [], () => (replacement.length === 0 ? VOID : replacement.shift()));
}

export function transform(steps: Steps, value: unknown, collected: readonly unknown[], end: Change): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return end(value, collected);
  const { nav, args, paths } = step;
  const plain = value === VOID ? null : value;
  const go: Change = (next, list) => transform(rest, next, list, end);
  const next = (place: unknown) => go(place, collected);
  switch (nav) {
    case "termVal":
      return constantOf(args[0]);
    case "termVoid":
      return VOID;
    case "term":
      return call(constantOf(args[0]), [...collected, plain, ...args.slice(1).map(constantOf)]);
    case "termFields":
      return step.names!.reduce((fields, name, i) => replaced(fields ?? {}, name, constantOf(args[i])), plain);
    case "multiPath":
      return inTurn(
        value,
        paths.map((path) => (each) => transform(path, each, collected, go)),
      );
    case "continueThenStay":
      return inTurn(value, [(each) => transform(paths[0]!, each, collected, go), next]);
    case "ifPath":
      return transform(anywhere(paths[0]!, plain, collected) ? paths[1]! : paths[2]!, value, collected, go);
    case "condPath": {
      const at = paths.findIndex((path, i) => i % 2 === 0 && anywhere(path, plain, collected));
      return at < 0 ? value : transform(paths[at + 1]!, value, collected, go);
    }
    case "withPageSize":
      return transform(paths[0]!, value, collected, go);
    case "collect":
    case "collectOne":
    case "putCollected":
    case "dispenseCollected":
      return go(value, collect(step, plain, collected));
    case "isCollected":
      return truthy(call(constantOf(args[0]), [collected])) ? next(value) : value;
    default:
      break;
  }
  const filtered = isFilter(step, plain, collected);
  if (filtered !== undefined) return filtered.length > 0 ? next(value) : value;
  const viewed = view(step, plain);
  return viewed !== undefined ? next(viewed[0]) : transformPlaces(step, plain, next);
}

function inTurn(value: unknown, changes: readonly ((value: unknown) => unknown)[]): unknown {
  let current = value;
  for (const change of changes) {
    if (current === VOID && value !== VOID) return VOID;
    current = change(current);
  }
  return current;
}

function transformPlaces(step: Step, value: unknown, next: (place: unknown) => unknown): unknown {
  const { nav, args } = step;
  const key = constantOf(args[0] ?? { kind: "const", value: null });
  switch (nav) {
    case "key": {
      const before = lookup(value, key)?.found ?? null;
      const after = next(before);
      return after === before ? value : replaced(value, key, after);
    }
    case "must":
    case "nth":
      return place(step, value).reduce((current, at) => {
        const before = lookup(value, at)!.found;
        const after = next(before);
        return after === before ? current : replaced(current, at, after);
      }, value);
    case "first":
    case "last":
      return place(step, value).reduce((_, at) => oneElement(value, at, next), value);
    case "all":
      return allElements(value, next);
    case "mapVals":
      return value === null
        ? null
        : fromEntries(
            value,
            changedEntries(value, ([k, v]) => pairOf(k, next(v))),
          );
    case "mapKeys":
      return value === null
        ? null
        : fromEntries(
            value,
            changedEntries(value, ([k, v]) => firstOf(next(k), v)),
          );
    case "mapKey":
      return renamed(value, key, next);
    case "setElem":
      return place(step, value).length === 0 ? value : oneElement(value, key, next);
    case "voidSetElem": {
      const added = next(VOID);
      return added === VOID ? value : fromElements([...elementsOf(value), added]);
    }
    case "afterElem":
      return inserted(value, elementsOf(value).length, next);
    case "beforeElem":
      return inserted(value, 0, next);
    case "beforeIndex":
      return inserted(value, key, next);
    case "customNav":
      return (key as Navigator).transform(value, next);
    default:
      return movedOrPart(step, value, next);
  }
}

function movedOrPart(step: Step, value: unknown, next: (place: unknown) => unknown): unknown {
  const list = elementsOf(value);
  if (step.nav === "index") {
    return place(step, value).reduce((_, at) => moved(list, Number(at), [next(at), list[Number(at)]]), value);
  }
  if (step.nav !== "indexedVals") {
    const found = part(step, value)!;
    return found.back(next(found.values[0]));
  }
  // Each original element in turn, wherever it stands by then.
  let current: { element: unknown }[] = list.map((element) => ({ element }));
  for (const box of [...current]) {
    const at = current.indexOf(box);
    const after = next([at, box.element]);
    if (after !== VOID) box.element = (after as Entry)[1];
    current = moved(current, at, after === VOID ? VOID : [(after as Entry)[0], box]) as { element: unknown }[];
  }
  return value === null ? null : current.map(({ element }) => element);
}

/** `pair`: new index and element, or VOID. */
function moved(list: readonly unknown[], at: number, pair: unknown): unknown[] {
  const others = [...list.slice(0, at), ...list.slice(at + 1)];
  if (pair === VOID || (pair as Entry)[0] === VOID) return others;
  const [to, element] = pair as [number, unknown];
  if (!(to in list)) throw new RamaError("INDEX_OUT_OF_RANGE", "moved beyond the list");
  return [...others.slice(0, to), element, ...others.slice(to)];
}

const pairOf = (key: unknown, value: unknown) => (value === VOID ? VOID : ([key, value] as Entry));
const firstOf = (key: unknown, value: unknown) => (key === VOID ? VOID : ([key, value] as Entry));

function changedEntries(value: unknown, change: (entry: Entry) => unknown): Entry[] {
  return entriesOf(value)
    .map(change)
    .filter((each) => each !== VOID) as Entry[];
}

function allElements(value: unknown, next: (place: unknown) => unknown): unknown {
  if (value === null) return null;
  const results = elementsOf(value)
    .map(next)
    .filter((each) => each !== VOID);
  if (Array.isArray(value)) return results;
  return value instanceof Set ? fromElements(results) : fromEntries(value, results as Entry[]);
}

function oneElement(value: unknown, at: unknown, next: (place: unknown) => unknown): unknown {
  if (Array.isArray(value)) return replaced(value, at, next(value[Number(at)]));
  if (value instanceof Set) {
    const after = next(at);
    const others = [...value].filter((element) => !valuesEqual(element, at));
    return fromElements(after === VOID ? others : [...others, after]);
  }
  const after = next([at, lookup(value, at)!.found]);
  const others = entriesOf(value).filter(([key]) => !valuesEqual(key, at));
  return fromEntries(value, after === VOID ? others : [...others, after as Entry]);
}

function renamed(value: unknown, key: unknown, next: (place: unknown) => unknown): unknown {
  const found = lookup(value, key);
  if (found === undefined) return value;
  const after = next(key);
  const others = entriesOf(value).filter(([k]) => !valuesEqual(k, key));
  return fromEntries(value, after === VOID ? others : [...others, [after, found.found]]);
}

function inserted(value: unknown, at: number, next: (place: unknown) => unknown): unknown {
  const list = elementsOf(value);
  if (at < 0 || at > list.length) throw new RamaError("INDEX_OUT_OF_RANGE", "inserted beyond the list");
  const added = next(VOID);
  return added === VOID ? value : [...list.slice(0, at), added, ...list.slice(at)];
}
