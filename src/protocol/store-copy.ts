// A copy of a leader's store on its way to a follower (replication/store-copy.ts), over the connection that replication.ts describes.
//   REPLICA_COPY    leader: kind | epoch u32 | crc32 u32 | what u8 | number u32 | …
//     what 0 begin: from f64                                 a copy begins; the entries that go with it begin there
//          1 offer: hash[16] | size u32 | range              part `number` would be these bytes: has the follower got them already?
//          2 part:  hash[16] | size u32 | range | content    part `number`
//          3 end:   hash[16]                                 the copy has `number` parts; the hash of their hashes, in order of their numbers
//   range := 0 u8 | gte block | lt block | count u32         keys of the Kv from gte on and below lt; content: (key block | value block) * count
//          | 1 u8 | path text | position f64 | length u32 | file length f64        content: these bytes of the file
//          | 2 u8 | from f64 | count u32                     content: entries as in REPLICA_ENTRIES
//   REPLICA_COPIED  follower: kind | epoch u32 | number u32 | answer u8            0 need · 1 have · 2 taken; number 0 answers `begin`: have, if an earlier copy has left anything
// The hash is the first 16 bytes of the SHA-256 of range and content. The crc covers the rest of the frame without the content: a frame whose crc is wrong ends the
// connection, a part whose hash is wrong is answered with `need` and comes again. `size`: of the content.
import { badFrame, FrameReader, FrameWriter } from "./frame-fields.ts";
import { REPLICA_COPIED, REPLICA_COPY } from "./table.ts";

export const PART_HASH_BYTES = 16;

/** What a part is a copy of. */
export type PartRange =
  | { readonly kind: "kv"; readonly gte: Uint8Array; readonly lt: Uint8Array; readonly count: number }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly position: number;
      readonly length: number;
      readonly fileLength: number;
    }
  | { readonly kind: "entries"; readonly from: number; readonly count: number };

export interface CopyPart {
  readonly range: PartRange;
  readonly content: Uint8Array;
}

/** As it was sent; whether the content is that of the hash is for the receiver to find out. */
export interface NumberedPart {
  readonly number: number;
  readonly hash: Uint8Array;
  readonly size: number;
  readonly range: PartRange;
}

export type CopyMessage =
  | { readonly kind: "begin"; readonly from: number }
  | ({ readonly kind: "offer" } & NumberedPart)
  | ({ readonly kind: "part"; readonly content: Uint8Array } & NumberedPart)
  | { readonly kind: "end"; readonly parts: number; readonly hash: Uint8Array };

export type CopyAnswer = "need" | "have" | "taken";

const kinds = ["begin", "offer", "part", "end"] as const;
const answers = ["need", "have", "taken"] as const;
const headAt = 9;

export function encodeCopy(epoch: number, message: CopyMessage): Uint8Array {
  const size = message.kind === "part" ? message.content.length + 1024 : 1024;
  const writer = new FrameWriter(size).begin(REPLICA_COPY).u32(epoch).u32(0).u8(kinds.indexOf(message.kind));
  switch (message.kind) {
    case "begin":
      writer.u32(0).f64(message.from);
      break;
    case "end":
      writer.u32(message.parts).raw(message.hash);
      break;
    default:
      writer.u32(message.number).raw(message.hash).u32(message.size);
      writeRange(writer, message.range);
  }
  const headEnd = writer.length;
  if (message.kind === "part") writer.raw(message.content);
  const frame = writer.take();
  const crc = Bun.hash.crc32(frame.subarray(headAt, headEnd));
  new DataView(frame.buffer, frame.byteOffset).setUint32(5, crc, true);
  return frame;
}

