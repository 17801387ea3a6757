// One partition of a PState: the structures by id, the root, and the counter of ids. See layout.ts for what is stored where.
import { assert } from "../base/assert.ts";
import { concatBytes } from "../base/bytes.ts";
import { keyLength } from "../base/key-decoding.ts";
import { isPlainObject } from "../base/values.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { PStatePartition, PStateSpec, PStateTransaction } from "./contract.ts";
import { HandlePlace } from "./handle.ts";
import { StoredMap } from "./indexed-map.ts";
import {
  HEADER_BYTES,
  idBytes,
  idEnd,
  ownKey,
  PLACE_COUNTER,
  PLACE_MIGRATION,
  PLACE_ROOT,
  PLACE_STATISTICS,
  pathHeader,
  readId,
} from "./layout.ts";
import { type MigrationRecord, PartitionMigrations } from "./migration-record.ts";
import { Node, type NodeCache, UNKNOWN } from "./node-cache.ts";
import { joinOrder, Structure, structureBytes } from "./structure.ts";
import { ObservedMap } from "./observed.ts";
import type { Transaction } from "./transaction.ts";
import type { Validator } from "./validate.ts";
import type { RootType, StructureType, ValueType } from "./value-type.ts";
import { View } from "./view.ts";
import { PartitionWatch, type Watcher } from "./watch.ts";
import { decodeValue } from "../base/value-codec.ts";

/** Id of the top-level structure until the partition is first cleared. */
const firstRootId = 0;

export class Partition implements PStatePartition {
  readonly spec: PStateSpec;
  readonly taskId: number;
  readonly cache: NodeCache;
  readonly validator: Validator;
  readonly type: RootType;
  /** Value of a leaf PState; otherwise the id of the top-level structure, absent for the first. */
  readonly root: Node;
  readonly counter: Node;
  readonly recordNode: Node;
  readonly migrations: PartitionMigrations;
  nextId: number;
  /** About how many elements there are, nested ones included: writes that did not look what was there before are not counted. */
  entries: number;
  /** Ids from here on were not in use when the last flush was collected: such a structure has nothing in the Kv. */
  #flushedNextId: number;
  /** undefined while nobody watches. */
  watched: PartitionWatch | undefined = undefined;
  readonly #structures = new Map<number, Structure>();
  readonly #own: Structure;
  /** Stands for `Structure.evictedFlush` of those that have left memory. */
  #detachedFlush = 0;
  #sweepAt = 64;

