// One piece of work of a topology on one task: a stage with its variables, in the tree of a record or of a query invoke. Stages make them through
// `StageContext`; they wait in the runner of (topology, task group), or travel to another engine.
import type { BatchPlan } from "../dataflow/batch/sinks.ts";
import type { AckLevelName, MirrorPartition } from "../dataflow/compiled.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";

export type EventKind = "explode" | "batch" | "send" | "defer" | "await" | "select" | "invoke" | "append";

/** What a stage asked for besides going on at a task. `at`: the node that asked (CompiledTopology.lines), for errors that come later. */
export type EventDetail =
  | { readonly promise: Promise<unknown>; readonly at: number }
  /** explode: the records of a microbatch's source, or kept rows. */
  | { readonly source: number }
  | { readonly temporary: number }
  | { readonly plan: BatchPlan; readonly starts: readonly unknown[][] }
  | {
      readonly pstate: number;
      readonly select: (root: PathRoot, session: ReadSession) => unknown[];
      /** Of a yielding select; 0: as the option says, -1: it is evaluated as a whole. */
      readonly pageSize: number;
      readonly at: number;
    }
  | { readonly query: number; readonly args: unknown[]; readonly at: number }
  | {
      readonly depot: number | MirrorPartition;
      readonly record: unknown;
      readonly level: AckLevelName;
      readonly at: number;
    };

/** Tracks what one record or invoke has caused on this engine. */
export interface EventTree {
  /** Another local event belongs to it. */
  born(): void;
  /** A local event of it has ended well. */
  ended(): void;
  /** One of its events failed (and has ended); the rest of the tree may still run. */
  failed(error: unknown): void;
  /** No result of it matters any more: its waiting events are dropped. */
  readonly dead: boolean;
  /** Reference for other engines: where answers go, and a new number for an event that leaves. */
  leave(): { readonly task: number; readonly tree: number; readonly event: number };
  returned(value: unknown): void;
}

/** Index of the source in its topology, task of the partition, offset. */
export interface EventRecord {
  readonly source: number;
  readonly task: number;
  readonly offset: number;
}

export class Event {
  tree: EventTree | undefined = undefined;
  /** Its place in the tree (topology/stream/applied-marks.ts). */
  path = 1;
  /** Microbatches: the record that it comes from. null: several. undefined: not set yet, or none. */
  record: EventRecord | null | undefined = undefined;

  constructor(
    readonly kind: EventKind,
    readonly stage: number,
    readonly task: number,
    readonly vars: unknown[],
    readonly detail: EventDetail | undefined = undefined,
  ) {}
}
