// All appends of one client to one depot: chooses the partition of each record and hands it to that partition's queue, in call order. Random, field and op
// schemes are evaluated here; a scheme that is a function of the module is evaluated by the cluster (CHOOSE_PARTITIONS), one request at a time so that the
// order of calls stays. Records wait here, encoded, until the module's routes are known.
import { messageOf, RamaError } from "../base/errors.ts";
import { taskOf } from "../base/hash.ts";
import { mapGet } from "../base/compare.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import { opNamed } from "../dataflow/ops.ts";
import { encodeChoosePartitions, tooLarge } from "../protocol/append.ts";
import { FrameReader, FrameWriter } from "../protocol/frame-fields.ts";
import type { DepotRoute, RoutePartitioning } from "../protocol/routes.ts";
import type { AppendWaiter } from "./append-batch.ts";
import { type CallContext, call } from "./call.ts";
import { appendCostBytes, PartitionQueue, queueFull } from "./partition-queue.ts";
import type { RouteTable } from "./routing.ts";

interface HeldRecord {
  readonly value: Uint8Array;
  readonly level: AckLevelName;
  readonly waiter: AppendWaiter;
  readonly tag: number;
}

/** Records in one CHOOSE_PARTITIONS. */
const chooseMax = 1000;

export class Appender {
  readonly #context: CallContext;
  readonly #moduleName: string;
  readonly #depotName: string;
  readonly #timeoutMs: number;
  readonly #flushDelayMs: number;
  readonly #recordBytesMax: number;
  readonly #queues = new Map<number, PartitionQueue>();
  /** Records whose partition is not known yet; while there are any, later ones stand behind them. */
  readonly #held: HeldRecord[] = [];
  /** Their bytes, and what each costs beside. */
  #heldBytes = 0;
  #draining = false;

  constructor(context: CallContext, moduleName: string, depotName: string) {
    this.#context = context;
    this.#moduleName = moduleName;
    this.#depotName = depotName;
    this.#timeoutMs = context.config.get("foreign.depot.operation.timeout.millis");
    this.#flushDelayMs = context.config.get("foreign.depot.flush.delay.millis");
    this.#recordBytesMax = context.config.get("limit.record.bytes");
  }

  get idle(): boolean {
    return this.#held.length === 0 && [...this.#queues.values()].every((queue) => queue.idle);
  }

  /** Never throws: what is wrong with the record is told to the waiter. */
  add(record: unknown, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    const table = this.#context.routing.cached(this.#moduleName);
    try {
      if (table === undefined || table.doubtful || this.#held.length > 0) {
        this.#hold(record, level, waiter, tag);
        return;
      }
      const depot = this.#appendable(table);
      if (depot.partitioning.kind === "cluster" && !depot.global) {
        this.#hold(record, level, waiter, tag);
        return;
      }
      this.#queue(this.#choose(depot, table.numTasks, record)).add(record, level, waiter, tag);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      if (table === undefined || !this.#context.routing.mayRecheck(table, error)) waiter.notAppended(tag, error);
      else this.#holdOrRefuse(record, level, waiter, tag);
    }
  }

