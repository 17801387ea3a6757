// Writing of values; the layout stands in `value-codec.ts`.
import { RamaError } from "./errors.ts";
import { type Class, kindOf, structureMark, typedArrayTypes } from "./values.ts";
import { type EncodeShape, shapeOf, writeHeader } from "./value-shapes.ts";
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
  TAG_SHORT_TEXT,
  TAG_SMALL_INT,
} from "./value-tags.ts";
import { depthMax, textEncoder, type ByteWriter } from "./value-bytes.ts";

export function writeValue(writer: ByteWriter, value: unknown): void {
  if (typeof value === "string") writeString(writer, value);
  else if (typeof value === "number") writeNumber(writer, value);
  else if (typeof value === "object" && value !== null) writeObject(writer, value);
  else if (value === null || value === undefined) writer.u8(TAG_NULL);
  else if (typeof value === "boolean") writer.u8(value ? TAG_TRUE : TAG_FALSE);
  else if (typeof value === "bigint") writeBigint(writer, value);
  else throw notSerializable(value, writer);
}

/** The writer may be reused after an error: its depth starts over. */
function notSerializable(value: unknown, writer: ByteWriter): RamaError {
  writer.depth = 0;
  if (typeof value === "object" && value !== null && structureMark in value)
    return new RamaError(
      "STRUCTURE_NOT_A_VALUE",
      "the value holds a subindexed structure, which is no value: it cannot be emitted, stored or sent",
    );
  const what =
    typeof value === "object" && value !== null ? `an instance of ${value.constructor?.name}` : `a ${typeof value}`;
  return new RamaError("NOT_SERIALIZABLE", `${what} cannot be stored or sent`, { what });
}

function writeNumber(writer: ByteWriter, value: number): void {
  writer.reserve(9);
  const integer = value | 0;
  if (integer === value && (integer !== 0 || 1 / value > 0)) {
    if (integer >= 0 && integer < 128) {
      writer.bytes[writer.length++] = TAG_SMALL_INT + integer;
    } else if (integer >= -0x8000 && integer < 0x8000) {
      writer.bytes[writer.length] = TAG_I16;
      writer.data.setInt16(writer.length + 1, integer, true);
      writer.length += 3;
    } else {
      writer.bytes[writer.length] = TAG_I32;
      writer.data.setInt32(writer.length + 1, integer, true);
      writer.length += 5;
    }
    return;
  }
  writer.bytes[writer.length] = TAG_F64;
  writer.data.setFloat64(writer.length + 1, value, true);
  writer.length += 9;
}

function writeString(writer: ByteWriter, value: string): void {
  const length = value.length;
  if (length >= 64) {
    writeLongString(writer, value);
    return;
  }
  writer.reserve(length + 1);
  const bytes = writer.bytes;
  let at = writer.length;
  bytes[at++] = TAG_SHORT_TEXT + length;
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit > 0x7f) {
      writeLongString(writer, value);
      return;
    }
    bytes[at++] = unit;
  }
  writer.length = at;
}

function writeLongString(writer: ByteWriter, value: string): void {
  if (!value.isWellFormed()) {
    writer.u8(TAG_UTF16);
    writer.varint(value.length * 2);
    writer.reserve(value.length * 2);
    for (let i = 0; i < value.length; i++) writer.data.setUint16(writer.length + 2 * i, value.charCodeAt(i), true);
    writer.length += value.length * 2;
    return;
  }
  // The length is known after encoding: it gets the room that the longest form would need.
  const bytesMax = value.length * 3;
  writer.reserve(bytesMax + 6);
  const head = bytesMax < 64 ? 1 : 1 + varintWidth(bytesMax);
  const start = writer.length;
  const { written } = textEncoder.encodeInto(value, writer.bytes.subarray(start + head));
  if (bytesMax < 64) writer.bytes[start] = TAG_SHORT_TEXT + written;
  else {
    writer.bytes[start] = TAG_TEXT;
    paddedVarint(writer.bytes, start + 1, written, head - 1);
  }
  writer.length = start + head + written;
}

function varintWidth(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}

function paddedVarint(bytes: Uint8Array, at: number, value: number, width: number): void {
  let rest = value;
  for (let i = 0; i < width - 1; i++) {
    bytes[at + i] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at + width - 1] = rest;
}

function writeBigint(writer: ByteWriter, value: bigint): void {
  writer.u8(TAG_BIGINT);
  writer.u8(value < 0n ? 1 : 0);
  let hex = (value < 0n ? -value : value).toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  writer.varint(hex.length / 2);
  for (let i = 0; i < hex.length; i += 2) writer.u8(Number.parseInt(hex.slice(i, i + 2), 16));
}

