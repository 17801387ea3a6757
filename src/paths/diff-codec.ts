// Diffs between processes: each is an array of a number and its fields, in the value codec.
//   diff := [kind, fields…] with the kinds in the order of `kinds`, from 0; a diff inside is an array of that form; maps of diffs are lists of [key, diff].
// A kind that the receiver does not know becomes an UnknownDiff, which fits no value: the receiver asks for the value anew.
import {
  type Diff,
  KeyChangeDiff,
  KeyDiff,
  KeyRemoveDiff,
  KeysDiff,
  KeysRemoveDiff,
  MultiDiff,
  MultiSetAddDiff,
  MultiSetRemoveDiff,
  NewValueDiff,
  SequenceIndexChangeDiff,
  SequenceIndexChangesDiff,
  SequenceIndexRemoveDiff,
  SequenceInsertDiff,
  SequenceInsertsDiff,
  SequenceReorderDiff,
  SetAddDiff,
  SetRemoveDiff,
  UnknownDiff,
} from "./diff.ts";

type Fields = readonly any[];
type Pair = readonly [any, unknown];

interface Form {
  readonly type: new (...fields: any[]) => Diff;
  readonly out: (diff: any) => unknown[];
  readonly in: (fields: Fields) => Diff;
}

function form<T extends Diff>(
  type: new (...fields: any[]) => T,
  out: (diff: T) => unknown[],
  read?: (f: Fields) => T,
): Form {
  return { type, out, in: read ?? ((fields) => new type(...fields)) };
}

const pairsOut = (diffs: ReadonlyMap<unknown, Diff>): Pair[] => [...diffs].map(([key, diff]) => [key, diffParts(diff)]);
const pairsIn = (pairs: readonly Pair[]) => new Map(pairs.map(([key, parts]) => [key, diffOfParts(parts)]));

/** The index is on the wire: append only. */
const kinds: readonly Form[] = [
  form(NewValueDiff, (d) => [d.value]),
  form(
    KeyDiff,
    (d) => [d.key, diffParts(d.valDiff)],
    ([key, parts]) => new KeyDiff(key, diffOfParts(parts)),
  ),
  form(
    KeysDiff,
    (d) => [pairsOut(d.diffs)],
    ([pairs]) => new KeysDiff(pairsIn(pairs)),
  ),
  form(KeyRemoveDiff, (d) => [d.key]),
  form(KeysRemoveDiff, (d) => [d.keys]),
  form(KeyChangeDiff, (d) => [d.from, d.to]),
  form(
    MultiDiff,
    (d) => [d.diffs.map(diffParts)],
    ([parts]) => new MultiDiff(parts.map(diffOfParts)),
  ),
  form(SetAddDiff, (d) => [d.element]),
  form(SetRemoveDiff, (d) => [d.element]),
  form(MultiSetAddDiff, (d) => [d.element, d.newCount, d.oldCount]),
  form(MultiSetRemoveDiff, (d) => [d.element, d.newCount, d.oldCount]),
  form(SequenceInsertDiff, (d) => [d.index, d.element, d.oldSize]),
  form(SequenceInsertsDiff, (d) => [d.index, d.elements, d.oldSize]),
  form(
    SequenceIndexChangeDiff,
    (d) => [d.index, diffParts(d.valDiff)],
    ([index, parts]) => new SequenceIndexChangeDiff(index, diffOfParts(parts)),
  ),
  form(
    SequenceIndexChangesDiff,
    (d) => [pairsOut(d.diffs)],
    ([pairs]) => new SequenceIndexChangesDiff(pairsIn(pairs)),
  ),
  form(SequenceIndexRemoveDiff, (d) => [d.index, d.amount, d.oldSize]),
  form(SequenceReorderDiff, (d) => [d.permutation]),
];

const numbers = new Map(kinds.map(({ type }, number) => [type as unknown, number]));

/** Plain data that stands for the diff. */
export function diffParts(diff: Diff): unknown[] {
  const number = numbers.get(diff.constructor) ?? -1;
  return [number, ...(kinds[number]?.out(diff) ?? [])];
}

export function diffOfParts(parts: unknown): Diff {
  const known = Array.isArray(parts) ? kinds[parts[0]] : undefined;
  return known === undefined ? new UnknownDiff() : known.in((parts as unknown[]).slice(1));
}
