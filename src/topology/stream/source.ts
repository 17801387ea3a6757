// One source of a stream topology in one depot partition (of the own module, or a remote one): which records run, which have failed and when they run again, who waits for them.
//   progress.next ≤ queuedEnd ≤ the partition's appended end
// Records come straight from the append that stored them while the source keeps up; otherwise (held, paused, throttled, after recovery) they are read from
// the depot once they are applied.
import { RamaError } from "../../base/errors.ts";
import type { CompiledSource } from "../../dataflow/compiled.ts";
import type { DepotDefinition, SourceDefinition } from "../../module/definition.ts";
import type { AppendWait } from "../../task/append-wait.ts";
import type { AppendedRecords } from "../../task/topology-runtime.ts";
import { failedByHook } from "../../task/event-hook.ts";
import type { Task } from "../../task/task.ts";
import { processingFailed, userError } from "../../task/user-errors.ts";
import { errorOfLetter } from "../dead-letters.ts";
import { combineReturns } from "./ack-returns.ts";
import { type ProgressState, SourceProgress, startState } from "./progress.ts";
import { RecordBatch, type RecordView } from "./record-batch.ts";
import { retryDelayMs, RetryQueue } from "./retry.ts";
import type { RemotePartition } from "../remote/remote-sources.ts";
import { SourceLetters } from "./source-letters.ts";
import type { StreamTopology } from "./stream-topology.ts";
import type { RecordTree } from "./trees.ts";
import { type Waiter, Waiters } from "./waiters.ts";

/** Bytes of one read from the depot: the reference advises 50 KB; reading is memory copying here. */
const readBytesMax = 256 * 1024;

/** A migration of the depot that throws is asked again after this time. */
const unreadableMs = 2_000;

/** Finding the lowest open record looks at all of them. */
const lowEveryMs = 10;

interface Retry {
  readonly offset: number;
  readonly failures: number;
}

/** What a source needs to know of its depot. */
export type SourceDepot = Pick<DepotDefinition, "index" | "name" | "tickMs">;

/** A tick depot stores nothing: its records are the one value null, numbered by the source itself. */
const tickRecord = Uint8Array.of(0);

export class SourcePartition {
  readonly trees = new Map<number, RecordTree>();
  readonly isTick: boolean;
  /** Number of the depot partition. */
  readonly partitionId: number;
  /** Durable progress: what the flush writes. */
  durable: ProgressState;
  progress: SourceProgress;
  queuedEnd: number;
  /** Grows when `retryAllAfter` throws away what waits: batches of an older one are skipped. */
  generation = 0;
  /** The flush has not written the present `durable` yet. */
  dirty = false;
  /** The first state is not in the log yet. */
  fresh = true;
  /** Names this source among all of all engines (applied-marks.ts). */
  readonly key: number;
  /** Records below never run again, whatever happens. Follows `durable` with some delay. */
  low = 0;
  #lowAtMs = 0;
  /** The runner knows that this turn has changed the progress. */
  noted = false;
  /** Of records that began in this turn and did not end at once. Most of them end in it, and are never entered anywhere. */
  #young: RecordTree[] = [];
  readonly #retries = new RetryQueue<Retry>();
  readonly #waits = new Waiters();
  /** retryAllAfter: nothing runs before this time. */
  #heldUntilMs = 0;
  #failuresAt = { offset: -1, failures: 0 };
  readonly letters: SourceLetters;

  constructor(
    readonly topology: StreamTopology,
    readonly compiled: CompiledSource,
    readonly definition: SourceDefinition,
    /** Index -1: not of this module. */
    readonly depot: SourceDepot,
    readonly task: Task,
    /** Stable number of the source's name in the store. */
    readonly id: number,
    lettersId: number,
    /** undefined: the partition of `task`. */
    readonly remote?: RemotePartition,
  ) {
    this.partitionId = remote?.partition ?? task.id;
    this.letters = new SourceLetters(this, lettersId);
    this.key = topology.keyOf(definition, remote?.identity ?? depot.name);
    this.isTick = depot.tickMs !== undefined;
    this.durable = startState(0);
    this.progress = new SourceProgress(this.durable);
    this.queuedEnd = 0;
  }

