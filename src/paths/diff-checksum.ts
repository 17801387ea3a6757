// A number for a value's content, the same for equal values in every process and release: each diff carries that of the value it leads to, so that engine and
// client notice when they have come apart. Order counts in arrays only. What has been computed for a collection is kept beside it: values are immutable and
// share what did not change, so that the next checksum costs about what the change costs.
import { kindOf } from "../base/values.ts";

const known = new WeakMap<object, number>();
const scratch = new DataView(new ArrayBuffer(8));

/** Unsigned 32 bits. */
export function checksumOf(value: unknown): number {
  switch (typeof value) {
    case "string":
      return textSum(value, 7);
    case "number":
      return numberSum(value);
    case "bigint": {
      const number = Number(value);
      return Number.isSafeInteger(number) ? numberSum(number) : textSum(value.toString(), 11);
    }
    case "boolean":
      return value ? 3 : 2;
    case "object": {
      if (value === null) return 1;
      let sum = known.get(value);
      if (sum === undefined) {
        sum = objectSum(value);
        known.set(value, sum);
      }
      return sum;
    }
    default:
      return 1;
  }
}

function mix(a: number, b: number): number {
  let sum = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ b;
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}

function textSum(text: string, seed: number): number {
  let sum = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return mix(sum, text.length);
}

function numberSum(value: number): number {
  if (Number.isNaN(value)) return 5;
  scratch.setFloat64(0, value === 0 ? 0 : value);
  return mix(scratch.getUint32(0), scratch.getUint32(4) ^ 13);
}

function bytesSum(bytes: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) sum = Math.imul(sum ^ bytes[i]!, 0x01000193);
  return mix(sum, bytes.length);
}

function objectSum(value: object): number {
  switch (kindOf(value)) {
    case "array": {
      let sum = 17;
      for (const element of value as unknown[]) sum = mix(sum, checksumOf(element));
      return sum;
    }
    case "map": {
      let sum = 19;
      for (const [key, element] of value as Map<unknown, unknown>)
        sum = (sum + mix(checksumOf(key), checksumOf(element))) | 0;
      return sum >>> 0;
    }
    case "set": {
      let sum = 23;
      for (const element of value as Set<unknown>) sum = (sum + mix(checksumOf(element), 29)) | 0;
      return sum >>> 0;
    }
    case "date":
      return mix(numberSum((value as Date).getTime()), 31);
    case "bytes":
    case "typedArray": {
      const { buffer, byteOffset, byteLength } = value as Uint8Array;
      return bytesSum(new Uint8Array(buffer, byteOffset, byteLength));
    }
    // Instances count by their fields: whether the client knows their class makes no difference.
    default: {
      let sum = 37;
      for (const [name, field] of Object.entries(value))
        if (field !== undefined) sum = (sum + mix(textSum(name, 7), checksumOf(field))) | 0;
      return sum >>> 0;
    }
  }
}
