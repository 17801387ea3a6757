// Runs what one stream topology has waiting on one task group: records of its sources and events that hopped here. Up to `topology.stream.max.events.per.batch` of them
// go in one run, and all runs of a turn are sealed together, so that their writes become durable and visible at once.
//
// An event that throws is undone alone: events run one after another, so the writes since its start are exactly its own. Its record fails; the others
// of the batch are not run again. (The reference fails all records of the batch; the outcome for the failed one is the same.)
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { PStateTransaction } from "../../pstate/contract.ts";
import { ByteWriter } from "../../base/value-bytes.ts";
import { encodeValue } from "../../base/value-codec.ts";
import { StageRunner, type StageOutcome } from "../../task/event-runner.ts";
import type { Event } from "../../task/event.ts";
import { failedByHook } from "../../task/event-hook.ts";
import { JobFifo } from "../../task/run-queue.ts";
import type { RunContext } from "../../task/stage-context.ts";
import type { Sealer, TaskGroup } from "../../task/task-group.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import {
  SECTION_MARKS,
  SECTION_PROGRESS,
  SECTION_PROGRESS_STATE,
  SECTION_WRITES,
  type TurnEntry,
} from "../../task/turn-entry.ts";
import { AppliedMarks, childPath, type RecordOrigin, rootPath, writeMarks } from "./applied-marks.ts";
import { applyDelta, encodeState } from "./progress.ts";
import { ByteReader } from "../../base/value-bytes.ts";
import { RecordBatch } from "./record-batch.ts";
import type { SourcePartition } from "./source.ts";
import type { StreamTopology } from "./stream-topology.ts";
import { type MarkNoter, RecordTree, type StreamTree } from "./trees.ts";

export class StreamRunner extends StageRunner implements Sealer, MarkNoter {
  readonly #waiting = new JobFifo<Event | RecordBatch>();
  #waitingRecords = 0;
  /** The item whose events run; a batch of records stays here over runs. */
  #item: Event | RecordBatch | undefined = undefined;
  #mark = 0;
  #path = rootPath;
  /** What the event writes was applied by an earlier run of its record. */
  #applied = false;
  readonly marks = new AppliedMarks();
  #queued = false;
  /** Sources whose progress is to stand in the next entry. */
  readonly #progressed = new Set<SourcePartition>();
  readonly #writer = new ByteWriter(256);

  constructor(
    readonly stream: StreamTopology,
    readonly host: RuntimeHost,
    readonly group: TaskGroup,
    readonly transaction: PStateTransaction,
    topology: CompiledTopology,
    x: RunContext,
  ) {
    super(topology, x);
  }

  /** Records and events that wait. */
  get backlog(): number {
    return this.#waitingRecords;
  }

