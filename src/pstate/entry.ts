// The payload of a PSTATE_WRITES entry in a replog: the resulting values of one sealed transaction. Applied by the leader, by followers and by recovery.
//
//   payload := version u8 (1) | write*
//   write   := 1 object varint, task varint               the writes that follow are in this partition
//            | 2 place value                              put
//            | 3 place                                    delete
//            | 4 levels u8, place                         the structure whose path `place` is, with up to `levels` levels below, is gone
//   place   := length varint and so many bytes, of layout.ts
//   value   := base/value-codec.ts (it tells itself where it ends)
// Example: "a" → 1 in PState 1 on task 3 = 01 | 01 01 03 | 02 05 01 00 206100 81.
//
// Puts and deletes carry results and drops name a structure whose id is never used again, so applying an entry twice, in order, changes nothing.
import { RamaError } from "../base/errors.ts";
import { ByteReader } from "../base/value-bytes.ts";
import { skipValue } from "../base/value-decode.ts";

export const ENTRY_VERSION = 1;
export const WRITE_PARTITION = 1;
export const WRITE_PUT = 2;
export const WRITE_DELETE = 3;
export const WRITE_DROP = 4;

export interface EntryVisitor {
  partition(objectId: number, taskId: number): void;
  /** Place and value are views of `bytes`: [placeStart, placeEnd), [placeEnd, valueEnd). */
  put(bytes: Uint8Array, placeStart: number, placeEnd: number, valueEnd: number): void;
  delete(bytes: Uint8Array, placeStart: number, placeEnd: number): void;
  drop(bytes: Uint8Array, placeStart: number, placeEnd: number, levels: number): void;
}

export function visitEntry(bytes: Uint8Array, visitor: EntryVisitor): void {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== ENTRY_VERSION)
    throw new RamaError("STORE_CORRUPT", `PState entry of unknown version ${version}`, { version });
  while (reader.pos < reader.end) {
    const tag = reader.u8();
    switch (tag) {
      case WRITE_PARTITION:
        visitor.partition(reader.varint(), reader.varint());
        break;
      case WRITE_PUT: {
        const length = reader.varint();
        const from = reader.skip(length);
        skipValue(reader);
        visitor.put(bytes, from, from + length, reader.pos);
        break;
      }
      case WRITE_DELETE: {
        const length = reader.varint();
        const from = reader.skip(length);
        visitor.delete(bytes, from, from + length);
        break;
      }
      case WRITE_DROP: {
        const levels = reader.u8();
        const length = reader.varint();
        const from = reader.skip(length);
        visitor.drop(bytes, from, from + length, levels);
        break;
      }
      default:
        throw new RamaError("STORE_CORRUPT", `PState entry with unknown write ${tag}`, { tag });
    }
  }
}
