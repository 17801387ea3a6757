// The navigators, each of which makes a path longer. `Path` (path.ts) adds the starters.
import { RamaError } from "../base/errors.ts";
import { type Arg, type ArgNode, type Callable, toArg, toFunctionArg, type ValueVar } from "./arg.ts";
import type { Navigator } from "./navigator.ts";
import type { Path } from "./path.ts";
import {
  readRangeOptions,
  type SortedRangeFromLiteral,
  type SortedRangeFromOptions,
  type SortedRangeLiteral,
  type SortedRangeOptions,
  type SortedRangeToLiteral,
  type SortedRangeToOptions,
} from "./range-options.ts";
import { type Step, type StepName, type Steps, step } from "./spec.ts";

const noSteps: Steps = Object.freeze([]);
const stopSteps: Steps = Object.freeze([step("stop")]);

export abstract class PathChain {
  /** The steps, never changed; see `spec.ts`. */
  readonly steps: Steps;

  constructor(steps: Steps = noSteps) {
    this.steps = steps;
  }

  protected abstract grown(steps: Steps): Path;

  /** This path, followed by another. */
  append(path: Path): Path {
    return this.grown([...this.steps, ...stepsOf(path)]);
  }

  /** The value at each key in turn: of a Map, of a plain object by field, of a list by index; null when absent. A transform creates missing levels. */
  key(...keys: Arg[]): Path {
    return this.#each("key", keys);
  }

  /** Like `key`, but only where the key is present. */
  must(...keys: Arg[]): Path {
    return this.#each("must", keys);
  }

  /** The element at the index. INDEX_OUT_OF_RANGE when there is none. */
  nth(...indexes: Arg[]): Path {
    return this.#each("nth", indexes);
  }

  /** The first element of a list, or the least of a set or a sorted map (as `[key, value]`); nowhere when empty. */
  first(): Path {
    return this.#add(step("first"));
  }

  /** The last element of a list, or the greatest of a set or a sorted map (as `[key, value]`); nowhere when empty. */
  last(): Path {
    return this.#add(step("last"));
  }

  /** Every element of a list or set, every entry of a map as `[key, value]`. */
  all(): Path {
    return this.#add(step("all"));
  }

  /** Every value of a map. */
  mapVals(): Path {
    return this.#add(step("mapVals"));
  }

  /** Every key of a map; a transform renames them, VOID removes the entry. */
  mapKeys(): Path {
    return this.#add(step("mapKeys"));
  }

  /** The key itself if it is present; a transform renames it and keeps its value. */
  mapKey(key: Arg): Path {
    return this.#add(step("mapKey", [toArg(key)]));
  }

  /** The element of a set if it is present. */
  setElem(element: Arg): Path {
    return this.#add(step("setElem", [toArg(element)]));
  }

  /** `[index, element]` of every element of a list; a transform moves and replaces. */
  indexedVals(): Path {
    return this.#add(step("indexedVals"));
  }

  /** The index itself if it is valid; a transform moves the element to the new index. */
  index(index: Arg): Path {
    return this.#add(step("index", [toArg(index)]));
  }

  /** The place after the last element of a list. Transform only, like the next three. */
  afterElem(): Path {
    return this.#add(step("afterElem"));
  }

  /** The place before the first element of a list. */
  beforeElem(): Path {
    return this.#add(step("beforeElem"));
  }

  /** The place before the element at the index. */
  beforeIndex(index: Arg): Path {
    return this.#add(step("beforeIndex", [toArg(index)]));
  }

  /** A new element of a set. */
  voidSetElem(): Path {
    return this.#add(step("voidSetElem"));
  }

  /** The empty sublist at the start. */
  beginning(): Path {
    return this.#add(step("beginning"));
  }

  /** The empty sublist at the end: `end().termVal(list)` appends many. */
  end(): Path {
    return this.#add(step("end"));
  }

  /** Elements [from, to) as one list; a replacement may have another length. */
  sublist(from: Arg, to: Arg): Path {
    return this.#add(step("sublist", [toArg(from), toArg(to)]));
  }

