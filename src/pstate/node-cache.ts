// A node is one stored key with its values as far as they are in memory; the cache bounds what the nodes of a task group weigh.
//
// A node without pins says what the Kv says (flushed = applied = current) and may be forgotten at any time; whoever needs it again reads the Kv. Pins are
// held by the running transaction, by sealed writes that are not applied yet, and by what the next flush has to write. A key that is absent has a
// node too, so that asking for it again costs no disk; such nodes weigh and go like others.
// Eviction is the clock algorithm, a few nodes per node that comes in. Pinned nodes may take the cache over its bound; the flush brings it back.
import { decodeValue } from "../base/value-codec.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { Kv } from "../storage/kv.ts";
import type { PStateObserver } from "./observer.ts";
import type { Page } from "./page.ts";
import type { Structure } from "./structure.ts";

/** In the place of a value: what `bytes` of the node holds, or else the Kv. Absent is `undefined`. */
export const UNKNOWN: unique symbol = Symbol("unknown");

/** What a node weighs beside its key and value: object, map entry, key bytes (measured with a short key: 230 bytes of heap, 400 of resident memory). */
const nodeBytes = 320;

export class Node {
  readonly structure: Structure;
  /** The element's key; of no use in nodes of a structure whose schema is not known yet, nor in `meta` and own nodes. */
  key: unknown;
  /** Element key as latin1 text, for ranges and composite keys; "" until it is needed. */
  order = "";
  current: unknown = UNKNOWN;
  applied: unknown = UNKNOWN;
  /** The newest applied value as encoded, until it is flushed: [start, end), or absent when end < start. */
  bytes: Uint8Array | undefined = undefined;
  start = 0;
  end = 0;
  pins = 0;
  /** Applied since the last flush was collected. */
  dirty = false;
  /** No longer in its structure. */
  gone = false;
  referenced = true;
  /** Last seal that saw it. */
  stamp = 0;
  /** Number of the flush that wrote it last; 0 while it has only been read. */
  flushed = 0;
  weight = nodeBytes;

  constructor(structure: Structure, key: unknown) {
    this.structure = structure;
    this.key = key;
  }

  /** The cache lets it go. */
  evict(): void {
    this.structure.evict(this);
  }
}

export class NodeCache {
  readonly kv: Kv;
  readonly classes: ClassRegistry | undefined;
  readonly bytesMax: number;
  readonly observer: PStateObserver | undefined;
  bytes = 0;
  /** Watchers of the group's partitions. */
  watchers = 0;
  /** Count of finished flushes of the group: pages read before one may lack what it wrote. */
  flushes = 0;
  /** Nodes, and pages of ranges. */
  readonly #ring: (Node | Page)[] = [];
  #hand = 0;

  constructor(kv: Kv, classes: ClassRegistry | undefined, bytesMax: number, observer?: PStateObserver) {
    this.kv = kv;
    this.classes = classes;
    this.bytesMax = bytesMax;
    this.observer = observer;
  }

  get nodes(): number {
    return this.#ring.length;
  }

  /** Takes a new node or page in, and lets others go for it. It is not looked at itself. */
  admit(node: Node | Page): void {
    this.bytes += node.weight;
    if (this.bytes > this.bytesMax) this.evict(16);
    this.#ring.push(node);
  }

  /** A value of about `bytes` encoded bytes has come into the node. */
  weigh(node: Node, bytes: number): void {
    const weight = nodeBytes + 2 * bytes;
    if (weight === node.weight) return;
    this.bytes += weight - node.weight;
    node.weight = weight;
  }

  /** Looks at up to `looks` nodes while the cache is over its bound. */
  evict(looks: number): void {
    const ring = this.#ring;
    for (let i = 0; i < looks && this.bytes > this.bytesMax && ring.length > 0; i++) {
      if (this.#hand >= ring.length) this.#hand = 0;
      const node = ring[this.#hand]!;
      if (!node.gone) {
        if (node.pins > 0 || node.referenced) {
          node.referenced = false;
          this.#hand++;
          continue;
        }
        node.evict();
        this.forget(node);
      }
      const last = ring.pop()!;
      if (last !== node) ring[this.#hand] = last;
    }
  }

  /** The node has left its structure; its place in the ring is cleared when the hand comes by. */
  forget(node: Node | Page): void {
    node.gone = true;
    this.bytes -= node.weight;
  }

  /** Finds out the values of a node that are UNKNOWN. */
  load(node: Node): void {
    let value: unknown;
    if (node.bytes !== undefined) {
      value = node.end < node.start ? undefined : this.#decode(node, node.bytes, node.start, node.end);
    } else {
      const stored = this.kv.getSync(node.structure.storedKeyOf(node));
      if (stored !== undefined) {
        value = this.#decode(node, stored, 0, stored.length);
        this.weigh(node, stored.length);
      }
    }
    this.fill(node, value);
  }

  fill(node: Node, value: unknown): void {
    if (node.applied === UNKNOWN) node.applied = value;
    if (node.current === UNKNOWN) node.current = value;
  }

  #decode(node: Node, bytes: Uint8Array, start: number, end: number): unknown {
    const { structure } = node;
    return structure.migrates
      ? structure.decode(node, bytes, start, end)
      : decodeValue(bytes, start, end, this.classes);
  }
}
