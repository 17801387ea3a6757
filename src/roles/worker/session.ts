// One connection to an engine port: hello first, then requests in any number, answered in any order. A frame that cannot be read closes the connection with a
// reason; a request that cannot be carried out is answered with its failure and disturbs nobody else.
import { latin1Of } from "../../base/bytes.ts";
import type { Env } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import { decodeValue, encodeValue } from "../../base/value-codec.ts";
import type { Connection } from "../../net/transport.ts";
import { type AppendRequest, decodeAppend, decodeChoosePartitions, encodeAppendResult } from "../../protocol/append.ts";
import {
  decodeFetchDepot,
  decodeOffsetAt,
  decodePartitionInfo,
  decodeReadDepot,
  writeFetched,
} from "../../protocol/depot-read.ts";
import { decodeEvents } from "../../protocol/event.ts";
import { encodeFailure } from "../../protocol/failure.ts";
import { badFrame, FrameWriter } from "../../protocol/frame-fields.ts";
import { decodeHello, encodeGoodbye, encodeHelloOk, type Hello, PEER_ENGINE } from "../../protocol/hello.ts";
import { ANY_TASK, decodeInvoke } from "../../protocol/query.ts";
import { decodeWatch } from "../../protocol/proxy.ts";
import {
  decodeChooseTask,
  decodePreparePath,
  decodeSelect,
  preparedPathsMax,
  selectArgsAt,
} from "../../protocol/read.ts";
import {
  ANSWER,
  APPEND,
  APPEND_DONE,
  CHOOSE_PARTITIONS,
  CHOOSE_TASK,
  EVENTS,
  features,
  FETCH_DEPOT,
  INVOKE,
  OFFSET_AT,
  PARTITION_INFO,
  PREPARE_PATH,
  READ_DEPOT,
  SELECT,
  UNWATCH,
  WATCH,
  WATCH_BEAT,
} from "../../protocol/table.ts";
import type { EngineFetch } from "../../task/engine-api.ts";
import type { EngineRequests, PreparedPath } from "./requests.ts";
import { SessionWatches } from "./session-watches.ts";

/** Requests of one connection that are not answered yet; more are refused. */
const requestsMax = 200_000;
/** With as many paths as a connection may have, 64 MB. */
const specBytesMax = 64 * 1024;
/** With more than this unsent, answers become failures: a client that asks faster than it reads is told so before its connection has to be closed. */
const unreadBytesMax = 32 * 1024 * 1024;
/** Of one fetch, whatever the other side asks for. */
const fetchBytesMax = 2 * 1024 * 1024;
const fetchWaitMaxMs = 60_000;
const emptyReturns = new Uint8Array(0);

/** Requests of one connection that wait, for two seconds at most; a client has far less open. */
const heldBytesMax = 16 * 1024 * 1024;

export class Session {
  readonly #connection: Connection;
  readonly #requests: EngineRequests;
  #hello: Hello | undefined;
  /** Paths as the client numbered them. */
  readonly #paths: (PreparedPath | undefined)[] = [];
  readonly #done = new FrameWriter(1024);
  readonly #scratch: FrameWriter;
  readonly #env: Env;
  /** From the first proxy on. */
  #watches: SessionWatches | undefined;
  /** What drops the fetches that wait for records. */
  readonly #fetches = new Set<() => void>();
  #doneScheduled = false;
  /** What waits for that the engine is certain to lead. */
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** It has been told to look elsewhere; what it has sent since is for nobody. */
  #ended = false;
  #open = 0;

  constructor(connection: Connection, requests: EngineRequests, env: Env) {
    this.#connection = connection;
    this.#env = env;
    this.#requests = requests;
    this.#scratch = new FrameWriter(1024, requests.classes);
    this.#done.begin(APPEND_DONE);
  }

  get greeted(): boolean {
    return this.#hello !== undefined;
  }

