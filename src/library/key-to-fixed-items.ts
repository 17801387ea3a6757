// The newest items of each key, so many and no more: `key → id → item`, newest first.
//   const latest = new KeyToFixedItemsPStateGroup("$$latest", 20, String, Object);
//   latest.declarePStates(topology);
//   topology.source("*visits").out("*visit", { userId: "*userId" }).macro(latest.addItem("*userId", "*visit"));
//   await ipc.clusterPState(…, "$$latest").select(Path.key("alice").sortedMapRangeFromStart(5).mapVals());
// Ids descend from 2^53 - 1, so key order is newest first. Blocks run on the task where they stand: go to the key's task before.
import { type Arg, Block, Helpers, Path, type PStateVar } from "../index.ts";
import type { KeyClass, OwningTopology, ValueSchema } from "./declaring.ts";
import {
  addNewest,
  clearAll,
  declareItems,
  dropOldest,
  type FixedItems,
  fixedItems,
  removeKey,
  removeOne,
} from "./fixed-items.ts";

/** Beside `$$p` there is a private `$$pMeta` with the next id and the number of items of each key. */
export class KeyToFixedItemsPStateGroup {
  readonly #group: FixedItems;

  /** `max`: how many items a key keeps. When a new version of the module lowers it, a key is cut at its next `addItem`. */
  constructor(
    pstate: PStateVar,
    max: number,
    keyClass: KeyClass,
    itemClass: ValueSchema,
    settings: { readonly clearBatchSize?: number } = {},
  ) {
    this.#group = fixedItems(pstate, max, keyClass, itemClass, settings.clearBatchSize ?? 100);
  }

  /** How many items `clearItems` removes at a time (100). */
  clearBatchSize(amount: number): KeyToFixedItemsPStateGroup {
    const { items, max, keyClass, itemClass } = this.#group;
    return new KeyToFixedItemsPStateGroup(items, max, keyClass, itemClass, { clearBatchSize: amount });
  }

  declarePStates(topology: OwningTopology): void {
    declareItems(this.#group, topology);
  }

  /** Adds an item as the newest; the oldest beyond the maximum goes. */
  addItem(key: Arg, item: Arg): Block {
    return addNewest(this.#group, key, item, Helpers.genVar("id")).macro(dropOldest(this.#group, key));
  }

  /** Nothing happens when the key has no such item. */
  removeItemById(key: Arg, id: Arg): Block {
    const there = Helpers.genVar("there");
    return Block.localSelect(this.#group.items, Path.key(key).contains(id))
      .out(there)
      .ifTrue(there, removeOne(this.#group, key, id));
  }

  /** Removes all items of the key and keeps the key; ids go on where they were. */
  clearItems(key: Arg): Block {
    return clearAll(this.#group, key);
  }

  removeKey(key: Arg): Block {
    return removeKey(this.#group, key);
  }
}
