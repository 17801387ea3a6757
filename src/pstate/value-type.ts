// Schemas made ready for use: for each place of a schema how a value is checked on its way in, whether subindexed structures are referred to from inside
// it, and for structures what their keys and elements are. Made once per PState when its partitions are opened.
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import type { AnyLeaf, MigratedSchema, SchemaNode } from "../module/schema.ts";
import type { ValueMigration } from "./migration.ts";
import { mapArray, mapElements, mapEntries, mapFields, mapOf, narrowed, type Validator } from "./validate.ts";

export interface KeyType {
  /** `typeof` of the keys that are stored as they are. */
  readonly fast: string;
  readonly leaf: AnyLeaf;
  /** The key to store; SCHEMA_MISMATCH, NOT_A_KEY for NaN. */
  check(key: unknown): unknown;
  /** The same for a lookup: never an error because of the schema. */
  normal(key: unknown): unknown;
}

export interface ValueType {
  readonly kind: "leaf" | "map" | "set" | "list" | "fixed";
  /** `typeof` of the values that need no check; "" when there is none. */
  readonly fast: string;
  /** The value is itself a subindexed structure. */
  readonly structure?: StructureType;
  /** Subindexed structures stand in it or somewhere inside. */
  readonly holds: boolean;
  readonly key?: KeyType;
  /** Elements of a map or list that is stored whole. */
  readonly element?: ValueType;
  readonly fields?: ReadonlyMap<string, ValueType>;
  /** Only for values that hold no structures. */
  check(value: unknown): unknown;
  /** Older values are changed as they come from the store. */
  readonly migration?: ValueMigration;
}

export interface StructureType {
  readonly kind: "map" | "set" | "list" | "fixed";
  readonly key: KeyType;
  /** Elements; of a fixed structure see `fields`. */
  readonly element: ValueType;
  readonly fields?: ReadonlyMap<string, ValueType>;
  /** Size is kept in the meta element. Always so for lists. */
  readonly tracked: boolean;
  /** Levels of structures that may stand below its elements. */
  readonly levels: number;
  /** Its elements are migrated. */
  readonly migrates: boolean;
  /** Its elements, or those of a structure somewhere below. */
  readonly migratesBelow: boolean;
}

export type RootType = (
  | { readonly kind: "leaf"; readonly value: ValueType }
  | { readonly kind: "structure"; readonly structure: StructureType }
) & { readonly migrations: readonly ValueMigration[] };

export function rootTypeOf(schema: SchemaNode, validator: Validator, deep: boolean): RootType {
  const compiler = new TypeCompiler(validator, deep);
  const { migrations } = compiler;
  const node = schema.kind === "migrated" ? schema.to : schema;
  if (node.kind === "map") {
    const key = compiler.key(node.key);
    const structure = structureType({ kind: "map", key, tracked: false }, compiler.inside("*", node.value));
    return { kind: "structure", structure, migrations };
  }
  if (node.kind === "fixed") return { kind: "structure", structure: compiler.fixedRoot(node.fields), migrations };
  if (node.kind !== "leaf") {
    throw new RamaError("BAD_SCHEMA", "the top level of a PState is a map, fixed keys or a class", { kind: node.kind });
  }
  return { kind: "leaf", value: compiler.value(schema), migrations };
}

function structureType(
  made: Pick<StructureType, "kind" | "key" | "tracked">,
  element: ValueType,
  fields?: ReadonlyMap<string, ValueType>,
): StructureType {
  const inside = fields === undefined ? [element] : [...fields.values()];
  return {
    ...made,
    element,
    ...(fields === undefined ? {} : { fields }),
    levels: Math.max(0, ...inside.map(levelsOf)),
    migrates: inside.some((type) => type.migration !== undefined),
    migratesBelow: inside.some(migratesIn),
  };
}

/** The value, or elements of a structure below it. */
function migratesIn(type: ValueType): boolean {
  if (type.migration !== undefined) return true;
  if (type.structure !== undefined) return type.structure.migratesBelow;
  return [...(type.element === undefined ? [] : [type.element]), ...(type.fields?.values() ?? [])].some(migratesIn);
}

