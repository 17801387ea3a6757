// The binary form of every value: records in depots, values in PStates, arguments and results on the wire. Self-delimiting, skippable, little-endian.
//
//   value := 00 null | 01 false | 02 true | 03 i16 | 04 i32 | 05 f64 | 06 bigint: sign u8 (1 negative), length, magnitude bytes big-endian
//          | 07 text: length, UTF-8 | 08 text with lone surrogates: length in bytes, UTF-16 | 09 bytes: length, bytes
//          | 0a typed array: type u8 (index in `typedArrayTypes`), length in bytes, bytes | 0b date: f64 epoch ms
//          | 0c array: count, values | 0d Map: count, key value … | 0e Set: count, values
//          | 0f object: header, one value per name | 10 instance: name text, header, one value per name
//          | 11 custom: name text, length u32, what its serialization wrote
//          | 40+n text of n < 64 bytes, UTF-8 | 80+n the integer n < 128
//   header := length of what follows, count, names (each length and UTF-8)
//   length, count := varint, low seven bits first
// Example: { a: 1 } = 0f 03 01 01 61 81.
// -0, NaN and infinities are f64. Integers read back as numbers, bigints as bigints: a value keeps its kind. All names of an object stand together
// before its values, so that both sides know a repeated header as a *shape*: the writer copies its bytes, the reader finds the constructor that was
// generated for it. A reader accepts every byte string of this layout, whoever wrote it.
import { RamaError } from "./errors.ts";
import {
  type Class,
  type ClassRegistry,
  defineField,
  kindOf,
  type ValueInput,
  type ValueOutput,
  typedArrayTypes,
} from "./values.ts";
import { type EncodeShape, readerShape, type ReaderShape, shapeOf, writeHeader } from "./value-shapes.ts";

export const TAG_NULL = 0x00;
export const TAG_FALSE = 0x01;
export const TAG_TRUE = 0x02;
export const TAG_I16 = 0x03;
export const TAG_I32 = 0x04;
export const TAG_F64 = 0x05;
export const TAG_BIGINT = 0x06;
export const TAG_TEXT = 0x07;
export const TAG_UTF16 = 0x08;
export const TAG_BYTES = 0x09;
export const TAG_TYPED = 0x0a;
export const TAG_DATE = 0x0b;
export const TAG_ARRAY = 0x0c;
export const TAG_MAP = 0x0d;
export const TAG_SET = 0x0e;
export const TAG_OBJECT = 0x0f;
export const TAG_INSTANCE = 0x10;
export const TAG_CUSTOM = 0x11;
const TAG_SHORT_TEXT = 0x40;
const TAG_SMALL_INT = 0x80;

/** Nesting beyond this is refused: it is a cycle or an attack. */
const depthMax = 400;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A growable buffer, reused. `bytes` and `data` are replaced when it grows: read them after writing. */
export class ByteWriter implements ValueOutput {
  bytes: Uint8Array;
  data: DataView;
  length = 0;
  classes: ClassRegistry | undefined;
  depth = 0;

  constructor(capacity = 1024, classes?: ClassRegistry) {
    this.bytes = new Uint8Array(capacity);
    this.data = new DataView(this.bytes.buffer);
    this.classes = classes;
  }

  reset(): void {
    this.length = 0;
    this.depth = 0;
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  /** What was written, valid until the next write. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count + 64));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer);
  }

  u8(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u16(value: number): void {
    this.reserve(2);
    this.data.setUint16(this.length, value, true);
    this.length += 2;
  }

  u32(value: number): void {
    this.reserve(4);
    this.data.setUint32(this.length, value, true);
    this.length += 4;
  }

  f64(value: number): void {
    this.reserve(8);
    this.data.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** Any integer from 0 to 2^53. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest > 0x7fffffff) {
      this.bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Length as varint, then UTF-8; lone surrogates are replaced. For names and control text, not for values. */
  text(value: string): void {
    const bytes = textEncoder.encode(value);
    this.varint(bytes.length);
    this.raw(bytes);
  }

  writeValue(value: unknown): void {
    writeValue(this, value);
  }
}

/** Reads what a ByteWriter wrote, from `pos` up to `end`. */
export class ByteReader implements ValueInput {
  bytes: Uint8Array;
  data: DataView;
  pos: number;
  end: number;
  classes: ClassRegistry | undefined;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length, classes?: ClassRegistry) {
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = pos;
    this.end = end;
    this.classes = classes;
  }

  /** Turns to other bytes; cheaper than a new reader where the buffer is the same. */
  open(bytes: Uint8Array, pos: number, end: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.pos = pos;
    this.end = end;
  }

  u8(): number {
    const value = this.bytes[this.pos++];
    if (value === undefined) throw truncated();
    return value;
  }

  u16(): number {
    const value = this.data.getUint16(this.pos, true);
    this.pos += 2;
    return value;
  }

  u32(): number {
    const value = this.data.getUint32(this.pos, true);
    this.pos += 4;
    return value;
  }

  f64(): number {
    const value = this.data.getFloat64(this.pos, true);
    this.pos += 8;
    return value;
  }

  varint(): number {
    let byte = this.u8();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let factor = 128;
    do {
      byte = this.u8();
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (factor > 2 ** 63) throw new RamaError("BAD_VALUE", "a varint has no end");
    } while (byte >= 0x80);
    return value;
  }

  /** A copy of the next `length` bytes. Not `slice`: that of a Buffer (LevelDB gives those) shares its memory. */
  raw(length: number): Uint8Array {
    const from = this.skip(length);
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(from, from + length));
    return copy;
  }

  /** Moves on by `length` bytes and returns where they begin. BAD_VALUE when there are not so many. */
  skip(length: number): number {
    const from = this.pos;
    if (length > this.end - from) throw truncated();
    this.pos = from + length;
    return from;
  }

  text(): string {
    const length = this.varint();
    return utf8At(this.bytes, this.skip(length), length);
  }

  readValue(): unknown {
    return readValue(this);
  }
}

function truncated(): RamaError {
  return new RamaError("BAD_VALUE", "a value is cut off");
}

// ---- writing

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

// ---- reading

export function readValue(reader: ByteReader): unknown {
  const tag = reader.bytes[reader.pos++]!;
  if (tag >= TAG_SMALL_INT) return tag - TAG_SMALL_INT;
  if (tag >= TAG_SHORT_TEXT) return readShortText(reader, tag - TAG_SHORT_TEXT);
  return readTagged(reader, tag);
}

/** Strings of up to this many bytes are built from their units; longer ones by the decoder. */
function readShortText(reader: ByteReader, length: number): string {
  const from = reader.pos;
  const to = from + length;
  if (to > reader.end) throw truncated();
  reader.pos = to;
  return shortText(reader.bytes, from, to);
}

function shortText(bytes: Uint8Array, from: number, to: number): string {
  const length = to - from;
  if (length > 24) return utf8At(bytes, from, length);
  let text = "";
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (byte > 0x7f) return utf8At(bytes, from, length);
    text += String.fromCharCode(byte);
  }
  return text;
}

function utf8At(bytes: Uint8Array, from: number, length: number): string {
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

// ---- skipping

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
