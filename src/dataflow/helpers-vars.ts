// `Helpers`: names that macros need so as not to capture their callers' vars, keys for tests, and lookups by value.
import { mapGet, mapHas, setHas, valuesEqual } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { uuid7 } from "../base/uuid7.ts";
import type { PStateVar, ValueVar } from "../paths/arg.ts";

let generated = 0;

interface Uuid7Clock {
  now(): number;
  random(): number;
}
let clock: Uuid7Clock | undefined;

/** Where `Helpers.uuid7` takes time and chance from; the doors of the package set it to the real ones. */
export function setUuid7Clock(source: Uuid7Clock): void {
  clock = source;
}

const generatedVar = /^\*___(.*)_(\d+)$/;
const generatedPState = /^\$\$___(.*)_(\d+)$/;

export const Helpers = Object.freeze({
  /** A var that no one else has: `*___prefix_7`. */
  genVar(prefix = "var"): ValueVar {
    return `*___${prefix}_${++generated}`;
  },
  genPStateVar(prefix = "pstate"): PStateVar {
    return `$$___${prefix}_${++generated}`;
  },
  isGeneratedVar(name: string): boolean {
    return generatedVar.test(name) || generatedPState.test(name);
  },
  getGeneratedVarPrefix(name: string): string | null {
    return (generatedVar.exec(name) ?? generatedPState.exec(name))?.[1] ?? null;
  },
  /** Keys by the partition that they hash to: element i goes to partition i. For tests. */
  genHashingIndexKeys(numPartitions: number): string[] {
    if (!Number.isInteger(Math.log2(numPartitions))) {
      throw new RamaError("BAD_PARALLELISM", `${numPartitions} partitions: the number must be a power of two`);
    }
    const keys: string[] = [];
    for (let found = 0, i = 0; found < numPartitions; i++) {
      const task = taskOf(`key-${i}`, numPartitions);
      if (keys[task] !== undefined) continue;
      keys[task] = `key-${i}`;
      found++;
    }
    return keys;
  },
  /** The value at a key by value (`[1]` finds `[1]`); null when absent. */
  get(map: ReadonlyMap<unknown, unknown>, key: unknown): unknown {
    return mapGet(map, key) ?? null;
  },
  has(collection: ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>, key: unknown): boolean {
    return collection instanceof Map ? mapHas(collection, key) : setHas(collection as ReadonlySet<unknown>, key);
  },
  equal(a: unknown, b: unknown): boolean {
    return valuesEqual(a, b);
  },
  /** Version 7, strictly ascending within a process. */
  uuid7(): string {
    if (clock === undefined) throw new RamaError("INTERNAL", "Helpers.uuid7 has no clock");
    return uuid7(clock.now(), () => clock!.random());
  },
});
