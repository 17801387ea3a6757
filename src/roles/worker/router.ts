// Takes events to the engines that own their tasks: one connection per engine, made when first needed, the same port that clients use. What cannot be delivered is
// dropped, and so may be what was on its way when a connection broke. The router then tries until the tasks concerned can be reached again, wherever they are by then,
// and tells its engine, which lets the records run again that miss something. (Their timeout would find them too, but later.)
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
  /** Tasks that events were lost to are reached again. */
  readonly onPeerBack: () => void;
}

/** Batches held for an engine that is being connected to. */
const heldBytesMax = 16 * 1024 * 1024;
/** After a failed try nothing is tried for this long. */
const retryAfterMs = 50;
const seekMs = 100;

interface Peer {
  connection: Connection | undefined;
  held: { readonly task: number; readonly batch: Uint8Array }[];
  heldBytes: number;
  retryAt: number;
  /** Tasks that anything was sent to. */
  readonly tasks: Set<number>;
}

export class EngineRouter implements Router {
  readonly #options: EngineRouterOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #header = new FrameWriter(16);
  /** Tasks that events were lost to. */
  readonly #missed = new Set<number>();
  #seek: Timer | undefined;
  #closed = false;

  constructor(options: EngineRouterOptions) {
    this.#options = options;
  }

  send(task: number, frame: Uint8Array): void {
    const address = this.#options.addressOf(task);
    if (this.#closed) return;
    const peer = address === undefined || address.port === 0 ? undefined : this.#peer(address);
    if (peer === undefined) {
      this.#miss(task);
      return;
    }
    peer.tasks.add(task);
    if (peer.connection !== undefined) {
      peer.connection.sendParts([eventsHeader(this.#header, task), frame]);
      return;
    }
    if (peer.heldBytes + frame.length > heldBytesMax) {
      this.#miss(task);
      return;
    }
    peer.heldBytes += frame.length;
    peer.held.push({ task, batch: frame.slice() });
  }

  close(): void {
    this.#closed = true;
    this.#seek?.cancel();
    for (const peer of this.#peers.values()) peer.connection?.close("the engine stops");
    this.#peers.clear();
  }

  #miss(task: number): void {
    this.#missed.add(task);
    this.#seek ??= this.#options.env.setTimer(seekMs, () => this.#seekMissed());
  }

  /** Connects to whoever has the missed tasks now. */
  #seekMissed(): void {
    this.#seek = undefined;
    const back = [...this.#missed].filter((task) => {
      const address = this.#options.addressOf(task);
      return address !== undefined && address.port !== 0 && this.#peer(address)?.connection !== undefined;
    });
    for (const task of back) this.#missed.delete(task);
    if (this.#missed.size > 0) this.#seek = this.#options.env.setTimer(seekMs, () => this.#seekMissed());
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
    const peer: Peer = { connection: undefined, held: [], heldBytes: 0, retryAt: 0, tasks: new Set() };
    this.#peers.set(key, peer);
    env.spawn(`events to ${key}`, () => this.#connect(key, address, peer));
    return peer;
  }

  async #connect(key: string, address: Address, peer: Peer): Promise<void> {
    const { env, transport, release, moduleInstanceId } = this.#options;
    const lost = (reason: string): void => {
      if (this.#peers.get(key) !== peer || this.#closed) return;
      env.log.info("events are not delivered at present", { to: key, reason, dropped: peer.held.length });
      peer.connection = undefined;
      peer.held = [];
      peer.heldBytes = 0;
      peer.retryAt = env.monotonicMs() + retryAfterMs;
      for (const task of peer.tasks) this.#miss(task);
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
      for (const { task, batch } of peer.held) connection.sendParts([eventsHeader(this.#header, task), batch]);
      peer.held = [];
      peer.heldBytes = 0;
    } catch (error) {
      lost(messageOf(error));
    }
  }
}
