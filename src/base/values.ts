// What a value is: the kinds of data that records, variables and PStates hold, and how user data is brought to that form. Everything that
// encodes, compares or freezes values branches on the kinds named here.
//
// `undefined` is no value: at every border it becomes null, and a field that is undefined is dropped from plain objects and class instances.
import { RamaError } from "./errors.ts";

export type Value = unknown;
export type Class = abstract new (...args: any[]) => any;

/** Present on handles of structures whose elements are stored one by one: what holds one is no value that could be encoded. */
export const structureMark = Symbol("structure");

export type ValueKind =
  | "null"
  | "boolean"
  | "number"
  | "bigint"
  | "string"
  | "bytes"
  | "typedArray"
  | "date"
  | "array"
  | "map"
  | "set"
  | "object"
  | "instance"
  | "function"
  | "symbol";

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

export function kindOf(value: unknown): ValueKind {
  switch (typeof value) {
    case "undefined":
      return "null";
    case "boolean":
    case "number":
    case "bigint":
    case "string":
    case "function":
    case "symbol":
      return typeof value as ValueKind;
    default:
      return kindOfObject(value as object | null);
  }
}

function kindOfObject(value: object | null): ValueKind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isPlainObject(value)) return "object";
  if (value instanceof Map) return "map";
  if (value instanceof Set) return "set";
  if (value instanceof Date) return "date";
  if (value instanceof Uint8Array) return "bytes";
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return "typedArray";
  return "instance";
}

/**
 * The typed arrays beside Uint8Array. Their index in this table is on disk and on the wire: append only.
 */
export const typedArrayTypes = [
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
] as const;

/** Input and output of a custom serialization. What is read must be what was written, in the same order. */
export interface ValueOutput {
  writeValue(value: unknown): void;
}
export interface ValueInput {
  readValue(): unknown;
}

/**
 * How a class that is not plain fields is stored and sent. `serialize` must be deterministic, and its format stays readable for ever.
 * Two serializations may not claim a class and its subclass.
 */
export interface RamaCustomSerialization<T = any> {
  targetType(): Class;
  serialize(value: T, out: ValueOutput): void;
  deserialize(input: ValueInput): T;
}

// Names given by registration, for key encoding, which knows no registry.
const registeredNames = new WeakMap<object, string>();

export function classNameOf(value: object): string {
  const type = value.constructor;
  return registeredNames.get(type) ?? type?.name ?? "";
}

/**
 * The classes and custom serializations that one module, client or cluster knows: name to constructor and back.
 * A class that is not here is NOT_SERIALIZABLE.
 */
export class ClassRegistry {
  readonly #byName = new Map<string, Class>();
  readonly #byClass = new Map<unknown, string>();
  readonly #customByName = new Map<string, RamaCustomSerialization>();
  readonly #customByClass = new Map<unknown, string>();
  /** Unknown classes are read as plain objects (tools that only show values). */
  readonly lenient: boolean;

  constructor(options: { lenient?: boolean } = {}) {
    this.lenient = options.lenient ?? false;
  }

  register(type: Class, name: string = type.name): this {
    if (name === "") throw new RamaError("NOT_SERIALIZABLE", "a class without a name cannot be registered");
    const known = this.#byName.get(name);
    if (known !== undefined && known !== type) this.#byClass.delete(known);
    this.#byName.set(name, type);
    this.#byClass.set(type, name);
    registeredNames.set(type, name);
    return this;
  }

  registerCustom(name: string, serialization: RamaCustomSerialization): this {
    const type = serialization.targetType();
    for (const [other, otherName] of this.#customByClass) {
      const overlap = other === type || isSubclass(other as Class, type) || isSubclass(type, other as Class);
      if (otherName !== name && overlap) {
        throw new RamaError("NOT_SERIALIZABLE", `custom serializations ${otherName} and ${name} claim the same class`, {
          first: otherName,
          second: name,
        });
      }
    }
    this.#customByName.set(name, serialization);
    this.#customByClass.set(type, name);
    return this;
  }

  classNamed(name: string): Class | undefined {
    return this.#byName.get(name);
  }

  nameOf(type: unknown): string | undefined {
    return this.#byClass.get(type);
  }

  customNamed(name: string): RamaCustomSerialization | undefined {
    return this.#customByName.get(name);
  }

