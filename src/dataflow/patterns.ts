// Patterns take a value apart where it is bound: `.out({ a: "*a", at: { lat: "*lat" } })`, `.out(["*a", "*b"])`, `.out(fields("*a", "*b"))`.
// Object patterns bind null for absent fields and for a null value; list patterns must match the length.
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { isPStateVar, isValueVar, type ValueVar } from "../paths/arg.ts";

export type Pattern =
  | { readonly kind: "object"; readonly fields: readonly { readonly name: string; readonly to: string | Pattern }[] }
  | { readonly kind: "list"; readonly items: readonly (string | Pattern)[] };

/** What an author may write as a pattern. */
export type PatternArg =
  | { readonly [field: string]: ValueVar | PatternArg }
  | readonly (ValueVar | PatternArg)[]
  | FieldsPattern;

/** Made by `fields("*a", "*b")`. */
export class FieldsPattern {
  readonly names: readonly string[];
  constructor(names: readonly string[]) {
    this.names = names;
    Object.freeze(this);
  }
}

/** The pattern that binds each var to the field of the same name, without the star. */
export function fields(...vars: ValueVar[]): FieldsPattern {
  for (const name of vars)
    if (!isValueVar(name)) throw badPattern(`fields takes vars such as "*userId", not ${String(name)}`);
  return new FieldsPattern(Object.freeze([...vars]));
}

function badPattern(message: string): RamaError {
  return new RamaError("BAD_MODULE", message);
}

export function toPattern(value: unknown): Pattern {
  if (value instanceof FieldsPattern) {
    return freeze({ kind: "object", fields: value.names.map((name) => ({ name: name.slice(1), to: name })) });
  }
  if (Array.isArray(value)) return freeze({ kind: "list", items: value.map(target) });
  if (isPlainObject(value)) {
    return freeze({ kind: "object", fields: Object.entries(value).map(([name, to]) => ({ name, to: target(to) })) });
  }
  throw badPattern("a pattern is an object of vars, a list of vars or fields(…)");
}

function freeze(pattern: Pattern): Pattern {
  return Object.freeze(pattern);
}

function target(value: unknown): string | Pattern {
  return isValueVar(value) ? value : toPattern(value);
}

export function patternVars(pattern: Pattern): string[] {
  const targets = pattern.kind === "object" ? pattern.fields.map(({ to }) => to) : pattern.items;
  return targets.flatMap((to) => (typeof to === "string" ? [to] : patternVars(to)));
}

/** What `.out(…)` is given: vars; one pattern; or a var for the whole, then a pattern. */
export function parseOut(args: readonly unknown[]): { vars: string[]; pattern: Pattern | undefined } {
  const last = args[args.length - 1];
  const patterned = args.length > 0 && typeof last === "object" && last !== null;
  const vars = patterned ? args.slice(0, -1) : args;
  for (const name of vars) {
    if (!isValueVar(name) && !isPStateVar(name))
      throw badPattern(`out binds vars such as "*word", not ${describe(name)}`);
  }
  if (patterned && vars.length > 1) throw badPattern("a pattern stands alone or after one var for the whole");
  return { vars: vars as string[], pattern: patterned ? toPattern(last) : undefined };
}

function describe(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
