// Checks on every write: what a leaf class of a schema accepts and how its values are stored. A check returns the value to store, which is the given
// one wherever nothing has to change (`undefined` becomes null, numbers and bigints become the kind that the schema says, plain objects become Maps
// where a Map is stored). Null passes everywhere. What cannot be encoded is refused here, so that sealing a transaction never fails.
//
// The place of the value is kept on a stack beside the recursion, so that a check that passes pays nothing for the message it does not need.
import { RamaError } from "../base/errors.ts";
import { type ClassRegistry, defineField, isPlainObject } from "../base/values.ts";
import type { AnyLeaf } from "../module/schema.ts";
import { isIndexed } from "../paths/indexed.ts";

/** Deeper values are refused; the codec refuses at 400. */
const depthMax = 380;

/** A structure, as far as messages name it. */
export interface KeysAbove {
  keysAbove(): unknown[];
}

export class Validator {
  readonly #pstate: string;
  readonly #classes: ClassRegistry | undefined;
  /** Keys, indexes and fields on the way to the value under check. */
  readonly trail: unknown[] = [];
  #above: KeysAbove | undefined;
  #depth = 0;

  constructor(pstate: string, classes: ClassRegistry | undefined) {
    this.#pstate = pstate;
    this.#classes = classes;
  }

  /** Start of a check at the element `key` of the structure that `above` leads to. */
  begin(key: unknown, above: KeysAbove | undefined = undefined): void {
    this.trail.length = 0;
    this.trail.push(key);
    this.#above = above;
    this.#depth = 0;
  }

  /** Start of a check of the value of a whole partition. */
  beginRoot(): void {
    this.trail.length = 0;
    this.#above = undefined;
    this.#depth = 0;
  }

  /** Checks of other elements in the middle of this one. */
  aside(check: () => void): void {
    const trail = [...this.trail];
    const [above, depth] = [this.#above, this.#depth];
    check();
    this.trail.splice(0, this.trail.length, ...trail);
    this.#above = above;
    this.#depth = depth;
  }

  #path(): string {
    return [...(this.#above?.keysAbove() ?? []), ...this.trail].map(show).join(" / ");
  }

  mismatch(expected: string, value: unknown): RamaError {
    const path = this.#path();
    const got = describe(value);
    return new RamaError(
      "SCHEMA_MISMATCH",
      `${this.#pstate}${path === "" ? "" : ` at ${path}`}: expected ${expected}, got ${got}`,
      { pstate: this.#pstate, path, expected, got },
    );
  }

  leaf(type: AnyLeaf): (value: unknown) => unknown {
    const scalar = scalarChecks.get(type);
    if (scalar !== undefined) return (value) => scalar(value, this);
    switch (type) {
      case Object:
        return (value) => this.anything(value);
      case Array:
        return (value) => (value == null || Array.isArray(value) ? this.anything(value) : this.#fail("Array", value));
      case Set:
        return (value) => (value == null || value instanceof Set ? this.anything(value) : this.#fail("Set", value));
      case Map:
        return (value) => {
          if (value == null || value instanceof Map) return this.anything(value);
          return isPlainObject(value) ? this.anything(mapOf(value)) : this.#fail("Map", value);
        };
      default:
        return (value) => {
          if (value == null) return null;
          return value instanceof (type as new () => object) ? this.anything(value) : this.#fail(type.name, value);
        };
    }
  }

  #fail(expected: string, value: unknown): never {
    throw this.mismatch(expected, value);
  }

  /** Any value that can be encoded, at any depth. */
  anything(value: unknown): unknown {
    switch (typeof value) {
      case "string":
      case "number":
      case "boolean":
        return value;
      case "undefined":
        return null;
      case "bigint":
        return narrowed(value);
      case "object":
        return value === null ? null : this.#composite(value);
      default:
        throw this.#notSerializable(`a ${typeof value}`);
    }
  }

  #notSerializable(what: string): RamaError {
    const path = this.#path();
    return new RamaError("NOT_SERIALIZABLE", `${this.#pstate} at ${path}: ${what} cannot be stored`, {
      pstate: this.#pstate,
      path,
      what,
    });
  }

  #composite(value: object): unknown {
    if (++this.#depth > depthMax) {
      throw this.#notSerializable(`a value nested deeper than ${depthMax} levels`);
    }
    const stored = this.#compositeAt(value);
    this.#depth--;
    return stored;
  }

  #compositeAt(value: object): unknown {
    if (Array.isArray(value)) return mapArray(value, (element) => this.anything(element), this.trail);
    if (isPlainObject(value)) return mapFields(value, (field) => this.anything(field), this.trail);
    if (value instanceof Map)
      return mapEntries(
        value,
        (k) => this.anything(k),
        (v) => this.anything(v),
        this.trail,
      );
    if (value instanceof Set) return mapElements(value, (element) => this.anything(element));
    if (value instanceof Date || ArrayBuffer.isView(value)) return value;
    if (isIndexed(value)) {
      throw new RamaError(
        "STRUCTURE_NOT_A_VALUE",
        `${this.#pstate}: a subindexed structure cannot be stored elsewhere`,
        {
          pstate: this.#pstate,
        },
      );
    }
    if (this.#classes?.customFor(value) !== undefined) return value;
    if (this.#classes?.nameOf(value.constructor) === undefined) {
      throw this.#notSerializable(`an instance of ${value.constructor?.name || "a nameless class"}`);
    }
    for (const [name, field] of Object.entries(value)) {
      this.trail.push(name);
      this.anything(field);
      this.trail.pop();
    }
    return value;
  }
}

const scalarChecks = new Map<unknown, (value: unknown, at: Validator) => unknown>([
  [String, (value, at) => scalarOr("string", "String", value, at)],
  [Boolean, (value, at) => scalarOr("boolean", "Boolean", value, at)],
  [
    Number,
    (value, at) => {
      if (typeof value === "bigint" && BigInt(Number(value)) === value) return Number(value);
      return scalarOr("number", "Number", value, at);
    },
  ],
  [
    BigInt,
    (value, at) => {
      if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
      return scalarOr("bigint", "BigInt", value, at);
    },
  ],
  [
    Date,
    (value, at) => {
      if (value == null) return null;
      if (value instanceof Date) return value;
      throw at.mismatch("Date", value);
    },
  ],
  [
    Uint8Array,
    (value, at) => {
      if (value == null) return null;
      if (value instanceof Uint8Array) return value;
      throw at.mismatch("Uint8Array", value);
    },
  ],
]);

function scalarOr(type: string, name: string, value: unknown, at: Validator): unknown {
  if (typeof value === type) return value;
  if (value === null || value === undefined) return null;
  throw at.mismatch(name, value);
}

/** Under Object an integer up to 2^53 is a number. */
export function narrowed(value: bigint): number | bigint {
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value;
}

export function mapOf(fields: Record<string, unknown>): Map<string, unknown> {
  const map = new Map<string, unknown>();
  for (const name of Object.keys(fields)) if (fields[name] !== undefined) map.set(name, fields[name]);
  return map;
}

// ---- copying only what a check changes

type Check = (value: unknown) => unknown;

export function mapArray(value: unknown[], check: Check, trail: unknown[]): unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < value.length; i++) {
    const element = value[i];
    trail.push(i);
    const stored = check(element);
    trail.pop();
    if (stored !== element && copy === undefined) copy = value.slice(0, i);
    if (copy !== undefined) copy.push(stored);
  }
  return copy ?? value;
}