  get hasCustom(): boolean {
    return this.#customByClass.size > 0;
  }

  /** The custom serialization that claims `value` (by its class or one above it). */
  customFor(value: object): { readonly name: string; readonly serialization: RamaCustomSerialization } | undefined {
    for (let type = value.constructor; typeof type === "function"; type = Object.getPrototypeOf(type)) {
      const name = this.#customByClass.get(type);
      if (name !== undefined) return { name, serialization: this.#customByName.get(name)! };
    }
    return undefined;
  }

  /** Both registries' contents; the receiver's win. */
  mergedWith(other: ClassRegistry): ClassRegistry {
    const merged = new ClassRegistry({ lenient: this.lenient });
    for (const registry of [other, this]) {
      for (const [name, type] of registry.#byName) merged.register(type, name);
      for (const [name, custom] of registry.#customByName) merged.registerCustom(name, custom);
    }
    return merged;
  }
}

function isSubclass(type: Class, above: Class): boolean {
  return typeof type === "function" && type.prototype instanceof above;
}

/** `undefined` becomes null, at any depth. Returns `value` itself where there is nothing to change. */
export function normalizeValue(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return normalizeArray(value);
  if (value instanceof Map) return normalizeMap(value);
  if (value instanceof Set) {
    for (const element of value)
      if (normalizeValue(element) !== element) return new Set([...value].map(normalizeValue));
    return value;
  }
  return isPlainObject(value) ? normalizeObject(value) : value;
}

function normalizeArray(value: unknown[]): unknown[] {
  for (let i = 0; i < value.length; i++) {
    const element = value[i];
    if (element === undefined || (typeof element === "object" && normalizeValue(element) !== element)) {
      return Array.from(value, normalizeValue);
    }
  }
  return value;
}

function normalizeMap(value: Map<unknown, unknown>): Map<unknown, unknown> {
  for (const [k, v] of value) {
    if (normalizeValue(k) !== k || normalizeValue(v) !== v) {
      return new Map([...value].map(([key, element]) => [normalizeValue(key), normalizeValue(element)]));
    }
  }
  return value;
}

function normalizeObject(value: Record<string, unknown>): Record<string, unknown> {
  for (const name in value) {
    const field = value[name];
    if (field === undefined || (typeof field === "object" && normalizeValue(field) !== field)) {
      const copy: Record<string, unknown> = {};
      for (const key of Object.keys(value)) {
        if (value[key] !== undefined) defineField(copy, key, normalizeValue(value[key]));
      }
      return copy;
    }
  }
  return value;
}

/** Sets a field by any name, `__proto__` included. */
export function defineField(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name === "__proto__") {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[name] = value;
  }
}

const refuseChange = (): never => {
  throw new TypeError("this value is shared and must not be changed: copy it first");
};

/**
 * Freezes a value at every depth, Maps and Sets included (their changing methods throw). Bytes and dates cannot be frozen and are left.
 * For constants, and for values handed to user code when checks are on.
 */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (ArrayBuffer.isView(value)) return value;
  if (value instanceof Map || value instanceof Set) {
    const names = value instanceof Map ? ["set", "delete", "clear"] : ["add", "delete", "clear"];
    for (const name of names) Object.defineProperty(value, name, { value: refuseChange });
    for (const [key, element] of value.entries()) {
      deepFreeze(key);
      deepFreeze(element);
    }
  } else {
    Object.freeze(value);
    for (const element of Object.values(value)) deepFreeze(element);
  }
  return Object.freeze(value);
}

/** A copy that shares nothing that can be changed with the original; class instances keep their class. */
export function deepCopy<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  return deepCopyObject(value) as T;
}

function deepCopyObject(value: object): unknown {
  if (Array.isArray(value)) return value.map(deepCopy);
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [deepCopy(k), deepCopy(v)]));
  if (value instanceof Set) return new Set([...value].map(deepCopy));
  if (value instanceof Date) return new Date(value.getTime());
  if (ArrayBuffer.isView(value)) return (value as Uint8Array).slice?.() ?? value;
  const copy: Record<string, unknown> = Object.create(Object.getPrototypeOf(value));
  for (const name of Object.keys(value)) defineField(copy, name, deepCopy((value as Record<string, unknown>)[name]));
  return copy;
}
