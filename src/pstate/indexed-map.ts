// Maps stored element by element: the top level of a PState (also with fixed keys) and subindexed maps.
import type { RamaError } from "../base/errors.ts";
import { IndexedMap, type IndexRange } from "../paths/indexed.ts";
import type { HandlePlace } from "./handle.ts";
import type { Node } from "./node-cache.ts";
import { countRange, scanRange } from "./range.ts";
import { idsOf, Storing, storedFormOf, viewOf } from "./stored-value.ts";
import type { Structure } from "./structure.ts";
import type { StructureType, ValueType } from "./value-type.ts";

export class StoredMap extends IndexedMap {
  readonly place: HandlePlace;

  constructor(place: HandlePlace) {
    super();
    this.place = place;
  }

  get(key: unknown): unknown {
    const { view, structure } = this.place;
    const type = structure.type!;
    // NaN is not a key; it takes the slow way to its error.
    // biome-ignore lint/suspicious/noSelfCompare: a test for NaN
    const normal = typeof key === type.key.fast && key === key ? key : type.key.normal(key);
    let node = structure.peek(normal);
    if (node === undefined) {
      if (structure.covers(normal)) return undefined;
      node = structure.node(normal);
    } else node.referenced = true;
    const stored = view.valueOf(node);
    if (stored === undefined || stored === null) return stored;
    const element = structure.valueType(normal);
    return element.holds ? viewOf(view, element, stored, { structure, key: normal, steps: [] }) : stored;
  }

  has(key: unknown): boolean {
    const { view, structure } = this.place;
    const normal = structure.type!.key.normal(key);
    const node = structure.peek(normal);
    if (node === undefined && structure.covers(normal)) return false;
    return view.valueOf(node ?? structure.node(normal)) !== undefined;
  }

  set(key: unknown, value: unknown): void {
    const { structure } = this.place;
    const type = structure.type!;
    // biome-ignore lint/suspicious/noSelfCompare: a test for NaN
    const plain = typeof key === type.key.fast && key === key && type.fields === undefined;
    if (!plain || typeof value !== type.element.fast) {
      this.#setChecked(structure, key, value);
      return;
    }
    const node = structure.node(key);
    this.#write(structure, node, value);
  }

  #write(structure: Structure, node: Node, stored: unknown): void {
    const transaction = this.place.view.writer();
    if (!structure.type!.tracked) {
      transaction.write(node, stored);
      return;
    }
    const added = structure.currentOf(node) === undefined;
    transaction.write(node, stored);
    if (added) resize(this.place, structure, 1);
  }

  #setChecked(structure: Structure, key: unknown, value: unknown): void {
    const { validator } = this.place.view.partition;
    validator.begin(key, structure);
    const type = structure.type!;
    const stored = type.key.check(key);
    const element =
      type.fields === undefined ? type.element : fieldType(type, stored, validator.mismatch.bind(validator));
    if (!element.holds) {
      this.#write(structure, structure.node(stored), element.check(value));
      return;
    }
    const node = structure.node(stored);
    // Making structures below it brings nodes into the cache: this one must not go meanwhile.
    node.pins++;
    try {
      const old = structure.currentOf(node);
      if (old !== undefined && storedFormOf(value) === old) return;
      const next = new Storing(this.place.view, node, idsOf(element, old)).store(element, value);
      this.#write(structure, node, next);
      this.#dropLost(structure, node, element, old, next);
    } finally {
      node.pins--;
    }
  }

  /** Structures that the old value had and the new one has not are gone. */
  #dropLost(structure: Structure, node: Node, type: ValueType, old: unknown, next: unknown): void {
    const before = idsOf(type, old);
    if (before.size === 0) return;
    const after = idsOf(type, next);
    const transaction = this.place.view.writer();
    for (const [id, lost] of before) {
      if (!after.has(id)) transaction.drop(structure.partition.structureUnder(lost.structure!, id, node));
    }
  }

  delete(key: unknown): void {
    const { structure } = this.place;
    const type = structure.type!;
    const normal = type.key.normal(key);
    const found = structure.peek(normal);
    if (found === undefined && structure.covers(normal)) return;
    const node = found ?? structure.node(normal);
    const element = structure.valueType(normal);
    if (!type.tracked && !element.holds) {
      this.place.view.writer().write(node, undefined);
      return;
    }
    const old = structure.currentOf(node);
    if (old === undefined) return;
    this.place.view.writer().write(node, undefined);
    if (element.holds) this.#dropLost(structure, node, element, old, undefined);
    if (type.tracked) resize(this.place, structure, -1);
  }

  size(): number {
    const { view, structure } = this.place;
    return structure.type!.tracked ? sizeOf(this.place, structure) : countRange(view, structure);
  }

  range(range: IndexRange): [unknown, unknown][] {
    const { view, structure } = this.place;
    const entries: [unknown, unknown][] = [];
    scanRange(view, structure, range, (key, stored) => entries.push([key, stored]));
    for (const entry of entries) {
      const element = structure.valueType(entry[0]);
      if (element.holds) entry[1] = viewOf(view, element, entry[1], { structure, key: entry[0], steps: [] });
    }
    return entries;
  }

  clear(): void {
    this.place.clear();
  }
}

function fieldType(
  type: StructureType,
  name: unknown,
  mismatch: (expected: string, value: unknown) => RamaError,
): ValueType {
  const found = type.fields!.get(name as string);
  if (found === undefined) throw mismatch(`one of the keys ${[...type.fields!.keys()].join(", ")}`, name);
  return found;
}

export function sizeOf(place: HandlePlace, structure: Structure): number {
  return (place.view.valueOf(structure.metaNode()) as number | undefined) ?? 0;
}

export function resize(place: HandlePlace, structure: Structure, difference: number): void {
  const meta = structure.metaNode();
  const size = (structure.currentOf(meta) as number | undefined) ?? 0;
  place.view.writer().write(meta, size + difference);
}