  push(item: Event | RecordBatch): void {
    this.#waiting.push(item);
    this.#waitingRecords += item instanceof RecordBatch ? item.left : 1;
    if (this.#queued) return;
    this.#queued = true;
    this.host.loop.ready(this);
  }

  /** Batches of `source` that have not ended, the running one first. */
  waitingBatches(source: SourcePartition): RecordBatch[] {
    const batches: RecordBatch[] = [];
    const take = (item: Event | RecordBatch | undefined) => {
      if (item instanceof RecordBatch && item.source === source && item.generation === source.generation)
        batches.push(item);
    };
    take(this.#item);
    this.#waiting.forEach(take);
    return batches;
  }

  /** `now`: in this turn's entry in any case; otherwise with the next turn that writes one, or the checkpoint. */
  progressed(source: SourcePartition, now: boolean): void {
    this.#progressed.add(source);
    if (now) this.group.changedBy(this);
    else this.group.changedLazilyBy(this);
  }

  run(): Promise<void> | undefined {
    const { x } = this;
    x.startedMs = this.host.env.monotonicMs();
    let left = this.stream.batchMax;
    if (this.isSuspended && !this.#step(this.goOn())) return this.load();
    while (left-- > 0) {
      const outcome = this.#next();
      if (outcome === undefined) {
        this.#queued = false;
        break;
      }
      if (!this.#step(outcome)) return this.load();
    }
    if (!this.transaction.empty) this.group.changedBy(this);
    if (this.#queued) this.host.loop.ready(this);
    return undefined;
  }

  /** Starts the next event. undefined: nothing waits. */
  #next(): StageOutcome | undefined {
    for (;;) {
      if (this.#item === undefined) {
        this.#item = this.#waiting.shift();
        if (this.#item === undefined) return undefined;
      }
      const item = this.#item;
      if (item instanceof RecordBatch) {
        if (item.generation === item.source.generation && item.next()) {
          this.#waitingRecords--;
          return this.#startRecord(item);
        }
        this.#waitingRecords -= item.left;
      } else {
        this.#waitingRecords--;
        if (!item.tree!.dead) return this.#startEvent(item);
        item.tree!.ended();
      }
      this.#item = undefined;
    }
  }

  #startRecord(batch: RecordBatch): StageOutcome {
    const { source } = batch;
    this.#path = rootPath;
    this.#applied =
      batch.again && this.marks.has({ key: source.key, task: source.task.id, offset: batch.offset }, rootPath);
    source.startedTo(batch.offset + 1);
    this.x.enter(source.task);
    this.host.context.note.topology(this.topology.index, source.task.id);
    this.host.context.note.record(source.depot.index, batch.offset);
    this.#mark = this.transaction.mark();
    if (batch.start === batch.end) {
      // A tombstone.
      this.x.begin();
      return "done";
    }
    const { compiled } = source;
    let vars: unknown[];
    try {
      vars = compiled.decode(batch.bytes, batch.start, batch.end);
    } catch (error) {
      this.x.begin();
      return this.fail(error);
    }
    return this.runStage(compiled.stage, vars);
  }

  #startEvent(event: Event): StageOutcome {
    const tree = event.tree as StreamTree;
    this.#path = event.path;
    this.#applied = tree.again && this.marks.has(tree.origin, event.path);
    this.x.enter(this.host.taskAt(event.task)!);
    this.host.context.note.topology(this.topology.index, event.task);
    this.#noteOrigin(tree);
    this.#mark = this.transaction.mark();
    return this.runStage(event.stage, event.vars);
  }

  #noteOrigin(tree: StreamTree): void {
    const { note } = this.host.context;
    if (tree instanceof RecordTree) note.record(tree.source.depot.index, tree.offset, tree.source.task.id);
    else {
      const { key, task, offset } = tree.origin;
      const depot = this.stream.depotOfKey(key);
      if (depot !== undefined) note.record(depot, offset, task);
    }
  }

  /** Consequences of an event that has ended. False while it is suspended. */
  #step(outcome: StageOutcome): boolean {
    if (outcome === "suspended") return false;
    const item = this.#item!;
    if (outcome === "done" && this.x.out.length > 0) {
      try {
        this.#encodeLeaving(this.x.out);
      } catch (error) {
        this.fail(error);
        this.stream.later.dropEncoded();
        outcome = "failed";
      }
    }
    if (outcome === "done" && item instanceof RecordBatch && this.x.out.length === 0 && this.#hookFails(item))
      outcome = "failed";
    // Applied in an earlier run: this one is for what it sends.
    if (outcome === "failed" || this.#applied) this.transaction.rollbackTo(this.#mark);
    if (item instanceof RecordBatch) this.#recordEnded(item, outcome === "done");
    else {
      this.#item = undefined;
      const tree = item.tree as StreamTree;
      if (outcome === "failed") tree.failed(this.error);
      else {
        this.#succeeded(tree);
        tree.ended();
      }
    }
    return true;
  }

  /** The record ends well here and now, unless a test wants something else. */
  #hookFails({ source, offset }: RecordBatch): boolean {
    if (!this.x.events?.on || !source.hookFails(offset)) return false;
    this.fail(failedByHook("streaming-complete"));
    return true;
  }

  #recordEnded(batch: RecordBatch, well: boolean): void {
    const { source } = batch;
    const late = source.takeWaiters(batch.offset);
    if (well && this.x.out.length === 0) {
      source.succeededAtOnce(batch, this.x.returns, late);
      return;
    }
    const own = batch.wait === undefined ? undefined : { wait: batch.wait, index: batch.index };
    const waiters = own === undefined ? late : late === undefined ? [own] : [own, ...late];
    const tree = new RecordTree(
      this.stream,
      source,
      batch.offset,
      waiters,
      batch.failures,
      batch.again,
      this.x.startedMs,
    );
    source.began(tree);
    if (!well) {
      tree.failed(this.error);
      return;
    }
    this.#succeeded(tree);
    tree.ended();
  }

  #succeeded(tree: StreamTree): void {
    for (const value of this.x.returns) tree.returned(value);
    const appends = this.x.out.some((event) => event.kind === "append");
    if (this.transaction.mark() !== this.#mark || appends) tree.wrote(this, this.#path);
    if (this.x.out.length > 0) this.#dispatch(tree);
  }

  mark(origin: RecordOrigin, path: number): void {
    this.marks.note(origin, path);
    this.group.changedBy(this);
  }

  // ---- what an event asked for

  /** Values that leave the engine are encoded while the event can still fail. */
  #encodeLeaving(out: readonly Event[]): void {
    for (const event of out) {
      if (event.kind === "send" && this.host.taskAt(event.task) === undefined)
        this.stream.later.encoded.set(event, encodeValue(event.vars, this.host.classes));
      else if (event.kind === "append") this.stream.later.prepareAppend(event);
    }
  }

