// Control bodies: plain data comes back as it went, bytes never share memory, broken bytes are an error and not a value.
import { expect, test } from "bun:test";
import { decodeControl, encodeControl } from "../../../src/base/codec.ts";
import type { RamaError } from "../../../src/base/errors.ts";

const value = {
  a: 1,
  text: "x",
  list: [1, [2], { b: null }],
  big: 2n ** 70n,
  bytes: new Uint8Array([1, 2]),
  at: new Date(5),
};

test("plain data comes back equal, as plain objects", () => {
  const decoded = decodeControl(encodeControl(value)) as Record<string, unknown>;
  expect(decoded).toEqual(value);
  expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
});

test("neither side shares memory with the other", () => {
  const encoded = encodeControl(value);
  const before = new Uint8Array(encoded);
  encodeControl({ other: "x".repeat(1_000) });
  expect(encoded).toEqual(before);
  const decoded = decodeControl(encoded) as typeof value;
  encoded.fill(0);
  expect([...decoded.bytes]).toEqual([1, 2]);
});

test("what is not one value is BAD_VALUE, what cannot be encoded NOT_SERIALIZABLE", () => {
  const codeOf = (fn: () => unknown) => {
    try {
      fn();
    } catch (error) {
      return (error as RamaError).code;
    }
    return "no error";
  };
  for (const bad of [[], [0x61], [1, 1], [0xbf]])
    expect(codeOf(() => decodeControl(new Uint8Array(bad)))).toBe("BAD_VALUE");
  expect(codeOf(() => encodeControl({ f() {} }))).toBe("NOT_SERIALIZABLE");
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  expect(codeOf(() => encodeControl(cyclic))).toBe("NOT_SERIALIZABLE");
  expect(decodeControl(encodeControl("still works"))).toBe("still works");
});
