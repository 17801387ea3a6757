// Events between the engines of one module instance: what a partitioner sends to a task that lives on another engine thread.
//   EVENTS := kind | task u32 | batch[…]
// The batch is written and read by the task runtime alone. Nothing is answered; what is lost with a connection is found by the timeout of its event tree.
import { FrameReader, type FrameWriter } from "./frame-fields.ts";
import { EVENTS } from "./table.ts";

/** The part before the batch. */
export function eventsHeader(writer: FrameWriter, task: number): Uint8Array {
  return writer.begin(EVENTS).u32(task).view();
}

export function decodeEvents(frame: Uint8Array): { readonly task: number; readonly batch: Uint8Array } {
  const reader = new FrameReader(frame);
  return { task: reader.u32(), batch: reader.rest() };
}