  #dispatch(tree: StreamTree): void {
    const { out } = this.x;
    for (let i = 0; i < out.length; i++) {
      const event = out[i]!;
      event.tree = tree;
      event.path = childPath(this.#path, i);
      if (event.kind === "send") {
        const task = this.host.taskAt(event.task);
        if (task === undefined) this.stream.leave(event, tree);
        else {
          tree.born();
          this.stream.runnerOf(task).push(event);
        }
      } else this.stream.later.run(event, tree, this.host.taskAt(event.task)!, this.#applied);
    }
  }

  // ---- sealing

  prepare(): void {
    for (const source of this.#progressed) {
      source.settleYoung();
      source.noted = false;
    }
  }

  #sealMarks(entry: TurnEntry): void {
    const writer = this.#writer;
    const marks = this.marks.take();
    writer.reset();
    writer.varint(this.stream.id);
    writeMarks(writer, marks);
    entry.add(SECTION_MARKS, writer.take(), () => this.marks.apply(marks));
  }

  seal(entry: TurnEntry): void {
    const sealed = this.transaction.seal();
    if (sealed !== undefined) entry.add(SECTION_WRITES, sealed.bytes, () => sealed.apply());
    if (this.marks.hasFresh) this.#sealMarks(entry);
    if (this.#progressed.size === 0) return;
    for (const source of this.#progressed) this.#sealProgress(source, entry);
    this.#progressed.clear();
  }

  #sealLetters({ letters, partitionId }: SourcePartition, entry: TurnEntry): void {
    const writer = this.#writer;
    const delta = letters.takeDelta();
    writer.reset();
    writer.varint(letters.id);
    writer.varint(partitionId);
    writer.raw(delta);
    entry.add(SECTION_PROGRESS, writer.take(), () => letters.applyDelta(delta));
  }

  #sealProgress(source: SourcePartition, entry: TurnEntry): void {
    if (source.letters.changed) this.#sealLetters(source, entry);
    const writer = this.#writer;
    writer.reset();
    writer.varint(source.id);
    writer.varint(source.partitionId);
    const head = writer.length;
    if (source.fresh) {
      source.progress.takeDelta(writer);
      writer.length = head;
      source.fresh = false;
      const { live } = source.progress;
      const state = { ...live, open: new Set(live.open) };
      writer.raw(encodeState(state));
      entry.add(SECTION_PROGRESS_STATE, writer.take(), () => {
        source.durable = state;
        source.durableChanged(this.host.env.monotonicMs());
      });
      return;
    }
    if (!source.progress.takeDelta(writer)) return;
    const bytes = writer.take();
    entry.add(SECTION_PROGRESS, bytes, () => {
      applyDelta(source.durable, new ByteReader(bytes, head));
      source.durableChanged(this.host.env.monotonicMs());
    });
  }
}
