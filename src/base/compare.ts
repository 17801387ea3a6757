// Equality and order of values by value, as keys have them: 1 equals 1n, -0 equals 0, arrays by elements, Maps and Sets by content. Also lookups by
// value in ordinary Maps and Sets, whose own lookups go by identity for composite keys.
import { compareBytes, equalBytes, latin1Of } from "./bytes.ts";
import { encodeKey, KeyWriter } from "./key-encoding.ts";
import { kindOf } from "./values.ts";

/** NaN equals NaN here: it is a value, only not a key. */
export function valuesEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  const typeA = typeof a;
  const typeB = typeof b;
  if (typeA === "number" || typeA === "bigint") {
    if (typeB === typeA) return Number.isNaN(a) && Number.isNaN(b);
    // biome-ignore lint/suspicious/noDoubleEquals: a number and a bigint compare by value here.
    return (typeB === "number" || typeB === "bigint") && (a as number) == (b as number);
  }
  if (a === undefined || a === null) return b === undefined || b === null;
  if (typeA !== "object" || typeB !== "object" || b === null) return false;
  return objectsEqual(a as object, b as object);
}

function objectsEqual(a: object, b: object): boolean {
  const kind = kindOf(a);
  if (kind !== kindOf(b)) return false;
  switch (kind) {
    case "array": {
      const [x, y] = [a as unknown[], b as unknown[]];
      return x.length === y.length && x.every((element, i) => valuesEqual(element, y[i]));
    }
    case "date":
      return (a as Date).getTime() === (b as Date).getTime();
    case "bytes":
      return equalBytes(a as Uint8Array, b as Uint8Array);
    case "typedArray": {
      const [x, y] = [a as Uint32Array, b as Uint32Array];
      return x.constructor === y.constructor && x.length === y.length && x.every((element, i) => element === y[i]);
    }
    case "map":
      return mapsEqual(a as Map<unknown, unknown>, b as Map<unknown, unknown>);
    case "set": {
      const [x, y] = [a as Set<unknown>, b as Set<unknown>];
      return x.size === y.size && [...x].every((element) => setHas(y, element));
    }
    case "object":
      return fieldsEqual(a, b);
    default:
      return Object.getPrototypeOf(a) === Object.getPrototypeOf(b) && fieldsEqual(a, b);
  }
}

function mapsEqual(a: Map<unknown, unknown>, b: Map<unknown, unknown>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    const stored = storedKey(b, key);
    if (stored === absent || !valuesEqual(value, b.get(stored))) return false;
  }
  return true;
}

function fieldsEqual(a: object, b: object): boolean {
  const present = (object: object) => Object.entries(object).filter(([, value]) => value !== undefined);
  const fields = present(a);
  const others = b as Record<string, unknown>;
  if (fields.length !== present(b).length) return false;
  return fields.every(([name, value]) => Object.hasOwn(b, name) && valuesEqual(value, others[name]));
}

const left = new KeyWriter(256);
const right = new KeyWriter(256);

/** Negative, zero or positive: the order of keys. NOT_A_KEY for what has no place in it. */
export function compareValues(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") {
    if (a < b) return -1;
    if (a >= b) return a > b ? 1 : 0;
  }
  if (typeof a === "string" && typeof b === "string") return compareStrings(a, b);
  left.reset();
  right.reset();
  left.key(a);
  right.key(b);
  return compareBytes(left.view(), right.view());
}

/** By code point. UTF-16 order differs from it only where a surrogate meets a unit of U+E000 to U+FFFF. */
export function compareStrings(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    if (x < 0xd800 || y < 0xd800) return x - y;
    // A high surrogate before, common to both, may be alone in one and half of a pair in the other.
    const from = i > 0 && isHighSurrogate(a.charCodeAt(i - 1)) ? i - 1 : i;
    return a.codePointAt(from)! - b.codePointAt(from)! || a.codePointAt(i)! - b.codePointAt(i)!;
  }
  return a.length - b.length;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

const absent = Symbol("absent");

/** Up to this size a composite key is looked for one by one; above, an index by encoded key is built and kept beside the collection. */
const scanMax = 12;

interface Index {
  /** Size of the collection when the index was last right; another size means that somebody changed it directly. */
  size: number;
  readonly byBytes: Map<string, unknown>;
}

const indexes = new WeakMap<object, Index>();

