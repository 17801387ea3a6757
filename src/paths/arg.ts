// Arguments of navigators, operations and aggregators: constants, vars and expressions, as frozen nodes; and what may stand where a function does.
// Builders turn what an author writes into nodes here; dataflow binds vars to slots; a client's path knows no vars, its strings are data.
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";

export type ValueVar = `*${string}`;
export type PStateVar = `$$${string}`;
/** A depot is named like a value var; it is bound as an object when the module is built. */
export type DepotVar = ValueVar;

/** A built-in operation (`dataflow/ops.ts`). */
export interface Op<A extends readonly unknown[] = any> {
  /** For types alone: how many arguments it takes. */
  readonly takes?: A;
  readonly kind: "op";
  /** As written: `Ops.PLUS`. */
  readonly name: string;
  readonly arity: { readonly min: number; readonly max: number };
  /** "many": `fn` returns an iterable of rows, each an array of `fields` values. */
  readonly emits: "one" | "many";
  /** Fields of one emit. */
  readonly fields: number;
  readonly fn: (...args: any[]) => any;
  /**
   * JavaScript of a call whose arguments are the given sources (names or literals, safe to repeat); `self` is the name that `fn` is bound to.
   * Without it `fn` is called.
   */
  readonly jsInline?: (args: readonly string[], self: string) => string;
  /** Takes the OpContext as first argument. */
  readonly context: boolean;
  /** Takes handles of subindexed structures. */
  readonly structures: boolean;
}

export type Callable = Op | ((...args: any[]) => unknown);

export interface ConstantArg {
  readonly kind: "const";
  readonly value: unknown;
}
export interface VarArg {
  readonly kind: "var";
  readonly name: string;
}
/** The argument at this index of the `args` that a compiled path is called with. */
export interface SlotArg {
  readonly kind: "slot";
  readonly index: number;
}
/** `op(args…)`, computed before the node that it is an argument of. */
export interface Expr {
  readonly kind: "expr";
  readonly op: Callable | VarArg;
  readonly args: readonly ArgNode[];
}
export type ArgNode = ConstantArg | VarArg | SlotArg | Expr;

/** Data that is not to be read as a var: `constant("*x")`. */
export class Constant {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = freezeConstant(value);
    Object.freeze(this);
  }
}

export function constant(value: unknown): Constant {
  return new Constant(value);
}

/** What an author may write as an argument: a var, a constant (any other value), `constant(…)`, or an expression. */
export type Arg = unknown;

/** Arguments for a function, an Op or an operation: as many as it takes, each a var, a constant or an expression. */
export type ArgsOf<F> =
  F extends Op<infer A> ? A : F extends (...args: infer P) => unknown ? { [K in keyof P]: Arg } : Arg[];

export function isValueVar(value: unknown): value is ValueVar {
  return typeof value === "string" && value.length > 1 && value.charCodeAt(0) === 42;
}

export function isPStateVar(value: unknown): value is PStateVar {
  return typeof value === "string" && value.length > 2 && value.startsWith("$$");
}

export function isVar(value: unknown): value is ValueVar | PStateVar {
  return isValueVar(value) || isPStateVar(value);
}

/** `**name`: unground in batch blocks. */
export function isUngroundVar(value: unknown): boolean {
  return isValueVar(value) && value.startsWith("**");
}

export function isOp(value: unknown): value is Op {
  return (
    typeof value === "object" && value !== null && (value as Op).kind === "op" && typeof (value as Op).fn === "function"
  );
}

export function isCallable(value: unknown): value is Callable {
  return typeof value === "function" || isOp(value);
}

const exprs = new WeakSet<object>();

export function isExpr(value: unknown): value is Expr {
  return typeof value === "object" && value !== null && exprs.has(value);
}

/** The node itself; `dataflow/expr.ts` checks what may stand in it. */
export function exprNode(op: Callable | VarArg, args: readonly ArgNode[]): Expr {
  const node: Expr = Object.freeze({ kind: "expr", op, args: Object.freeze([...args]) });
  exprs.add(node);
  return node;
}

/** The node of what an author wrote. Strings that look like vars are vars; containers are copied and frozen, strings inside them are data. */
export function toArg(value: Arg): ArgNode {
  if (isVar(value)) return { kind: "var", name: value };
  if (isExpr(value)) return value;
  return constArg(value);
}

/** The node of a constant, whatever it looks like. */
export function constArg(value: unknown): ConstantArg {
  if (value instanceof Constant) return { kind: "const", value: value.value };
  return { kind: "const", value: freezeConstant(value) };
}

/** The node of a function position: a function, an Op, or a var that holds one. */
export function toFunctionArg(value: unknown, where: string): ArgNode {
  if (isCallable(value)) return Object.freeze({ kind: "const", value });
  if (isVar(value)) return Object.freeze({ kind: "var", name: value });
  throw new RamaError("BAD_PATH", `${where} needs a function, an Op or a var that holds one`, { where });
}

/** Copies and freezes plain data at every depth. Functions, bytes, dates and class instances are kept as they are. */
export function freezeConstant(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return Object.freeze(value.map(freezeConstant));
  if (value instanceof Map) {
    return refuseChanges(new Map([...value].map(([k, v]) => [freezeConstant(k), freezeConstant(v)])), ["set"]);
  }
  if (value instanceof Set) return refuseChanges(new Set([...value].map(freezeConstant)), ["add"]);
  if (!isPlainObject(value) || isOp(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) if (field !== undefined) copy[name] = freezeConstant(field);
  return Object.freeze(copy);
}

function refuseChanges<T extends object>(collection: T, names: readonly string[]): T {
  for (const name of [...names, "delete", "clear"]) {
    Object.defineProperty(collection, name, {
      value: () => {
        throw new TypeError("a constant must not be changed: copy it first");
      },
    });
  }
  return Object.freeze(collection);
}
