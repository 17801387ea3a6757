// The slow and obvious evaluation of paths over plain data: the oracle that compiled paths are tested against (tests/property/paths.test.ts). It knows
// nothing of indexed structures and takes constants only. Every navigator is told in terms of plain lists, Maps and Sets.
import { compareValues, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { type ArgNode, isOp } from "./arg.ts";
import { type Navigator, VOID } from "./navigator.ts";
import type { Step, Steps } from "./spec.ts";

type Emit = (value: unknown, collected: readonly unknown[]) => void;
type Change = (value: unknown, collected: readonly unknown[]) => unknown;
type Entry = [unknown, unknown];

export function interpretSelect(steps: Steps, root: unknown): unknown[] {
  const found: unknown[] = [];
  select(steps, root, [], (value, collected) => found.push(collected.length > 0 ? [...collected, value] : value));
  return found;
}

export function interpretTransform(steps: Steps, root: unknown): unknown {
  const result = transform(steps, root, [], () => {
    throw new RamaError("NO_TERMINAL", "a route ends in no terminal");
  });
  if (result === VOID) throw new RamaError("VOID_AT_ROOT", "the root is removed");
  return result;
}

function constantOf(arg: ArgNode | undefined): any {
  return arg === undefined ? undefined : (arg as { value: unknown }).value;
}

function call(fn: unknown, args: readonly unknown[]): unknown {
  const result = isOp(fn) ? fn.fn(...args) : (fn as (...args: unknown[]) => unknown)(...args);
  return result === undefined ? null : result;
}

const truthy = (value: unknown) => value !== null && value !== false && value !== undefined;

function entriesOf(value: unknown): Entry[] {
  if (value === null) return [];
  return value instanceof Map ? [...value] : Object.entries(value as object);
}

function elementsOf(value: unknown): unknown[] {
  if (value === null) return [];
  if (Array.isArray(value)) return value;
  return value instanceof Set ? [...value] : entriesOf(value);
}

const isMapLike = (value: unknown) => value instanceof Map || isPlainObject(value);

function fromEntries(like: unknown, entries: readonly Entry[]): unknown {
  const unique: Entry[] = [];
  for (const [key, value] of entries) {
    const at = unique.findIndex(([other]) => valuesEqual(other, key));
    if (at < 0) unique.push([key, value]);
    else unique[at] = [unique[at]![0], value];
  }
  return isPlainObject(like) ? Object.fromEntries(unique as [string, unknown][]) : new Map(unique);
}

function fromElements(elements: readonly unknown[]): Set<unknown> {
  return new Set(elements.filter((element, i) => elements.findIndex((other) => valuesEqual(other, element)) === i));
}

function lookup(value: unknown, key: unknown): { found: unknown } | undefined {
  if (value === null) return undefined;
  if (Array.isArray(value))
    return Number.isInteger(key) && (key as number) in value ? { found: value[key as number] } : undefined;
  const entry = (value instanceof Set ? [...value].map((e): Entry => [e, e]) : entriesOf(value)).find(([k]) =>
    valuesEqual(k, key),
  );
  return entry === undefined ? undefined : { found: entry[1] };
}

/** `next` undefined removes. */
function replaced(value: unknown, key: unknown, next: unknown): unknown {
  if (Array.isArray(value)) {
    const at = Number.isInteger(key) ? (key as number) : Number.POSITIVE_INFINITY;
    if (next !== VOID && (at > value.length || at < 0)) throw new RamaError("INDEX_OUT_OF_RANGE", "beyond the end");
    if (next === VOID && (at >= value.length || at < 0)) return value;
    return [...value.slice(0, at), ...(next === VOID ? [] : [next]), ...value.slice(at + 1)];
  }
  if (next === VOID) {
    return value === null
      ? null
      : fromEntries(
          value,
          entriesOf(value).filter(([k]) => !valuesEqual(k, key)),
        );
  }
  return fromEntries(value, [...entriesOf(value), [key, next]]);
}

// ---- reading

function select(steps: Steps, value: unknown, collected: readonly unknown[], emit: Emit): void {
  const [step, ...rest] = steps;
  if (step === undefined) return emit(value, collected);
  const go = (next: unknown, list = collected) => select(rest, next, list, emit);
  for (const [next, list] of placesOf(step, value, collected)) go(next, list);
}

function everywhere(steps: Steps, value: unknown, collected: readonly unknown[] = []): [unknown, readonly unknown[]][] {
  const found: [unknown, readonly unknown[]][] = [];
  select(steps, value, collected, (each, list) => found.push([each, list]));
  return found;
}

/** Conditions see what has been collected on the way to them. */
const anywhere = (steps: Steps, value: unknown, collected: readonly unknown[]) =>
  everywhere(steps, value, collected).length > 0;
const listOf = (steps: Steps, value: unknown) => interpretSelect(steps, value);

function placesOf(step: Step, value: unknown, collected: readonly unknown[]): [unknown, readonly unknown[]][] {
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

function collect({ nav, args, paths }: Step, value: unknown, collected: readonly unknown[]): readonly unknown[] {
  if (nav === "dispenseCollected") return [];
  if (nav === "putCollected") return [...collected, constantOf(args[0])];
  const found = listOf(paths[0]!, value);
  if (nav === "collect") return [...collected, found];
  if (found.length !== 1) throw new RamaError("NOT_EXACTLY_ONE", "collectOne");
  return [...collected, found[0]];
}

function valuesOf(step: Step, value: unknown, collected: readonly unknown[]): unknown[] {
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
function isFilter({ nav, args, paths }: Step, value: unknown, collected: readonly unknown[]): unknown[] | undefined {
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

function view({ nav, args, paths }: Step, value: unknown): unknown[] | undefined {
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
function place({ nav, args }: Step, value: unknown): unknown[] {
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

const keyOf = (value: unknown, element: unknown) => (isMapLike(value) ? (element as Entry)[0] : element);

function single(step: Step, value: unknown): unknown[] {
  return place(step, value).map((at) => {
    if (step.nav === "index" || step.nav === "mapKey" || step.nav === "setElem") return at;
    const { found } = lookup(value, at)!;
    return (step.nav === "first" || step.nav === "last") && isMapLike(value) ? [at, found] : found;
  });
}

// ---- parts: one collection value, and how a replacement goes back

interface Part {
  readonly values: [unknown];
  back(next: unknown): unknown;
}

function part(step: Step, value: unknown): Part | undefined {
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

const listIn = (next: unknown): unknown[] => (next === VOID ? [] : elementsOf(next));

function sublist(value: unknown, from: number, to: number): Part {
  const list = elementsOf(value);
  if (from < 0 || to > list.length || from > to) throw new RamaError("INDEX_OUT_OF_RANGE", "sublist");
  const back = (next: unknown) => {
    const result = [...list.slice(0, from), ...listIn(next), ...list.slice(to)];
    return value === null && result.length === 0 ? null : result;
  };
  return { values: [list.slice(from, to)], back };
}

function entriesPart(value: unknown, chosen: readonly Entry[], like: unknown): Part {
  const back = (next: unknown) => {
    const added = listIn(next) as Entry[];
    if (value === null && added.length === 0) return null;
    const others = entriesOf(value).filter(([key]) => !chosen.some(([k]) => valuesEqual(k, key)));
    return fromEntries(value, [...others, ...added]);
  };
  return { values: [fromEntries(like, chosen)], back };
}

function elementsPart(value: unknown, chosen: readonly unknown[]): Part {
  const back = (next: unknown) => {
    const others = elementsOf(value).filter((element) => !chosen.some((each) => valuesEqual(each, element)));
    return fromElements([...others, ...listIn(next)]);
  };
  return { values: [fromElements(chosen)], back };
}

function inRange<T>({ range, args }: Step, list: readonly T[], keyOf: (element: T) => unknown): T[] {
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

function distribute(path: Steps, value: unknown, next: unknown): unknown {
  const replacement = [...listIn(next)];
  return transform(path, value, [], () => (replacement.length === 0 ? VOID : replacement.shift()));
}

// ---- changing

function transform(steps: Steps, value: unknown, collected: readonly unknown[], end: Change): unknown {
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
