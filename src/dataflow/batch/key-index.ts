// What belongs to each key of a batch's tables. Keys are equal by value. A single string or number finds its entry by itself: no text is made for it, which for
// short keys is most of what a row costs.
import { latin1Of } from "../../base/bytes.ts";
import { encodeKey } from "../../base/key-encoding.ts";

/** Text that is equal exactly for equal keys. */
export function keyText(keys: readonly unknown[]): string {
  return latin1Of(encodeKey(keys.length === 1 ? keys[0] : keys));
}

export class KeyIndex<V> {
  /** Strings, and numbers by their value; -0 is 0 to a Map. */
  readonly #single = new Map<unknown, V>();
  readonly #others = new Map<string, V>();

  /** Of one key. */
  getOne(key: unknown): V | undefined {
    const single = singleOf(key);
    return single === undefined ? this.#others.get(keyText([key])) : this.#single.get(single);
  }

  get(keys: readonly unknown[]): V | undefined {
    return keys.length === 1 ? this.getOne(keys[0]) : this.#others.get(keys.length === 0 ? "" : keyText(keys));
  }

  /** Of keys that `get` has not found. */
  add(keys: readonly unknown[], value: V): void {
    const single = keys.length === 1 ? singleOf(keys[0]) : undefined;
    if (single !== undefined) this.#single.set(single, value);
    else this.#others.set(keys.length === 0 ? "" : keyText(keys), value);
  }

  *values(): Iterable<V> {
    yield* this.#single.values();
    yield* this.#others.values();
  }
}

/** What stands for the key in a Map; undefined where its encoding must. 1 and 1n are one key; NaN is none, which its encoding says. */
function singleOf(key: unknown): string | number | undefined {
  if (typeof key === "string") return key;
  // biome-ignore lint/suspicious/noSelfCompare: a test for NaN
  if (typeof key === "number") return key === key ? key : undefined;
  if (typeof key === "bigint" && key >= Number.MIN_SAFE_INTEGER && key <= Number.MAX_SAFE_INTEGER) return Number(key);
  return undefined;
}
