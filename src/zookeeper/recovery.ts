// From a directory to the state of the server: the newest whole snapshot, then every journalled entry after it, in order and without a gap.

import { AssertionError } from "../base/assert.ts";
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Disk } from "../storage/disk.ts";
import type { JournalEntry } from "./changes.ts";
import { journalName, listDirectory, scanJournal, snapshotName } from "./journal-file.ts";
import { decodeSnapshot, initialState, type ServerState } from "./snapshot.ts";

export interface Recovered {
  /** Journalled entries that were replayed. */
  readonly entries: number;
  /** Cut off the end of the newest journal file. */
  readonly tornBytes: number;
  readonly ms: number;
  readonly snapshotZxid?: number;
}

export interface Recovery {
  readonly state: ServerState;
  readonly recovered: Recovered;
  /** The newest journal file and where to go on writing it; undefined when there is none yet. */
  readonly newest?: { readonly path: string; readonly endPosition: number };
}

export function recover(env: Env, disk: Disk, dir: string): Recovery {
  const startedMs = env.monotonicMs();
  const { journals, snapshots } = listDirectory(disk, dir);
  const { state, snapshotZxid } = loadSnapshot(env, disk, dir, snapshots);
  let entries = 0;
  let tornBytes = 0;
  let newest: { path: string; endPosition: number } | undefined;
  journals.forEach((firstZxid, i) => {
    const next = journals[i + 1];
    // All of this file's entries are below `next`, so a snapshot at or after that has them.
    if (next !== undefined && next <= state.zxid + 1) return;
    const path = `${dir}/${journalName(firstZxid)}`;
    const scanned = scanJournal(path, disk.readFile(path), next === undefined, (entry) => {
      if (entry.zxid <= state.zxid) return;
      if (entry.zxid !== state.zxid + 1) {
        throw new RamaError("STORE_CORRUPT", `${path}: entry ${entry.zxid} follows ${state.zxid}`, {
          path,
          zxid: entry.zxid,
        });
      }
      applyEntry(path, state, entry);
      entries++;
    });
    tornBytes = scanned.tornBytes;
    newest = { path, endPosition: scanned.endPosition };
  });
  const ms = Math.round(env.monotonicMs() - startedMs);
  const recovered: Recovered =
    snapshotZxid === undefined ? { entries, tornBytes, ms } : { entries, tornBytes, ms, snapshotZxid };
  return newest === undefined ? { state, recovered } : { state, recovered, newest };
}

function loadSnapshot(
  env: Env,
  disk: Disk,
  dir: string,
  snapshots: number[],
): { state: ServerState; snapshotZxid?: number } {
  let unreadable: unknown;
  for (const zxid of [...snapshots].reverse()) {
    const path = `${dir}/${snapshotName(zxid)}`;
    try {
      return { state: decodeSnapshot(path, disk.readFile(path)), snapshotZxid: zxid };
    } catch (error) {
      if (!(error instanceof RamaError) || error.code !== "STORE_CORRUPT") throw error;
      env.log.warn("snapshot is damaged, trying the one before", { path });
      unreadable = error;
    }
  }
  // Without any snapshot the journal must reach back to the first write; the check for gaps sees to that.
  if (unreadable !== undefined) env.log.warn("no snapshot is readable, replaying the whole journal", { dir });
  return { state: initialState() };
}

/** Replays one entry. Used at recovery only: a running server applies changes as it decides them. */
export function applyEntry(path: string, state: ServerState, entry: JournalEntry): void {
  for (const change of entry.changes) {
    switch (change.kind) {
      case "openSession":
        state.sessions.set(change.id, { id: change.id, timeoutMs: change.timeoutMs, password: change.password });
        break;
      case "closeSession":
        state.sessions.delete(change.id);
        break;
      default:
        try {
          state.tree.apply(change, entry.zxid, entry.timeMs);
        } catch (error) {
          if (!(error instanceof AssertionError)) throw error;
          throw new RamaError(
            "STORE_CORRUPT",
            `${path}: entry ${entry.zxid} does not fit: ${error.message}`,
            { path, zxid: entry.zxid },
            error,
          );
        }
    }
  }
  state.zxid = entry.zxid;
}
