// The payload of a DEPOT_APPEND entry: records appended at once to one partition. Written by `partition.ts`, read by recovery and by followers. Little-endian.
//
//   payload := version u8 (1) | flags u8 | depot u16 | task u32 | count u32 | offset u48 | append time u48 | [token] | record*
//   token   := client (16 bytes) | sequence u48                  when flag 1 is set
//   record  := length u32 | value[length]                         base/value-codec.ts
// `depot` is the number from the store's catalogue (depot-store.ts), `offset` that of the first record, the time epoch milliseconds.
// Example: one record "a" at offset 5 of depot 1 on task 3, at time 1000, without token:
//   01 00 0100 03000000 01000000 050000000000 e80300000000 02000000 xx xx
import { RamaError } from "../base/errors.ts";

/** Kind of the entry in the replog, among those of replication/entry.ts. */
export const DEPOT_APPEND = 1;
export const APPEND_VERSION = 1;
const FLAG_TOKEN = 1;
const PLAIN_HEADER_BYTES = 24;
const TOKEN_BYTES = 22;

export interface AppendToken {
  /** 16 bytes, which never change: one object stands for one client. */
  readonly client: Uint8Array;
  readonly seq: number;
}

export interface DepotAppend {
  readonly depot: number;
  readonly task: number;
  readonly count: number;
  readonly offset: number;
  readonly appendMs: number;
  readonly token: AppendToken | null;
  /** A view. */
  readonly records: Uint8Array;
}

const scratch = new Uint8Array(PLAIN_HEADER_BYTES + TOKEN_BYTES);
const scratchView = new DataView(scratch.buffer);

/** What stands in front of the records: a view that is good until the next call. */
export function appendEntryHeader(append: Omit<DepotAppend, "records">): Uint8Array {
  const { token } = append;
  scratch[0] = APPEND_VERSION;
  scratch[1] = token === null ? 0 : FLAG_TOKEN;
  scratchView.setUint16(2, append.depot, true);
  scratchView.setUint32(4, append.task, true);
  scratchView.setUint32(8, append.count, true);
  putU48(scratchView, 12, append.offset);
  putU48(scratchView, 18, append.appendMs);
  if (token === null) return scratch.subarray(0, PLAIN_HEADER_BYTES);
  scratch.set(token.client, PLAIN_HEADER_BYTES);
  putU48(scratchView, PLAIN_HEADER_BYTES + 16, token.seq);
  return scratch;
}

export function decodeAppendEntry(payload: Uint8Array): DepotAppend {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < PLAIN_HEADER_BYTES) throw new RamaError("STORE_CORRUPT", "a depot append is cut short");
  const version = payload[0]!;
  if (version !== APPEND_VERSION) {
    throw new RamaError("STORE_CORRUPT", `depot append of unknown version ${version}`, { version });
  }
  const hasToken = (payload[1]! & FLAG_TOKEN) !== 0;
  const recordsAt = PLAIN_HEADER_BYTES + (hasToken ? TOKEN_BYTES : 0);
  const client = payload.slice(PLAIN_HEADER_BYTES, PLAIN_HEADER_BYTES + 16);
  return {
    depot: view.getUint16(2, true),
    task: view.getUint32(4, true),
    count: view.getUint32(8, true),
    offset: getU48(view, 12),
    appendMs: getU48(view, 18),
    token: hasToken ? { client, seq: getU48(view, PLAIN_HEADER_BYTES + 16) } : null,
    records: payload.subarray(recordsAt),
  };
}

export function putU48(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint16(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

export function getU48(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint16(at + 4, true) * 0x1_0000_0000;
}
