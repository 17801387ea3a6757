// Subindexed lists. The element at index i has the key `first + i`; `[first, size]` stands in the meta element. So a write at either end touches one element
// and the meta; a change in the middle moves the shorter side.
//
// Structures inside elements do not move with them: below a list all structures hang under the key null (Partition.structureAt).
import { RamaError } from "../base/errors.ts";
import { IndexedList } from "../paths/indexed.ts";
import type { HandlePlace } from "./handle.ts";
import type { Node } from "./node-cache.ts";
import { scanRange } from "./range.ts";
import { idsIn, idsOf, Storing, storedFormOf, viewOf } from "./stored-value.ts";
import type { Structure } from "./structure.ts";
import type { ValueType } from "./value-type.ts";

/** Slices up to this long read element by element: no range, no wait. */
const shortSlice = 64;

type Extent = readonly [first: number, size: number];
const nothing: Extent = [0, 0];

export class StoredList extends IndexedList {
  readonly place: HandlePlace;

  constructor(place: HandlePlace) {
    super();
    this.place = place;
  }

  #extent(): Extent {
    return (this.place.view.valueOf(this.place.structure.metaNode()) as Extent | undefined) ?? nothing;
  }

  size(): number {
    return this.#extent()[1];
  }

  get(index: number): unknown {
    const [first, size] = this.#extent();
    if (!Number.isInteger(index) || index < 0 || index >= size) throw outside(index, size);
    return this.#at(first + index);
  }

  #at(position: number): unknown {
    const { view, structure } = this.place;
    return this.#viewed(structure, position, view.valueOf(structure.node(position)));
  }

  #viewed(structure: Structure, position: number, stored: unknown): unknown {
    const { element } = structure.type!;
    if (!element.holds) return stored;
    return viewOf(this.place.view, element, stored, { structure, key: position, steps: [] });
  }

  set(index: number, value: unknown): void {
    const [first, size] = this.#extent();
    if (!Number.isInteger(index) || index < 0 || index >= size) throw outside(index, size);
    this.place.view.partition.validator.begin(index, this.place.structure);
    this.#put(first + index, value);
  }

  #put(position: number, value: unknown): void {
    const { view, structure } = this.place;
    const { element } = structure.type!;
    if (!element.holds) {
      view.writer().write(structure.node(position), element.check(value));
      return;
    }
    const node = structure.node(position);
    node.pins++;
    try {
      const old = structure.currentOf(node);
      if (old !== undefined && storedFormOf(value) === old) return;
      const next = new Storing(view, node, idsOf(element, old)).store(element, value);
      view.writer().write(node, next);
      this.#drop(node, idsOf(element, old), idsOf(element, next));
    } finally {
      node.pins--;
    }
  }

  #drop(node: Node, before: Map<number, ValueType>, after: Map<number, ValueType>): void {
    const { structure } = node;
    const transaction = this.place.view.writer();
    for (const [id, type] of before) {
      if (!after.has(id)) transaction.drop(structure.partition.structureUnder(type.structure!, id, node));
    }
  }

  slice(from: number, to: number): unknown[] {
    const [first, size] = this.#extent();
    const start = Math.max(0, from);
    const end = Math.min(size, to);
    const elements: unknown[] = [];
    if (end - start <= shortSlice) {
      for (let i = start; i < end; i++) elements.push(this.#at(first + i));
      return elements;
    }
    const { view, structure } = this.place;
    const positions: number[] = [];
    scanRange(view, structure, { from: first + start, to: first + end }, (position, stored) => {
      positions.push(position as number);
      elements.push(stored);
    });
    return elements.map((stored, i) => this.#viewed(structure, positions[i]!, stored));
  }

  splice(from: number, to: number, elements: readonly unknown[]): void {
    const [first, size] = this.#extent();
    if (from < 0 || to < from || to > size) throw outside(from < 0 || from > size ? from : to, size);
    const { validator } = this.place.view.partition;
    const { element } = this.place.structure.type!;
    const kept = Math.min(to - from, elements.length);
    const grow = elements.length - (to - from);
    const lost = new Map<number, ValueType>();
    if (grow < 0 && element.holds) this.#noteIds(first + from + kept, first + to, lost);
    const start = grow === 0 ? first : this.#shift(first, size, from + kept, grow);
    for (let i = 0; i < elements.length; i++) {
      validator.begin(from + i, this.place.structure);
      this.#put(start + from + i, elements[i]);
    }
    if (lost.size > 0) this.#drop(this.place.structure.metaNode(), lost, new Map());
  }

  #noteIds(from: number, to: number, found: Map<number, ValueType>): void {
    const { structure } = this.place;
    for (let position = from; position < to; position++) {
      idsIn(structure.type!.element, structure.currentOf(structure.node(position)), found);
    }
  }

  /** Opens (or closes, when negative) a gap of `grow` at index `at`; returns the new first position. The gap's elements are left empty. */
  #shift(first: number, size: number, at: number, grow: number): number {
    const after = grow > 0 ? at : at - grow;
    const moveTail = size - after <= at;
    const start = moveTail ? first : first - grow;
    if (moveTail) {
      const move = (i: number) => this.#move(first + i, first + i + grow);
      if (grow > 0) for (let i = size - 1; i >= after; i--) move(i);
      else for (let i = after; i < size; i++) move(i);
      for (let i = size + grow; i < size; i++) this.#erase(first + i);
    } else {
      const move = (i: number) => this.#move(first + i, start + i);
      if (grow > 0) for (let i = 0; i < at; i++) move(i);
      else for (let i = at - 1; i >= 0; i--) move(i);
      for (let i = first; i < start; i++) this.#erase(i);
    }
    const gapStart = start + at;
    if (this.place.structure.type!.element.holds) for (let i = 0; i < grow; i++) this.#erase(gapStart + i);
    const meta = this.place.structure.metaNode();
    this.place.structure.currentOf(meta);
    this.place.view.writer().write(meta, [start, size + grow]);
    return start;
  }

  #move(from: number, to: number): void {
    const { structure, view } = this.place;
    const stored = structure.currentOf(structure.node(from));
    view.writer().write(structure.node(to), stored);
  }

  #erase(position: number): void {
    this.place.view.writer().write(this.place.structure.node(position), undefined);
  }

  clear(): void {
    this.place.clear();
  }
}

function outside(index: number, size: number): RamaError {
  return new RamaError("INDEX_OUT_OF_RANGE", `index ${index} of a list of ${size}`, { index, size });
}
