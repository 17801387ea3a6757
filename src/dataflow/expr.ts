// Expressions: arguments that are computed just before the node that they belong to. `expr(op, …)` and its short forms make frozen nodes; what they
// may hold is checked here, so that a mistake is told at the builder's line.
import { RamaError } from "../base/errors.ts";
import {
  type Arg,
  type ArgsOf,
  type ArgNode,
  type Callable,
  type Expr as ExprNode,
  exprNode,
  isCallable,
  isOp,
  isVar,
  type Op,
  toArg,
  type ValueVar,
  type VarArg,
} from "../paths/arg.ts";
import { isAsyncFunction, isGeneratorFunction } from "./emission.ts";
import { Ops } from "./ops.ts";

/** `expr(Ops.PLUS, "*a", 1)`: the op (or plain function, or a var that holds one) must emit exactly one value. Nests freely. */
export function expr<F extends Callable | ValueVar>(op: F, ...args: ArgsOf<F>): ExprNode {
  const nodes = args.map(toArg);
  if (isVar(op)) return exprNode({ kind: "var", name: op } satisfies VarArg, nodes);
  if (!isCallable(op)) throw new RamaError("BAD_MODULE", "expr takes an Op, a plain function or a var that holds one");
  checkCallable(op, nodes);
  return exprNode(op, nodes);
}

function checkCallable(op: Callable, args: readonly ArgNode[]): void {
  if (isOp(op)) {
    if (op.emits === "many" || op.fields !== 1) {
      throw new RamaError("NOT_ALLOWED_HERE", `${op.name} does not emit exactly one value; use each(…)`, {
        op: op.name,
      });
    }
    checkArity(op, args.length);
  } else if (isGeneratorFunction(op) || isAsyncFunction(op)) {
    throw new RamaError(
      "NOT_ALLOWED_HERE",
      "expr takes no generator and no async function; use each(…) or eachAsync(…)",
    );
  }
}

/** WRONG_ARGUMENT_COUNT when the op does not take so many. */
export function checkArity(op: Op, count: number): void {
  const { min, max } = op.arity;
  if (count >= min && count <= max) return;
  const takes = max === min ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
  throw new RamaError("WRONG_ARGUMENT_COUNT", `${op.name} takes ${takes} arguments, not ${count}`, {
    op: op.name,
    count,
  });
}

/** `new Expr(op, …)`, as the reference writes it, is `expr(op, …)`. */
export class Expr {
  constructor(op: Callable | ValueVar, ...args: Arg[]) {
    // biome-ignore lint/correctness/noConstructorReturn: the node is a frozen plain object, however it is made.
    return expr(op, ...args) as unknown as Expr;
  }
}

/** A list of the arguments. */
export const tuple = (...args: Arg[]): ExprNode => expr(Ops.TUPLE, ...args);

/** A plain object: `record({ to: "*to", amt: "*amt" })`. */
export function record(fields: Readonly<Record<string, Arg>>): ExprNode {
  const names = Object.keys(fields);
  return exprNode(recordOp(names), Object.values(fields).map(toArg));
}

function recordOp(names: readonly string[]): Op {
  const fn = (...values: unknown[]) => Object.fromEntries(names.map((name, i) => [name, values[i]]));
  return Object.freeze({
    kind: "op",
    name: `record(${names.join(", ")})`,
    arity: { min: names.length, max: names.length },
    emits: "one",
    fields: 1,
    fn,
    context: false,
    structures: false,
    jsInline: (args) => `({ ${names.map((name, i) => `[${JSON.stringify(name)}]: ${args[i]}`).join(", ")} })`,
  } satisfies Op);
}

export const eq = (...args: ArgsOf<typeof Ops.EQUAL>): ExprNode => expr(Ops.EQUAL, ...args);
export const ne = (...args: ArgsOf<typeof Ops.NOT_EQUAL>): ExprNode => expr(Ops.NOT_EQUAL, ...args);
export const lt = (...args: ArgsOf<typeof Ops.LESS_THAN>): ExprNode => expr(Ops.LESS_THAN, ...args);
export const lte = (...args: ArgsOf<typeof Ops.LESS_THAN_OR_EQUAL>): ExprNode => expr(Ops.LESS_THAN_OR_EQUAL, ...args);
export const gt = (...args: ArgsOf<typeof Ops.GREATER_THAN>): ExprNode => expr(Ops.GREATER_THAN, ...args);
export const gte = (...args: ArgsOf<typeof Ops.GREATER_THAN_OR_EQUAL>): ExprNode =>
  expr(Ops.GREATER_THAN_OR_EQUAL, ...args);
export const and = (...args: ArgsOf<typeof Ops.AND>): ExprNode => expr(Ops.AND, ...args);
export const or = (...args: ArgsOf<typeof Ops.OR>): ExprNode => expr(Ops.OR, ...args);
export const not = (value: Arg): ExprNode => expr(Ops.NOT, value);
export const isNull = (value: Arg): ExprNode => expr(Ops.IS_NULL, value);
export const isNotNull = (value: Arg): ExprNode => expr(Ops.IS_NOT_NULL, value);
export const inc = (value: Arg): ExprNode => expr(Ops.INC, value);
export const dec = (value: Arg): ExprNode => expr(Ops.DEC, value);
export const plus = (...args: ArgsOf<typeof Ops.PLUS>): ExprNode => expr(Ops.PLUS, ...args);
export const minus = (...args: ArgsOf<typeof Ops.MINUS>): ExprNode => expr(Ops.MINUS, ...args);
