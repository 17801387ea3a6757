// What both groups of fixed items share: per key a map from id to item, newest first, and beside it the next id and the number of items, so that neither
// adding nor dropping has to count. All blocks run on the task where they stand and end exactly once.
import {
  type Arg,
  Block,
  Helpers,
  gt,
  gte,
  Ops,
  Path,
  PState,
  type PStateVar,
  RamaError,
  SubindexOptions,
  type ValueVar,
} from "../index.ts";
import { greatestId, type KeyClass, type OwningTopology, type ValueSchema } from "./declaring.ts";

export interface FixedItems {
  /** key → id → item */
  readonly items: PStateVar;
  /** key → { nextId, size } */
  readonly meta: PStateVar;
  readonly max: number;
  readonly clearBatchSize: number;
  readonly keyClass: KeyClass;
  readonly itemClass: ValueSchema;
  /** What else goes with items that are dropped or cleared: `entries` holds a map from id to item. */
  readonly forget?: (key: Arg, entries: ValueVar) => Block;
}

interface Meta {
  readonly nextId: number;
  readonly size: number;
}

const newKey: Meta = { nextId: greatestId, size: 0 };

export function fixedItems(
  pstate: PStateVar,
  max: number,
  keyClass: KeyClass,
  itemClass: ValueSchema,
  clearBatchSize: number,
): FixedItems {
  for (const [what, amount] of [
    ["the maximum of items", max],
    ["clearBatchSize", clearBatchSize],
  ] as const) {
    if (!Number.isInteger(amount) || amount < 1)
      throw new RamaError("BAD_MODULE", `${pstate}: ${what} is a whole number above 0, not ${amount}`);
  }
  return { items: pstate, meta: `${pstate}Meta`, max, clearBatchSize, keyClass, itemClass };
}

export function declareItems({ items, meta, keyClass, itemClass }: FixedItems, topology: OwningTopology): void {
  const untracked = SubindexOptions.withoutSizeTracking();
  topology.pstate(items, PState.mapSchema(keyClass, PState.mapSchema(Number, itemClass).subindexed(untracked)));
  const counts = PState.fixedKeysSchema({ nextId: Number, size: Number });
  topology.pstate(meta, PState.mapSchema(keyClass, counts)).makePrivate();
}

/** Stores the item as the newest and binds its id. */
export function addNewest({ items, meta }: FixedItems, key: Arg, item: Arg, id: ValueVar): Block {
  const before = Helpers.genVar("meta");
  const after = Helpers.genVar("meta");
  return Block.localSelect(meta, Path.key(key))
    .out(before)
    .each(grown, before)
    .out([id, after])
    .localTransform(items, Path.key(key, id).termVal(item))
    .localTransform(meta, Path.key(key).termVal(after));
}

function grown(meta: Meta | null): [number, Meta] {
  const { nextId, size } = meta ?? newKey;
  return [nextId, { nextId: nextId - 1, size: size + 1 }];
}

/** Drops the oldest items while there are more than the maximum; many (it was lowered) in several steps. */
export function dropOldest(group: FixedItems, key: Arg): Block {
  const { meta, max, clearBatchSize } = group;
  const counts = Helpers.genVar("meta");
  const excess = Helpers.genVar("excess");
  const over = (now: Meta | null) => Math.min((now?.size ?? 0) - max, clearBatchSize);
  const measured = Block.localSelect(meta, Path.key(key)).out(counts).each(over, counts).out(excess);
  const oldest = Path.key(key).sortedMapRangeToEnd(excess);
  const step = removeRange(group, key, oldest, excess).yieldIfOvertime();
  const again = Block.loop(measured.ifTrue(gt(excess, 0), step.continueLoop(), Block.emitLoop()));
  return measured.ifTrue(gt(excess, 0), again);
}

/** Removes the entries of a range of `items`, `amount` in number. */
function removeRange({ items, meta, forget }: FixedItems, key: Arg, range: Path, amount: ValueVar): Block {
  const entries = Helpers.genVar("entries");
  const selected = Block.localSelect(items, range).out(entries);
  return (forget === undefined ? Block.create() : selected.macro(forget(key, entries)))
    .localTransform(items, range.termVal(null))
    .localTransform(meta, Path.key(key, "size").term(Ops.MINUS, amount));
}

/** Removes the item with this id, which is there. */
export function removeOne({ items, meta }: FixedItems, key: Arg, id: Arg): Block {
  return Block.localTransform(items, Path.key(key, id).termVoid()).localTransform(
    meta,
    Path.key(key, "size").term(Ops.DEC),
  );
}

/** Removes all items that are there now, so many at a time; what comes meanwhile stays. */
export function clearAll(group: FixedItems, key: Arg): Block {
  const { items, meta, clearBatchSize } = group;
  const counts = Helpers.genVar("meta");
  const nextId = Helpers.genVar("nextId");
  const amount = Helpers.genVar("amount");
  const range = Path.key(key).sortedMapRangeFrom(nextId, { excludeStart: true, maxAmt: clearBatchSize });
  return Block.localSelect(meta, Path.key(key))
    .out(counts)
    .each((now: Meta | null) => (now ?? newKey).nextId, counts)
    .out(nextId)
    .loop(
      Block.localSelect(items, range.view(Ops.SIZE))
        .out(amount)
        .ifTrue(gt(amount, 0), removeRange(group, key, range, amount))
        .ifTrue(gte(amount, clearBatchSize), Block.yieldIfOvertime().continueLoop(), Block.emitLoop()),
    );
}

export function removeKey({ items, meta }: FixedItems, key: Arg): Block {
  return Block.localTransform(items, Path.key(key).termVoid()).localTransform(meta, Path.key(key).termVoid());
}
