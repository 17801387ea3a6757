// Values in which subindexed structures stand: stored with ids in the structures' places, read with handles there, written with handles that were
// read or with plain collections, which become structures. Values that hold no structures never come here.
import { RamaError } from "../base/errors.ts";
import { defineField, isPlainObject } from "../base/values.ts";
import { type Indexed, isIndexed } from "../paths/indexed.ts";
import { handleOf, structureOfHandle } from "./handle.ts";
import { Unmigrated } from "./migration.ts";
import type { Node } from "./node-cache.ts";
import { pendingHandle, unmigratedAt } from "./pending.ts";
import type { Structure } from "./structure.ts";
import type { ValueType } from "./value-type.ts";
import type { View } from "./view.ts";

/** Where a structure's id stands: in the value of element `key` of `structure`, at `steps` inside it. */
export interface Slot {
  readonly structure: Structure;
  readonly key: unknown;
  readonly steps: readonly unknown[];
}

/** Stored forms by the values that were handed out for them: writing one back unchanged is no write. */
const storedForms = new WeakMap<object, unknown>();

export function storedFormOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? storedForms.get(value) : undefined;
}

export function viewOf(view: View, type: ValueType, stored: unknown, slot: Slot): unknown {
  if (stored === null || stored === undefined) return stored;
  if (type.structure !== undefined) {
    if (stored instanceof Unmigrated) return pendingHandle(view, type, slot);
    return handleOf(view, type.structure, stored as number, slot);
  }
  const value = containerView(view, type, stored, slot);
  storedForms.set(value, stored);
  return value;
}

function below(slot: Slot, step: unknown): Slot {
  return { structure: slot.structure, key: slot.key, steps: [...slot.steps, step] };
}

function containerView(view: View, type: ValueType, stored: unknown, slot: Slot): object {
  if (type.kind === "map") {
    const map = new Map<unknown, unknown>();
    for (const [key, element] of stored as Map<unknown, unknown>)
      map.set(key, viewOf(view, type.element!, element, below(slot, key)));
    return map;
  }
  if (type.kind === "list")
    return (stored as unknown[]).map((element, i) => viewOf(view, type.element!, element, below(slot, i)));
  const object: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(stored as object)) {
    const fieldType = type.fields!.get(name);
    defineField(object, name, fieldType?.holds ? viewOf(view, fieldType, field, below(slot, name)) : field);
  }
  return object;
}

/** Ids of the structures that `stored` refers to. */
export function idsIn(type: ValueType, stored: unknown, found: Map<number, ValueType>): void {
  if (stored === null || stored === undefined) return;
  if (stored instanceof Unmigrated) return;
  if (type.structure !== undefined) found.set(stored as number, type);
  else if (type.kind === "map")
    for (const element of (stored as Map<unknown, unknown>).values()) idsIn(type.element!, element, found);
  else if (type.kind === "list") for (const element of stored as unknown[]) idsIn(type.element!, element, found);
  else if (type.kind === "fixed") {
    for (const [name, field] of Object.entries(stored as object)) {
      const fieldType = type.fields!.get(name);
      if (fieldType?.holds) idsIn(fieldType, field, found);
    }
  }
}

export function idsOf(type: ValueType, stored: unknown): Map<number, ValueType> {
  const found = new Map<number, ValueType>();
  idsIn(type, stored, found);
  return found;
}

/** Brings a value into stored form at the element `node`, which the caller has pinned. Fills structures that are new. */
export class Storing {
  readonly #view: View;
  readonly #node: Node;
  /** Structures that the element refers to now and that have not been written again yet. */
  readonly #here: Map<number, ValueType>;

  constructor(view: View, node: Node, here: Map<number, ValueType>) {
    this.#view = view;
    this.#node = node;
    this.#here = here;
  }

  store(type: ValueType, value: unknown, steps: readonly unknown[] = []): unknown {
    if (value === null || value === undefined) return null;
    if (!type.holds) return type.check(value);
    if (type.structure !== undefined) return this.#structure(type, value, steps);
    const { trail } = this.#view.partition.validator;
    const inside = (element: ValueType, v: unknown, step: unknown): unknown => {
      trail.push(step);
      const stored = this.store(element, v, [...steps, step]);
      trail.pop();
      return stored;
    };
    if (type.kind === "map") {
      const map = new Map<unknown, unknown>();
      for (const [k, v] of this.#entriesOf(value)) {
        const key = type.key!.check(k);
        map.set(key, inside(type.element!, v, key));
      }
      return map;
    }
    if (type.kind === "list") {
      if (!Array.isArray(value)) throw this.#view.partition.validator.mismatch("Array", value);
      return value.map((element, i) => inside(type.element!, element, i));
    }
    return this.#fixed(type, value, inside);
  }

  #fixed(type: ValueType, value: unknown, inside: (type: ValueType, v: unknown, step: unknown) => unknown): unknown {
    const { validator } = this.#view.partition;
    const object: Record<string, unknown> = {};
    if (!isPlainObject(value) && !(value instanceof Map)) throw validator.mismatch("Object with fixed keys", value);
    for (const [name, field] of value instanceof Map ? value : Object.entries(value)) {
      if (field === undefined) continue;
      const fieldType = type.fields!.get(name);
      if (fieldType === undefined) {
        validator.trail.push(name);
        throw validator.mismatch(`one of the keys ${[...type.fields!.keys()].join(", ")}`, field);
      }
      defineField(object, name, inside(fieldType, field, name));
    }
    return object;
  }

  #entriesOf(value: unknown): Iterable<[unknown, unknown]> {
    if (value instanceof Map) return value;
    if (isPlainObject(value)) return Object.entries(value);
    throw this.#view.partition.validator.mismatch("Map", value);
  }

  #structure(type: ValueType, value: unknown, steps: readonly unknown[]): unknown {
    if (isIndexed(value)) return unmigratedAt(value, this.#node) ?? this.#reused(value);
    const { partition } = this.#view;
    const structure = partition.newStructure(this.#view.writer(), type.structure!, this.#node);
    const slot = { structure: this.#node.structure, key: this.#node.key, steps };
    const handle = handleOf(this.#view, type.structure!, structure.id, slot);
    partition.validator.aside(() => fill(handle, value, (expected) => partition.validator.mismatch(expected, value)));
    return structure.id;
  }

  /** A structure stays where it is: only a handle that was read here may be written here. */
  #reused(handle: Indexed): number {
    const structure = structureOfHandle(handle);
    const here = structure !== undefined && structure.partition === this.#view.partition;
    if (!here || !this.#here.delete(structure.id)) {
      const { name } = this.#view.partition.spec;
      throw new RamaError(
        "STRUCTURE_NOT_A_VALUE",
        `${name}: a subindexed structure cannot be stored at another place`,
        { pstate: name },
      );
    }
    return structure.id;
  }
}

function fill(handle: Indexed, value: unknown, mismatch: (expected: string) => RamaError): void {
  if ("splice" in handle) {
    if (!Array.isArray(value)) throw mismatch("Array");
    handle.splice(0, 0, value);
  } else if ("add" in handle) {
    if (!(value instanceof Set)) throw mismatch("Set");
    for (const element of value) handle.add(element);
  } else if (value instanceof Map) for (const [key, element] of value) handle.set(key, element);
  else if (isPlainObject(value)) {
    for (const [key, element] of Object.entries(value)) if (element !== undefined) handle.set(key, element);
  } else throw mismatch("Map");
}
