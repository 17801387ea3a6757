// Subindexed sets: each element is a stored key of its own.
import { IndexedSet, type IndexRange } from "../paths/indexed.ts";
import type { HandlePlace } from "./handle.ts";
import { resize, sizeOf } from "./indexed-map.ts";
import { countRange, scanRange } from "./range.ts";

export class StoredSet extends IndexedSet {
  readonly place: HandlePlace;

  constructor(place: HandlePlace) {
    super();
    this.place = place;
  }

  has(element: unknown): boolean {
    const { view, structure } = this.place;
    const normal = structure.type!.key.normal(element);
    const node = structure.peek(normal);
    if (node === undefined && structure.covers(normal)) return false;
    return view.valueOf(node ?? structure.node(normal)) !== undefined;
  }

  add(element: unknown): void {
    const { view, structure } = this.place;
    view.partition.validator.begin(element, structure);
    const type = structure.type!;
    const node = structure.node(type.key.check(element));
    const added = type.tracked && structure.currentOf(node) === undefined;
    view.writer().write(node, true);
    if (added) resize(this.place, structure, 1);
  }

  delete(element: unknown): void {
    const { view, structure } = this.place;
    const type = structure.type!;
    const normal = type.key.normal(element);
    const found = structure.peek(normal);
    if (found === undefined && structure.covers(normal)) return;
    const node = found ?? structure.node(normal);
    const removed = type.tracked && structure.currentOf(node) !== undefined;
    view.writer().write(node, undefined);
    if (removed) resize(this.place, structure, -1);
  }

  size(): number {
    const { view, structure } = this.place;
    return structure.type!.tracked ? sizeOf(this.place, structure) : countRange(view, structure);
  }

  range(range: IndexRange): unknown[] {
    const { view, structure } = this.place;
    const elements: unknown[] = [];
    scanRange(view, structure, range, (key) => elements.push(key));
    return elements;
  }

  clear(): void {
    this.place.clear();
  }
}
