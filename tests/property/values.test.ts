// Laws of the codecs. A fault here loses or confuses data: a value that does not come back, two keys taken for one, a range that misses an entry.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { compareBytes } from "../../src/base/bytes.ts";
import {
  compareStrings,
  compareValues,
  mapDelete,
  mapGet,
  mapSet,
  setAdd,
  setHas,
  valuesEqual,
} from "../../src/base/compare.ts";
import { encodeKey, KeyWriter } from "../../src/base/key-encoding.ts";
import { decodedKeyEnd, decodeKey, keyLength } from "../../src/base/key-decoding.ts";
import { ByteReader } from "../../src/base/value-bytes.ts";
import { decodeValue, encodeValue } from "../../src/base/value-codec.ts";
import { skipValue } from "../../src/base/value-decode.ts";
import { scanFields } from "../../src/base/value-shapes.ts";
import { RamaError } from "../../src/base/errors.ts";

const numbers = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, 1, -1, 0.5, -0.5, 255, 256, 2 ** 53, -(2 ** 53), 2 ** 64, 1e300, -1e300, 5e-324, -5e-324),
  fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
  fc.bigInt({ min: -(2n ** 56n), max: 2n ** 56n }),
);
const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("a", "\0", "\x01", "\x02", "\ud800", "\udc00", "\uffff", "é") }),
);
const names = fc.string({ unit: fc.constantFrom("a", "b", "0", "é", "_"), maxLength: 4 });
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  numbers,
  texts,
  fc.uint8Array({ maxLength: 5 }),
  fc.date({ noInvalidDate: true }),
);
const keys = fc.letrec<{ key: unknown }>((tie) => ({
  key: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.array(tie("key"), { maxLength: 4 }),
    fc.dictionary(names, tie("key"), { maxKeys: 4 }),
    fc
      .uniqueArray(fc.tuple(leaf, tie("key")), { maxLength: 4, comparator: (a, b) => valuesEqual(a[0], b[0]) })
      .map((list) => new Map(list)),
    fc.uniqueArray(leaf, { maxLength: 4, comparator: valuesEqual }).map((elements) => new Set(elements)),
  ),
})).key;
const values = fc.oneof(
  keys,
  fc.constant(Number.NaN),
  fc.constant(new Float32Array([1.5, 2])),
  fc.dictionary(names, keys, { maxKeys: 60 }),
);

/** Negative, zero, positive by the plain reading of the order; slow. */
function modelCompare(a: unknown, b: unknown): number {
  const rank = (v: unknown) =>
    v === null
      ? 0
      : v === false
        ? 1
        : v === true
          ? 2
          : typeof v === "string"
            ? 4
            : v instanceof Uint8Array
              ? 5
              : v instanceof Date
                ? 6
                : Array.isArray(v)
                  ? 7
                  : 3;
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (rank(a) === 3) return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
  if (typeof a === "string") {
    const [x, y] = [[...a].map((c) => c.codePointAt(0)!), [...(b as string)].map((c) => c.codePointAt(0)!)];
    return modelCompare(x, y);
  }
  if (a instanceof Uint8Array) return compareBytes(a, b as Uint8Array);
  if (a instanceof Date) return a.getTime() - (b as Date).getTime();
  if (Array.isArray(a)) {
    const other = b as unknown[];
    for (let i = 0; i < Math.min(a.length, other.length); i++) {
      const result = modelCompare(a[i], other[i]);
      if (result !== 0) return result;
    }
    return a.length - other.length;
  }
  return 0;
}

