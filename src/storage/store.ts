// A store: one log and one Kv in one directory, holding whole task groups.
//   <dir>/format   "rama store 1"        <dir>/kv   LevelDB        <dir>/log   segments (segment.ts)        <dir>/depots   depot/segments.ts
//
// Opening takes two steps, because what is replayed needs its objects first: `openStore` opens the Kv (and with it the directory's lock); the caller builds PStates,
// depots and progress over it; `recover` hands out the entries and opens the log for writing.
//
// In the Kv, per group: 4c group u16 (big-endian) → version u8 (1) | applied u48 | depots synced u48. `applied`: everything below is in the Kv, by the same batch.
// `depots synced`: every record of entries below is durable in the depots' files. Replay begins at the lower of the two, and the log lets go below it.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk } from "./disk.ts";
import type { Kv, KvOp, KvOpener } from "./kv.ts";
import { type DiskLog, openStoreLog, type StoreLogRecovery } from "./log.ts";
import type { LogEntry, Store } from "./store-contract.ts";

const POSITIONS_PREFIX = 0x4c;
const POSITIONS_VERSION = 1;
const formatText = "rama store 1\n";

export interface StoreOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly kv: KvOpener;
  readonly dir: string;
  readonly segmentSizeBytes?: number;
}

export interface GroupPositions {
  readonly applied: number;
  readonly depotsSynced: number;
}

/** A store whose log can be written. */
export interface RecoveredStore extends Store {
  readonly log: DiskLog;
  readonly recovery: StoreLogRecovery;
  /** Offset of the group's next entry. Everything below has been applied: by the Kv or by the replay. */
  groupEnd(group: number): number;
}

export async function openStore(options: StoreOptions): Promise<OpenedStore> {
  const { disk, dir } = options;
  disk.mkdir(dir);
  const kv = await options.kv.open(`${dir}/kv`);
  try {
    checkFormat(disk, dir);
    return new OpenedStore(options, kv, await readPositions(kv));
  } catch (error) {
    await kv.close();
    throw error;
  }
}

export class OpenedStore {
  readonly dir: string;
  readonly kv: Kv;
  readonly #options: StoreOptions;
  readonly #positions: ReadonlyMap<number, GroupPositions>;

  /** Use `openStore`. */
  constructor(options: StoreOptions, kv: Kv, positions: ReadonlyMap<number, GroupPositions>) {
    this.dir = options.dir;
    this.kv = kv;
    this.#options = options;
    this.#positions = positions;
  }

  get depotsDir(): string {
    return `${this.dir}/depots`;
  }

  /** What the last flush left. */
  positions(group: number): GroupPositions {
    return this.#positions.get(group) ?? { applied: 0, depotsSynced: 0 };
  }

  /**
   * Replays every entry that is needed, in log order. `applied`: what it changes is in the Kv already - only a depot append must be given to its partition, which
   * knows what its files hold. The payload is a view of memory that is not used again. STORE_CORRUPT.
   */
  async recover(
    replay: (entry: LogEntry, applied: boolean) => void,
    { keepsOld = false }: { readonly keepsOld?: boolean } = {},
  ): Promise<RecoveredStore> {
    const { env, disk, segmentSizeBytes } = this.#options;
    const { dir, kv } = this;
    const { log, recovery } = await openStoreLog({
      env,
      disk,
      dir: `${dir}/log`,
      segmentSizeBytes,
      keepsOld,
      from: (group) => replayFrom(this.positions(group)),
      replay: (entry) => replay(entry, entry.offset < this.positions(entry.group).applied),
    });
    try {
      this.#checkNothingLost(recovery);
    } catch (error) {
      await log.close();
      throw error;
    }
    const groupEnd = (group: number) => recovery.groups.get(group)?.end ?? this.positions(group).applied;
    return { dir, kv, log, recovery, groupEnd };
  }

  /** A flush comes after the sync of the log's entries: a log that ends before it has lost some. */
  #checkNothingLost(recovery: StoreLogRecovery): void {
    for (const [group, { applied }] of this.#positions) {
      const end = recovery.groups.get(group)?.end;
      const isLost = end === undefined ? applied > 0 && recovery.segments === 0 : end < applied;
      if (!isLost) continue;
      const message = `${this.dir}/log ends at offset ${end ?? 0} of task group ${group}, whose state is from offset ${applied}`;
      throw new RamaError("STORE_CORRUPT", message, { path: `${this.dir}/log`, group, applied });
    }
  }
}

export const replayFrom = (positions: GroupPositions): number => Math.min(positions.applied, positions.depotsSynced);

export function positionsOp(group: number, positions: GroupPositions): KvOp {
  const value = new Uint8Array(13);
  const view = new DataView(value.buffer);
  value[0] = POSITIONS_VERSION;
  [positions.applied, positions.depotsSynced].forEach((offset, i) => {
    view.setUint32(1 + 6 * i, offset % 0x1_0000_0000, true);
    view.setUint16(5 + 6 * i, Math.floor(offset / 0x1_0000_0000), true);
  });
  return { type: "put", key: positionsKey(group), value };
}

/** What the state that a snapshot holds has of a group. */
export function positionsIn(kv: Pick<Kv, "getSync">, group: number): GroupPositions {
  const value = kv.getSync(positionsKey(group));
  return value === undefined ? { applied: 0, depotsSynced: 0 } : decodePositions(value);
}

function positionsKey(group: number): Uint8Array {
  return Uint8Array.of(POSITIONS_PREFIX, group >>> 8, group & 0xff);
}

async function readPositions(kv: Kv): Promise<Map<number, GroupPositions>> {
  const positions = new Map<number, GroupPositions>();
  // A store holds at most 65,536 groups and in practice some dozens: one page.
  const entries = await kv.range({ gte: Uint8Array.of(POSITIONS_PREFIX), lt: Uint8Array.of(POSITIONS_PREFIX + 1) });
  for (const { key, value } of entries) {
    positions.set((key[1]! << 8) | key[2]!, decodePositions(value));
  }
  return positions;
}

function decodePositions(value: Uint8Array): GroupPositions {
  if (value[0] !== POSITIONS_VERSION) throw new RamaError("STORE_CORRUPT", `positions of unknown version ${value[0]}`);
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const offsetAt = (at: number) => view.getUint32(at, true) + view.getUint16(at + 4, true) * 0x1_0000_0000;
  return { applied: offsetAt(1), depotsSynced: offsetAt(7) };
}

/** Makes the directory a store of this version. */
export function writeFormat(disk: Disk, dir: string): void {
  disk.writeFile(`${dir}/format`, new TextEncoder().encode(formatText));
}

function checkFormat(disk: Disk, dir: string): void {
  const path = `${dir}/format`;
  if (!disk.exists(path)) {
    writeFormat(disk, dir);
    return;
  }
  const found = new TextDecoder().decode(disk.readFile(path));
  if (found === formatText) return;
  throw new RamaError(
    "WRONG_VERSION",
    `${path} says ${JSON.stringify(found.trim())}, this is for ${formatText.trim()}`,
    { path },
  );
}