export function levelsOf(type: ValueType): number {
  if (type.structure !== undefined) return 1 + type.structure.levels;
  let levels = type.element === undefined ? 0 : levelsOf(type.element);
  for (const field of type.fields?.values() ?? []) levels = Math.max(levels, levelsOf(field));
  return levels;
}

const fastTypes = new Map<unknown, string>([
  [String, "string"],
  [Number, "number"],
  [Boolean, "boolean"],
  [BigInt, "bigint"],
]);

const present: ValueType = { kind: "leaf", fast: "boolean", holds: false, check: () => true };

class TypeCompiler {
  readonly migrations: ValueMigration[] = [];
  readonly #validator: Validator;
  readonly #deep: boolean;
  /** Steps from the top, for the names of migrations. */
  #place = "";

  constructor(validator: Validator, deep: boolean) {
    this.#validator = validator;
    this.#deep = deep;
  }

  fixedRoot(fields: ReadonlyMap<string, SchemaNode>): StructureType {
    const types = new Map([...fields].map(([name, node]) => [name, this.inside(name, node)] as const));
    return structureType({ kind: "fixed", key: this.key(String), tracked: false }, present, types);
  }

  /** The type of what is one step below. */
  inside(step: string, node: SchemaNode): ValueType {
    const place = this.#place;
    this.#place = `${place}/${step}`;
    const type = this.value(node);
    this.#place = place;
    return type;
  }

  value(node: SchemaNode): ValueType {
    switch (node.kind) {
      case "leaf":
        return {
          kind: "leaf",
          fast: fastTypes.get(node.type) ?? "",
          holds: false,
          check: this.#validator.leaf(node.type),
        };
      case "migrated":
        return this.#migrated(node);
      case "map":
        return this.#map(this.key(node.key), this.inside("*", node.value), node.subindexed);
      case "set":
        return this.#set(this.key(node.element), node.subindexed);
      case "list":
        return this.#list(this.inside("*", node.element), node.subindexed);
      case "fixed":
        return this.#fixed(new Map([...node.fields].map(([name, field]) => [name, this.inside(name, field)] as const)));
    }
  }

  #migrated({ id, to, migrate, options }: MigratedSchema): ValueType {
    const type = this.value(to);
    const { removedKeys } = options;
    const whole =
      type.structure === undefined ? undefined : new TypeCompiler(this.#validator, true).value(asWhole(to)).check;
    const migration: ValueMigration = { id, place: this.#place, migrate, removedKeys, schema: to, whole };
    this.migrations.push(migration);
    return { ...type, migration };
  }

  #structure(kind: "map" | "set" | "list", key: KeyType, element: ValueType, sizeTracking: boolean): ValueType {
    const tracked = sizeTracking || kind === "list";
    const structure = structureType({ kind, key, tracked }, element);
    return { kind, fast: "", structure, holds: true, check: neverChecked };
  }

