// The engine's store: opens Kv, depots, PStates and log of its groups, brings them to where the process died, and flushes what has been applied.
//
// Recovery: the Kv is a prefix of the log, group by group - each group's applied offset stands in the same batch as what it had applied - so everything from that
// offset on is applied again, in the log's order, whole turns only (turn-entry.ts). Nothing un-applied was ever visible.
//
// In the Kv, besides what storage/, depot/ and pstate/ say: 54 | source u32 | task u32 (big-endian) → state of a stream source (topology/stream/progress.ts);
// 55 | topology u32 | group u32 → marks of open trees (topology/stream/applied-marks.ts).
import { assert } from "../base/assert.ts";
import { RamaError } from "../base/errors.ts";
import { ByteReader } from "../base/value-bytes.ts";
import { retireDepots } from "../depot/depot-state.ts";
import { deleteRetiredDepots, type DepotGroup, openDepots } from "../depot/depot-store.ts";
import { openPStateGroup } from "../pstate/group.ts";
import type { PStateSpec } from "../pstate/contract.ts";
import { DEPOT_APPEND, DEPOT_CONTROL, EPOCH_BEGINS, TURN } from "../replication/entry.ts";
import { openReplicaStore } from "../replication/replica-store.ts";
import { StoreFlusher } from "../replication/flush.ts";
import { GroupReplog } from "../replication/replog.ts";
import type { KvOp } from "../storage/kv.ts";
import { type OpenedStore, openStore, type RecoveredStore } from "../storage/store.ts";
import type { DiskLog } from "../storage/log.ts";
import type { LogEntry, StoreLog } from "../storage/store-contract.ts";
import type { EngineOptions } from "./engine-api.ts";
import { contentsOf, type GroupContents } from "./group-contents.ts";
import { NameCatalogue } from "./name-catalogue.ts";
import { applySections, type GroupObjects, ReplicatedEngine } from "./replicated-engine.ts";
import { Task } from "./task.ts";
import { TaskGroup } from "./task-group.ts";
import type { ProgressOwner, TopologyRuntime } from "./topology-runtime.ts";
import { TurnAssembler, turnVoid } from "./turn-entry.ts";

const PROGRESS_PREFIX = 0x54;
const MARKS_PREFIX = 0x55;

/** Decoded values of one group's PStates that stay in memory: a share of the worker's memory. */
const cacheBytesOfGroup = 64 * 1024 * 1024;

/** A section that topologies want, read before they are there. */
interface ProgressSection {
  readonly source: number;
  readonly task: number;
  readonly bytes: Uint8Array;
  readonly whole: boolean;
}

interface MarksSection {
  readonly group: number;
  readonly bytes: Uint8Array;
}

interface Found {
  readonly progress: readonly ProgressSection[];
  readonly marks: readonly MarksSection[];
  readonly torn: readonly number[];
}

interface Part {
  readonly group: number;
  readonly offset: number;
  readonly payload: Uint8Array;
  /** What it changes is in the Kv already. */
  readonly applied: boolean;
}

export async function openEngineStore(options: EngineOptions): Promise<EngineStore> {
  const opened = await openStore(options);
  try {
    const names = await NameCatalogue.open(opened.kv);
    const objects: GroupObjects[] = [];
    for (const group of options.groups) objects.push(await openGroup(options, opened, names, group));
    await names.save();
    if (options.replication !== undefined) return await openReplicated(options, opened, names, objects);
    const recovery = new Recovery(objects);
    const store = await opened.recover((entry, applied) => recovery.entry(entry, applied));
    const torn = recovery.end((group, offset) => offset < opened.positions(group).applied);
    return new EngineStore(options, opened, store, names, objects, { ...recovery.found, torn });
  } catch (error) {
    await opened.kv.close();
    throw error;
  }
}

/** Nothing is applied here that the Kv does not have: the replica tells what is committed. */
async function openReplicated(
  options: EngineOptions,
  opened: OpenedStore,
  names: NameCatalogue,
  objects: readonly GroupObjects[],
): Promise<EngineStore> {
  const [object] = objects;
  assert(object !== undefined && objects.length === 1, "an engine with replicas has one task group");
  const { depots } = object;
  const { recovered, store } = await openReplicaStore(opened, options, object.id, ({ kind, payload }) => {
    if (kind === DEPOT_APPEND) depots.applyEntry(payload);
  });
  const replicated = new ReplicatedEngine({ options, object, store });
  const found = { progress: [], marks: [], torn: [] };
  return new EngineStore(options, opened, recovered, names, objects, found, replicated);
}

