// A module as declared: frozen plain data made by running `define(setup, topologies)` once. The compiler, the task runtime, assignment and
// update validation read it; nobody changes it. Indexes (`depots[i]`, `pstates[i]`, …) are what compiled code and the wire use; they belong to one
// module instance. What lasts on disk is keyed by name.
import type { Block } from "../dataflow/builder.ts";
import type { SchemaNode } from "./schema.ts";

export type DepotPartitioning =
  | { readonly kind: "random" }
  /** A field name: evaluated by the client. */
  | { readonly kind: "hashField"; readonly field: string }
  /** A built-in op: evaluated by the client. */
  | { readonly kind: "hashOp"; readonly op: string }
  /** A function of the module: evaluated in the cluster, one hop more. */
  | { readonly kind: "hashFunction"; readonly fn: (record: any) => unknown }
  | { readonly kind: "custom"; readonly choosePartitionIndex: (record: any, numPartitions: number) => number }
  | { readonly kind: "disallow" };

export interface DepotDefinition {
  readonly index: number;
  /** With the star: `*sentences`. */
  readonly name: string;
  readonly partitioning: DepotPartitioning;
  readonly global: boolean;
  /** Set for tick depots (always global). */
  readonly tickMs?: number;
  readonly migration?: { readonly id: string; readonly fn: (record: any) => unknown };
}

export interface PStateDefinition {
  readonly index: number;
  /** With the dollars: `$$wordCounts`. */
  readonly name: string;
  readonly schema: SchemaNode;
  /** Index of the topology that may write it. */
  readonly topology: number;
  readonly global: boolean;
  readonly private: boolean;
  readonly initialValue?: unknown;
  readonly keyPartitioner?: (numPartitions: number, key: any) => number;
}

export interface TaskGlobalDefinition {
  readonly index: number;
  readonly name: string;
  /** A function makes one value per task; anything else is a shared constant. */
  readonly value: unknown;
}

export interface MirrorDefinition {
  readonly index: number;
  readonly name: string;
  readonly kind: "depot" | "pstate" | "query";
  readonly module: string;
  readonly object: string;
}

export type StartFrom =
  | { readonly kind: "end" }
  | { readonly kind: "beginning" }
  | { readonly kind: "afterTimestamp"; readonly epochMs: number }
  | { readonly kind: "ago"; readonly amount: number; readonly unit: "RECORDS" | "MILLIS" };

export interface SourceDefinition {
  readonly index: number;
  /** Where the source block was opened, `file:line`. */
  readonly line: string;
  /** Own depot by index, or mirror depot / external depot by its var. */
  readonly depot:
    | { readonly kind: "own"; readonly index: number }
    | { readonly kind: "mirror" | "external"; readonly name: string };
  /** Distinguishes several sources of one depot; "" otherwise. */
  readonly sourceId: string;
  readonly startFrom: StartFrom;
  readonly retry: "individual" | "allAfter" | "none";
  /** Failures after which a record becomes a dead letter; 0: never. */
  readonly deadLetterAfter: number;
  /** Aggregator (object of `aggregators/`) for several ackReturns of one record; default last. */
  readonly ackReturnAgg?: unknown;
  /** The code, from `.out(…)` on. */
  readonly block: Block;
}

export interface TopologyDefinition {
  readonly index: number;
  readonly name: string;
  readonly kind: "stream" | "microbatch" | "query";
  readonly sources: readonly SourceDefinition[];
  /** Query only. */
  readonly inputs: readonly string[];
  readonly output?: string;
  readonly temporary?: string;
  readonly block?: Block;
}

export interface DynamicOption {
  readonly scope: "module" | "topology" | "depot" | "pstate";
  readonly object: string;
  readonly name: string;
  readonly value: unknown;
}

export interface ModuleDefinition {
  readonly name: string;
  readonly depots: readonly DepotDefinition[];
  readonly pstates: readonly PStateDefinition[];
  readonly globals: readonly TaskGlobalDefinition[];
  readonly mirrors: readonly MirrorDefinition[];
  readonly topologies: readonly TopologyDefinition[];
  readonly launchOptions: readonly DynamicOption[];
}

export interface ModuleInstanceInfo {
  readonly moduleName: string;
  readonly moduleInstanceId: string;
  readonly numTasks: number;
  readonly numThreads: number;
  readonly numWorkers: number;
}