  #map(key: KeyType, element: ValueType, subindexed: { sizeTracking: boolean } | undefined): ValueType {
    if (subindexed !== undefined) return this.#structure("map", key, element, subindexed.sizeTracking);
    const { trail } = this.#validator;
    return {
      kind: "map",
      fast: "",
      key,
      element,
      holds: element.holds,
      check: (value) => {
        if (value === null || value === undefined) return null;
        const map = this.asMap(value);
        return this.#deep
          ? mapEntries(
              map,
              (k) => key.check(k),
              (v) => element.check(v),
              trail,
            )
          : this.#validator.anything(map);
      },
    };
  }

  asMap(value: unknown): Map<unknown, unknown> {
    if (value instanceof Map) return value;
    if (isPlainObject(value)) return mapOf(value);
    throw this.#validator.mismatch("Map", value);
  }

  #set(key: KeyType, subindexed: { sizeTracking: boolean } | undefined): ValueType {
    if (subindexed !== undefined) return this.#structure("set", key, present, subindexed.sizeTracking);
    return {
      kind: "set",
      fast: "",
      key,
      holds: false,
      check: (value) => {
        if (value === null || value === undefined) return null;
        if (!(value instanceof Set)) throw this.#validator.mismatch("Set", value);
        return this.#deep ? mapElements(value, (element) => key.check(element)) : this.#validator.anything(value);
      },
    };
  }

  #list(element: ValueType, subindexed: { sizeTracking: boolean } | undefined): ValueType {
    if (subindexed !== undefined) return this.#structure("list", this.key(Number), element, true);
    const { trail } = this.#validator;
    return {
      kind: "list",
      fast: "",
      element,
      holds: element.holds,
      check: (value) => {
        if (value === null || value === undefined) return null;
        if (!Array.isArray(value)) throw this.#validator.mismatch("Array", value);
        return this.#deep ? mapArray(value, (v) => element.check(v), trail) : this.#validator.anything(value);
      },
    };
  }

  #fixed(fields: ReadonlyMap<string, ValueType>): ValueType {
    const { trail } = this.#validator;
    return {
      kind: "fixed",
      fast: "",
      fields,
      holds: [...fields.values()].some((field) => field.holds),
      check: (value) => {
        if (value === null || value === undefined) return null;
        const object = this.asObject(value);
        return mapFields(object, (field, name) => this.field(fields, name, field).check(field), trail);
      },
    };
  }

  asObject(value: unknown): Record<string, unknown> {
    if (isPlainObject(value)) return value;
    if (value instanceof Map && [...value.keys()].every((key) => typeof key === "string")) {
      return Object.fromEntries(value);
    }
    throw this.#validator.mismatch("Object with fixed keys", value);
  }

  field(fields: ReadonlyMap<string, ValueType>, name: string, value: unknown): ValueType {
    const type = fields.get(name);
    if (type === undefined) throw this.#validator.mismatch(`one of the keys ${[...fields.keys()].join(", ")}`, value);
    return type;
  }

  key(leaf: AnyLeaf): KeyType {
    const check = this.#validator.leaf(leaf);
    const normal = leaf === BigInt ? bigintKey : leaf === Number ? numberKey : anyKey;
    // Under Object, numbers may have to become bigints and strings never change.
    const fast = fastTypes.get(leaf) ?? "string";
    return {
      fast: leaf === Object || fastTypes.has(leaf) ? fast : "",
      leaf,
      check: (key) => normal(check(key)),
      normal,
    };
  }
}

/** The schema of the same values when all of them are stored whole, without migrations. */
function asWhole(node: SchemaNode): SchemaNode {
  switch (node.kind) {
    case "leaf":
      return node;
    case "migrated":
      return asWhole(node.to);
    case "map":
      return { kind: "map", key: node.key, value: asWhole(node.value) };
    case "set":
      return { kind: "set", element: node.element };
    case "list":
      return { kind: "list", element: asWhole(node.element) };
    case "fixed":
      return { kind: "fixed", fields: new Map([...node.fields].map(([name, field]) => [name, asWhole(field)])) };
  }
}

function neverChecked(): never {
  throw new RamaError("INTERNAL", "a structure was checked as a value");
}

function numberKey(key: unknown): unknown {
  if (key === undefined) return null;
  if (typeof key === "number") return refuseNaN(key);
  return typeof key === "bigint" && BigInt(Number(key)) === key ? Number(key) : key;
}

function bigintKey(key: unknown): unknown {
  if (key === undefined) return null;
  return typeof key === "number" && Number.isInteger(key) ? BigInt(key) : key;
}

function anyKey(key: unknown): unknown {
  if (key === undefined) return null;
  if (typeof key === "bigint") return narrowed(key);
  if (typeof key !== "number") return key;
  refuseNaN(key);
  return Number.isInteger(key) && !Number.isSafeInteger(key) ? BigInt(key) : key;
}

function refuseNaN(key: number): number {
  if (Number.isNaN(key)) throw new RamaError("NOT_A_KEY", "NaN cannot be a key", {});
  return key;
}
