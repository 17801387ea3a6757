// What a replica (`replica.ts`) is given: its log, what its entries are for, and the way to the metastore.
import type { Env } from "../base/env.ts";
import type { RamaError } from "../base/errors.ts";
import type { Address, Transport } from "../net/transport.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv } from "../storage/kv.ts";
import type { StoreLog } from "../storage/store-contract.ts";
import type { EpochRuns } from "./epoch-runs.ts";
import type { GroupRecord, Member } from "./group-record.ts";
import type { StoreImport } from "./store-import.ts";
import type { EntryChunk, TailEntry } from "./replog-tail.ts";

/** What the log's entries are for. All calls are made in the order of offsets. */
export interface ReplicatedApplication {
  /** The entry is committed; its effects become visible on this replica. */
  apply(entry: TailEntry, offset: number): void;
  /** Everything below is applied. After a run of `apply`. */
  appliedUpTo(offset: number): void;
  /** Everything that the log holds is applied, and the next entry has offset `end`: serve, and append through the replica from now on. */
  lead(epoch: number, end: number): void;
  /** Brings what is applied into the Kv and the depots' files. */
  flush(): Promise<void>;
  /** Nothing can be committed now: no more appends of clients. null: it goes on. */
  refuse(error: RamaError | null): void;
  /** The group is about to be handed over: no turn begins any more. Resolves when none runs, and nothing is appended until `goOn`, which may not come. */
  hold(): Promise<void>;
  goOn(): void;
}

export interface ReplicaControl {
  /** Writes the set of the leader of `epoch` into the metastore; resolves with the record that stands there then, of whoever it is. */
  propose(epoch: number, inSync: readonly Member[]): Promise<GroupRecord>;
  /** The leader of `epoch` writes `to` as the leader of the next epoch; resolves with the record that stands there then. Of the same epoch: `to` may not lead. */
  handOver(epoch: number, to: Member): Promise<GroupRecord>;
  /** For so long from now on, in ms, nobody can succeed the leader of `epoch`; 0: that is not certain. */
  confirm(epoch: number): Promise<number>;
}

export interface LiveReplica {
  readonly life: string;
  readonly address: Address;
}

/** The log on disk, and what was found in it. */
export interface ReplicaStore {
  readonly log: StoreLog & { readonly durable: number; readonly overloaded: boolean };
  readonly runs: EpochRuns;
  /** Of the log's last entry. */
  readonly epoch: number;
  /** Entries below are in the state on disk. */
  readonly applied: number;
  /** The entries [applied, runs.end), encoded. */
  readonly unapplied: EntryChunk | undefined;
  /** Durable entries from `from` on out of the log's files; undefined: it has let go of them. */
  read(from: number, to: number): EntryChunk | undefined;
  /** It was damaged and set aside, and lacks entries that it once confirmed (`rebuild.ts`). */
  readonly rebuilding: boolean;
  rebuilt(): void;
  /** What a copy of the store is made of. */
  readonly source: { readonly disk: Disk; readonly kv: Kv; readonly dir: string };
  /** Begins to receive a copy that is to take the store's place. */
  receive(epoch: number): StoreImport;
}

export interface ReplicaOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly dataId: string;
  readonly group: number;
  readonly self: Member;
  readonly life: string;
  readonly store: ReplicaStore;
  readonly application: ReplicatedApplication;
  readonly control: ReplicaControl;
  readonly minInSync: () => number;
  readonly maxLagMs: () => number;
  /** Bytes per second that copies of the store may take of the network; default: all that it gives. */
  readonly copyRate?: () => number;
  /** A store that was rebuilt has everything again that is committed: the replica may lead. */
  readonly onRebuilt?: () => void;
  /** For tests: so many entries the log keeps for followers, whatever they lack, and hardly any are in memory. */
  readonly keptEntries?: number;
  /** Another leads: this replica has stopped, and is to be opened anew. `replace`: once the store is closed; a copy of the leader's takes its place. */
  readonly onDeposed: (replace?: () => void) => void;
}