/** Declared objects are never deleted, whatever the list says. */
function deletedOf({ deletedObjects = [], module }: EngineOptions): string[] {
  const { depots, pstates } = module.definition;
  return deletedObjects.filter((name) => ![...depots, ...pstates].some((object) => object.name === name));
}

async function openGroup(
  options: EngineOptions,
  opened: OpenedStore,
  names: NameCatalogue,
  id: number,
): Promise<GroupObjects> {
  const { info, module, options: lookup, classes } = options;
  const tasks: number[] = [];
  for (let task = id; task < info.numTasks; task += info.numThreads) tasks.push(task);
  const specs = module.definition.pstates.map(({ name, schema, initialValue }): PStateSpec => {
    return { objectId: names.idOf(`pstate ${name}`), name, schema, initialValue };
  });
  const pstates = openPStateGroup({
    kv: opened.kv,
    groupId: id,
    tasks,
    specs,
    cacheBytes: cacheBytesOfGroup,
    deepValidation: lookup.get("pstate.maximal.schema.validations") !== false,
    classes,
    observer: options.events,
  });
  const { disk } = options;
  const depots = await openDepots({
    disk,
    kv: opened.kv,
    dir: opened.depotsDir,
    tasks,
    depots: module.definition.depots,
    ...(classes === undefined ? {} : { classes }),
    ...(options.depotSegmentBytes === undefined ? {} : { segmentSizeBytes: options.depotSegmentBytes }),
  });
  return { id, tasks, pstates, depots };
}

/** Applies what the log holds beyond the Kv. */
class Recovery {
  readonly found: { readonly progress: ProgressSection[]; readonly marks: MarksSection[] } = {
    progress: [],
    marks: [],
  };
  readonly #turns = new TurnAssembler<Part>();
  readonly #groups = new Map<number, GroupObjects>();

  constructor(objects: readonly GroupObjects[]) {
    for (const group of objects) this.#groups.set(group.id, group);
  }

  entry(entry: LogEntry, applied: boolean): void {
    const { group, offset, kind, payload } = entry;
    const objects = this.#groups.get(group);
    if (objects === undefined) {
      throw new RamaError("STORE_CORRUPT", `the log holds task group ${group}, which is not of this engine`, { group });
    }
    if (kind === DEPOT_APPEND) objects.depots.applyEntry(payload);
    else if (kind === DEPOT_CONTROL) {
      if (!applied) objects.depots.applyControl(payload);
    } else if (kind === TURN)
      for (const part of this.#turns.push({ group, offset, payload, applied })) this.#apply(part);
    else if (kind !== EPOCH_BEGINS) {
      throw new RamaError(
        "STORE_CORRUPT",
        `entry ${offset} of task group ${group} has kind ${kind}, which this release does not know`,
        {
          group,
          kind,
        },
      );
    }
  }

  /** Groups whose newest entry belongs to a torn turn. */
  end(inKv: (group: number, offset: number) => boolean): readonly number[] {
    const { whole, torn } = this.#turns.end(inKv);
    for (const part of whole) this.#apply(part);
    return torn;
  }

  #apply(part: Part): void {
    if (part.applied) return;
    const { group } = part;
    applySections(part.payload, this.#groups.get(group)!.pstates, {
      progress: (source, task, bytes, whole) => this.found.progress.push({ source, task, bytes, whole }),
      marks: (bytes) => this.found.marks.push({ group, bytes }),
    });
  }
}

export class EngineStore {
  readonly groups: readonly TaskGroup[];
  readonly recovered: { readonly entries: number; readonly tornBytes: number };
  readonly names: NameCatalogue;
  readonly #options: EngineOptions;
  readonly #opened: OpenedStore;
  readonly #store: RecoveredStore;
  readonly #objects: readonly GroupObjects[];
  readonly #found: Found;
  #flusher: StoreFlusher | undefined = undefined;
  #deleting: Promise<void> = Promise.resolve();
  #closing = false;
  /** undefined: the groups have no other replica. */
  readonly replicated: ReplicatedEngine | undefined;

