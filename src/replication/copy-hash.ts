// What tells whether a part of a copy, and the copy as a whole, has arrived as it was sent.
import { createHash, type Hash } from "node:crypto";
import { equalBytes } from "../base/bytes.ts";
import { type CopyPart, PART_HASH_BYTES, rangeBytes } from "../protocol/store-copy.ts";

export function partHash({ range, content }: CopyPart): Uint8Array {
  const hash = createHash("sha256").update(rangeBytes(range)).update(content);
  return new Uint8Array(hash.digest()).subarray(0, PART_HASH_BYTES);
}

export const sameHash = equalBytes;

/** Over the hashes of all parts, in order of their numbers. */
export class WholeHash {
  readonly #hash: Hash = createHash("sha256");

  add(hash: Uint8Array): void {
    this.#hash.update(hash);
  }

  take(): Uint8Array {
    return new Uint8Array(this.#hash.digest()).subarray(0, PART_HASH_BYTES);
  }
}
