// What of the depots is in the store's Kv. Numbers in keys are big-endian, in values little-endian.
//
//   44 00 name                                   → u16 number of the depot in this store: given once, never used again
//   44 01 depot u16 | task u32 | 00              → state of the partition
//   44 01 depot u16 | task u32 | 01 | client     → tokens of one client (dedupe.ts); client: 16 bytes
//   44 01 depot u16 | task u32 | 02 | consumer   → version u8 (1) | offset u48: a topology of another module may still ask for records from there on (consumers.ts)
//   state := version u8 (1) | start u48 | evicted time u48 | has files u8 | end u48 | file u48 | length u48 | last block u48
//          | version u8 (2) | the same | generation u32 | has migration u8 | boundary u48 | its generation u32 | id, UTF-8 to the end
// `end` … `last block` are how far the partition's files count (segments.ts FileMark): what was synced before the batch with the state was written. Version 2 is written
// once a partition has had a migration: its files have been rewritten `generation` times, and the migration is about records below `boundary` in files of
// the generation that it names (migration.ts).
// Example, depot 1, task 3, no files yet: 44 01 0001 00000003 00 → 01 000000000000 000000000000 00 (24 zero bytes).
import { concatBytes, prefixSuccessor } from "../base/bytes.ts";
import { RamaError } from "../base/errors.ts";
import type { Kv, KvEntry, KvOp, KvRange } from "../storage/kv.ts";
import { getU48, putU48 } from "./append-entry.ts";
import type { FileMark } from "./segments.ts";

const STATE_VERSION = 2;
const STATE_BYTES = 38;
/** After those of version 1. */
const MIGRATION_BYTES = 15;
const CONSUMER_VERSION = 1;
const CONSUMER_BYTES = 7;
const PREFIX = 0x44;
const pageEntries = 1000;
/** What a removed depot is called until its data is deleted; names of depots begin with a star. */
const retired = "retired ";

export interface PartitionState {
  readonly start: number;
  readonly evictedMs: number;
  readonly mark: FileMark | undefined;
  /** Of the files; each rewriting makes another. */
  readonly generation: number;
  readonly migration: StoredMigration | undefined;
}

/** A migration of which a partition knows. */
export interface StoredMigration {
  readonly id: string;
  /** Records below were appended before it began: as long as they stand in files of `generation`, they are in their old form. */
  readonly boundary: number;
  readonly generation: number;
}

const text = new TextEncoder();

function partitionPrefix(depot: number, task: number, kind: number): Uint8Array {
  const key = new Uint8Array(9);
  const view = new DataView(key.buffer);
  key[0] = PREFIX;
  key[1] = 1;
  view.setUint16(2, depot);
  view.setUint32(4, task);
  key[8] = kind;
  return key;
}

export const stateKey = (depot: number, task: number): Uint8Array => partitionPrefix(depot, task, 0);

export const clientKey = (depot: number, task: number, client: Uint8Array): Uint8Array =>
  concatBytes(partitionPrefix(depot, task, 1), client);

export const consumerKey = (depot: number, task: number, consumer: string): Uint8Array =>
  concatBytes(partitionPrefix(depot, task, 2), text.encode(consumer));

export function encodeConsumer(neededFrom: number): Uint8Array {
  const value = new Uint8Array(CONSUMER_BYTES);
  value[0] = CONSUMER_VERSION;
  putU48(new DataView(value.buffer), 1, neededFrom);
  return value;
}

/** Calls `visit` with every consumer of the partition. */
export async function eachConsumer(
  kv: Kv,
  depot: number,
  task: number,
  visit: (consumer: string, neededFrom: number) => void,
): Promise<void> {
  const gte = partitionPrefix(depot, task, 2);
  for await (const { key, value } of entriesOf(kv, { gte, lt: prefixSuccessor(gte)! })) {
    if (value[0] !== CONSUMER_VERSION || value.length !== CONSUMER_BYTES)
      throw new RamaError("STORE_CORRUPT", `consumer of a depot partition of unknown version ${value[0]}`);
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    visit(new TextDecoder().decode(key.subarray(9)), getU48(view, 1));
  }
}

export function encodeState(state: PartitionState): Uint8Array {
  const { generation, migration, mark } = state;
  const id = text.encode(migration?.id ?? "");
  const isPlain = generation === 0 && migration === undefined;
  const value = new Uint8Array(isPlain ? STATE_BYTES : STATE_BYTES + MIGRATION_BYTES + id.length);
  const view = new DataView(value.buffer);
  value[0] = isPlain ? 1 : STATE_VERSION;
  putU48(view, 1, state.start);
  putU48(view, 7, state.evictedMs);
  if (mark !== undefined) {
    value[13] = 1;
    putU48(view, 14, mark.end);
    putU48(view, 20, mark.file);
    putU48(view, 26, mark.length);
    putU48(view, 32, mark.lastBlock);
  }
  if (isPlain) return value;
  view.setUint32(STATE_BYTES, generation, true);
  if (migration === undefined) return value;
  value[STATE_BYTES + 4] = 1;
  putU48(view, STATE_BYTES + 5, migration.boundary);
  view.setUint32(STATE_BYTES + 11, migration.generation, true);
  value.set(id, STATE_BYTES + MIGRATION_BYTES);
  return value;
}

