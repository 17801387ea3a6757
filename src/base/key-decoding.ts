// Decoding of keys; the layout stands in `key-encoding.ts`.
import { RamaError } from "./errors.ts";
import { type ClassRegistry, defineField } from "./values.ts";
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
import { scratch } from "./key-encoding.ts";

/** How leaf classes of schemas decide what a number is read back as. Other types, and none: by magnitude. */
export type KeyType = unknown;

let cursor = 0;

/** Where the key that `decodeKey` returned last ends. */
export function decodedKeyEnd(): number {
  return cursor;
}

/**
 * Decodes the key at `pos`; `decodedKeyEnd()` then tells where it ends. An integer up to 2^53 becomes a number and a larger one a bigint,
 * unless `type` is Number or BigInt.
 */
export function decodeKey(bytes: Uint8Array, pos = 0, type?: KeyType, classes?: ClassRegistry): unknown {
  cursor = pos;
  return readKey(bytes, type, classes);
}

function readKey(bytes: Uint8Array, type: KeyType, classes?: ClassRegistry): unknown {
  const tag = bytes[cursor++]!;
  if (tag === STRING) return readString(bytes);
  if (tag >= NEGATIVE_INFINITY && tag <= POSITIVE_INFINITY) return readNumber(bytes, tag, type);
  switch (tag) {
    case NULL:
      return null;
    case FALSE:
      return false;
    case TRUE:
      return true;
    case BYTES:
      return readText(bytes);
    case DATE:
      return new Date(Number(readNumber(bytes, bytes[cursor++]!, Number)));
    case ARRAY:
      return readUntilEnd(bytes, classes);
    case OBJECT:
      return readFields({}, bytes, classes);
    case MAP: {
      const flat = readUntilEnd(bytes, classes);
      const map = new Map<unknown, unknown>();
      for (let i = 0; i < flat.length; i += 2) map.set(flat[i], flat[i + 1]);
      return map;
    }
    case SET:
      return new Set(readUntilEnd(bytes, classes));
    case INSTANCE: {
      const name = readString(bytes);
      const prototype = classes?.classNamed(name)?.prototype ?? Object.prototype;
      return readFields(Object.create(prototype), bytes, classes);
    }
    default:
      throw new RamaError("BAD_VALUE", `byte ${tag} at ${cursor - 1} does not begin a key`, { tag });
  }
}

function readUntilEnd(bytes: Uint8Array, classes?: ClassRegistry): unknown[] {
  const elements: unknown[] = [];
  while (bytes[cursor] !== END) elements.push(readKey(bytes, undefined, classes));
  cursor++;
  return elements;
}

function readFields(target: Record<string, unknown>, bytes: Uint8Array, classes?: ClassRegistry): unknown {
  const flat = readUntilEnd(bytes, classes);
  for (let i = 0; i < flat.length; i += 2) defineField(target, flat[i] as string, flat[i + 1]);
  return target;
}

function readString(bytes: Uint8Array): string {
  const start = cursor;
  let at = start;
  while (bytes[at]! > 1 && bytes[at]! < 0x80) at++;
  if (bytes[at] === END) {
    cursor = at + 1;
    return asciiOf(bytes, start, at);
  }
  return wtf8Decode(readText(bytes));
}

function asciiOf(bytes: Uint8Array, from: number, to: number): string {
  if (to - from > 24) return asciiDecoder.decode(bytes.subarray(from, to));
  let text = "";
  for (let at = from; at < to; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

const asciiDecoder = new TextDecoder("latin1");

function readText(bytes: Uint8Array): Uint8Array {
  const end = textEnd(bytes, cursor);
  const result = new Uint8Array(end - cursor);
  let length = 0;
  for (let at = cursor; at < end; at++) {
    const byte = bytes[at]!;
    result[length++] = byte === 1 ? bytes[++at]! - 1 : byte;
  }
  cursor = end + 1;
  return result.slice(0, length);
}

function textEnd(bytes: Uint8Array, from: number): number {
  const end = bytes.indexOf(END, from);
  if (end < 0) throw new RamaError("BAD_VALUE", "a text in a key has no end");
  return end;
}

/** UTF-8 with lone surrogates as three bytes, which TextDecoder would replace. */
function wtf8Decode(bytes: Uint8Array): string {
  let result = "";
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++]!;
    let point = first;
    if (first >= 0xf0)
      point = ((first & 7) << 18) | ((bytes[at++]! & 63) << 12) | ((bytes[at++]! & 63) << 6) | (bytes[at++]! & 63);
    else if (first >= 0xe0) point = ((first & 15) << 12) | ((bytes[at++]! & 63) << 6) | (bytes[at++]! & 63);
    else if (first >= 0xc0) point = ((first & 31) << 6) | (bytes[at++]! & 63);
    result += String.fromCodePoint(point);
  }
  return result;
}

