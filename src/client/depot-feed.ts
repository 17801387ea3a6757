// One partition of another module's depot as a source of topologies: where it stands, and its records as they come. Over the client library, so that it follows the
// module when that moves, restarts or is updated.
import { RamaError } from "../base/errors.ts";
import {
  encodeFetchDepot,
  encodeOffsetAt,
  encodePartitionInfo,
  type Fetched,
  NO_END,
  readFetched,
} from "../protocol/depot-read.ts";
import { FrameReader } from "../protocol/frame-fields.ts";
import { type CallContext, call } from "./call.ts";
import type { RouteTable } from "./routing.ts";

/** How long one fetch waits for records before it is asked again: what is lost when the other side dies silently. */
const fetchWaitMs = 5_000;
/** Of one answer: with a record of the greatest size it still fits a frame. */
const fetchBytes = 1024 * 1024;

export class DepotFeed {
  readonly #context: CallContext;
  readonly #module: string;
  readonly #depot: string;
  readonly #partition: number;
  readonly #consumer: string;

  constructor(context: CallContext, module: string, depot: string, partition: number, consumer: string) {
    this.#context = context;
    this.#module = module;
    this.#depot = depot;
    this.#partition = partition;
    this.#consumer = consumer;
  }

  positions(): Promise<{ readonly startOffset: number; readonly endOffset: number }> {
    return this.#ask(
      (depot, request) => encodePartitionInfo(this.#context.scratch, { depot, task: this.#partition, request }),
      (reader) => ({ startOffset: reader.count(), endOffset: reader.count() }),
    );
  }

  /** Offset of the first record that was appended at `ms` or later. */
  offsetAfterTimestamp(ms: number): Promise<number> {
    return this.#ask(
      (depot, request) => encodeOffsetAt(this.#context.scratch, { depot, task: this.#partition, request, ms }),
      (reader) => reader.count(),
    );
  }

  /** Records from `from` on; waits a while for the first. Nothing below `neededFrom` is fetched again. */
  fetch(from: number, to = NO_END, neededFrom = from): Promise<Fetched> {
    const waitMs = to === NO_END ? fetchWaitMs : 0;
    return this.#ask(
      (depot, request) =>
        encodeFetchDepot(this.#context.scratch, {
          depot,
          task: this.#partition,
          request,
          from,
          to,
          bytes: fetchBytes,
          waitMs,
          consumer: to === NO_END ? this.#consumer : "",
          neededFrom,
        }),
      (reader) => readFetched(reader.bytes, reader.at, from),
      waitMs,
    );
  }

  #ask<T>(
    encode: (depot: number, request: number) => Uint8Array,
    read: (reader: FrameReader) => T,
    waitMs = 0,
  ): Promise<T> {
    const { config } = this.#context;
    return call(this.#context, {
      moduleName: this.#module,
      what: `a read of partition ${this.#partition} of ${this.#depot}`,
      timeoutMs: waitMs + config.get<number>("foreign.depot.operation.timeout.millis"),
      repeatable: true,
      task: (table) => this.#task(table),
      send: (table, _task, connection, request) => connection.send(encode(table.depot(this.#depot).index, request)),
      read: (frame, at) => read(new FrameReader(frame, at)),
    });
  }

  #task(table: RouteTable): number {
    const count = table.depot(this.#depot).global ? 1 : table.numTasks;
    if (this.#partition < count) return this.#partition;
    const message = `${this.#depot} of ${this.#module} has ${count} partitions; ${this.#partition} is none of them`;
    throw new RamaError("BAD_PARTITION", message, { partition: this.#partition, count });
  }
}
