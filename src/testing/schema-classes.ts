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
      add(node.type, found);
      return;
    case "map":
      add(node.key, found);
      collect(node.value, found);
      return;
    case "set":
      add(node.element, found);
      return;
    case "list":
      collect(node.element, found);
      return;
    case "fixed":
      for (const field of node.fields.values()) collect(field, found);
      return;
    case "migrated":
      collect(node.to, found);
      return;
  }
}

function add(type: AnyLeaf, found: Set<Class>): void {
  if (typeof type === "function" && !builtIn.has(type)) found.add(type as Class);
}
