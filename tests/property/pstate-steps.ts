// One random step: a place in the schema and what is done there, for the model and the PState alike (pstate-model.test.ts).
import type { SchemaNode } from "../../src/module/schema.ts";
import { IndexedList, IndexedMap, type IndexRange } from "../../src/paths/indexed.ts";
import { type Random, anyKey, anyValue, type Keyed, textOf, modelOf, sorted, shown, read } from "./pstate-plain.ts";

export interface Step {
  /** Goes down `keys` from the top; every level is a structure, a fixed object, a plain map or a plain list. */
  readonly keys: readonly unknown[];
  readonly write: boolean;
  readonly system: (place: any) => unknown;
  readonly model: (place: any) => unknown;
}

export const subindexed = (schema: SchemaNode) => "subindexed" in schema && schema.subindexed !== undefined;

export function anyStep(r: Random, top: SchemaNode): Step {
  const keys: unknown[] = [];
  let schema = top;
  let target: { schema: SchemaNode; depth: number } = { schema: top, depth: 0 };
  for (;;) {
    if (schema.kind === "map") {
      keys.push(anyKey(r, schema.key));
      schema = schema.value;
    } else if (schema.kind === "list") {
      keys.push(r.below(4));
      schema = schema.element;
    } else if (schema.kind === "fixed") {
      const [name, field] = r.pick([...schema.fields]);
      keys.push(name);
      schema = field;
    } else break;
    if (subindexed(schema) && !r.chance(3)) target = { schema, depth: keys.length };
  }
  return actionAt(r, target.schema, keys.slice(0, target.depth), target.depth === 0);
}

export function actionAt(r: Random, schema: SchemaNode, keys: readonly unknown[], top: boolean): Step {
  const step = (write: boolean, system: Step["system"], model: Step["model"]): Step => ({ keys, write, system, model });
  switch (schema.kind) {
    case "map":
      return mapAction(r, schema, step);
    case "set":
      return setAction(r, schema, step);
    case "list":
      return listAction(r, schema, step);
    default:
      return fixedAction(r, schema as SchemaNode & { kind: "fixed" }, step, top);
  }
}

export type MakeStep = (write: boolean, system: Step["system"], model: Step["model"]) => Step;

export function anyRange(r: Random, key: any): IndexRange {
  return {
    ...(r.chance(2) ? { from: anyKey(r, key), hasFrom: true, fromExclusive: r.chance(2) } : {}),
    ...(r.chance(2) ? { to: anyKey(r, key), hasTo: true, toInclusive: r.chance(2) } : {}),
    ...(r.chance(2) ? { limit: r.below(4) } : {}),
    reverse: r.chance(2),
  };
}

export function modelRange(keyed: Keyed, range: IndexRange): { k: any; v: any }[] {
  const inside = sorted(keyed).filter(({ k }) => {
    const text = textOf(k);
    if (range.hasFrom && (range.fromExclusive ? text <= textOf(range.from) : text < textOf(range.from))) return false;
    return !(range.hasTo && (range.toInclusive ? text > textOf(range.to) : text >= textOf(range.to)));
  });
  const limit = range.limit ?? inside.length;
  return range.reverse ? inside.slice(Math.max(0, inside.length - limit)) : inside.slice(0, limit);
}

export function mapAction(r: Random, schema: SchemaNode & { kind: "map" }, step: MakeStep): Step {
  const key = anyKey(r, schema.key);
  const value = anyValue(r, schema.value);
  const range = anyRange(r, schema.key);
  switch (r.below(9)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return step(
        true,
        (m) => m.set(key, value),
        (m: Keyed) => m.set(textOf(key), { k: key, v: modelOf(schema.value, value) }),
      );
    case 4:
      return step(
        true,
        (m) => m.delete(key),
        (m: Keyed) => m.delete(textOf(key)),
      );
    case 5:
      return step(
        false,
        (m) => [m.has(key), read(schema.value, m.get(key))],
        (m: Keyed) => [m.has(textOf(key)), shown(schema.value, m.get(textOf(key))?.v)],
      );
    case 6:
      return step(
        false,
        (m) => m.range(range).map(([k, v]: any) => [k, read(schema.value, v)]),
        (m: Keyed) => modelRange(m, range).map(({ k, v }) => [k, shown(schema.value, v)]),
      );
    case 7:
      return step(
        false,
        (m) => m.size(),
        (m: Keyed) => m.size,
      );
    default:
      return r.chance(4)
        ? step(
            true,
            (m) => m.clear(),
            (m: Keyed) => m.clear(),
          )
        : step(
            true,
            (m) => m.delete(key),
            (m: Keyed) => m.delete(textOf(key)),
          );
  }
}

