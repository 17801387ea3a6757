// The depot of a running module as its users see it: append records, ask for the partitions, read them by offset.
import { RamaError } from "../base/errors.ts";
import { decodeValue } from "../base/value-codec.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { ACK_LEVELS } from "../protocol/append.ts";
import { encodePartitionInfo, encodeReadDepot } from "../protocol/depot-read.ts";
import { FrameReader } from "../protocol/frame-fields.ts";
import type { AckReturns, AppendWaiter } from "./append-batch.ts";
import type { Appender } from "./appender.ts";
import { type CallContext, call } from "./call.ts";
import type { RouteTable } from "./routing.ts";

export interface ObjectInfo {
  readonly module: string;
  readonly name: string;
  readonly numPartitions: number;
}

export interface PartitionInfo {
  /** The first offset that can be read. */
  readonly startOffset: number;
  /** One past the last. */
  readonly endOffset: number;
}

export interface AppendFailure {
  /** Index in the records that were given. */
  readonly index: number;
  readonly error: RamaError;
}

export interface AppendManyResult {
  readonly appended: number;
  /** By index; null unless some record's topologies returned something. */
  readonly ackReturns: readonly AckReturns[] | null;
  /** In index order. Records that are not here are stored. */
  readonly failures: readonly AppendFailure[];
}

export class DepotClient<T = any> {
  readonly #context: CallContext;
  readonly #appender: Appender;
  readonly #moduleName: string;
  readonly #name: string;
  #closed = false;

  constructor(context: CallContext, appender: Appender, moduleName: string, name: string) {
    this.#context = context;
    this.#appender = appender;
    this.#moduleName = moduleName;
    this.#name = name;
  }

  /**
   * Appends one record. Resolves at the chosen level: "ack" (default: stored, and colocated stream topologies are done), "appendAck" (stored), "none" (at once).
   * Resolves to what `ackReturn` gave, by topology name, for example `{ banking: 17 }`; `{}` if nothing.
   * Order: appends of one client to one partition are stored in call order, awaited or not.
   * Errors: PROCESSING_FAILED (stored, but a topology failed), APPEND_OUTCOME_UNKNOWN (the record may be in), OVERLOADED, NOT_APPENDABLE,
   * NOT_SERIALIZABLE, TOO_LARGE, UNKNOWN_OBJECT, MODULE_NOT_FOUND.
   */
  append(record: T, level: AckLevelName = "ack"): Promise<AckReturns> {
    const problem = this.#problem(level);
    if (problem !== undefined) return Promise.reject(problem);
    return new Promise((resolve, reject) => {
      this.#appender.add(record, level, new OneAppend(resolve, reject, level, this.#context), 0);
      if (level === "none") resolve({});
    });
  }

  /**
   * Appends many records, in order, in few frames. Resolves when each has reached the level or failed; a failed record is told in the result and does not
   * keep the others from being stored.
   */
  appendMany(records: Iterable<T>, level: AckLevelName = "ack"): Promise<AppendManyResult> {
    const problem = this.#problem(level);
    if (problem !== undefined) return Promise.reject(problem);
    return new Promise((resolve) => {
      const many = new ManyAppends(resolve);
      let index = 0;
      for (const record of records) this.#appender.add(record, level, many, index++);
      many.all(index);
    });
  }

