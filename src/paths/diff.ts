// What changed at the place that a proxy watches, as the callback gets it. Values are immutable: a diff names what is new and holds no copy of the rest.
// `process` hands a diff to the functions of a processor and takes it apart until each part has one: a KeysDiff becomes KeyDiffs, an insertion into a list the
// change of everything from there on, and so on. Made by `diff-compare.ts` on the engine, applied and bound to its values by `diff-apply.ts` at the client.
import { RamaError } from "../base/errors.ts";

/**
 * Functions for the diffs that a program understands, by `kind`; `unhandled` for everything else (a resync, a new value).
 * Example: `diff.process({ key: (d) => show(d.key, d.valDiff), unhandled: () => showAll(proxy.get()) })`.
 */
export interface DiffProcessor {
  newValue?(diff: NewValueDiff): void;
  key?(diff: KeyDiff): void;
  keys?(diff: KeysDiff): void;
  keyRemove?(diff: KeyRemoveDiff): void;
  keysRemove?(diff: KeysRemoveDiff): void;
  keyChange?(diff: KeyChangeDiff): void;
  multi?(diff: MultiDiff): void;
  setAdd?(diff: SetAddDiff): void;
  setRemove?(diff: SetRemoveDiff): void;
  multiSetAdd?(diff: MultiSetAddDiff): void;
  multiSetRemove?(diff: MultiSetRemoveDiff): void;
  sequenceInsert?(diff: SequenceInsertDiff): void;
  sequenceInserts?(diff: SequenceInsertsDiff): void;
  sequenceIndexChange?(diff: SequenceIndexChangeDiff): void;
  sequenceIndexChanges?(diff: SequenceIndexChangesDiff): void;
  sequenceIndexRemove?(diff: SequenceIndexRemoveDiff): void;
  sequenceReorder?(diff: SequenceReorderDiff): void;
  sequenceChange?(diff: SequenceChangeDiff): void;
  append?(diff: AppendDiff): void;
  unknown?(diff: UnknownDiff): void;
  resync?(diff: ResyncDiff): void;
  destroyed?(diff: DestroyedDiff): void;
  ungracefulTermination?(diff: UngracefulTerminationDiff): void;
  unhandled(diff: Diff): void;
}

export type DiffKind = Exclude<keyof DiffProcessor, "unhandled">;

export abstract class Diff {
  abstract readonly kind: DiffKind;
  #after: unknown;

  /** The value at the diff's place after it, which some expansions need. Called by `applyDiff`. */
  bind(after: unknown): this {
    this.#after = after;
    return this;
  }

  /** Printed by its fields alone. */
  [Symbol.for("nodejs.util.inspect.custom")](): object {
    return { ...this };
  }

  protected get after(): unknown {
    return this.#after;
  }

  /** The parts that say the same together, in order; undefined where there are none. */
  expand(): readonly Diff[] | undefined {
    return undefined;
  }

  /**
   * Calls the processor's function of each part, in order, where every part has one; otherwise calls `unhandled` once and nothing else.
   * Errors: BAD_ARGUMENTS for a processor without `unhandled`.
   */
  process(processor: DiffProcessor): void {
    if (typeof processor?.unhandled !== "function")
      throw new RamaError("BAD_ARGUMENTS", "a diff processor needs a function `unhandled`");
    const parts: Diff[] = [];
    if (!gather(this, processor, parts)) {
      processor.unhandled(this);
      return;
    }
    for (const part of parts) (processor[part.kind] as (diff: Diff) => void).call(processor, part);
  }
}

function gather(diff: Diff, processor: DiffProcessor, into: Diff[]): boolean {
  if (typeof processor[diff.kind] === "function") {
    into.push(diff);
    return true;
  }
  return diff.expand()?.every((part) => gather(part, processor, into)) ?? false;
}

/** The whole value is another one. */
export class NewValueDiff extends Diff {
  readonly kind = "newValue";
  constructor(readonly value: unknown) {
    super();
  }
}

/** The value of one key is new or has changed. */
export class KeyDiff extends Diff {
  readonly kind = "key";
  constructor(
    readonly key: unknown,
    readonly valDiff: Diff,
  ) {
    super();
  }
}

export class KeysDiff extends Diff {
  readonly kind = "keys";
  constructor(readonly diffs: ReadonlyMap<unknown, Diff>) {
    super();
  }

  override expand(): readonly Diff[] {
    return [...this.diffs].map(([key, diff]) => new KeyDiff(key, diff));
  }
}

export class KeyRemoveDiff extends Diff {
  readonly kind = "keyRemove";
  constructor(readonly key: unknown) {
    super();
  }
}

export class KeysRemoveDiff extends Diff {
  readonly kind = "keysRemove";
  constructor(readonly keys: readonly unknown[]) {
    super();
  }

  override expand(): readonly Diff[] {
    return this.keys.map((key) => new KeyRemoveDiff(key));
  }
}

/** An entry has another key and the same value. */
export class KeyChangeDiff extends Diff {
  readonly kind = "keyChange";
  constructor(
    readonly from: unknown,
    readonly to: unknown,
  ) {
    super();
  }

  /** Bound to the entry's value, in an array. */
  override expand(): readonly Diff[] | undefined {
    const moved = this.after as readonly [unknown] | undefined;
    if (moved === undefined) return undefined;
    return [new KeyRemoveDiff(this.from), new KeyDiff(this.to, new NewValueDiff(moved[0]))];
  }
}

