// The buffers that values are written to and read from; the layout of values stands in `value-codec.ts`.
import { RamaError } from "./errors.ts";
import type { ClassRegistry, ValueInput, ValueOutput } from "./values.ts";
import { writeValue } from "./value-encode.ts";
import { readValue, utf8At } from "./value-decode.ts";

/** Nesting beyond this is refused: it is a cycle or an attack. */
export const depthMax = 400;

export const textEncoder = new TextEncoder();
export const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

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
  /** Made when first needed: most values have no use for it, and it costs more than they do. */
  #data: DataView | undefined;
  pos: number;
  end: number;
  classes: ClassRegistry | undefined;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length, classes?: ClassRegistry) {
    this.bytes = bytes;
    this.#data = undefined;
    this.pos = pos;
    this.end = end;
    this.classes = classes;
  }

  get data(): DataView {
    const { bytes } = this;
    this.#data ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.#data;
  }

  /** Turns to other bytes; cheaper than a new reader where the buffer is the same. */
  open(bytes: Uint8Array, pos: number, end: number): void {
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.#data = undefined;
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

export function truncated(): RamaError {
  return new RamaError("BAD_VALUE", "a value is cut off");
}