  constructor(
    options: EngineOptions,
    opened: OpenedStore,
    store: RecoveredStore,
    names: NameCatalogue,
    objects: readonly GroupObjects[],
    found: Found,
    replicated?: ReplicatedEngine,
  ) {
    this.replicated = replicated;
    this.#options = options;
    this.#opened = opened;
    this.#store = store;
    this.names = names;
    this.#objects = objects;
    this.#found = found;
    const { entries, tornBytes } = store.recovery;
    this.recovered = { entries, tornBytes };
    this.groups = objects.map((group) => this.#taskGroup(group));
  }

  /** What the engine writes to. */
  get log(): StoreLog & Pick<DiskLog, "overloaded"> {
    return this.replicated?.replica ?? this.#store.log;
  }

  #taskGroup(group: GroupObjects): TaskGroup {
    const { definition } = this.#options.module;
    const tasks = group.tasks.map((id) => {
      const depots = definition.depots.map(({ index }) => group.depots.partition(index, id));
      const pstates = definition.pstates.map(({ name, global }) =>
        global && id !== 0 ? undefined : group.pstates.partition(this.names.idOf(`pstate ${name}`), id),
      );
      const { events } = this.#options;
      for (const depot of events === undefined ? [] : depots) {
        if (depot !== undefined) depot.onRead = (from, records) => events!.depotRead(depot.name, id, from, records);
      }
      return new Task(id, group.id, depots, pstates);
    });
    const epoch = (this.#store.recovery.groups.get(group.id)?.epoch ?? 0) + 1;
    const replog = new GroupReplog({
      group: group.id,
      log: this.log,
      epoch,
      end: this.replicated?.applied ?? this.#store.groupEnd(group.id),
    });
    return new TaskGroup(group.id, tasks, group.pstates, replog);
  }

  /** Tells topologies where they were, and marks a torn turn as void before anything else is written. */
  async recover(runtimes: readonly TopologyRuntime[]): Promise<void> {
    const owners = runtimes.flatMap((runtime) => runtime.progress ?? []);
    const range = { gte: Uint8Array.of(PROGRESS_PREFIX), lt: Uint8Array.of(PROGRESS_PREFIX + 1) };
    for (const { key, value } of await this.#opened.kv.range(range)) {
      const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
      for (const owner of owners) owner.loadProgress(view.getUint32(1), view.getUint32(5), value);
    }
    for (const { source, task, bytes, whole } of this.#found.progress) {
      for (const owner of owners) owner.replayProgress(source, task, new ByteReader(bytes), whole);
    }
    await this.#recoverMarks(owners);
    for (const group of this.groups) {
      if (this.#found.torn.includes(group.id)) group.replog.append(TURN, [turnVoid], () => {});
    }
  }

  async #recoverMarks(owners: readonly ProgressOwner[]): Promise<void> {
    const range = { gte: Uint8Array.of(MARKS_PREFIX), lt: Uint8Array.of(MARKS_PREFIX + 1) };
    for (const { key, value } of await this.#opened.kv.range(range)) {
      const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
      for (const owner of owners) owner.loadMarks?.(view.getUint32(1), view.getUint32(5), new ByteReader(value));
    }
    for (const { group, bytes } of this.#found.marks) {
      for (const owner of owners) {
        const reader = new ByteReader(bytes);
        owner.loadMarks?.(reader.varint(), group, reader);
      }
    }
  }

  startFlushing(runtimes: readonly TopologyRuntime[], onFailed: (error: unknown) => void): void {
    const { env } = this.#options;
    this.#flusher = new StoreFlusher({ env, kv: this.#opened.kv, log: this.log, onFailed });
    for (const [i, { id, pstates, depots }] of this.#objects.entries()) {
      const { replog } = this.groups[i]!;
      const progress = () => collectProgress(id, runtimes);
      this.#flusher.add(id, { replog, pstates, depots, progress }, this.#opened.positions(id));
    }
  }

  /** Everything that is applied now is in the Kv afterwards. */
  async flush(withDepots = false): Promise<void> {
    await this.#flusher?.flushNow(withDepots);
  }

  /** Of groups that stand still long enough. */
  async contents(): Promise<GroupContents[]> {
    const { env, module } = this.#options;
    const { kv } = this.#opened;
    const found: GroupContents[] = [];
    for (const group of this.groups) {
      const objectId = (name: string) => this.names.idOf(name);
      const contents = await contentsOf({ env, kv, module, group, objectId, flush: () => this.flush() });
      if (contents !== undefined) found.push(contents);
    }
    return found;
  }

  get depots(): readonly { readonly group: TaskGroup; readonly depots: DepotGroup }[] {
    return this.#objects.map(({ depots }, i) => ({ group: this.groups[i]!, depots }));
  }

  /** Leaves little to do to `close`, and to the next open. */
  async settle(): Promise<void> {
    await this.#flusher?.flushWholly();
    this.#store.log.beginSegment();
    await this.#opened.kv.settle();
  }

  /** Objects that an update has removed lose their names; from then on they are gone, whatever is left of them on disk. */
  async retireRemoved(): Promise<void> {
    const removed = deletedOf(this.#options);
    for (const name of removed) this.names.retire(`pstate ${name}`);
    // What sources of a removed depot have read counts no more: one of that name that comes later begins anew.
    for (const name of this.names.all) if (removed.some((depot) => isSourceOf(name, depot))) this.names.retire(name);
    await this.names.save();
    await retireDepots(this.#opened.kv, removed);
  }

  /** Deletes what is left of removed objects, beside everything else; goes on where an earlier process stopped. */
  deleteRemoved(): void {
    const { env, disk } = this.#options;
    const { kv, depotsDir } = this.#opened;
    const run = async (): Promise<void> => {
      for (const id of this.names.retired) {
        if (this.#closing) return;
        for (const { pstates } of this.#objects) await pstates.deleteObject(id);
        await kv.clear({ gte: keyOf(PROGRESS_PREFIX, id, 0), lt: keyOf(PROGRESS_PREFIX, id + 1, 0) });
        this.names.deleted(id);
        await this.names.save();
      }
      if (!this.#closing) await deleteRetiredDepots(disk, kv, depotsDir);
    };
    this.#deleting = run().catch((error: unknown) => env.log.warn("removed objects are not deleted yet", { error }));
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#deleting;
    try {
      if (this.#store.log.error === undefined) await this.#flusher?.close();
      else this.#flusher?.abort();
    } finally {
      await this.log.close();
      for (const { depots } of this.#objects) depots.close();
      await this.#opened.kv.close();
    }
  }

  abort(): void {
    this.#flusher?.abort();
    this.replicated?.replica.stop();
  }
}

/** Names of `topology/`: "source <topology> <depot> <id>", "dead letters …"; what other modules' depots are called has "mirror <module>" before the depot. */
function isSourceOf(name: string, depot: string): boolean {
  const at = name.indexOf(` ${depot} `);
  if (at < 0 || !(name.startsWith("source ") || name.startsWith("dead letters "))) return false;
  return !/ mirror \S+$/.test(name.slice(0, at));
}

function collectProgress(group: number, runtimes: readonly TopologyRuntime[]) {
  const ops: KvOp[] = [];
  const owners = runtimes.flatMap((runtime) => runtime.progress ?? []);
  for (const owner of owners) {
    for (const { sourceId, task, state } of owner.collectProgress(group)) {
      ops.push({ type: "put", key: keyOf(PROGRESS_PREFIX, sourceId, task), value: state });
    }
    const marks = owner.collectMarks?.(group);
    if (marks !== undefined)
      ops.push({ type: "put", key: keyOf(MARKS_PREFIX, marks.topologyId, group), value: marks.marks });
  }
  const failed = () => {
    for (const owner of owners) owner.progressLost();
  };
  return { ops, done: () => {}, failed };
}

function keyOf(prefix: number, first: number, second: number): Uint8Array {
  const key = new Uint8Array(9);
  const view = new DataView(key.buffer);
  view.setUint8(0, prefix);
  view.setUint32(1, first);
  view.setUint32(5, second);
  return key;
}
