// Runs what a microbatch topology has waiting on one task group: records of slices, kept rows, events. Writes gather in the group's transaction until the
// microbatch is committed; this is also what seals them, in the turn that says so.
import { RamaError } from "../../base/errors.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { PStateTransaction, SealedWrites } from "../../pstate/contract.ts";
import { enterTask, leaveTask } from "../../base/task-clock.ts";
import { ByteWriter } from "../../base/value-bytes.ts";
import { StageRunner, type StageOutcome } from "../../task/event-runner.ts";
import { Event, type EventRecord } from "../../task/event.ts";
import { flexLatencyJobs, JobFifo } from "../../task/run-queue.ts";
import type { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import type { TaskGroup } from "../../task/task-group.ts";
import type { RuntimeHost } from "../../task/topology-runtime.ts";
import { processingFailed } from "../../task/user-errors.ts";
import { SECTION_PROGRESS, SECTION_PROGRESS_STATE, SECTION_WRITES, type TurnEntry } from "../../task/turn-entry.ts";
import type { RunTree } from "../batch/phase-tree.ts";
import { RunBatches } from "../batch/run-batches.ts";
import { letterOf } from "../dead-letters.ts";
import type { MicrobatchTopology } from "./microbatch-topology.ts";
import { ExplodeRun, notHereYet } from "./explode-run.ts";
import type { PlannedFailure, PrimedSpan, PrimePlan } from "./prime-plan.ts";
import { encodeGroup, encodeSlice, type GroupState, type SkippedRecord } from "./progress.ts";
import type { SliceLetters } from "./slice-letters.ts";
import type { SourceSlice } from "./slice.ts";

/** Events of one run of the job: other work of the engine comes in between. */
const eventsMax = 200;

export class MicrobatchRunner extends StageRunner {
  /** What the flush writes. */
  durable: GroupState = { committed: 0, attempted: 0, prepared: undefined };
  state: GroupState = this.durable;
  dirty = false;
  readonly slices: SourceSlice[] = [];
  /** The last attempt of another engine's coordinator that has been primed here. */
  primedRun = -1;
  readonly #batches: RunBatches;
  readonly #waiting = new JobFifo<Event | ExplodeRun>();
  /** Wait for records of remote partitions. */
  #starved: ExplodeRun[] = [];
  #item: Event | ExplodeRun | undefined = undefined;
  #queued = false;
  /** Sealed and durable, not applied. */
  #prepared: SealedWrites | undefined = undefined;
  #sealing: "nothing" | "commit" | "prepare" | "apply" = "nothing";
  readonly #changedSlices = new Set<SourceSlice>();
  #stateChanged = false;
  readonly #writer = new ByteWriter(256);

  constructor(
    readonly owner: MicrobatchTopology,
    readonly host: RuntimeHost,
    readonly group: TaskGroup,
    readonly transaction: PStateTransaction,
    topology: CompiledTopology,
    x: RunContext,
  ) {
    super(topology, x);
    this.#batches = new RunBatches(x, owner);
    x.batch = this.#batches;
    x.temporaries = (index, task) => this.#batches.current!.temporary(index, task);
  }

  push(item: Event | ExplodeRun): void {
    this.#waiting.push(item);
    if (this.#queued) return;
    this.#queued = true;
    this.host.loop.push(flexLatencyJobs, this);
  }

  run(): Promise<void> | undefined {
    this.x.startedMs = this.host.env.monotonicMs();
    if (this.isSuspended && !this.#step(this.goOn())) return this.load();
    for (let left = eventsMax; left > 0; left--) {
      if (this.#item instanceof ExplodeRun) left -= this.#straight(this.#item, left - 1);
      const outcome = this.#next();
      if (outcome === undefined) {
        this.#queued = false;
        return undefined;
      }
      if (!this.#step(outcome)) return this.load();
    }
    this.host.loop.push(flexLatencyJobs, this);
    return undefined;
  }

  /** Rows of one item one after another, as far as nothing but the stage has to be done for each. How many. */
  #straight(item: ExplodeRun, most: number): number {
    const { x } = this;
    const stage = this.topology.stages[item.stage]!;
    const tree = item.tree;
    if (stage.suspends || x.events?.on === true || tree.dead || !this.owner.runs(tree.run)) return 0;
    x.enter(item.task);
    this.#batches.current = tree.run;
    const { note } = this.host.context;
    const depot = item.slice?.depot.index;
    let done = 0;
    enterTask(x);
    try {
      for (; done < most; done++) {
        x.begin();
        note.topology(this.topology.index, x.taskId);
        const vars = item.next();
        if (vars === undefined || vars === notHereYet) break;
        if (depot !== undefined) note.record(depot, item.offset);
        stage.run(x, vars);
        if (x.out.length > 0) {
          this.#step("done");
          if (this.#item === undefined) break;
        }
      }
    } catch (error) {
      this.#step(this.fail(error));
    } finally {
      leaveTask();
    }
    return done;
  }

  #next(): StageOutcome | undefined {
    for (;;) {
      this.#item ??= this.#waiting.shift();
      const item = this.#item;
      if (item === undefined) return undefined;
      const tree = item.tree as RunTree;
      if (tree.dead || !this.owner.runs(tree.run)) {
        this.#item = undefined;
        continue;
      }
      if (item instanceof Event) return this.#start(this.host.taskAt(item.task)!, tree, item.stage, item.vars);
      let vars: unknown[] | undefined | typeof notHereYet;
      try {
        vars = item.next();
      } catch (error) {
        this.x.begin();
        return this.fail(error);
      }
      if (vars === notHereYet) {
        this.#starved.push(item);
        this.#item = undefined;
        continue;
      }
      if (vars !== undefined) {
        return this.#start(item.task, tree, item.stage, vars, item);
      }
      this.#item = undefined;
      tree.ended();
    }
  }

  /** Records of remote partitions have come. */
  remoteGrown(): void {
    for (const item of this.#starved.splice(0)) this.push(item);
  }

  #start(task: Task, tree: RunTree, stage: number, vars: unknown[], records?: ExplodeRun): StageOutcome {
    this.x.enter(task);
    this.#batches.current = tree.run;
    const { note } = this.host.context;
    note.topology(this.topology.index, task.id);
    if (records?.slice !== undefined) note.record(records.slice.depot.index, task.id, records.offset);
    return this.runStage(stage, vars);
  }

  /** False while the event is suspended. */
  #step(outcome: StageOutcome): boolean {
    if (outcome === "suspended") return false;
    const item = this.#item!;
    const tree = item.tree as RunTree;
    if (outcome === "done" && this.x.out.length > 0) {
      const record = item instanceof Event ? item.record : item.place;
      try {
        for (const event of this.x.out) {
          if (event.record === undefined) event.record = record;
          this.owner.consequence(event, tree);
        }
      } catch (error) {
        this.fail(error);
        outcome = "failed";
      }
    }
    if (item instanceof Event || outcome === "failed") this.#item = undefined;
    if (outcome === "failed") tree.failed(this.#withRecord(item));
    else if (item instanceof Event) tree.ended();
    return true;
  }

  /** The error of the last event, with the record that it began with where that is known. */
  #withRecord(item: Event | ExplodeRun): RamaError {
    const error = this.error!;
    const record = item instanceof Event ? item.record : item.place;
    if (record === undefined || record === null) return error;
    const { source, task, offset } = record;
    const depot = this.owner.depotOf(source);
    const { message } = processingFailed(error, this.topology, { depot, task, offset });
    const facts = { ...error.facts, depot, partition: task, offset, source };
    return new RamaError(error.code, message, facts, error.cause);
  }

  // ---- steps of a microbatch on this group

  /** Back to the last committed state; slices of `id` are fixed. `plan`: they are cut, or a dead letter runs. */
  prime(id: number, plan: PrimePlan | null = null): void {
    if (this.state.prepared !== undefined) {
      if (this.state.prepared.id < id) this.apply(this.state.prepared.id);
      else this.#discardPrepared();
    }
    this.transaction.rollbackTo(0);
    const { owner, host } = this;
    const again = this.state.attempted === id;
    const nowMs = host.env.monotonicMs();
    let some = false;
    for (const slice of this.slices) {
      const end = endIn(plan, slice);
      if (end === undefined || end > slice.next)
        slice.choose(id, again, owner.recordsMaxOf(slice), nowMs, host.manualTicks);
      if (plan !== null || slice.skip !== undefined || slice.letters.size > 0) this.#follow(plan, slice, id, end);
      if (slice.size === 0) continue;
      some = true;
      if (!again) this.#changedSlices.add(slice);
    }
    this.x.microbatchId = id;
    if (plan === null && (again || !some)) return;
    this.#change({ ...this.state, attempted: id });
  }

  #follow(plan: PrimePlan | null, slice: SourceSlice, id: number, end: number | undefined): void {
    if (end !== undefined) slice.cut(id, end);
    const { letters, skip } = slice;
    const source = slice.compiled.source;
    const isOf = (place: EventRecord | null | undefined) =>
      place?.source === source && place.task === slice.partitionId;
    slice.skip = isOf(plan?.skip) ? this.#skipOf(plan!.skip!) : undefined;
    if (slice.skip !== skip || end !== undefined) this.#changedSlices.add(slice);
    slice.letter = isOf(plan?.letter) ? letters.get(plan!.letter!.offset) : undefined;
    for (const letter of letters.list()) {
      const attempted = letter === slice.letter ? id : 0;
      if (letter.attempted !== attempted) letters.put({ ...letter, attempted });
    }
    for (const failed of plan?.rest ?? []) {
      const letter = isOf(failed) ? letters.get(failed.offset) : undefined;
      if (letter?.retrying)
        letters.put(letterOf(letter.offset, letter.record, failed, failed.failures, this.host.env.now()));
    }
  }

  #skipOf({ offset, failures, code, message }: PlannedFailure): SkippedRecord {
    return { offset, failures, code, message, atMs: this.host.env.now(), record: new Uint8Array(0) };
  }

  /** The attempt has come past the record that it leaves out: what becomes of it is known from here on. */
  passedOver(slice: SourceSlice, record: Uint8Array): void {
    slice.skip = { ...slice.skip!, record };
    this.#changedSlices.add(slice);
    this.group.changedBy(this);
  }

  /** A letter is to run, or was dropped. */
  lettersChanged(): void {
    this.group.changedBy(this);
  }

  /** Letters whose retry has been asked for and is not done. */
  get retried(): EventRecord[] {
    const slices = this.slices.filter(({ letters }) => letters.size > 0);
    return slices.flatMap(({ letters, compiled, partitionId }) =>
      letters.list().flatMap(({ offset, retrying }) => {
        return retrying ? [{ source: compiled.source, task: partitionId, offset }] : [];
      }),
    );
  }

  /** What the attempt takes. */
  get primed(): PrimedSpan[] {
    return this.slices.flatMap(({ compiled, partitionId, next, end }): PrimedSpan[] =>
      next < end ? [[compiled.source, partitionId, next, end]] : [],
    );
  }

  #change(state: GroupState): void {
    this.state = state;
    this.#stateChanged = true;
    this.group.changedBy(this);
  }

  /** Sealed in this turn: changes and progress as one unit. */
  commit(id: number): void {
    this.#sealing = "commit";
    this.#take();
    this.#change({ committed: id, attempted: 0, prepared: undefined });
  }

  /** As `commit`, but nothing becomes visible before `apply`. */
  prepareChanges(id: number, run: number): void {
    this.#sealing = "prepare";
    this.#change({ ...this.state, attempted: id, prepared: { id, run, writes: new Uint8Array(0) } });
  }

  /** What is applied was prepared before a restart: until it is visible the topology itself does not see it either. */
  appliesLate = false;

  /** The microbatch is decided. */
  apply(id: number): void {
    const { prepared } = this.state;
    if (prepared?.id !== id) return;
    this.#sealing = "apply";
    this.#take();
    const sealed = this.#prepared;
    this.#prepared = undefined;
    this.appliesLate = sealed === undefined && prepared.writes.length > 0;
    this.#applying = { writes: prepared.writes, apply: () => this.#makeVisible(sealed, prepared.writes) };
    this.#change({ committed: id, attempted: 0, prepared: undefined });
  }

  #applying: { readonly writes: Uint8Array; readonly apply: () => void } | undefined = undefined;

  #makeVisible(sealed: SealedWrites | undefined, writes: Uint8Array): void {
    this.appliesLate = false;
    if (sealed !== undefined) sealed.apply();
    else if (writes.length > 0) this.group.pstates.applyWrites(writes);
  }

  /** The slices of the microbatch are committed. */
  #take(): void {
    for (const slice of this.slices) {
      const { size } = slice;
      slice.commit();
      if (size > 0 || slice.letters.changed) this.#changedSlices.add(slice);
    }
  }

  /** A partition that was not known here when its microbatch was decided passes its records now. */
  begun(slice: SourceSlice): void {
    if (slice.attempted === 0 || slice.attempted > this.state.committed) return;
    slice.commit();
    this.#changedSlices.add(slice);
    this.group.changedBy(this);
  }

  /** What was prepared before the restart waits for its decision: nothing in memory knows of it. */
  get restoring(): boolean {
    return this.state.prepared !== undefined && this.state.prepared.writes.length > 0 && this.#prepared === undefined;
  }

  /** What was prepared was not decided: it is as if it had never been. */
  #discardPrepared(): void {
    this.#prepared?.discard();
    this.#prepared = undefined;
    this.#change({ ...this.state, prepared: undefined });
  }

  /** Last microbatch whose changes are visible here, and records of this group processed by then. */
  get visible(): [committed: number, processed: number] {
    let processed = 0;
    for (const { durable } of this.slices) processed += durable.next - durable.first;
    return [this.durable.committed, processed];
  }

  /** Of slices that have begun; of the others `StoredProgress` tells. */
  collectProgress(hasBegun: (slice: SourceSlice) => boolean): { sourceId: number; task: number; state: Uint8Array }[] {
    const changed: { sourceId: number; task: number; state: Uint8Array }[] = [];
    for (const slice of this.slices) {
      if (slice.letters.dirty) changed.push(slice.letters.takeState());
      if (!slice.dirty || !hasBegun(slice)) continue;
      slice.dirty = false;
      changed.push({ sourceId: slice.id, task: slice.partitionId, state: encodeSlice(slice.durable) });
    }
    if (this.dirty) changed.push({ sourceId: this.owner.id, task: this.group.id, state: encodeGroup(this.durable) });
    this.dirty = false;
    return changed;
  }

  markFresh(slice: SourceSlice): void {
    this.#changedSlices.add(slice);
    this.group.changedBy(this);
  }

  seal(entry: TurnEntry): void {
    const sealing = this.#sealing;
    this.#sealing = "nothing";
    if (sealing === "commit") {
      const sealed = this.transaction.seal();
      if (sealed !== undefined) entry.add(SECTION_WRITES, sealed.bytes, () => sealed.apply());
    } else if (sealing === "prepare") {
      this.#prepared = this.transaction.seal();
      const { prepared } = this.state;
      const writes = this.#prepared?.bytes ?? new Uint8Array(0);
      this.state = { ...this.state, prepared: { ...prepared!, writes } };
    } else if (sealing === "apply" && this.#applying !== undefined) {
      const { writes, apply } = this.#applying;
      this.#applying = undefined;
      if (writes.length > 0) entry.add(SECTION_WRITES, writes, apply);
    }
    for (const slice of this.#changedSlices) {
      const { state } = slice;
      slice.fresh = false;
      this.#addState(entry, slice.id, slice.partitionId, encodeSlice(state), () => {
        slice.durable = state;
        slice.dirty = true;
      });
    }
    this.#changedSlices.clear();
    for (const { letters } of this.slices) if (letters.changed) this.#sealLetters(letters, entry);
    if (!this.#stateChanged) return;
    this.#stateChanged = false;
    const { state } = this;
    this.#addState(entry, this.owner.id, this.group.id, encodeGroup(state), () => {
      this.durable = state;
      this.dirty = true;
    });
  }

  #sealLetters(letters: SliceLetters, entry: TurnEntry): void {
    const delta = letters.takeDelta();
    const applied = () => letters.applyDelta(delta);
    this.#addState(entry, letters.id, letters.task, delta, applied, SECTION_PROGRESS);
  }

  #addState(
    entry: TurnEntry,
    id: number,
    task: number,
    state: Uint8Array,
    applied: () => void,
    kind = SECTION_PROGRESS_STATE,
  ): void {
    const writer = this.#writer;
    writer.reset();
    writer.varint(id);
    writer.varint(task);
    writer.raw(state);
    entry.add(kind, writer.take(), applied);
  }
}

/** Where the slice ends by the plan; undefined: it takes what waits. */
function endIn(plan: PrimePlan | null, { compiled, partitionId, next }: SourceSlice): number | undefined {
  if (plan === null || plan.ends === null) return undefined;
  return plan.ends.find((each) => each.source === compiled.source && each.task === partitionId)?.end ?? next;
}
