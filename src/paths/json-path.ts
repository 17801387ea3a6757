// Paths as JSON, as REST and the command line take them: a list of navigators. A string or number stands for `key`, a function (`#__fOps.IS_EVEN`) for
// `filterPred`, a list is a navigator with its arguments, by its name here or in the original's other language: ["key", "a", "b"], ["sorted-map-range", 1, 5].
// A path may begin with ["pkey", value]: the partitioning key. Example: ["user-1", ["sortedMapRangeFrom", 10, { "max-amt": 5 }], ["mapVals"]].
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { type Callable, isCallable } from "./arg.ts";
import { Path } from "./path.ts";

export interface JsonPath {
  readonly path: Path;
  /** Present when the path began with `pkey`. */
  readonly partitionKey?: { readonly value: unknown };
}

/** `json` has gone through `valueOfJson`, so marked strings are values already. BAD_PATH says which navigator is wrong. */
export function pathOfJson(json: unknown): JsonPath {
  if (!Array.isArray(json)) throw badPath("a path is a list of navigators");
  const first = json[0];
  if (Array.isArray(first) && first[0] === "pkey") {
    if (first.length !== 2) throw badPath("pkey takes one value");
    return { path: pathOf(json.slice(1)), partitionKey: { value: first[1] } };
  }
  return { path: pathOf(json) };
}

type Build = (path: Path, args: readonly unknown[], name: string) => Path;

function pathOf(navigators: unknown): Path {
  if (!Array.isArray(navigators)) throw badPath("a path is a list of navigators");
  let path = new Path();
  for (const navigator of navigators) path = step(path, navigator);
  return path;
}

function step(path: Path, navigator: unknown): Path {
  if (isCallable(navigator)) return path.filterPred(navigator);
  if (!Array.isArray(navigator)) {
    if (typeof navigator === "object" && navigator !== null) throw badPath("an object is not a navigator");
    return path.key(navigator);
  }
  const [name, ...args] = navigator;
  const build = typeof name === "string" ? builders.get(name) : undefined;
  if (build === undefined) throw badPath(`there is no navigator ${JSON.stringify(name)}`);
  return build(path, args, name);
}

function none(build: (path: Path) => Path): Build {
  return (path, args, name) => {
    count(args, 0, 0, name);
    return build(path);
  };
}

function values(min: number, max: number, build: (path: Path, args: readonly unknown[]) => Path): Build {
  return (path, args, name) => {
    count(args, min, max, name);
    return build(path, args);
  };
}

function fn(min: number, max: number, build: (path: Path, fn: Callable, rest: readonly unknown[]) => Path): Build {
  return (path, args, name) => {
    count(args, min, max, name);
    if (!isCallable(args[0])) throw badPath(`${name} needs a function, such as "#__fOps.INC"`);
    return build(path, args[0], args.slice(1));
  };
}

/** All arguments form one path. */
function onePath(build: (path: Path, inner: Path) => Path): Build {
  return (path, args) => build(path, pathOf(args));
}

function count(args: readonly unknown[], min: number, max: number, name: string): void {
  if (args.length >= min && args.length <= max) return;
  const wanted = min === max ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
  throw badPath(`${name} takes ${wanted} arguments, not ${args.length}`);
}

/** Options of a range as the original names them, or as literals of ours. */
function rangeOptions(options: unknown, kind: "both" | "from" | "to"): any {
  if (!isPlainObject(options)) return options;
  const out: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (name === "max-amt" || name === "maxAmt") out["maxAmt"] = value;
    else if (name === "excludeStart" || name === "includeEnd") out[name] = value;
    else if (name === "inclusive-start?" || (name === "inclusive?" && kind === "from"))
      out["excludeStart"] = value === false;
    else if (name === "inclusive-end?" || (name === "inclusive?" && kind === "to")) out["includeEnd"] = value === true;
    else throw badPath(`a range has no option ${name}`);
  }
  return out;
}

const many = Number.POSITIVE_INFINITY;
const builders = new Map<string, Build>();

function define(names: string, build: Build): void {
  for (const name of names.split(" ")) builders.set(name, build);
}

