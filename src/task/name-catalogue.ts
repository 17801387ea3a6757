// Small stable numbers for names that appear often on disk (sources of stream topologies): key 4e | UTF-8 of the name → value: the number. Numbers count
// up and are never given to another name. New ones are durable before the engine opens, so that no log entry names a number that may be lost.
import type { Kv, KvOp } from "../storage/kv.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";

const NAME_PREFIX = 0x4e;
const retired = "retired ";

export class NameCatalogue {
  readonly #ids: Map<string, number>;
  readonly #new: KvOp[] = [];
  #next = 0;

  private constructor(
    readonly kv: Kv,
    ids: Map<string, number>,
  ) {
    this.#ids = ids;
    for (const id of ids.values()) {
      this.#next = Math.max(this.#next, id + 1);
    }
  }

  static async open(kv: Kv): Promise<NameCatalogue> {
    const ids = new Map<string, number>();
    for (const { key, value } of await kv.range({
      gte: Uint8Array.of(NAME_PREFIX),
      lt: Uint8Array.of(NAME_PREFIX + 1),
    })) {
      ids.set(new TextDecoder().decode(key.subarray(1)), decodeValue(value) as number);
    }
    return new NameCatalogue(kv, ids);
  }

  idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#next++;
    this.#put(name, id);
    return id;
  }

  /** What the name stood for is removed: should it come again, it gets another number. The number stays taken, and is on the list of what has to be deleted. */
  retire(name: string): void {
    const id = this.#ids.get(name);
    if (id === undefined) return;
    this.#drop(name);
    this.#put(`${retired}${id}`, id);
  }

  get all(): string[] {
    return [...this.#ids.keys()];
  }

  /** Numbers of what has been removed and may still have data. */
  get retired(): number[] {
    return [...this.#ids].flatMap(([name, id]) => (name.startsWith(retired) ? [id] : []));
  }

  /** Nothing is left of it. */
  deleted(id: number): void {
    this.#drop(`${retired}${id}`);
    this.#put(`deleted ${id}`, id);
  }

  #drop(name: string): void {
    this.#ids.delete(name);
    this.#new.push({ type: "del", key: keyOf(name) });
  }

  #put(name: string, id: number): void {
    this.#ids.set(name, id);
    this.#new.push({ type: "put", key: keyOf(name), value: encodeValue(id) });
  }

  async save(): Promise<void> {
    if (this.#new.length > 0) await this.kv.batch(this.#new.splice(0), { sync: true });
  }
}

function keyOf(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const key = new Uint8Array(1 + text.length);
  key[0] = NAME_PREFIX;
  key.set(text, 1);
  return key;
}
