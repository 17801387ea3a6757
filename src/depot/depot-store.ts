// The depot partitions of one task group in one store: opened from files and Kv, fed by recovery, and flushed together.
import { RamaError } from "../base/errors.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { DepotDefinition } from "../module/definition.ts";
import type { Disk } from "../storage/disk.ts";
import type { Kv, KvOp } from "../storage/kv.ts";
import { decodeAppendEntry } from "./append-entry.ts";
import { decodeControlEntry } from "./control-entry.ts";
import { DepotConsumers } from "./consumers.ts";
import { DedupeTable } from "./dedupe.ts";
import {
  clientKey,
  consumerKey,
  decodeState,
  depotNumbers,
  eachClient,
  eachConsumer,
  encodeConsumer,
  encodeState,
  forgetDepot,
  retiredDepots,
  stateKey,
} from "./depot-state.ts";
import { RecordMigration } from "./migration.ts";
import { DepotPartition } from "./partition.ts";
import { isCaughtUp, rewriteSome } from "./rewrite.ts";
import { DepotSegments, type FileMark } from "./segments.ts";

export interface DepotsOptions {
  readonly disk: Disk;
  readonly kv: Kv;
  /** Directory of the depots of the store; each partition gets `<depot number>/<task>` in it. */
  readonly dir: string;
  readonly tasks: readonly number[];
  /** Tick depots are stored nowhere; a global depot has one partition, on task 0. */
  readonly depots: readonly Pick<DepotDefinition, "index" | "name" | "global" | "tickMs" | "migration">[];
  /** Of the records, for migrations. */
  readonly classes?: ClassRegistry;
  readonly segmentSizeBytes?: number;
  readonly clientsMax?: number;
  readonly keptBytes?: number;
  readonly copyBytes?: number;
}

interface Opened {
  readonly partition: DepotPartition;
  /** Of the depot; that of the partition's files is named by task and generation. */
  readonly dir: string;
  /** How far its files are durable, and which files. */
  synced: FileMark | undefined;
  syncedGeneration: number;
  /** In the Kv, and so what a crash comes back to. */
  durableGeneration: number;
  /** Files of generations before, as long as they may be needed. */
  readonly retired: { readonly generation: number; readonly segments: DepotSegments }[];
  next: DepotSegments | undefined;
  rewritten: number;
}

const filesDir = (dir: string, task: number, generation: number): string =>
  generation === 0 ? `${dir}/${task}` : `${dir}/${task}.${generation}`;

export async function openDepots(options: DepotsOptions): Promise<DepotGroup> {
  const { kv, disk, tasks } = options;
  const stored = options.depots.filter((depot) => depot.tickMs === undefined);
  const numbers = await depotNumbers(
    kv,
    stored.map((depot) => depot.name),
  );
  const group = new DepotGroup(disk, options.segmentSizeBytes);
  for (const { index, name, global, migration } of stored) {
    const depot = numbers.get(name)!;
    const mapper = migration === undefined ? undefined : new RecordMigration(name, migration, options.classes);
    for (const task of global ? tasks.filter((each) => each === 0) : tasks) {
      const value = kv.getSync(stateKey(depot, task));
      const state = value === undefined ? undefined : decodeState(new Uint8Array(value));
      const dedupe = new DedupeTable(options.clientsMax);
      const consumers = new DepotConsumers();
      await eachConsumer(kv, depot, task, (consumer, neededFrom) => consumers.load(consumer, neededFrom));
      if (state !== undefined) {
        dedupe.evictedMs = state.evictedMs;
        await eachClient(kv, depot, task, (client, tokens) => dedupe.load(client, tokens));
        dedupe.loaded();
      }
      const dir = `${options.dir}/${depot}`;
      const generation = state?.generation ?? 0;
      removeOthers(disk, dir, task, generation);
      const { keptBytes, copyBytes, segmentSizeBytes } = options;
      const segments = new DepotSegments({ disk, dir: filesDir(dir, task, generation), segmentSizeBytes });
      segments.open(state?.mark);
      if (state?.mark !== undefined) segments.dropBelow(state.start, state.mark.file);
      const files = { depot, name, task, segments, dedupe, consumers, keptBytes, copyBytes };
      group.add(index, new DepotPartition({ ...files, state, migration: mapper }), dir, state?.mark);
    }
  }
  return group;
}

