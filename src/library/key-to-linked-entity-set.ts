// A set for each key that remembers the order in which its entities came.
//   const followers = new KeyToLinkedEntitySetPStateGroup("$$followers", String, Object).entityIdFunction(String, (f) => f.name);
// PStates: `$$p` key → entity id → id, for membership and size (`view(Ops.SIZE)`); `$$pById` key → id → entity, for pages in order. Ids are numbers from a counter
// of the task (private `$$pId`), so that the order holds over keys of one task, too. Blocks run on the task where they stand.
import { type Arg, Block, Helpers, isNotNull, Path, PState, type PStateVar } from "../index.ts";
import type { KeyClass, OwningTopology } from "./declaring.ts";
import { TaskUniqueIdPState } from "./unique-ids.ts";

interface LinkedSettings {
  readonly descending: boolean;
  readonly idClass: KeyClass;
  readonly idOf: (entity: any) => unknown;
}

export class KeyToLinkedEntitySetPStateGroup {
  readonly #pstate: PStateVar;
  readonly #byId: PStateVar;
  readonly #keyClass: KeyClass;
  readonly #entityClass: KeyClass;
  readonly #settings: LinkedSettings;
  readonly #ids: TaskUniqueIdPState;

  constructor(pstate: PStateVar, keyClass: KeyClass, entityClass: KeyClass, settings: Partial<LinkedSettings> = {}) {
    this.#pstate = pstate;
    this.#byId = `${pstate}ById`;
    this.#keyClass = keyClass;
    this.#entityClass = entityClass;
    this.#settings = { descending: false, idClass: entityClass, idOf: (entity) => entity, ...settings };
    const ids = new TaskUniqueIdPState(`${pstate}Id`);
    this.#ids = this.#settings.descending ? ids.descending() : ids;
  }

  /** What makes two entities the same: `entityIdFunction(String, (follower) => follower.name)`. Default: the entity itself. */
  entityIdFunction(idClass: KeyClass, idOf: (entity: any) => unknown): KeyToLinkedEntitySetPStateGroup {
    return this.#with({ idClass, idOf });
  }

  /** Newest first: ids go down from 2^53 - 1. */
  descending(): KeyToLinkedEntitySetPStateGroup {
    return this.#with({ descending: true });
  }

  #with(change: Partial<LinkedSettings>): KeyToLinkedEntitySetPStateGroup {
    const settings = { ...this.#settings, ...change };
    return new KeyToLinkedEntitySetPStateGroup(this.#pstate, this.#keyClass, this.#entityClass, settings);
  }

  declarePStates(topology: OwningTopology): void {
    const { idClass } = this.#settings;
    const ids = PState.mapSchema(idClass, Number).subindexed();
    const entities = PState.mapSchema(Number, this.#entityClass).subindexed();
    topology.pstate(this.#pstate, PState.mapSchema(this.#keyClass, ids));
    topology.pstate(this.#byId, PState.mapSchema(this.#keyClass, entities));
    this.#ids.declarePStates(topology);
  }

  /** Adds the entity at the end. One that is there is replaced and moves to the end, with a new id. */
  addToLinkedSet(key: Arg, entity: Arg): Block {
    const entityId = Helpers.genVar("entityId");
    const before = Helpers.genVar("before");
    const id = Helpers.genVar("id");
    return Block.each(this.#settings.idOf, entity)
      .out(entityId)
      .localSelect(this.#pstate, Path.key(key, entityId))
      .out(before)
      .ifTrue(isNotNull(before), Block.localTransform(this.#byId, Path.key(key, before).termVoid()))
      .macro(this.#ids.genId(id))
      .localTransform(this.#pstate, Path.key(key, entityId).termVal(id))
      .localTransform(this.#byId, Path.key(key, id).termVal(entity));
  }

  removeFromLinkedSet(key: Arg, entity: Arg): Block {
    const entityId = Helpers.genVar("entityId");
    return Block.each(this.#settings.idOf, entity)
      .out(entityId)
      .macro(this.removeFromLinkedSetByEntityId(key, entityId));
  }

  /** Nothing happens when the key has no such entity. */
  removeFromLinkedSetByEntityId(key: Arg, entityId: Arg): Block {
    const id = Helpers.genVar("id");
    return Block.localSelect(this.#pstate, Path.key(key, entityId))
      .out(id)
      .ifTrue(
        isNotNull(id),
        Block.localTransform(this.#pstate, Path.key(key, entityId).termVoid()).localTransform(
          this.#byId,
          Path.key(key, id).termVoid(),
        ),
      );
  }

  /** Goes on only if the key has had an entity since it was last removed. */
  filterKeyExists(key: Arg): Block {
    const there = Helpers.genVar("there");
    return Block.localSelect(this.#pstate, Path.contains(key)).out(there).keepTrue(there);
  }

  removeKey(key: Arg): Block {
    return Block.localTransform(this.#pstate, Path.key(key).termVoid()).localTransform(
      this.#byId,
      Path.key(key).termVoid(),
    );
  }
}