/** Several diffs, one after the other. */
export class MultiDiff extends Diff {
  readonly kind = "multi";
  constructor(readonly diffs: readonly Diff[]) {
    super();
  }

  override expand(): readonly Diff[] {
    return this.diffs;
  }
}

export class SetAddDiff extends Diff {
  readonly kind = "setAdd";
  constructor(readonly element: unknown) {
    super();
  }
}

export class SetRemoveDiff extends Diff {
  readonly kind = "setRemove";
  constructor(readonly element: unknown) {
    super();
  }
}

export class MultiSetAddDiff extends Diff {
  readonly kind = "multiSetAdd";
  constructor(
    readonly element: unknown,
    readonly newCount: number,
    readonly oldCount: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    return this.oldCount === 0 ? [new SetAddDiff(this.element)] : [];
  }
}

export class MultiSetRemoveDiff extends Diff {
  readonly kind = "multiSetRemove";
  constructor(
    readonly element: unknown,
    readonly newCount: number,
    readonly oldCount: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    return this.newCount === 0 ? [new SetRemoveDiff(this.element)] : [];
  }
}

/** One element more, before `index`. */
export class SequenceInsertDiff extends Diff {
  readonly kind = "sequenceInsert";
  constructor(
    readonly index: number,
    readonly element: unknown,
    readonly oldSize: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    return [new SequenceChangeDiff(this.index, this.oldSize + 1, this.oldSize).bind(this.after)];
  }
}

export class SequenceInsertsDiff extends Diff {
  readonly kind = "sequenceInserts";
  constructor(
    readonly index: number,
    readonly elements: readonly unknown[],
    readonly oldSize: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    const newSize = this.oldSize + this.elements.length;
    return [new SequenceChangeDiff(this.index, newSize, this.oldSize).bind(this.after)];
  }
}

export class SequenceIndexChangeDiff extends Diff {
  readonly kind = "sequenceIndexChange";
  constructor(
    readonly index: number,
    readonly valDiff: Diff,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    return [new KeyDiff(this.index, this.valDiff)];
  }
}

export class SequenceIndexChangesDiff extends Diff {
  readonly kind = "sequenceIndexChanges";
  constructor(readonly diffs: ReadonlyMap<number, Diff>) {
    super();
  }

  override expand(): readonly Diff[] {
    return [...this.diffs].map(([index, diff]) => new SequenceIndexChangeDiff(index, diff));
  }
}

/** `amount` elements from `index` on are gone. */
export class SequenceIndexRemoveDiff extends Diff {
  readonly kind = "sequenceIndexRemove";
  constructor(
    readonly index: number,
    readonly amount: number,
    readonly oldSize: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] {
    return [new SequenceChangeDiff(this.index, this.oldSize - this.amount, this.oldSize).bind(this.after)];
  }
}

/** The same elements in another order: at index i stands what stood at `permutation[i]`. */
export class SequenceReorderDiff extends Diff {
  readonly kind = "sequenceReorder";
  constructor(readonly permutation: readonly number[]) {
    super();
  }

  override expand(): readonly Diff[] | undefined {
    const list = this.after as readonly unknown[] | undefined;
    if (list === undefined) return undefined;
    const moved = this.permutation.flatMap((from, to) => (from === to ? [] : [to]));
    return [new SequenceIndexChangesDiff(new Map(moved.map((to) => [to, new NewValueDiff(list[to])])))];
  }
}

/** Everything from `fromIndex` on may be another. Comes out of expansions only. */
export class SequenceChangeDiff extends Diff {
  readonly kind = "sequenceChange";
  constructor(
    readonly fromIndex: number,
    readonly newSize: number,
    readonly oldSize: number,
  ) {
    super();
  }

  override expand(): readonly Diff[] | undefined {
    const list = this.after as readonly unknown[] | undefined;
    if (list === undefined) return undefined;
    const { fromIndex, newSize, oldSize } = this;
    const parts: Diff[] = [];
    const kept = new Map<unknown, Diff>();
    for (let i = fromIndex; i < Math.min(newSize, oldSize); i++) kept.set(i, new NewValueDiff(list[i]));
    if (kept.size > 0) parts.push(new KeysDiff(kept));
    for (let i = Math.max(fromIndex, oldSize); i < newSize; i++) parts.push(new AppendDiff(i, list[i]));
    const removed: number[] = [];
    for (let i = oldSize - 1; i >= newSize; i--) removed.push(i);
    if (removed.length > 0) parts.push(new KeysRemoveDiff(removed));
    return parts;
  }
}

/** An element at the end. Comes out of expansions only. */
export class AppendDiff extends Diff {
  readonly kind = "append";
  constructor(
    readonly index: number,
    readonly value: unknown,
  ) {
    super();
  }
}

/** Something changed that has no description. */
export class UnknownDiff extends Diff {
  readonly kind = "unknown";
}

/** The value was fetched anew: at the start, and whenever diffs may have been missed. */
export class ResyncDiff extends Diff {
  readonly kind = "resync";
  constructor(readonly value: unknown) {
    super();
  }
}

/** The proxy was closed; the last diff. */
export class DestroyedDiff extends Diff {
  readonly kind = "destroyed";
}

/** The proxy gave up after repeated failures; the last diff. */
export class UngracefulTerminationDiff extends Diff {
  readonly kind = "ungracefulTermination";
}
