// A depot's migration: the author's function over records. A record of no bytes is a tombstone: its offset stays, and it is read by nobody.
//
// Records are mapped once. Those that are appended from the migration's beginning on are stored as the function makes them; those from before (`boundary`) are mapped as
// they are read, until the partition's files have been written anew (rewrite.ts). Which of the two a record is, its offset and the files' generation tell.
import { u32At } from "../base/bytes.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { ClassRegistry } from "../base/values.ts";
import { tombstone } from "../module/depot-partitioning.ts";
import type { RecordView } from "./segment-blocks.ts";

const nothing = new Uint8Array(0);

export class RecordMigration {
  readonly id: string;
  readonly #depot: string;
  readonly #fn: (record: any) => unknown;
  readonly #classes: ClassRegistry | undefined;

  constructor(
    depot: string,
    migration: { readonly id: string; readonly fn: (record: any) => unknown },
    classes: ClassRegistry | undefined,
  ) {
    this.id = migration.id;
    this.#depot = depot;
    this.#fn = migration.fn;
    this.#classes = classes;
  }

  /** The new form of the value at [start, end); empty for a tombstone. USER_CODE_FAILED names depot and offset. */
  map(bytes: Uint8Array, start: number, end: number, offset: number): Uint8Array {
    if (start === end) return nothing;
    try {
      const made = this.#fn(decodeValue(bytes, start, end, this.#classes));
      return made === tombstone ? nothing : encodeValue(made === undefined ? null : made, this.#classes);
    } catch (error) {
      const where = offset < 0 ? "at an append" : `offset ${offset}`;
      const message = `${this.#depot}, ${where}: migration ${this.id} threw: ${messageOf(error)}`;
      throw new RamaError("USER_CODE_FAILED", message, { depot: this.#depot, offset, migration: this.id }, error);
    }
  }

  /** Length-prefixed records, mapped. `offset`: of the first; -1 when it has none yet. */
  mapAll(records: Uint8Array, from: number, to: number, offset: number): Uint8Array {
    const mapped: Uint8Array[] = [];
    let length = 0;
    for (let at = from, i = 0; at < to; i++) {
      const start = at + 4;
      at = start + u32At(records, at);
      const value = this.map(records, start, at, offset < 0 ? offset : offset + i);
      mapped.push(value);
      length += 4 + value.length;
    }
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const value of mapped) {
      view.setUint32(at, value.length, true);
      bytes.set(value, at + 4);
      at += 4 + value.length;
    }
    return bytes;
  }

  /** Maps the views of [first, last) in place. At a record that cannot be mapped the views end; one at least stays, or its error is thrown. */
  mapViews(views: RecordView[], first: number, last: number): void {
    for (let i = first; i < last; i++) {
      const { offset, bytes, start, end } = views[i]!;
      let value: Uint8Array;
      try {
        value = this.map(bytes, start, end, offset);
      } catch (error) {
        if (i === 0) throw error;
        views.length = i;
        return;
      }
      views[i] = { offset, bytes: value, start: 0, end: value.length };
    }
  }
}
