// Calls and streams over one connection; both ends may call. Knows method numbers, not what they mean.
//   frame := kind u8 | call u32 | method u16 | body        little-endian
//   kind  := 1 request | 2 response | 3 error | 4 one-way | 5 stream item | 6 stream end | 7 cancel
// The call number is the requester's; one-way frames have 0. The body of an error is CBOR `{code, message, facts}`. Example: a request 5 of method 9 with
// the body "x" is 01 05 00 00 00 09 00 78. Frames whose first byte is 16 or more belong to someone else and go to `onOther` as they are.
//
// Bodies are copied when they arrive, so handlers may keep them.
import { decodeControl, encodeControl } from "../base/codec.ts";
import type { Env, Timer } from "../base/env.ts";
import { type ErrorCode, isErrorCode, messageOf, RamaError } from "../base/errors.ts";
import type { Address, Connection, ConnectionHandlers, Transport } from "./transport.ts";

const REQUEST = 1;
const RESPONSE = 2;
const ERROR = 3;
const ONE_WAY = 4;
const STREAM_ITEM = 5;
const STREAM_END = 6;
const CANCEL = 7;
const FIRST_OTHER_KIND = 16;
const HEADER_BYTES = 7;

/** Items of a stream that its receiver has not taken; beyond, the stream ends with TOO_LARGE. */
const maxQueuedStreamBytes = 64 * 1024 * 1024;
/** A sender of a stream waits while more than this is unsent. */
const streamUnsentBytes = 1024 * 1024;
const streamWaitMs = 2;
/** Calls of one peer that are being carried out; more are OVERLOADED. */
const runningMax = 1_000;
const emptyBody = new Uint8Array(0);

/** What a handler knows about the call it carries out. */
export interface RpcCall {
  readonly peer: RpcPeer;
  readonly method: number;
  /** Aborts when the caller has given up (timeout, cancelled stream) or the connection is lost. */
  readonly signal: AbortSignal;
}

/** One body, or a stream of items. */
export type RpcAnswer = Uint8Array | AsyncIterable<Uint8Array>;

export interface RpcHandlers {
  /** A RamaError that it throws reaches the caller with code, message and facts; anything else as INTERNAL. */
  onCall?(method: number, body: Uint8Array, call: RpcCall): RpcAnswer | Promise<RpcAnswer>;
  onOneWay?(method: number, body: Uint8Array, peer: RpcPeer): void;
  /** Frames whose first byte is 16 or more; valid only during the call. */
  onOther?(frame: Uint8Array, connection: Connection): void;
  onClose?(reason: string, peer: RpcPeer): void;
  onDrain?(connection: Connection): void;
}

interface Pending {
  onResponse(body: Uint8Array): void;
  onItem?(body: Uint8Array): void;
  onEnd?(): void;
  onError(error: RamaError): void;
}

/**
 * One end of a connection. Give it as the handlers of the connection:
 *   transport.listen(address, (connection) => new RpcPeer(env, connection, handlers))
 *   const peer = await RpcPeer.connect(env, transport, address, handlers)
 */
export class RpcPeer implements ConnectionHandlers {
  readonly #env: Env;
  readonly #handlers: RpcHandlers;
  #connection: Connection | undefined;
  #lastCall = 0;
  readonly #pending = new Map<number, Pending>();
  /** Calls of the other side that are being carried out. */
  readonly #running = new Map<number, AbortController>();
  #closeReason: string | undefined;

  constructor(env: Env, connection: Connection | undefined, handlers: RpcHandlers = {}) {
    this.#env = env;
    this.#connection = connection;
    this.#handlers = handlers;
  }

  static async connect(
    env: Env,
    transport: Transport,
    address: Address,
    handlers: RpcHandlers = {},
    timeoutMs?: number,
  ): Promise<RpcPeer> {
    const peer = new RpcPeer(env, undefined, handlers);
    peer.#connection = await transport.connect(address, peer, timeoutMs);
    return peer;
  }