  /** Like `sublist`, with bounds from functions: `from(list)`, `to(list, from)`. */
  sublistDynamic(from: Arg, to: Arg): Path {
    return this.#add(
      step("sublistDynamic", [toFunctionArg(from, "sublistDynamic"), toFunctionArg(to, "sublistDynamic")]),
    );
  }

  /** The list of elements that the path navigates anywhere from; a replacement goes back to their places. */
  filteredList(path: Path): Path {
    return this.#add(step("filteredList", [], [stepsOf(path)]));
  }

  /** The entries with these keys that exist, as one map. */
  subMap(...keys: Arg[]): Path {
    return this.#add(step("subMap", keys.map(toArg)));
  }

  /** The entries whose keys are in the collection, as one map. */
  subMapOf(keys: Arg): Path {
    return this.#add(step("subMapOf", [toArg(keys)]));
  }

  /** Those of the elements that exist, as one set. */
  subSet(...elements: Arg[]): Path {
    return this.#add(step("subSet", elements.map(toArg)));
  }

  /** Those elements of the collection that exist, as one set. */
  subSetOf(elements: Arg): Path {
    return this.#add(step("subSetOf", [toArg(elements)]));
  }

  /** The entries from `from` (inclusive) to `to` (exclusive) in key order. Reads only these from an indexed structure. */
  sortedMapRange(from: Arg, to: Arg, options?: SortedRangeOptions | SortedRangeLiteral): Path {
    return this.#range("mapRange", "sortedMapRange", { from, to, options }, ["excludeStart", "includeEnd"]);
  }

  /** The entries from `from` on, at most as many as the limit: `sortedMapRangeFrom(5, 20)` or options. */
  sortedMapRangeFrom(from: Arg, options?: Arg | SortedRangeFromOptions | SortedRangeFromLiteral): Path {
    return this.#range("mapRange", "sortedMapRangeFrom", { from, options }, ["excludeStart", "maxAmt"]);
  }

  /** The entries below `to`; with a limit those nearest to it, ascending. */
  sortedMapRangeTo(to: Arg, options?: Arg | SortedRangeToOptions | SortedRangeToLiteral): Path {
    return this.#range("mapRange", "sortedMapRangeTo", { to, options, reverse: true }, ["includeEnd", "maxAmt"]);
  }

  /** The first entries. */
  sortedMapRangeFromStart(amount: Arg): Path {
    return this.#range("mapRange", "sortedMapRangeFromStart", { options: { maxAmt: amount } }, ["maxAmt"]);
  }

  /** The last entries, ascending. */
  sortedMapRangeToEnd(amount: Arg): Path {
    return this.#range("mapRange", "sortedMapRangeToEnd", { options: { maxAmt: amount }, reverse: true }, ["maxAmt"]);
  }

  /** The elements from `from` (inclusive) to `to` (exclusive) in key order. Reads only these from an indexed structure. */
  sortedSetRange(from: Arg, to: Arg, options?: SortedRangeOptions | SortedRangeLiteral): Path {
    return this.#range("setRange", "sortedSetRange", { from, to, options }, ["excludeStart", "includeEnd"]);
  }

  /** The elements from `from` on, at most as many as the limit: `sortedSetRangeFrom(5, 20)` or options. */
  sortedSetRangeFrom(from: Arg, options?: Arg | SortedRangeFromOptions | SortedRangeFromLiteral): Path {
    return this.#range("setRange", "sortedSetRangeFrom", { from, options }, ["excludeStart", "maxAmt"]);
  }

  /** The elements below `to`; with a limit those nearest to it, ascending. */
  sortedSetRangeTo(to: Arg, options?: Arg | SortedRangeToOptions | SortedRangeToLiteral): Path {
    return this.#range("setRange", "sortedSetRangeTo", { to, options, reverse: true }, ["includeEnd", "maxAmt"]);
  }

  /** The first elements. */
  sortedSetRangeFromStart(amount: Arg): Path {
    return this.#range("setRange", "sortedSetRangeFromStart", { options: { maxAmt: amount } }, ["maxAmt"]);
  }

  /** The last elements, ascending. */
  sortedSetRangeToEnd(amount: Arg): Path {
    return this.#range("setRange", "sortedSetRangeToEnd", { options: { maxAmt: amount }, reverse: true }, ["maxAmt"]);
  }

  /** The list of everything the path navigates to; a replacement list goes back to the same places, what is missing in it is removed. */
  subselect(path: Path): Path {
    return this.#add(step("subselect", [], [stepsOf(path)]));
  }

  /** Stays where the function says neither false nor null. */
  filterPred(predicate: Callable | ValueVar): Path {
    return this.#add(step("filterPred", [toFunctionArg(predicate, "filterPred")]));
  }

  /** Stays where the value equals the argument by value. */
  filterEqual(value: Arg): Path {
    return this.#add(step("filterEqual", [toArg(value)]));
  }

  /** Stays where the value does not equal the argument. */
  filterNotEqual(value: Arg): Path {
    return this.#add(step("filterNotEqual", [toArg(value)]));
  }

  /** Stays where the value is less. */
  filterLessThan(value: Arg): Path {
    return this.#add(step("filterLessThan", [toArg(value)]));
  }

  /** Stays where the value is not greater. */
  filterLessThanOrEqual(value: Arg): Path {
    return this.#add(step("filterLessThanOrEqual", [toArg(value)]));
  }

  /** Stays where the value is greater. */
  filterGreaterThan(value: Arg): Path {
    return this.#add(step("filterGreaterThan", [toArg(value)]));
  }

  /** Stays where the value is not less. */
  filterGreaterThanOrEqual(value: Arg): Path {
    return this.#add(step("filterGreaterThanOrEqual", [toArg(value)]));
  }

  /** Stays where the path navigates anywhere. */
  filterSelected(path: Path): Path {
    return this.#add(step("filterSelected", [], [stepsOf(path)]));
  }

  /** Stays where the path navigates nowhere. */
  filterNotSelected(path: Path): Path {
    return this.#add(step("filterNotSelected", [], [stepsOf(path)]));
  }

  /** Stays where the function accepts the list of collected values. */
  isCollected(predicate: Callable | ValueVar): Path {
    return this.#add(step("isCollected", [toFunctionArg(predicate, "isCollected")]));
  }

  /** The argument where the value is null. */
  nullToVal(value: Arg): Path {
    return this.#add(step("nullToVal", [toArg(value)]));
  }

  /** An empty list where the value is null. */
  nullToList(): Path {
    return this.#add(step("nullToList"));
  }

  /** An empty set where the value is null. */
  nullToSet(): Path {
    return this.#add(step("nullToSet"));
  }

  /** The function's result: `view(Ops.SIZE)`, `view(Ops.GET, "a")`. */
  view(fn: Callable | ValueVar, ...extra: Arg[]): Path {
    return this.#call("view", fn, extra);
  }

  /** Whether a set, list or map (by key) holds the argument: true or false. */
  contains(element: Arg): Path {
    return this.#add(step("contains", [toArg(element)]));
  }

  /** The value as the transform path leaves it. */
  transformed(path: Path): Path {
    return this.#add(step("transformed", [], [stepsOf(path)]));
  }

  /** Here. */
  stay(): Path {
    return this.#add(step("stay"));
  }

  /** Nowhere. */
  stop(): Path {
    return this.#add(step("stop"));
  }

  /** Follows `then` if the condition navigates anywhere, `otherwise` (nowhere by default) if not. */
  ifPath(condition: Path, then: Path, otherwise?: Path): Path {
    return this.#add(
      step("ifPath", [], [stepsOf(condition), stepsOf(then), otherwise === undefined ? stopSteps : stepsOf(otherwise)]),
    );
  }

  /** Pairs of condition and path: follows the path of the first condition that navigates anywhere. */
  condPath(...paths: Path[]): Path {
    return this.#pairs(paths);
  }

  /** Follows each path from here in order; in a transform each sees what the one before left. */
  multiPath(...paths: Path[]): Path {
    return this.#add(step("multiPath", [], paths.map(stepsOf)));
  }

  /** Follows the path, then stays here. */
  continueThenStay(path: Path): Path {
    return this.#add(step("continueThenStay", [], [stepsOf(path)]));
  }

  /** Adds the one value of the path to the collected values. NOT_EXACTLY_ONE otherwise. */
  collectOne(path: Path): Path {
    return this.#add(step("collectOne", [], [stepsOf(path)]));
  }

  /** Adds the list of the path's values to the collected values. */
  collect(path: Path): Path {
    return this.#add(step("collect", [], [stepsOf(path)]));
  }

  /** Adds the argument to the collected values. */
  putCollected(value: Arg): Path {
    return this.#add(step("putCollected", [toArg(value)]));
  }

  /** Forgets the collected values. */
  dispenseCollected(): Path {
    return this.#add(step("dispenseCollected"));
  }

  /** The page size of yielding selects inside the path. */
  withPageSize(size: Arg, path: Path): Path {
    return this.#add(step("withPageSize", [toArg(size)], [stepsOf(path)]));
  }

  /** Follows a navigator made by `navigator({ select, transform })`. */
  customNav(nav: Navigator | ValueVar): Path {
    return this.#add(step("customNav", [toArg(nav)]));
  }

  /** Follows the navigator that the function makes of the arguments. */
  customNavBuilder(fn: Callable | ValueVar, ...args: Arg[]): Path {
    return this.#call("customNavBuilder", fn, args);
  }

  /** Ends a transform: replaces the value. */
  termVal(value: Arg): Path {
    return this.#add(step("termVal", [toArg(value)]));
  }

  /** Ends a transform: replaces the value by `fn(collected…, value, extra…)`. */
  term(fn: Callable | ValueVar, ...extra: Arg[]): Path {
    return this.#call("term", fn, extra);
  }

  /** Ends a transform: removes the value from what it stands in. */
  termVoid(): Path {
    return this.#add(step("termVoid"));
  }

  /** Ends a transform: sets these fields, keeping others; creates a plain object. */
  termFields(fields: Readonly<Record<string, Arg>>): Path {
    return this.#add(
      step("termFields", Object.values(fields).map(toArg), [], { names: Object.freeze(Object.keys(fields)) }),
    );
  }

  #add(next: Step): Path {
    return this.grown([...this.steps, next]);
  }

  #each(nav: StepName, args: readonly Arg[]): Path {
    if (args.length === 0) throw new RamaError("BAD_PATH", `${nav} needs an argument`, { nav });
    // One argument on an empty path, as in most reads of clients, is spared the copies.
    if (args.length === 1 && this.steps.length === 0) return this.grown([step(nav, [toArg(args[0])])]);
    return this.grown([...this.steps, ...args.map((arg) => step(nav, [toArg(arg)]))]);
  }

  #call(nav: StepName, fn: unknown, extra: readonly Arg[]): Path {
    if (extra.length > 7) throw new RamaError("BAD_PATH", `${nav} takes at most 7 extra arguments`, { nav });
    return this.#add(step(nav, [toFunctionArg(fn, nav), ...extra.map(toArg)]));
  }

  #pairs(paths: readonly Path[]): Path {
    if (paths.length % 2 !== 0) throw new RamaError("BAD_PATH", "condPath takes pairs of condition and path");
    return this.#add(step("condPath", [], paths.map(stepsOf)));
  }

  #range(nav: StepName, where: string, range: RangeParts, allowed: readonly string[]): Path {
    const { excludeStart, includeEnd, maxAmt } = readRangeOptions(range.options, where, allowed);
    const args: ArgNode[] = [];
    const hasFrom = range.from !== undefined;
    const hasTo = range.to !== undefined;
    if (hasFrom) args.push(toArg(range.from));
    if (hasTo) args.push(toArg(range.to));
    if (maxAmt !== undefined) args.push(maxAmt);
    const shape = {
      hasFrom,
      fromExclusive: excludeStart,
      hasTo,
      toInclusive: includeEnd,
      hasLimit: maxAmt !== undefined,
      reverse: range.reverse ?? false,
    };
    return this.#add(step(nav, args, [], { range: Object.freeze(shape) }));
  }
}

interface RangeParts {
  readonly from?: Arg;
  readonly to?: Arg;
  readonly options?: unknown;
  readonly reverse?: boolean;
}

/** The steps of a path; BAD_PATH for anything else. */
export function stepsOf(path: unknown): Steps {
  if (path instanceof PathChain) return path.steps;
  throw new RamaError("BAD_PATH", "a path is expected here: Path.key(…), Path.all(), …");
}
