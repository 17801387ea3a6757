// Jute, the encoding of ZooKeeper's wire: big-endian, no tags, no padding.
//   bool   := u8                     int  := i32            long := i64
//   buffer := length i32 | bytes     (length -1: null)
//   string := buffer of UTF-8        vector<T> := count i32 | T*     (count -1: null)
// Worked example: the string "/a" is 00 00 00 02 2f 61.
// A reader never trusts a length: whatever does not fit into the bytes that are there throws JuteError, which a connection answers with the
// protocol's marshalling error.

/** The bytes are not what the protocol says. Caught by the request pipeline, never shown to a user. */
export class JuteError extends Error {
  override name = "JuteError";
}

const utf8Decoder = new TextDecoder("utf-8", { fatal: false });
const utf8Encoder = new TextEncoder();
const TWO_32 = 4294967296;

export class JuteReader {
  private bytes: Uint8Array;
  private view: DataView;
  /** Next byte to read, counted from the start of `bytes`. Invariant: position <= end. */
  private position: number;
  private end: number;

  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = from;
    this.end = to;
  }

  get remaining(): number {
    return this.end - this.position;
  }

  bool(): boolean {
    const at = this.take(1);
    return this.bytes[at] !== 0;
  }

  int(): number {
    return this.view.getInt32(this.take(4));
  }

  long(): bigint {
    return this.view.getBigInt64(this.take(8));
  }

  /** A long as a number: exact up to 2^53, which zxids and times of one server stay below. */
  longNumber(): number {
    const at = this.take(8);
    return this.view.getInt32(at) * TWO_32 + this.view.getUint32(at + 4);
  }

  /** A copy: the caller may keep it. */
  buffer(): Uint8Array | null {
    const length = this.int();
    if (length === -1) return null;
    const at = this.take(length);
    return this.bytes.slice(at, at + length);
  }

  nullableString(): string | null {
    const length = this.int();
    if (length === -1) return null;
    const at = this.take(length);
    return utf8Decoder.decode(this.bytes.subarray(at, at + length));
  }

  string(): string {
    return this.nullableString() ?? "";
  }

  /** `itemBytesMin` is the least that one item takes; it bounds what a lying count can make us reserve. */
  vector<T>(itemBytesMin: number, item: (reader: JuteReader) => T): T[] {
    const count = this.int();
    if (count === -1) return [];
    if (count < 0 || count * itemBytesMin > this.remaining)
      throw new JuteError(`vector of ${count} in ${this.remaining} bytes`);
    const items: T[] = [];
    for (let i = 0; i < count; i++) items.push(item(this));
    return items;
  }

  strings(): string[] {
    return this.vector(4, (reader) => reader.string());
  }

  private take(length: number): number {
    const at = this.position;
    if (length < 0 || length > this.end - at) throw new JuteError(`${length} bytes wanted, ${this.end - at} left`);
    this.position = at + length;
    return at;
  }
}

/** Grows as needed and is meant to be kept: `reset` forgets the content, not the memory. */
export class JuteWriter {
  private bytes: Uint8Array;
  private view: DataView;
  /** Bytes written. */
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  bool(value: boolean): void {
    const at = this.reserve(1);
    this.bytes[at] = value ? 1 : 0;
  }

  int(value: number): void {
    // First reserve: it may replace the view.
    const at = this.reserve(4);
    this.view.setInt32(at, value);
  }

  long(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigInt64(at, value);
  }

  /** An integer of at most 53 bits as a long. */
  longNumber(value: number): void {
    const at = this.reserve(8);
    const high = Math.floor(value / TWO_32);
    this.view.setInt32(at, high);
    this.view.setUint32(at + 4, value - high * TWO_32);
  }

  buffer(value: Uint8Array | null): void {
    this.int(value === null ? -1 : value.length);
    if (value !== null) this.raw(value);
  }

  string(value: string): void {
    // UTF-8 takes at most three bytes per UTF-16 unit.
    const lengthAt = this.reserve(4);
    const at = this.reserve(value.length * 3);
    const { written } = utf8Encoder.encodeInto(value, this.bytes.subarray(at));
    this.length = at + written;
    this.view.setInt32(lengthAt, written);
  }

  strings(values: Iterable<string>): void {
    const countAt = this.reserve(4);
    let count = 0;
    for (const value of values) {
      this.string(value);
      count++;
    }
    this.view.setInt32(countAt, count);
  }

  raw(value: Uint8Array): void {
    const at = this.reserve(value.length);
    this.bytes.set(value, at);
  }

  /** Leaves room for an int that `patchInt` fills in later; returns where. */
  hole(): number {
    return this.reserve(4);
  }

  patchInt(at: number, value: number): void {
    this.view.setInt32(at, value);
  }

  /** Writes the frame's length into the hole at `at`: all bytes after it. */
  closeFrame(at: number): void {
    this.view.setInt32(at, this.length - at - 4);
  }

  truncate(length: number): void {
    this.length = length;
  }

  reset(): void {
    this.length = 0;
    // A single huge message must not hold its memory for ever.
    if (this.bytes.length > 4 * 1024 * 1024) this.replaceBytes(new Uint8Array(64 * 1024));
  }

  /** Valid until the next write. */
  peek(from = 0, to = this.length): Uint8Array {
    return this.bytes.subarray(from, to);
  }

  copy(from = 0, to = this.length): Uint8Array {
    return this.bytes.slice(from, to);
  }

  /** Drops the first `count` bytes. */
  dropFront(count: number): void {
    if (count === this.length) {
      this.reset();
    } else {
      this.bytes.copyWithin(0, count, this.length);
      this.length -= count;
    }
  }

  private reserve(count: number): number {
    const at = this.length;
    const needed = at + count;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, at));
      this.replaceBytes(grown);
    }
    this.length = needed;
    return at;
  }

  private replaceBytes(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}