  get partition() {
    return this.task.depots[this.depot.index]!;
  }

  /** Takes a known state, or (first sight of this partition) begins where `startFrom` says. */
  begin(state: ProgressState | undefined, first: number): void {
    this.fresh = state === undefined;
    this.durable = state ?? startState(first);
    this.progress = new SourceProgress(this.durable);
    this.queuedEnd = this.durable.next;
    if (this.remote !== undefined) {
      this.remote.log.neededFrom = () => this.neededFrom;
      this.remote.log.seek(this.queuedEnd);
    }
    const again = !this.isTick && this.definition.retry !== "none";
    this.letters.begin();
    for (const offset of [...this.durable.open].sort((a, b) => a - b)) {
      if (this.letters.has(offset)) this.progress.closed(offset);
      else if (again) this.#retries.add({ offset, failures: 0 }, 0);
      else this.progress.closed(offset);
    }
    for (const { offset, retrying } of this.letters.list()) if (retrying) this.runAgain(offset, 0, 0);
  }

  /** After `durable` has changed: tells marks that are no longer needed. */
  durableChanged(nowMs: number): void {
    this.dirty = true;
    if (nowMs - this.#lowAtMs < lowEveryMs) return;
    this.#lowAtMs = nowMs;
    const low = this.neededFrom;
    if (low <= this.low) return;
    this.low = low;
    this.topology.pruneMarks(this.key, this.task.id, low);
  }

  /** End of the records that can be read from `queuedEnd` on. */
  get #readableEnd(): number {
    return this.remote === undefined ? this.partition.endOffset : this.remote.log.readableTo(this.queuedEnd);
  }

  /** Offset of the first record that may run again after a crash. */
  get neededFrom(): number {
    let low = this.durable.next;
    for (const offset of this.durable.open) if (offset < low) low = offset;
    return low;
  }

  get executing(): number {
    return this.trees.size + this.#retries.length;
  }

  /** Something may run that waits for its time or stands in the depot. */
  get wantsPump(): boolean {
    return this.#retries.length > 0 || this.#heldUntilMs > 0 || (!this.isTick && this.#readableEnd > this.queuedEnd);
  }

  get behind(): boolean {
    return (
      !this.isTick &&
      this.#heldUntilMs === 0 &&
      (this.#readableEnd > this.queuedEnd || this.queuedEnd > this.progress.live.next)
    );
  }

  // ---- records come

  appended(records: AppendedRecords): void {
    if (records.offset === this.queuedEnd && !this.#blocked()) {
      this.queuedEnd += records.count;
      this.topology
        .runnerOf(this.task)
        .push(RecordBatch.appended(this, records.bytes, records.offset, records.count, records.wait));
      return;
    }
    if (records.wait === undefined) return;
    for (let i = 0; i < records.count; i++) this.#waits.add(records.offset + i, { wait: records.wait, index: i });
  }

  tick(wait: AppendWait | undefined): void {
    const offset = this.queuedEnd++;
    const batch = RecordBatch.read(this, [{ offset, bytes: tickRecord, start: 0, end: 1 }]);
    if (wait !== undefined) this.#waits.add(offset, { wait, index: 0 });
    this.topology.runnerOf(this.task).push(batch);
  }

  /** A duplicate append asks for the outcome of a record that was stored before. */
  attach(offset: number, index: number, wait: AppendWait): void {
    this.settleYoung();
    const tree = this.trees.get(offset);
    const { next, open } = this.progress.live;
    const letter = this.letters.get(offset);
    if (letter !== undefined) wait.failed(index, this.failure(errorOfLetter(letter), offset));
    else if (tree !== undefined) tree.waiters = [...(tree.waiters ?? []), { wait, index }];
    else if (offset >= next || open.has(offset)) this.#waits.add(offset, { wait, index });
    else wait.done(1);
  }

  /** Who waits for a record that did not come with its append, or was appended again. */
  takeWaiters(offset: number): Waiter[] | undefined {
    return this.#waits.take(offset);
  }

  #blocked(): boolean {
    return this.topology.paused || this.#heldUntilMs > 0 || this.topology.throttled(this.task);
  }

