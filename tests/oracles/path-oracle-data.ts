// What the oracle of paths (`path-oracle.ts`) knows of plain data: lookups, entries, elements, and how a collection is made anew.
import { valuesEqual } from "../../src/base/compare.ts";
import { RamaError } from "../../src/base/errors.ts";
import { isPlainObject } from "../../src/base/values.ts";
import { type ArgNode, isOp } from "../../src/paths/arg.ts";
import { VOID } from "../../src/paths/navigator.ts";

export type Emit = (value: unknown, collected: readonly unknown[]) => void;
export type Change = (value: unknown, collected: readonly unknown[]) => unknown;
export type Entry = [unknown, unknown];

export function constantOf(arg: ArgNode | undefined): any {
  return arg === undefined ? undefined : (arg as { value: unknown }).value;
}

export function call(fn: unknown, args: readonly unknown[]): unknown {
  const result = isOp(fn) ? fn.fn(...args) : (fn as (...args: unknown[]) => unknown)(...args);
  return result === undefined ? null : result;
}

export const truthy = (value: unknown) => value !== null && value !== false && value !== undefined;

export function entriesOf(value: unknown): Entry[] {
  if (value === null) return [];
  return value instanceof Map ? [...value] : Object.entries(value as object);
}

export function elementsOf(value: unknown): unknown[] {
  if (value === null) return [];
  if (Array.isArray(value)) return value;
  return value instanceof Set ? [...value] : entriesOf(value);
}

export const isMapLike = (value: unknown) => value instanceof Map || isPlainObject(value);

export function fromEntries(like: unknown, entries: readonly Entry[]): unknown {
  const unique: Entry[] = [];
  for (const [key, value] of entries) {
    const at = unique.findIndex(([other]) => valuesEqual(other, key));
    if (at < 0) unique.push([key, value]);
    else unique[at] = [unique[at]![0], value];
  }
  return isPlainObject(like) ? Object.fromEntries(unique as [string, unknown][]) : new Map(unique);
}

export function fromElements(elements: readonly unknown[]): Set<unknown> {
  return new Set(elements.filter((element, i) => elements.findIndex((other) => valuesEqual(other, element)) === i));
}

export function lookup(value: unknown, key: unknown): { found: unknown } | undefined {
  if (value === null) return undefined;
  if (Array.isArray(value))
    return Number.isInteger(key) && (key as number) in value ? { found: value[key as number] } : undefined;
  const entry = (value instanceof Set ? [...value].map((e): Entry => [e, e]) : entriesOf(value)).find(([k]) =>
    valuesEqual(k, key),
  );
  return entry === undefined ? undefined : { found: entry[1] };
}

/** `next` undefined removes. */
export function replaced(value: unknown, key: unknown, next: unknown): unknown {
  if (Array.isArray(value)) {
    const at = Number.isInteger(key) ? (key as number) : Number.POSITIVE_INFINITY;
    if (next !== VOID && (at > value.length || at < 0)) throw new RamaError("INDEX_OUT_OF_RANGE", "beyond the end");
    if (next === VOID && (at >= value.length || at < 0)) return value;
    return [...value.slice(0, at), ...(next === VOID ? [] : [next]), ...value.slice(at + 1)];
  }
  if (next === VOID) {
    return value === null
      ? null
      : fromEntries(
          value,
          entriesOf(value).filter(([k]) => !valuesEqual(k, key)),
        );
  }
  return fromEntries(value, [...entriesOf(value), [key, next]]);
}
