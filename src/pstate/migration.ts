// Values that `PState.migrated` changes. Whatever is written at such a place carries the migration's stamp (base/value-codec.ts, tag 12), so that a value is
// changed exactly once, whoever reads it first and however often the module restarts meanwhile:
//   stamped with the stamp of the place's migration    it is as the schema says
//   anything else                                      an older value; the author's function makes the new one, each time it is decoded, until it is written again
// The stamp is a hash of place, id and generation: the same on every replica. The generation grows when an id is left out of the schema, so that it may come again
// for other values (migration-record.ts).
//
// A collection that becomes subindexed is `Unmigrated` in memory until it is first written below, or its turn in the background comes (pending.ts).
import { RamaError, messageOf } from "../base/errors.ts";
import { murmur3 } from "../base/hash.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { ByteWriter } from "../base/value-bytes.ts";
import { TAG_STAMPED } from "../base/value-tags.ts";
import { defineField, isPlainObject } from "../base/values.ts";
import type { SchemaNode } from "../module/schema.ts";
import type { Node } from "./node-cache.ts";
import type { Structure } from "./structure.ts";
import type { ValueType } from "./value-type.ts";

export interface ValueMigration {
  readonly id: string;
  /** Where in the schema it stands; with the id it names the migration. */
  readonly place: string;
  readonly migrate: (value: unknown) => unknown;
  readonly removedKeys: readonly string[];
  /** The new schema. */
  readonly schema: SchemaNode;
  /** Checks the new value as one that is stored whole; only of a collection that becomes subindexed. */
  readonly whole: ((value: unknown) => unknown) | undefined;
}

/** In the place of a structure's id: the collection, in its new form, that is still stored whole. */
export class Unmigrated {
  constructor(readonly value: unknown) {}
}

/** Stands for a subindexed structure inside a value that a migration changes: to be kept where it is, and of no other use. */
export class SubindexedReference {
  readonly #id: number;

  constructor(id: number) {
    this.#id = id;
    Object.freeze(this);
  }

  static idOf(reference: SubindexedReference): number {
    return reference.#id;
  }
}

export function nameOf({ place, id }: ValueMigration): string {
  return `${place} ${id}`;
}

export function stampOf(migration: ValueMigration, generation: number): number {
  const text = new TextEncoder().encode(`${nameOf(migration)} ${generation}`);
  return murmur3(text, text.length);
}

export function writeStamp(writer: ByteWriter, stamp: number): void {
  writer.u8(TAG_STAMPED);
  writer.u32(stamp);
}

/** undefined: no stamp. */
export function stampIn(bytes: Uint8Array, start: number): number | undefined {
  if (bytes[start] !== TAG_STAMPED) return undefined;
  return (bytes[start + 1]! | (bytes[start + 2]! << 8) | (bytes[start + 3]! << 16) | (bytes[start + 4]! << 24)) >>> 0;
}

/** What stands at [start, end), in the form of the place's schema. `key`: of the element, for messages. */
export function decodeMigrating(
  structure: Structure,
  type: ValueType,
  key: unknown,
  bytes: Uint8Array,
  start: number,
  end: number,
): unknown {
  const { partition } = structure;
  const stored = decodeValue(bytes, start, end, partition.cache.classes);
  const { migration } = type;
  if (migration === undefined) return stored;
  const stamp = stampIn(bytes, start);
  if (stamp === partition.migrations.stampOf(migration)) return stored;
  // A structure's id is always stamped: it has been written under a migration.
  if (type.structure !== undefined && stamp !== undefined && typeof stored === "number") return stored;
  let made: unknown;
  partition.validator.aside(() => {
    partition.validator.begin(key, structure.level === 0 ? undefined : structure);
    made = migrate(structure, type, migration, stored, key);
  });
  return made;
}