  async getObjectInfo(): Promise<ObjectInfo> {
    const table = await this.#context.routing.within(this.#moduleName, this.#timeoutMs);
    const depot = table.depot(this.#name);
    return { module: this.#moduleName, name: this.#name, numPartitions: depot.global ? 1 : table.numTasks };
  }

  getPartitionInfo(partition: number): Promise<PartitionInfo> {
    return call(this.#context, {
      moduleName: this.#moduleName,
      what: `partition ${partition} of ${this.#name}`,
      timeoutMs: this.#timeoutMs,
      repeatable: true,
      task: (table) => this.#task(table, partition),
      send: (table, task, connection, request) =>
        connection.send(
          encodePartitionInfo(this.#context.scratch, { depot: table.depot(this.#name).index, task, request }),
        ),
      read: (frame, at) => {
        const reader = new FrameReader(frame, at);
        return { startOffset: reader.count(), endOffset: reader.count() };
      },
    });
  }

  /** Records of a partition at offsets [from, to); those that a migration has removed are left out. Errors: OFFSET_OUT_OF_RANGE, TOO_LARGE. */
  async read(partition: number, from: number, to: number): Promise<T[]> {
    if (!isOffset(from) || !isOffset(to) || from > to) {
      const message = `[${from}, ${to}) is not a range of offsets`;
      throw new RamaError("OFFSET_OUT_OF_RANGE", message, { from, to });
    }
    const records: T[] = [];
    // An engine puts into one answer as many as it holds.
    for (let at = from; ; ) {
      const some = await this.#readSome(partition, at, to);
      for (const record of some.records) records.push(record);
      at += some.count;
      if (at >= to || some.count === 0) return records;
    }
  }

  /** `count`: with tombstones, which hold no record. */
  #readSome(partition: number, from: number, to: number): Promise<{ records: T[]; count: number }> {
    return call(this.#context, {
      moduleName: this.#moduleName,
      what: `a read of partition ${partition} of ${this.#name}`,
      timeoutMs: this.#timeoutMs,
      repeatable: true,
      task: (table) => this.#task(table, partition),
      send: (table, task, connection, request) =>
        connection.send(
          encodeReadDepot(this.#context.scratch, { depot: table.depot(this.#name).index, task, request, from, to }),
        ),
      read: (frame, at) => {
        const reader = new FrameReader(frame, at);
        const records: T[] = [];
        let count = 0;
        for (; reader.remaining > 0; count++) {
          const value = reader.block();
          if (value.length > 0) records.push(decodeValue(value, 0, value.length, this.#context.classes) as T);
        }
        return { records, count };
      },
    });
  }

  /** This client object takes no more appends; those that are on their way go on. */
  async close(): Promise<void> {
    this.#closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #timeoutMs(): number {
    return this.#context.config.get("foreign.depot.operation.timeout.millis");
  }

  #problem(level: AckLevelName): RamaError | undefined {
    if (this.#closed || this.#context.closed) {
      return new RamaError("CONNECTION_LOST", `the client of ${this.#name} is closed`, { stored: false });
    }
    if (!ACK_LEVELS.includes(level)) {
      return new RamaError("BAD_ARGUMENTS", `${String(level)} is not an ack level: ${ACK_LEVELS.join(", ")}`, {
        level,
      });
    }
    return undefined;
  }

  #task(table: RouteTable, partition: number): number {
    const count = table.depot(this.#name).global ? 1 : table.numTasks;
    if (!Number.isInteger(partition) || partition < 0 || partition >= count) {
      const message = `${this.#name} has the partitions 0 to ${count - 1}, not ${partition}`;
      throw new RamaError("BAD_PARTITION", message, { partition, count });
    }
    return partition;
  }
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

class OneAppend implements AppendWaiter {
  readonly #resolve: (ackReturns: AckReturns) => void;
  readonly #reject: (error: RamaError) => void;
  readonly #level: AckLevelName;
  readonly #context: CallContext;

  constructor(
    resolve: (ackReturns: AckReturns) => void,
    reject: (error: RamaError) => void,
    level: AckLevelName,
    context: CallContext,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#level = level;
    this.#context = context;
  }

  appended(_tag: number, _offset: number, ackReturns: AckReturns): void {
    this.#resolve(ackReturns);
  }

  notAppended(_tag: number, error: RamaError): void {
    // With "none" nobody waits any more, unless the record could not even be sent.
    if (this.#level === "none") this.#context.env.log.debug("append with ack level none failed", { error });
    this.#reject(error);
  }
}

class ManyAppends implements AppendWaiter {
  readonly #resolve: (result: AppendManyResult) => void;
  readonly #failures: AppendFailure[] = [];
  #ackReturns: AckReturns[] | null = null;
  #ended = 0;
  #count = -1;

  constructor(resolve: (result: AppendManyResult) => void) {
    this.#resolve = resolve;
  }

  /** Told once all records have been handed over. */
  all(count: number): void {
    this.#count = count;
    this.#endIfDone();
  }

  appended(tag: number, _offset: number, ackReturns: AckReturns): void {
    if (this.#ackReturns === null) {
      for (const _ in ackReturns) {
        this.#ackReturns = [];
        break;
      }
    }
    if (this.#ackReturns !== null) this.#ackReturns[tag] = ackReturns;
    this.#ended++;
    this.#endIfDone();
  }

  notAppended(tag: number, error: RamaError): void {
    this.#failures.push({ index: tag, error });
    this.#ended++;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#ended !== this.#count) return;
    const returns = this.#ackReturns;
    this.#failures.sort((a, b) => a.index - b.index);
    this.#resolve({
      appended: this.#count - this.#failures.length,
      ackReturns: returns === null ? null : Array.from({ length: this.#count }, (_, i) => returns[i] ?? {}),
      failures: this.#failures,
    });
  }
}
