// Which object ids the PStates of a store have: by name, kept in the store's Kv, so that an update of the module finds its data again. An id is never given
// twice, for entries of the log that name a removed object may still be replayed; they are skipped then.
//
// Removal takes two steps around the deletion of the keys, so that a crash between leaves something that finishes it: `beginRemoval` frees the name,
// `PStateGroup.deleteObject` deletes, `endRemoval` forgets the id. Whoever opens the store repeats this for all of `removing`.
import { assert } from "../base/assert.ts";
import { RamaError } from "../base/errors.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import { CATALOGUE_PREFIX, catalogueCounterKey, catalogueKey } from "./layout.ts";

const objectIdMax = 0xffff;

export async function openPStateCatalogue(kv: Kv): Promise<PStateCatalogue> {
  const stored = kv.getSync(catalogueCounterKey());
  const catalogue = new PStateCatalogue(kv, stored === undefined ? 1 : (decodeValue(stored) as number));
  const entries = await kv.range({ gte: Uint8Array.of(CATALOGUE_PREFIX, 1), lt: Uint8Array.of(CATALOGUE_PREFIX, 2) });
  for (const { key, value } of entries) {
    const [name, removing] = decodeValue(value) as [string, boolean];
    catalogue.found((key[2]! << 8) | key[3]!, name, removing);
  }
  return catalogue;
}

export class PStateCatalogue {
  readonly #kv: Kv;
  #next: number;
  readonly #ids = new Map<string, number>();
  readonly #removing = new Map<number, string>();

  constructor(kv: Kv, next: number) {
    this.#kv = kv;
    this.#next = next;
  }

  found(objectId: number, name: string, removing: boolean): void {
    if (removing) this.#removing.set(objectId, name);
    else this.#ids.set(name, objectId);
  }

  /** Names and ids of what is there. */
  get objects(): ReadonlyMap<string, number> {
    return this.#ids;
  }

  /** Objects whose removal has begun. */
  get removing(): readonly number[] {
    return [...this.#removing.keys()];
  }

  /** The ids of `names`; names that are new get one. Durable when it resolves. */
  async ensure(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const ops: KvOp[] = [];
    for (const name of names) {
      if (this.#ids.has(name)) continue;
      if (this.#next > objectIdMax) {
        throw new RamaError("TOO_LARGE", `a store holds ${objectIdMax} PStates over its life`, { name });
      }
      const objectId = this.#next++;
      this.#ids.set(name, objectId);
      ops.push({ type: "put", key: catalogueKey(objectId), value: encodeValue([name, false]) });
    }
    if (ops.length > 0) {
      ops.push({ type: "put", key: catalogueCounterKey(), value: encodeValue(this.#next) });
      await this.#kv.batch(ops, { sync: true });
    }
    return new Map(names.map((name) => [name, this.#ids.get(name)!]));
  }

  /** The name is free from now on; the id's keys are to be deleted. undefined when there is no such object. */
  async beginRemoval(name: string): Promise<number | undefined> {
    const objectId = this.#ids.get(name);
    if (objectId === undefined) return undefined;
    this.#ids.delete(name);
    this.#removing.set(objectId, name);
    const value = encodeValue([name, true]);
    await this.#kv.batch([{ type: "put", key: catalogueKey(objectId), value }], { sync: true });
    return objectId;
  }

  /** The keys of the object are gone. */
  async endRemoval(objectId: number): Promise<void> {
    assert(this.#removing.delete(objectId), `the removal of object ${objectId} has not begun`);
    await this.#kv.batch([{ type: "del", key: catalogueKey(objectId) }], { sync: true });
  }
}
