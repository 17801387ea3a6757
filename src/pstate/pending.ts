// Handles of collections that a migration makes subindexed and that are stored whole yet. Read, they are sorted structures in memory; the first write below makes the
// real structure, as part of the writer's transaction. Each operation asks the slot again, so that a handle does not mind when that has happened meanwhile.
import { IndexedList, IndexedMap, type IndexRange, IndexedSet, type Indexed } from "../paths/indexed.ts";
import { structureOf } from "../paths/plain-indexed.ts";
import type { SchemaHint } from "../paths/spec.ts";
import { handleOf } from "./handle.ts";
import { Unmigrated } from "./migration.ts";
import type { Node } from "./node-cache.ts";
import { type Slot, Storing } from "./stored-value.ts";
import type { ValueType } from "./value-type.ts";
import type { View } from "./view.ts";

/** What has been sorted for a value stays with it. */
const sorted = new WeakMap<Unmigrated, Indexed>();

class PendingPlace {
  constructor(
    readonly view: View,
    readonly type: ValueType,
    readonly slot: Slot,
  ) {}

  get node(): Node {
    const { structure, key } = this.slot;
    return (structure.gone ? structure.partition.revive(structure) : structure).node(key);
  }

  reading(): Indexed {
    const { view, type, slot } = this;
    const stored = view.valueOf(this.node);
    if (!(stored instanceof Unmigrated)) return handleOf(view, type.structure!, stored as number, slot);
    // Handles of structures inside would be of the copy in memory: a writer makes the real ones at once.
    if (view.owner && type.structure!.levels > 0) return this.writing();
    let indexed = sorted.get(stored);
    if (indexed === undefined) {
      indexed = structureOf(type.migration!.schema as SchemaHint, stored.value);
      sorted.set(stored, indexed);
    }
    return indexed;
  }

  writing(): Indexed {
    const { view, type, slot, node } = this;
    const stored = view.valueOf(node);
    const id = stored instanceof Unmigrated ? makeSubindexed(view, type, node, stored) : (stored as number);
    return handleOf(view, type.structure!, id, slot);
  }
}

/** Puts the elements into a structure of their own, in place of the collection. */
export function makeSubindexed(view: View, type: ValueType, node: Node, unmigrated: Unmigrated): number {
  const { validator } = view.partition;
  // Filling it brings nodes into the cache: this one must not go meanwhile.
  node.pins++;
  try {
    let id = 0;
    validator.aside(() => {
      validator.begin(node.key, node.structure.level === 0 ? undefined : node.structure);
      id = new Storing(view, node, new Map()).store(type, unmigrated.value) as number;
    });
    view.writer().write(node, id);
    return id;
  } finally {
    node.pins--;
  }
}

export function pendingHandle(view: View, type: ValueType, slot: Slot): Indexed {
  const place = new PendingPlace(view, type, slot);
  if (type.kind === "list") return new PendingList(place);
  return type.kind === "set" ? new PendingSet(place) : new PendingMap(place);
}

/** The handle of the structure, if there is one by now. */
export function settled(handle: Indexed): Indexed {
  if (!(handle instanceof PendingMap || handle instanceof PendingSet || handle instanceof PendingList)) return handle;
  const { view, node } = handle.place;
  return view.valueOf(node) instanceof Unmigrated ? handle : handle.place.reading();
}

/** What the handle stands for, when it stands at `node` and nothing has been written below it. */
export function unmigratedAt(handle: Indexed, node: Node): Unmigrated | undefined {
  if (!(handle instanceof PendingMap || handle instanceof PendingSet || handle instanceof PendingList))
    return undefined;
  if (handle.place.node !== node) return undefined;
  const stored = handle.place.view.valueOf(node);
  return stored instanceof Unmigrated ? stored : undefined;
}

export class PendingMap extends IndexedMap {
  constructor(readonly place: PendingPlace) {
    super();
  }

  get #read(): IndexedMap {
    return this.place.reading() as IndexedMap;
  }
  get #write(): IndexedMap {
    return this.place.writing() as IndexedMap;
  }
  get(key: unknown): unknown {
    return this.#read.get(key);
  }
  has(key: unknown): boolean {
    return this.#read.has(key);
  }
  size(): number {
    return this.#read.size();
  }
  range(range: IndexRange): [unknown, unknown][] {
    return this.#read.range(range);
  }
  set(key: unknown, value: unknown): void {
    this.#write.set(key, value);
  }
  delete(key: unknown): void {
    this.#write.delete(key);
  }
  clear(): void {
    this.#write.clear();
  }
}

export class PendingSet extends IndexedSet {
  constructor(readonly place: PendingPlace) {
    super();
  }

  get #read(): IndexedSet {
    return this.place.reading() as IndexedSet;
  }
  get #write(): IndexedSet {
    return this.place.writing() as IndexedSet;
  }
  has(element: unknown): boolean {
    return this.#read.has(element);
  }
  size(): number {
    return this.#read.size();
  }
  range(range: IndexRange): unknown[] {
    return this.#read.range(range);
  }
  add(element: unknown): void {
    this.#write.add(element);
  }
  delete(element: unknown): void {
    this.#write.delete(element);
  }
  clear(): void {
    this.#write.clear();
  }
}

export class PendingList extends IndexedList {
  constructor(readonly place: PendingPlace) {
    super();
  }

  get #read(): IndexedList {
    return this.place.reading() as IndexedList;
  }
  get #write(): IndexedList {
    return this.place.writing() as IndexedList;
  }
  get(index: number): unknown {
    return this.#read.get(index);
  }
  size(): number {
    return this.#read.size();
  }
  slice(from: number, to: number): unknown[] {
    return this.#read.slice(from, to);
  }
  set(index: number, value: unknown): void {
    this.#write.set(index, value);
  }
  splice(from: number, to: number, elements: readonly unknown[]): void {
    this.#write.splice(from, to, elements);
  }
  clear(): void {
    this.#write.clear();
  }
}
