// Handles that tell the observer what is read through them (observer.ts); otherwise the same as those that they extend. Made only while it looks.
import type { IndexRange } from "../paths/indexed.ts";
import type { HandlePlace } from "./handle.ts";
import { StoredList } from "./indexed-list.ts";
import { StoredMap } from "./indexed-map.ts";
import { StoredSet } from "./indexed-set.ts";
import type { StructureType } from "./value-type.ts";

export function observedHandle(place: HandlePlace, type: StructureType): StoredMap | StoredSet | StoredList {
  if (type.kind === "list") return new ObservedList(place);
  return type.kind === "set" ? new ObservedSet(place) : new ObservedMap(place);
}

function tellRead<T>({ view }: HandlePlace, result: T): T {
  const { partition, session } = view;
  const observer = partition.cache.observer!;
  observer.read(partition);
  if (session.missed) observer.missed();
  return result;
}

function tellRange<T>({ view }: HandlePlace, elements: T[]): T[] {
  const { partition, session } = view;
  const observer = partition.cache.observer!;
  observer.ranged(partition, elements.length);
  if (session.missed) observer.missed();
  return elements;
}

export class ObservedMap extends StoredMap {
  override get(key: unknown): unknown {
    return tellRead(this.place, super.get(key));
  }
  override has(key: unknown): boolean {
    return tellRead(this.place, super.has(key));
  }
  override size(): number {
    return tellRead(this.place, super.size());
  }
  override range(range: IndexRange): [unknown, unknown][] {
    return tellRange(this.place, super.range(range));
  }
}

class ObservedSet extends StoredSet {
  override has(element: unknown): boolean {
    return tellRead(this.place, super.has(element));
  }
  override size(): number {
    return tellRead(this.place, super.size());
  }
  override range(range: IndexRange): unknown[] {
    return tellRange(this.place, super.range(range));
  }
}

class ObservedList extends StoredList {
  override get(index: number): unknown {
    return tellRead(this.place, super.get(index));
  }
  override size(): number {
    return tellRead(this.place, super.size());
  }
  override slice(from: number, to: number): unknown[] {
    return tellRange(this.place, super.slice(from, to));
  }
}
