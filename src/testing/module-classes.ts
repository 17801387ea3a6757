// The user classes that a module names, in PState schemas and SubSources: in process they need no export to be known.
import type { Class } from "../base/values.ts";
import { Block } from "../dataflow/builder.ts";
import type { BlockNode } from "../dataflow/nodes.ts";
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

export function moduleClasses(definition: ModuleDefinition): ReadonlySet<Class> {
  const found = new Set<Class>();
  for (const { schema } of definition.pstates) collect(schema, found);
  for (const topology of definition.topologies) {
    for (const { block } of topology.sources) visitNodes(block.nodes, found);
    if (topology.block !== undefined) visitNodes(topology.block.nodes, found);
  }
  return found;
}

function visitNodes(nodes: readonly BlockNode[], found: Set<Class>): void {
  for (const node of nodes) {
    if (node.kind === "subSource") {
      for (const { patterns } of node.branches)
        for (const pattern of patterns) if (typeof pattern === "function") add(pattern as AnyLeaf, found);
    }
    for (const part of Object.values(node)) visitPart(part, found);
  }
}

/** Blocks stand in nodes directly, in lists, or as the `block` of a branch. */
function visitPart(part: unknown, found: Set<Class>): void {
  if (Array.isArray(part)) for (const element of part) visitPart(element, found);
  else if (part instanceof Block) visitNodes(part.nodes, found);
  else if (typeof part === "object" && part !== null && "block" in part) visitPart(part.block, found);
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
