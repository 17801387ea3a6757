// One connection of a client to one engine port: hello, numbered requests in flight, answers to whom they belong. Frames go out in the order in which they are
// sent; answers come in any order. Whatever ends the connection ends every request that is in flight with one error; who sent it decides whether to repeat.
import { u32At } from "../base/bytes.ts";
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Address, Connection, Transport } from "../net/transport.ts";
import { type AppendResult, decodeAppendResult } from "../protocol/append.ts";
import { decodeFailure } from "../protocol/failure.ts";
import { badFrame, FrameReader, FrameWriter } from "../protocol/frame-fields.ts";
import { decodeGoodbye, decodeHelloOk } from "../protocol/hello.ts";
import { encodePreparePath, preparedPathsMax } from "../protocol/read.ts";
import {
  ANSWER,
  APPEND_DONE,
  APPEND_RESULT,
  DIFF,
  FAILURE,
  GOODBYE,
  WATCH_BEAT,
  WATCH_ENDED,
} from "../protocol/table.ts";

/** What waits for the answer to one request. Exactly one of its functions is called, once. */
export interface PendingRequest {
  /** Monotonic milliseconds, after which `onFailure` is called with TIMEOUT. */
  readonly deadline: number;
  /** The body starts at `at`; the frame is valid during the call. */
  onAnswer(frame: Uint8Array, at: number): void;
  onAppended(offset: number, result: AppendResult | undefined): void;
  onFailure(error: RamaError): void;
}

/** Takes what an engine sends unasked: diffs. */
export interface PushReceiver {
  onPush(frame: Uint8Array): void;
  onClosed(error: RamaError): void;
}

export interface ConnectionOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly address: Address;
  /** The encoded hello. */
  readonly hello: Uint8Array;
  readonly connectTimeoutMs: number;
  readonly onClosed: (connection: EngineConnection) => void;
  /** Requests wait, and nothing has come for `silentMs`; told again while it stays so, several times a second at first. */
  readonly onSilent: (connection: EngineConnection) => void;
}

/** Requests whose time is up are looked for this often at most; a timeout is that much late. */
const sweepMs = 250;
/** A machine that stands still or is cut off keeps its connections: after so long someone should look whether others do its work now. */
const silentMs = 1_000;
const answerHeaderBytes = 5;

export class EngineConnection {
  readonly address: Address;
  state: "connecting" | "open" | "closed" = "connecting";
  /** The proxies of this connection; undefined while there are none. */
  pushes: PushReceiver | undefined = undefined;
  /** Resolves after the hello; rejects with what prevented it. Never left unhandled. */
  readonly opened: Promise<void>;
  readonly #options: ConnectionOptions;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #paths = new Map<string, number>();
  readonly #pathNumbers: string[] = [];
  readonly #scratch = new FrameWriter(256);
  #connection: Connection | undefined;
  #nextRequest = 1;
  #nextPath = 0;
  #sweep: Timer | undefined;
  /** Something has come since the last sweep. */
  #heard = false;
  #quietSinceMs = 0;
  /** When silence was last told of. */
  #toldAtMs = 0;
  #settleOpened!: { resolve: () => void; reject: (error: RamaError) => void };

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.address = options.address;
    this.opened = new Promise((resolve, reject) => {
      this.#settleOpened = { resolve, reject };
    });
    this.opened.catch(() => {});
    options.env.spawn(`connection to ${options.address.host}:${options.address.port}`, () => this.#open());
  }