/** What a crash left of a rewriting, before or after its files counted. */
function removeOthers(disk: Disk, dir: string, task: number, generation: number): void {
  const present = filesDir(dir, task, generation);
  for (const name of disk.list(dir)) {
    const isOurs = name === String(task) || name.startsWith(`${task}.`);
    if (isOurs && `${dir}/${name}` !== present) disk.removeTree(`${dir}/${name}`);
  }
}

/** Deletes files and keys of depots that were retired (`retireDepots`); what a crash leaves is deleted by the next call. */
export async function deleteRetiredDepots(disk: Disk, kv: Kv, dir: string): Promise<void> {
  for (const depot of await retiredDepots(kv)) {
    if (disk.list(dir).includes(String(depot))) {
      disk.removeTree(`${dir}/${depot}`);
      // The Kv forgets it afterwards: nobody would look again.
      disk.syncDir(dir);
    }
    await forgetDepot(kv, depot);
  }
}

export class DepotGroup {
  readonly #disk: Disk;
  readonly #segmentSizeBytes: number | undefined;
  readonly #opened: Opened[] = [];
  /** By depot index of the module and task. */
  readonly #byIndex = new Map<number, Map<number, DepotPartition>>();
  /** By number in the catalogue and task: what entries name. */
  readonly #byNumber = new Map<number, Map<number, DepotPartition>>();
  /** Of a batch that has failed; they go first into the next one. */
  #failedOps: KvOp[] = [];

  constructor(disk: Disk, segmentSizeBytes: number | undefined) {
    this.#disk = disk;
    this.#segmentSizeBytes = segmentSizeBytes;
  }

