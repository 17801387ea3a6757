// The built-in operations. An Op is a frozen object: it may be an argument of `each` and `expr`, stand in paths and aggregators, and be sent by name.
// Collections that are null count as empty. Equality and order are by value. Follows "Built-in operations" of the Rama documentation; there are no
// `…_LONG` ops, for numbers have one kind here.
import { add, divide, isEven, multiply, negate, subtract } from "../base/arithmetic.ts";
import { compareValues, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { jsonText } from "../base/json.ts";
import { uuid7 } from "../base/uuid7.ts";
import type { Arg, Op } from "../paths/arg.ts";
import { contains, elements, endOf, entries, key, plain, size, truthy } from "../paths/read.ts";
import type { OpContext } from "./compiled.ts";

type Inline = (args: readonly string[], self: string) => string;
interface OpExtras {
  readonly emits?: "many";
  readonly fields?: number;
  readonly context?: boolean;
  readonly structures?: boolean;
  readonly inline?: Inline;
}

const many = Number.POSITIVE_INFINITY;

/** As many arguments as the least, and one more each up to the greatest. */
type Taking<L extends number, G extends number, A extends Arg[] = []> = A["length"] extends L
  ? number extends G
    ? [...A, ...Arg[]]
    : UpTo<G, A>
  : Taking<L, G, [...A, Arg]>;
type UpTo<G extends number, A extends Arg[]> = A["length"] extends G ? A : UpTo<G, [...A, Arg?]>;

function op<const L extends number, const G extends number>(
  name: string,
  arity: readonly [L, G],
  fn: (...args: any[]) => any,
  extras: OpExtras = {},
): Op<Taking<L, G>> {
  return Object.freeze({
    kind: "op",
    name: `Ops.${name}`,
    arity: Object.freeze({ min: arity[0], max: arity[1] }),
    emits: extras.emits ?? "one",
    fields: extras.fields ?? 1,
    fn,
    context: extras.context ?? false,
    structures: extras.structures ?? false,
    ...(extras.inline === undefined ? {} : { jsInline: extras.inline }),
  });
}

/** Inline form of an operator on two numbers; anything else goes to the function. */
const binary =
  (operator: string): Inline =>
  (args, self) => {
    const [a, b] = args;
    if (args.length !== 2) return `${self}(${args.join(", ")})`;
    return `(typeof ${a} === "number" && typeof ${b} === "number" ? ${a} ${operator} ${b} : ${self}(${a}, ${b}))`;
  };

/** `fn(a, b)` over all arguments from the left. */
const folded =
  (fn: (a: unknown, b: unknown) => unknown) =>
  (...args: unknown[]): unknown =>
    args.reduce(fn);

const chained =
  (holds: (order: number) => boolean) =>
  (...args: unknown[]): boolean => {
    for (let i = 1; i < args.length; i++) if (!holds(compareValues(args[i - 1], args[i]))) return false;
    return true;
  };

function allEqual(...args: unknown[]): boolean {
  for (let i = 1; i < args.length; i++) if (!valuesEqual(args[0], args[i])) return false;
  return true;
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : typeof value === "bigint" ? value.toString() : jsonText(value);
}

function isInstanceOf(type: unknown, value: unknown): boolean {
  if (value === null || value === undefined) return false;
  switch (type) {
    case String:
      return typeof value === "string";
    case Number:
      return typeof value === "number";
    case BigInt:
      return typeof value === "bigint";
    case Boolean:
      return typeof value === "boolean";
    case Object:
      return true;
    default:
      if (typeof type !== "function") throw new TypeError("Ops.IS_INSTANCE_OF takes the class first");
      return value instanceof type;
  }
}

function* range(start: number, end: number): Generator<number> {
  for (let i = Number(start); i < Number(end); i++) yield i;
}

function expand(list: unknown): readonly unknown[] {
  if (!Array.isArray(list)) throw new TypeError("Ops.EXPAND needs a list");
  return list;
}

function microbatchId(context: OpContext): number {
  if (context.microbatchId !== undefined) return context.microbatchId;
  throw new RamaError("NOT_ALLOWED_HERE", "Ops.CURRENT_MICROBATCH_ID is known inside microbatch topologies only");
}

function extremeOf(sign: 1 | -1): (...args: unknown[]) => unknown {
  return folded((a, b) => (Math.sign(compareValues(a, b)) === sign ? a : b));
}

function aggregatorFunction(name: "init" | "step"): (aggregator: any) => unknown {
  return (aggregator) => {
    const leaf = aggregator?.leaf ?? aggregator;
    const fn = leaf?.[name];
    if (typeof fn !== "function") throw new TypeError("an aggregator is expected");
    return fn.bind(leaf);
  };
}

export const Ops = Object.freeze({
  IDENTITY: op("IDENTITY", [1, 1], (x) => x, { structures: true, inline: ([a]) => `${a}` }),
  /** Prints the arguments separated by spaces; emits null. */
  PRINTLN: op("PRINTLN", [0, many], println, { context: true }),
  /** The string forms without separator; null is empty. */
  TO_STRING: op("TO_STRING", [0, many], (...args) => args.map(textOf).join("")),
  TUPLE: op("TUPLE", [0, many], (...args) => args, { inline: (args) => `[${args.join(", ")}]` }),
  /** Emits the elements of a list as the fields of one row: as many as there are outs. */
  EXPAND: op("EXPAND", [1, 1], expand, { fields: -1 }),
  EXPLODE: op("EXPLODE", [1, 1], (list) => elements(plain(list)), { emits: "many", structures: true }),
  /** Index and element. */
  EXPLODE_INDEXED: op("EXPLODE_INDEXED", [1, 1], (list) => elements(plain(list)).map((each, i) => [i, each]), {
    emits: "many",
    fields: 2,
  }),
  /** Key and value. */
  EXPLODE_MAP: op("EXPLODE_MAP", [1, 1], (map) => entries(plain(map), "EXPLODE_MAP"), { emits: "many", fields: 2 }),
  /** Integers from start to end - 1. */
  RANGE: op("RANGE", [2, 2], range, { emits: "many" }),
  /** The value at a key or index; null when absent. */
  GET: op("GET", [2, 2], key, { structures: true }),
  FIRST: op("FIRST", [1, 1], (list) => endOf(list, false) ?? null, { structures: true }),
  LAST: op("LAST", [1, 1], (list) => endOf(list, true) ?? null, { structures: true }),
  SIZE: op("SIZE", [1, 1], size, { structures: true }),
  CONTAINS: op("CONTAINS", [2, 2], contains, { structures: true }),
  EQUAL: op("EQUAL", [1, many], allEqual, { inline: inlineEqual }),
  NOT_EQUAL: op("NOT_EQUAL", [1, many], (...args) => !allEqual(...args)),
  LESS_THAN: op(
    "LESS_THAN",
    [1, many],
    chained((order) => order < 0),
    { inline: binary("<") },
  ),
  LESS_THAN_OR_EQUAL: op(
    "LESS_THAN_OR_EQUAL",
    [1, many],
    chained((order) => order <= 0),
    { inline: binary("<=") },
  ),
  GREATER_THAN: op(
    "GREATER_THAN",
    [1, many],
    chained((order) => order > 0),
    { inline: binary(">") },
  ),
  GREATER_THAN_OR_EQUAL: op(
    "GREATER_THAN_OR_EQUAL",
    [1, many],
    chained((order) => order >= 0),
    { inline: binary(">=") },
  ),
  /** The last argument when all are truthy, else the first falsy. All arguments are evaluated. */
  AND: op("AND", [0, many], and),
  /** The first truthy argument, else the last. */
  OR: op("OR", [0, many], or),
  NOT: op("NOT", [1, 1], (x) => !truthy(x), {
    inline: ([a]) => `(${a} === false || ${a} === null || ${a} === undefined)`,
  }),
  IS_NULL: op("IS_NULL", [1, 1], (x) => x === null || x === undefined, {
    structures: true,
    inline: ([a]) => `(${a} === null || ${a} === undefined)`,
  }),
  IS_NOT_NULL: op("IS_NOT_NULL", [1, 1], (x) => x !== null && x !== undefined, {
    structures: true,
    inline: ([a]) => `(${a} !== null && ${a} !== undefined)`,
  }),
  /** Class first. */
  IS_INSTANCE_OF: op("IS_INSTANCE_OF", [2, 2], isInstanceOf),
  IS_EVEN: op("IS_EVEN", [1, 1], isEven),
  IS_ODD: op("IS_ODD", [1, 1], (n) => !isEven(n)),
  PLUS: op("PLUS", [1, many], folded(add), { inline: binary("+") }),
  /** One argument is negated. */
  MINUS: op("MINUS", [1, many], (...args) => (args.length === 1 ? negate(args[0]) : args.reduce(subtract)), {
    inline: binary("-"),
  }),
  TIMES: op("TIMES", [1, many], folded(multiply), { inline: binary("*") }),
  INC: op("INC", [1, 1], (n) => add(n, 1), {
    inline: ([a], self) => `(typeof ${a} === "number" ? ${a} + 1 : ${self}(${a}))`,
  }),
  DEC: op("DEC", [1, 1], (n) => subtract(n, 1), {
    inline: ([a], self) => `(typeof ${a} === "number" ? ${a} - 1 : ${self}(${a}))`,
  }),
  DIV: op("DIV", [2, many], folded(divide), { inline: binary("/") }),
  MIN: op("MIN", [1, many], extremeOf(-1)),
  MAX: op("MAX", [1, many], extremeOf(1)),
  /** Of a list; 0 when it is empty or null. */
  SUM: op("SUM", [1, 1], (list) => elements(plain(list)).reduce(add, 0), { structures: true }),
  EXTRACT_VALUE: op("EXTRACT_VALUE", [1, 1], (x) => x, { inline: ([a]) => `${a}` }),
  CURRENT_TASK_ID: op("CURRENT_TASK_ID", [0, 0], (context: OpContext) => context.taskId, { context: true }),
  CURRENT_MICROBATCH_ID: op("CURRENT_MICROBATCH_ID", [0, 0], microbatchId, { context: true }),
  CURRENT_TOPOLOGY_TYPE: op("CURRENT_TOPOLOGY_TYPE", [0, 0], (context: OpContext) => context.topologyType, {
    context: true,
  }),
  MODULE_INSTANCE_INFO: op("MODULE_INSTANCE_INFO", [0, 0], (context: OpContext) => context.moduleInstanceInfo, {
    context: true,
  }),
  /** A function that returns numbers from 0 (inclusive) to 1. */
  CURRENT_RANDOM_SOURCE: op("CURRENT_RANDOM_SOURCE", [0, 0], (context: OpContext) => () => context.random(), {
    context: true,
  }),
  RANDOM_UUID7: op("RANDOM_UUID7", [0, 0], (context: OpContext) => uuid7(context.nowMs(), () => context.random()), {
    context: true,
  }),
  /** An aggregator's start value as a function without arguments. */
  AGG_INIT_FN: op("AGG_INIT_FN", [1, 1], aggregatorFunction("init")),
  /** An aggregator's step as a function of state and inputs. */
  AGG_UPDATE_FN: op("AGG_UPDATE_FN", [1, 1], aggregatorFunction("step")),
});

function println(context: OpContext, ...args: unknown[]): null {
  context.print(args.map((each) => (each === null ? "null" : textOf(each))).join(" "));
  return null;
}

function and(...args: unknown[]): unknown {
  for (const each of args) if (!truthy(each)) return each;
  return args.length === 0 ? true : args[args.length - 1];
}

function or(...args: unknown[]): unknown {
  for (const each of args) if (truthy(each)) return each;
  return args.length === 0 ? false : args[args.length - 1];
}

function inlineEqual(args: readonly string[], self: string): string {
  return args.length === 2
    ? `(${args[0]} === ${args[1]} || ${self}(${args[0]}, ${args[1]}))`
    : `${self}(${args.join(", ")})`;
}

const byName = new Map<string, Op>(Object.values(Ops).map((each) => [each.name, each]));

/** The Op that is written so: `Ops.INC`. */
export function opNamed(name: string): Op | undefined {
  return byName.get(name);
}
