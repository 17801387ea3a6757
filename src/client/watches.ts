// The proxies of one connection at the client: what the engine sends goes to the proxy whose number it carries. A beat every ten seconds tells the engine
// which there are; it answers with those that it does not know. No answer for as long as an engine waits for a client means that they are lost.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { failureOf } from "../protocol/failure.ts";
import { FrameWriter } from "../protocol/frame-fields.ts";
import {
  type DiffFrame,
  decodeBeat,
  decodeDiff,
  decodeWatchEnded,
  encodeBeat,
  encodeUnwatch,
  watchBeatMs,
  watchOf,
  watchSilenceMs,
} from "../protocol/proxy.ts";
import { DIFF, WATCH_ENDED } from "../protocol/table.ts";
import type { EngineConnection, PushReceiver } from "./connection.ts";

/** One subscription's user. */
export interface Watching {
  /** The frame is valid during the call. */
  onDiff(diff: DiffFrame, frame: Uint8Array): void;
  /** It hears nothing more of this subscription. */
  onLost(error: RamaError): void;
}

export class ConnectionWatches implements PushReceiver {
  readonly #connection: EngineConnection;
  readonly #env: Env;
  readonly #writer = new FrameWriter(256);
  readonly #watching = new Map<number, Watching>();
  #next = 1;
  #timer: Timer | undefined;
  #heardMs = 0;

  static of(connection: EngineConnection, env: Env): ConnectionWatches {
    if (connection.pushes === undefined) connection.pushes = new ConnectionWatches(connection, env);
    return connection.pushes as ConnectionWatches;
  }

  private constructor(connection: EngineConnection, env: Env) {
    this.#connection = connection;
    this.#env = env;
  }

  /** A number for a subscription that is asked for in this turn. */
  add(watching: Watching): number {
    const watch = this.#next++;
    this.#watching.set(watch, watching);
    if (this.#timer === undefined) {
      this.#heardMs = this.#env.monotonicMs();
      this.#scheduleBeat();
    }
    return watch;
  }

  /** The engine is told. */
  remove(watch: number): void {
    if (this.#watching.delete(watch)) this.#connection.send(encodeUnwatch(this.#writer, watch));
  }

  onPush(frame: Uint8Array): void {
    if (frame[0] === DIFF) {
      const watch = watchOf(frame);
      const watching = this.#watching.get(watch);
      if (watching === undefined) this.#connection.send(encodeUnwatch(this.#writer, watch));
      else watching.onDiff(decodeDiff(frame), frame);
    } else if (frame[0] === WATCH_ENDED) this.#lose(watchOf(frame), failureOf(decodeWatchEnded(frame)));
    else {
      this.#heardMs = this.#env.monotonicMs();
      const lost = new RamaError("CONNECTION_LOST", "the engine does not know the subscription any more");
      for (const watch of decodeBeat(frame)) this.#lose(watch, lost);
    }
  }

  onClosed(error: RamaError): void {
    this.#timer?.cancel();
    for (const watch of [...this.#watching.keys()]) this.#lose(watch, error);
  }

  #lose(watch: number, error: RamaError): void {
    const watching = this.#watching.get(watch);
    this.#watching.delete(watch);
    watching?.onLost(error);
  }

  #scheduleBeat(): void {
    this.#timer = this.#env.setTimer(watchBeatMs, () => {
      this.#timer = undefined;
      if (this.#watching.size === 0 || this.#connection.state === "closed") return;
      if (this.#env.monotonicMs() - this.#heardMs > watchSilenceMs) {
        this.#heardMs = this.#env.monotonicMs();
        const silent = new RamaError("CONNECTION_LOST", `the engine has not answered for ${watchSilenceMs} ms`);
        for (const watch of [...this.#watching.keys()]) this.#lose(watch, silent);
        return;
      }
      this.#connection.send(encodeBeat(this.#writer, this.#watching.keys()));
      this.#scheduleBeat();
    });
  }
}
