// Frames on a byte stream, as TCP carries them:
//   frame := length u32 little-endian | payload[length]
// Example: 03 00 00 00 61 62 63 is the frame "abc". A length above the limit is refused before any of its payload is kept.
//
// The splitter hands out views of the chunks as they came; only a frame that is spread over several chunks is put together in memory of its own.

export const FRAME_HEADER_BYTES = 4;
/** Memory for a frame of which nothing but its length has come: ten thousand such connections hold 640 MB and not 200 GB. */
const promisedBytes = 64 * 1024;

/** Cuts a byte stream into frames. One per direction of a connection. */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Uint8Array) => boolean;
  /** The frame that is being put together, `#filled` of its `#length` bytes are there. It grows with what comes: a length is only a promise. */
  #partial: Uint8Array | undefined;
  #length = 0;
  #filled = 0;
  /** Bytes of a header of which less than four have come. */
  #header = 0;
  #headerBytes = 0;

  /** `onFrame` answers whether to go on; after false the rest of the stream is ignored. The frame is valid only during the call. */
  constructor(maxFrameBytes: number, onFrame: (frame: Uint8Array) => boolean) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes of the stream. Returns the length of a frame that is too large, at which the stream cannot go on; undefined when all is well. */
  push(chunk: Uint8Array): number | undefined {
    let at = 0;
    if (this.#partial !== undefined || this.#headerBytes > 0) {
      const next = this.#continue(chunk);
      if (next < 0) return -next > this.#maxFrameBytes ? -next : undefined;
      at = next;
    }
    const end = chunk.length;
    while (end - at >= FRAME_HEADER_BYTES) {
      const length = (chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24)) >>> 0;
      if (length > this.#maxFrameBytes) return length;
      const from = at + FRAME_HEADER_BYTES;
      if (from + length > end) {
        this.#begin(length, end - from);
        this.#partial!.set(chunk.subarray(from), 0);
        this.#filled = end - from;
        return undefined;
      }
      at = from + length;
      if (!this.#onFrame(chunk.subarray(from, at))) return undefined;
    }
    while (at < end) this.#header |= chunk[at++]! << (8 * this.#headerBytes++);
    return undefined;
  }

  /** Goes on with what the last chunk left. Returns where the next frame begins, or minus a length where the stream ends for us. */
  #continue(chunk: Uint8Array): number {
    let at = 0;
    if (this.#partial === undefined) {
      while (this.#headerBytes < FRAME_HEADER_BYTES) {
        if (at === chunk.length) return at;
        this.#header |= chunk[at++]! << (8 * this.#headerBytes++);
      }
      const length = this.#header >>> 0;
      if (length > this.#maxFrameBytes) return -length;
      this.#begin(length, chunk.length - at);
    }
    const taken = Math.min(this.#length - this.#filled, chunk.length - at);
    const partial = this.#room(this.#filled + taken);
    partial.set(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    at += taken;
    if (this.#filled < this.#length) return at;
    this.#partial = undefined;
    return this.#onFrame(partial) ? at : Number.NEGATIVE_INFINITY;
  }

  #begin(length: number, there: number): void {
    this.#length = length;
    this.#partial = new Uint8Array(Math.min(length, Math.max(promisedBytes, 2 * there)));
    this.#filled = 0;
    this.#header = 0;
    this.#headerBytes = 0;
  }

  /** The frame so far, with room for so many bytes; exactly as long as the frame when they are all. */
  #room(bytes: number): Uint8Array {
    const partial = this.#partial!;
    if (partial.length >= bytes && (partial.length === this.#length || bytes < this.#length)) return partial;
    const grown = new Uint8Array(Math.min(this.#length, Math.max(bytes, 2 * partial.length)));
    grown.set(partial.subarray(0, this.#filled));
    this.#partial = grown;
    return grown;
  }
}

/** Gathers outgoing frames into chunks, so that many small frames leave in one write. Bytes are copied in; chunks are handed out once and never reused. */
export class FrameGatherer {
  #chunk: Uint8Array = new Uint8Array(0);
  /** [#from, #to) of the chunk waits to be taken. */
  #from = 0;
  #to = 0;
  /** Full chunks that wait before the present one. */
  #full: Uint8Array[] = [];
  #fullBytes = 0;
  #lastTaken = 0;

  get bytes(): number {
    return this.#fullBytes + this.#to - this.#from;
  }

  add(frame: Uint8Array): void {
    this.#header(frame.length);
    this.#chunk.set(frame, this.#to);
    this.#to += frame.length;
  }

  addParts(parts: readonly Uint8Array[]): void {
    let length = 0;
    for (const part of parts) length += part.length;
    this.#header(length);
    for (const part of parts) {
      this.#chunk.set(part, this.#to);
      this.#to += part.length;
    }
  }

  /** All that waits, in order. */
  take(): Uint8Array[] {
    const taken = this.#full;
    this.#lastTaken = this.bytes;
    if (this.#to > this.#from) taken.push(this.#chunk.subarray(this.#from, this.#to));
    this.#full = [];
    this.#fullBytes = 0;
    this.#from = this.#to;
    return taken;
  }

  #header(length: number): void {
    const needed = FRAME_HEADER_BYTES + length;
    if (this.#to + needed > this.#chunk.length) this.#renew(needed);
    const chunk = this.#chunk;
    const at = this.#to;
    chunk[at] = length;
    chunk[at + 1] = length >>> 8;
    chunk[at + 2] = length >>> 16;
    chunk[at + 3] = length >>> 24;
    this.#to = at + FRAME_HEADER_BYTES;
  }

  /** A quiet connection holds 4 KB, a busy one chunks in the size of what it sends at once. */
  #renew(needed: number): void {
    if (this.#to > this.#from) {
      this.#full.push(this.#chunk.subarray(this.#from, this.#to));
      this.#fullBytes += this.#to - this.#from;
    }
    const usual = Math.min(Math.max(this.#lastTaken, this.#fullBytes) * 2, 1 << 18);
    this.#chunk = new Uint8Array(Math.max(needed, usual, 1 << 12));
    this.#from = 0;
    this.#to = 0;
  }
}