  constructor(options: { spec: PStateSpec; taskId: number; cache: NodeCache; validator: Validator; type: RootType }) {
    this.spec = options.spec;
    this.taskId = options.taskId;
    this.cache = options.cache;
    this.validator = options.validator;
    this.type = options.type;
    const { objectId } = this.spec;
    this.#own = new Structure(this, {
      id: -1,
      level: 0,
      parent: undefined,
      prefix: pathHeader(objectId, this.taskId, 0),
      complete: false,
      evictedFlush: 0,
    });
    this.root = this.#ownNode(PLACE_ROOT);
    this.counter = this.#ownNode(PLACE_COUNTER);
    this.recordNode = this.#ownNode(PLACE_MIGRATION);
    this.#own.migrates = this.type.kind === "leaf" && this.type.value.migration !== undefined;
    this.migrations = new PartitionMigrations(this.type.migrations, () => this.migrationRecord);
    const stored = this.#own.currentOf(this.counter) as number | undefined;
    this.nextId = stored ?? firstRootId + 1;
    this.#flushedNextId = stored ?? firstRootId;
    const statistics =
      stored === undefined ? undefined : this.cache.kv.getSync(ownKey(objectId, this.taskId, PLACE_STATISTICS));
    this.entries = statistics === undefined ? 0 : (decodeValue(statistics) as number);
    if (stored === undefined) {
      this.cache.fill(this.root, undefined);
      this.cache.fill(this.recordNode, undefined);
    }
  }

  #ownNode(place: number): Node {
    const node = new Node(this.#own, { place });
    node.pins = 1;
    return node;
  }

  ownKeyOf(node: Node): Uint8Array {
    return ownKey(this.spec.objectId, this.taskId, (node.key as { place: number }).place);
  }

  // ---- views

  #lastView: View | undefined;
  #lastRoot: PathRoot | undefined;

  owner(transaction: PStateTransaction, session: ReadSession): PathRoot {
    return this.#rootOf(transaction as Transaction, session);
  }

  external(session: ReadSession): PathRoot {
    return this.#rootOf(undefined, session);
  }

  #rootOf(transaction: Transaction | undefined, session: ReadSession): PathRoot {
    const last = this.#lastView;
    if (last !== undefined && last.transaction === transaction && last.session === session) return this.#lastRoot!;
    const view = new View(this, transaction, session);
    this.#lastView = view;
    this.#lastRoot = this.type.kind === "leaf" ? new LeafRoot(view) : new StructureRoot(view);
    return this.#lastRoot;
  }

  watch(watcher: Watcher, place?: { readonly key: unknown }): void {
    this.watched ??= new PartitionWatch();
    this.watched.add(watcher, place);
    this.cache.watchers++;
  }

  unwatch(watcher: Watcher, place?: { readonly key: unknown }): void {
    assert(this.watched !== undefined, "a watcher is taken away once");
    this.watched.delete(watcher, place);
    this.cache.watchers--;
    if (this.watched.size === 0) this.watched = undefined;
  }

  clear(transaction: PStateTransaction): void {
    const writer = transaction as Transaction;
    if (this.type.kind === "leaf") {
      this.#own.currentOf(this.root);
      writer.write(this.root, undefined);
      return;
    }
    const old = this.#structure(this.currentRootId(), 1, undefined);
    old.attach(this.type.structure);
    writer.write(this.root, this.#allocate(writer));
    writer.drop(old);
  }

  currentRootId(): number {
    return (this.#own.currentOf(this.root) as number | undefined) ?? firstRootId;
  }

  rootStructure(view: View): Structure {
    const id = (view.valueOf(this.root) as number | undefined) ?? firstRootId;
    const structure = this.#structure(id, 1, undefined);
    structure.attach((this.type as { structure: StructureType }).structure);
    return structure;
  }

  /** The type of the node, when it is the root of a leaf PState whose value is stamped. */
  migratedRoot(node: Node): ValueType | undefined {
    return node === this.root && this.type.kind === "leaf" && this.#own.migrates ? this.type.value : undefined;
  }

  get migrationRecord(): MigrationRecord | undefined {
    return this.#own.currentOf(this.recordNode) as MigrationRecord | undefined;
  }

  // ---- structures

  #allocate(transaction: Transaction): number {
    const id = this.nextId++;
    transaction.write(this.counter, this.nextId);
    return id;
  }

  /** A new, empty structure below the element `node`. */
  newStructure(transaction: Transaction, type: StructureType, node: Node): Structure {
    return this.structureUnder(type, this.#allocate(transaction), node);
  }

  structureUnder(type: StructureType, id: number, node: Node): Structure {
    return this.structureAt(type, id, node.structure, node.key);
  }

  structureAt(type: StructureType, id: number, parent: Structure, key: unknown): Structure {
    let structure = this.#structures.get(id);
    if (structure === undefined) {
      const host = parent.gone ? this.revive(parent) : parent;
      structure = this.#add(id, host.level + 1, host, this.#childPath(host, key));
    }
    structure.attach(type);
    return structure;
  }

  /** Path of the element that structures hang under; those of a list's elements hang under null, as elements move. */
  #childPath(parent: Structure, key: unknown): Uint8Array {
    if (parent.type?.kind === "list") return joinOrder(parent.prefix, "\x02").subarray(HEADER_BYTES + 1);
    const element = parent.peek(key) ?? new Node(parent, key);
    return parent.storedKeyOf(element).subarray(HEADER_BYTES + 1);
  }

  #structure(id: number, level: number, parent: Structure | undefined, path: Uint8Array = emptyPath): Structure {
    return this.#structures.get(id) ?? this.#add(id, level, parent, path);
  }

  #add(id: number, level: number, parent: Structure | undefined, path: Uint8Array): Structure {
    if (this.#structures.size >= this.#sweepAt) this.#sweep();
    const header = pathHeader(this.spec.objectId, this.taskId, level);
    const structure = new Structure(this, {
      id,
      level,
      parent,
      prefix: concatBytes(header, path, idBytes(id)),
      complete: id >= this.#flushedNextId,
      evictedFlush: this.#detachedFlush,
    });
    this.#structures.set(id, structure);
    return structure;
  }

  /** Structures without nodes in memory are found again when they are needed. */
  #sweep(): void {
    for (const structure of this.#structures.values()) {
      if (structure.empty) this.detach(structure);
    }
    this.#sweepAt = 2 * this.#structures.size + 64;
  }

  detach(structure: Structure): void {
    if (structure.level === 0 || structure.gone) return;
    structure.gone = true;
    if (structure.evictedFlush > this.#detachedFlush) this.#detachedFlush = structure.evictedFlush;
    this.#structures.delete(structure.id);
    this.cache.bytes -= structureBytes;
    const { parent } = structure;
    parent?.removeChild(structure);
    if (parent?.empty) this.detach(parent);
  }

  /** The object that now stands for a structure whose object has left memory. */
  revive(gone: Structure): Structure {
    const parent = gone.parent?.gone ? this.revive(gone.parent) : gone.parent;
    const idLength = idBytes(gone.id).length;
    const path = gone.prefix.subarray(HEADER_BYTES + 1, gone.prefix.length - idLength);
    const structure = this.#structure(gone.id, gone.level, parent, path);
    if (gone.type !== undefined) structure.attach(gone.type);
    return structure;
  }

  // ---- entries of the log

  /** The node at the place [from, to) of an entry. */
  nodeAtPlace(bytes: Uint8Array, from: number, to: number): Node {
    const level = bytes[from]!;
    if (level === 0) {
      const place = bytes[from + 1]!;
      if (place === PLACE_MIGRATION) return this.recordNode;
      assert(place <= PLACE_COUNTER, "an entry writes root, counter and migration record only");
      return place === PLACE_ROOT ? this.root : this.counter;
    }
    const [structure, at] = this.#structureAtPlace(bytes, from, to);
    return structure.nodeAt(bytes, at, to);
  }

  #structureAtPlace(bytes: Uint8Array, from: number, to: number): [Structure, number] {
    const level = bytes[from]!;
    const start = from + 1;
    let at = start;
    let structure: Structure | undefined;
    for (let depth = 1; ; depth++) {
      const path = bytes.subarray(start, at);
      const id = readId(bytes, at);
      at = idEnd;
      structure = this.#structures.get(id) ?? this.#add(id, depth, structure, path.slice());
      if (depth === 1 && structure.type === undefined && this.type.kind === "structure")
        structure.attach(this.type.structure);
      if (depth === level) break;
      at += keyLength(bytes, at);
    }
    assert(at <= to, "a place ends inside its path");
    return [structure, at];
  }

  /** The structure whose path is the place [from, to), if it is in memory. */
  structureNamed(bytes: Uint8Array, from: number, to: number): Structure {
    return this.#structureAtPlace(bytes, from, to)[0];
  }

  /** Ids that were given later are in use: the counter does not go back, whatever order two topologies' writes are applied in. */
  isCounterBack(node: Node, next: unknown): boolean {
    if (node !== this.counter) return false;
    const applied = this.#own.appliedOf(node);
    return typeof applied === "number" && (next === undefined || (next as number) < applied);
  }

  /** A node of its own has been replaced by an entry of the log. */
  replacedOwn(): void {
    this.migrations.replaced();
    const next = this.#own.appliedOf(this.counter);
    if (typeof next === "number" && next > this.nextId) this.nextId = next;
  }

  /** All applied writes up to now are in the batch that is being collected. */
  collected(): void {
    this.#flushedNextId = this.nextId;
  }
}

