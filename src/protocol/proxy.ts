// Subscriptions of proxies. A client numbers its subscriptions per connection; they end with the connection.
//   WATCH       := kind | pstate u16 | task u32 | request u32 | watch u32 | path u32 | arguments[…]
//                  ANSWER: the value of [value now, most diffs that wait for the callback]
//   UNWATCH     := kind | watch u32                                                    no answer
//   WATCH_BEAT  := kind | (watch u32)*            client: all it has on this connection; engine: those of them that it does not know
//   DIFF        := kind | watch u32 | number u32 | checksum u32 | from u8 | diff[…]    number: 1, 2, … since the answer
//   WATCH_ENDED := kind | watch u32 | failure text
// `path` and `arguments` are as in SELECT; `diff` is the value of its parts (`paths/diff-codec.ts`), `checksum` that of the value it leads to. `from`: 0 the diff
// applies to the value before; 1 … 4 that was null and the diff applies to an empty map, plain object, list, set.
// An engine drops what a beat does not list, and everything of a connection that has been without beats for `watchSilenceMs`.
import type { Change, Emptiness } from "../paths/diff-compare.ts";
import { diffParts } from "../paths/diff-codec.ts";
import { badFrame, FrameReader, type FrameWriter } from "./frame-fields.ts";
import { DIFF, UNWATCH, WATCH, WATCH_BEAT, WATCH_ENDED } from "./table.ts";

export const watchBeatMs = 10_000;
export const watchSilenceMs = 45_000;

export interface WatchRequest {
  readonly pstate: number;
  readonly task: number;
  readonly request: number;
  readonly watch: number;
  readonly path: number;
  readonly args: Uint8Array;
}

export interface DiffFrame {
  readonly number: number;
  readonly checksum: number;
  readonly from: Emptiness | undefined;
  /** Where the diff's parts begin in the frame. */
  readonly at: number;
}

const emptinesses: readonly (Emptiness | undefined)[] = [undefined, "map", "fields", "list", "set"];

export function encodeWatch(writer: FrameWriter, watch: WatchRequest): Uint8Array {
  writer.begin(WATCH).u16(watch.pstate).u32(watch.task).u32(watch.request);
  return writer.u32(watch.watch).u32(watch.path).raw(watch.args).view();
}

export function decodeWatch(frame: Uint8Array): WatchRequest {
  const reader = new FrameReader(frame);
  return {
    pstate: reader.u16(),
    task: reader.u32(),
    request: reader.u32(),
    watch: reader.u32(),
    path: reader.u32(),
    args: reader.rest(),
  };
}

export function encodeUnwatch(writer: FrameWriter, watch: number): Uint8Array {
  return writer.begin(UNWATCH).u32(watch).view();
}

export function encodeBeat(writer: FrameWriter, watches: Iterable<number>): Uint8Array {
  writer.begin(WATCH_BEAT);
  for (const watch of watches) writer.u32(watch);
  return writer.view();
}

export function decodeBeat(frame: Uint8Array): number[] {
  const reader = new FrameReader(frame);
  const watches: number[] = [];
  while (reader.remaining > 0) watches.push(reader.u32());
  return watches;
}

/** NOT_SERIALIZABLE when the diff holds what cannot travel. */
export function encodeDiff(
  writer: FrameWriter,
  watch: number,
  number: number,
  checksum: number,
  change: Change,
): FrameWriter {
  writer.begin(DIFF).u32(watch).u32(number).u32(checksum).u8(emptinesses.indexOf(change.from));
  return writer.value(diffParts(change.diff));
}

/** The subscription that a DIFF, UNWATCH or WATCH_ENDED is about. */
export function watchOf(frame: Uint8Array): number {
  return new FrameReader(frame).u32();
}

export function decodeDiff(frame: Uint8Array): DiffFrame {
  const reader = new FrameReader(frame, 5);
  const [number, checksum, from] = [reader.u32(), reader.u32(), reader.u8()];
  if (from >= emptinesses.length) throw badFrame(`a diff from ${from}`);
  return { number, checksum, from: emptinesses[from], at: reader.at };
}

export function encodeWatchEnded(writer: FrameWriter, watch: number, failure: string): Uint8Array {
  return writer.begin(WATCH_ENDED).u32(watch).text(failure).view();
}

export function decodeWatchEnded(frame: Uint8Array): string {
  return new FrameReader(frame, 5).text();
}
