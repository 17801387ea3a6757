// Paths between processes. A path is split into its *shape* (navigators, options, names of functions) and the list of its argument values, so that
// the receiver compiles a shape once and runs it with each caller's arguments: reading `key("alice")` and `key("bob")` is one compiled path.
//
//   shape := value codec of steps; steps := list of [navigator, args, paths, extra]
//   args  := list, one per argument: null takes the next argument value, a text names a function ("Ops.INC", or an export of the module)
//   extra := range flags (1 from, 2 from exclusive, 4 to, 8 to inclusive, 16 limit, 32 reverse) | names of termFields | null
import { RamaError } from "../base/errors.ts";
import { latin1Of } from "../base/bytes.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import { type ArgNode, isOp } from "./arg.ts";
import { type CompiledSelect, type CompiledTransform, compileSelect, compileTransform } from "./compile.ts";
import { isNavigator } from "./navigator.ts";
import { asData, type RangeShape, type Step, type StepName, type Steps, step } from "./spec.ts";

export interface EncodedPath {
  readonly shape: Uint8Array;
  readonly args: readonly unknown[];
}

/** The name under which the module exports a function or navigator; undefined when it does not. */
export type NameOfFunction = (fn: unknown) => string | undefined;
/** The function, Op or navigator of a name. */
export type FunctionNamed = (name: string) => unknown;

/** FUNCTION_IN_CLIENT_PATH for functions that are neither Ops nor have a name. */
export function encodePath(steps: Steps, nameOf: NameOfFunction = () => undefined): EncodedPath {
  const args: unknown[] = [];
  const shape = shapeOf(asData(steps), args, nameOf);
  return { shape: encodeValue(shape), args };
}

function shapeOf(steps: Steps, args: unknown[], nameOf: NameOfFunction): unknown[] {
  return steps.map((each) => {
    if (each.nav === "aggregate") throw new RamaError("BAD_PATH", "aggregators cannot be sent");
    const codes = each.args.map((arg) => argCode(arg, args, nameOf));
    const paths = each.paths.map((path) => shapeOf(path, args, nameOf));
    return [each.nav, codes, paths, each.range === undefined ? (each.names ?? null) : flagsOf(each.range)];
  });
}

function argCode(arg: ArgNode, args: unknown[], nameOf: NameOfFunction): string | null {
  const value = (arg as { value: unknown }).value;
  if (isOp(value)) return value.name;
  if (typeof value === "function" || isNavigator(value)) {
    const name = nameOf(value);
    if (name !== undefined) return name;
    const shown = (value as { name?: string }).name || "an anonymous function";
    throw new RamaError("FUNCTION_IN_CLIENT_PATH", `${shown} stands in a client's path`, { function: shown });
  }
  args.push(value);
  return null;
}

const rangeFlags = ["hasFrom", "fromExclusive", "hasTo", "toInclusive", "hasLimit", "reverse"] as const;

function flagsOf(range: RangeShape): number {
  return rangeFlags.reduce((flags, name, i) => (range[name] ? flags | (1 << i) : flags), 0);
}

function rangeOf(flags: unknown): RangeShape {
  const set = Number(flags);
  return Object.freeze(
    Object.fromEntries(rangeFlags.map((name, i) => [name, (set & (1 << i)) !== 0])),
  ) as unknown as RangeShape;
}

/** The path of a shape; its arguments are slots in the order of `args`. BAD_PATH for what no encoder writes. */
export function decodePath(shape: Uint8Array, functionNamed: FunctionNamed): Steps {
  const slots = { next: 0 };
  return decodeSteps(decodeValue(shape), slots, functionNamed);
}

function decodeSteps(value: unknown, slots: { next: number }, functionNamed: FunctionNamed): Steps {
  if (!Array.isArray(value)) throw badShape("steps");
  return Object.freeze(value.map((each) => decodeStep(each, slots, functionNamed)));
}

function decodeStep(value: unknown, slots: { next: number }, functionNamed: FunctionNamed): Step {
  if (!Array.isArray(value) || value.length !== 4) throw badShape("a step");
  const [nav, codes, paths, extra] = value;
  const takes = counts[nav as StepName];
  if (takes === undefined || !Array.isArray(codes) || !Array.isArray(paths)) throw badShape(String(nav));
  const args = codes.map((code) => decodeArg(code, slots, functionNamed));
  const decoded = paths.map((path) => decodeSteps(path, slots, functionNamed));
  const range = nav === "mapRange" || nav === "setRange" ? rangeOf(extra) : undefined;
  const [argsMin, argsMax, pathsMin, pathsMax] = takes;
  const needed = range === undefined ? argsMin : Number(range.hasFrom) + Number(range.hasTo) + Number(range.hasLimit);
  if (args.length < needed || args.length > argsMax || paths.length < pathsMin || paths.length > pathsMax)
    throw badShape(nav);
  if (nav === "condPath" && paths.length % 2 !== 0) throw badShape(nav);
  if (nav === "termFields" && (!Array.isArray(extra) || extra.length !== args.length)) throw badShape(nav);
  return step(nav, args, decoded, range === undefined ? (nav === "termFields" ? { names: extra } : {}) : { range });
}