  get connection(): Connection {
    if (this.#connection === undefined) throw new RamaError("CONNECTION_LOST", "not connected yet");
    return this.#connection;
  }

  get closed(): boolean {
    return this.#closeReason !== undefined || this.#connection?.closed === true;
  }

  /** TIMEOUT when no answer has come within `timeoutMs`; CONNECTION_LOST; or what the handler threw. */
  call(method: number, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        reject(this.#lost(method));
        return;
      }
      const id = this.#nextCall();
      let timer: Timer | undefined;
      const settle = () => {
        timer?.cancel();
        this.#pending.delete(id);
      };
      timer = this.#env.setTimer(timeoutMs, () => {
        settle();
        this.#send(CANCEL, id, method, emptyBody);
        const facts = { remote: this.connection.remote, method, timeoutMs };
        reject(new RamaError("TIMEOUT", `no answer from ${facts.remote} within ${timeoutMs} ms`, facts));
      });
      this.#pending.set(id, {
        onResponse(answer) {
          settle();
          resolve(answer);
        },
        onError(error) {
          settle();
          reject(error);
        },
      });
      this.#send(REQUEST, id, method, body);
    });
  }

  /** Items as they come. Leaving the loop, or aborting `signal`, cancels the stream on the other side. */
  stream(method: number, body: Uint8Array, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return { [Symbol.asyncIterator]: () => this.#stream(method, body, signal) };
  }

  /** No answer, no error; lost with the connection. */
  oneWay(method: number, body: Uint8Array): void {
    if (!this.closed) this.#send(ONE_WAY, 0, method, body);
  }

  close(reason = "closed"): void {
    this.#connection?.close(reason);
  }

  // ConnectionHandlers

  onFrame(frame: Uint8Array, connection: Connection): void {
    this.#connection ??= connection;
    const kind = frame[0] ?? 0;
    if (kind >= FIRST_OTHER_KIND && this.#handlers.onOther !== undefined) {
      this.#handlers.onOther(frame, connection);
      return;
    }
    if (frame.length < HEADER_BYTES || kind === 0 || kind > CANCEL) {
      connection.close(`BAD_FRAME: kind ${kind}, ${frame.length} bytes`);
      return;
    }
    const id = (frame[1]! | (frame[2]! << 8) | (frame[3]! << 16) | (frame[4]! << 24)) >>> 0;
    const method = frame[5]! | (frame[6]! << 8);
    const body = frame.slice(HEADER_BYTES);
    switch (kind) {
      case REQUEST:
        this.#env.spawn(`call ${method}`, () => this.#carryOut(id, method, body));
        break;
      case ONE_WAY:
        this.#handlers.onOneWay?.(method, body, this);
        break;
      case CANCEL:
        this.#running.get(id)?.abort();
        break;
      default:
        this.#answer(kind, id, body);
    }
  }

  onClose(reason: string): void {
    this.#closeReason = reason;
    for (const controller of this.#running.values()) controller.abort();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.onError(this.#lost());
    this.#handlers.onClose?.(reason, this);
  }

  onDrain(connection: Connection): void {
    this.#handlers.onDrain?.(connection);
  }

  #answer(kind: number, id: number, body: Uint8Array): void {
    const pending = this.#pending.get(id);
    // An answer to a call that timed out is of no interest any more.
    if (pending === undefined) return;
    if (kind === RESPONSE) pending.onResponse(body);
    else if (kind === ERROR) pending.onError(decodeError(body));
    else if (kind === STREAM_ITEM) pending.onItem?.(body);
    else pending.onEnd?.();
  }

  async #carryOut(id: number, method: number, body: Uint8Array): Promise<void> {
    if (this.#running.size >= runningMax) {
      const message = `${runningMax} calls of this connection are not answered yet`;
      this.#send(ERROR, id, method, encodeError(new RamaError("OVERLOADED", message)));
      return;
    }
    const controller = new AbortController();
    this.#running.set(id, controller);
    try {
      if (this.#handlers.onCall === undefined)
        throw new RamaError("BAD_FRAME", `nobody answers method ${method} here`, { method });
      const result = await this.#handlers.onCall(method, body, { peer: this, method, signal: controller.signal });
      if (result instanceof Uint8Array) this.#send(RESPONSE, id, method, result);
      else await this.#sendStream(id, method, result, controller.signal);
    } catch (error) {
      if (!(error instanceof RamaError)) this.#env.log.error("a call failed", { method, error });
      this.#send(ERROR, id, method, encodeError(error));
    } finally {
      this.#running.delete(id);
    }
  }

  async #sendStream(id: number, method: number, items: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    for await (const item of items) {
      if (signal.aborted) return;
      this.#send(STREAM_ITEM, id, method, item);
      while (!signal.aborted && this.connection.unsentBytes > streamUnsentBytes) await this.#env.sleep(streamWaitMs);
    }
    this.#send(STREAM_END, id, method, emptyBody);
  }

  async *#stream(method: number, body: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    if (this.closed) throw this.#lost(method);
    const id = this.#nextCall();
    const queue = new StreamQueue();
    const cancel = () => queue.fail(new RamaError("TIMEOUT", "the stream was cancelled", { method }));
    this.#pending.set(id, queue);
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    this.#send(REQUEST, id, method, body);
    try {
      for (;;) {
        const item = await queue.next();
        if (item === undefined) return;
        yield item;
      }
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#pending.delete(id);
      if (!queue.ended) this.#send(CANCEL, id, method, emptyBody);
    }
  }

  #send(kind: number, id: number, method: number, body: Uint8Array): void {
    if (this.closed || this.#connection === undefined) return;
    const header = new Uint8Array(HEADER_BYTES);
    header[0] = kind;
    header[1] = id;
    header[2] = id >>> 8;
    header[3] = id >>> 16;
    header[4] = id >>> 24;
    header[5] = method;
    header[6] = method >>> 8;
    this.#connection.sendParts([header, body]);
  }

  #nextCall(): number {
    do this.#lastCall = (this.#lastCall + 1) >>> 0;
    while (this.#lastCall === 0 || this.#pending.has(this.#lastCall));
    return this.#lastCall;
  }

  #lost(method?: number): RamaError {
    const remote = this.#connection?.remote ?? "?";
    const reason = this.#closeReason ?? "closed";
    return new RamaError("CONNECTION_LOST", `the connection to ${remote} is lost: ${reason}`, {
      remote,
      reason,
      method,
    });
  }
}

