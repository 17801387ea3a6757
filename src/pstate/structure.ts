// One structure whose elements are stored one by one: the top level of a partition or a subindexed structure below it. Finds the node of an element.
//
// Nodes are looked up by the key itself where that is a primitive (a native Map lookup, nothing is encoded), otherwise by its encoded form. The sorted
// index exists from the first range on. A structure is known by its id; its object may be dropped when none of its nodes is in memory, which its
// users notice by `gone` and ask the partition again.
import { latin1Of } from "../base/bytes.ts";
import { encodeKey, KeyWriter } from "../base/key-encoding.ts";
import { decodedKeyEnd, decodeKey } from "../base/key-decoding.ts";
import { decodeValue } from "../base/value-codec.ts";
import { Coverage } from "./coverage.ts";
import type { ByteWriter } from "../base/value-bytes.ts";
import { HEADER_BYTES, idEnd, readId, writePlace } from "./layout.ts";
import { decodeMigrating } from "./migration.ts";
import { Node, type NodeCache, UNKNOWN } from "./node-cache.ts";
import { type Page, StructurePages } from "./page.ts";
import type { Partition } from "./partition.ts";
import { SortedIndex } from "./sorted-index.ts";
import type { StructureType, ValueType } from "./value-type.ts";

const keys = new KeyWriter(256);

/** What a structure weighs beside its nodes (measured: 790 bytes of heap). */
export const structureBytes = 900;

/** Key of the node that holds a structure's size. */
export const META: unique symbol = Symbol("meta");

export class Structure {
  readonly partition: Partition;
  readonly cache: NodeCache;
  readonly id: number;
  /** How many structures deep, the top level being 1; 0 for the partition's own nodes. */
  readonly level: number;
  /** The structure that holds the element that this one belongs to. */
  readonly parent: Structure | undefined;
  /** What stands before the element key in the stored keys. */
  readonly prefix: Uint8Array;
  /** Unknown as long as the structure is only seen in entries of the log. */
  type: StructureType | undefined = undefined;
  /** Some of its values are stamped (migration.ts). */
  migrates = false;
  meta: Node | undefined = undefined;
  readonly coverage: Coverage;
  // What `covers` has said last.
  #coversKey: unknown = undefined;
  #coversVersion = -1;
  #coversIt = false;
  #children: Set<Structure> | undefined;
  index: SortedIndex<Node> | undefined = undefined;
  /** Of the cache. */
  pages: StructurePages | undefined = undefined;
  /** The newest flush that wrote a node which has left memory: pages read before it are not to be trusted. */
  evictedFlush: number;
  gone = false;
  /** Without a meta node in memory there is none in the Kv either. */
  #metaKnown: boolean;
  readonly #byKey = new Map<unknown, Node>();
  /** Nodes with composite keys, and all nodes while `type` is unknown; by encoded key. */
  #byBytes: Map<string, Node> | undefined;

  constructor(
    partition: Partition,
    place: {
      id: number;
      level: number;
      parent: Structure | undefined;
      prefix: Uint8Array;
      complete: boolean;
      evictedFlush: number;
    },
  ) {
    this.partition = partition;
    this.cache = partition.cache;
    this.id = place.id;
    this.level = place.level;
    this.parent = place.parent;
    this.prefix = place.prefix;
    this.coverage = new Coverage(place.complete);
    this.#metaKnown = place.complete;
    this.evictedFlush = place.evictedFlush;
    place.parent?.addChild(this);
    this.cache.bytes += structureBytes;
  }

  get nodeCount(): number {
    return this.#byKey.size + (this.#byBytes?.size ?? 0) + (this.meta === undefined ? 0 : 1);
  }

  /** Nothing of it or below it is in memory. */
  get empty(): boolean {
    return this.nodeCount === 0 && (this.#children?.size ?? 0) === 0 && (this.pages?.empty ?? true);
  }

  addChild(child: Structure): void {
    this.#children ??= new Set();
    this.#children.add(child);
  }

  removeChild(child: Structure): void {
    this.#children?.delete(child);
  }

  *#nodes(): Iterable<Node> {
    yield* this.#byKey.values();
    if (this.#byBytes !== undefined) yield* this.#byBytes.values();
  }

  #fileByBytes(order: string, node: Node): void {
    this.#byBytes ??= new Map();
    this.#byBytes.set(order, node);
  }

  /** The node in memory; undefined says nothing about the Kv. `key` is normal (KeyType.normal). */
  peek(key: unknown): Node | undefined {
    if (typeof key === "object" && key !== null) return this.#byBytes?.get(latin1Of(encodeKey(key)));
    return this.#byKey.get(key);
  }