export function decodeState(value: Uint8Array): PartitionState {
  const version = value[0];
  const isWhole = version === 1 ? value.length === STATE_BYTES : value.length >= STATE_BYTES + MIGRATION_BYTES;
  if ((version !== 1 && version !== STATE_VERSION) || !isWhole) {
    throw new RamaError("STORE_CORRUPT", `state of a depot partition of unknown version ${version}`);
  }
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const mark = { end: getU48(view, 14), file: getU48(view, 20), length: getU48(view, 26), lastBlock: getU48(view, 32) };
  const isPlain = version === 1;
  return {
    start: getU48(view, 1),
    evictedMs: getU48(view, 7),
    mark: value[13] === 1 ? mark : undefined,
    generation: isPlain ? 0 : view.getUint32(STATE_BYTES, true),
    migration: isPlain || value[STATE_BYTES + 4] !== 1 ? undefined : migrationIn(value, view),
  };
}

function migrationIn(value: Uint8Array, view: DataView): StoredMigration {
  return {
    id: new TextDecoder().decode(value.subarray(STATE_BYTES + MIGRATION_BYTES)),
    boundary: getU48(view, STATE_BYTES + 5),
    generation: view.getUint32(STATE_BYTES + 11, true),
  };
}

/** Numbers of the named depots; new names get theirs durably. */
export async function depotNumbers(kv: Kv, names: readonly string[]): Promise<Map<string, number>> {
  const prefix = Uint8Array.of(PREFIX, 0);
  const numbers = new Map<string, number>();
  let next = 0;
  for await (const { key, value } of entriesOf(kv, { gte: prefix, lt: prefixSuccessor(prefix)! })) {
    const number = numberIn(value);
    numbers.set(new TextDecoder().decode(key.subarray(2)), number);
    next = Math.max(next, number + 1);
  }
  const ops: KvOp[] = [];
  for (const name of names) {
    if (numbers.has(name)) continue;
    numbers.set(name, next);
    ops.push({
      type: "put",
      key: concatBytes(prefix, text.encode(name)),
      value: Uint8Array.of(next & 0xff, next >>> 8),
    });
    next++;
  }
  if (ops.length > 0) await kv.batch(ops, { sync: true });
  return numbers;
}

/** Depots that an update has removed lose their names. Their numbers stay taken, so that entries of the log that name them are passed over. */
export async function retireDepots(kv: Kv, names: readonly string[]): Promise<void> {
  const ops = names.flatMap((name): KvOp[] => {
    const value = kv.getSync(nameKey(name));
    return value === undefined ? [] : renamed(name, `${retired}${numberIn(value)}`, numberIn(value));
  });
  if (ops.length > 0) await kv.batch(ops, { sync: true });
}

/** Numbers of removed depots that may still have data. */
export async function retiredDepots(kv: Kv): Promise<number[]> {
  const gte = nameKey(retired);
  const numbers: number[] = [];
  for await (const { value } of entriesOf(kv, { gte, lt: prefixSuccessor(gte)! })) numbers.push(numberIn(value));
  return numbers;
}

/** Removes all that the Kv holds of a retired depot. */
export async function forgetDepot(kv: Kv, depot: number): Promise<void> {
  const gte = Uint8Array.of(PREFIX, 1, depot >>> 8, depot & 0xff);
  await kv.clear({ gte, lt: prefixSuccessor(gte)! });
  await kv.batch(renamed(`${retired}${depot}`, `deleted ${depot}`, depot), { sync: true });
}

function renamed(from: string, to: string, depot: number): KvOp[] {
  return [
    { type: "del", key: nameKey(from) },
    { type: "put", key: nameKey(to), value: Uint8Array.of(depot & 0xff, depot >>> 8) },
  ];
}

function numberIn(value: Uint8Array): number {
  return value[0]! | (value[1]! << 8);
}

function nameKey(name: string): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX, 0), text.encode(name));
}

/** Calls `visit` with every client of the partition. */
export async function eachClient(
  kv: Kv,
  depot: number,
  task: number,
  visit: (client: Uint8Array, value: Uint8Array) => void,
): Promise<void> {
  const gte = partitionPrefix(depot, task, 1);
  for await (const { key, value } of entriesOf(kv, { gte, lt: prefixSuccessor(gte)! })) {
    visit(new Uint8Array(key.subarray(9)), new Uint8Array(value));
  }
}

async function* entriesOf(kv: Kv, range: KvRange): AsyncGenerator<KvEntry> {
  let { gte } = range;
  for (;;) {
    const page = await kv.range({ gte, lt: range.lt, limit: pageEntries });
    yield* page;
    if (page.length < pageEntries) return;
    gte = concatBytes(page.at(-1)!.key, Uint8Array.of(0));
  }
}