function readNumber(bytes: Uint8Array, tag: number, type: KeyType): number | bigint {
  if (tag === POSITIVE_INFINITY) return Infinity;
  if (tag === NEGATIVE_INFINITY) return -Infinity;
  if (tag === POSITIVE_BIG || tag === NEGATIVE_BIG) return readBig(bytes, tag === NEGATIVE_BIG, type);
  const negative = tag <= NEGATIVE;
  const width = negative ? NEGATIVE - tag : tag - POSITIVE;
  const flip = negative ? 0xff : 0;
  let high = 0;
  let low = 0;
  const end = cursor + width;
  while (cursor < end - 4) high = high * 256 + (bytes[cursor++]! ^ flip);
  while (cursor < end) low = low * 256 + (bytes[cursor++]! ^ flip);
  if ((bytes[cursor++]! ^ flip) === 1) {
    for (let i = 0; i < 8; i++) scratch.setUint8(i, bytes[cursor++]! ^ flip);
    const magnitude = high * 0x100000000 + low + scratch.getFloat64(0);
    return negative ? -magnitude : magnitude;
  }
  if (high > 0x1fffff || type === BigInt) {
    const magnitude = (BigInt(high) << 32n) | BigInt(low);
    return asType(negative ? -magnitude : magnitude, type);
  }
  const magnitude = high * 0x100000000 + low;
  return negative ? -magnitude : magnitude;
}

function readBig(bytes: Uint8Array, negative: boolean, type: KeyType): number | bigint {
  const flip = negative ? 0xff : 0;
  let width = 0;
  for (let i = 0; i < 4; i++) width = width * 256 + (bytes[cursor++]! ^ flip);
  let hex = "0x";
  for (let i = 0; i < width; i++) hex += (bytes[cursor++]! ^ flip).toString(16).padStart(2, "0");
  const magnitude = BigInt(hex);
  return asType(negative ? -magnitude : magnitude, type);
}

function asType(value: bigint, type: KeyType): number | bigint {
  return type === Number ? Number(value) : value;
}

/** The length in bytes of the key at `pos`, without decoding it. */
export function keyLength(bytes: Uint8Array, pos = 0): number {
  return skipKey(bytes, pos) - pos;
}

function skipKey(bytes: Uint8Array, pos: number): number {
  const tag = bytes[pos]!;
  let at = pos + 1;
  if (tag === STRING || tag === BYTES) return textEnd(bytes, at) + 1;
  if (tag >= NEGATIVE - 8 && tag <= POSITIVE + 8) {
    at += tag <= NEGATIVE ? NEGATIVE - tag : tag - POSITIVE;
    const marker = bytes[at]! ^ (tag <= NEGATIVE ? 0xff : 0);
    return at + (marker === 1 ? 9 : 1);
  }
  switch (tag) {
    case NULL:
    case FALSE:
    case TRUE:
    case POSITIVE_INFINITY:
    case NEGATIVE_INFINITY:
      return at;
    case POSITIVE_BIG:
    case NEGATIVE_BIG: {
      const flip = tag === NEGATIVE_BIG ? 0xff : 0;
      let width = 0;
      for (let i = 0; i < 4; i++) width = width * 256 + (bytes[at++]! ^ flip);
      return at + width;
    }
    case DATE:
      return skipKey(bytes, at);
    case INSTANCE:
      at = textEnd(bytes, at) + 1;
      break;
    case ARRAY:
    case OBJECT:
    case MAP:
    case SET:
      break;
    default:
      throw new RamaError("BAD_VALUE", `byte ${tag} at ${pos} does not begin a key`, { tag });
  }
  while (bytes[at] !== END) at = skipKey(bytes, at);
  return at + 1;
}
