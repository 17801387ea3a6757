// An engine as one replica of its task group: applies committed entries to the group's objects while it follows, and lets the engine begin when it leads. The same
// bytes have the same effect on every replica: they are results, applied by the code that recovery uses.
import type { RamaError } from "../base/errors.ts";
import { ByteReader } from "../base/value-bytes.ts";
import type { DepotGroup } from "../depot/depot-store.ts";
import type { PStateGroup } from "../pstate/contract.ts";
import { DEPOT_APPEND, DEPOT_CONTROL, TURN } from "../replication/entry.ts";
import type { ReplicaStore, ReplicatedApplication } from "../replication/replica-contract.ts";
import { Replica } from "../replication/replica.ts";
import type { TailEntry } from "../replication/replog-tail.ts";
import type { EngineOptions } from "./engine-api.ts";
import type { TaskGroup } from "./task-group.ts";
import type { ProgressOwner, TopologyRuntime } from "./topology-runtime.ts";
import { SECTION_MARKS, SECTION_PROGRESS, SECTION_PROGRESS_STATE, SECTION_WRITES, sectionsOf } from "./turn-entry.ts";

export interface GroupObjects {
  readonly id: number;
  readonly tasks: readonly number[];
  readonly pstates: PStateGroup;
  readonly depots: DepotGroup;
}

export interface SectionVisitor {
  progress(source: number, task: number, bytes: Uint8Array, whole: boolean): void;
  marks(bytes: Uint8Array): void;
}

/** Applies PState writes of a turn's entry, and hands out what topologies keep. */
export function applySections(payload: Uint8Array, pstates: PStateGroup, visitor: SectionVisitor): void {
  for (const { kind, bytes } of sectionsOf(payload)) {
    if (kind === SECTION_WRITES) pstates.applyWrites(bytes);
    else if (kind === SECTION_PROGRESS || kind === SECTION_PROGRESS_STATE) {
      const reader = new ByteReader(bytes);
      const [source, task] = [reader.varint(), reader.varint()];
      visitor.progress(source, task, bytes.subarray(reader.pos), kind === SECTION_PROGRESS_STATE);
    } else if (kind === SECTION_MARKS) visitor.marks(bytes);
  }
}

/** What the engine is told. */
export interface ReplicatedEngineHooks {
  /** Everything is applied: serve. */
  lead(): void;
  refuse(error: RamaError | null): void;
  flush(): Promise<void>;
  /** No turn runs any more, until `goOn`. */
  hold(): Promise<void>;
  goOn(): void;
}

export class ReplicatedEngine implements ReplicatedApplication {
  readonly replica: Replica;
  /** What the store had applied when it was opened. */
  readonly applied: number;
  readonly #object: GroupObjects;
  #group: TaskGroup | undefined;
  #owners: readonly ProgressOwner[] = [];
  #hooks: ReplicatedEngineHooks | undefined;

  constructor(of: { readonly options: EngineOptions; readonly object: GroupObjects; readonly store: ReplicaStore }) {
    const { options, object, store } = of;
    this.#object = object;
    this.applied = store.applied;
    const { env, replication } = options;
    this.replica = new Replica({ ...replication!, env, group: object.id, store, application: this });
  }

  /** From now on entries may come. */
  attach(group: TaskGroup, runtimes: readonly TopologyRuntime[], hooks: ReplicatedEngineHooks): void {
    this.#group = group;
    this.#owners = runtimes.flatMap((runtime) => runtime.progress ?? []);
    this.#hooks = hooks;
  }

  apply({ kind, payload }: TailEntry): void {
    const { depots, pstates, id } = this.#object;
    if (kind === DEPOT_APPEND) depots.applyEntry(payload);
    else if (kind === DEPOT_CONTROL) depots.applyControl(payload);
    else if (kind === TURN) {
      applySections(payload, pstates, {
        progress: (source, task, bytes, whole) => {
          for (const owner of this.#owners) owner.replayProgress(source, task, new ByteReader(bytes), whole);
        },
        marks: (bytes) => {
          for (const owner of this.#owners) {
            const reader = new ByteReader(bytes);
            owner.loadMarks?.(reader.varint(), id, reader);
          }
        },
      });
    }
  }

  appliedUpTo(offset: number): void {
    this.#group!.replog.followed(offset);
  }

  lead(epoch: number, end: number): void {
    this.#group!.replog.leads(epoch, end);
    this.#hooks!.lead();
  }

  flush(): Promise<void> {
    return this.#hooks!.flush();
  }

  refuse(error: RamaError | null): void {
    this.#hooks!.refuse(error);
  }

  hold(): Promise<void> {
    return this.#hooks!.hold();
  }

  goOn(): void {
    this.#hooks!.goOn();
  }
}
