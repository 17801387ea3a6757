// The proxies of one connection: what the engine says about each goes out as frames, what the client says ends them. A client that has not been heard of
// for too long has none any more; one whose connection is full hears of its changes when it has room again.
import type { Env, Timer } from "../../base/env.ts";
import { messageOf, RamaError } from "../../base/errors.ts";
import type { Connection } from "../../net/transport.ts";
import type { Change } from "../../paths/diff-compare.ts";
import { failureText } from "../../protocol/failure.ts";
import { badFrame, FrameWriter } from "../../protocol/frame-fields.ts";
import { decodeBeat, encodeBeat, encodeDiff, encodeWatchEnded, watchOf, watchSilenceMs } from "../../protocol/proxy.ts";
import { UNWATCH } from "../../protocol/table.ts";
import type { Subscription, WatchSink } from "../../task/proxies.ts";
import type { EngineRequests, PreparedPath } from "./requests.ts";

/** With more than this unsent, diffs wait: a client that reads slowly keeps no more memory here than this and one value per proxy. */
const unsentBytesMax = 1024 * 1024;

export interface WatchOfClient {
  readonly pstate: number;
  readonly task: number;
  readonly path: PreparedPath;
  readonly args: readonly unknown[];
}

/** `answer` is [value, queue limit]. */
type Started = (error: RamaError | null, answer: readonly unknown[]) => void;

export class SessionWatches {
  readonly connection: Connection;
  readonly writer: FrameWriter;
  readonly #requests: EngineRequests;
  readonly #env: Env;
  readonly #open = new Map<number, ClientWatch>();
  #heardMs: number;
  #timer: Timer | undefined;

  constructor(connection: Connection, requests: EngineRequests, env: Env) {
    this.connection = connection;
    this.#requests = requests;
    this.#env = env;
    this.writer = new FrameWriter(1024, requests.classes);
    this.#heardMs = env.monotonicMs();
  }

  /** Throws what is wrong with the request itself. */
  open(watch: number, of: WatchOfClient, started: Started): void {
    if (this.#open.has(watch)) throw badFrame(`watch ${watch} is open already`);
    if (this.#timer === undefined) {
      this.#heardMs = this.#env.monotonicMs();
      this.#listen();
    }
    const client = new ClientWatch(this, watch, started);
    this.#open.set(watch, client);
    try {
      client.subscription = this.#requests.watch(of.pstate, of.task, of.path, of.args, client);
    } catch (error) {
      this.#open.delete(watch);
      throw error;
    }
    if (!this.#open.has(watch)) client.subscription.close();
  }

  onFrame(frame: Uint8Array): void {
    if (frame[0] === UNWATCH) {
      this.end(watchOf(frame));
      return;
    }
    this.#heardMs = this.#env.monotonicMs();
    const listed = new Set(decodeBeat(frame));
    for (const watch of [...this.#open.keys()]) if (!listed.has(watch)) this.end(watch);
    const unknown = [...listed].filter((watch) => !this.#open.has(watch));
    this.connection.send(encodeBeat(this.writer, unknown));
  }

  end(watch: number): void {
    const client = this.#open.get(watch);
    this.#open.delete(watch);
    client?.subscription?.close();
  }

  get answerBytesMax(): number {
    return this.#requests.answerBytesMax;
  }

  get ready(): boolean {
    return this.connection.unsentBytes < unsentBytesMax;
  }

  close(): void {
    this.#timer?.cancel();
    for (const { subscription } of this.#open.values()) subscription?.close();
    this.#open.clear();
  }

  #listen(): void {
    this.#timer = this.#env.setTimer(watchSilenceMs / 3, () => {
      this.#timer = undefined;
      if (this.#open.size === 0) return;
      const silentMs = this.#env.monotonicMs() - this.#heardMs;
      if (silentMs < watchSilenceMs) this.#listen();
      else {
        this.#requests.log.debug("proxies of a silent client end", { remote: this.connection.remote, silentMs });
        this.close();
      }
    });
  }
}

class ClientWatch implements WatchSink {
  subscription: Subscription | undefined;
  readonly #of: SessionWatches;
  readonly #watch: number;
  /** Until it has been told. */
  #started: Started | undefined;
  #number = 0;

  constructor(of: SessionWatches, watch: number, started: Started) {
    this.#of = of;
    this.#watch = watch;
    this.#started = started;
  }

  get ready(): boolean {
    return this.#of.ready;
  }

  started(value: unknown, queueLimit: number): void {
    const started = this.#started;
    this.#started = undefined;
    started?.(null, [value, queueLimit]);
  }

  changed(change: Change, checksum: number): void {
    const { writer, connection, answerBytesMax } = this.#of;
    try {
      encodeDiff(writer, this.#watch, ++this.#number, checksum, change);
      if (writer.length > answerBytesMax) {
        const message = `a diff of ${writer.length} bytes is over the limit of ${answerBytesMax} (limit.answer.bytes, limit.frame.bytes)`;
        throw new RamaError("TOO_LARGE", message, { bytes: writer.length, limit: answerBytesMax });
      }
    } catch (error) {
      this.subscription?.close();
      this.ended(error instanceof RamaError ? error : new RamaError("INTERNAL", messageOf(error), {}, error));
      return;
    }
    connection.send(writer.view());
  }

  ended(error: RamaError): void {
    this.#of.end(this.#watch);
    const started = this.#started;
    this.#started = undefined;
    if (started !== undefined) started(error, []);
    else this.#of.connection.send(encodeWatchEnded(this.#of.writer, this.#watch, failureText(error)));
  }
}