export function mapEntries(value: Map<unknown, unknown>, checkKey: Check, check: Check, trail: unknown[]): unknown {
  let changed = false;
  const entries: [unknown, unknown][] = [];
  for (const [k, v] of value) {
    trail.push(k);
    const key = checkKey(k);
    const element = check(v);
    trail.pop();
    if (key !== k || element !== v) changed = true;
    entries.push([key, element]);
  }
  return changed ? new Map(entries) : value;
}

export function mapElements(value: Set<unknown>, check: Check): Set<unknown> {
  let changed = false;
  const elements: unknown[] = [];
  for (const element of value) {
    const stored = check(element);
    if (stored !== element) changed = true;
    elements.push(stored);
  }
  return changed ? new Set(elements) : value;
}

export function mapFields(
  value: Record<string, unknown>,
  check: (field: unknown, name: string) => unknown,
  trail: unknown[],
): Record<string, unknown> {
  let changed = false;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const field = value[name];
    if (field === undefined) {
      changed = true;
      continue;
    }
    trail.push(name);
    const stored = check(field, name);
    trail.pop();
    if (stored !== field) changed = true;
    defineField(copy, name, stored);
  }
  return changed ? copy : value;
}

// ---- messages

function show(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
  if (typeof key === "bigint") return `${key}n`;
  if (typeof key === "object" && key !== null) return describe(key);
  return String(key);
}

/** Kind and, where short, the value: `String "abc"`, `Map of 3`. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `String ${show(value)}`;
    case "number":
      return `Number ${value}`;
    case "bigint":
      return `BigInt ${value}n`;
    case "boolean":
      return `Boolean ${value}`;
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `Array of ${value.length}`;
      if (value instanceof Map || value instanceof Set) return `${value.constructor.name} of ${value.size}`;
      return isPlainObject(value) ? `Object { ${Object.keys(value).slice(0, 8).join(", ")} }` : value.constructor.name;
    default:
      return typeof value;
  }
}
