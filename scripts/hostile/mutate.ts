// Damage to bytes that were well formed, and values no caller would send. Everything comes from the random numbers handed in.

export type Random = () => number;

export const below = (random: Random, count: number): number => Math.floor(random() * count);
export const pick = <T>(random: Random, from: readonly T[]): T => from[below(random, from.length)]!;

export function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => below(random, 256));
}

const extremes = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];

/** One to three changes: bits, bytes, counts and lengths, cuts, repetitions, insertions. */
export function mutated(random: Random, original: Uint8Array): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let left = 1 + below(random, 3); left > 0; left--) bytes = mutatedOnce(random, bytes);
  return bytes;
}

function mutatedOnce(random: Random, bytes: Uint8Array): Uint8Array {
  const at = below(random, Math.max(1, bytes.length));
  switch (below(random, 8)) {
    case 0:
      if (bytes.length > 0) bytes[at]! ^= 1 << below(random, 8);
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at] = below(random, 256);
      return bytes;
    case 2: {
      const value = pick(random, extremes);
      for (let i = 0; i < 4 && at + i < bytes.length; i++) bytes[at + i] = value >>> (8 * i);
      return bytes;
    }
    case 3: {
      // As numbers of eight bytes: NaN, infinities, huge, negative, halves.
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const value = pick(random, [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53, 1e300]);
      if (at + 8 <= bytes.length) view.setFloat64(at, value, random() < 0.8);
      return bytes;
    }
    case 4:
      return bytes.slice(0, at);
    case 5:
      return joined(bytes, randomBytes(random, below(random, 64)));
    case 6:
      return joined(bytes.subarray(0, at), bytes.subarray(below(random, at + 1)));
    default:
      return joined(bytes.subarray(0, at), randomBytes(random, below(random, 32)), bytes.subarray(at));
  }
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Plain values as callers send them, and some that they should not. */
export function oddValue(random: Random, depth = 0): unknown {
  const leaf = (): unknown =>
    pick<() => unknown>(random, [
      () => null,
      () => true,
      () => below(random, 1000),
      () => -random() * 1e12,
      () => 2 ** 53,
      () => "hostile",
      () => "",
      () => "\u0000\ud7ff🙂",
      () => "x".repeat(below(random, 3000)),
      () => BigInt(below(random, 1_000_000)) ** 5n,
      () => randomBytes(random, below(random, 100)),
      () => new Date(random() * 1e13),
    ])();
  if (depth > 4 || random() < 0.4) return leaf();
  const items = Array.from({ length: below(random, 5) }, () => oddValue(random, depth + 1));
  switch (below(random, 4)) {
    case 0:
      return items;
    case 1:
      return new Set(items.filter((item) => typeof item === "string"));
    case 2:
      return new Map(items.map((item, i) => [`key-${i}`, item]));
    default:
      return Object.fromEntries(items.map((item, i) => [pick(random, ["key", "__proto__x", "user", `f${i}`]), item]));
  }
}

/** `levels` arrays around nothing, each written by hand: no encoder would go so deep. `open` begins an array of one. */
export function nested(open: readonly number[], levels: number, inner: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(open.length * levels + inner.length);
  for (let level = 0; level < levels; level++) bytes.set(open, level * open.length);
  bytes.set(inner, open.length * levels);
  return bytes;
}
