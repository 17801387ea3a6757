// Takes events to the engines that own their tasks: one connection per engine, made when first needed, the same port that clients use.
//
// What has not left yet waits (bounded) until the task's owner is known and can be connected to, wherever it is by then: a worker that was started again has other
// ports, and answers to its records must find it. What had left when a connection broke may be lost: the router tries until the tasks concerned can be
// reached again and tells its engine, which lets the records run again that miss something. (Their timeout would find them too, but later.)
import type { Env, Timer } from "../../base/env.ts";
import { messageOf } from "../../base/errors.ts";
import type { Address, Connection, Transport } from "../../net/transport.ts";
import { eventsHeader } from "../../protocol/event.ts";
import { FrameWriter } from "../../protocol/frame-fields.ts";
import { CLIENT_ID_BYTES, encodeHello, PEER_ENGINE } from "../../protocol/hello.ts";
import { features, GOODBYE } from "../../protocol/table.ts";
import type { Router } from "../../task/engine-api.ts";

export interface EngineRouterOptions {
  readonly env: Env;
  readonly transport: Transport;
  readonly release: string;
  readonly moduleInstanceId: string;
  /** undefined while the owner of the task is not known. */
  readonly addressOf: (task: number) => Address | undefined;
  /** A connection broke: events to these tasks, and what would come of them, may be lost. */
  readonly onPeerLost: (tasks: ReadonlySet<number>) => void;
  /** Tasks that events were lost to are reached again. */
  readonly onPeerBack: () => void;
}

/** Batches that wait, all together; more are dropped and count as lost. */
const waitingBytesMax = 16 * 1024 * 1024;
/** After a failed try nothing is tried for this long. */
const retryAfterMs = 50;
const seekMs = 100;

interface Peer {
  connection: Connection | undefined;
  /** 0: it is connected, or being connected. */
  retryAt: number;
  /** Tasks that anything was sent to. */
  readonly tasks: Set<number>;
}

export class EngineRouter implements Router {
  readonly #options: EngineRouterOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #header = new FrameWriter(16);
  /** By task: what has not left. */
  readonly #waiting = new Map<number, Uint8Array[]>();
  #waitingBytes = 0;
  /** Tasks that events were lost to. */
  readonly #missed = new Set<number>();
  #seek: Timer | undefined;
  #closed = false;

  constructor(options: EngineRouterOptions) {
    this.#options = options;
  }

  send(task: number, frame: Uint8Array): void {
    if (this.#closed) return;
    const connection = this.#waiting.has(task) ? undefined : this.#connected(task);
    if (connection !== undefined) {
      connection.sendParts([eventsHeader(this.#header, task), frame]);
      return;
    }
    this.#seekLater();
    if (this.#waitingBytes + frame.length > waitingBytesMax) {
      this.#missed.add(task);
      return;
    }
    this.#waitingBytes += frame.length;
    const waiting = this.#waiting.get(task);
    if (waiting === undefined) this.#waiting.set(task, [frame.slice()]);
    else waiting.push(frame.slice());
  }

  close(): void {
    this.#closed = true;
    this.#seek?.cancel();
    for (const peer of this.#peers.values()) peer.connection?.close("the engine stops");
    this.#peers.clear();
  }

  /** Where the task can be reached now; otherwise a connection is begun, where its owner is known. */
  #connected(task: number): Connection | undefined {
    const address = this.#options.addressOf(task);
    const peer = address === undefined || address.port === 0 ? undefined : this.#peer(address);
    if (peer?.connection === undefined) return undefined;
    peer.tasks.add(task);
    return peer.connection;
  }

  #seekLater(): void {
    if (this.#closed) return;
    this.#seek ??= this.#options.env.setTimer(seekMs, () => {
      this.#seek = undefined;
      this.#deliver();
    });
  }

  /** Sends what waits to whoever has the tasks now. */
  #deliver(): void {
    for (const [task, frames] of [...this.#waiting]) {
      const connection = this.#connected(task);
      if (connection === undefined) continue;
      this.#waiting.delete(task);
      for (const frame of frames) {
        this.#waitingBytes -= frame.length;
        connection.sendParts([eventsHeader(this.#header, task), frame]);
      }
    }
    const back = [...this.#missed].filter((task) => this.#connected(task) !== undefined);
    for (const task of back) this.#missed.delete(task);
    if (this.#waiting.size > 0 || this.#missed.size > 0) this.#seekLater();
    if (back.length > 0) this.#options.onPeerBack();
  }

  #peer(address: Address): Peer | undefined {
    const key = `${address.host}:${address.port}`;
    const { env } = this.#options;
    const known = this.#peers.get(key);
    if (known !== undefined) {
      if (known.retryAt === 0 || known.retryAt > env.monotonicMs()) return known.retryAt === 0 ? known : undefined;
      this.#peers.delete(key);
    }
    const peer: Peer = { connection: undefined, retryAt: 0, tasks: new Set() };
    this.#peers.set(key, peer);
    env.spawn(`events to ${key}`, () => this.#connect(key, address, peer));
    return peer;
  }

  async #connect(key: string, address: Address, peer: Peer): Promise<void> {
    const { env, transport, release, moduleInstanceId } = this.#options;
    const lost = (reason: string): void => {
      if (this.#peers.get(key) !== peer || this.#closed) return;
      if (peer.connection === undefined) env.log.debug("a peer is not there", { to: key, reason });
      else {
        env.log.info("events are not delivered at present", { to: key, reason });
        this.#options.onPeerLost(peer.tasks);
      }
      peer.connection = undefined;
      peer.retryAt = env.monotonicMs() + retryAfterMs;
      for (const task of peer.tasks) this.#missed.add(task);
      this.#seekLater();
    };
    try {
      const connection = await transport.connect(address, {
        onFrame: (frame, from) => {
          if (frame[0] === GOODBYE) from.close("the peer said goodbye");
        },
        onClose: lost,
      });
      const clientId = new Uint8Array(CLIENT_ID_BYTES);
      connection.send(encodeHello({ peer: PEER_ENGINE, clientId, release, moduleInstanceId, features }));
      peer.connection = connection;
      this.#deliver();
    } catch (error) {
      lost(messageOf(error));
    }
  }
}
