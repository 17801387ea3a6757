// The depot partitions of one task group in one store: opened from files and Kv, fed by recovery, and flushed together.
import { RamaError } from "../base/errors.ts";
import type { DepotDefinition } from "../module/definition.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import { decodeAppendEntry } from "./append-entry.ts";
import { DedupeTable } from "./dedupe.ts";
import {
  clientKey,
  decodeState,
  depotNumbers,
  eachClient,
  encodeState,
  forgetDepot,
  retiredDepots,
  stateKey,
} from "./depot-state.ts";
import { DepotPartition } from "./partition.ts";
import { DepotSegments, type FileMark } from "./segments.ts";

export interface DepotsOptions {
  readonly disk: Disk;
  readonly kv: Kv;
  /** Directory of the depots of the store; each partition gets `<depot number>/<task>` in it. */
  readonly dir: string;
  readonly tasks: readonly number[];
  /** Tick depots are stored nowhere; a global depot has one partition, on task 0. */
  readonly depots: readonly Pick<DepotDefinition, "index" | "name" | "global" | "tickMs">[];
  readonly segmentSizeBytes?: number;
  readonly clientsMax?: number;
  readonly keptBytes?: number;
  readonly copyBytes?: number;
}

interface Opened {
  readonly partition: DepotPartition;
  /** How far its files are durable. */
  synced: FileMark | undefined;
}

export async function openDepots(options: DepotsOptions): Promise<DepotGroup> {
  const { kv, disk, tasks } = options;
  const stored = options.depots.filter((depot) => depot.tickMs === undefined);
  const numbers = await depotNumbers(
    kv,
    stored.map((depot) => depot.name),
  );
  const group = new DepotGroup();
  for (const { index, name, global } of stored) {
    const depot = numbers.get(name)!;
    for (const task of global ? tasks.filter((each) => each === 0) : tasks) {
      const value = kv.getSync(stateKey(depot, task));
      const state = value === undefined ? undefined : decodeState(new Uint8Array(value));
      const dedupe = new DedupeTable(options.clientsMax);
      if (state !== undefined) {
        dedupe.evictedMs = state.evictedMs;
        await eachClient(kv, depot, task, (client, tokens) => dedupe.load(client, tokens));
        dedupe.loaded();
      }
      const dir = `${options.dir}/${depot}/${task}`;
      const segments = new DepotSegments({ disk, dir, segmentSizeBytes: options.segmentSizeBytes });
      segments.open(state?.mark);
      const { keptBytes, copyBytes } = options;
      const partition = new DepotPartition({ depot, name, task, segments, dedupe, keptBytes, copyBytes });
      group.add(index, partition, state?.mark);
    }
  }
  return group;
}

/** Deletes files and keys of depots that were retired (`retireDepots`); what a crash leaves is deleted by the next call. */
export async function deleteRetiredDepots(disk: Disk, kv: Kv, dir: string): Promise<void> {
  for (const depot of await retiredDepots(kv)) {
    disk.removeTree(`${dir}/${depot}`);
    await forgetDepot(kv, depot);
  }
}

export class DepotGroup {
  readonly #opened: Opened[] = [];
  /** By depot index of the module and task. */
  readonly #byIndex = new Map<number, Map<number, DepotPartition>>();
  /** By number in the catalogue and task: what entries name. */
  readonly #byNumber = new Map<number, Map<number, DepotPartition>>();
  /** Of a batch that has failed; they go first into the next one. */
  #failedOps: KvOp[] = [];

  add(index: number, partition: DepotPartition, synced: FileMark | undefined): void {
    this.#opened.push({ partition, synced });
    put(this.#byIndex, index, partition);
    put(this.#byNumber, partition.depot, partition);
  }

  get partitions(): readonly DepotPartition[] {
    return this.#opened.map((opened) => opened.partition);
  }

  get bytes(): number {
    return this.#opened.reduce((sum, { partition }) => sum + partition.bytes, 0);
  }

  get uncopiedBytes(): number {
    return this.#opened.reduce((sum, { partition }) => sum + partition.uncopiedBytes, 0);
  }

  /** undefined: the depot has no partition on that task here. */
  partition(index: number, task: number): DepotPartition | undefined {
    return this.#byIndex.get(index)?.get(task);
  }

  /** A DEPOT_APPEND entry that is in the log. One of a depot that the module no longer has is passed over. */
  applyEntry(payload: Uint8Array): void {
    const append = decodeAppendEntry(payload);
    this.#byNumber.get(append.depot)?.get(append.task)?.applyEntry(append);
  }

  /** Puts all that is applied into the files. False: the disk is full, and not all is there. */
  copy(): boolean {
    let isWhole = true;
    for (const { partition } of this.#opened) isWhole = partition.copy() && isWhole;
    return isWhole;
  }

  /** Makes all that is applied now durable in the files; the next `collect` tells so. One call at a time. False: the disk is full, and not all is. */
  async sync(): Promise<boolean> {
    if (!this.copy()) return false;
    const marks = this.#opened.map(({ partition }) => partition.segments.mark);
    for (const [i, opened] of this.#opened.entries()) {
      const { segments } = opened.partition;
      if (segments.unsynced) await segments.sync();
      if (marks[i]?.length === opened.synced?.length && marks[i]?.file === opened.synced?.file) continue;
      opened.synced = marks[i];
      opened.partition.changed = true;
    }
    return true;
  }

  /** States and tokens that have changed, as far as they are applied. */
  collect(): { readonly ops: KvOp[]; done(): void; failed(): void } {
    const ops = this.#failedOps;
    this.#failedOps = [];
    for (const { partition, synced } of this.#opened) {
      if (!partition.changed) continue;
      partition.changed = false;
      const { depot, task, dedupe, startOffset } = partition;
      const value = encodeState({ start: startOffset, evictedMs: dedupe.evictedMs, mark: synced });
      ops.push({ type: "put", key: stateKey(depot, task), value });
      const { puts, deletes } = dedupe.takeChanges(partition.endOffset);
      for (const client of deletes) ops.push({ type: "del", key: clientKey(depot, task, client) });
      for (const put of puts) ops.push({ type: "put", key: clientKey(depot, task, put.client), value: put.value });
    }
    return {
      ops,
      done: () => {},
      failed: () => {
        this.#failedOps = [...ops, ...this.#failedOps];
      },
    };
  }

  close(): void {
    for (const { partition } of this.#opened) partition.segments.close();
  }
}

function put(map: Map<number, Map<number, DepotPartition>>, key: number, partition: DepotPartition): void {
  const tasks = map.get(key) ?? new Map<number, DepotPartition>();
  map.set(key, tasks);
  if (tasks.has(partition.task))
    throw new RamaError("DUPLICATE_NAME", `${partition.name} twice on task ${partition.task}`);
  tasks.set(partition.task, partition);
}
