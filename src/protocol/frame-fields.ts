// Frames of engine ports are written and read field by field: a writer over a growing buffer that is used again and again, and a reader that never looks
// past the end of its frame. A frame that ends early or holds an impossible field is BAD_FRAME, upon which the receiver closes the connection.
import { u32At } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import { ByteWriter } from "../base/value-bytes.ts";
import type { ClassRegistry } from "../base/values.ts";

const utf8 = new TextEncoder();
const utf8Reader = new TextDecoder("utf-8", { fatal: true });

/** A buffer that grew beyond this for one frame is given back before the next. */
const keptBytesMax = 1024 * 1024;

export class FrameWriter {
  #out: ByteWriter;
  readonly #capacity: number;
  readonly #classes: ClassRegistry | undefined;

  constructor(capacity = 1024, classes?: ClassRegistry) {
    this.#capacity = capacity;
    this.#classes = classes;
    this.#out = new ByteWriter(capacity, classes);
  }

  get length(): number {
    return this.#out.length;
  }

  /** Starts a new frame in the same buffer; what `view` gave before is overwritten. */
  begin(kind: number): this {
    if (this.#out.bytes.length > keptBytesMax) this.#out = new ByteWriter(this.#capacity, this.#classes);
    this.#out.reset();
    this.#out.u8(kind);
    return this;
  }

  u8(value: number): this {
    this.#out.u8(value);
    return this;
  }

  u16(value: number): this {
    this.#out.u16(value);
    return this;
  }

  u32(value: number): this {
    this.#out.u32(value);
    return this;
  }

  f64(value: number): this {
    this.#out.f64(value);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#out.raw(bytes);
    return this;
  }

  /** u32 length | bytes */
  block(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  text(text: string): this {
    return this.block(utf8.encode(text));
  }

  /** In the value codec. NOT_SERIALIZABLE leaves the frame unusable. */
  value(value: unknown): this {
    this.#out.writeValue(value);
    return this;
  }

  /** A view of the frame, valid until the next `begin`. */
  view(): Uint8Array {
    return this.#out.view();
  }

  /** A copy of the frame. */
  take(): Uint8Array {
    return this.#out.take();
  }
}

// Fields are read without a DataView of the frame: making one costs more than reading ten of them.
const eightBytes = new Uint8Array(8);
const eightBytesView = new DataView(eightBytes.buffer);

export class FrameReader {
  readonly bytes: Uint8Array;
  at: number;

  /** `at`: where to start; 1 leaves the kind out. */
  constructor(bytes: Uint8Array, at = 1) {
    this.bytes = bytes;
    this.at = at;
  }

  get remaining(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    this.#need(1);
    return this.bytes[this.at++]!;
  }

  u16(): number {
    this.#need(2);
    const { bytes, at } = this;
    this.at = at + 2;
    return bytes[at]! | (bytes[at + 1]! << 8);
  }

  u32(): number {
    this.#need(4);
    const { bytes, at } = this;
    this.at = at + 4;
    return u32At(bytes, at);
  }

  f64(): number {
    this.#need(8);
    const { bytes, at } = this;
    this.at = at + 8;
    for (let i = 0; i < 8; i++) eightBytes[i] = bytes[at + i]!;
    return eightBytesView.getFloat64(0, true);
  }

  /** A number that counts or numbers something: whole, not negative, at most 2^53. */
  count(): number {
    const value = this.f64();
    if (!Number.isSafeInteger(value) || value < 0) throw badFrame(`${value} stands where a whole number must`);
    return value;
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    this.#need(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  block(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    try {
      return utf8Reader.decode(this.block());
    } catch (error) {
      if (error instanceof RamaError) throw error;
      throw badFrame("a text is not UTF-8");
    }
  }

  /** A view of everything that is left. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  #need(length: number): void {
    if (this.remaining < length) {
      throw badFrame(`the frame of ${this.bytes.length} bytes ends at ${this.at}, ${length} more were expected`);
    }
  }
}

export function badFrame(what: string): RamaError {
  return new RamaError("BAD_FRAME", `bad frame: ${what}`);
}