const emptyPath = new Uint8Array(0);

/** A leaf PState: the partition is one value. */
class LeafRoot implements PathRoot {
  readonly #view: View;

  constructor(view: View) {
    this.#view = view;
  }

  get(): unknown {
    const { partition } = this.#view;
    const { observer } = partition.cache;
    if (observer?.on) {
      observer.pathBegan(partition);
      observer.read(partition);
    }
    const stored = this.#view.valueOf(partition.root);
    return stored === undefined ? (partition.spec.initialValue ?? null) : stored;
  }

  set(value: unknown): void {
    const { partition } = this.#view;
    partition.validator.beginRoot();
    const type = (partition.type as { value: { check(value: unknown): unknown } }).value;
    const stored = type.check(value);
    if (partition.root.current === UNKNOWN) this.#view.valueOf(partition.root);
    this.#view.writer().write(partition.root, stored);
  }
}

class StructureRoot implements PathRoot {
  readonly #view: View;
  #handle: StoredMap | undefined;

  constructor(view: View) {
    this.#view = view;
  }

  get(): StoredMap {
    const { partition } = this.#view;
    const id = (this.#view.valueOf(partition.root) as number | undefined) ?? firstRootId;
    if (partition.cache.observer?.on) return this.#observed();
    let handle = this.#handle;
    if (handle === undefined || handle.place.structure.id !== id) {
      handle = new StoredMap(new HandlePlace(this.#view, partition.rootStructure(this.#view), undefined));
      this.#handle = handle;
    }
    return handle;
  }

  #observed(): StoredMap {
    const { partition } = this.#view;
    partition.cache.observer!.pathBegan(partition);
    return new ObservedMap(new HandlePlace(this.#view, partition.rootStructure(this.#view), undefined));
  }

  /** A handle of this root is no change; a Map or object replaces all there is. */
  set(value: unknown): void {
    const { partition } = this.#view;
    if (value instanceof StoredMap && value.place.view.partition === partition && value.place.slot === undefined)
      return;
    partition.validator.beginRoot();
    const entries = value instanceof Map ? [...value] : isPlainObject(value) ? Object.entries(value) : undefined;
    if (entries === undefined && value !== null && value !== undefined)
      throw partition.validator.mismatch("Map", value);
    partition.clear(this.#view.writer());
    const handle = this.get();
    for (const [key, element] of entries ?? []) if (element !== undefined) handle.set(key, element);
  }
}
