// Who wants to know when something below a top-level key of a partition has been applied: the proxies. A group whose partitions nobody watches pays one test per
// applied transaction; a watched partition one lookup per key written. What exactly changed, and whether it touches the watched place, the watcher finds out by reading.
import { latin1Of } from "../base/bytes.ts";
import { encodeKey } from "../base/key-encoding.ts";
import { HEADER_BYTES, idEnd, readId } from "./layout.ts";
import { decodeKey } from "../base/key-decoding.ts";
import type { Node } from "./node-cache.ts";
import { META, type Structure } from "./structure.ts";

export interface Watcher {
  /** Called while writes are being applied, possibly several times for one transaction: note it, and read later. */
  touched(): void;
}

export class PartitionWatch {
  readonly #byKey = new Map<unknown, Watcher | Set<Watcher>>();
  readonly #all = new Set<Watcher>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** `place`: the top-level key below which the watcher looks; absent: anywhere. */
  add(watcher: Watcher, place?: { readonly key: unknown }): void {
    this.#size++;
    if (place === undefined) {
      this.#all.add(watcher);
      return;
    }
    const key = canonical(place.key);
    const there = this.#byKey.get(key);
    if (there === undefined) this.#byKey.set(key, watcher);
    else if (there instanceof Set) there.add(watcher);
    else this.#byKey.set(key, new Set([there, watcher]));
  }

  delete(watcher: Watcher, place?: { readonly key: unknown }): void {
    this.#size--;
    if (place === undefined) {
      this.#all.delete(watcher);
      return;
    }
    const key = canonical(place.key);
    const there = this.#byKey.get(key);
    if (there instanceof Set) {
      there.delete(watcher);
      if (there.size > 0) return;
    }
    this.#byKey.delete(key);
  }

  /** The node's applied value is another one now. */
  applied(node: Node): void {
    const { level } = node.structure;
    if (level === 0) {
      this.#touchEverything();
      return;
    }
    for (const watcher of this.#all) watcher.touched();
    if (this.#byKey.size === 0 || (level === 1 && node.key === META)) return;
    const there = this.#byKey.get(level === 1 ? canonical(node.key) : topKeyOf(node.structure));
    if (there === undefined) return;
    if (there instanceof Set) for (const watcher of there) watcher.touched();
    else there.touched();
  }

  #touchEverything(): void {
    for (const watcher of this.#all) watcher.touched();
    for (const there of this.#byKey.values()) {
      if (there instanceof Set) for (const watcher of there) watcher.touched();
      else there.touched();
    }
  }
}

let lastStructure: WeakRef<Structure> | undefined;
let lastTopKey: unknown;

/** The top-level key below which a nested structure stands. */
function topKeyOf(structure: Structure): unknown {
  if (lastStructure?.deref() === structure) return lastTopKey;
  readId(structure.prefix, HEADER_BYTES + 1);
  lastTopKey = canonical(decodeKey(structure.prefix, idEnd));
  lastStructure = new WeakRef(structure);
  return lastTopKey;
}

/** The same for keys that are equal: itself for most, text for composite keys. */
function canonical(key: unknown): unknown {
  if (typeof key === "bigint") {
    const number = Number(key);
    return Number.isFinite(number) && BigInt(number) === key ? number : key;
  }
  return typeof key === "object" && key !== null ? `\u{0}${latin1Of(encodeKey(key))}` : key;
}
