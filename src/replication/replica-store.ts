// Opens what a replica needs of its store: entries that the state on disk does not have yet are not applied as with one replica, but kept until it is known whether
// they are committed.
import { assert } from "../base/assert.ts";
import type { Env } from "../base/env.ts";
import { ByteWriter } from "../base/value-bytes.ts";
import { readLogEntries } from "../storage/log-read.ts";
import { KIND_CUT } from "../storage/segment.ts";
import type { Disk } from "../storage/disk.ts";
import type { KvOpener } from "../storage/kv.ts";
import type { OpenedStore, RecoveredStore } from "../storage/store.ts";
import type { LogEntry } from "../storage/store-contract.ts";
import { EpochRuns } from "./epoch-runs.ts";
import { isRebuilding, rebuilt } from "./rebuild.ts";
import type { ReplicaStore } from "./replica-contract.ts";
import { StoreImport } from "./store-import.ts";
import type { EntryChunk } from "./replog-tail.ts";

/** Bytes of old entries that are read at once for a follower. */
const readBytesMax = 1024 * 1024;

export interface OpenedReplicaStore {
  readonly recovered: RecoveredStore;
  readonly store: ReplicaStore;
}

/** `replayApplied` gets the entries that are in the Kv already and whose records may be missing in the depots' files. */
export async function openReplicaStore(
  opened: OpenedStore,
  platform: { readonly env: Env; readonly disk: Disk; readonly kv: KvOpener },
  group: number,
  replayApplied: (entry: LogEntry) => void,
): Promise<OpenedReplicaStore> {
  const { env, disk } = platform;
  const { applied } = opened.positions(group);
  const runs = new EpochRuns(applied);
  let old: LogEntry[] = [];
  let kept: LogEntry[] = [];
  const recovered = await opened.recover(
    (entry, isApplied) => {
      assert(entry.group === group, `the store of task group ${group} has an entry of group ${entry.group}`);
      if (entry.kind === KIND_CUT) {
        // What is applied is never cut: a cut below it came before those entries were written.
        runs.truncate(Math.max(applied, entry.offset));
        kept = kept.slice(0, Math.max(0, entry.offset - applied));
        old = old.filter(({ offset }) => offset < entry.offset);
      } else if (isApplied) old.push({ ...entry, payload: entry.payload.slice() });
      else {
        runs.append(entry.epoch);
        kept.push({ ...entry, payload: entry.payload.slice() });
      }
    },
    { keepsOld: true },
  );
  for (const entry of old) replayApplied(entry);
  const writer = new ByteWriter(64 * 1024);
  for (const { kind, epoch, payload } of kept) writeEntry(writer, kind, epoch, payload);
  const unapplied = kept.length === 0 ? undefined : { from: applied, to: applied + kept.length, bytes: writer.take() };
  const dir = `${opened.dir}/log`;
  const store: ReplicaStore = {
    log: recovered.log,
    runs,
    epoch: recovered.recovery.groups.get(group)?.epoch ?? 0,
    applied,
    unapplied,
    rebuilding: isRebuilding(disk, opened.dir),
    rebuilt: () => rebuilt(disk, opened.dir),
    source: { disk, kv: opened.kv, dir: opened.dir },
    receive: (epoch) => new StoreImport({ env, disk, kv: platform.kv, dir: opened.dir, group, epoch }),
    read: (from, to) => readChunk(disk, dir, { group, from, to }),
  };
  return { recovered, store };
}

function readChunk(
  disk: Disk,
  dir: string,
  range: { readonly group: number; readonly from: number; readonly to: number },
): EntryChunk | undefined {
  const entries = readLogEntries(disk, dir, range);
  if (entries.length === 0) return undefined;
  const writer = new ByteWriter(64 * 1024);
  let to = range.from;
  for (const { kind, epoch, payload } of entries) {
    if (writer.length > 0 && writer.length + payload.length > readBytesMax) break;
    writeEntry(writer, kind, epoch, payload);
    to++;
  }
  return { from: range.from, to, bytes: writer.take() };
}

function writeEntry(writer: ByteWriter, kind: number, epoch: number, payload: Uint8Array): void {
  writer.u8(kind);
  writer.u32(epoch);
  writer.u32(payload.length);
  writer.raw(payload);
}