  /** A key of it (normal) without a node is absent. A key that is new is looked for before it is written: the answer is kept for that. */
  covers(key: unknown): boolean {
    const { coverage } = this;
    if (coverage.complete) return true;
    if (coverage.empty || key === undefined) return false;
    if (key !== this.#coversKey || typeof key === "object" || coverage.version !== this.#coversVersion) {
      this.#coversKey = key;
      this.#coversVersion = coverage.version;
      this.#coversIt = coverage.contains(latin1Of(encodeKey(key)));
    }
    return this.#coversIt;
  }

  /** The node, made when it is not in memory. Its values may be UNKNOWN. */
  node(key: unknown): Node {
    if (typeof key === "object" && key !== null) return this.#composite(key);
    const found = this.#byKey.get(key);
    if (found !== undefined) {
      found.referenced = true;
      return found;
    }
    const node = new Node(this, key);
    this.#byKey.set(key, node);
    this.#take(node);
    return node;
  }

  #composite(key: object): Node {
    const order = latin1Of(encodeKey(key));
    let node = this.#byBytes?.get(order);
    if (node === undefined) {
      node = new Node(this, key);
      node.order = order;
      this.#fileByBytes(order, node);
      this.#take(node);
    }
    node.referenced = true;
    return node;
  }

  #take(node: Node): void {
    if (this.covers(node.key)) {
      node.current = undefined;
      node.applied = undefined;
    }
    this.index?.insert(this.ordered(node));
    this.cache.admit(node);
  }

  /** The node whose encoded key stands at [from, to). */
  nodeAt(bytes: Uint8Array, from: number, to: number): Node {
    if (from === to) return this.metaNode();
    if (this.type !== undefined) return this.node(this.#decodeKey(bytes, from));
    const order = latin1Of(bytes, from, to);
    let node = this.#byBytes?.get(order);
    if (node === undefined) {
      node = new Node(this, undefined);
      node.order = order;
      this.#fileByBytes(order, node);
      this.#take(node);
    }
    return node;
  }

  #decodeKey(bytes: Uint8Array, from: number): unknown {
    return decodeKey(bytes, from, this.type!.key.leaf, this.cache.classes);
  }

  metaNode(): Node {
    let node = this.meta;
    if (node === undefined) {
      node = new Node(this, META);
      this.meta = node;
      if (this.#metaKnown) {
        node.current = undefined;
        node.applied = undefined;
      }
      this.cache.admit(node);
    }
    node.referenced = true;
    return node;
  }

  /** Learns the schema: nodes that came by their bytes are filed by their keys. */
  attach(type: StructureType): void {
    if (this.type !== undefined) return;
    this.type = type;
    this.migrates = type.migrates;
    if (this.#byBytes === undefined) return;
    const nodes = [...this.#byBytes.values()];
    this.#byBytes = undefined;
    for (const node of nodes) {
      const storedKey = this.storedKeyOf(node);
      node.key = this.#decodeKey(storedKey, this.prefix.length);
      if (typeof node.key === "object" && node.key !== null) this.#fileByBytes(node.order, node);
      else this.#byKey.set(node.key, node);
    }
  }

  valueType(key: unknown): ValueType {
    const type = this.type!;
    return type.fields === undefined ? type.element : (type.fields.get(key as string) ?? type.element);
  }

  /** The value of a node of a structure that `migrates`. */
  decode(node: Node, bytes: Uint8Array, start: number, end: number): unknown {
    const type = this.migratedType(node);
    if (type === undefined) return decodeValue(bytes, start, end, this.cache.classes);
    return decodeMigrating(this, type, node.key, bytes, start, end);
  }

  /** The type of a node whose values are stamped. */
  migratedType(node: Node): ValueType | undefined {
    if (this.level === 0) return this.partition.migratedRoot(node);
    if (node.key === META) return undefined;
    const type = this.valueType(node.key);
    return type.migration === undefined ? undefined : type;
  }

  /** The whole key in the Kv. Not kept: an array of its own per node costs more, in time and memory, than encoding the key again. */
  storedKeyOf(node: Node): Uint8Array {
    if (this.level === 0) return this.partition.ownKeyOf(node);
    if (node.key === META) return this.prefix;
    if (node.order !== "") return joinOrder(this.prefix, node.order);
    keys.reset();
    keys.raw(this.prefix);
    keys.key(node.key);
    return keys.take();
  }

  /** Writes length and bytes of the node's place. */
  writePlace(writer: ByteWriter, node: Node): void {
    if (typeof node.key !== "string" && typeof node.key !== "number") {
      writePlace(writer, this.storedKeyOf(node));
      return;
    }
    const { prefix } = this;
    keys.reset();
    keys.key(node.key);
    const length = prefix.length - HEADER_BYTES + keys.length;
    writer.reserve(length + 8);
    writer.varint(length);
    const { bytes } = writer;
    let at = writer.length;
    for (let i = HEADER_BYTES; i < prefix.length; i++) bytes[at++] = prefix[i]!;
    const encoded = keys.bytes;
    if (keys.length < 48) for (let i = 0; i < keys.length; i++) bytes[at++] = encoded[i]!;
    else bytes.set(keys.view(), at);
    writer.length += length;
  }

  /** Keys of the elements on the way to this structure, for messages. */
  keysAbove(): unknown[] {
    const found: unknown[] = [];
    let at = HEADER_BYTES + 1;
    for (let level = 1; level < this.level; level++) {
      readId(this.prefix, at);
      found.push(decodeKey(this.prefix, idEnd));
      at = decodedKeyEnd();
    }
    return found;
  }

  /** The node with its `order` filled in. */
  ordered(node: Node): Node {
    if (node.order === "") node.order = latin1Of(this.storedKeyOf(node), this.prefix.length);
    return node;
  }

  sorted(): SortedIndex<Node> {
    if (this.index === undefined) {
      const nodes: Node[] = [];
      for (const node of this.#nodes()) nodes.push(this.ordered(node));
      this.index = SortedIndex.of(nodes);
    }
    return this.index;
  }

  addPage(page: Page): void {
    this.pages ??= new StructurePages();
    if (this.pages.add(page)) this.cache.admit(page);
  }

  /**
   * Nodes for the elements of a page. Those that have one already are left alone.
   * The coverage comes first, so that it is cut again for each that has to leave at once.
   */
  adopt(page: Page): void {
    this.coverage.add(page.from, page.to);
    const bytesEach = page.weight / Math.max(1, page.count);
    for (let i = 0; i < page.count; i++) {
      const key = page.keyAt(i);
      const order = page.orderAt(i);
      const composite = typeof key === "object" && key !== null;
      if (composite ? this.#byBytes?.has(order) : this.#byKey.has(key)) continue;
      const node = new Node(this, key);
      node.order = order;
      node.current = page.storedAt(i, key);
      node.applied = node.current;
      node.weight += bytesEach;
      if (composite) this.#fileByBytes(order, node);
      else this.#byKey.set(key, node);
      this.index?.insert(node);
      this.cache.admit(node);
    }
  }

  /** The cache lets a clean node go. */
  evict(node: Node): void {
    if (node.flushed > this.evictedFlush) this.evictedFlush = node.flushed;
    if (node.key === META) {
      this.meta = undefined;
      this.#metaKnown = false;
    } else {
      this.index?.delete(node);
      if (node.applied !== undefined && !this.coverage.empty) this.coverage.cut(this.ordered(node).order);
      if (node.flushed > 0 && this.pages !== undefined) this.#outdate(node);
      if (this.type === undefined || (typeof node.key === "object" && node.key !== null))
        this.#byBytes?.delete(node.order);
      else this.#byKey.delete(node.key);
    }
    this.emptied();
  }

  /** The page that was read before the flush that wrote the node would be wrong without it. */
  #outdate(node: Node): void {
    const page = this.pages!.at(this.ordered(node).order);
    if (page === undefined || page.flushes >= node.flushed) return;
    this.pages!.delete(page);
    this.cache.forget(page);
  }

  /** Something of it has left memory. */
  emptied(): void {
    if (this.empty) this.partition.detach(this);
  }

  /** Everything here and below leaves memory: the structure has been removed for good. */
  discard(): void {
    for (const child of this.#children ?? []) child.discard();
    for (const node of this.#nodes()) this.cache.forget(node);
    this.#byKey.clear();
    this.#byBytes = undefined;
    if (this.meta !== undefined) this.cache.forget(this.meta);
    this.meta = undefined;
    this.index = undefined;
    for (const page of this.pages ?? []) this.cache.forget(page);
    this.pages = undefined;
    this.coverage.clear();
    this.partition.detach(this);
  }

  /** An element came or went, for the partition's statistics. */
  count(node: Node, difference: number): void {
    if (this.level > 0 && node.key !== META) this.partition.entries += difference;
  }

  /** Value for the owner; undefined when absent. */
  currentOf(node: Node): unknown {
    if (node.current === UNKNOWN) this.cache.load(node);
    return node.current;
  }

  /** Value for everyone else. */
  appliedOf(node: Node): unknown {
    if (node.applied === UNKNOWN) this.cache.load(node);
    return node.applied;
  }
}

/** `prefix` followed by the bytes of a latin1 text. */
export function joinOrder(prefix: Uint8Array, order: string): Uint8Array {
  const bytes = new Uint8Array(prefix.length + order.length);
  bytes.set(prefix);
  for (let i = 0, at = prefix.length; i < order.length; i++) bytes[at++] = order.charCodeAt(i);
  return bytes;
}
