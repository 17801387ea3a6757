// What a PState may hold, as frozen nodes. `PState` (pstate-schema builder in `module/pstate-schema.ts`) makes them; `paths/compile` and `pstate/layout` read them.
//
//   top level   map | fixed | leaf                      (a map or fixed at the top is stored element by element)
//   below       map | set | list, `subindexed` or not; fixed; leaf
// A leaf class is a constructor: String, Number, BigInt, Boolean, Date, Uint8Array, Object (anything), Array, Map, Set, or a user class.

export type LeafClass = abstract new (...args: any[]) => unknown;
export type AnyLeaf = LeafClass | typeof String | typeof Number | typeof BigInt | typeof Boolean | typeof Object;

export interface SubindexOptions {
  /** Default true: `view(Ops.SIZE)` in constant time at the price of a read before each write. */
  readonly sizeTracking: boolean;
}

export interface LeafSchema {
  readonly kind: "leaf";
  readonly type: AnyLeaf;
}
export interface MapSchema {
  readonly kind: "map";
  readonly key: AnyLeaf;
  readonly value: SchemaNode;
  readonly subindexed?: SubindexOptions;
}
export interface SetSchema {
  readonly kind: "set";
  readonly element: AnyLeaf;
  readonly subindexed?: SubindexOptions;
}
export interface ListSchema {
  readonly kind: "list";
  readonly element: SchemaNode;
  readonly subindexed?: SubindexOptions;
}
export interface FixedSchema {
  readonly kind: "fixed";
  readonly fields: ReadonlyMap<string, SchemaNode>;
}

/** `PState.migrated(schema, id, fn)` wraps a node in a value position. */
export interface MigratedSchema {
  readonly kind: "migrated";
  readonly to: SchemaNode;
  readonly id: string;
  readonly migrate: (value: any) => unknown;
  readonly options: MigrationChanges;
}

/** Changes of the way a value is stored that a migration makes. */
export interface MigrationChanges {
  readonly toSubindexed: boolean;
  readonly addedKeys: readonly string[];
  readonly removedKeys: readonly string[];
}

export type SchemaNode = LeafSchema | MapSchema | SetSchema | ListSchema | FixedSchema | MigratedSchema;
