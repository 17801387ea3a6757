// What others may rely on of a module, as plain data that is kept with its instance: objects by name with their owners, schemas and migrations. An update compares
// the running instance's contract with the new one's (compatibility.ts), without loading the old code.
import type { ModuleDefinition } from "./definition.ts";
import type { AnyLeaf, MigrationChanges, SchemaNode, SubindexOptions } from "./schema.ts";

/** Raised when a field changes its meaning; fields may be added. */
export const CONTRACT_VERSION = 1;

export type SchemaText =
  /** `supers`: names of the classes above it, nearest first. */
  | { readonly kind: "leaf"; readonly type: string; readonly supers: readonly string[] }
  | { readonly kind: "map"; readonly key: SchemaText; readonly value: SchemaText; readonly subindexed: Subindexing }
  | { readonly kind: "set"; readonly element: SchemaText; readonly subindexed: Subindexing }
  | { readonly kind: "list"; readonly element: SchemaText; readonly subindexed: Subindexing }
  | { readonly kind: "fixed"; readonly fields: Readonly<Record<string, SchemaText>> }
  | {
      readonly kind: "migrated";
      readonly id: string;
      readonly options: readonly string[];
      readonly changes?: MigrationChanges;
      readonly to: SchemaText;
    };

/** "no": stored with the value that it belongs to. */
export type Subindexing = "no" | "tracked" | "untracked";

export interface ModuleContract {
  readonly version: number;
  readonly depots: readonly {
    readonly name: string;
    readonly global: boolean;
    readonly tick: boolean;
    /** Id of its migration. */
    readonly migration?: string;
  }[];
  readonly pstates: readonly {
    readonly name: string;
    readonly topology: string;
    readonly global: boolean;
    readonly private: boolean;
    readonly schema: SchemaText;
  }[];
  readonly topologies: readonly { readonly name: string; readonly kind: string }[];
  readonly mirrors: readonly { readonly module: string; readonly kind: string; readonly object: string }[];
}

export function moduleContract(definition: ModuleDefinition): ModuleContract {
  return {
    version: CONTRACT_VERSION,
    depots: definition.depots.map(({ name, global, tickMs, migration }) => ({
      name,
      global,
      tick: tickMs !== undefined,
      ...(migration === undefined ? {} : { migration: migration.id }),
    })),
    pstates: definition.pstates.map((pstate) => ({
      name: pstate.name,
      topology: definition.topologies[pstate.topology]!.name,
      global: pstate.global,
      private: pstate.private,
      schema: schemaText(pstate.schema),
    })),
    topologies: definition.topologies.map(({ name, kind }) => ({ name, kind })),
    mirrors: definition.mirrors.map(({ module, kind, object }) => ({ module, kind, object })),
  };
}

/** Some object of the module has a migration. */
export function migrates({ depots, pstates }: ModuleContract): boolean {
  return depots.some(({ migration }) => migration !== undefined) || pstates.some(({ schema }) => hasMigration(schema));
}

function hasMigration(node: SchemaText): boolean {
  switch (node.kind) {
    case "migrated":
      return true;
    case "map":
      return hasMigration(node.value);
    case "list":
      return hasMigration(node.element);
    case "fixed":
      return Object.values(node.fields).some(hasMigration);
    default:
      return false;
  }
}

export function schemaText(node: SchemaNode): SchemaText {
  switch (node.kind) {
    case "leaf":
      return leafText(node.type);
    case "map":
      return {
        kind: "map",
        key: leafText(node.key),
        value: schemaText(node.value),
        subindexed: subindexing(node.subindexed),
      };
    case "set":
      return { kind: "set", element: leafText(node.element), subindexed: subindexing(node.subindexed) };
    case "list":
      return { kind: "list", element: schemaText(node.element), subindexed: subindexing(node.subindexed) };
    case "fixed":
      return {
        kind: "fixed",
        fields: Object.fromEntries([...node.fields].map(([name, field]) => [name, schemaText(field)])),
      };
    case "migrated":
      return { kind: "migrated", id: node.id, options: [], changes: changesOf(node.options), to: schemaText(node.to) };
  }
}

function changesOf({ toSubindexed, addedKeys, removedKeys }: MigrationChanges): MigrationChanges {
  return { toSubindexed, addedKeys, removedKeys };
}

function subindexing(options: SubindexOptions | undefined): Subindexing {
  if (options === undefined) return "no";
  return options.sizeTracking ? "tracked" : "untracked";
}

function leafText(type: AnyLeaf): SchemaText {
  const supers: string[] = [];
  for (let above = Object.getPrototypeOf(type.prototype); above !== null; above = Object.getPrototypeOf(above)) {
    if (above.constructor !== Object) supers.push(above.constructor.name);
  }
  return { kind: "leaf", type: type.name, supers };
}
