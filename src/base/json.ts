// The two JSON borders: what REST and `--json` print, and what they take.
//
//   out  bigint: number when exact in 2^53, else decimal string | Map: object, keys that are no strings as their JSON text | Set: array
//        Date: epoch ms | bytes: base64 | other typed arrays: arrays | NaN, infinities: null | class instances: their fields
//   in   integers beyond 2^53: bigint | strings "#__" + mark: B S L (integers) F (float) C K (strings) f (a function by name)
import { messageOf, RamaError } from "./errors.ts";
import { defineField, kindOf } from "./values.ts";

export function jsonOf(value: unknown): unknown {
  switch (kindOf(value)) {
    case "null":
    case "function":
    case "symbol":
      return null;
    case "number":
      return Number.isFinite(value) ? value : null;
    case "bigint":
      return jsonOfBigint(value as bigint);
    case "date":
      return jsonOf((value as Date).getTime());
    case "bytes":
      return base64(value as Uint8Array);
    case "typedArray":
      return Array.from(value as Iterable<unknown>, jsonOf);
    case "array":
      return (value as unknown[]).map(jsonOf);
    case "set":
      return Array.from(value as Set<unknown>, jsonOf);
    case "map":
      return objectFrom([...(value as Map<unknown, unknown>)].map(([key, v]) => [jsonKey(key), v]));
    case "object":
    case "instance":
      return objectFrom(Object.entries(value as object).filter(([, v]) => v !== undefined));
    default:
      return value;
  }
}

/** The value as JSON text; `indent` as for JSON.stringify. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(jsonOf(value), undefined, indent);
}

function jsonOfBigint(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

function jsonKey(key: unknown): string {
  return typeof key === "string" ? key : jsonText(key);
}

function objectFrom(entries: [string, unknown][]): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of entries) defineField(result, name, jsonOf(value));
  return result;
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export interface JsonInOptions {
  /** Resolves `#__f` names; undefined when there is no such function. Without it `#__f` is refused. */
  readonly functionNamed?: (name: string) => unknown;
}

// A string, or an integer of 16 digits and more that is no part of a longer number.
const longIntegers = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

/** Parses JSON text by the rules above. BAD_JSON for what does not parse or fit. */
export function parseJson(text: string, options: JsonInOptions = {}): unknown {
  // Integers that a double cannot hold go through JSON.parse as marked strings.
  const marked = /\d{16}/.test(text) ? text.replace(longIntegers, markLong) : text;
  let parsed: unknown;
  try {
    parsed = JSON.parse(marked);
  } catch (error) {
    throw new RamaError("BAD_JSON", `not JSON: ${messageOf(error)}`, {}, error);
  }
  return valueOfJson(parsed, options);
}

function markLong(match: string): string {
  return match.startsWith('"') || Number.isSafeInteger(Number(match)) ? match : `"#__L${match}"`;
}

/** The value that parsed JSON stands for. */
export function valueOfJson(json: unknown, options: JsonInOptions = {}): unknown {
  if (typeof json === "string") return json.startsWith("#__") ? valueOfMarked(json, options) : json;
  if (Array.isArray(json)) return json.map((element) => valueOfJson(element, options));
  if (typeof json === "object" && json !== null) {
    const result: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(json)) defineField(result, name, valueOfJson(value, options));
    return result;
  }
  return json;
}

function valueOfMarked(text: string, options: JsonInOptions): unknown {
  const content = text.slice(4);
  switch (text[3]) {
    case "B":
      return integerIn(text, content, -128n, 127n);
    case "S":
      return integerIn(text, content, -32768n, 32767n);
    case "L":
      return integerIn(text, content, undefined, undefined);
    case "F": {
      const number = Number(content);
      if (content.trim() === "" || Number.isNaN(number)) throw badMark(text);
      return number;
    }
    case "C":
      if ([...content].length !== 1) throw badMark(text);
      return content;
    case "K":
      return content;
    case "f": {
      const found = options.functionNamed?.(content);
      if (found === undefined || found === null) {
        throw new RamaError("FUNCTION_IN_CLIENT_PATH", `there is no function named ${content}`, { name: content });
      }
      return found;
    }
    default:
      return text;
  }
}

function integerIn(text: string, content: string, min: bigint | undefined, max: bigint | undefined): number | bigint {
  if (!/^[+-]?\d+$/.test(content)) throw badMark(text);
  const value = BigInt(content.replace("+", ""));
  if ((min !== undefined && value < min) || (max !== undefined && value > max)) throw badMark(text);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function badMark(text: string): RamaError {
  return new RamaError("BAD_JSON", `${JSON.stringify(text)} does not hold what its mark says`, { text });
}
