// Writes a partition's files anew, with records from before the migration in their new form, into a directory of its own, a stretch at a time. When the copy has caught
// up, the partition changes over in one step. Until a flush has made that durable (depot-store.ts) the old files are what counts after a crash.
import { u32At } from "../base/bytes.ts";
import type { RecordMigration } from "./migration.ts";
import type { RecordRun } from "./segment-blocks.ts";
import type { DepotSegments } from "./segments.ts";

export interface Rewriting {
  readonly old: DepotSegments;
  readonly next: DepotSegments;
  readonly migration: RecordMigration;
  /** Records below are mapped. */
  readonly boundary: number;
  /** The first record that is copied. */
  readonly start: number;
}

/** Copies about `maxBytes` more; returns how many records were mapped. USER_CODE_FAILED: everything before that record has been copied. */
export function rewriteSome({ old, next, migration, boundary, start }: Rewriting, maxBytes: number): number {
  const from = Math.max(start, next.end);
  const pieces: RecordRun[] = [];
  let mapped = 0;
  try {
    for (const run of from < old.end ? old.runs(from, maxBytes) : []) {
      for (const piece of piecesOf(behind(run, from), boundary)) {
        if (piece.offset >= boundary) {
          pieces.push(piece);
          continue;
        }
        const bytes = migration.mapAll(piece.bytes, piece.start, piece.end, piece.offset);
        pieces.push({ ...piece, bytes, start: 0, end: bytes.length });
        mapped += piece.count;
      }
    }
  } finally {
    next.append(pieces);
  }
  return mapped;
}

export function isCaughtUp({ old, next, start }: Rewriting): boolean {
  return Math.max(start, next.end) === old.end;
}

/** The part of the run from `offset` on. */
function behind(run: RecordRun, offset: number): RecordRun {
  const skipped = Math.max(0, offset - run.offset);
  if (skipped === 0) return run;
  const start = positionOf(run, skipped);
  return { ...run, offset: run.offset + skipped, count: run.count - skipped, start };
}

/** A run that crosses the boundary is two; one of old records goes record by record, so that what one of them throws keeps the others. */
function* piecesOf(run: RecordRun, boundary: number): Iterable<RecordRun> {
  const old = Math.min(run.count, Math.max(0, boundary - run.offset));
  let start = run.start;
  for (let i = 0; i < old; i++) {
    const end = start + 4 + u32At(run.bytes, start);
    yield { ...run, offset: run.offset + i, count: 1, start, end };
    start = end;
  }
  if (old < run.count) yield { ...run, offset: run.offset + old, count: run.count - old, start };
}

function positionOf(run: RecordRun, records: number): number {
  let at = run.start;
  for (let i = 0; i < records; i++) at += 4 + u32At(run.bytes, at);
  return at;
}
