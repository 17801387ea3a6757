// Where a value goes: MurmurHash3 x86 32 bit, seed 0, over the canonical key encoding. Clients and tasks must agree for ever, so the test vectors
// in tests/unit/base/hash.test.ts never change.
import { KeyWriter } from "./key-encoding.ts";

export function murmur3(bytes: Uint8Array, length: number, seed = 0): number {
  let hash = seed;
  const blocksEnd = length & ~3;
  for (let i = 0; i < blocksEnd; i += 4) {
    let block = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    block = Math.imul(block, 0xcc9e2d51);
    block = (block << 15) | (block >>> 17);
    hash ^= Math.imul(block, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let i = length - 1; i >= blocksEnd; i--) tail = (tail << 8) | bytes[i]!;
  if (blocksEnd < length) {
    tail = Math.imul(tail, 0xcc9e2d51);
    tail = (tail << 15) | (tail >>> 17);
    hash ^= Math.imul(tail, 0x1b873593);
  }
  hash ^= length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const writer = new KeyWriter(1024);

/** Unsigned 32-bit hash of a key by value. NOT_A_KEY for what cannot be a key. */
export function hashValue(value: unknown): number {
  writer.reset();
  writer.key(value);
  return murmur3(writer.bytes, writer.length);
}

/** The task that `hashPartition(value)` chooses; `tasks` is a power of two. */
export function taskOf(value: unknown, tasks: number): number {
  return hashValue(value) & (tasks - 1);
}
