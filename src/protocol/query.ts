// Invokes of query topologies.
//   INVOKE := kind | query u16 | task u32 | request u32 | arguments[…]        ANSWER: the value of the result
// `query` is the topology's index in its module; `task` is the start task, or ANY_TASK; `arguments` is the value of an array.
import { FrameReader, type FrameWriter } from "./frame-fields.ts";
import { INVOKE } from "./table.ts";

export const ANY_TASK = 0xffff_ffff;

export interface InvokeRequest {
  readonly query: number;
  readonly task: number;
  readonly request: number;
  readonly args: Uint8Array;
}

export function encodeInvoke(writer: FrameWriter, invoke: InvokeRequest): Uint8Array {
  return writer.begin(INVOKE).u16(invoke.query).u32(invoke.task).u32(invoke.request).raw(invoke.args).view();
}

export function decodeInvoke(frame: Uint8Array): InvokeRequest {
  const reader = new FrameReader(frame);
  return { query: reader.u16(), task: reader.u32(), request: reader.u32(), args: reader.rest() };
}
