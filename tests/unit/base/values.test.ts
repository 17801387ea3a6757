// Borders of the value layer: classes by name, custom serializations, JSON, freezing. Guards against values that change kind or class on their way.
import { describe, expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { jsonText, parseJson } from "../../../src/base/json.ts";
import { decodeValue, encodeValue } from "../../../src/base/value-codec.ts";
import {
  ClassRegistry,
  deepFreeze,
  normalizeValue,
  type ValueInput,
  type ValueOutput,
} from "../../../src/base/values.ts";

class Follow {
  constructor(
    readonly from: string,
    readonly to: string,
  ) {}
  line() {
    return `${this.from}>${this.to}`;
  }
}
class Money {
  constructor(readonly cents: number) {}
}
const moneySerialization = {
  targetType: () => Money,
  serialize: (value: Money, out: ValueOutput) => out.writeValue(value.cents),
  deserialize: (input: ValueInput) => new Money(input.readValue() as number),
};

const codeOf = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    return (error as RamaError).code;
  }
  return "none";
};

describe("classes", () => {
  const classes = new ClassRegistry().register(Follow).registerCustom("money", moneySerialization);

  test("an instance comes back as one, with its methods, as often as it is sent", () => {
    for (let i = 0; i < 5; i++) {
      const back = decodeValue(encodeValue([new Follow("a", `b${i}`)], classes), 0, undefined, classes) as Follow[];
      expect(back[0]!.line()).toBe(`a>b${i}`);
    }
  });

  test("a custom serialization is used for its class, also inside other values", () => {
    const back = decodeValue(encodeValue(new Map([["m", new Money(5)]]), classes), 0, undefined, classes) as Map<
      string,
      Money
    >;
    expect(back.get("m")).toEqual(new Money(5));
    expect(back.get("m")).toBeInstanceOf(Money);
  });

  test("an unknown class is NOT_SERIALIZABLE on both sides, and readable as fields by a lenient reader", () => {
    const bytes = encodeValue(new Follow("a", "b"), classes);
    expect(codeOf(() => encodeValue(new Follow("a", "b")))).toBe("NOT_SERIALIZABLE");
    expect(codeOf(() => decodeValue(bytes))).toBe("NOT_SERIALIZABLE");
    expect(decodeValue(bytes, 0, bytes.length, new ClassRegistry({ lenient: true }))).toEqual({ from: "a", to: "b" });
    expect(codeOf(() => encodeValue({ fn: () => 1 }))).toBe("NOT_SERIALIZABLE");
  });

  test("a value that contains itself is refused", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(codeOf(() => encodeValue(loop))).toBe("NOT_SERIALIZABLE");
    expect(encodeValue(1)).toEqual(new Uint8Array([0x81]));
  });

  test("two serializations may not claim a class and its subclass", () => {
    class Euro extends Money {}
    expect(codeOf(() => classes.registerCustom("euro", { ...moneySerialization, targetType: () => Euro }))).toBe(
      "NOT_SERIALIZABLE",
    );
  });
});

describe("json", () => {
  test("prints every kind by the documented rules", () => {
    const value = {
      big: 5n,
      huge: 2n ** 60n,
      map: new Map<unknown, unknown>([
        ["a", 1],
        [2, [3]],
      ]),
      set: new Set([1]),
      date: new Date(7),
      bytes: new Uint8Array([1, 2]),
      nan: Number.NaN,
    };
    expect(jsonText(value)).toBe(
      '{"big":5,"huge":"1152921504606846976","map":{"2":[3],"a":1},"set":[1],"date":7,"bytes":"AQI=","nan":null}',
    );
  });

  test("takes marked strings and long integers", () => {
    const functionNamed = (name: string) => (name === "Ops.INC" ? "the op" : undefined);
    const text =
      '["#__L5","#__L9007199254740993",9007199254740993,"9007199254740993","#__B19","#__CQ","#__Kab","#__F1.5","#__fOps.INC",12345678901234.5]';
    expect(parseJson(text, { functionNamed })).toEqual([
      5,
      9007199254740993n,
      9007199254740993n,
      "9007199254740993",
      19,
      "Q",
      "ab",
      1.5,
      "the op",
      12345678901234.5,
    ]);
  });

  test("refuses what does not fit its mark", () => {
    expect(["#__B300", "#__Lx", "#__CQQ"].map((mark) => codeOf(() => parseJson(JSON.stringify(mark))))).toEqual([
      "BAD_JSON",
      "BAD_JSON",
      "BAD_JSON",
    ]);
    expect(codeOf(() => parseJson("{"))).toBe("BAD_JSON");
    expect(codeOf(() => parseJson('"#__fnope"'))).toBe("FUNCTION_IN_CLIENT_PATH");
  });
});

test("normalizing leaves a clean value as it is and mends the others", () => {
  const clean = { a: [1, new Map([["k", null]])] };
  expect(normalizeValue(clean)).toBe(clean);
  expect(normalizeValue({ a: undefined, b: [undefined, new Map([["k", undefined]])] })).toEqual({
    b: [null, new Map([["k", null]])],
  });
});

test("frozen Maps and Sets refuse changes", () => {
  const frozen = deepFreeze({ map: new Map([["a", new Set([1])]]) });
  expect(() => frozen.map.set("b", new Set())).toThrow("shared");
  expect(() => frozen.map.get("a")!.add(2)).toThrow("shared");
});
