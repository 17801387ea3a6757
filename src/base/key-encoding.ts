// The canonical encoding of keys: order-preserving, by value, self-delimiting, so that keys can be written one after another and an encoded run
// compares as the list of its keys. PState places, hashing (`hash.ts`) and equality of composite keys rest on it.
//
//   key      := 02 null | 03 false | 04 true | number | 20 text | 30 text (bytes) | 38 number (date, epoch ms)
//             | 40 key* 00 (array) | 50 entry* 00 (plain object) | 51 entry* 00 (Map) | 52 key* 00 (Set) | 53 text entry* 00 (class name, fields)
//   text     := every byte of the UTF-8 form (lone surrogates as three bytes) with 00 as 01 01 and 01 as 01 02, then 00
//   entry    := key key; entries and set elements ascend by their encoded bytes
//   number   := 05 (-Infinity) | 06 (below -(2^64-1)) | 07..0f negative, 8..0 bytes of integer part | 10..18 positive, 0..8 bytes
//             | 19 (above 2^64-1) | 1a (Infinity)
//     10+n   := n big-endian bytes without leading zeros, then 00 when there is no fraction, or 01 and the fraction as a big-endian double
//     0f-n   := the same for the magnitude, every byte complemented
//     19     := length u32 and that many bytes, big-endian; 06: the same, complemented
// Examples: 5 = 11 05 00; -1 = 0e fe ff; 1.5 = 11 01 01 3fe0000000000000; "a" = 20 61 00; ["a"] = 40 20 61 00 00.
// Numbers and bigints of equal value are the same bytes, -0 is 0, NaN is NOT_A_KEY. Order: null < false < true < numbers < strings (by code point)
// < bytes < dates < arrays (element by element, a proper prefix first) < plain objects < Maps < Sets < class instances.
import { compareBytes } from "./bytes.ts";
import { RamaError } from "./errors.ts";
import { classNameOf, kindOf } from "./values.ts";
import {
  END,
  NULL,
  FALSE,
  TRUE,
  NEGATIVE_INFINITY,
  NEGATIVE_BIG,
  NEGATIVE,
  POSITIVE,
  POSITIVE_BIG,
  POSITIVE_INFINITY,
  STRING,
  BYTES,
  DATE,
  ARRAY,
  OBJECT,
  MAP,
  SET,
  INSTANCE,
} from "./key-tags.ts";

/** Nesting beyond this is refused: it is a cycle or an attack. */
const depthMax = 200;

export const scratch = new DataView(new ArrayBuffer(8));

function notAKey(what: string): RamaError {
  return new RamaError("NOT_A_KEY", `${what} cannot be a key`, { what });
}