define(
  "all ALL",
  none((p) => p.all()),
);
define(
  "key keypath",
  values(1, many, (p, a) => p.key(...a)),
);
define(
  "must",
  values(1, many, (p, a) => p.must(...a)),
);
define(
  "mapKey map-key",
  values(1, 1, (p, [key]) => p.mapKey(key)),
);
define(
  "mapKeys MAP-KEYS",
  none((p) => p.mapKeys()),
);
define(
  "mapVals MAP-VALS",
  none((p) => p.mapVals()),
);
define(
  "sortedMapRange sorted-map-range",
  values(2, 3, (p, [from, to, o]) => p.sortedMapRange(from, to, rangeOptions(o, "both"))),
);
define(
  "sortedMapRangeFrom sorted-map-range-from",
  values(1, 2, (p, [from, o]) => p.sortedMapRangeFrom(from, rangeOptions(o, "from"))),
);
define(
  "sortedMapRangeTo sorted-map-range-to",
  values(1, 2, (p, [to, o]) => p.sortedMapRangeTo(to, rangeOptions(o, "to"))),
);
define(
  "sortedMapRangeFromStart sorted-map-range-from-start",
  values(1, 1, (p, [amount]) => p.sortedMapRangeFromStart(amount)),
);
define(
  "sortedMapRangeToEnd sorted-map-range-to-end",
  values(1, 1, (p, [amount]) => p.sortedMapRangeToEnd(amount)),
);
define(
  "subMap submap",
  values(0, many, (p, a) => p.subMap(...a)),
);
define(
  "afterElem AFTER-ELEM",
  none((p) => p.afterElem()),
);
define(
  "beforeElem BEFORE-ELEM",
  none((p) => p.beforeElem()),
);
define(
  "beforeIndex before-index",
  values(1, 1, (p, [index]) => p.beforeIndex(index)),
);
define(
  "beginning BEGINNING",
  none((p) => p.beginning()),
);
define(
  "end END",
  none((p) => p.end()),
);
define(
  "filteredList filterer",
  onePath((p, inner) => p.filteredList(inner)),
);
define(
  "first FIRST",
  none((p) => p.first()),
);
define(
  "last LAST",
  none((p) => p.last()),
);
define(
  "index index-nav",
  values(1, 1, (p, [index]) => p.index(index)),
);
define(
  "indexedVals INDEXED-VALS",
  none((p) => p.indexedVals()),
);
define(
  "nth nthpath",
  values(1, many, (p, a) => p.nth(...a)),
);
define(
  "sublist srange",
  values(2, 2, (p, [from, to]) => p.sublist(from, to)),
);
define(
  "sublistDynamic srange-dynamic",
  values(2, 2, (p, [from, to]) => p.sublistDynamic(from, to)),
);
define(
  "setElem set-elem",
  values(1, 1, (p, [element]) => p.setElem(element)),
);
define(
  "sortedSetRange sorted-set-range",
  values(2, 3, (p, [from, to, o]) => p.sortedSetRange(from, to, rangeOptions(o, "both"))),
);
define(
  "sortedSetRangeFrom sorted-set-range-from",
  values(1, 2, (p, [from, o]) => p.sortedSetRangeFrom(from, rangeOptions(o, "from"))),
);
define(
  "sortedSetRangeTo sorted-set-range-to",
  values(1, 2, (p, [to, o]) => p.sortedSetRangeTo(to, rangeOptions(o, "to"))),
);
define(
  "sortedSetRangeFromStart sorted-set-range-from-start",
  values(1, 1, (p, [amount]) => p.sortedSetRangeFromStart(amount)),
);
define(
  "sortedSetRangeToEnd sorted-set-range-to-end",
  values(1, 1, (p, [amount]) => p.sortedSetRangeToEnd(amount)),
);
define(
  "subset subSet",
  values(0, many, (p, a) => p.subSet(...a)),
);
define(
  "voidSetElem NONE-ELEM",
  none((p) => p.voidSetElem()),
);
define(
  "filterEqual pred=",
  values(1, 1, (p, [value]) => p.filterEqual(value)),
);
define(
  "filterNotEqual prednot=",
  values(1, 1, (p, [value]) => p.filterNotEqual(value)),
);
define(
  "filterGreaterThan pred>",
  values(1, 1, (p, [value]) => p.filterGreaterThan(value)),
);
define(
  "filterGreaterThanOrEqual pred>=",
  values(1, 1, (p, [value]) => p.filterGreaterThanOrEqual(value)),
);
define(
  "filterLessThan pred<",
  values(1, 1, (p, [value]) => p.filterLessThan(value)),
);
define(
  "filterLessThanOrEqual pred<=",
  values(1, 1, (p, [value]) => p.filterLessThanOrEqual(value)),
);
define(
  "filterPred pred",
  fn(1, 1, (p, predicate) => p.filterPred(predicate)),
);
define(
  "filterSelected selected?",
  onePath((p, inner) => p.filterSelected(inner)),
);
define(
  "filterNotSelected not-selected?",
  onePath((p, inner) => p.filterNotSelected(inner)),
);
define(
  "nullToList NIL->VECTOR",
  none((p) => p.nullToList()),
);
define(
  "nullToSet NIL->SET",
  none((p) => p.nullToSet()),
);
define(
  "nullToVal nil->val",
  values(1, 1, (p, [value]) => p.nullToVal(value)),
);
define(
  "transformed multi-transformed",
  onePath((p, inner) => p.transformed(inner)),
);
define(
  "view",
  fn(1, many, (p, view, rest) => p.view(view, ...rest)),
);
define(
  "contains",
  values(1, 1, (p, [value]) => p.contains(value)),
);
define(
  "term",
  fn(1, many, (p, change, rest) => p.term(change, ...rest)),
);
define(
  "termVal termval",
  values(1, 1, (p, [value]) => p.termVal(value)),
);
define(
  "termVoid NONE>",
  none((p) => p.termVoid()),
);
define("ifPath if-path", (p, args, name) => {
  count(args, 2, 3, name);
  const [condition, then, otherwise] = args;
  return p.ifPath(pathOf(condition), pathOf(then), otherwise === undefined ? undefined : pathOf(otherwise));
});
define("multiPath multi-path", (p, args) => p.multiPath(...args.map(pathOf)));
define(
  "stay STAY",
  none((p) => p.stay()),
);
define(
  "stop STOP",
  none((p) => p.stop()),
);
define(
  "subselect",
  onePath((p, inner) => p.subselect(inner)),
);
define(
  "withPageSize with-page-size",
  values(2, 2, (p, [size, inner]) => p.withPageSize(size, pathOf(inner))),
);
define(
  "collect",
  onePath((p, inner) => p.collect(inner)),
);
define(
  "collectOne collect-one",
  onePath((p, inner) => p.collectOne(inner)),
);
define(
  "dispenseCollected DISPENSE",
  none((p) => p.dispenseCollected()),
);
define(
  "isCollected collected?",
  fn(1, 1, (p, predicate) => p.isCollected(predicate)),
);
define(
  "putCollected putVal",
  values(1, 1, (p, [value]) => p.putCollected(value)),
);

function badPath(what: string): RamaError {
  return new RamaError("BAD_PATH", `JSON path: ${what}`);
}