function indexOf(collection: Map<unknown, unknown> | Set<unknown>): Index {
  let index = indexes.get(collection);
  if (index === undefined || index.size !== collection.size) {
    index = { size: collection.size, byBytes: new Map() };
    for (const key of collection.keys())
      if (typeof key === "object" && key !== null) index.byBytes.set(textOf(key), key);
    indexes.set(collection, index);
  }
  return index;
}

function textOf(key: unknown): string {
  return latin1Of(encodeKey(key));
}

/** The key of `collection` that equals `key`, or `absent`. */
function storedKey(collection: Map<unknown, unknown> | Set<unknown>, key: unknown): unknown {
  if (collection.has(key)) return key;
  switch (typeof key) {
    case "object":
      return key === null ? absent : storedComposite(collection, key);
    case "number":
      return Number.isInteger(key) && collection.has(BigInt(key)) ? BigInt(key) : absent;
    case "bigint": {
      const number = Number(key);
      return BigInt(Number.isFinite(number) ? number : 0) === key && collection.has(number) ? number : absent;
    }
    case "undefined":
      return collection.has(null) ? null : absent;
    default:
      return absent;
  }
}

function storedComposite(collection: Map<unknown, unknown> | Set<unknown>, key: object): unknown {
  if (collection.size > scanMax) {
    const { byBytes } = indexOf(collection);
    if (byBytes.size === 0) return absent;
    const text = textOf(key);
    return byBytes.has(text) ? byBytes.get(text) : absent;
  }
  for (const candidate of collection.keys()) {
    if (typeof candidate === "object" && candidate !== null && valuesEqual(candidate, key)) return candidate;
  }
  return absent;
}

/** undefined when absent. */
export function mapGet(map: ReadonlyMap<unknown, unknown>, key: unknown): unknown {
  const value = map.get(key);
  if (value !== undefined || typeof key === "string" || map.size === 0) return value;
  const stored = storedKey(map as Map<unknown, unknown>, key);
  return stored === absent ? undefined : map.get(stored);
}

export function mapHas(map: ReadonlyMap<unknown, unknown>, key: unknown): boolean {
  return (
    map.has(key) || (typeof key !== "string" && map.size > 0 && storedKey(map as Map<unknown, unknown>, key) !== absent)
  );
}

/** Keeps the key that is there when an equal one is. Changes `map`. */
export function mapSet(map: Map<unknown, unknown>, key: unknown, value: unknown): void {
  if (typeof key === "string" || map.size === 0) {
    map.set(key, value);
    return;
  }
  const stored = storedKey(map, key);
  map.set(stored === absent ? key : stored, value);
  if (stored === absent) noteAdded(map, key);
}

export function mapDelete(map: Map<unknown, unknown>, key: unknown): boolean {
  const stored = storedKey(map, key);
  if (stored === absent) return false;
  map.delete(stored);
  noteDeleted(map, stored);
  return true;
}

export function setHas(set: ReadonlySet<unknown>, element: unknown): boolean {
  if (set.has(element)) return true;
  return typeof element !== "string" && set.size > 0 && storedKey(set as Set<unknown>, element) !== absent;
}

/** True when the element is new. Changes `set`. */
export function setAdd(set: Set<unknown>, element: unknown): boolean {
  if (setHas(set, element)) return false;
  set.add(element);
  noteAdded(set, element);
  return true;
}

export function setDelete(set: Set<unknown>, element: unknown): boolean {
  const stored = storedKey(set, element);
  if (stored === absent) return false;
  set.delete(stored);
  noteDeleted(set, stored);
  return true;
}

/** The element of `set` that equals `element`; undefined when there is none. */
export function setStored(set: ReadonlySet<unknown>, element: unknown): unknown {
  const stored = storedKey(set as Set<unknown>, element);
  return stored === absent ? undefined : stored;
}

function noteAdded(collection: Map<unknown, unknown> | Set<unknown>, key: unknown): void {
  const index = indexes.get(collection);
  if (index === undefined || index.size !== collection.size - 1) return;
  index.size++;
  if (typeof key === "object" && key !== null) index.byBytes.set(textOf(key), key);
}

function noteDeleted(collection: Map<unknown, unknown> | Set<unknown>, key: unknown): void {
  const index = indexes.get(collection);
  if (index === undefined || index.size !== collection.size + 1) return;
  index.size--;
  if (typeof key === "object" && key !== null) index.byBytes.delete(textOf(key));
}
