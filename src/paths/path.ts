// The path builder. A path is an immutable list of navigators, evaluated left to right; every method returns a longer path and may start one
// (`Path.key("a").all()`). The same objects serve dataflow, where strings like "*x" are vars, and clients, where every string is data.
// Follows "Paths" of the Rama documentation.
import { RamaError } from "../base/errors.ts";
import type { Arg, Callable, ValueVar } from "./arg.ts";
import { PathChain, stepsOf } from "./path-chain.ts";
import { compileSelect, compileTransform } from "./compile.ts";
import type { Navigator } from "./navigator.ts";
import type {
  SortedRangeFromLiteral,
  SortedRangeFromOptions,
  SortedRangeLiteral,
  SortedRangeOptions,
  SortedRangeToLiteral,
  SortedRangeToOptions,
} from "./range-options.ts";
import { asData, type Steps } from "./spec.ts";

export class Path extends PathChain {
  protected override grown(steps: Steps): Path {
    return new Path(steps);
  }

  /** Everything the path navigates to in plain data, in order. */
  static select(path: Path, data: unknown): unknown[] {
    return compileSelect(asData(stepsOf(path)))(nullIfAbsent(data), []);
  }

  /** The one value that the path navigates to in plain data. NOT_EXACTLY_ONE when there is none or more. */
  static selectOne(path: Path, data: unknown): unknown {
    return exactlyOne(Path.select(path, data));
  }

  /** Plain data as the transform path leaves it: a copy of what changes, the rest shared. */
  static transform(path: Path, data: unknown): unknown {
    return compileTransform(asData(stepsOf(path)))(nullIfAbsent(data), []);
  }

