// What one turn of the engine changed in one task group, as one entry of its replog. A turn that touched several groups writes one entry for each, one behind the
// other in the physical log, and counts only as a whole: a record that hopped from one group of the engine to another is applied in both or in none.
//   payload := flags u8 | section*
//   section := kind u8 | length u32 | bytes[length]
//     1 PState writes of one topology (pstate/contract.ts SealedWrites)
//     2 stream progress: source id varint, task varint, delta (topology/stream/progress.ts)
//     3 stream progress: source id varint, task varint, whole state
//   flags: 1 last entry of its turn; 2 what stands before it without a last entry is void (written by recovery after a torn turn)
// Recovery keeps the entries of a turn until it has read the last one; kept ones at the end of the log are void.
import { RamaError } from "../base/errors.ts";

export const SECTION_WRITES = 1;
export const SECTION_PROGRESS = 2;
export const SECTION_PROGRESS_STATE = 3;

const LAST = 1;
const VOID_BEFORE = 2;

export const turnGoesOn = Uint8Array.of(0);
export const turnEnds = Uint8Array.of(LAST);
export const turnVoid = Uint8Array.of(LAST | VOID_BEFORE);

/** Gathers the sections of one group's entry. `parts[0]` is for the flags. */
export class TurnEntry {
  parts: Uint8Array[] = [turnEnds];
  applies: (() => void)[] = [];

  get empty(): boolean {
    return this.parts.length === 1;
  }

  /** `apply` makes it visible once the turn is durable. */
  add(kind: number, bytes: Uint8Array, apply: () => void): void {
    const head = new Uint8Array(5);
    head[0] = kind;
    new DataView(head.buffer).setUint32(1, bytes.length, true);
    this.parts.push(head, bytes);
    this.applies.push(apply);
  }
}

export interface TurnSection {
  readonly kind: number;
  readonly bytes: Uint8Array;
}

export function sectionsOf(payload: Uint8Array): TurnSection[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const sections: TurnSection[] = [];
  let at = 1;
  while (at < payload.length) {
    const length = at + 5 <= payload.length ? view.getUint32(at + 1, true) : payload.length;
    const end = at + 5 + length;
    if (end > payload.length) throw new RamaError("STORE_CORRUPT", "a section of a turn is longer than its entry");
    sections.push({ kind: payload[at]!, bytes: payload.subarray(at + 5, end) });
    at = end;
  }
  return sections;
}

/** Gives whole turns back out of the entries of the log, in physical order. Pure. */
export class TurnAssembler<T> {
  #open: T[] = [];

  /** Entries of a turn that has no end so far. */
  get open(): number {
    return this.#open.length;
  }

  /** The entries of the turn that ends with this one; empty while it goes on. */
  push(payload: Uint8Array, entry: T): T[] {
    const flags = payload[0] ?? 0;
    if ((flags & VOID_BEFORE) !== 0) {
      this.#open = [];
      return [entry];
    }
    this.#open.push(entry);
    if ((flags & LAST) === 0) return [];
    const turn = this.#open;
    this.#open = [];
    return turn;
  }
}
