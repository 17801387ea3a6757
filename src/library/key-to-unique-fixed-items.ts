// The newest items of each key, each of them once: adding an item that is there moves it to the newest place.
//   const recent = new KeyToUniqueFixedItemsPStateGroup("$$recent", 50, String, Object).entityIdFunction(Number, (page) => page.id);
// PStates: `$$p` key → id → item, newest first; `$$pReverse` key → entity id → id. Blocks run on the task where they stand.
import { type Arg, Block, Helpers, isNotNull, Path, PState, type PStateVar, type ValueVar } from "../index.ts";
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

interface Identity {
  readonly idClass: KeyClass;
  readonly idOf: (item: any) => unknown;
}

export class KeyToUniqueFixedItemsPStateGroup {
  readonly #group: FixedItems;
  readonly #identity: Identity;
  /** key → entity id → id */
  readonly #reverse: PStateVar;

  constructor(
    pstate: PStateVar,
    max: number,
    keyClass: KeyClass,
    itemClass: KeyClass,
    settings: { readonly clearBatchSize?: number; readonly identity?: Identity } = {},
  ) {
    const group = fixedItems(pstate, max, keyClass, itemClass, settings.clearBatchSize ?? 100);
    this.#group = { ...group, forget: (key, entries) => this.#forget(key, entries) };
    this.#identity = settings.identity ?? { idClass: itemClass, idOf: (item) => item };
    this.#reverse = `${pstate}Reverse`;
  }

  /** What makes two items the same: `entityIdFunction(Number, (page) => page.id)`. Default: the item itself. */
  entityIdFunction(idClass: KeyClass, idOf: (item: any) => unknown): KeyToUniqueFixedItemsPStateGroup {
    return this.#with({ identity: { idClass, idOf } });
  }

  /** How many items `clearItems` removes at a time (100). */
  clearBatchSize(amount: number): KeyToUniqueFixedItemsPStateGroup {
    return this.#with({ clearBatchSize: amount });
  }

  #with(change: { clearBatchSize?: number; identity?: Identity }): KeyToUniqueFixedItemsPStateGroup {
    const { items, max, keyClass, itemClass, clearBatchSize } = this.#group;
    const settings = { clearBatchSize, identity: this.#identity, ...change };
    return new KeyToUniqueFixedItemsPStateGroup(items, max, keyClass, itemClass as KeyClass, settings);
  }

  declarePStates(topology: OwningTopology): void {
    declareItems(this.#group, topology);
    const ids: ValueSchema = PState.mapSchema(this.#identity.idClass, Number).subindexed();
    topology.pstate(this.#reverse, PState.mapSchema(this.#group.keyClass, ids));
  }

  /** Adds an item as the newest, or moves it there; the oldest beyond the maximum goes. */
  addItem(key: Arg, item: Arg): Block {
    const entityId = Helpers.genVar("entityId");
    const id = Helpers.genVar("id");
    const before = Helpers.genVar("before");
    return this.#entityIdOf(item, entityId)
      .localSelect(this.#reverse, Path.key(key, entityId))
      .out(before)
      .ifTrue(isNotNull(before), removeOne(this.#group, key, before))
      .macro(addNewest(this.#group, key, item, id))
      .localTransform(this.#reverse, Path.key(key, entityId).termVal(id))
      .macro(dropOldest(this.#group, key));
  }

  removeItem(key: Arg, item: Arg): Block {
    const entityId = Helpers.genVar("entityId");
    return this.#entityIdOf(item, entityId).macro(this.removeItemByEntityId(key, entityId));
  }

  removeItemByEntityId(key: Arg, entityId: Arg): Block {
    const id = Helpers.genVar("id");
    return Block.localSelect(this.#reverse, Path.key(key, entityId))
      .out(id)
      .ifTrue(
        isNotNull(id),
        removeOne(this.#group, key, id).localTransform(this.#reverse, Path.key(key, entityId).termVoid()),
      );
  }

  removeItemById(key: Arg, id: Arg): Block {
    const { items } = this.#group;
    const there = Helpers.genVar("there");
    const item = Helpers.genVar("item");
    const entityId = Helpers.genVar("entityId");
    return Block.localSelect(items, Path.key(key).contains(id))
      .out(there)
      .ifTrue(
        there,
        Block.localSelect(items, Path.key(key, id))
          .out(item)
          .macro(this.#entityIdOf(item, entityId))
          .macro(this.removeItemByEntityId(key, entityId)),
      );
  }

  /** Removes all items of the key and keeps the key; ids go on where they were. */
  clearItems(key: Arg): Block {
    return clearAll(this.#group, key);
  }

  removeKey(key: Arg): Block {
    return removeKey(this.#group, key).localTransform(this.#reverse, Path.key(key).termVoid());
  }

  #entityIdOf(item: Arg, entityId: ValueVar): Block {
    return Block.each(this.#identity.idOf, item).out(entityId);
  }

  #forget(key: Arg, entries: ValueVar): Block {
    const { idOf } = this.#identity;
    const gone = Helpers.genVar("gone");
    return Block.each((items: ReadonlyMap<number, unknown>) => [...items.values()].map(idOf), entries)
      .out(gone)
      .localTransform(this.#reverse, Path.key(key).subMapOf(gone).mapVals().termVoid());
  }
}