/** Items of one stream between arrival and consumption. */
class StreamQueue implements Pending {
  /** The other side has ended the stream, or the connection has. */
  ended = false;
  #items: Uint8Array[] = [];
  #bytes = 0;
  #error: RamaError | undefined;
  #done = false;
  #wake: (() => void) | undefined;

  onItem(body: Uint8Array): void {
    this.#items.push(body);
    this.#bytes += body.length;
    if (this.#bytes > maxQueuedStreamBytes) {
      this.fail(new RamaError("TOO_LARGE", "a stream comes faster than it is read", { bytes: this.#bytes }));
    }
    this.#wake?.();
  }

  /** A single answer to a request for a stream is a stream of one. */
  onResponse(body: Uint8Array): void {
    this.onItem(body);
    this.onEnd();
  }

  onEnd(): void {
    this.ended = true;
    this.#done = true;
    this.#wake?.();
  }

  onError(error: RamaError): void {
    this.ended = true;
    this.fail(error);
  }

  fail(error: RamaError): void {
    this.#error ??= error;
    this.#wake?.();
  }

  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#bytes -= item.length;
        return item;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#done) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function encodeError(error: unknown): Uint8Array {
  const code: ErrorCode = error instanceof RamaError ? error.code : "INTERNAL";
  const facts = error instanceof RamaError ? error.facts : {};
  try {
    return encodeControl({ code, message: messageOf(error), facts });
  } catch {
    const texts = Object.entries(facts).map(([name, value]) => [name, String(value)]);
    return encodeControl({ code, message: messageOf(error), facts: Object.fromEntries(texts) });
  }
}

function decodeError(body: Uint8Array): RamaError {
  const { code, message, facts } = decodeControl(body) as {
    code: string;
    message: string;
    facts: Record<string, unknown>;
  };
  if (isErrorCode(code)) return new RamaError(code, message, facts);
  return new RamaError("INTERNAL", `${code}: ${message}`, { ...facts, code });
}

/**
 * Calls to one address over a connection that is made when it is needed and made anew after it was lost. A call that was in flight when the connection
 * broke ends with CONNECTION_LOST: whether to repeat it is the caller's to know. Concurrent callers share one attempt to connect.
 */
export class RpcClient {
  readonly #env: Env;
  readonly #transport: Transport;
  readonly #address: () => Address | Promise<Address>;
  readonly #handlers: RpcHandlers;
  readonly #connectTimeoutMs: number;
  #peer: RpcPeer | undefined;
  #connecting: Promise<RpcPeer> | undefined;
  #closed = false;

  /** `address` may be a function when the other side can move; it is asked at each attempt to connect. */
  constructor(
    env: Env,
    transport: Transport,
    address: Address | (() => Address | Promise<Address>),
    options: { readonly handlers?: RpcHandlers; readonly connectTimeoutMs?: number } = {},
  ) {
    this.#env = env;
    this.#transport = transport;
    this.#address = typeof address === "function" ? address : () => address;
    this.#handlers = options.handlers ?? {};
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
  }

  /** The errors of `RpcPeer.call`, and CONNECT_FAILED. */
  async call(method: number, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const peer = this.#peer !== undefined && !this.#peer.closed ? this.#peer : await this.connect();
    return peer.call(method, body, timeoutMs);
  }

  async *stream(method: number, body: Uint8Array, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    const peer = await this.connect();
    yield* peer.stream(method, body, signal);
  }

  /** Sent when there is a connection, dropped otherwise. */
  oneWay(method: number, body: Uint8Array): void {
    this.#peer?.oneWay(method, body);
  }

  /** The present connection, or a new one. */
  connect(): Promise<RpcPeer> {
    if (this.#closed) return Promise.reject(new RamaError("CONNECTION_LOST", "this client was closed"));
    if (this.#peer !== undefined && !this.#peer.closed) return Promise.resolve(this.#peer);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  close(reason = "closed"): void {
    this.#closed = true;
    this.#peer?.close(reason);
  }

  async #connect(): Promise<RpcPeer> {
    const address = await this.#address();
    const peer = await RpcPeer.connect(this.#env, this.#transport, address, this.#handlers, this.#connectTimeoutMs);
    this.#peer = peer;
    if (this.#closed) peer.close();
    return peer;
  }
}