  // The starters, one for each navigator of PathChain.
  static key(...keys: Arg[]): Path {
    return start.key(...keys);
  }
  static must(...keys: Arg[]): Path {
    return start.must(...keys);
  }
  static nth(...indexes: Arg[]): Path {
    return start.nth(...indexes);
  }
  static first(): Path {
    return start.first();
  }
  static last(): Path {
    return start.last();
  }
  static all(): Path {
    return start.all();
  }
  static mapVals(): Path {
    return start.mapVals();
  }
  static mapKeys(): Path {
    return start.mapKeys();
  }
  static mapKey(key: Arg): Path {
    return start.mapKey(key);
  }
  static setElem(element: Arg): Path {
    return start.setElem(element);
  }
  static indexedVals(): Path {
    return start.indexedVals();
  }
  static index(index: Arg): Path {
    return start.index(index);
  }
  static afterElem(): Path {
    return start.afterElem();
  }
  static beforeElem(): Path {
    return start.beforeElem();
  }
  static beforeIndex(index: Arg): Path {
    return start.beforeIndex(index);
  }
  static voidSetElem(): Path {
    return start.voidSetElem();
  }
  static beginning(): Path {
    return start.beginning();
  }
  static end(): Path {
    return start.end();
  }
  static sublist(from: Arg, to: Arg): Path {
    return start.sublist(from, to);
  }
  static sublistDynamic(from: Arg, to: Arg): Path {
    return start.sublistDynamic(from, to);
  }
  static filteredList(path: Path): Path {
    return start.filteredList(path);
  }
  static subMap(...keys: Arg[]): Path {
    return start.subMap(...keys);
  }
  static subMapOf(keys: Arg): Path {
    return start.subMapOf(keys);
  }
  static subSet(...elements: Arg[]): Path {
    return start.subSet(...elements);
  }
  static subSetOf(elements: Arg): Path {
    return start.subSetOf(elements);
  }
  static sortedMapRange(from: Arg, to: Arg, options?: SortedRangeOptions | SortedRangeLiteral): Path {
    return start.sortedMapRange(from, to, options);
  }
  static sortedMapRangeFrom(from: Arg, options?: Arg | SortedRangeFromOptions | SortedRangeFromLiteral): Path {
    return start.sortedMapRangeFrom(from, options);
  }
  static sortedMapRangeTo(to: Arg, options?: Arg | SortedRangeToOptions | SortedRangeToLiteral): Path {
    return start.sortedMapRangeTo(to, options);
  }
  static sortedMapRangeFromStart(amount: Arg): Path {
    return start.sortedMapRangeFromStart(amount);
  }
  static sortedMapRangeToEnd(amount: Arg): Path {
    return start.sortedMapRangeToEnd(amount);
  }
  static sortedSetRange(from: Arg, to: Arg, options?: SortedRangeOptions | SortedRangeLiteral): Path {
    return start.sortedSetRange(from, to, options);
  }
  static sortedSetRangeFrom(from: Arg, options?: Arg | SortedRangeFromOptions | SortedRangeFromLiteral): Path {
    return start.sortedSetRangeFrom(from, options);
  }
  static sortedSetRangeTo(to: Arg, options?: Arg | SortedRangeToOptions | SortedRangeToLiteral): Path {
    return start.sortedSetRangeTo(to, options);
  }
  static sortedSetRangeFromStart(amount: Arg): Path {
    return start.sortedSetRangeFromStart(amount);
  }
  static sortedSetRangeToEnd(amount: Arg): Path {
    return start.sortedSetRangeToEnd(amount);
  }
  static subselect(path: Path): Path {
    return start.subselect(path);
  }
  static filterPred(predicate: Callable | ValueVar): Path {
    return start.filterPred(predicate);
  }
  static filterEqual(value: Arg): Path {
    return start.filterEqual(value);
  }
  static filterNotEqual(value: Arg): Path {
    return start.filterNotEqual(value);
  }
  static filterLessThan(value: Arg): Path {
    return start.filterLessThan(value);
  }
  static filterLessThanOrEqual(value: Arg): Path {
    return start.filterLessThanOrEqual(value);
  }
  static filterGreaterThan(value: Arg): Path {
    return start.filterGreaterThan(value);
  }
  static filterGreaterThanOrEqual(value: Arg): Path {
    return start.filterGreaterThanOrEqual(value);
  }
  static filterSelected(path: Path): Path {
    return start.filterSelected(path);
  }
  static filterNotSelected(path: Path): Path {
    return start.filterNotSelected(path);
  }
  static isCollected(predicate: Callable | ValueVar): Path {
    return start.isCollected(predicate);
  }
  static nullToVal(value: Arg): Path {
    return start.nullToVal(value);
  }
  static nullToList(): Path {
    return start.nullToList();
  }
  static nullToSet(): Path {
    return start.nullToSet();
  }
  static view(fn: Callable | ValueVar, ...extra: Arg[]): Path {
    return start.view(fn, ...extra);
  }
  static contains(element: Arg): Path {
    return start.contains(element);
  }
  static transformed(path: Path): Path {
    return start.transformed(path);
  }
  static stay(): Path {
    return start.stay();
  }
  static stop(): Path {
    return start.stop();
  }
  static ifPath(condition: Path, then: Path, otherwise?: Path): Path {
    return start.ifPath(condition, then, otherwise);
  }
  static condPath(...paths: Path[]): Path {
    return start.condPath(...paths);
  }
  static multiPath(...paths: Path[]): Path {
    return start.multiPath(...paths);
  }
  static continueThenStay(path: Path): Path {
    return start.continueThenStay(path);
  }
  static collectOne(path: Path): Path {
    return start.collectOne(path);
  }
  static collect(path: Path): Path {
    return start.collect(path);
  }
  static putCollected(value: Arg): Path {
    return start.putCollected(value);
  }
  static dispenseCollected(): Path {
    return start.dispenseCollected();
  }
  static withPageSize(size: Arg, path: Path): Path {
    return start.withPageSize(size, path);
  }
  static customNav(nav: Navigator | ValueVar): Path {
    return start.customNav(nav);
  }
  static customNavBuilder(fn: Callable | ValueVar, ...args: Arg[]): Path {
    return start.customNavBuilder(fn, ...args);
  }
  static termVal(value: Arg): Path {
    return start.termVal(value);
  }
  static term(fn: Callable | ValueVar, ...extra: Arg[]): Path {
    return start.term(fn, ...extra);
  }
  static termVoid(): Path {
    return start.termVoid();
  }
  static termFields(fields: Readonly<Record<string, Arg>>): Path {
    return start.termFields(fields);
  }
}

const start = new Path();

/** A value navigated to by `selectOne`. */
export function exactlyOne(values: readonly unknown[]): unknown {
  if (values.length === 1) return values[0];
  throw new RamaError("NOT_EXACTLY_ONE", `the path navigates to ${values.length} values, not to exactly one`, {
    count: values.length,
  });
}

function nullIfAbsent(data: unknown): unknown {
  return data === undefined ? null : data;
}
