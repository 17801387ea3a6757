// What one client appends to one partition between two sends: the records as bytes, and who waits for each. Its token (the sequence of its first record) is given
// when it is sent for the first time, after which it never changes, so that it may be sent again. Ends in exactly one way for each record: appended, not
// appended, or unknown.
import type { RamaError } from "../base/errors.ts";
import { ByteWriter } from "../base/value-bytes.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { tooLarge } from "../protocol/append.ts";

export type AckReturns = Record<string, unknown>;

/** Told of the end of one record. `tag` is what was given with the record. */
export interface AppendWaiter {
  appended(tag: number, offset: number, ackReturns: AckReturns): void;
  notAppended(tag: number, error: RamaError): void;
}

/** A batch that has reached either is sent before it takes more. */
const batchRecordsMax = 4096;
const batchBytesMax = 512 * 1024;

export class AppendBatch {
  readonly level: AckLevelName;
  readonly #writer: ByteWriter;
  readonly #waiters: AppendWaiter[] = [];
  readonly #tags: number[] = [];
  /** Monotonic milliseconds. */
  deadline: number;
  /** -1 until it is sent for the first time. */
  sequence = -1;
  /** It was sent and the connection broke before the answer: it may be stored, whatever a later sending is answered. */
  isInDoubt = false;
  /** Which of the partition's batches it is. */
  order = 0;
  /** Request on the present connection; 0 when it is not in flight. */
  request = 0;

  /** `capacity`: bytes that it is likely to hold. */
  constructor(level: AckLevelName, deadline: number, classes: ClassRegistry, capacity = 256) {
    this.level = level;
    this.deadline = deadline;
    this.#writer = new ByteWriter(capacity, classes);
  }

  get count(): number {
    return this.#waiters.length;
  }

  get bytes(): number {
    return this.#writer.length;
  }

  get full(): boolean {
    return this.#waiters.length >= batchRecordsMax || this.#writer.length >= batchBytesMax;
  }

  /** In the form of the wire: (length u32 | value)* */
  get records(): Uint8Array {
    return this.#writer.view();
  }

  /** Encodes the record behind the others. NOT_SERIALIZABLE and TOO_LARGE leave the batch as it was. */
  add(record: unknown, maxBytes: number, waiter: AppendWaiter, tag: number): void {
    const writer = this.#writer;
    const start = writer.length;
    try {
      writer.u32(0);
      writer.depth = 0;
      writer.writeValue(record);
      const bytes = writer.length - start - 4;
      if (bytes > maxBytes) throw tooLarge(bytes, maxBytes);
      writer.data.setUint32(start, bytes, true);
    } catch (error) {
      writer.length = start;
      throw error;
    }
    this.#waiters.push(waiter);
    this.#tags.push(tag);
  }

  /** The same for a record that is encoded already. */
  addEncoded(value: Uint8Array, waiter: AppendWaiter, tag: number): void {
    this.#writer.u32(value.length);
    this.#writer.raw(value);
    this.#waiters.push(waiter);
    this.#tags.push(tag);
  }

  settle(
    offset: number,
    ackReturns: readonly (AckReturns | null)[] | null,
    failures?: ReadonlyMap<number, RamaError>,
  ): void {
    const { count } = this;
    for (let i = 0; i < count; i++) {
      const failure = failures?.get(i);
      if (failure !== undefined) this.#waiters[i]!.notAppended(this.#tags[i]!, failure);
      else this.#waiters[i]!.appended(this.#tags[i]!, offset + i, ackReturns?.[i] ?? {});
    }
  }

  fail(error: RamaError): void {
    const { count } = this;
    for (let i = 0; i < count; i++) this.#waiters[i]!.notAppended(this.#tags[i]!, error);
  }
}