function migrate(
  structure: Structure,
  type: ValueType,
  migration: ValueMigration,
  old: unknown,
  key: unknown,
): unknown {
  const { validator, spec } = structure.partition;
  const holds = type.structure === undefined && type.holds;
  const references = new Set<number>();
  const given = holds ? withReferences(type, old, references) : old;
  let made: unknown;
  try {
    made = without(migration.removedKeys, migration.migrate(given));
  } catch (error) {
    const message = `${spec.name} at ${String(key)}: migration ${migration.id} threw: ${messageOf(error)}`;
    throw new RamaError("USER_CODE_FAILED", message, { pstate: spec.name, migration: migration.id }, error);
  }
  if (made === null || made === undefined) made = null;
  if (type.structure !== undefined) return made === null ? null : new Unmigrated(migration.whole!(made));
  if (!holds) return type.check(made);
  const back = withIds(type, made, references, (what, value) => validator.mismatch(what, value));
  if (references.size > 0) {
    const message = `${spec.name} at ${String(key)}: migration ${migration.id} loses a subindexed structure; it has to stay in its field`;
    throw new RamaError("USER_CODE_FAILED", message, { pstate: spec.name, migration: migration.id });
  }
  return back;
}

function without(keys: readonly string[], value: unknown): unknown {
  if (keys.length === 0 || !isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !keys.includes(name)));
}

/** Ids become references, so that the author's function can do nothing but move them on. */
function withReferences(type: ValueType, stored: unknown, references: Set<number>): unknown {
  if (stored === null || stored === undefined || !type.holds) return stored;
  if (type.structure !== undefined) {
    references.add(stored as number);
    return new SubindexedReference(stored as number);
  }
  const inside = (element: ValueType, value: unknown) => withReferences(element, value, references);
  if (stored instanceof Map) return new Map([...stored].map(([key, value]) => [key, inside(type.element!, value)]));
  if (Array.isArray(stored)) return stored.map((value) => inside(type.element!, value));
  if (!isPlainObject(stored)) return stored;
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(stored)) {
    const field = type.fields?.get(name);
    defineField(fields, name, field === undefined ? value : inside(field, value));
  }
  return fields;
}

function withIds(
  type: ValueType,
  value: unknown,
  references: Set<number>,
  mismatch: (what: string, value: unknown) => RamaError,
): unknown {
  if (value === null || value === undefined) return null;
  if (!type.holds) return type.check(value);
  const inside = (element: ValueType, given: unknown) => withIds(element, given, references, mismatch);
  if (type.structure !== undefined) {
    if (!(value instanceof SubindexedReference) || !references.delete(SubindexedReference.idOf(value)))
      throw mismatch("the subindexed structure that was there", value);
    return SubindexedReference.idOf(value);
  }
  if (type.kind === "list") {
    if (!Array.isArray(value)) throw mismatch("Array", value);
    return value.map((element) => inside(type.element!, element));
  }
  if (type.kind === "map") {
    if (!(value instanceof Map)) throw mismatch("Map", value);
    return new Map([...value].map(([key, element]) => [type.key!.check(key), inside(type.element!, element)]));
  }
  const entries = value instanceof Map ? [...value] : isPlainObject(value) ? Object.entries(value) : undefined;
  if (entries === undefined) throw mismatch("Object with fixed keys", value);
  const fields: Record<string, unknown> = {};
  for (const [name, given] of entries) {
    if (given === undefined) continue;
    const field = type.fields!.get(name);
    if (field === undefined) throw mismatch(`one of the keys ${[...type.fields!.keys()].join(", ")}`, name);
    defineField(fields, name, inside(field, given));
  }
  return fields;
}

/** What the newest bytes of a clean or flushed node say, beside its value: whether they are as the schema says. */
export function isMigrated(node: Node, migration: ValueMigration): boolean {
  const { structure } = node;
  const { bytes } = node;
  if (bytes !== undefined) {
    return node.end < node.start || stampIn(bytes, node.start) === structure.partition.migrations.stampOf(migration);
  }
  const stored = structure.cache.kv.getSync(structure.storedKeyOf(node));
  return stored === undefined || stampIn(stored, 0) === structure.partition.migrations.stampOf(migration);
}