/** Appends encoded keys to a buffer that it owns and reuses. `bytes` is replaced when it grows: read it after writing. */
export class KeyWriter {
  bytes: Uint8Array;
  length = 0;
  #depth = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  reset(): void {
    this.length = 0;
    this.#depth = 0;
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  /** What was written, valid until the next write. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  key(value: unknown): void {
    if (typeof value === "string") this.#string(value);
    else if (typeof value === "number") this.#number(value);
    else this.#other(value);
  }

  #string(value: string): void {
    const length = value.length;
    this.#reserve(length + 2);
    const bytes = this.bytes;
    let at = this.length;
    bytes[at++] = STRING;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f || unit < 2) {
        this.length = at;
        this.#rest(value, i);
        return;
      }
      bytes[at++] = unit;
    }
    bytes[at++] = END;
    this.length = at;
  }

  /** The text from unit `from` on, any characters, and its end. */
  #rest(value: string, from: number): void {
    for (let i = from; i < value.length; i++) {
      const point = value.codePointAt(i)!;
      this.#reserve(5);
      if (point < 0x80) this.#textByte(point);
      else if (point < 0x800) this.#two(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
      else {
        if (point < 0x10000) this.byte(0xe0 | (point >> 12));
        else {
          this.#two(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f));
          i++;
        }
        this.#two(0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
      }
    }
    this.byte(END);
  }

  #two(a: number, b: number): void {
    this.bytes[this.length++] = a;
    this.bytes[this.length++] = b;
  }

  #textByte(value: number): void {
    if (value > 1) this.byte(value);
    else {
      this.#reserve(2);
      this.#two(0x01, value + 1);
    }
  }

  #text(bytes: Uint8Array): void {
    for (const byte of bytes) this.#textByte(byte);
    this.byte(END);
  }

  #number(value: number): void {
    this.#reserve(24);
    if (value >= 0 && value <= 0xff && (value | 0) === value) {
      const bytes = this.bytes;
      let at = this.length;
      if (value === 0) bytes[at++] = POSITIVE;
      else {
        bytes[at++] = POSITIVE + 1;
        bytes[at++] = value;
      }
      bytes[at++] = 0;
      this.length = at;
      return;
    }
    if (value === Infinity) {
      this.byte(POSITIVE_INFINITY);
      return;
    }
    if (value === -Infinity) {
      this.byte(NEGATIVE_INFINITY);
      return;
    }
    if (Number.isNaN(value)) throw notAKey("NaN");
    const magnitude = value < 0 ? -value : value;
    if (magnitude > Number.MAX_SAFE_INTEGER) {
      this.#bigint(BigInt(value));
      return;
    }
    const whole = Math.floor(magnitude);
    this.#magnitude(value < 0, Math.floor(whole / 0x100000000), whole % 0x100000000, magnitude - whole);
  }

  /** A number whose integer part is `high` · 2^32 + `low`. */
  #magnitude(negative: boolean, high: number, low: number, fraction: number): void {
    const width = high > 0 ? 4 + byteWidth(high) : byteWidth(low);
    const start = this.length;
    const bytes = this.bytes;
    let at = start + 1;
    for (let shift = width - 5; shift >= 0; shift--) bytes[at++] = high >>> (shift * 8);
    for (let shift = Math.min(width, 4) - 1; shift >= 0; shift--) bytes[at++] = low >>> (shift * 8);
    if (fraction === 0) bytes[at++] = 0;
    else {
      bytes[at++] = 1;
      scratch.setFloat64(0, fraction);
      for (let i = 0; i < 8; i++) bytes[at++] = scratch.getUint8(i);
    }
    bytes[start] = negative ? NEGATIVE - width : POSITIVE + width;
    if (negative) for (let i = start + 1; i < at; i++) bytes[i] = ~bytes[i]!;
    this.length = at;
  }

  #bigint(value: bigint): void {
    this.#reserve(24);
    const negative = value < 0n;
    const magnitude = negative ? -value : value;
    if (magnitude <= 0xffffffffffffffffn) {
      this.#magnitude(negative, Number(magnitude >> 32n), Number(magnitude & 0xffffffffn), 0);
      return;
    }
    let hex = magnitude.toString(16);
    if (hex.length % 2 === 1) hex = `0${hex}`;
    const width = hex.length / 2;
    this.#reserve(width + 5);
    const start = this.length;
    this.byte(negative ? NEGATIVE_BIG : POSITIVE_BIG);
    for (let shift = 24; shift >= 0; shift -= 8) this.byte((width >>> shift) & 0xff);
    for (let i = 0; i < hex.length; i += 2) this.byte(Number.parseInt(hex.slice(i, i + 2), 16));
    if (negative) for (let i = start + 1; i < this.length; i++) this.bytes[i] = ~this.bytes[i]!;
  }

  #other(value: unknown): void {
    switch (kindOf(value)) {
      case "null":
        this.byte(NULL);
        return;
      case "boolean":
        this.byte(value ? TRUE : FALSE);
        return;
      case "bigint":
        this.#bigint(value as bigint);
        return;
      case "bytes":
        this.byte(BYTES);
        this.#text(value as Uint8Array);
        return;
      case "date": {
        const ms = (value as Date).getTime();
        if (Number.isNaN(ms)) throw notAKey("an invalid date");
        this.byte(DATE);
        this.#number(ms);
        return;
      }
      default:
        this.#composite(value as object);
    }
  }

  #composite(value: object): void {
    if (++this.#depth > depthMax) {
      this.#depth = 0;
      throw notAKey("a value nested deeper than 200 levels");
    }
    switch (kindOf(value)) {
      case "array":
        this.byte(ARRAY);
        for (const element of value as unknown[]) this.key(element);
        break;
      case "object":
        this.byte(OBJECT);
        this.#entries(fieldsOf(value));
        break;
      case "map":
        this.byte(MAP);
        this.#entries(value as Map<unknown, unknown>);
        break;
      case "set":
        this.byte(SET);
        this.#sorted([...(value as Set<unknown>)].map((element) => encodeKey(element)));
        break;
      case "instance":
        this.byte(INSTANCE);
        this.#rest(instanceName(value), 0);
        this.#entries(fieldsOf(value));
        break;
      default:
        this.#depth = 0;
        throw notAKey(`a ${kindOf(value)}`);
    }
    this.byte(END);
    this.#depth--;
  }

  #entries(entries: Iterable<[unknown, unknown]>): void {
    const encoded: Uint8Array[] = [];
    for (const [key, value] of entries) {
      const writer = new KeyWriter(32);
      writer.key(key);
      writer.key(value);
      encoded.push(writer.view());
    }
    this.#sorted(encoded);
  }

  #sorted(parts: Uint8Array[]): void {
    parts.sort(compareBytes);
    for (const part of parts) this.raw(part);
  }

  #reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count);
  }

  #grow(count: number): void {
    const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count + 64));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
  }
}

function byteWidth(value: number): number {
  if (value === 0) return 0;
  return value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x1000000 ? 3 : 4;
}

function fieldsOf(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, field]) => field !== undefined);
}

function instanceName(value: object): string {
  const name = classNameOf(value);
  if (name === "" || typeof (value as { then?: unknown }).then === "function")
    throw notAKey("an object of a nameless class");
  return name;
}

const shared = new KeyWriter(1024);

export function encodeKey(value: unknown): Uint8Array {
  if (shared.length !== 0) {
    // Re-entered (a Set or Map inside a key): a writer of its own.
    const writer = new KeyWriter(64);
    writer.key(value);
    return writer.take();
  }
  try {
    shared.key(value);
    return shared.take();
  } finally {
    shared.reset();
  }
}