function writeObject(writer: ByteWriter, value: object): void {
  if (++writer.depth > depthMax) {
    writer.depth = 0;
    throw new RamaError("NOT_SERIALIZABLE", `a value is nested deeper than ${depthMax} levels, or contains itself`);
  }
  const proto = Object.getPrototypeOf(value);
  if (proto === Object.prototype) writePlain(writer, value as Record<string, unknown>);
  else if (proto === Array.prototype) writeArray(writer, value as unknown[]);
  else writeOther(writer, value);
  writer.depth--;
}

function writePlain(writer: ByteWriter, value: Record<string, unknown>): void {
  writer.u8(TAG_OBJECT);
  const shape = shapeOf(value);
  if (shape === undefined) writeFieldsOneByOne(writer, value);
  else writeShaped(writer, value, shape);
}

function writeShaped(writer: ByteWriter, value: Record<string, unknown>, shape: EncodeShape): void {
  const start = writer.length;
  const header = shape.header;
  const length = header.length;
  writer.reserve(length);
  const bytes = writer.bytes;
  if (length <= 48) for (let i = 0; i < length; i++) bytes[start + i] = header[i]!;
  else bytes.set(header, start);
  writer.length = start + length;
  if (shape.write(writer, value)) return;
  writer.length = start;
  writeFieldsOneByOne(writer, value);
}

/** For objects with undefined fields, very many fields, or of a rare shape. */
function writeFieldsOneByOne(writer: ByteWriter, value: object): void {
  const fields = value as Record<string, unknown>;
  const names = Object.keys(value).filter((name) => fields[name] !== undefined);
  writer.raw(writeHeader(names));
  for (const name of names) writeValue(writer, fields[name]);
}

function writeArray(writer: ByteWriter, value: unknown[]): void {
  writer.u8(TAG_ARRAY);
  writer.varint(value.length);
  for (let i = 0; i < value.length; i++) writeValue(writer, value[i]);
}

function writeOther(writer: ByteWriter, value: object): void {
  if (writer.classes?.hasCustom && writeCustom(writer, value)) return;
  switch (kindOf(value)) {
    case "array":
      writeArray(writer, value as unknown[]);
      return;
    case "object":
      writePlain(writer, value as Record<string, unknown>);
      return;
    case "map": {
      const map = value as Map<unknown, unknown>;
      writer.u8(TAG_MAP);
      writer.varint(map.size);
      for (const [key, element] of map) {
        writeValue(writer, key);
        writeValue(writer, element);
      }
      return;
    }
    case "set": {
      const set = value as Set<unknown>;
      writer.u8(TAG_SET);
      writer.varint(set.size);
      for (const element of set) writeValue(writer, element);
      return;
    }
    case "date":
      writer.u8(TAG_DATE);
      writer.f64((value as Date).getTime());
      return;
    case "bytes":
      writer.u8(TAG_BYTES);
      writer.varint((value as Uint8Array).length);
      writer.raw(value as Uint8Array);
      return;
    case "typedArray":
      writeTyped(writer, value as Uint32Array);
      return;
    default:
      writeInstance(writer, value);
      return;
  }
}

function writeTyped(writer: ByteWriter, value: Uint32Array): void {
  const type = typedArrayTypes.findIndex((candidate) => value instanceof (candidate as unknown as Class));
  if (type < 0) throw notSerializable(value, writer);
  writer.u8(TAG_TYPED);
  writer.u8(type);
  writer.varint(value.byteLength);
  writer.raw(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
}

function writeInstance(writer: ByteWriter, value: object): void {
  const name = writer.classes?.nameOf(value.constructor);
  if (name === undefined) throw notSerializable(value, writer);
  writer.u8(TAG_INSTANCE);
  writer.text(name);
  const own = value as Record<string, unknown>;
  const shape = Object.keys(value).length === 0 ? undefined : shapeOf(own);
  if (shape === undefined || shape.names.length !== Object.keys(value).length) writeFieldsOneByOne(writer, value);
  else writeShaped(writer, own, shape);
}

function writeCustom(writer: ByteWriter, value: object): boolean {
  const custom = writer.classes!.customFor(value);
  if (custom === undefined) return false;
  writer.u8(TAG_CUSTOM);
  writer.text(custom.name);
  writer.u32(0);
  const start = writer.length;
  custom.serialization.serialize(value, writer);
  writer.data.setUint32(start - 4, writer.length - start, true);
  return true;
}
