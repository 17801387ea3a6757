// What a client must know of a module instance: its objects by name with the numbers that the wire uses, how their partitions are chosen, and where each
// task group lives. Made by a worker from its compiled module, kept by conductor and supervisors, fetched by GET_ROUTES as CBOR.
import type { CompiledModule } from "../dataflow/compiled.ts";
import type { ModuleContract } from "../module/contract.ts";
import type { DepotPartitioning, ModuleDefinition, ModuleInstanceInfo } from "../module/definition.ts";

export type RoutePartitioning =
  | { readonly kind: "random" }
  | { readonly kind: "hashField"; readonly field: string }
  | { readonly kind: "hashOp"; readonly op: string }
  /** A function of the module: ask CHOOSE_PARTITIONS. */
  | { readonly kind: "cluster" }
  | { readonly kind: "disallow" };

export interface DepotRoute {
  readonly index: number;
  readonly name: string;
  readonly global: boolean;
  readonly tick: boolean;
  readonly partitioning: RoutePartitioning;
}

export interface PStateRoute {
  readonly index: number;
  readonly name: string;
  readonly global: boolean;
  readonly private: boolean;
  /** True: the task of a key is asked for with CHOOSE_TASK; else it is the key's hash. */
  readonly ownPartitioner: boolean;
}

export interface QueryRoute {
  readonly index: number;
  readonly name: string;
  readonly inputs: number;
  readonly start:
    | { readonly kind: "hashInput"; readonly input: number }
    | { readonly kind: "task"; readonly task: number }
    | { readonly kind: "any" };
}

/** The part that belongs to the module's code. */
export interface ObjectTable {
  readonly depots: readonly DepotRoute[];
  readonly pstates: readonly PStateRoute[];
  readonly queries: readonly QueryRoute[];
}

/** What is kept with an instance: what clients need, and what an update compares. */
export interface ModuleManifest extends ObjectTable {
  /** Absent for instances of releases that did not write it; nothing but names is compared then. */
  readonly contract?: ModuleContract;
}

export interface GroupAddress {
  readonly host: string;
  readonly port: number;
}

export interface ModuleRoutes extends ObjectTable {
  readonly moduleName: string;
  readonly moduleInstanceId: string;
  /** Grows with every change of the addresses; of two tables the one with the higher number is newer. */
  readonly version: number;
  readonly numTasks: number;
  /** By task group; task t is in group t mod length. A port of 0: that group has no worker at present. */
  readonly groups: readonly GroupAddress[];
}

export interface GetRoutes {
  readonly moduleName: string;
  /** "internal" for clients on a cluster node. */
  readonly side: "internal" | "external";
}

export function objectTable(module: CompiledModule): ObjectTable {
  const definition = module.definition;
  return {
    depots: definition.depots.map((depot) => ({
      index: depot.index,
      name: depot.name,
      global: depot.global,
      tick: depot.tickMs !== undefined,
      partitioning: routePartitioning(depot.partitioning),
    })),
    pstates: definition.pstates.map((pstate) => ({
      index: pstate.index,
      name: pstate.name,
      global: pstate.global,
      private: pstate.private,
      ownPartitioner: pstate.keyPartitioner !== undefined,
    })),
    queries: queryRoutes(definition, module),
  };
}

export function moduleRoutes(
  info: ModuleInstanceInfo,
  objects: ObjectTable,
  groups: readonly GroupAddress[],
  version: number,
): ModuleRoutes {
  return {
    moduleName: info.moduleName,
    moduleInstanceId: info.moduleInstanceId,
    version,
    numTasks: info.numTasks,
    groups,
    depots: objects.depots,
    pstates: objects.pstates,
    queries: objects.queries,
  };
}

function routePartitioning(partitioning: DepotPartitioning): RoutePartitioning {
  switch (partitioning.kind) {
    case "hashFunction":
    case "custom":
      return { kind: "cluster" };
    default:
      return partitioning;
  }
}

function queryRoutes(definition: ModuleDefinition, module: CompiledModule): QueryRoute[] {
  const routes: QueryRoute[] = [];
  for (const topology of definition.topologies) {
    if (topology.kind !== "query") continue;
    const start = module.topologies[topology.index]?.query?.start ?? { kind: "any" };
    routes.push({ index: topology.index, name: topology.name, inputs: topology.inputs.length, start });
  }
  return routes;
}
