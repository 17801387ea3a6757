// `PState`: builders of schemas. Each returns a frozen node of `schema.ts`; `subindexed` returns another one.
import { RamaError } from "../base/errors.ts";
import { isPlainObject } from "../base/values.ts";
import { schemaText } from "./contract.ts";
import { declared } from "./draft.ts";
import { MigrationOptions } from "./migration-options.ts";
import type {
  AnyLeaf,
  FixedSchema,
  ListSchema,
  MapSchema,
  MigratedSchema,
  SchemaNode,
  SetSchema,
  SubindexOptions as SubindexOptionsNode,
} from "./schema.ts";
import { misplacedMigration } from "./schema-compatibility.ts";

/** A leaf class, or a schema made by `PState`. */
export type SchemaArg = AnyLeaf | SchemaNode;

/** `.subindexed(SubindexOptions.withoutSizeTracking())` */
export class SubindexOptions implements SubindexOptionsNode {
  readonly sizeTracking: boolean;

  private constructor(sizeTracking: boolean) {
    this.sizeTracking = sizeTracking;
    Object.freeze(this);
  }

  /** Writes need not look first whether an element is new; `view(Ops.SIZE)` takes linear time. */
  static withoutSizeTracking(): SubindexOptions {
    return new SubindexOptions(false);
  }

  static readonly tracking = new SubindexOptions(true);
}

type SubindexArg = SubindexOptionsNode | { readonly withoutSizeTracking?: boolean };

/** A node that `.subindexed()` may be asked of. */
export type Subindexable<T> = T & { subindexed(options?: SubindexArg): T };

export const PState = Object.freeze({
  /** A `Map`; at the top of a PState stored entry by entry, in key order. */
  mapSchema(key: AnyLeaf, value: SchemaArg): Subindexable<MapSchema> {
    return declared(() =>
      subindexable<MapSchema>({ kind: "map", key: leafClass(key, "a key"), value: schemaNode(value) }),
    );
  },

  /** An array. */
  listSchema(element: SchemaArg): Subindexable<ListSchema> {
    return declared(() => subindexable<ListSchema>({ kind: "list", element: schemaNode(element) }));
  },

  /** A `Set`. */
  setSchema(element: AnyLeaf): Subindexable<SetSchema> {
    return declared(() => subindexable<SetSchema>({ kind: "set", element: leafClass(element, "an element of a set") }));
  },

  /** A plain object with exactly these possible fields, each optional. */
  fixedKeysSchema(fields: Readonly<Record<string, SchemaArg>>): FixedSchema {
    return declared(() => {
      if (!isPlainObject(fields)) throw badSchema("fixedKeysSchema takes an object: { name: String, at: Number }");
      const entries = Object.entries(fields).map(([name, schema]) => [name, schemaNode(schema)] as const);
      return Object.freeze({ kind: "fixed", fields: new Map(entries) });
    });
  },

  /**
   * In a value position of a map at the top, or of a subindexed map: values written under an older schema are changed by `migrate`, when they are read and in the
   * background on disk. No value is changed twice by a migration of the same id. Options chain, or follow: `.migrateToSubindexed()`, `.addFixedKeys("since")`.
   */
  migrated(to: SchemaArg, id: string, migrate: (value: any) => unknown, ...options: MigrationOptions[]): Migration {
    return declared(() => {
      if (typeof id !== "string" || id === "") throw badSchema("a migration has a name");
      if (typeof migrate !== "function")
        throw badSchema(`migration ${id} takes a function from the old value to the new`);
      const node = schemaNode(to);
      if (node.kind === "migrated") throw badSchema(`migration ${id} is around another, ${node.id}: leave one out`);
      return migration({ kind: "migrated", to: node, id, migrate, options: MigrationOptions.of(options) });
    });
  },
});

/** A migration to which options may be added. */
export interface Migration extends MigratedSchema {
  /** The collection, stored whole so far, becomes subindexed. */
  migrateToSubindexed(): Migration;
  addFixedKeys(...keys: string[]): Migration;
  removeFixedKeys(...keys: string[]): Migration;
}

function migration(node: MigratedSchema & { readonly options: MigrationOptions }): Migration {
  const made = { ...node };
  const method = (name: "migrateToSubindexed" | "addFixedKeys" | "removeFixedKeys") =>
    Object.defineProperty(made, name, {
      enumerable: false,
      value: (...keys: string[]) => migration({ ...node, options: node.options[name](...keys) }),
    });
  method("migrateToSubindexed");
  method("addFixedKeys");
  method("removeFixedKeys");
  return Object.freeze(made) as unknown as Migration;
}

function badSchema(message: string): RamaError {
  return new RamaError("BAD_SCHEMA", message);
}

function subindexable<T extends MapSchema | SetSchema | ListSchema>(node: T): Subindexable<T> {
  // The method is not a field of the node: nodes are plain data, and `subindexed` is the option once it is set.
  const made = { ...node };
  Object.defineProperty(made, "subindexed", {
    enumerable: false,
    value: (options: SubindexArg = SubindexOptions.tracking) => {
      const sizeTracking = "sizeTracking" in options ? options.sizeTracking : options.withoutSizeTracking !== true;
      return Object.freeze({ ...node, subindexed: Object.freeze({ sizeTracking }) });
    },
  });
  return Object.freeze(made) as Subindexable<T>;
}

function leafClass(value: unknown, what: string): AnyLeaf {
  if (typeof value === "function") return value as AnyLeaf;
  throw badSchema(`${what} has a class (String, Number, …), not a schema`);
}

/** The node of what an author wrote, without builder methods. */
export function schemaNode(value: unknown): SchemaNode {
  if (typeof value === "function") return Object.freeze({ kind: "leaf", type: value as AnyLeaf });
  const node = value as SchemaNode;
  switch (node?.kind) {
    case "map":
    case "set":
    case "list":
      // Spreading leaves the builder method behind, and keeps the option.
      return Object.freeze({ ...node });
    case "fixed":
    case "migrated":
    case "leaf":
      return node;
    default:
      throw badSchema(
        "a schema is a class (String, Number, Object, …) or made by PState.mapSchema, listSchema, setSchema, fixedKeysSchema",
      );
  }
}

/** The schema of a whole PState: map, fixed keys or a class; a map at the top is stored by element without being told. */
export function topSchema(value: unknown, name: string): SchemaNode {
  const node = schemaNode(value);
  const inner = node.kind === "migrated" ? node.to : node;
  if (inner.kind === "set" || inner.kind === "list") {
    throw badSchema(
      `${name}: at the top stands a map, fixed keys or a class, not a ${inner.kind}: put it into a map, or use ${inner.kind === "set" ? "Set" : "Array"}`,
    );
  }
  const misplaced = misplacedMigration(schemaText(node));
  if (misplaced !== undefined) throw badSchema(`${name}: ${misplaced}`);
  if (inner.kind === "map" && inner.subindexed !== undefined) {
    throw badSchema(`${name}: the map at the top is stored by element anyway: leave out subindexed()`);
  }
  return node;
}