  onFrame(frame: Uint8Array): void {
    if (this.#ended) return;
    // What appends say is not answered before it is committed.
    if (frame[0] !== APPEND && (this.#held.length > 0 || this.#requests.unconfirmed)) {
      this.#hold(frame);
      return;
    }
    this.#handle(frame);
  }

  #handle(frame: Uint8Array): void {
    try {
      if (this.#hello === undefined) this.#greet(frame);
      else this.#dispatch(frame);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** Until it is certain that the engine leads; all that comes meanwhile stays behind it. */
  #hold(frame: Uint8Array): void {
    this.#held.push(frame.slice());
    this.#heldBytes += frame.length;
    if (this.#heldBytes > heldBytesMax) {
      this.goodbye(new RamaError("OVERLOADED", "too much waits for the certainty that this replica leads still"));
    }
    if (this.#held.length > 1) return;
    this.#requests.whenConfirmed((error) => {
      if (error !== null) this.goodbye(error);
      this.#heldBytes = 0;
      for (const held of this.#held.splice(0)) if (!this.#ended) this.#handle(held);
    });
  }

  goodbye(error: RamaError): void {
    this.#ended = true;
    if (this.#connection.closed) return;
    this.#flushDone();
    this.#connection.send(encodeGoodbye(error));
    this.#connection.close(error.message);
  }

  #greet(frame: Uint8Array): void {
    const hello = decodeHello(frame);
    this.#requests.checkInstance(hello.moduleInstanceId);
    this.#hello = hello;
    this.#connection.send(encodeHelloOk({ release: this.#requests.release, features }));
  }

  #dispatch(frame: Uint8Array): void {
    switch (frame[0]) {
      case APPEND:
        this.#append(frame);
        return;
      case SELECT:
        this.#select(frame);
        return;
      case EVENTS:
        this.#events(frame);
        return;
      case PREPARE_PATH:
        this.#prepare(frame);
        return;
      case INVOKE:
        this.#invoke(frame);
        return;
      case PARTITION_INFO:
        this.#partitionInfo(frame);
        return;
      case READ_DEPOT:
        this.#readDepot(frame);
        return;
      case FETCH_DEPOT:
        this.#fetchDepot(frame);
        return;
      case OFFSET_AT:
        this.#offsetAt(frame);
        return;
      case CHOOSE_PARTITIONS:
        this.#choosePartitions(frame);
        return;
      case CHOOSE_TASK:
        this.#chooseTask(frame);
        return;
      case WATCH:
        this.#watch(frame);
        return;
      case UNWATCH:
      case WATCH_BEAT:
        this.#watches?.onFrame(frame);
        return;
      default:
        throw badFrame(`kind ${frame[0]} is not one that a client sends`);
    }
  }

  #append(frame: Uint8Array): void {
    if (this.#requests.holdsAppends) return;
    let append: AppendRequest;
    try {
      append = decodeAppend(frame, this.#requests.recordBytesMax);
    } catch (error) {
      if (error instanceof RamaError && error.code === "TOO_LARGE") {
        this.#fail(error.facts["request"] as number, error);
        return;
      }
      throw error;
    }
    const { request } = append;
    this.#carryOut(request, () => {
      const token = { client: this.#hello!.clientId, seq: append.sequence };
      this.#requests.append(append, token, (error, offset, ackReturns, failures) => {
        this.#open--;
        if (error !== null) this.#appendFailed(request, error);
        else if (ackReturns === null && failures === null) this.#appended(request, Math.max(0, offset));
        else this.#answerResult(request, offset, ackReturns, failures);
      });
    });
  }