/** Bytes are views of the frame. BAD_FRAME. */
export function decodeCopy(frame: Uint8Array): { readonly epoch: number; readonly message: CopyMessage } {
  const reader = new FrameReader(frame);
  const epoch = reader.u32();
  const crc = reader.u32();
  const kind = kinds[reader.u8()];
  const number = reader.u32();
  const checked = (headEnd: number): void => {
    if (Bun.hash.crc32(frame.subarray(headAt, headEnd)) !== crc) throw badFrame("a message of a copy is damaged");
  };
  if (kind === "begin") {
    const from = reader.f64();
    checked(reader.at);
    if (!Number.isSafeInteger(from) || from < 0) throw badFrame(`a copy begins at ${from}`);
    return { epoch, message: { kind, from } };
  }
  if (kind === undefined) throw badFrame("a message of a copy is of no known kind");
  const hash = reader.raw(PART_HASH_BYTES);
  if (kind === "end") {
    checked(reader.at);
    return { epoch, message: { kind, parts: number, hash } };
  }
  const size = reader.u32();
  const range = readRange(reader);
  checked(reader.at);
  const part = { number, hash, size, range };
  if (kind === "offer") return { epoch, message: { kind, ...part } };
  if (reader.remaining !== size) throw badFrame(`a part of ${size} bytes has ${reader.remaining}`);
  return { epoch, message: { kind, ...part, content: reader.rest() } };
}

function writeRange(writer: FrameWriter, range: PartRange): void {
  if (range.kind === "kv") writer.u8(0).block(range.gte).block(range.lt).u32(range.count);
  else if (range.kind === "file")
    writer.u8(1).text(range.path).f64(range.position).u32(range.length).f64(range.fileLength);
  else writer.u8(2).f64(range.from).u32(range.count);
}

function readRange(reader: FrameReader): PartRange {
  const kind = reader.u8();
  if (kind === 0) return { kind: "kv", gte: reader.block(), lt: reader.block(), count: reader.u32() };
  if (kind === 1) {
    const path = reader.text();
    // Names that depots give their files, and no way out of their directory.
    if (!/^depots(\/[\w.-]+)+$/.test(path) || path.includes("..")) throw badFrame(`a copy has no file ${path}`);
    return { kind: "file", path, position: reader.count(), length: reader.u32(), fileLength: reader.count() };
  }
  if (kind === 2) return { kind: "entries", from: reader.count(), count: reader.u32() };
  throw badFrame("a part of a copy is of no known kind");
}

/** Of which the part's hash is taken, before the content. */
export function rangeBytes(range: PartRange): Uint8Array {
  const writer = new FrameWriter(256).begin(0);
  writeRange(writer, range);
  return writer.take();
}

export interface CopiedEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The content of a part of the Kv. */
export function encodeKvContent(entries: readonly CopiedEntry[]): Uint8Array {
  const writer = new FrameWriter(64 * 1024).begin(0);
  for (const { key, value } of entries) writer.block(key).block(value);
  return writer.take().subarray(1);
}

/** Views. BAD_FRAME. */
export function decodeKvContent(content: Uint8Array, count: number): CopiedEntry[] {
  const reader = new FrameReader(content, 0);
  const entries: CopiedEntry[] = [];
  for (let left = count; left > 0; left--) entries.push({ key: reader.block(), value: reader.block() });
  if (reader.remaining !== 0) throw badFrame("a part of a Kv has bytes left over");
  return entries;
}

export function encodeCopied(epoch: number, number: number, answer: CopyAnswer): Uint8Array {
  return new FrameWriter(16).begin(REPLICA_COPIED).u32(epoch).u32(number).u8(answers.indexOf(answer)).take();
}

export function decodeCopied(frame: Uint8Array): {
  readonly epoch: number;
  readonly number: number;
  readonly answer: CopyAnswer;
} {
  const reader = new FrameReader(frame);
  const [epoch, number] = [reader.u32(), reader.u32()];
  const answer = answers[reader.u8()];
  if (answer === undefined) throw badFrame("an answer to a part of a copy is of no known kind");
  return { epoch, number, answer };
}
