// Who is told of reads and commits of PState partitions: tests of a module's budgets, by the in-process cluster's event hook. Reads are told as they are asked
// for, before any cache. In a worker there is no observer; in process it costs one look at `on` per handle that is made while nobody looks.
import type { PStatePartition } from "./contract.ts";

export interface PStateObserver {
  /** False: nothing need be told. */
  readonly on: boolean;
  /** A path begins at the root of the partition. */
  pathBegan(partition: PStatePartition): void;
  /** One element, or a size. */
  read(partition: PStatePartition): void;
  /** A range, and so many elements out of it. */
  ranged(partition: PStatePartition, elements: number): void;
  /** What was told since the path began will be told again: a page was missing, the path will be evaluated once more. */
  missed(): void;
  /** So many stored keys have changed. */
  committed(partition: PStatePartition, writes: number): void;
}
