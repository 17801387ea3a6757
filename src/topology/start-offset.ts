// Where a source begins in a partition that it has never seen (language.md 11.2).
import type { StartFrom } from "../module/definition.ts";

interface Positions {
  readonly startOffset: number;
  readonly endOffset: number;
  offsetAfterTimestamp(ms: number): number;
}

export function startOffsetOf(from: StartFrom, partition: Positions, nowMs: number): number {
  const inside = (offset: number) => Math.min(Math.max(offset, partition.startOffset), partition.endOffset);
  switch (from.kind) {
    case "end":
      return partition.endOffset;
    case "beginning":
      return partition.startOffset;
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