  add(index: number, partition: DepotPartition, dir: string, synced: FileMark | undefined): void {
    const { generation } = partition;
    const generations = { syncedGeneration: generation, durableGeneration: generation, retired: [] };
    this.#opened.push({ partition, dir, synced, ...generations, next: undefined, rewritten: 0 });
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

  /** A DEPOT_CONTROL entry that is in the log. */
  applyControl(payload: Uint8Array): void {
    const control = decodeControlEntry(payload);
    this.#byNumber.get(control.depot)?.get(control.task)?.applyControl(control);
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
    const files = this.#opened.map(({ partition }) => {
      const { segments, generation } = partition;
      return { segments, generation, mark: segments.mark };
    });
    for (const [i, opened] of this.#opened.entries()) {
      const { segments, generation, mark } = files[i]!;
      if (segments.unsynced) await segments.sync();
      const isSame = mark?.length === opened.synced?.length && mark?.file === opened.synced?.file;
      if (isSame && generation === opened.syncedGeneration) continue;
      opened.synced = mark;
      opened.syncedGeneration = generation;
      opened.partition.changed = true;
    }
    return true;
  }

  /** States and tokens that have changed, as far as they are applied. */
  collect(): { readonly ops: KvOp[]; done(): void; failed(): void } {
    const ops = this.#failedOps;
    this.#failedOps = [];
    const written: (() => void)[] = [];
    for (const opened of this.#opened) {
      const { partition, synced, syncedGeneration } = opened;
      if (!partition.changed) continue;
      partition.changed = false;
      const { depot, task, dedupe, startOffset, begun } = partition;
      const files = { mark: synced, generation: syncedGeneration, migration: begun };
      const value = encodeState({ start: startOffset, evictedMs: dedupe.evictedMs, ...files });
      ops.push({ type: "put", key: stateKey(depot, task), value });
      const { puts, deletes } = dedupe.takeChanges(partition.endOffset);
      for (const client of deletes) ops.push({ type: "del", key: clientKey(depot, task, client) });
      for (const put of puts) ops.push({ type: "put", key: clientKey(depot, task, put.client), value: put.value });
      for (const { consumer, neededFrom } of partition.consumers.takeChanges()) {
        const key = consumerKey(depot, task, consumer);
        ops.push(
          neededFrom === undefined ? { type: "del", key } : { type: "put", key, value: encodeConsumer(neededFrom) },
        );
      }
      written.push(() => this.#stateWritten(opened, startOffset, syncedGeneration, synced));
    }
    return {
      ops,
      done: () => {
        for (const done of written) done();
      },
      failed: () => {
        this.#failedOps = [...ops, ...this.#failedOps];
        for (const { partition } of this.#opened) partition.changed = true;
      },
    };
  }

  /** What only a crash before now would have needed goes. */
  #stateWritten(opened: Opened, start: number, generation: number, mark: FileMark | undefined): void {
    opened.durableGeneration = generation;
    const { partition } = opened;
    if (mark !== undefined && generation === partition.generation) partition.segments.dropBelow(start, mark.file);
    while (opened.retired.length > 0 && opened.retired[0]!.generation < generation) {
      const { segments, generation: old } = opened.retired.shift()!;
      segments.close();
      this.#disk.removeTree(filesDir(opened.dir, partition.task, old));
    }
  }

  // ---- migrations

  /** Of the partitions with a migration. */
  migrations(): { readonly partition: DepotPartition; readonly done: boolean; readonly rewritten: number }[] {
    return this.#opened
      .filter(({ partition }) => partition.migration !== undefined)
      .map(({ partition, durableGeneration, rewritten }) => ({
        partition,
        rewritten,
        done:
          partition.migrationToBegin() === undefined && !partition.isOld && durableGeneration === partition.generation,
      }));
  }

  /**
   * Writes about `maxBytes` of the partition's files anew, and changes over once all is there; that counts from the next `sync` and `collect` on. False: nothing
   * is left to do, or it cannot be done now. USER_CODE_FAILED.
   */
  rewrite(partition: DepotPartition, maxBytes: number): boolean {
    const opened = this.#opened.find((each) => each.partition === partition)!;
    // Trimmed past what has been copied: the copy begins anew, without a gap.
    if (opened.next !== undefined && opened.next.end > 0 && opened.next.end < partition.startOffset)
      this.#dropNext(opened);
    opened.next ??= this.#nextFiles(opened);
    const rewriting = partition.rewriteInto(opened.next);
    if (rewriting === undefined) {
      if (!partition.isOld) this.#dropNext(opened);
      return false;
    }
    opened.rewritten += rewriteSome(rewriting, maxBytes);
    if (!isCaughtUp(rewriting)) return true;
    const { generation } = partition;
    opened.retired.push({ generation, segments: partition.changeOver(opened.next) });
    opened.next = undefined;
    return false;
  }

  #nextFiles({ partition, dir }: Opened): DepotSegments {
    const path = filesDir(dir, partition.task, partition.generation + 1);
    this.#disk.removeTree(path);
    const segments = new DepotSegments({ disk: this.#disk, dir: path, segmentSizeBytes: this.#segmentSizeBytes });
    segments.open(undefined);
    return segments;
  }

  /** Its old records have been trimmed meanwhile. */
  #dropNext(opened: Opened): void {
    opened.next?.close();
    opened.next = undefined;
    this.#disk.removeTree(filesDir(opened.dir, opened.partition.task, opened.partition.generation + 1));
  }

  close(): void {
    for (const { partition, next, retired } of this.#opened) {
      partition.segments.close();
      next?.close();
      for (const { segments } of retired) segments.close();
    }
  }
}

function put(map: Map<number, Map<number, DepotPartition>>, key: number, partition: DepotPartition): void {
  const tasks = map.get(key) ?? new Map<number, DepotPartition>();
  map.set(key, tasks);
  if (tasks.has(partition.task))
    throw new RamaError("DUPLICATE_NAME", `${partition.name} twice on task ${partition.task}`);
  tasks.set(partition.task, partition);
}
