// Entries that a replica holds and has not applied: they wait until they are committed, or are taken back.
import { ENTRY_HEADER_BYTES } from "../protocol/replication.ts";
import type { EntryChunk, TailEntry } from "./replog-tail.ts";

interface Waiting {
  chunk: EntryChunk;
  /** Of the chunk's first entry that is not applied: where it begins in the bytes, and its offset. */
  at: number;
  offset: number;
}

export class UnappliedEntries {
  #waiting: Waiting[] = [];
  #applied: number;

  constructor(applied: number) {
    this.#applied = applied;
  }

  /** Entries below are applied. */
  get applied(): number {
    return this.#applied;
  }

  /** The bytes are kept. */
  add(chunk: EntryChunk): void {
    this.#waiting.push({ chunk, at: 0, offset: chunk.from });
  }

  truncate(end: number): void {
    while (this.#waiting.length > 0 && this.#waiting.at(-1)!.chunk.from >= end) this.#waiting.pop();
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.chunk.to > end) last.chunk = { ...last.chunk, to: end };
  }

  /** False: there was nothing to apply. */
  applyUpTo(offset: number, apply: (entry: TailEntry, offset: number) => void): boolean {
    if (offset <= this.#applied) return false;
    while (this.#applied < offset) {
      const next = this.#waiting[0]!;
      const { bytes, to } = next.chunk;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      while (next.offset < to && this.#applied < offset) {
        const end = next.at + ENTRY_HEADER_BYTES + view.getUint32(next.at + 5, true);
        const payload = bytes.subarray(next.at + ENTRY_HEADER_BYTES, end);
        apply({ kind: bytes[next.at]!, epoch: view.getUint32(next.at + 1, true), payload }, next.offset);
        next.at = end;
        next.offset++;
        this.#applied++;
      }
      if (next.offset === to) this.#waiting.shift();
    }
    return true;
  }
}
