// What one turn of the engine changed in one task group, as one entry of its replog. A turn that touched several groups writes one entry for each, one behind the
// other in the physical log, and counts only as a whole: a record that hopped from one group of the engine to another is applied in both or in none.
//   payload := flags u8 | last group u16, last offset f64  (only where flag 1 is not set) | section*
//   section := kind u8 | length u32 | bytes[length]
//     1 PState writes of one topology (pstate/contract.ts SealedWrites)
//     2 stream progress: source id varint, task varint, delta (topology/stream/progress.ts)
//     3 stream progress: source id varint, task varint, whole state
//     4 marks of events of open trees: topology id varint, list (topology/stream/applied-marks.ts)
//   flags: 1 last entry of its turn; 2 void: the entry of this group before it belongs to a torn turn (written by recovery, before anything else of the group)
// An entry that is not the last names the turn's last one. Recovery applies it when it has read that one, when the Kv has that one already, or when
// anything but a void mark follows it in its group. Otherwise, at the end of the log, the turn is torn: nothing of it was ever told to anyone.
import { RamaError } from "../base/errors.ts";

export const SECTION_WRITES = 1;
export const SECTION_PROGRESS = 2;
export const SECTION_PROGRESS_STATE = 3;
export const SECTION_MARKS = 4;

const LAST = 1;
const VOID_BEFORE = 2;

const GOES_ON_BYTES = 11;

export const turnEnds = Uint8Array.of(LAST);
export const turnVoid = Uint8Array.of(LAST | VOID_BEFORE);

/** Head of an entry whose turn ends with entry `offset` of `group`. */
export function turnGoesOn(group: number, offset: number): Uint8Array {
  const head = new Uint8Array(GOES_ON_BYTES);
  const view = new DataView(head.buffer);
  view.setUint16(1, group, true);
  view.setFloat64(3, offset, true);
  return head;
}

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
  let at = (payload[0]! & LAST) !== 0 ? 1 : GOES_ON_BYTES;
  while (at < payload.length) {
    const length = at + 5 <= payload.length ? view.getUint32(at + 1, true) : payload.length;
    const end = at + 5 + length;
    if (end > payload.length) throw new RamaError("STORE_CORRUPT", "a section of a turn is longer than its entry");
    sections.push({ kind: payload[at]!, bytes: payload.subarray(at + 5, end) });
    at = end;
  }
  return sections;
}

export interface TurnPart {
  readonly group: number;
  readonly offset: number;
  readonly payload: Uint8Array;
}

interface OpenPart<T> {
  readonly part: T;
  readonly lastGroup: number;
  readonly lastOffset: number;
}

/** Gives back which entries of turns are to be applied, out of those that the log still has, in its order. Pure. */
export class TurnAssembler<T extends TurnPart> {
  /** By group: its newest entry, while that waits for the last one of its turn. */
  readonly #open = new Map<number, OpenPart<T>>();

  push(part: T): T[] {
    const { group, offset, payload } = part;
    const flags = payload[0] ?? 0;
    const whole: T[] = [];
    const before = this.#open.get(group);
    if (before !== undefined) {
      this.#open.delete(group);
      if ((flags & VOID_BEFORE) === 0) whole.push(before.part);
    }
    if ((flags & LAST) === 0) {
      const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
      this.#open.set(group, { part, lastGroup: view.getUint16(1, true), lastOffset: view.getFloat64(3, true) });
      return whole;
    }
    for (const [other, open] of this.#open) {
      if (open.lastGroup !== group || open.lastOffset !== offset) continue;
      this.#open.delete(other);
      whole.push(open.part);
    }
    whole.push(part);
    return whole;
  }

  /** At the end of the log. `torn`: groups whose newest entry counts for nothing. */
  end(inKv: (group: number, offset: number) => boolean): { readonly whole: T[]; readonly torn: number[] } {
    const whole: T[] = [];
    const torn: number[] = [];
    for (const [group, { part, lastGroup, lastOffset }] of this.#open) {
      if (inKv(lastGroup, lastOffset)) whole.push(part);
      else torn.push(group);
    }
    return { whole, torn };
  }
}
