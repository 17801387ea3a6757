// The appends of one client to one depot partition, in call order. Batches wait, are sent (several in flight), and are answered in the order sent. After any route
// trouble everything that is in flight goes back to the front and is sent again as it was, in order; the engine knows by the tokens what it has.
// A batch whose time is up ends as APPEND_OUTCOME_UNKNOWN when it was ever sent, else as TIMEOUT with nothing stored.
import type { Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { type AppendResult, appendHeader } from "../protocol/append.ts";
import { FrameWriter } from "../protocol/frame-fields.ts";
import { AppendBatch, type AckReturns, type AppendWaiter } from "./append-batch.ts";
import type { CallContext } from "./call.ts";
import type { EngineConnection, PendingRequest } from "./connection.ts";
import { backOffMs, isRouteTrouble, type RouteTable } from "./routing.ts";

/** More than these fill the pipe; fewer, larger batches serve the engine better. */
const inFlightMax = 16;
/** The partition remembers the tokens of 32 batches: nothing is sent that would make it forget one that is still open, however long that one takes. */
const windowBatches = 30;
/** A batch of so many bytes leaves before the running code is done, as long as the pipe has room: the engine works on it while the next is made. */
const earlySendBytes = 32 * 1024;
const capacityMax = 64 * 1024;
/** Sending pauses above this many unsent bytes on the connection. */
const unsentPauseBytes = 8 * 1024 * 1024;
const unsentPauseMs = 5;
/** So few batches are not worth a look at their bytes. */
const batchesUncounted = 4;

export interface PartitionQueueOptions {
  readonly context: CallContext;
  readonly moduleName: string;
  readonly depotName: string;
  readonly task: number;
  readonly timeoutMs: number;
  readonly flushDelayMs: number;
  readonly recordBytesMax: number;
  readonly queuedBytesMax: number;
}

/** What an append that waits costs beside its bytes. */
export const appendCostBytes = 128;

export function queueFull(where: string, bytes: number): RamaError {
  const message = `appends of ${bytes} bytes to ${where} wait at this client already (foreign.depot.queued.bytes); nothing was appended`;
  return new RamaError("OVERLOADED", message, { stored: false, bytes });
}

const header = new FrameWriter(64);

export class PartitionQueue {
  readonly #options: PartitionQueueOptions;
  /** Oldest first; the last one takes new records until it is sent. */
  readonly #waiting: AppendBatch[] = [];
  readonly #inFlight: AppendBatch[] = [];
  /** Bytes of the batches of late: a buffer that grows from nothing costs more than what is written into it. */
  #capacity = 256;
  #nextSequence = 0;
  #nextOrder = 0;
  #pumping = false;
  #recovering = false;
  #tries = 0;
  #table: RouteTable | undefined;
  #lastTrouble: RamaError | undefined;
  #expiry: Timer | undefined;

  constructor(options: PartitionQueueOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#inFlight.length === 0;
  }

  add(record: unknown, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    const batch = this.#batchFor(level);
    try {
      batch.add(record, this.#options.recordBytesMax, waiter, tag);
    } catch (error) {
      if (batch.count === 0) this.#waiting.pop();
      throw error;
    }
    this.#sendSoon(batch);
  }

  addEncoded(value: Uint8Array, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    const batch = this.#batchFor(level);
    batch.addEncoded(value, waiter, tag);
    this.#sendSoon(batch);
  }

  /** Ends everything: what was sent as unknown, the rest as not appended. */
  close(): void {
    const trouble = new RamaError("CONNECTION_LOST", "the client was closed before the append was sent", {
      stored: false,
    });
    this.#expiry?.cancel();
    for (const batch of this.#inFlight.splice(0)) batch.fail(this.#unknown("the client was closed"));
    for (const batch of this.#waiting.splice(0))
      batch.fail(batch.sequence < 0 ? trouble : this.#unknown(trouble.message));
  }

  #batchFor(level: AckLevelName): AppendBatch {
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.level === level && last.sequence < 0 && !last.full) return last;
    this.#checkRoom();
    const { context, timeoutMs } = this.#options;
    const batch = new AppendBatch(level, context.env.monotonicMs() + timeoutMs, context.classes, this.#capacity);
    this.#waiting.push(batch);
    return batch;
  }

  /** Looked at once in a batch. */
  #checkRoom(): void {
    if (this.#waiting.length < batchesUncounted) return;
    let bytes = 0;
    for (const batch of this.#waiting) bytes += batch.bytes + batch.count * appendCostBytes;
    if (bytes > this.#options.queuedBytesMax) throw queueFull(this.#where(), bytes);
  }

  #sendSoon(batch: AppendBatch): void {
    if (batch.bytes >= earlySendBytes && this.#inFlight.length < inFlightMax) this.#pump();
    else this.#schedule();
  }

  /** Sends when the running code is done, so that appends of one turn share a frame. */
  #schedule(): void {
    if (this.#pumping || this.#recovering) return;
    this.#pumping = true;
    const { context, flushDelayMs } = this.#options;
    const run = () => {
      this.#pumping = false;
      this.#pump();
    };
    if (flushDelayMs > 0) context.env.setTimer(flushDelayMs, run);
    else queueMicrotask(run);
  }

  #pump(): void {
    if (this.#recovering || this.#waiting.length === 0 || this.#inFlight.length >= inFlightMax) return;
    const { context, moduleName, task } = this.#options;
    const table = context.routing.cached(moduleName);
    if (table === undefined) {
      this.#waitFor(() => context.routing.get(moduleName));
      return;
    }
    this.#table = table;
    try {
      const depot = table.depot(this.#options.depotName);
      const connection = context.pool.to(table, task);
      if (connection.state !== "open") {
        this.#waitFor(() => connection.opened);
        return;
      }
      this.#tries = 0;
      this.#sendWaiting(connection, depot.index);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      if (isRouteTrouble(error)) this.#recover(error);
      else this.#failWaiting(error);
    }
  }

  #sendWaiting(connection: EngineConnection, depot: number): void {
    while (this.#waiting.length > 0 && this.#inFlight.length < inFlightMax) {
      const oldest = this.#inFlight[0];
      if (oldest !== undefined && this.#waiting[0]!.sequence < 0 && this.#nextOrder - oldest.order >= windowBatches)
        return;
      if (connection.unsentBytes > unsentPauseBytes) {
        // Answers to what is in flight come back here; without any, a look later must do.
        if (this.#inFlight.length === 0) this.#options.context.env.setTimer(unsentPauseMs, () => this.#pump());
        return;
      }
      this.#send(this.#waiting.shift()!, connection, depot);
    }
  }

  #send(batch: AppendBatch, connection: EngineConnection, depot: number): void {
    const { level, count } = batch;
    if (batch.sequence < 0) {
      batch.sequence = this.#nextSequence;
      this.#nextSequence += count;
      batch.order = this.#nextOrder++;
      this.#capacity = Math.min(capacityMax, Math.max(256, batch.bytes + (batch.bytes >> 3), this.#capacity >> 1));
    }
    const request = connection.request(new InFlight(this, batch));
    batch.request = request;
    this.#inFlight.push(batch);
    const { task } = this.#options;
    connection.sendParts([
      appendHeader(header, { level, depot, task, request, count, sequence: batch.sequence }),
      batch.records,
    ]);
  }

  /** Of the request that `batch` was in flight with. */
  appended(batch: AppendBatch, offset: number, result: AppendResult | undefined): void {
    if (!this.#leave(batch)) return;
    const { classes } = this.#options.context;
    let returns: (AckReturns | null)[] | null = null;
    if (result !== undefined && result.returns.length > 0) {
      returns = decodeValue(result.returns, 0, result.returns.length, classes) as (AckReturns | null)[];
    }
    if (this.#waiting.length > 0) this.#schedule();
    batch.settle(offset, returns, result?.failures);
  }

  failed(batch: AppendBatch, error: RamaError): void {
    if (batch.request === 0) return;
    if (isRouteTrouble(error) && !this.#options.context.closed) {
      this.#takeBack(error.code === "CONNECTION_LOST" ? undefined : batch);
      this.#recover(error);
      return;
    }
    if (!this.#leave(batch)) return;
    if (this.#waiting.length > 0) this.#schedule();
    const unknown =
      error.code === "TIMEOUT" || isRouteTrouble(error) || (batch.isInDoubt && error.facts["stored"] !== true);
    batch.fail(unknown ? this.#unknown(error.message, error) : error);
  }

  #leave(batch: AppendBatch): boolean {
    const at = this.#inFlight.indexOf(batch);
    if (at < 0) return false;
    this.#inFlight.splice(at, 1);
    batch.request = 0;
    return true;
  }

  /** `refused` was answered: of the others nobody knows. */
  #takeBack(refused: AppendBatch | undefined): void {
    for (const batch of this.#inFlight) {
      batch.request = 0;
      if (batch !== refused) batch.isInDoubt = true;
    }
    this.#waiting.unshift(...this.#inFlight.splice(0));
  }

  #recover(trouble: RamaError): void {
    if (this.#recovering) return;
    this.#recovering = true;
    this.#lastTrouble = trouble;
    const { context, moduleName } = this.#options;
    this.#scheduleExpiry();
    context.env.setTimer(backOffMs(context.env, this.#tries++), () => {
      this.#recovering = false;
      this.#waitFor(() => context.routing.refresh(moduleName, this.#table));
    });
  }

  #waitFor(start: () => Promise<unknown>): void {
    if (this.#waiting.length === 0) return;
    this.#recovering = true;
    this.#scheduleExpiry();
    start().then(
      () => {
        this.#recovering = false;
        this.#pump();
      },
      (error: unknown) => {
        this.#recovering = false;
        if (error instanceof RamaError && isRouteTrouble(error) && !this.#options.context.closed) this.#recover(error);
        else this.#failWaiting(error);
      },
    );
  }

  #failWaiting(error: unknown): void {
    const known = error instanceof RamaError ? error : new RamaError("INTERNAL", String(error), {}, error);
    for (const batch of this.#waiting.splice(0)) {
      batch.fail(batch.sequence < 0 ? known : this.#unknown(known.message, known));
    }
  }

  /** Looks after batches that wait for routes or a connection; those in flight are looked after by the connection. */
  #scheduleExpiry(): void {
    if (this.#expiry !== undefined || this.#waiting.length === 0) return;
    const { env } = this.#options.context;
    const first = Math.min(...this.#waiting.map((batch) => batch.deadline));
    this.#expiry = env.setTimer(Math.max(1, first - env.monotonicMs()), () => {
      this.#expiry = undefined;
      const now = env.monotonicMs();
      const expired = this.#waiting.filter((batch) => batch.deadline <= now);
      const left = this.#waiting.filter((batch) => batch.deadline > now);
      this.#waiting.splice(0, this.#waiting.length, ...left);
      for (const batch of expired)
        batch.fail(batch.sequence < 0 ? this.#notSent() : this.#unknown("no answer in time"));
      if (this.#recovering) this.#scheduleExpiry();
    });
  }

  #notSent(): RamaError {
    const { timeoutMs } = this.#options;
    const why = this.#lastTrouble === undefined ? "" : `: ${this.#lastTrouble.message}`;
    return new RamaError(
      "TIMEOUT",
      `nothing was appended to ${this.#where()} within ${timeoutMs} ms${why}`,
      { stored: false, timeoutMs },
      this.#lastTrouble,
    );
  }

  #unknown(why: string, cause?: unknown): RamaError {
    return new RamaError(
      "APPEND_OUTCOME_UNKNOWN",
      `whether the append to ${this.#where()} is stored is unknown: ${why}`,
      { depot: this.#options.depotName, task: this.#options.task },
      cause,
    );
  }

  #where(): string {
    const { moduleName, depotName, task } = this.#options;
    return `${depotName} of ${moduleName}, partition ${task}`;
  }
}

/** One sending of a batch. After the batch was taken back, answers to this sending are for nobody. */
class InFlight implements PendingRequest {
  readonly #queue: PartitionQueue;
  readonly #batch: AppendBatch;
  readonly deadline: number;

  constructor(queue: PartitionQueue, batch: AppendBatch) {
    this.#queue = queue;
    this.#batch = batch;
    this.deadline = batch.deadline;
  }

  onAnswer(): void {
    this.#queue.failed(this.#batch, new RamaError("BAD_FRAME", "an append was answered like a read"));
  }

  onAppended(offset: number, result: AppendResult | undefined): void {
    this.#queue.appended(this.#batch, offset, result);
  }

  onFailure(error: RamaError): void {
    this.#queue.failed(this.#batch, error);
  }
}
