// Dead letters: records that failed as often as their source's `deadLetterAfter` says, set aside with their error so that the others go on. One box for each source in
// each depot partition. A letter is written in the same turn as the progress that passes its record, and goes in the same turn as what the record's
// later run writes: over any crash a record is either processed or set aside. The box keeps the record's bytes, so a trimmed depot loses no letter.
//   state  := version u8 (1) | count | letter*
//   delta  := (1 | letter  or  2 | offset)*                                     1 put, 2 removed
//   letter := offset | failures | flags u8 (1: a retry has been asked for) | attempted | set aside at (epoch ms) | code text | message text | length, record
// Numbers are varints. In a turn's entry the delta stands under the box's name id and the task, as progress does (task/turn-entry.ts).
import { isErrorCode, RamaError } from "../base/errors.ts";
import { ByteReader, ByteWriter } from "../base/value-bytes.ts";

const VERSION = 1;
const PUT = 1;
const REMOVED = 2;

/** A box that is full takes no more: the next such record blocks its topology, as without dead letters. Small, since each flush writes a changed box whole. */
export const lettersMax = 1000;
const boxBytesMax = 20 * 1024 * 1024;
const messageMax = 2000;

export interface DeadLetter {
  readonly offset: number;
  readonly failures: number;
  /** Asked for, and not ended yet. */
  readonly retrying: boolean;
  /** The microbatch that runs it again; 0: none. */
  readonly attempted: number;
  readonly setAsideMs: number;
  readonly code: string;
  readonly message: string;
  readonly record: Uint8Array;
}

export function letterOf(
  offset: number,
  record: Uint8Array,
  { code, message }: Pick<DeadLetter, "code" | "message">,
  failures: number,
  nowMs: number,
): DeadLetter {
  return {
    offset,
    failures,
    retrying: false,
    attempted: 0,
    setAsideMs: nowMs,
    code,
    message: message.slice(0, messageMax),
    record,
  };
}

export function errorOfLetter({ code, message }: DeadLetter): RamaError {
  return new RamaError(isErrorCode(code) ? code : "USER_CODE_FAILED", message);
}

type Letters = Map<number, DeadLetter>;

export class DeadLetterBox {
  /** With the changes of the running turn. */
  #live: Letters | undefined = undefined;
  /** What disk has, or will have once the flush has written it. */
  #durable: Letters | undefined = undefined;
  readonly #delta = new ByteWriter(64);
  #bytes = 0;
  /** The flush has not written the present state yet. */
  dirty = false;

  constructor(
    /** Stable number of the box's name in the store. */
    readonly id: number,
    readonly task: number,
  ) {}

  get size(): number {
    return this.#live?.size ?? 0;
  }

  get changed(): boolean {
    return this.#delta.length > 0;
  }

  has(offset: number): boolean {
    return this.#live?.has(offset) ?? false;
  }

  get(offset: number): DeadLetter | undefined {
    return this.#live?.get(offset);
  }

  /** In order of offset. */
  list(): DeadLetter[] {
    return [...(this.#live?.values() ?? [])].sort((a, b) => a.offset - b.offset);
  }

  /** Has it room for one more of that size? */
  takes(bytes: number): boolean {
    return this.size < lettersMax && this.#bytes + bytes <= boxBytesMax;
  }

  /** Adds the letter, or takes the place of the one with its offset. */
  put(letter: DeadLetter): void {
    this.#live ??= new Map();
    this.#bytes += letter.record.length - (this.#live.get(letter.offset)?.record.length ?? 0);
    this.#live.set(letter.offset, letter);
    this.#delta.u8(PUT);
    writeLetter(this.#delta, letter);
  }

  /** False when there is no such letter. */
  remove(offset: number): boolean {
    const letter = this.#live?.get(offset);
    if (letter === undefined) return false;
    this.#live!.delete(offset);
    this.#bytes -= letter.record.length;
    this.#delta.u8(REMOVED);
    this.#delta.varint(offset);
    return true;
  }

  /** What changed since the last call, for the turn's entry: `applyDelta` it once it is durable. */
  takeDelta(): Uint8Array {
    const delta = this.#delta.take();
    this.#delta.reset();
    return delta;
  }

  applyDelta(delta: Uint8Array): void {
    this.#durable ??= new Map();
    readDelta(new ByteReader(delta), this.#durable);
    this.dirty = true;
  }

  // ---- recovery

  load(state: Uint8Array): void {
    this.#durable = decodeBox(state);
  }

  replay(delta: ByteReader): void {
    this.#durable ??= new Map();
    readDelta(delta, this.#durable);
    this.dirty = true;
  }

  /** After recovery: what is durable counts. */
  begin(): void {
    if (this.#durable === undefined) return;
    this.#live = new Map(this.#durable);
    this.#bytes = 0;
    for (const { record } of this.#live.values()) this.#bytes += record.length;
  }

  /** What the flush writes under the box's name. */
  takeState(): { readonly sourceId: number; readonly task: number; readonly state: Uint8Array } {
    this.dirty = false;
    return { sourceId: this.id, task: this.task, state: this.encode() };
  }

  encode(): Uint8Array {
    const letters = this.#durable ?? new Map<number, DeadLetter>();
    const writer = new ByteWriter(256);
    writer.u8(VERSION);
    writer.varint(letters.size);
    for (const letter of letters.values()) writeLetter(writer, letter);
    return writer.take();
  }
}

function writeLetter(writer: ByteWriter, letter: DeadLetter): void {
  writer.varint(letter.offset);
  writer.varint(letter.failures);
  writer.u8(letter.retrying ? 1 : 0);
  writer.varint(letter.attempted);
  writer.varint(letter.setAsideMs);
  writer.text(letter.code);
  writer.text(letter.message);
  writer.varint(letter.record.length);
  writer.raw(letter.record);
}

function readLetter(reader: ByteReader): DeadLetter {
  const [offset, failures, flags] = [reader.varint(), reader.varint(), reader.u8()];
  const [attempted, setAsideMs] = [reader.varint(), reader.varint()];
  const [code, message] = [reader.text(), reader.text()];
  const length = reader.varint();
  const record = reader.bytes.slice(reader.pos, reader.pos + length);
  reader.pos += length;
  return { offset, failures, retrying: (flags & 1) === 1, attempted, setAsideMs, code, message, record };
}

function readDelta(reader: ByteReader, letters: Letters): void {
  while (reader.pos < reader.end) {
    if (reader.u8() === PUT) {
      const letter = readLetter(reader);
      letters.set(letter.offset, letter);
    } else letters.delete(reader.varint());
  }
}

function decodeBox(state: Uint8Array): Letters {
  const reader = new ByteReader(state);
  const version = reader.u8();
  if (version !== VERSION) {
    throw new RamaError("STORE_CORRUPT", `dead letters of version ${version} are not known to this release`, {
      version,
    });
  }
  const letters: Letters = new Map();
  for (let count = reader.varint(); count > 0; count--) {
    const letter = readLetter(reader);
    letters.set(letter.offset, letter);
  }
  return letters;
}