  /** Reads what it may run and has not: due retries, then records behind `queuedEnd`. Returns when it wants to be asked again, if at a known time. */
  pump(nowMs: number): number | undefined {
    if (this.topology.paused) return undefined;
    if (this.#heldUntilMs > 0 && nowMs < this.#heldUntilMs) return this.#heldUntilMs;
    this.#heldUntilMs = 0;
    try {
      for (const retry of this.#retries.due(nowMs)) this.#again(retry, nowMs);
      if (!this.isTick) this.#readOn();
    } catch (error) {
      if (!(error instanceof RamaError) || error.code !== "USER_CODE_FAILED") throw error;
      // The depot's migration cannot read on: an update has to mend it.
      this.topology.lastError = error.message;
      this.#heldUntilMs = nowMs + unreadableMs;
      return this.#heldUntilMs;
    }
    return this.#retries.nextDueMs;
  }

  #readOn(): void {
    const partition = this.remote?.log ?? this.partition;
    const end = Math.min(this.#readableEnd, this.queuedEnd + this.topology.fetchMax);
    if (this.queuedEnd < partition.startOffset) this.#skipTo(partition.startOffset);
    if (
      end <= this.queuedEnd ||
      this.topology.runnerOf(this.task).backlog > this.topology.fetchMax ||
      this.topology.throttled(this.task)
    )
      return;
    const found = partition.read(this.queuedEnd, end, readBytesMax);
    if (found.length === 0) {
      // Nothing but records of another module that are gone.
      this.#skipTo(end);
      return;
    }
    const passed = this.letters.ahead(found);
    if (passed > 0) {
      // What waits comes first; the end of its turn asks again.
      if (this.progress.live.next === this.queuedEnd) this.#skipTo(found[passed - 1]!.offset + 1);
      return;
    }
    const views = this.letters.before(found);
    this.queuedEnd = views[views.length - 1]!.offset + 1;
    this.remote?.log.release(this.queuedEnd);
    // Below `high` they have run before: retryAllAfter.
    const again = views[0]!.offset < this.progress.live.high;
    this.topology.runnerOf(this.task).push(RecordBatch.read(this, views, 0, again));
  }

  /** Trimmed or removed records count as passed. */
  #skipTo(offset: number): void {
    if (this.progress.live.next === this.queuedEnd) this.startedTo(offset);
    this.queuedEnd = offset;
  }

  #again(retry: Retry, nowMs: number): void {
    let view: RecordView | undefined | null;
    try {
      view = this.recordAt(retry.offset);
    } catch (error) {
      this.#retries.add(retry, nowMs + unreadableMs);
      throw error;
    }
    if (view === undefined) this.#retries.add(retry, nowMs + this.topology.retryDelays.firstMs);
    else if (view === null) this.gone(retry.offset);
    else this.topology.runnerOf(this.task).push(RecordBatch.read(this, [view], retry.failures, true));
  }

  /** undefined: not applied yet, or on its way. null: trimmed since. */
  recordAt(offset: number): RecordView | undefined | null {
    if (this.isTick) return { offset, bytes: tickRecord, start: 0, end: 1 };
    const letter = this.letters.get(offset);
    if (letter !== undefined) return { offset, bytes: letter.record, start: 0, end: letter.record.length };
    if (this.remote !== undefined) return this.remote.log.one(offset);
    const partition = this.partition;
    if (offset >= partition.endOffset) return undefined;
    if (offset < partition.startOffset) return null;
    return partition.read(offset, offset + 1, readBytesMax)[0] ?? null;
  }

  gone(offset: number): void {
    this.#closed(offset);
    for (const { wait } of this.takeWaiters(offset) ?? []) wait.done(1);
    this.topology.runnerOf(this.task).progressed(this, false);
  }

  // ---- records run

  /** All records below `offset` have been started. */
  startedTo(offset: number): void {
    const next = this.progress.live.next;
    if (offset <= next) return;
    this.progress.started(offset - next);
    this.#note();
  }

