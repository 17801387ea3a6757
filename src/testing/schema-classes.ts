// The user classes that a module's PState schemas name: in process they need no export to be known.
import type { Class } from "../base/values.ts";
import type { ModuleDefinition } from "../module/definition.ts";
import type { AnyLeaf, SchemaNode } from "../module/schema.ts";

const builtIn = new Set<unknown>([
  String,
  Number,
  BigInt,
  Boolean,
  Date,
  Object,
  Array,
  Map,
  Set,
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
]);

export function schemaClasses(definition: ModuleDefinition): ReadonlySet<Class> {
  const found = new Set<Class>();
  for (const { schema } of definition.pstates) collect(schema, found);
  return found;
}

function collect(node: SchemaNode, found: Set<Class>): void {
  switch (node.kind) {
    case "leaf":
      return add(node.type, found);
    case "map":
      add(node.key, found);
      return collect(node.value, found);
    case "set":
      return add(node.element, found);
    case "list":
      return collect(node.element, found);
    case "fixed":
      for (const field of node.fields.values()) collect(field, found);
      return;
    case "migrated":
      return collect(node.to, found);
  }
}

function add(type: AnyLeaf, found: Set<Class>): void {
  if (typeof type === "function" && !builtIn.has(type)) found.add(type as Class);
}
