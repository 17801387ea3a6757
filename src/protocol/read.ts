// Reads of PStates by path. A connection knows paths by number: the client sends the shape of a path once and then only its arguments.
//   PREPARE_PATH := kind | path u32 | spec[…]                         no answer; a number that is prepared again means the new path from then on
//   SELECT       := kind | one u8 | pstate u16 | task u32 | request u32 | path u32 | arguments[…]
//                   ANSWER: the value of the array of rows, or of the one row when `one` is 1 (NOT_EXACTLY_ONE otherwise)
//   CHOOSE_TASK  := kind | pstate u16 | request u32 | key[…]          ANSWER: task u32
// `spec`, `arguments` and `key` are in the value codec (`paths/spec.ts` says what a spec holds).
import { u32At } from "../base/bytes.ts";
import { badFrame, FrameReader, type FrameWriter } from "./frame-fields.ts";
import { CHOOSE_TASK, PREPARE_PATH, SELECT } from "./table.ts";

/** Paths that one connection may have prepared; a client that needs more uses the numbers again. */
export const preparedPathsMax = 1024;

export interface SelectRequest {
  readonly one: boolean;
  readonly pstate: number;
  readonly task: number;
  readonly request: number;
  readonly path: number;
}

/** Where the arguments of a SELECT begin; there are none when the frame ends there. */
export const selectArgsAt = 16;

export function encodePreparePath(writer: FrameWriter, path: number, spec: Uint8Array): Uint8Array {
  return writer.begin(PREPARE_PATH).u32(path).raw(spec).view();
}

export function decodePreparePath(frame: Uint8Array): { readonly path: number; readonly spec: Uint8Array } {
  const reader = new FrameReader(frame);
  return { path: reader.u32(), spec: reader.rest() };
}

export function encodeSelect(writer: FrameWriter, select: SelectRequest, args: readonly unknown[]): Uint8Array {
  writer
    .begin(SELECT)
    .u8(select.one ? 1 : 0)
    .u16(select.pstate)
    .u32(select.task)
    .u32(select.request);
  writer.u32(select.path);
  if (args.length > 0) writer.value(args);
  return writer.view();
}

export function decodeSelect(frame: Uint8Array): SelectRequest {
  if (frame.length < selectArgsAt) throw badFrame(`a select of ${frame.length} bytes is shorter than ${selectArgsAt}`);
  return {
    one: frame[1] === 1,
    pstate: frame[2]! | (frame[3]! << 8),
    task: u32At(frame, 4),
    request: u32At(frame, 8),
    path: u32At(frame, 12),
  };
}

export interface ChooseTask {
  readonly pstate: number;
  readonly request: number;
  readonly key: Uint8Array;
}

export function encodeChooseTask(writer: FrameWriter, choose: ChooseTask): Uint8Array {
  return writer.begin(CHOOSE_TASK).u16(choose.pstate).u32(choose.request).raw(choose.key).view();
}

export function decodeChooseTask(frame: Uint8Array): ChooseTask {
  const reader = new FrameReader(frame);
  return { pstate: reader.u16(), request: reader.u32(), key: reader.rest() };
}
