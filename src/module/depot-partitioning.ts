// `Depot`: how clients choose the partition of a record. Kinds that clients can evaluate by themselves (random, a field, an Op) are kept apart from functions,
// which the cluster evaluates.
import { mapGet } from "../base/compare.ts";
import { RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { isOp, type Op } from "../paths/arg.ts";
import { declared } from "./draft.ts";
import type { DepotDefinition, DepotPartitioning } from "./definition.ts";

/** What a migration returns for a record that is to go. */
export const tombstone: unique symbol = Symbol.for("rama.depot.tombstone");

/** A scheme of its own: `{ choosePartitionIndex(record, numPartitions) }`, or a class with that method. */
export interface Partitioning<T = any> {
  choosePartitionIndex(record: T, numPartitions: number): number;
}

type PartitioningClass = new () => Partitioning;
type SchemeOf<T> = Partitioning<T>;

/** `class ByRegion implements Depot.Partitioning<Order>` */
export declare namespace Depot {
  type Partitioning<T = any> = SchemeOf<T>;
}

export const Depot = Object.freeze({
  TOMBSTONE: tombstone as unknown,

  /** Uniformly at random: no order between appends. */
  random(): DepotPartitioning {
    return Object.freeze({ kind: "random" });
  },

  /** By the hash of a field (missing: like null), of what an Op makes of the record, or of what a function does. */
  hashBy(key: string | Op | ((record: any) => unknown)): DepotPartitioning {
    return declared(() => hashPartitioning(key));
  },

  /** Only topologies of the module append. */
  disallow(): DepotPartitioning {
    return Object.freeze({ kind: "disallow" });
  },

  /** `choosePartitionIndex(record, numPartitions)` as an object, a class or a function. */
  custom(scheme: Partitioning | PartitioningClass | Partitioning["choosePartitionIndex"]): DepotPartitioning {
    return declared(() => customPartitioning(scheme));
  },
});

function hashPartitioning(key: unknown): DepotPartitioning {
  if (typeof key === "string") return Object.freeze({ kind: "hashField", field: key });
  if (isOp(key)) return Object.freeze({ kind: "hashOp", op: key.name });
  if (typeof key === "function") return Object.freeze({ kind: "hashFunction", fn: key as (record: any) => unknown });
  throw new RamaError(
    "BAD_MODULE",
    'Depot.hashBy takes the name of a field, an Op or a function: Depot.hashBy("userId")',
  );
}

function customPartitioning(scheme: unknown): DepotPartitioning {
  const isClass = typeof scheme === "function" && typeof scheme.prototype?.choosePartitionIndex === "function";
  const object = isClass ? new (scheme as PartitioningClass)() : (scheme as Partitioning);
  if (typeof object?.choosePartitionIndex === "function") {
    return Object.freeze({
      kind: "custom",
      choosePartitionIndex: (record, n) => object.choosePartitionIndex(record, n),
    });
  }
  if (typeof scheme === "function") {
    return Object.freeze({ kind: "custom", choosePartitionIndex: scheme as Partitioning["choosePartitionIndex"] });
  }
  throw new RamaError(
    "BAD_MODULE",
    "a depot's scheme is Depot.random(), hashBy(…), disallow() or has choosePartitionIndex(record, numPartitions)",
  );
}

const kinds = new Set(["random", "hashField", "hashOp", "hashFunction", "custom", "disallow"]);

/** What `declareDepot` was given. */
export function toPartitioning(scheme: unknown): DepotPartitioning {
  const kind = (scheme as { kind?: unknown } | null)?.kind;
  return typeof kind === "string" && kinds.has(kind) ? (scheme as DepotPartitioning) : customPartitioning(scheme);
}

/** Ops by name, handed in so that this file needs no table of them. */
export type OpByName = (name: string) => Op | undefined;

/**
 * The partition of a record among `numPartitions`. `random` gives numbers in [0, 1). NOT_APPENDABLE for `disallow`, BAD_PARTITION when a scheme of the
 * author answers out of range.
 */
export function choosePartition(
  depot: Pick<DepotDefinition, "name" | "partitioning" | "global">,
  record: unknown,
  numPartitions: number,
  random: () => number,
  opByName: OpByName,
): number {
  const { partitioning, name } = depot;
  if (partitioning.kind === "disallow")
    throw new RamaError("NOT_APPENDABLE", `${name} takes no appends of clients (Depot.disallow)`, { depot: name });
  if (depot.global || numPartitions === 1) return 0;
  switch (partitioning.kind) {
    case "random":
      return Math.floor(random() * numPartitions);
    case "hashField":
      return taskOf(fieldOf(record, partitioning.field), numPartitions);
    case "hashOp":
      return taskOf(opByName(partitioning.op)!.fn(record) ?? null, numPartitions);
    case "hashFunction":
      return taskOf(partitioning.fn(record) ?? null, numPartitions);
    case "custom": {
      const index = partitioning.choosePartitionIndex(record, numPartitions);
      if (Number.isInteger(index) && index >= 0 && index < numPartitions) return index;
      throw new RamaError("BAD_PARTITION", `the scheme of ${name} returned ${index}, outside [0, ${numPartitions})`, {
        depot: name,
        index,
      });
    }
  }
}

function fieldOf(record: unknown, field: string): unknown {
  if (record instanceof Map) return mapGet(record, field) ?? null;
  if (typeof record !== "object" || record === null || !Object.hasOwn(record, field)) return null;
  return (record as Record<string, unknown>)[field] ?? null;
}
