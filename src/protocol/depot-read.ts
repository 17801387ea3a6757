// Reads of depot partitions by offset.
//   PARTITION_INFO := kind | depot u16 | task u32 | request u32                                   ANSWER: start offset f64 | end offset f64
//   READ_DEPOT     := kind | depot u16 | task u32 | request u32 | from f64 | to f64               ANSWER: (length u32 | value)*
// `to` is exclusive. Offsets outside [start, end] are FAILURE OFFSET_OUT_OF_RANGE.
import { FrameReader, type FrameWriter } from "./frame-fields.ts";
import { PARTITION_INFO, READ_DEPOT } from "./table.ts";

export interface PartitionInfoRequest {
  readonly depot: number;
  readonly task: number;
  readonly request: number;
}

export interface ReadDepotRequest extends PartitionInfoRequest {
  readonly from: number;
  readonly to: number;
}

export function encodePartitionInfo(writer: FrameWriter, ask: PartitionInfoRequest): Uint8Array {
  return writer.begin(PARTITION_INFO).u16(ask.depot).u32(ask.task).u32(ask.request).view();
}

export function decodePartitionInfo(frame: Uint8Array): PartitionInfoRequest {
  const reader = new FrameReader(frame);
  return { depot: reader.u16(), task: reader.u32(), request: reader.u32() };
}

export function encodeReadDepot(writer: FrameWriter, ask: ReadDepotRequest): Uint8Array {
  return writer.begin(READ_DEPOT).u16(ask.depot).u32(ask.task).u32(ask.request).f64(ask.from).f64(ask.to).view();
}

export function decodeReadDepot(frame: Uint8Array): ReadDepotRequest {
  const reader = new FrameReader(frame);
  return {
    depot: reader.u16(),
    task: reader.u32(),
    request: reader.u32(),
    from: reader.count(),
    to: reader.count(),
  };
}
