// The binary form of every value: records in depots, values in PStates, arguments and results on the wire. Self-delimiting, skippable, little-endian.
//
//   value := 00 null | 01 false | 02 true | 03 i16 | 04 i32 | 05 f64 | 06 bigint: sign u8 (1 negative), length, magnitude bytes big-endian
//          | 07 text: length, UTF-8 | 08 text with lone surrogates: length in bytes, UTF-16 | 09 bytes: length, bytes
//          | 0a typed array: type u8 (index in `typedArrayTypes`), length in bytes, bytes | 0b date: f64 epoch ms
//          | 0c array: count, values | 0d Map: count, key value … | 0e Set: count, values
//          | 0f object: header, one value per name | 10 instance: name text, header, one value per name
//          | 11 custom: name text, length u32, what its serialization wrote
//          | 12 stamped: stamp u32, value            only around values that are stored in a PState; reads as the value (pstate/migration.ts)
//          | 40+n text of n < 64 bytes, UTF-8 | 80+n the integer n < 128
//   header := length of what follows, count, names (each length and UTF-8)
//   length, count := varint, low seven bits first
// Example: { a: 1 } = 0f 03 01 01 61 81.
// -0, NaN and infinities are f64. Integers read back as numbers, bigints as bigints: a value keeps its kind. All names of an object stand together
// before its values, so that both sides know a repeated header as a *shape*: the writer copies its bytes, the reader finds the constructor that was
// generated for it. A reader accepts every byte string of this layout, whoever wrote it.
import { RamaError } from "./errors.ts";
import type { ClassRegistry } from "./values.ts";
import { ByteWriter, ByteReader } from "./value-bytes.ts";
import { writeValue } from "./value-encode.ts";
import { readValue } from "./value-decode.ts";

const sharedWriter = new ByteWriter(4096);
let sharedBusy = false;

export function encodeValue(value: unknown, classes?: ClassRegistry): Uint8Array {
  if (sharedBusy) {
    const writer = new ByteWriter(256, classes);
    writeValue(writer, value);
    return writer.take();
  }
  sharedBusy = true;
  sharedWriter.reset();
  sharedWriter.classes = classes;
  try {
    writeValue(sharedWriter, value);
    return sharedWriter.take();
  } finally {
    sharedBusy = false;
  }
}

/** Decodes the one value at [start, end). BAD_VALUE when the bytes are not exactly one value. */
export function decodeValue(bytes: Uint8Array, start = 0, end = bytes.length, classes?: ClassRegistry): unknown {
  const reader = new ByteReader(bytes, start, end, classes);
  try {
    const value = readValue(reader);
    if (reader.pos === end) return value;
  } catch (error) {
    if (error instanceof RamaError) throw error;
    if (!(error instanceof RangeError)) throw error;
    throw new RamaError("BAD_VALUE", "a value is cut off or nested too deep", {}, error);
  }
  throw new RamaError("BAD_VALUE", `a value ends at ${reader.pos} where ${end} was expected`);
}
