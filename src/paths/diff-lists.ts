// Diffs of lists in the shortest of their forms.
import {
  type Diff,
  SequenceIndexChangeDiff,
  SequenceIndexChangesDiff,
  SequenceIndexRemoveDiff,
  SequenceInsertDiff,
  SequenceInsertsDiff,
} from "./diff.ts";

export function inserted(index: number, elements: readonly unknown[], oldSize: number): Diff {
  return elements.length === 1
    ? new SequenceInsertDiff(index, elements[0], oldSize)
    : new SequenceInsertsDiff(index, elements, oldSize);
}

export function removed(index: number, amount: number, oldSize: number): Diff {
  return new SequenceIndexRemoveDiff(index, amount, oldSize);
}

export function indexChanges(diffs: ReadonlyMap<number, Diff>): Diff {
  const [first] = diffs;
  return diffs.size === 1 ? new SequenceIndexChangeDiff(first![0], first![1]) : new SequenceIndexChangesDiff(diffs);
}
