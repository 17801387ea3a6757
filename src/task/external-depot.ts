// Contract of a depot that lives outside of the cluster (language.md 19.3): a task global that implements it can be the source of topologies.
import { RamaError } from "../base/errors.ts";
import type { TaskGlobalObject } from "./task-globals.ts";

/** What a source of an external depot emits, as an array: `.out(["*offset", "*key", "*data"])`. */
export type ExternalRecord<Key = unknown, Data = unknown> = readonly [offset: number, key: Key | null, data: Data];

/**
 * A partitioned log of another system. Partitions are numbered from 0 and spread over the tasks: task `p % tasks` reads partition `p`. Offsets of a partition grow; they
 * need not be without gaps. What a rejection says is shown by the topology's status, and the call is made again after a pause.
 */
export interface ExternalDepot<Key = unknown, Data = unknown> extends TaskGlobalObject {
  /** Asked every 30 seconds; may grow. */
  getNumPartitions(): number | Promise<number>;
  /** The earliest that there is; 0 where it is left out. */
  startOffset?(partition: number): number | Promise<number>;
  /** That of the next record to be written. */
  endOffset(partition: number): number | Promise<number>;
  /** Of the first record at that time or later; null when there is none. */
  offsetAfterTimestampMillis(partition: number, epochMs: number): number | null | Promise<number | null>;
  /**
   * Without `to`: some of what there is from `from` on, for stream topologies. With `to`: records of [from, to), from the first on; all that lie there come by further
   * calls. The same range gives the same records at any time, which is what exactly once rests on.
   */
  fetchFrom(
    partition: number,
    from: number,
    to?: number,
  ): readonly ExternalRecord<Key, Data>[] | Promise<readonly ExternalRecord<Key, Data>[]>;
}

const methods = ["getNumPartitions", "endOffset", "offsetAfterTimestampMillis", "fetchFrom"] as const;

/** NOT_ALLOWED_HERE when it lacks a method. */
export function checkExternalDepot(name: string, value: unknown, topology: string): ExternalDepot {
  const object = value as Record<string, unknown> | null | undefined;
  const missing = methods.filter((method) => typeof object?.[method] !== "function");
  if (missing.length === 0) return value as ExternalDepot;
  const message = `${name} is a source of ${topology}, but no ExternalDepot: it lacks ${missing.join(", ")}`;
  throw new RamaError("NOT_ALLOWED_HERE", message, { object: name });
}
