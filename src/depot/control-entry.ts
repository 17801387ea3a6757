// The payload of a DEPOT_CONTROL entry: what happens to one depot partition beside appends. In the log, so that it has one place among them on every replica.
//
//   payload := version u8 (1) | what u8 | depot u16 | task u32 | offset u48 | id, UTF-8 to the end                                        little-endian
//     1 trim      records below `offset` are gone
//     2 migrate   the migration `id` begins; records below `offset` are in their older form. Without id: there is no migration any more
//     3 consumer  the topology of another module that `id` names may still ask for records from `offset` on
//     4 forget    it reads this partition no more
// Applying an entry twice, in order, changes nothing. Example: partition 3 of depot 1 is trimmed to 5 = 01 01 0100 03000000 050000000000.
import { RamaError } from "../base/errors.ts";
import { getU48, putU48 } from "./append-entry.ts";

/** Kind of the entry in the replog, among those of replication/entry.ts. */
export const DEPOT_CONTROL = 9;
const CONTROL_VERSION = 1;
const HEADER_BYTES = 14;
const TRIM = 1;
const MIGRATE = 2;
const CONSUMER = 3;
const FORGET = 4;
const numbers = { trim: TRIM, migrate: MIGRATE, consumer: CONSUMER, forget: FORGET } as const;
const kinds = new Map(Object.entries(numbers).map(([kind, number]) => [number, kind as DepotControl["kind"]]));

export interface DepotControl {
  readonly kind: "trim" | "migrate" | "consumer" | "forget";
  readonly depot: number;
  readonly task: number;
  readonly offset: number;
  /** Of a migration ("": there is none) or a consumer. */
  readonly id: string;
}

export function encodeControlEntry({ kind, depot, task, offset, id }: DepotControl): Uint8Array {
  const name = new TextEncoder().encode(id);
  const payload = new Uint8Array(HEADER_BYTES + name.length);
  const view = new DataView(payload.buffer);
  payload[0] = CONTROL_VERSION;
  payload[1] = numbers[kind];
  view.setUint16(2, depot, true);
  view.setUint32(4, task, true);
  putU48(view, 8, offset);
  payload.set(name, HEADER_BYTES);
  return payload;
}

export function decodeControlEntry(payload: Uint8Array): DepotControl {
  const [version, what] = payload;
  const kind = kinds.get(what as (typeof numbers)[DepotControl["kind"]]);
  if (version !== CONTROL_VERSION || payload.length < HEADER_BYTES || kind === undefined)
    throw new RamaError("STORE_CORRUPT", `depot control of unknown version ${version}, ${what}`, { version });
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    kind,
    depot: view.getUint16(2, true),
    task: view.getUint32(4, true),
    offset: getU48(view, 8),
    id: new TextDecoder().decode(payload.subarray(HEADER_BYTES)),
  };
}
