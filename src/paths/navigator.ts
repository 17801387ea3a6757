// Navigators of the author's own: the contract, and VOID.
import { RamaError } from "../base/errors.ts";

/**
 * No value: what a navigator's `next` returns when the place is to be removed, and what a transform returns in its place.
 * Never a value of a variable.
 */
export const VOID: unique symbol = Symbol("VOID");

/**
 * `select` yields every place's value. `transform` calls `next` for every place and puts together the new structure from what it returns,
 * leaving out what is VOID. Both must be pure: they may be evaluated more than once.
 */
export interface Navigator<T = any> {
  select(value: T): Iterable<unknown>;
  transform(value: T, next: (place: any) => unknown): unknown;
}

export function navigator<T = any>(functions: {
  select: (value: T) => Iterable<unknown>;
  transform?: (value: T, next: (place: any) => unknown) => unknown;
}): Navigator<T> {
  const select = functions.select.bind(functions);
  const transform = functions.transform?.bind(functions);
  return Object.freeze({
    select,
    transform:
      transform ??
      (() => {
        throw new RamaError("BAD_PATH", "this navigator has no transform function");
      }),
  });
}

export function isNavigator(value: unknown): value is Navigator {
  if (typeof value !== "object" || value === null) return false;
  return typeof (value as Navigator).select === "function" && typeof (value as Navigator).transform === "function";
}
