// One task of a group: a partition of every depot and PState of the module. Owns nothing that runs.
import type { DepotPartition } from "../depot/partition.ts";
import type { PStatePartition } from "../pstate/contract.ts";

export class Task {
  /** This task's instance of each task global, by index. */
  readonly globals: unknown[] = [];

  constructor(
    readonly id: number,
    readonly group: number,
    /** By depot index; undefined where a global or tick depot has no partition here. */
    readonly depots: readonly (DepotPartition | undefined)[],
    /** By PState index; undefined where a global PState has no partition here. */
    readonly pstates: readonly (PStatePartition | undefined)[],
  ) {}
}
