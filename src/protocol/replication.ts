// What a leader and a follower of a task group say to each other, over a connection that the leader opens to the follower's engine port.
//   REPLICA_HELLO   leader: kind | version u8 | data id text | group u16 | epoch u32 | leader u32
//   REPLICA_STATE   follower: kind | listens u8 | epoch u32 | applied f64 | end f64 | runs u32, (epoch u32 | start f64)*
//   REPLICA_AGREED  leader: kind | epoch u32 | common f64           the follower's entries from there on go
//   REPLICA_ENTRIES leader: kind | epoch u32 | committed f64 | from f64 | count u32 | entry*
//   entry := kind u8 | epoch u32 | length u32 | payload[length]
//   REPLICA_DURABLE follower: kind | epoch u32 | durable f64
//   REPLICA_CONFIRM leader: kind | epoch u32 | round f64                does it follow this leader still?
//   REPLICA_CONFIRMED follower: kind | epoch u32 | round f64            it does
// Copies of stores go over the same connection: `store-copy.ts`.
// `listens` 0: the follower knows a later epoch, which stands there. ENTRIES without entries tell what is committed. DURABLE counts offsets, not entries.
import { FrameReader, FrameWriter, badFrame } from "./frame-fields.ts";
import {
  REPLICA_AGREED,
  REPLICA_CONFIRM,
  REPLICA_CONFIRMED,
  REPLICA_DURABLE,
  REPLICA_ENTRIES,
  REPLICA_HELLO,
  REPLICA_STATE,
} from "./table.ts";

const REPLICATION_VERSION = 2;
export const ENTRY_HEADER_BYTES = 9;

export interface ReplicaHello {
  /** Names the data of the module over all its instances. */
  readonly dataId: string;
  readonly group: number;
  readonly epoch: number;
  readonly leader: number;
}

export function encodeReplicaHello({ dataId, group, epoch, leader }: ReplicaHello): Uint8Array {
  const writer = new FrameWriter(64).begin(REPLICA_HELLO).u8(REPLICATION_VERSION);
  return writer.text(dataId).u16(group).u32(epoch).u32(leader).take();
}

export function decodeReplicaHello(frame: Uint8Array): ReplicaHello {
  const reader = new FrameReader(frame);
  const version = reader.u8();
  if (version !== REPLICATION_VERSION) throw badFrame(`replication of version ${version} is not known to this release`);
  return { dataId: reader.text(), group: reader.u16(), epoch: reader.u32(), leader: reader.u32() };
}

export interface ReplicaState {
  readonly listens: boolean;
  readonly epoch: number;
  readonly applied: number;
  readonly end: number;
  readonly runs: readonly { readonly epoch: number; readonly start: number }[];
}

export function encodeReplicaState({ listens, epoch, applied, end, runs }: ReplicaState): Uint8Array {
  const writer = new FrameWriter(64)
    .begin(REPLICA_STATE)
    .u8(listens ? 1 : 0)
    .u32(epoch)
    .f64(applied)
    .f64(end);
  writer.u32(runs.length);
  for (const run of runs) writer.u32(run.epoch).f64(run.start);
  return writer.take();
}

export function decodeReplicaState(frame: Uint8Array): ReplicaState {
  const reader = new FrameReader(frame);
  const head = { listens: reader.u8() === 1, epoch: reader.u32(), applied: reader.count(), end: reader.count() };
  const runs: { epoch: number; start: number }[] = [];
  for (let count = reader.u32(); count > 0; count--) runs.push({ epoch: reader.u32(), start: reader.count() });
  return { ...head, runs };
}

export function encodeReplicaAgreed(epoch: number, common: number): Uint8Array {
  return new FrameWriter(16).begin(REPLICA_AGREED).u32(epoch).f64(common).take();
}

export function decodeReplicaAgreed(frame: Uint8Array): { readonly epoch: number; readonly common: number } {
  const reader = new FrameReader(frame);
  return { epoch: reader.u32(), common: reader.count() };
}

export interface EntriesHead {
  readonly epoch: number;
  readonly committed: number;
  readonly from: number;
  readonly count: number;
}

/** The part before the entries. The view is valid until the next one of the same writer. */
export function entriesHead(writer: FrameWriter, { epoch, committed, from, count }: EntriesHead): Uint8Array {
  return writer.begin(REPLICA_ENTRIES).u32(epoch).f64(committed).f64(from).u32(count).view();
}

/** `entries` is a view of the frame. */
export function decodeEntries(frame: Uint8Array): EntriesHead & { readonly entries: Uint8Array } {
  const reader = new FrameReader(frame);
  const head = { epoch: reader.u32(), committed: reader.count(), from: reader.count(), count: reader.u32() };
  return { ...head, entries: reader.rest() };
}

export function encodeReplicaDurable(epoch: number, durable: number): Uint8Array {
  return new FrameWriter(16).begin(REPLICA_DURABLE).u32(epoch).f64(durable).take();
}

export function decodeReplicaDurable(frame: Uint8Array): { readonly epoch: number; readonly durable: number } {
  const reader = new FrameReader(frame);
  return { epoch: reader.u32(), durable: reader.count() };
}

export interface ReplicaRound {
  readonly epoch: number;
  readonly round: number;
}

export function encodeConfirm({ epoch, round }: ReplicaRound): Uint8Array {
  return new FrameWriter(16).begin(REPLICA_CONFIRM).u32(epoch).f64(round).take();
}

export function encodeConfirmed({ epoch, round }: ReplicaRound): Uint8Array {
  return new FrameWriter(16).begin(REPLICA_CONFIRMED).u32(epoch).f64(round).take();
}

/** Of either. */
export function decodeReplicaRound(frame: Uint8Array): ReplicaRound {
  const reader = new FrameReader(frame);
  return { epoch: reader.u32(), round: reader.count() };
}