  /** A replica that begins to lead in the next moment must not store what came after an append that it has refused: their order would be lost. */
  #appendFailed(request: number, error: RamaError): void {
    this.#fail(request, error);
    if (error.code === "MOVED") this.goodbye(error);
  }

  #answerResult(
    request: number,
    offset: number,
    ackReturns: readonly (Record<string, unknown> | null)[] | null,
    failures: ReadonlyMap<number, RamaError> | null,
  ): void {
    try {
      const returns = ackReturns === null ? emptyReturns : encodeValue(ackReturns, this.#requests.classes);
      this.#flushDone();
      const result = { request, offset: Math.max(0, offset), returns, failures: failures ?? new Map() };
      this.#connection.send(encodeAppendResult(this.#scratch, result));
    } catch (error) {
      // What `ackReturn` gave cannot be sent. The records are stored.
      const cause = error instanceof RamaError ? error : new RamaError("INTERNAL", messageOf(error), {}, error);
      this.#fail(request, new RamaError("PROCESSING_FAILED", `ack returns: ${cause.message}`, { stored: true }, cause));
    }
  }

  /** Answers of one turn share a frame. */
  #appended(request: number, offset: number): void {
    this.#done.u32(request).f64(offset);
    if (this.#doneScheduled) return;
    this.#doneScheduled = true;
    queueMicrotask(() => this.#flushDone());
  }

  #flushDone(): void {
    this.#doneScheduled = false;
    if (this.#done.length === 1) return;
    this.#connection.send(this.#done.view());
    this.#done.begin(APPEND_DONE);
  }

  #select(frame: Uint8Array): void {
    const select = decodeSelect(frame);
    const { request, one } = select;
    this.#carryOut(request, () => {
      const path = this.#paths[select.path];
      if (path === undefined) throw badFrame(`path ${select.path} was not prepared`);
      const { classes } = this.#requests;
      const args =
        frame.length === selectArgsAt ? [] : (decodeValue(frame, selectArgsAt, frame.length, classes) as unknown[]);
      if (!Array.isArray(args)) throw badFrame("the arguments of a path are not an array");
      this.#requests.select(select.pstate, select.task, path, args, (error, rows) => {
        this.#open--;
        if (error !== null) this.#fail(request, error);
        else if (!one) this.#answer(request, rows);
        else if (rows.length === 1) this.#answer(request, rows[0]);
        else this.#fail(request, notExactlyOne(rows.length));
      });
    });
  }

  #events(frame: Uint8Array): void {
    if (this.#hello!.peer !== PEER_ENGINE) throw badFrame("events come from engines only");
    const { task, batch } = decodeEvents(frame);
    this.#requests.deliver(task, batch);
  }

  #prepare(frame: Uint8Array): void {
    const { path, spec } = decodePreparePath(frame);
    if (spec.length > specBytesMax) throw badFrame(`a path of ${spec.length} bytes is longer than ${specBytesMax}`);
    if (path >= preparedPathsMax) throw badFrame(`path number ${path} is not below ${preparedPathsMax}`);
    this.#paths[path] = { spec: latin1Of(spec), selects: [] };
  }

  #invoke(frame: Uint8Array): void {
    const { query, task, request, args } = decodeInvoke(frame);
    this.#carryOut(request, () => {
      const values = decodeValue(args, 0, args.length, this.#requests.classes);
      if (!Array.isArray(values)) throw badFrame("the arguments of a query are not an array");
      this.#requests.invoke(query, task === ANY_TASK ? undefined : task, values, (error, value) => {
        this.#open--;
        if (error !== null) this.#fail(request, error);
        else this.#answer(request, value);
      });
    });
  }

  #partitionInfo(frame: Uint8Array): void {
    const { depot, task, request } = decodePartitionInfo(frame);
    this.#carryOut(request, () => {
      const { startOffset, endOffset } = this.#requests.partitionInfo(depot, task);
      this.#open--;
      this.#connection.send(this.#scratch.begin(ANSWER).u32(request).f64(startOffset).f64(endOffset).view());
    });
  }

  #readDepot(frame: Uint8Array): void {
    const { depot, task, request, from, to } = decodeReadDepot(frame);
    this.#carryOut(request, () => {
      const records = this.#requests.readDepot(depot, task, from, to);
      this.#open--;
      const writer = this.#scratch.begin(ANSWER).u32(request);
      for (const record of records) writer.block(record);
      this.#sendAnswer(request, writer);
    });
  }

  #fetchDepot(frame: Uint8Array): void {
    const { depot, task, request, from, to, bytes, waitMs, consumer, neededFrom } = decodeFetchDepot(frame);
    this.#carryOut(request, () => {
      let drop: (() => void) | undefined;
      const reply: EngineFetch["reply"] = (error, fetched) => {
        this.#open--;
        if (drop !== undefined) this.#fetches.delete(drop);
        if (error !== null) this.#fail(request, error);
        else this.#sendAnswer(request, writeFetched(this.#scratch.begin(ANSWER).u32(request), from, fetched!));
      };
      const most = Math.min(bytes, fetchBytesMax);
      drop = this.#requests.fetchDepot(depot, task, {
        from,
        to,
        bytes: most,
        waitMs: Math.min(waitMs, fetchWaitMaxMs),
        consumer,
        neededFrom,
        reply,
      });
      if (drop !== undefined) this.#fetches.add(drop);
    });
  }

  #offsetAt(frame: Uint8Array): void {
    const { depot, task, request, ms } = decodeOffsetAt(frame);
    this.#carryOut(request, () => {
      const offset = this.#requests.offsetAt(depot, task, ms);
      this.#open--;
      this.#connection.send(this.#scratch.begin(ANSWER).u32(request).f64(offset).view());
    });
  }

  #choosePartitions(frame: Uint8Array): void {
    const choose = decodeChoosePartitions(frame, this.#requests.recordBytesMax);
    this.#carryOut(choose.request, () => {
      const tasks = this.#requests.choosePartitions(choose.depot, choose.records);
      this.#open--;
      const writer = this.#scratch.begin(ANSWER).u32(choose.request);
      for (const task of tasks) writer.u32(task);
      this.#connection.send(writer.view());
    });
  }

  #watch(frame: Uint8Array): void {
    const { pstate, task, request, watch, path, args } = decodeWatch(frame);
    this.#carryOut(request, () => {
      const prepared = this.#paths[path];
      if (prepared === undefined) throw badFrame(`path ${path} was not prepared`);
      const values = args.length === 0 ? [] : decodeValue(args, 0, args.length, this.#requests.classes);
      if (!Array.isArray(values)) throw badFrame("the arguments of a path are not an array");
      this.#watches ??= new SessionWatches(this.#connection, this.#requests, this.#env);
      this.#watches.open(watch, { pstate, task, path: prepared, args: values }, (error, answer) => {
        this.#open--;
        if (error !== null) this.#fail(request, error);
        else this.#answer(request, answer);
      });
    });
  }

  /** The connection is gone. */
  closed(): void {
    for (const drop of this.#fetches) drop();
    this.#watches?.close();
  }

  #chooseTask(frame: Uint8Array): void {
    const { pstate, request, key } = decodeChooseTask(frame);
    this.#carryOut(request, () => {
      const task = this.#requests.chooseTask(pstate, decodeValue(key, 0, key.length, this.#requests.classes));
      this.#open--;
      this.#connection.send(this.#scratch.begin(ANSWER).u32(request).u32(task).view());
    });
  }

  /** Runs a request. What it throws is its failure; BAD_FRAME and MOVED also end the connection. */
  #carryOut(request: number, run: () => void): void {
    if (this.#open >= requestsMax) {
      const message = `${this.#open} requests of this connection are unanswered`;
      this.#fail(request, new RamaError("OVERLOADED", message));
      return;
    }
    this.#open++;
    try {
      run();
    } catch (error) {
      this.#open--;
      if (error instanceof RamaError && error.code === "BAD_FRAME") throw error;
      this.#fail(request, error);
      // The order of a client's appends to a partition holds only if nothing is accepted after something was sent away.
      if (error instanceof RamaError && error.code === "MOVED") this.goodbye(error);
    }
  }

  #answer(request: number, value: unknown): void {
    try {
      this.#sendAnswer(request, this.#scratch.begin(ANSWER).u32(request).value(value));
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #sendAnswer(request: number, writer: FrameWriter): void {
    const limit = this.#requests.answerBytesMax;
    const { unsentBytes } = this.#connection;
    if (unsentBytes > unreadBytesMax) {
      const message = `${unsentBytes} bytes of answers on this connection have not been read`;
      this.#fail(request, new RamaError("OVERLOADED", message, { unsentBytes }));
      return;
    }
    if (writer.length <= limit) {
      this.#connection.send(writer.view());
      return;
    }
    const message = `an answer of ${writer.length} bytes is over the limit of ${limit} (limit.answer.bytes, limit.frame.bytes): read it in parts, as sortedMapRangeFrom with maxAmt or sublist gives them, or let a query topology aggregate it`;
    this.#fail(request, new RamaError("TOO_LARGE", message, { bytes: writer.length, limit }));
  }

  #fail(request: number, error: unknown): void {
    if (!(error instanceof RamaError)) this.#requests.log.error("request ended with an error", { error });
    this.#flushDone();
    this.#connection.send(encodeFailure(this.#scratch, request, error));
  }

  /** Closes the connection for what stands in `error`. */
  #refuse(error: unknown): void {
    const known = error instanceof RamaError ? error : new RamaError("INTERNAL", messageOf(error), {}, error);
    const { log } = this.#requests;
    if (error instanceof RamaError)
      log.debug("connection refused", { remote: this.#connection.remote, why: known.message });
    else log.error("connection ended with an error", { remote: this.#connection.remote, error });
    this.goodbye(known);
  }
}

function notExactlyOne(count: number): RamaError {
  return new RamaError("NOT_EXACTLY_ONE", `selectOne: the path navigates to ${count} values`, { count });
}