  /** An encoded record, to a partition that the caller has chosen. The module's routes are known. */
  addTo(task: number, value: Uint8Array, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    try {
      const table = this.#context.routing.cached(this.#moduleName);
      if (table !== undefined) this.#appendable(table);
      if (value.length > this.#recordBytesMax) throw tooLarge(value.length, this.#recordBytesMax);
      this.#queue(task).addEncoded(value, level, waiter, tag);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      waiter.notAppended(tag, error);
    }
  }

  close(): void {
    const error = new RamaError("CONNECTION_LOST", "the client was closed before the append was sent", {
      stored: false,
    });
    for (const held of this.#unhold(this.#held.length)) held.waiter.notAppended(held.tag, error);
    for (const queue of this.#queues.values()) queue.close();
  }

  #holdOrRefuse(record: unknown, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    try {
      this.#hold(record, level, waiter, tag);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      waiter.notAppended(tag, error);
    }
  }

  #hold(record: unknown, level: AckLevelName, waiter: AppendWaiter, tag: number): void {
    const value = encodeValue(record, this.#context.classes);
    if (value.length > this.#recordBytesMax) throw tooLarge(value.length, this.#recordBytesMax);
    if (this.#heldBytes > this.#context.config.get<number>("foreign.depot.queued.bytes"))
      throw queueFull(`${this.#depotName} of ${this.#moduleName}`, this.#heldBytes);
    this.#heldBytes += value.length + appendCostBytes;
    this.#held.push({ value, level, waiter, tag });
    if (!this.#draining) this.#startDrain();
  }

  #startDrain(): void {
    this.#draining = true;
    this.#context.env.spawn(`appends to ${this.#depotName} of ${this.#moduleName}`, async () => {
      try {
        while (this.#held.length > 0) await this.#drainSome();
      } finally {
        this.#draining = false;
      }
    });
  }

  async #drainSome(): Promise<void> {
    let taken: readonly HeldRecord[] = this.#held.slice(0, chooseMax);
    let tasks: readonly number[];
    try {
      const table = await this.#routes();
      const depot = this.#appendable(table);
      taken = this.#held.slice(0, chooseMax);
      tasks =
        depot.partitioning.kind === "cluster" && !depot.global
          ? await this.#askTasks(depot, taken)
          : taken.map(({ value }) => this.#choose(depot, table.numTasks, this.#decode(value)));
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      // One record that the scheme cannot take must not take others with it.
      if (
        taken.length > 1 &&
        !error.retryable &&
        error.code !== "MODULE_NOT_FOUND" &&
        error.code !== "UNKNOWN_OBJECT"
      ) {
        return this.#drainOneByOne(taken);
      }
      this.#unhold(taken.length);
      for (const { waiter, tag } of taken) waiter.notAppended(tag, error);
      return;
    }
    if (this.#held[0] !== taken[0]) return; // closed meanwhile
    this.#unhold(taken.length);
    for (const [i, held] of taken.entries()) this.#enqueue(tasks[i]!, held);
  }

  #unhold(count: number): HeldRecord[] {
    const gone = this.#held.splice(0, count);
    for (const { value } of gone) this.#heldBytes -= value.length + appendCostBytes;
    return gone;
  }

  #enqueue(task: number, { value, level, waiter, tag }: HeldRecord): void {
    try {
      this.#queue(task).addEncoded(value, level, waiter, tag);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      waiter.notAppended(tag, error);
    }
  }

  async #drainOneByOne(taken: readonly HeldRecord[]): Promise<void> {
    for (const held of taken) {
      try {
        const table = await this.#routes();
        const depot = this.#appendable(table);
        const task =
          depot.partitioning.kind === "cluster" && !depot.global
            ? (await this.#askTasks(depot, [held]))[0]!
            : this.#choose(depot, table.numTasks, this.#decode(held.value));
        if (this.#held[0] !== held) return;
        this.#unhold(1);
        this.#enqueue(task, held);
      } catch (error) {
        if (!(error instanceof RamaError)) throw error;
        if (this.#held[0] !== held) return;
        this.#unhold(1);
        held.waiter.notAppended(held.tag, error);
      }
    }
  }

  /** The module's routes, waited for as long as an append may take. */
  async #routes(): Promise<RouteTable> {
    const { routing } = this.#context;
    const table = await routing.within(this.#moduleName, this.#timeoutMs);
    try {
      table.depot(this.#depotName);
      return table;
    } catch (error) {
      return routing.recheck(this.#moduleName, table, error);
    }
  }

  #appendable(table: RouteTable): DepotRoute {
    const depot = table.depot(this.#depotName);
    if (depot.tick || depot.partitioning.kind === "disallow") {
      const why = depot.tick ? "is a tick depot" : "does not take appends of clients (Depot.disallow)";
      throw new RamaError("NOT_APPENDABLE", `${this.#depotName} of ${this.#moduleName} ${why}`, {
        depot: this.#depotName,
      });
    }
    return depot;
  }

  #choose(depot: DepotRoute, numTasks: number, record: unknown): number {
    if (depot.global || numTasks === 1) return 0;
    if (depot.partitioning.kind === "random") return Math.floor(this.#context.env.random() * numTasks);
    return taskOf(partitionKey(depot.partitioning, record), numTasks);
  }

  #askTasks(depot: DepotRoute, records: readonly HeldRecord[]): Promise<readonly number[]> {
    const writer = new FrameWriter(4096);
    for (const { value } of records) writer.block(value);
    return call(this.#context, {
      moduleName: this.#moduleName,
      what: `the partitions of ${records.length} records for ${this.#depotName}`,
      timeoutMs: this.#timeoutMs,
      repeatable: true,
      task: () => 0,
      send: (table, _task, connection, request) => {
        const { index } = table.depot(depot.name);
        const choose = { depot: index, request, count: records.length, records: writer.view() };
        connection.send(encodeChoosePartitions(new FrameWriter(4096), choose));
      },
      read: (frame, at) => {
        const reader = new FrameReader(frame, at);
        return records.map(() => reader.u32());
      },
    });
  }

  #queue(task: number): PartitionQueue {
    let queue = this.#queues.get(task);
    if (queue === undefined) {
      queue = new PartitionQueue({
        context: this.#context,
        moduleName: this.#moduleName,
        depotName: this.#depotName,
        task,
        timeoutMs: this.#timeoutMs,
        flushDelayMs: this.#flushDelayMs,
        recordBytesMax: this.#recordBytesMax,
        queuedBytesMax: this.#context.config.get("foreign.depot.queued.bytes"),
      });
      this.#queues.set(task, queue);
    }
    return queue;
  }

  #decode(value: Uint8Array): unknown {
    return decodeValue(value, 0, value.length, this.#context.classes);
  }
}

/** The value whose hash chooses the partition. A missing field hashes like null. */
function partitionKey(partitioning: RoutePartitioning, record: unknown): unknown {
  if (partitioning.kind === "hashOp") return opKey(partitioning.op, record);
  if (partitioning.kind !== "hashField") return null;
  if (record instanceof Map) return mapGet(record, partitioning.field) ?? null;
  if (record === null || typeof record !== "object") return null;
  return (
    (Object.hasOwn(record, partitioning.field) ? (record as Record<string, unknown>)[partitioning.field] : null) ?? null
  );
}

function opKey(name: string, record: unknown): unknown {
  const op = opNamed(name);
  if (op === undefined)
    throw new RamaError("WRONG_VERSION", `this release has no ${name}, by which the depot is partitioned`, {
      op: name,
    });
  try {
    return op.fn(record) ?? null;
  } catch (error) {
    if (error instanceof RamaError) throw error;
    throw new RamaError("USER_CODE_FAILED", `${name} of the record: ${messageOf(error)}`, { op: name }, error);
  }
}