function decodeArg(code: unknown, slots: { next: number }, functionNamed: FunctionNamed): ArgNode {
  if (code === null) return { kind: "slot", index: slots.next++ };
  const value = typeof code === "string" ? functionNamed(code) : undefined;
  if (value !== undefined && value !== null) return { kind: "const", value };
  throw new RamaError("FUNCTION_IN_CLIENT_PATH", `there is no function named ${String(code)} here`, { name: code });
}

function badShape(what: string): RamaError {
  return new RamaError("BAD_PATH", `${what} of an encoded path is not understood`, { what });
}

const any = Number.POSITIVE_INFINITY;

/** Least and most arguments, least and most sub-paths. */
const counts: Partial<Record<StepName, readonly [number, number, number, number]>> = {
  ...Object.fromEntries(
    (
      "first last all mapVals mapKeys indexedVals afterElem beforeElem voidSetElem beginning end nullToList nullToSet stay stop " +
      "dispenseCollected termVoid"
    )
      .split(" ")
      .map((nav) => [nav, [0, 0, 0, 0]]),
  ),
  ...Object.fromEntries(
    (
      "key must nth mapKey setElem index beforeIndex subMapOf subSetOf filterPred filterEqual filterNotEqual filterLessThan " +
      "filterLessThanOrEqual filterGreaterThan filterGreaterThanOrEqual isCollected nullToVal contains putCollected customNav termVal"
    )
      .split(" ")
      .map((nav) => [nav, [1, 1, 0, 0]]),
  ),
  ...Object.fromEntries(
    "filteredList subselect filterSelected filterNotSelected transformed continueThenStay collect collectOne"
      .split(" ")
      .map((nav) => [nav, [0, 0, 1, 1]]),
  ),
  sublist: [2, 2, 0, 0],
  sublistDynamic: [2, 2, 0, 0],
  subMap: [0, any, 0, 0],
  subSet: [0, any, 0, 0],
  mapRange: [0, 3, 0, 0],
  setRange: [0, 3, 0, 0],
  view: [1, 8, 0, 0],
  term: [1, 8, 0, 0],
  customNavBuilder: [1, 8, 0, 0],
  ifPath: [0, 0, 3, 3],
  condPath: [0, 0, 0, any],
  multiPath: [0, 0, 0, any],
  withPageSize: [1, 1, 1, 1],
  termFields: [0, any, 0, 0],
};

/** More compiled shapes are not kept; a client that sends endlessly new ones only costs itself. */
const shapesMax = 2000;

/** Compiled paths by shape, for those who serve reads. One per module instance: names mean what its bundle exports. */
export class PathCache {
  readonly #selects = new Map<string, CompiledSelect>();
  readonly #transforms = new Map<string, CompiledTransform>();
  readonly #functionNamed: FunctionNamed;

  constructor(functionNamed: FunctionNamed) {
    this.#functionNamed = functionNamed;
  }

  select(shape: Uint8Array): CompiledSelect {
    return this.#of(this.#selects, shape, compileSelect);
  }

  transform(shape: Uint8Array): CompiledTransform {
    return this.#of(this.#transforms, shape, compileTransform);
  }

  #of<T>(cache: Map<string, T>, shape: Uint8Array, compile: (steps: Steps) => T): T {
    const name = latin1Of(shape);
    let found = cache.get(name);
    if (found === undefined) {
      found = compile(decodePath(shape, this.#functionNamed));
      if (cache.size >= shapesMax) cache.clear();
      cache.set(name, found);
    }
    return found;
  }
}

/** The key that a client's path begins with, which decides the partition. */
export function leadingKey(steps: Steps): { readonly key: unknown } | undefined {
  const first = steps[0];
  if (first === undefined || (first.nav !== "key" && first.nav !== "must")) return undefined;
  const arg = asData([first])[0]!.args[0]!;
  return arg.kind === "const" ? { key: arg.value } : undefined;
}