  /** The turn must look at this source when it is sealed. */
  #note(): void {
    if (this.noted) return;
    this.noted = true;
    this.topology.runnerOf(this.task).progressed(this, true);
  }

  /** The record under way does not end with its first event. */
  began(tree: RecordTree): void {
    this.#note();
    this.#young.push(tree);
  }

  /** At the end of the turn: what has not ended is open, on disk too. */
  settleYoung(): void {
    const young = this.#young;
    if (young.length === 0) return;
    for (let i = 0; i < young.length; i++) {
      const tree = young[i]!;
      if (tree.dead) continue;
      tree.entered = true;
      tree.markWrites();
      this.trees.set(tree.offset, tree);
      if (this.definition.retry !== "none") this.progress.opened(tree.offset);
    }
    this.#young = [];
  }

  /** Ended well within its first event: no tree was ever made. */
  succeededAtOnce(batch: RecordBatch, returns: readonly unknown[], late: Waiter[] | undefined): void {
    this.topology.succeeded++;
    if (batch.again) this.#closeAgain(batch.offset);
    if (batch.wait === undefined && late === undefined) return;
    const value = returns.length === 0 ? null : this.#combined(returns);
    const { name } = this.topology.topology;
    if (batch.wait !== undefined) batch.wait.doneWith(batch.index, name, value);
    for (const { wait, index } of late ?? []) wait.doneWith(index, name, value);
  }

  /** A record that was open on disk, or a dead letter; it closes with what its last run wrote. */
  #closeAgain(offset: number): void {
    this.#closed(offset);
    this.#note();
  }

  /** It has succeeded, or will never run. */
  #closed(offset: number): void {
    this.progress.closed(offset);
    this.remote?.log.forget(offset);
    this.letters.processed(offset);
  }

  /** Does the event hook of a test want the completion of this record to fail? */
  hookFails(offset: number): boolean {
    const { events, topology } = this.topology;
    if (!events?.on) return false;
    const place = { topology: topology.name, object: this.depot.name, taskId: this.task.id, offset };
    return events.tell("streaming-complete", place);
  }

  succeeded(tree: RecordTree): void {
    if (this.hookFails(tree.offset)) {
      this.failed(tree, failedByHook("streaming-complete"));
      return;
    }
    tree.end();
    this.topology.succeeded++;
    if (tree.entered || tree.again) {
      this.trees.delete(tree.offset);
      this.#closed(tree.offset);
      this.topology.runnerOf(this.task).progressed(this, false);
      if (this.wantsPump) this.topology.pumpSoon();
    }
    if (this.#failuresAt.offset === tree.offset) this.#failuresAt = { offset: -1, failures: 0 };
    this.letters.processed(tree.offset);
    if (tree.waiters !== undefined) {
      const value = tree.returns === undefined ? null : this.#combined(tree.returns);
      for (const { wait, index } of tree.waiters) wait.doneWith(index, this.topology.topology.name, value);
    }
  }

  #combined(returns: readonly unknown[]): unknown {
    return combineReturns(this.definition.ackReturnAgg, returns);
  }

  failed(tree: RecordTree, error: unknown): void {
    const topology = this.topology.topology;
    const known =
      error instanceof RamaError && error.facts["line"] !== undefined ? error : userError(error, topology, 0);
    tree.end();
    this.topology.recordFailed(this, tree.offset, known);
    const isLetter = this.letters.has(tree.offset);
    const holds = this.definition.retry === "allAfter" && !this.isTick && !isLetter;
    const failures = holds ? this.#heldFailures(tree.offset) : tree.failures + 1;
    const { retry, deadLetterAfter } = this.definition;
    const isDead = deadLetterAfter > 0 && (failures >= deadLetterAfter || retry === "none");
    if (tree.waiters !== undefined && (retry === "none" || this.topology.failsAppend(this.depot.name))) {
      const failure = this.failure(known, tree.offset);
      for (const { wait, index } of tree.waiters) wait.failed(index, failure);
    } else this.#waitOn(tree);
    this.trees.delete(tree.offset);
    const nowMs = this.topology.nowMs();
    if (!isDead && retry === "none") this.progress.closed(tree.offset);
    else {
      this.letters.failing.failed(tree.offset, failures, known);
      if (isDead) this.#dies(tree, failures, known);
      else if (holds) this.#holdFrom(tree.offset, failures, nowMs);
      else this.#retryLater(tree, failures, nowMs);
    }
    this.topology.runnerOf(this.task).progressed(this, false);
    this.topology.pumpSoon();
  }

  failure(error: RamaError, offset: number): RamaError {
    return processingFailed(error, this.topology.topology, {
      depot: this.depot.name,
      task: this.task.id,
      offset,
    });
  }

  #retryLater(tree: RecordTree, failures: number, nowMs: number): void {
    this.#stayOpen(tree);
    this.runAgain(tree.offset, failures, nowMs + retryDelayMs(failures, this.topology.retryDelays));
  }

  /** Alone, when its time has come. */
  runAgain(offset: number, failures: number, dueMs: number): void {
    this.#retries.add({ offset, failures }, dueMs);
  }

  /** It stays open until the depot has it for certain: a record may fail before it is durable. */
  #dies(tree: RecordTree, failures: number, error: RamaError): void {
    this.#stayOpen(tree);
    if (this.#failuresAt.offset === tree.offset) this.#failuresAt = { offset: -1, failures: 0 };
    this.topology.afterTurn(() => this.letters.setAside(tree.offset, failures, error));
  }

  #stayOpen(tree: RecordTree): void {
    this.progress.opened(tree.offset);
    tree.entered = true;
    tree.markWrites();
  }

  #heldFailures(offset: number): number {
    const failures = this.#failuresAt.offset === offset ? this.#failuresAt.failures + 1 : 1;
    this.#failuresAt = { offset, failures };
    return failures;
  }

  /** The failed record and all later ones run again in order, after a pause in which nothing of this partition runs. */
  #holdFrom(offset: number, failures: number, nowMs: number): void {
    this.settleYoung();
    for (const tree of [...this.trees.values()]) {
      if (tree.offset < offset) continue;
      tree.end();
      this.trees.delete(tree.offset);
      this.#waitOn(tree);
    }
    for (const batch of this.topology.runnerOf(this.task).waitingBatches(this)) this.#keepWaits(batch);
    this.generation++;
    this.progress.rewind(Math.min(offset, this.progress.live.next));
    this.queuedEnd = offset;
    this.#heldUntilMs = nowMs + retryDelayMs(failures, this.topology.retryDelays);
  }

  #keepWaits(batch: RecordBatch): void {
    if (batch.wait === undefined) return;
    for (let i = 1; i <= batch.left; i++)
      this.#waits.add(batch.offset + i, { wait: batch.wait, index: batch.index + i });
  }

  /** Whoever waits for this attempt waits for the next. */
  #waitOn(tree: RecordTree): void {
    for (const waiter of tree.waiters ?? []) this.#waits.add(tree.offset, waiter);
  }

  /** Trees with events on other engines begin anew: some of those events may be lost. Nobody is told of a failure; what has been written stays so. */
  restartLeft(): void {
    this.settleYoung();
    const dueMs = this.topology.nowMs() + this.topology.retryDelays.firstMs;
    for (const tree of [...this.trees.values()]) {
      if (tree.id === 0 || this.definition.retry === "none") continue;
      tree.end();
      this.trees.delete(tree.offset);
      this.#waitOn(tree);
      this.#retries.add({ offset: tree.offset, failures: tree.failures }, dueMs);
    }
    if (this.#retries.length > 0) this.topology.pumpSoon();
  }

  /** Trees that have run longer than the topology's timeout fail. */
  expire(beforeMs: number, timeoutMs: number): void {
    for (const tree of [...this.trees.values()]) {
      if (tree.dead || tree.startedMs >= beforeMs) continue;
      const message = `the event tree did not end within ${timeoutMs} ms`;
      this.failed(tree, new RamaError("TIMEOUT", message, { line: this.definition.line, timeoutMs }));
    }
  }
}
