// What a module needs of other modules (its mirrors), and whether they have it. Checked at launch and at update, by the conductor and by the in-process cluster.
import { RamaError } from "../base/errors.ts";
import { blocksOf } from "../dataflow/batch/node-vars.ts";
import type { BlockNode } from "../dataflow/nodes.ts";
import type { ModuleDefinition } from "../module/definition.ts";
import type { ObjectTable } from "../protocol/routes.ts";

export interface Dependency {
  readonly module: string;
  readonly kind: "depot" | "pstate" | "query";
  readonly object: string;
  /** A depot that is appended to. */
  readonly appends?: boolean;
  /** A depot that is a source of a topology. */
  readonly reads?: boolean;
}

export function dependenciesOf(definition: ModuleDefinition): Dependency[] {
  const appended = new Set<string>();
  const read = new Set<string>();
  for (const { sources, block } of definition.topologies) {
    for (const { depot } of sources) if (depot.kind === "mirror") read.add(depot.name);
    for (const { nodes } of [...sources.map((source) => source.block), ...(block === undefined ? [] : [block])])
      collectAppends(nodes, appended);
  }
  return definition.mirrors.map(({ name, module, kind, object }) => ({
    module,
    kind,
    object,
    ...(appended.has(name) ? { appends: true } : {}),
    ...(read.has(name) ? { reads: true } : {}),
  }));
}

function collectAppends(nodes: readonly BlockNode[], into: Set<string>): void {
  for (const node of nodes) {
    if (node.kind === "depotAppend") into.add(node.depot);
    for (const block of blocksOf(node)) collectAppends(block, into);
    if (node.kind === "batchBlock" || node.kind === "subBatch") collectAppends(node.block.nodes, into);
  }
}

/** MISSING_DEPENDENCY. `objects`: of the module that is depended on; undefined when it is not deployed. */
export function checkDependency(by: string, dependency: Dependency, objects: ObjectTable | undefined): void {
  const problem = problemOf(dependency, objects);
  if (problem === undefined) return;
  const { module, kind, object } = dependency;
  const message = `${by} mirrors the ${kind === "pstate" ? "PState" : kind} ${object} of ${module}, ${problem}`;
  throw new RamaError("MISSING_DEPENDENCY", message, { module, object });
}

function problemOf({ module, kind, object, appends, reads }: Dependency, objects: ObjectTable | undefined) {
  if (objects === undefined) return "which is not deployed";
  const missing = `but ${module} has no such object`;
  if (kind === "query") return objects.queries.some(({ name }) => name === object) ? undefined : missing;
  if (kind === "pstate") {
    const pstate = objects.pstates.find(({ name }) => name === object);
    if (pstate === undefined) return missing;
    return pstate.private ? "which is private" : undefined;
  }
  const depot = objects.depots.find(({ name }) => name === object);
  if (depot === undefined) return missing;
  if (depot.tick && (appends === true || reads === true)) return "which is a tick depot: it stores nothing";
  return appends === true && depot.partitioning.kind === "disallow" ? "which takes no appends" : undefined;
}
