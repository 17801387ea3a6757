// What generated code calls beside the author's functions, compiled paths and ops. Small and monomorphic where it is hot.
import { mapGet, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { isOp } from "../paths/arg.ts";
import { compileSelect, compileTransform } from "../paths/compile.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { SchemaHint, Steps } from "../paths/spec.ts";
import type { StageContext } from "./compiled.ts";
import { asEmission, Emission, emissionsOf, isGeneratorFunction, isOperation } from "./emission.ts";
import { Ops } from "./ops.ts";

/** What a `$$` var may hold in a detached block: a PState on its own (TestPState). */
export interface HeldState {
  readonly schema: SchemaHint;
  /** Reads see earlier changes at once. */
  pathRoot(session: ReadSession): PathRoot;
  /** Undoes what was changed since the last `commitChange`. */
  undoChange(): void;
  /** Makes what was changed visible to everyone. */
  commitChange(): void;
  clearState(): void;
}

const missed = Symbol("missed");

/** A generator that may return another one, which goes on in its place. */
type Chain = Generator<void, unknown, void>;

type Evaluate = (root: unknown, args: readonly unknown[], session: ReadSession) => unknown;

export const runtime = {
  taskOf,
  missed,
  Emission,

  /** Runs a suspending function, and whatever it ends in. */
  *go(first: Chain): Generator<void, void, void> {
    for (let next: Chain | undefined = first; next !== undefined; ) next = (yield* next) as Chain | undefined;
  },

  /** Evaluates a select; `missed` when it has to be done again after loading. */
  attempt(x: StageContext, select: Evaluate, root: PathRoot, args: readonly unknown[]): unknown {
    try {
      const found = select(root.get(), args, x.session);
      if (!x.session.missed) return found;
    } catch (error) {
      if (!x.session.missed) throw error;
    }
    return missed;
  },

  /** Evaluates a transform; false when it has been rolled back and has to be done again after loading. */
  attemptTransform(x: StageContext, transform: Evaluate, root: PathRoot, args: readonly unknown[]): boolean {
    const mark = x.transformMark();
    try {
      const next = transform(root.get(), args, x.session);
      if (!x.session.missed) {
        root.set(next);
        if (!x.session.missed) return true;
      }
    } catch (error) {
      if (!x.session.missed) throw error;
    }
    x.transformMissed(mark);
    return false;
  },

  /** Everything that a path navigates to in a held state, or in plain data; `missed` when it has to be done again after loading. */
  selectHeld(x: StageContext, steps: Steps, value: unknown, args: readonly unknown[]): unknown {
    if (!isHeld(value)) return compileSelect(steps)(value ?? null, args);
    return runtime.attempt(x, compileSelect(steps, value), value.pathRoot(x.session), args);
  },

  /** One transform of a held state; false when it has to be done again after loading. */
  transformHeld(x: StageContext, steps: Steps, value: unknown, args: readonly unknown[]): boolean {
    if (!isHeld(value)) return notAState();
    const transform = compileTransform(steps, value);
    try {
      const root = value.pathRoot(x.session);
      root.set(transform(root.get(), args, x.session));
    } catch (error) {
      value.undoChange();
      if (!x.session.missed) throw error;
    }
    if (x.session.missed) value.undoChange();
    else value.commitChange();
    return !x.session.missed;
  },

  clearHeld(value: unknown): void {
    if (isHeld(value)) value.clearState();
    else notAState();
  },

  /** A field by an object pattern: null where it is absent or the value has no fields. */
  field(value: unknown, name: string): unknown {
    if (typeof value !== "object" || value === null) return null;
    if (value instanceof Map) return mapGet(value, name) ?? null;
    if (!Object.hasOwn(value, name)) return null;
    return (value as Record<string, unknown>)[name] ?? null;
  },

  /** A list of exactly so many elements. */
  list(value: unknown, length: number): readonly unknown[] {
    if (Array.isArray(value) && value.length === length) return value;
    const given = Array.isArray(value) ? `a list of ${value.length}` : "no list";
    throw new RamaError("WRONG_OUTPUT_COUNT", `a list of ${length} is taken apart, the value is ${given}`, { length });
  },

  onDefault(row: unknown): boolean {
    return !(row instanceof Emission) || row.stream === undefined;
  },

  stream(row: unknown): string | undefined {
    return row instanceof Emission ? row.stream : undefined;
  },

  /** The only field of a row. */
  one(row: unknown): unknown {
    if (!(row instanceof Emission)) return row === undefined ? null : row;
    return fieldsOf(row, 1)[0] ?? null;
  },

  many(row: unknown, count: number): readonly unknown[] {
    return fieldsOf(asEmission(row), count);
  },

  /** The row of Ops.EXPAND. */
  expanded(row: readonly unknown[], count: number): readonly unknown[] {
    if (row.length === count) return row;
    throw new RamaError("WRONG_OUTPUT_COUNT", `a list of ${row.length} is expanded into ${count} vars`, { count });
  },

  /** Rows of a callback operation. */
  collect(operation: (...args: unknown[]) => void, args: readonly unknown[]): readonly Emission[] {
    return emissionsOf({ kind: "operation", fn: operation }, args);
  },

  /** Rows of whatever function a var holds. */
  callHeld(fn: unknown, args: readonly unknown[]): Iterable<unknown> {
    if (isOperation(fn)) return emissionsOf(fn, args);
    const callable = runtime.callable(fn);
    if (isGeneratorFunction(callable)) return callable(...args) as Iterable<unknown>;
    if (isOp(fn) && fn.emits === "many") return callable(...args) as Iterable<unknown>;
    return [callable(...args)];
  },

  callable(fn: unknown): (...args: any[]) => unknown {
    if (typeof fn === "function") return fn as (...args: any[]) => unknown;
    if (isOp(fn) && !fn.context) return fn.fn;
    throw new RamaError("USER_CODE_FAILED", `${String(fn)} stands where a function is called`);
  },

  promise(value: unknown): Promise<unknown> {
    if (value instanceof Promise) return value;
    if (typeof (value as PromiseLike<unknown> | null)?.then === "function") return Promise.resolve(value);
    throw new RamaError("NOT_ALLOWED_HERE", "eachAsync needs a function that returns a promise; use each for others");
  },

  /** A task id that came as any number. */
  taskIndex(value: unknown): number {
    return typeof value === "number" ? value : typeof value === "bigint" ? Number(value) : Number.NaN;
  },

  /** Whether one of a SubSource's classes or field patterns fits. */
  matches(value: unknown, patterns: readonly unknown[]): boolean {
    for (const pattern of patterns) {
      if (typeof pattern === "function" ? Ops.IS_INSTANCE_OF.fn(pattern, value) : hasFields(value, pattern as object))
        return true;
    }
    return false;
  },

  noSubSource(value: unknown): never {
    const what =
      typeof value === "object" && value !== null ? ((value as object).constructor?.name ?? "object") : String(value);
    throw new RamaError("NO_SUB_SOURCE", `no SubSource takes the value (${what})`, { value: what });
  },
};

function isHeld(value: unknown): value is HeldState {
  return typeof value === "object" && value !== null && typeof (value as HeldState).pathRoot === "function";
}

function notAState(): never {
  throw new RamaError("NOT_ALLOWED_HERE", "the var holds plain data: only a PState can be changed");
}

function fieldsOf(row: Emission, count: number): readonly unknown[] {
  if (row.fields.length === count) return row.fields;
  const message = `${row.fields.length} fields are emitted, ${count} vars are bound`;
  throw new RamaError("WRONG_OUTPUT_COUNT", message, { fields: row.fields.length, vars: count });
}

function hasFields(value: unknown, pattern: object): boolean {
  for (const [name, wanted] of Object.entries(pattern))
    if (!valuesEqual(runtime.field(value, name), wanted)) return false;
  return true;
}
