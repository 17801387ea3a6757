// Writes the JavaScript of one compiled path: lines, hoisted constants, arguments, calls of functions and Ops. `compile-select.ts` and
// `compile-transform.ts` know the navigators. Names in generated code: `a` the args, `R` reading, `W` writing, `c…` constants, `v…` values.
import { RamaError } from "../base/errors.ts";
import { type ArgNode, isOp, type Op } from "./arg.ts";
import { IndexedMap, isIndexed } from "./indexed.ts";
import { isNavigator, type Navigator, VOID } from "./navigator.ts";
import * as read from "./read.ts";
import { paged } from "./paging.ts";
import { collectArgs, type Steps, slotOf } from "./spec.ts";
import * as write from "./write.ts";
import { compareValues, valuesEqual } from "../base/compare.ts";

/** What generated code reaches beside constants. */
const support = {
  ...read,
  paged,
  equal: valuesEqual,
  compare: compareValues,
  some: (value: unknown): unknown => (value === undefined ? null : value),
  unvoid: (value: unknown): unknown => (value === VOID ? null : value),
  callable,
  isIndexedRoot: isIndexed,
  isPlain: (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype,
  navigator: asNavigator,
  notOne(count: number): never {
    throw new RamaError("NOT_EXACTLY_ONE", `the path navigates to ${count} values, not to exactly one`, { count });
  },
  voidAtRoot(): never {
    throw new RamaError("VOID_AT_ROOT", "a transform removes the root of the PState");
  },
};

function callable(value: unknown): (...args: any[]) => unknown {
  if (typeof value === "function") return value as (...args: any[]) => unknown;
  if (isOp(value)) return value.fn;
  throw new RamaError("BAD_PATH", `${read.describe(value)} stands where a function is needed`);
}

function asNavigator(value: unknown): Navigator {
  if (isNavigator(value)) return value;
  throw new RamaError(
    "BAD_PATH",
    `${read.describe(value)} is no navigator: make one with navigator({ select, transform })`,
  );
}

/** The functions that change collections; a variant may also note what changes (see `write.ts`). */
export type WriteRuntime = typeof write;

export class Generator {
  readonly #lines: string[] = [];
  readonly #constants: unknown[] = [];
  readonly #symbolic: readonly ArgNode[];
  #names = 0;
  /** The variable that says whether the condition being generated is met already. */
  condition: string | undefined;
  /** The next loop over a collection goes by pages. */
  pages = false;

  constructor(steps: Steps) {
    this.#symbolic = collectArgs(steps);
  }

  line(text: string): void {
    this.#lines.push(text);
  }

  name(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  constant(value: unknown): string {
    let index = this.#constants.indexOf(value);
    if (index < 0) index = this.#constants.push(value) - 1;
    return `c${index}`;
  }

  /** The source of an argument: a literal, a constant, or an element of `a`. Safe to repeat. */
  arg(node: ArgNode): string {
    if (node.kind === "const") return this.#literal(node.value);
    const index = node.kind === "slot" ? node.index : slotOf(this.#symbolic, node);
    return `a[${index}]`;
  }

  args(nodes: readonly ArgNode[]): string[] {
    return nodes.map((node) => this.arg(node));
  }

  #literal(value: unknown): string {
    if (value === null || typeof value === "boolean") return String(value);
    if (typeof value === "number" && Number.isFinite(value) && !Object.is(value, -0))
      return value < 0 ? `(${value})` : `${value}`;
    if (typeof value === "string" && value.length < 100 && value.isWellFormed()) return JSON.stringify(value);
    return this.constant(value);
  }

  /** The source of `fn(args…)`, never undefined. `args` are sources that may be repeated; those that may be handles are named in `values`. */
  call(fn: ArgNode, args: readonly string[], values: readonly string[] = []): string {
    const value = fn.kind === "const" ? fn.value : undefined;
    if (isOp(value)) return this.#callOp(value, args);
    const guarded = args.map((arg) =>
      values.includes(arg) ? `(typeof ${arg} === "object" ? R.assertShippable(${arg}) : ${arg})` : arg,
    );
    const source = typeof value === "function" ? this.constant(value) : `R.callable(${this.arg(fn)})`;
    return `R.some(${source}(${guarded.join(", ")}))`;
  }

  #callOp(op: Op, args: readonly string[]): string {
    if (op.emits === "many" || op.context)
      throw new RamaError("BAD_PATH", `${op.name} cannot stand in a path`, { op: op.name });
    const spread = args.some((arg) => arg.startsWith("..."));
    if (!spread && (args.length < op.arity.min || args.length > op.arity.max)) {
      throw new RamaError("WRONG_ARGUMENT_COUNT", `${op.name} is given ${args.length} arguments`, { op: op.name });
    }
    const self = this.constant(op.fn);
    return !spread && op.jsInline !== undefined ? op.jsInline(args, self) : `${self}(${args.join(", ")})`;
  }

  /** The generated function with these parameters. */
  build(name: string, parameters: string, runtime: WriteRuntime = write): any {
    const constants = this.#constants.map((_, i) => `c${i}`).join(", ");
    const source = `"use strict"; const [${constants}] = C; return function ${name}(${parameters}) {\n${this.#lines.join("\n")}\n};`;
    return new Function("C", "R", "W", "VOID", "IndexedMap", source)(
      this.#constants,
      support,
      runtime,
      VOID,
      IndexedMap,
    );
  }
}
