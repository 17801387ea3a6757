// Reading of values, and moving past them; the layout stands in `value-codec.ts`.
import { latin1Of } from "./bytes.ts";
import { RamaError } from "./errors.ts";
import { defineField, typedArrayTypes } from "./values.ts";
import { readerShape, type ReaderShape } from "./value-shapes.ts";
import {
  TAG_NULL,
  TAG_FALSE,
  TAG_TRUE,
  TAG_I16,
  TAG_I32,
  TAG_F64,
  TAG_BIGINT,
  TAG_TEXT,
  TAG_UTF16,
  TAG_BYTES,
  TAG_TYPED,
  TAG_DATE,
  TAG_ARRAY,
  TAG_MAP,
  TAG_SET,
  TAG_OBJECT,
  TAG_INSTANCE,
  TAG_CUSTOM,
  TAG_STAMPED,
  TAG_SHORT_TEXT,
  TAG_SMALL_INT,
} from "./value-tags.ts";
import { textDecoder, type ByteReader, truncated } from "./value-bytes.ts";

export function readValue(reader: ByteReader): unknown {
  const tag = reader.bytes[reader.pos++]!;
  if (tag >= TAG_SMALL_INT) return tag - TAG_SMALL_INT;
  if (tag >= TAG_SHORT_TEXT) return readShortText(reader, tag - TAG_SHORT_TEXT);
  return readTagged(reader, tag);
}

function readShortText(reader: ByteReader, length: number): string {
  const from = reader.pos;
  const to = from + length;
  if (to > reader.end) throw truncated();
  reader.pos = to;
  return shortText(reader.bytes, from, to);
}

function shortText(bytes: Uint8Array, from: number, to: number): string {
  for (let at = from; at < to; at++) if (bytes[at]! > 0x7f) return utf8At(bytes, from, to - from);
  // Flat, not joined from its units: looking up a joined string in a Map takes 260 ns instead of 100.
  return latin1Of(bytes, from, to);
}

export function utf8At(bytes: Uint8Array, from: number, length: number): string {
  try {
    return textDecoder.decode(bytes.subarray(from, from + length));
  } catch (error) {
    throw new RamaError("BAD_VALUE", "a text is not UTF-8", {}, error);
  }
}

function readTagged(reader: ByteReader, tag: number): unknown {
  switch (tag) {
    case TAG_OBJECT:
      return readPlain(reader);
    case TAG_NULL:
      return null;
    case TAG_FALSE:
      return false;
    case TAG_TRUE:
      return true;
    case TAG_I16: {
      reader.pos += 2;
      return reader.data.getInt16(reader.pos - 2, true);
    }
    case TAG_I32: {
      reader.pos += 4;
      return reader.data.getInt32(reader.pos - 4, true);
    }
    case TAG_F64:
      return reader.f64();
    case TAG_TEXT:
      return reader.text();
    case TAG_ARRAY: {
      const count = checkedCount(reader);
      const array = new Array<unknown>(count);
      for (let i = 0; i < count; i++) array[i] = readValue(reader);
      return array;
    }
    case TAG_MAP: {
      const map = new Map<unknown, unknown>();
      for (let count = checkedCount(reader); count > 0; count--) {
        const key = readValue(reader);
        map.set(key, readValue(reader));
      }
      return map;
    }
    case TAG_SET: {
      const set = new Set<unknown>();
      for (let count = checkedCount(reader); count > 0; count--) set.add(readValue(reader));
      return set;
    }
    default:
      return readRare(reader, tag);
  }
}

function readRare(reader: ByteReader, tag: number): unknown {
  switch (tag) {
    case TAG_BIGINT:
      return readBigint(reader);
    case TAG_UTF16: {
      const length = reader.varint();
      const from = reader.skip(length);
      let text = "";
      for (let i = 0; i < length; i += 2) text += String.fromCharCode(reader.data.getUint16(from + i, true));
      return text;
    }
    case TAG_BYTES:
      return reader.raw(reader.varint());
    case TAG_TYPED: {
      const type = typedArrayTypes[reader.u8()];
      const bytes = reader.raw(reader.varint());
      if (type === undefined || bytes.length % type.BYTES_PER_ELEMENT !== 0) {
        throw new RamaError("BAD_VALUE", "a typed array of no known type");
      }
      return new type(bytes.buffer as ArrayBuffer);
    }
    case TAG_DATE:
      return new Date(reader.f64());
    case TAG_INSTANCE:
      return readInstance(reader);
    case TAG_CUSTOM:
      return readCustom(reader);
    case TAG_STAMPED:
      reader.skip(4);
      return readValue(reader);
    default:
      throw new RamaError("BAD_VALUE", `byte ${tag} at ${reader.pos - 1} does not begin a value`, { tag });
  }
}

