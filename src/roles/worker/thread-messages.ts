// What a worker's main thread and its engine threads tell each other (structured clones over postMessage). Requests and their answers carry a number.
import type { DeadLettersAnswer, DeadLettersCall } from "../../protocol/control.ts";
import type { EngineStatus } from "../../task/engine-api.ts";
import type { GroupAddress, ObjectTable } from "../../protocol/routes.ts";
import type { ModulePauses, OptionSetting } from "../../protocol/cluster-records.ts";
import type { GroupRecord, Member } from "../../replication/group-record.ts";
import type { LiveReplica } from "../../replication/replica-contract.ts";
import type { WorkerAssignment } from "./assignment.ts";

export interface OpenEngine {
  readonly kind: "open";
  readonly assignment: WorkerAssignment;
  readonly engine: number;
  readonly groups: readonly number[];
  readonly dir: string;
  readonly release: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly stuckNote: SharedArrayBuffer;
  /** Topologies that stay paused. */
  readonly pauses: ModulePauses;
  /** Of this process. */
  readonly life: string;
}

export type ToEngine =
  | OpenEngine
  /** The assignment said to wait: open the store now. */
  | { readonly kind: "go" }
  /** Where the task groups of the module are; by group. */
  | { readonly kind: "groups"; readonly groups: readonly GroupAddress[] }
  | { readonly kind: "options"; readonly settings: readonly OptionSetting[] }
  | { readonly kind: "pause"; readonly topology: string; readonly paused: boolean }
  | { readonly kind: "status"; readonly request: number; readonly withContents: boolean }
  | { readonly kind: "deadLetters"; readonly request: number; readonly call: DeadLettersCall }
  /** A replica: what the metastore says of its group. */
  | {
      readonly kind: "view";
      readonly record: GroupRecord;
      readonly live: readonly (readonly [Member, LiveReplica])[];
    }
  /** The replica leads: hand the group over to this member. */
  | { readonly kind: "resign"; readonly request: number; readonly to: Member }
  | {
      readonly kind: "proposed";
      readonly request: number;
      readonly record?: GroupRecord;
      /** Of a confirmation. */
      readonly leaseMs?: number;
      readonly failure?: string;
    }
  | { readonly kind: "close" };

/** A leading replica wants another in-sync set, or another leader, or to be sure that it leads. */
export interface ProposeRecord {
  readonly kind: "propose";
  readonly request: number;
  readonly epoch: number;
  readonly change: { readonly inSync: readonly Member[] } | { readonly leader: Member } | "confirm";
}

export type FromEngine =
  /** The module is loaded; the engine is not open yet, and what it recovers may run user code. */
  | {
      readonly kind: "loaded";
      /** Where it listens already; 0 unless it waits to be let go. */
      readonly port: number;
      readonly objects: ObjectTable;
      /** By topology: its name, and its builder lines by node, for the stuck note. */
      readonly topologies: readonly { readonly name: string; readonly lines: readonly string[] }[];
    }
  | {
      readonly kind: "ready";
      readonly port: number;
      readonly recovered: { readonly entries: number; readonly tornBytes: number; readonly ms: number };
    }
  /** It did not open, or has ended by an error since: nothing more comes from it. */
  | { readonly kind: "failed"; readonly failure: string }
  | { readonly kind: "status"; readonly request: number; readonly status: EngineStatus }
  | { readonly kind: "deadLetters"; readonly request: number; readonly answer: DeadLettersAnswer }
  /** A replica whose store is damaged or does not open must not lead until it is whole again. */
  | { readonly kind: "mayLead"; readonly mayLead: boolean }
  | ProposeRecord
  | { readonly kind: "resigned"; readonly request: number; readonly failure?: string }
  | { readonly kind: "closed" };
