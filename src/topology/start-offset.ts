// Where a source begins in a partition that it has never seen (language.md 11.2).
import type { StartFrom } from "../module/definition.ts";

interface Positions {
  readonly startOffset: number;
  readonly endOffset: number;
  offsetAfterTimestamp(ms: number): number;
}

/** `entriesMax`: what trimming leaves, without the excess; what comes before is not begun with, as it may go at any time. */
export function startOffsetOf(from: StartFrom, partition: Positions, nowMs: number, entriesMax?: unknown): number {
  const inside = (offset: number) => Math.min(Math.max(offset, partition.startOffset), partition.endOffset);
  switch (from.kind) {
    case "end":
      return partition.endOffset;
    case "beginning":
      return inside(typeof entriesMax === "number" ? partition.endOffset - entriesMax : partition.startOffset);
    case "afterTimestamp":
      return inside(partition.offsetAfterTimestamp(from.epochMs));
    case "ago":
      return inside(
        from.unit === "RECORDS"
          ? partition.endOffset - from.amount
          : partition.offsetAfterTimestamp(nowMs - from.amount),
      );
  }
}