describe("key encoding", () => {
  const ordered = fc.oneof(
    leaf,
    fc.array(leaf, { maxLength: 4 }),
    fc.array(fc.array(leaf, { maxLength: 2 }), { maxLength: 3 }),
  );

  test("orders bytes as the keys are ordered", () => {
    fc.assert(
      fc.property(ordered, ordered, (a, b) => {
        const expected = Math.sign(modelCompare(a, b));
        expect(Math.sign(compareBytes(encodeKey(a), encodeKey(b)))).toBe(expected);
        expect(Math.sign(compareValues(a, b))).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });

  test("orders numbers exactly, bigints among doubles", () => {
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        expect(Math.sign(compareBytes(encodeKey(a), encodeKey(b)))).toBe(Math.sign(modelCompare(a, b)));
      }),
      { numRuns: 5000 },
    );
    expect(compareBytes(encodeKey(2 ** 53), encodeKey(2n ** 53n + 1n))).toBeLessThan(0);
    expect(compareBytes(encodeKey(-(2n ** 2000n)), encodeKey(-1e308))).toBeLessThan(0);
    expect(compareBytes(encodeKey(-Infinity), encodeKey(-(2n ** 2000n)))).toBeLessThan(0);
  });

  test("comes back equal, and tells its own length inside a longer run", () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const writer = new KeyWriter(1);
        writer.key(a);
        writer.key(b);
        const bytes = writer.take();
        const first = decodeKey(bytes, 0);
        expect(valuesEqual(first, a)).toBe(true);
        expect(decodedKeyEnd()).toBe(keyLength(bytes, 0));
        expect(valuesEqual(decodeKey(bytes, decodedKeyEnd()), b)).toBe(true);
        expect(decodedKeyEnd()).toBe(bytes.length);
        expect(encodeKey(first)).toEqual(encodeKey(a));
      }),
      { numRuns: 3000 },
    );
  });

  test("two keys are the same bytes exactly when they are equal by value", () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        expect(compareBytes(encodeKey(a), encodeKey(b)) === 0).toBe(valuesEqual(a, b));
      }),
      { numRuns: 3000 },
    );
  });

  test("refuses NaN, functions and invalid dates with NOT_A_KEY", () => {
    for (const bad of [Number.NaN, () => 1, Symbol("x"), new Date(Number.NaN), [Number.NaN]]) {
      expect(() => encodeKey(bad)).toThrow(RamaError);
    }
    expect(encodeKey("still works")).toEqual(encodeKey("still works"));
  });

  test("strings compare by code point", () => {
    fc.assert(
      fc.property(texts, texts, (a, b) => {
        expect(Math.sign(compareStrings(a, b))).toBe(Math.sign(modelCompare(a, b)));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("value codec", () => {
  test("a value comes back with its kind", () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeValue(value);
        const back = decodeValue(bytes);
        expect(valuesEqual(back, value)).toBe(true);
        expect(encodeValue(back)).toEqual(bytes);
      }),
      { numRuns: 3000 },
    );
    expect(Object.is(decodeValue(encodeValue(-0)), -0)).toBe(true);
    expect(decodeValue(encodeValue({ a: undefined, b: [undefined] }))).toEqual({ b: [null] } as any);
  });

  test("skipping a value ends where reading it ends", () => {
    fc.assert(
      fc.property(values, (value) => {
        const reader = new ByteReader(encodeValue(value));
        skipValue(reader);
        expect(reader.pos).toBe(reader.end);
      }),
      { numRuns: 2000 },
    );
  });

  test("a scan of fields gives what the whole value has there", () => {
    const scan = scanFields(["a", "b", "é"]);
    fc.assert(
      fc.property(fc.dictionary(names, keys, { maxKeys: 6 }), fc.boolean(), (record, asMap) => {
        const bytes = encodeValue(asMap ? new Map(Object.entries(record)) : record);
        const field = (name: string) => (Object.hasOwn(record, name) ? record[name] : null);
        expect(valuesEqual(scan(bytes, 0, bytes.length), [field("a"), field("b"), field("é")])).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("damaged bytes are BAD_VALUE or another value, never another error", () => {
    fc.assert(
      fc.property(values, fc.nat(), fc.nat(255), (value, at, byte) => {
        const bytes = encodeValue(value);
        bytes[at % bytes.length] = byte;
        try {
          decodeValue(bytes.subarray(0, bytes.length - (at % 2)));
        } catch (error) {
          if (!(error instanceof RamaError)) throw error;
          expect(["BAD_VALUE", "NOT_SERIALIZABLE"]).toContain(error.code);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("lookups by value", () => {
  test("a Map used through the helpers agrees with a list of entries", () => {
    const small = fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.constantFrom(0n, 1n, "a", null),
      fc.array(fc.nat(3), { maxLength: 2 }),
    );
    const steps = fc.array(fc.tuple(fc.boolean(), small, fc.nat()), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (list) => {
        const map = new Map<unknown, unknown>();
        const set = new Set<unknown>();
        let entries: [unknown, unknown][] = [];
        for (const [remove, key, value] of list) {
          entries = entries.filter(([k]) => !valuesEqual(k, key));
          if (remove) mapDelete(map, key);
          else {
            mapSet(map, key, value);
            setAdd(set, key);
            entries.push([key, value]);
          }
          for (const [k, v] of entries) {
            expect(mapGet(map, k)).toBe(v);
            expect(setHas(set, k)).toBe(true);
          }
          expect(map.size).toBe(entries.length);
        }
      }),
      { numRuns: 300 },
    );
  });
});
