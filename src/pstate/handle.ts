// Handles: what navigators are given for structures. A handle is made per read and belongs to one view; it finds its structure again when that has left
// memory meanwhile.
import { assert } from "../base/assert.ts";
import type { Indexed } from "../paths/indexed.ts";
import { StoredList } from "./indexed-list.ts";
import { StoredMap } from "./indexed-map.ts";
import { StoredSet } from "./indexed-set.ts";
import { observedHandle } from "./observed.ts";
import { settled } from "./pending.ts";
import type { Slot } from "./stored-value.ts";
import type { Structure } from "./structure.ts";
import type { StructureType } from "./value-type.ts";
import type { View } from "./view.ts";

export function handleOf(view: View, type: StructureType, id: number, slot: Slot): Indexed {
  const place = new HandlePlace(view, view.partition.structureAt(type, id, slot.structure, slot.key), slot);
  if (view.partition.cache.observer?.on) return observedHandle(place, type);
  if (type.kind === "list") return new StoredList(place);
  return type.kind === "set" ? new StoredSet(place) : new StoredMap(place);
}

export function structureOfHandle(handle: Indexed): Structure | undefined {
  const live = settled(handle);
  const stored = live instanceof StoredMap || live instanceof StoredSet || live instanceof StoredList;
  return stored ? live.place.structure : undefined;
}

/** Which structure a handle stands for. */
export class HandlePlace {
  readonly view: View;
  /** undefined for the top level. */
  readonly slot: Slot | undefined;
  #structure: Structure;

  constructor(view: View, structure: Structure, slot: Slot | undefined) {
    this.view = view;
    this.#structure = structure;
    this.slot = slot;
  }

  get structure(): Structure {
    const structure = this.#structure;
    if (!structure.gone) return structure;
    this.#structure = structure.partition.revive(structure);
    return this.#structure;
  }

  /** Empties the structure: a new one takes its place. */
  clear(): void {
    const transaction = this.view.writer();
    const { partition } = this.view;
    const old = this.structure;
    if (this.slot === undefined) {
      partition.clear(transaction);
      this.#structure = partition.rootStructure(this.view);
      return;
    }
    const node = this.slot.structure.gone
      ? partition.revive(this.slot.structure).node(this.slot.key)
      : this.slot.structure.node(this.slot.key);
    node.pins++;
    this.#structure = partition.newStructure(transaction, old.type!, node);
    transaction.write(node, replaced(node.structure.currentOf(node), this.slot.steps, 0, old.id, this.#structure.id));
    transaction.drop(old);
    node.pins--;
  }
}

/** The stored value with another id at the place that `steps` lead to. */
function replaced(stored: unknown, steps: readonly unknown[], at: number, oldId: number, newId: number): unknown {
  if (at === steps.length) {
    assert(stored === oldId, "a structure is cleared at the place where it stands");
    return newId;
  }
  const step = steps[at];
  if (stored instanceof Map) return new Map(stored).set(step, replaced(stored.get(step), steps, at + 1, oldId, newId));
  if (Array.isArray(stored))
    return stored.with(step as number, replaced(stored[step as number], steps, at + 1, oldId, newId));
  const fields = stored as Record<string, unknown>;
  return { ...fields, [step as string]: replaced(fields[step as string], steps, at + 1, oldId, newId) };
}
