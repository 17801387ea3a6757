// Kinds of entries of a replog, and the layout of those that this layer and `depot/` own. The numbers are on disk. Kind 0 is the log's own (storage/segment.ts).
//
// What a topology's turn changed travels as one TURN entry of sections (task/turn-entry.ts). Each kind's payload carries results, not operations, or is applied once
// only: recovery skips what is below the applied offset that the Kv holds.

/** depot/partition.ts: records appended to one depot partition. */
export const DEPOT_APPEND = 1;
/** task/turn-entry.ts: everything one turn of the engine changed in a group. */
export const TURN = 2;
/** pstate/entry.ts alone. */
export const PSTATE_WRITES = 3;
/** topology/stream: progress alone. */
export const STREAM_PROGRESS = 4;
/** topology/microbatch. */
export const MICROBATCH_PREPARE = 5;
export const MICROBATCH_DECIDE = 6;
export const MICROBATCH_ABORT = 7;
/** A leader's first entry in its epoch; nothing to apply. */
export const EPOCH_BEGINS = 8;

/** depot/control-entry.ts: a partition is trimmed, or its migration begins. */
export const DEPOT_CONTROL = 9;

export const entryKindNames: Readonly<Record<number, string>> = {
  [DEPOT_APPEND]: "depot append",
  [TURN]: "turn",
  [PSTATE_WRITES]: "PState writes",
  [STREAM_PROGRESS]: "stream progress",
  [MICROBATCH_PREPARE]: "microbatch prepare",
  [MICROBATCH_DECIDE]: "microbatch decide",
  [MICROBATCH_ABORT]: "microbatch abort",
  [EPOCH_BEGINS]: "epoch begins",
  [DEPOT_CONTROL]: "depot control",
};
