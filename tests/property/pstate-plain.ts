// Schemas, random keys and values for them, and the plain model of a PState partition (pstate-model.test.ts).
import { latin1Of } from "../../src/base/bytes.ts";
import { encodeKey } from "../../src/base/key-encoding.ts";
import type { SchemaNode } from "../../src/module/schema.ts";
import { IndexedList, IndexedMap, IndexedSet } from "../../src/paths/indexed.ts";

export const leaf = (type: any): SchemaNode => ({ kind: "leaf", type });
const tracked = { subindexed: { sizeTracking: true } };
const untracked = { subindexed: { sizeTracking: false } };
export const map = (key: any, value: SchemaNode, sub: object = {}): SchemaNode => ({ kind: "map", key, value, ...sub });
export const set = (element: any, sub: object = {}): SchemaNode => ({ kind: "set", element, ...sub });
export const list = (element: SchemaNode, sub: object = {}): SchemaNode => ({ kind: "list", element, ...sub });
export const fixed = (fields: Record<string, SchemaNode>): SchemaNode => ({
  kind: "fixed",
  fields: new Map(Object.entries(fields)),
});

export const schemas: Record<string, SchemaNode> = {
  "plain values": map(String, leaf(Number)),
  "composite keys": map(Object, leaf(Object)),
  "subindexed maps": map(String, map(Number, leaf(String), tracked)),
  "untracked maps two deep": map(Number, map(String, map(Number, leaf(Number), untracked), untracked)),
  "structures in fixed values": map(
    String,
    fixed({
      name: leaf(String),
      posts: set(Number, tracked),
      log: list(leaf(String), tracked),
      deep: map(String, set(String, untracked), tracked),
    }),
  ),
  "structures in plain maps and lists": map(Number, map(String, list(set(Number, tracked)))),
  "lists of structures": map(Number, list(map(Number, leaf(Number), tracked), tracked)),
  "fixed top level": fixed({
    count: leaf(Number),
    seen: set(String, tracked),
    names: list(leaf(String), tracked),
    by: map(String, leaf(Number), untracked),
  }),
  "one value": leaf(Number),
};

// ---- generated input

export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
    return ((x ^ (x >>> 15)) >>> 0) % n;
  }
  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const strings = ["a", "b", "ab", "abc", "zebra", "\u0000x", "ä", "😀", ""];

export function anyKey(r: Random, type: any): unknown {
  if (type === String) return r.pick(strings);
  if (type === Number) return r.pick([0, 1, 2, 3, 5, 17, 300, -4, 2.5, 70000]);
  return r.pick<unknown>(["s", 7, [1, "x"], [1, "y"], [1], [2, "a"], null, true, new Date(5)]);
}

export function anyValue(r: Random, schema: SchemaNode): unknown {
  if (r.chance(25)) return null;
  const many = r.below(5);
  const times = <T>(make: () => T): T[] => Array.from({ length: many }, make);
  switch (schema.kind) {
    case "leaf":
      if (schema.type === String) return r.pick(strings);
      return schema.type === Number ? r.below(1000) : r.pick<unknown>([1, "x", [1, 2], { a: 1 }, new Map([["k", 2]])]);
    case "map":
      return new Map(times(() => [anyKey(r, schema.key), anyValue(r, schema.value)] as const));
    case "set":
      return new Set(times(() => anyKey(r, schema.element)));
    case "list":
      return times(() => anyValue(r, schema.element));
    case "fixed":
      return Object.fromEntries(
        [...schema.fields].filter(() => !r.chance(3)).map(([name, field]) => [name, anyValue(r, field)]),
      );
    default:
      throw new Error("not generated");
  }
}

// ---- the model: maps and sets by encoded key, lists as arrays, fixed as objects

export type Keyed = Map<string, { k: any; v: any }>;
export const textOf = (key: unknown) => latin1Of(encodeKey(key));

export function modelOf(schema: SchemaNode, value: any): any {
  if (value === null || value === undefined) return null;
  switch (schema.kind) {
    case "map":
      return new Map([...value].map(([k, v]) => [textOf(k), { k, v: modelOf(schema.value, v) }]));
    case "set":
      return new Map([...value].map((k) => [textOf(k), { k, v: true }]));
    case "list":
      return value.map((v: any) => modelOf(schema.element, v));
    case "fixed":
      return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, modelOf(schema.fields.get(name)!, v)]));
    default:
      return value;
  }
}

export const sorted = (keyed: Keyed) =>
  [...keyed].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, entry]) => entry);

/** Canonical plain form of a model value. */
export function shown(schema: SchemaNode, model: any): unknown {
  if (model === null || model === undefined) return model ?? null;
  switch (schema.kind) {
    case "map":
      return sorted(model).map(({ k, v }) => [k, shown(schema.value, v)]);
    case "set":
      return sorted(model).map(({ k }) => k);
    case "list":
      return model.map((v: any) => shown(schema.element, v));
    case "fixed":
      return Object.fromEntries(
        [...schema.fields].filter(([n]) => n in model).map(([n, s]) => [n, shown(s, model[n])]),
      );
    default:
      return model;
  }
}

/** The same form of what the PState gives. */
export function read(schema: SchemaNode, value: any, top = false): unknown {
  if (value === null || value === undefined) return null;
  switch (schema.kind) {
    case "map": {
      const entries: [any, any][] = value instanceof IndexedMap ? value.range({}) : [...value];
      if (!(value instanceof IndexedMap)) entries.sort(([a], [b]) => (textOf(a) < textOf(b) ? -1 : 1));
      return entries.map(([k, v]) => [k, read(schema.value, v)]);
    }
    case "set": {
      if (value instanceof IndexedSet) return value.range({});
      return [...value].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
    }
    case "list":
      return (value instanceof IndexedList ? value.slice(0, value.size()) : value).map((v: any) =>
        read(schema.element, v),
      );
    case "fixed": {
      const entries: [string, any][] = top ? value.range({}) : Object.entries(value);
      const fields = new Map(entries);
      return Object.fromEntries(
        [...schema.fields].filter(([n]) => fields.has(n)).map(([n, s]) => [n, read(s, fields.get(n))]),
      );
    }
    default:
      return value;
  }
}
