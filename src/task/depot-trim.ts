// How far a depot partition may be trimmed, and where a new consumer begins in one that is. Pure.
//
//   startOffset ≤ … excess … ≤ endOffset − entriesMax ≤ endOffset
// About `entriesMax · (1 + excessProportion)` newest records stay, more where a topology has not processed them. "Beginning" for a new consumer is the entriesMax-th
// from the end, so that what it begins with is not trimmed under its feet.

export interface TrimFacts {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly entriesMax: number;
  readonly excessProportion: number;
  /** Offset of the first record that is still needed; undefined: none is. */
  readonly neededFrom: number | undefined;
}

/** The new start; `startOffset` when nothing may go. */
export function trimTo({ startOffset, endOffset, entriesMax, excessProportion, neededFrom }: TrimFacts): number {
  const kept = entriesMax + Math.floor(entriesMax * excessProportion);
  return Math.max(startOffset, Math.min(endOffset - kept, neededFrom ?? endOffset));
}