export function setAction(r: Random, schema: SchemaNode & { kind: "set" }, step: MakeStep): Step {
  const key = anyKey(r, schema.element);
  const range = anyRange(r, schema.element);
  switch (r.below(7)) {
    case 0:
    case 1:
    case 2:
      return step(
        true,
        (s) => s.add(key),
        (s: Keyed) => s.set(textOf(key), { k: key, v: true }),
      );
    case 3:
      return step(
        true,
        (s) => s.delete(key),
        (s: Keyed) => s.delete(textOf(key)),
      );
    case 4:
      return step(
        false,
        (s) => [s.has(key), s.size()],
        (s: Keyed) => [s.has(textOf(key)), s.size],
      );
    case 5:
      return step(
        false,
        (s) => s.range(range),
        (s: Keyed) => modelRange(s, range).map(({ k }) => k),
      );
    default:
      return r.chance(3)
        ? step(
            true,
            (s) => s.clear(),
            (s: Keyed) => s.clear(),
          )
        : step(
            true,
            (s) => s.add(key),
            (s: Keyed) => s.set(textOf(key), { k: key, v: true }),
          );
  }
}

export function listAction(r: Random, schema: SchemaNode & { kind: "list" }, step: MakeStep): Step {
  const [a, b] = [r.below(100), r.below(100)];
  const values = Array.from({ length: r.below(4) }, () => anyValue(r, schema.element));
  const cut = (size: number) => [a % (size + 1), Math.min(size, (a % (size + 1)) + (b % 3))] as const;
  const model = () => values.map((v) => modelOf(schema.element, v));
  switch (r.below(6)) {
    case 0:
      return step(
        true,
        (l) => l.splice(l.size(), l.size(), values),
        (l: any[]) => void l.push(...model()),
      );
    case 1:
      return step(
        true,
        (l) => l.splice(0, 0, values),
        (l: any[]) => void l.unshift(...model()),
      );
    case 2:
      return step(
        true,
        (l) => l.splice(...cut(l.size()), values),
        (l: any[]) => {
          const [from, to] = cut(l.length);
          l.splice(from, to - from, ...model());
        },
      );
    case 3:
      return step(
        true,
        (l) => (l.size() > 0 && values.length > 0 ? l.set(a % l.size(), values[0]) : undefined),
        (l: any[]) => {
          if (l.length > 0 && values.length > 0) l[a % l.length] = model()[0];
        },
      );
    case 4:
      return step(
        false,
        (l) => [l.size(), l.slice(...cut(l.size())).map((v: any) => read(schema.element, v))],
        (l: any[]) => [l.length, l.slice(...cut(l.length)).map((v) => shown(schema.element, v))],
      );
    default:
      return r.chance(3)
        ? step(
            true,
            (l) => l.clear(),
            (l: any[]) => void l.splice(0),
          )
        : step(
            false,
            (l) => (l.size() > 0 ? read(schema.element, l.get(a % l.size())) : null),
            (l: any[]) => (l.length > 0 ? shown(schema.element, l[a % l.length]) : null),
          );
  }
}

export function fixedAction(r: Random, schema: SchemaNode & { kind: "fixed" }, step: MakeStep, top: boolean): Step {
  const [name, field] = r.pick([...schema.fields]);
  const value = anyValue(r, field);
  if (!top) throw new Error("fixed values below the top are written whole");
  if (r.chance(4))
    return step(
      true,
      (m) => m.delete(name),
      (m) => void delete m[name],
    );
  return step(
    true,
    (m) => m.set(name, value),
    (m) => void Object.assign(m, { [name]: modelOf(field, value) }),
  );
}

/** Walks down like a path does, acts, and writes the values on the way back. */
export function actOnSystem(
  place: any,
  keys: readonly unknown[],
  act: (place: any) => unknown,
  write: boolean,
): unknown {
  if (place === null || place === undefined) return "absent";
  if (keys.length === 0) return act(place);
  const [key, ...rest] = keys;
  if (place instanceof IndexedMap || place instanceof IndexedList) {
    if (place instanceof IndexedList && (key as number) >= place.size()) return "absent";
    const element = place.get(key as never);
    const result = actOnSystem(element, rest, act, write);
    if (write && element !== null && element !== undefined) place.set(key as never, element);
    return result;
  }
  if (place instanceof Map) return actOnSystem(place.get(key), rest, act, write);
  return actOnSystem(place[key as string], rest, act, write);
}

export function actOnModel(place: any, keys: readonly unknown[], act: (place: any) => unknown): unknown {
  if (place === null || place === undefined) return "absent";
  if (keys.length === 0) return act(place);
  const [key, ...rest] = keys;
  if (place instanceof Map) return actOnModel(place.get(textOf(key))?.v, rest, act);
  return actOnModel(place[key as string], rest, act);
}