/** Every element takes a byte at least: a greater count is refused before anything is allocated for it. */
function checkedCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.end - reader.pos) throw truncated();
  return count;
}

function readBigint(reader: ByteReader): bigint {
  const negative = reader.u8() === 1;
  const length = reader.varint();
  const from = reader.skip(length);
  let hex = "0x0";
  for (let i = from; i < from + length; i++) hex += reader.bytes[i]!.toString(16).padStart(2, "0");
  const magnitude = BigInt(hex);
  return negative ? -magnitude : magnitude;
}

function readPlain(reader: ByteReader): unknown {
  const shape = readerShape(reader);
  return shape.read === undefined ? readFieldsInto({}, reader, shape) : shape.read(reader);
}

function readFieldsInto(target: Record<string, unknown>, reader: ByteReader, shape: ReaderShape): unknown {
  for (const name of shape.names) defineField(target, name, readValue(reader));
  return target;
}

function readInstance(reader: ByteReader): unknown {
  const name = reader.text();
  const type = reader.classes?.classNamed(name);
  if (type === undefined && !reader.classes?.lenient) {
    throw new RamaError("NOT_SERIALIZABLE", `class ${name} is not known here`, { class: name });
  }
  const target = Object.create(type?.prototype ?? Object.prototype);
  return readFieldsInto(target, reader, readerShape(reader));
}

function readCustom(reader: ByteReader): unknown {
  const name = reader.text();
  const length = reader.u32();
  const end = reader.pos + length;
  const custom = reader.classes?.customNamed(name);
  if (custom === undefined) {
    if (!reader.classes?.lenient) {
      throw new RamaError("NOT_SERIALIZABLE", `custom serialization ${name} is not known here`, {
        serialization: name,
      });
    }
    return { [name]: reader.raw(length) };
  }
  const value = custom.deserialize(reader);
  if (reader.pos !== end) {
    throw new RamaError(
      "BAD_VALUE",
      `custom serialization ${name} read ${length - (end - reader.pos)} of ${length} bytes`,
    );
  }
  return value;
}

/** Moves past one value without building it. */
export function skipValue(reader: ByteReader): void {
  const tag = reader.u8();
  if (tag >= TAG_SMALL_INT) return;
  if (tag >= TAG_SHORT_TEXT) {
    reader.skip(tag - TAG_SHORT_TEXT);
    return;
  }
  switch (tag) {
    case TAG_NULL:
    case TAG_FALSE:
    case TAG_TRUE:
      return;
    case TAG_I16:
      reader.skip(2);
      return;
    case TAG_I32:
      reader.skip(4);
      return;
    case TAG_F64:
    case TAG_DATE:
      reader.skip(8);
      return;
    case TAG_TEXT:
    case TAG_UTF16:
    case TAG_BYTES:
      reader.skip(reader.varint());
      return;
    case TAG_BIGINT:
    case TAG_TYPED:
      reader.skip(1);
      reader.skip(reader.varint());
      return;
    case TAG_CUSTOM:
      reader.skip(reader.varint());
      reader.skip(reader.u32());
      return;
    case TAG_STAMPED:
      reader.skip(4);
      skipValue(reader);
      return;
    default:
      skipContainer(reader, tag);
  }
}

function skipContainer(reader: ByteReader, tag: number): void {
  let count: number;
  switch (tag) {
    case TAG_ARRAY:
    case TAG_SET:
      count = checkedCount(reader);
      break;
    case TAG_MAP:
      count = 2 * checkedCount(reader);
      break;
    case TAG_INSTANCE:
      reader.skip(reader.varint());
      count = readerShape(reader).names.length;
      break;
    case TAG_OBJECT:
      count = readerShape(reader).names.length;
      break;
    default:
      throw new RamaError("BAD_VALUE", `byte ${tag} at ${reader.pos - 1} does not begin a value`, { tag });
  }
  for (; count > 0; count--) skipValue(reader);
}