  get unsentBytes(): number {
    return this.#connection?.unsentBytes ?? 0;
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Numbers a request; its frame must be sent in the same turn. Only while open. */
  request(pending: PendingRequest): number {
    const request = this.#nextRequest;
    this.#nextRequest = request === 0xffff_ffff ? 1 : request + 1;
    this.#pending.set(request, pending);
    if (this.#sweep === undefined) {
      this.#quietSinceMs = this.#options.env.monotonicMs();
      this.#scheduleSweep(pending.deadline);
    }
    return request;
  }

  send(frame: Uint8Array): void {
    this.#connection?.send(frame);
  }

  sendParts(parts: readonly Uint8Array[]): void {
    this.#connection?.sendParts(parts);
  }

  /** The number of a path on this connection; sends its spec when the engine does not have it. `key` tells specs apart. */
  pathNumber(key: string, spec: () => Uint8Array): number {
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    const number = this.#nextPath;
    const bytes = spec();
    this.#nextPath = (number + 1) % preparedPathsMax;
    const replaced = this.#pathNumbers[number];
    if (replaced !== undefined) this.#paths.delete(replaced);
    this.#pathNumbers[number] = key;
    this.#paths.set(key, number);
    this.send(encodePreparePath(this.#scratch, number, bytes));
    return number;
  }

  close(error = new RamaError("CONNECTION_LOST", "the client was closed")): void {
    if (this.state === "closed") return;
    const wasConnecting = this.state === "connecting";
    this.state = "closed";
    this.#sweep?.cancel();
    this.#connection?.close(error.message);
    if (wasConnecting) this.#settleOpened.reject(error);
    this.#options.onClosed(this);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.onFailure(error);
    this.pushes?.onClosed(error);
  }

  async #open(): Promise<void> {
    const { transport, address, hello, connectTimeoutMs, env } = this.#options;
    const timer = env.setTimer(connectTimeoutMs, () => {
      if (this.state === "connecting") this.close(connectFailed(address, `no hello within ${connectTimeoutMs} ms`));
    });
    try {
      const connection = await transport.connect(
        address,
        {
          onFrame: (frame) => this.#onFrame(frame),
          onClose: (reason) => this.#onTransportClosed(reason),
        },
        connectTimeoutMs,
      );
      if (this.state === "closed") {
        connection.close("no longer wanted");
        return;
      }
      this.#connection = connection;
      connection.send(hello);
      await this.opened;
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      this.close(error);
    } finally {
      timer.cancel();
    }
  }

  #onTransportClosed(reason: string): void {
    const { address } = this.#options;
    const where = `${address.host}:${address.port}`;
    this.close(new RamaError("CONNECTION_LOST", `the connection to ${where} ended: ${reason}`, { ...address }));
  }

  #onFrame(frame: Uint8Array): void {
    if (this.state === "closed") return;
    this.#heard = true;
    try {
      if (frame[0] === GOODBYE) {
        this.close(decodeGoodbye(frame));
        return;
      }
      if (this.state === "connecting") {
        this.#onHello(frame);
        return;
      }
      this.#onAnswer(frame);
    } catch (error) {
      if (!(error instanceof RamaError) || error.code !== "BAD_FRAME") throw error;
      this.close(this.#noEngine(error));
    }
  }

  /** Another program has got the port since the routes were learnt, or what talks there is broken: either way the engine is to be looked for anew. */
  #noEngine(cause: RamaError): RamaError {
    const { address, state } = this;
    if (state === "connecting") return connectFailed(address, `no engine answers there: ${cause.message}`);
    const where = `${address.host}:${address.port}`;
    return new RamaError(
      "CONNECTION_LOST",
      `${where} sent what cannot be read: ${cause.message}`,
      { ...address },
      cause,
    );
  }

  #onHello(frame: Uint8Array): void {
    try {
      decodeHelloOk(frame);
    } catch (error) {
      if (error instanceof RamaError) {
        this.close(error.code === "BAD_FRAME" ? this.#noEngine(error) : error);
        return;
      }
      throw error;
    }
    this.state = "open";
    this.#settleOpened.resolve();
  }

  #onAnswer(frame: Uint8Array): void {
    if (frame[0] === ANSWER && frame.length >= answerHeaderBytes) {
      this.#take(u32At(frame, 1))?.onAnswer(frame, answerHeaderBytes);
      return;
    }
    const reader = new FrameReader(frame);
    switch (frame[0]) {
      case APPEND_DONE:
        while (reader.remaining > 0) this.#take(reader.u32())?.onAppended(reader.count(), undefined);
        return;
      case APPEND_RESULT: {
        const result = decodeAppendResult(frame);
        this.#take(result.request)?.onAppended(result.offset, result);
        return;
      }
      case FAILURE: {
        const pending = this.#take(reader.u32());
        pending?.onFailure(decodeFailure(reader));
        return;
      }
      case DIFF:
      case WATCH_ENDED:
      case WATCH_BEAT:
        this.pushes?.onPush(frame);
        return;
      default:
        throw badFrame(`an engine sent kind ${frame[0]}`);
    }
  }

  #take(request: number): PendingRequest | undefined {
    const pending = this.#pending.get(request);
    if (pending !== undefined) this.#pending.delete(request);
    return pending;
  }

  #scheduleSweep(deadline: number): void {
    const { env } = this.#options;
    const delay = Math.min(sweepMs, Math.max(1, deadline - env.monotonicMs()));
    this.#sweep = env.setTimer(delay, () => {
      this.#sweep = undefined;
      const now = env.monotonicMs();
      for (const [request, pending] of this.#pending) {
        if (pending.deadline > now) continue;
        this.#pending.delete(request);
        const { host, port } = this.address;
        pending.onFailure(new RamaError("TIMEOUT", `${host}:${port} did not answer in time`, { host, port }));
      }
      if (this.#pending.size === 0 || this.state !== "open") return;
      this.#watchSilence(now);
      this.#scheduleSweep(now + sweepMs);
    });
  }

  #watchSilence(now: number): void {
    if (this.#heard) this.#quietSinceMs = now;
    this.#heard = false;
    const quietMs = now - this.#quietSinceMs;
    if (quietMs < silentMs) this.#toldAtMs = 0;
    else if (now - this.#toldAtMs >= quietMs / 8) {
      this.#toldAtMs = now;
      this.#options.onSilent(this);
    }
  }
}

function connectFailed(address: Address, what: string): RamaError {
  return new RamaError("CONNECT_FAILED", `${address.host}:${address.port}: ${what}`, { ...address });
}
