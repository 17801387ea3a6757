// Connections inside one process, for in-process clusters and simulations. A `MemoryNetwork` is what the hosts are plugged into; each role gets the
// transport of its host. Frames are copied once, into chunks that a turn's frames share, and handed over in a later turn in batches.
//
// Disturbances: a delay per pair of hosts, a cut (nothing passes between two hosts, or one way only; connections hang as with TCP, until it is healed), the
// loss of connections, and the end of a host.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { Address, Connection, ConnectionHandlers, Listener, Transport } from "./transport.ts";

export interface MemoryNetworkOptions {
  /** Default 20 MB. */
  readonly maxFrameBytes?: number;
  /** Default 64 MB. */
  readonly maxUnsentBytes?: number;
  /** Milliseconds that a frame takes from one host to another; asked once per batch. Default: 0, which means the next turn. */
  delayMs?: (from: string, to: string) => number;
}

const chunkBytes = 1 << 14;
const firstFreePort = 40_000;
/** Names by which a host may mean itself. */
const ownNames = new Set(["localhost", "127.0.0.1", "0.0.0.0", "::1", "::", ""]);

interface MemoryListener {
  readonly transport: MemoryTransport;
  readonly onConnection: (connection: Connection) => ConnectionHandlers;
  readonly accepted: Set<MemoryConnection>;
}

export class MemoryNetwork {
  readonly env: Env;
  readonly options: MemoryNetworkOptions;
  readonly listeners = new Map<string, MemoryListener>();
  readonly connections = new Set<MemoryConnection>();
  /** Directions that nothing passes in: `from>to`. */
  readonly #cuts = new Set<string>();
  #leaving: { deliverSoon(): void }[] = [];
  #lastPort = firstFreePort;
  #lastId = 0;

  constructor(env: Env, options: MemoryNetworkOptions = {}) {
    this.env = env;
    this.options = options;
  }

  /** A transport of its own for one role on `hostName`; several may share a host. */
  transport(hostName: string): MemoryTransport {
    return new MemoryTransport(this, hostName);
  }

  /** From now on nothing passes between the two hosts. What was sent waits until `heal`, as with TCP. */
  cut(a: string, b: string): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Nothing gets from `from` to `to` any more; the other way stays open. */
  cutOneWay(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Both ways. */
  heal(a: string, b: string): void {
    const there = this.#cuts.delete(`${a}>${b}`);
    const back = this.#cuts.delete(`${b}>${a}`);
    if (!there && !back) return;
    for (const connection of this.connections) {
      if (pairOf(connection.from, connection.to) === pairOf(a, b)) connection.deliverSoon();
    }
    // Ends that are gone still have their last words for the other side.
    const leaving = this.#leaving;
    this.#leaving = [];
    for (const connection of leaving) connection.deliverSoon();
  }

  /** Does nothing get from `from` to `to`? */
  isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`);
  }

  /** For a connection whose end was closed during a cut: told again when something heals. */
  waitForHeal(connection: { deliverSoon(): void }): void {
    this.#leaving.push(connection);
  }

  /** Both ends of every connection between the two hosts close; what had not arrived is lost. */
  closeConnections(a: string, b: string, reason = "connection reset"): void {
    for (const connection of [...this.connections]) {
      if (pairOf(connection.from, connection.to) === pairOf(a, b)) connection.lose(reason);
    }
  }

  nextId(): number {
    return ++this.#lastId;
  }

  freePort(host: string): number {
    do this.#lastPort++;
    while (this.listeners.has(`${host}:${this.#lastPort}`));
    return this.#lastPort;
  }
}

function pairOf(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}

export class MemoryTransport implements Transport {
  readonly host: string;
  readonly #network: MemoryNetwork;
  readonly #mine = new Set<MemoryConnection>();
  #down = false;

  constructor(network: MemoryNetwork, host: string) {
    this.#network = network;
    this.host = host;
  }

  async listen(address: Address, onConnection: (connection: Connection) => ConnectionHandlers): Promise<Listener> {
    const network = this.#network;
    const port = address.port === 0 ? network.freePort(this.host) : address.port;
    const key = `${this.host}:${port}`;
    if (network.listeners.has(key))
      throw new RamaError("PORT_IN_USE", `port ${port} of ${this.host} is in use`, { ...address });
    const accepted = new Set<MemoryConnection>();
    const listener: MemoryListener = { transport: this, onConnection, accepted };
    network.listeners.set(key, listener);
    return {
      host: this.host,
      port,
      close: async () => {
        if (network.listeners.get(key) === listener) network.listeners.delete(key);
        for (const connection of accepted) connection.close("the listener was closed");
      },
    };
  }

  async connect(address: Address, handlers: ConnectionHandlers, timeoutMs = 5_000): Promise<Connection> {
    const network = this.#network;
    const to = ownNames.has(address.host) ? this.host : address.host;
    const refuse = (why: string) =>
      new RamaError("CONNECT_FAILED", `no connection to ${address.host}:${address.port}: ${why}`, { ...address });
    if (this.#down) throw refuse("this host is down");
    const isCut = () => network.isCut(this.host, to) || network.isCut(to, this.host);
    const unanswered = async (): Promise<never> => {
      await network.env.sleep(timeoutMs);
      throw refuse(`no answer within ${timeoutMs} ms`);
    };
    if (isCut()) return unanswered();
    const delay = network.options.delayMs?.(this.host, to) ?? 0;
    if (delay > 0) {
      await network.env.sleep(delay);
      if (isCut()) return unanswered();
      if (this.#down) throw refuse("this host is down");
    }
    const listener = network.listeners.get(`${to}:${address.port}`);
    if (listener === undefined) throw refuse("connection refused");
    const near = new MemoryConnection(network, this.host, to, `${to}:${address.port}`);
    const far = new MemoryConnection(network, to, this.host, `${this.host}:${near.id}`);
    near.join(far, handlers, [this.#mine]);
    far.join(near, listener.onConnection(far), [listener.transport.#mine, listener.accepted]);
    return near;
  }

  /** The role ends as in a crash: its listeners go, its connections are lost, it cannot connect any more. */
  shutDown(reason = "the process ended"): void {
    this.#down = true;
    for (const [key, listener] of this.#network.listeners) {
      if (listener.transport === this) this.#network.listeners.delete(key);
    }
    for (const connection of [...this.#mine]) connection.lose(reason);
  }

  /**
   * The process ends by SIGKILL: as `shutDown`, but its peers learn it over the network, and so only once no cut is between. `keepsSent`: what it had sent still
   * arrives, as far as the system's buffers have it.
   */
  abandon(keepsSent: () => boolean): void {
    this.#down = true;
    for (const [key, listener] of this.#network.listeners) {
      if (listener.transport === this) this.#network.listeners.delete(key);
    }
    for (const connection of [...this.#mine]) connection.abandon(keepsSent());
  }
}

/** Frames that were sent in one turn, in order; `ends` are the positions after each in `chunk`. */
interface Batch {
  readonly chunk: Uint8Array;
  readonly from: number;
  readonly ends: number[];
  to: number;
  /** Not before this time; 0 when there is no delay. */
  readonly dueMs: number;
}

class MemoryConnection implements Connection {
  readonly id: number;
  readonly remote: string;
  readonly from: string;
  readonly to: string;
  data: unknown;
  readonly #network: MemoryNetwork;
  #peer!: MemoryConnection;
  #handlers!: ConnectionHandlers;
  #owners: Set<MemoryConnection>[] = [];
  /** Sent and not delivered to the peer. */
  #batches: Batch[] = [];
  #unsent = 0;
  #aboveHalf = false;
  #lastDueMs = 0;
  #scheduled = false;
  #closed = false;
  #told = false;
  /** Close the peer with this reason once all before it has been delivered. */
  #closing: string | undefined;
  #chunk = new Uint8Array(0);
  #chunkUsed = 0;

  constructor(network: MemoryNetwork, from: string, to: string, remote: string) {
    this.#network = network;
    this.id = network.nextId();
    this.from = from;
    this.to = to;
    this.remote = remote;
  }

  join(peer: MemoryConnection, handlers: ConnectionHandlers, owners: Set<MemoryConnection>[]): void {
    this.#peer = peer;
    this.#handlers = handlers;
    this.#owners = [...owners, this.#network.connections];
    for (const owner of this.#owners) owner.add(this);
    // The accepting side may have sent, or closed, before the two ends were joined.
    if (this.#batches.length > 0 || this.#closing !== undefined) this.deliverSoon();
  }

  send(frame: Uint8Array): void {
    if (this.#closed) return;
    const at = this.#begin(frame.length);
    if (at < 0) return;
    this.#chunk.set(frame, at);
  }

  sendParts(parts: readonly Uint8Array[]): void {
    if (this.#closed) return;
    let length = 0;
    for (const part of parts) length += part.length;
    let at = this.#begin(length);
    if (at < 0) return;
    for (const part of parts) {
      this.#chunk.set(part, at);
      at += part.length;
    }
  }

  flush(): void {}

  get unsentBytes(): number {
    return this.#unsent;
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(reason = "closed"): void {
    if (this.#closed) return;
    this.#end(reason);
    this.#closing = "closed by the peer";
    this.deliverSoon();
  }

  /** Both ends close at once; what has not arrived is lost. */
  lose(reason: string): void {
    for (const end of [this, this.#peer]) {
      end.#batches = [];
      end.#unsent = 0;
      end.#end(reason);
    }
  }

  /** This end is gone and says nothing any more; the other end closes when it learns it. */
  abandon(keepsSent: boolean): void {
    if (this.#closed) return;
    if (!keepsSent) {
      this.#batches = [];
      this.#unsent = 0;
    }
    this.#told = true;
    this.#end("the process ended");
    this.#closing = "connection reset by the peer";
    this.deliverSoon();
  }

  deliverSoon(): void {
    if (this.#scheduled || this.#peer === undefined) return;
    this.#scheduled = true;
    const due = this.#batches[0]?.dueMs ?? this.#lastDueMs;
    const wait = due === 0 ? 0 : due - this.#network.env.monotonicMs();
    if (wait > 0) this.#network.env.setTimer(wait, this.#deliver);
    else this.#network.env.nextTurn(this.#deliver);
  }

  /** Makes room for a frame and notes it. Returns where in the present chunk it goes, or -1 when it cannot be sent. */
  #begin(length: number): number {
    const { maxFrameBytes = 20 * 1024 * 1024, maxUnsentBytes = 64 * 1024 * 1024, delayMs } = this.#network.options;
    if (length > maxFrameBytes) {
      this.lose(`FRAME_TOO_LARGE: a frame of ${length} bytes, at most ${maxFrameBytes} are allowed`);
      return -1;
    }
    if (this.#unsent + length > maxUnsentBytes) {
      this.lose(`more than ${maxUnsentBytes} bytes wait for a peer that does not read`);
      return -1;
    }
    let fresh = false;
    if (this.#chunkUsed + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(Math.max(chunkBytes, length));
      this.#chunkUsed = 0;
      fresh = true;
    }
    const at = this.#chunkUsed;
    this.#chunkUsed += length;
    let batch = this.#batches.at(-1);
    const now = delayMs === undefined ? 0 : this.#network.env.monotonicMs();
    if (fresh || batch === undefined || batch.to !== at || now > 0) {
      const delay = delayMs?.(this.from, this.to) ?? 0;
      const dueMs = delay > 0 ? Math.max(this.#lastDueMs, now + delay) : this.#lastDueMs > now ? this.#lastDueMs : 0;
      this.#lastDueMs = dueMs;
      batch = { chunk: this.#chunk, from: at, ends: [], to: at, dueMs };
      this.#batches.push(batch);
    }
    batch.ends.push(at + length);
    batch.to = at + length;
    this.#unsent += length;
    if (this.#unsent > maxUnsentBytes / 2) this.#aboveHalf = true;
    if (!this.#scheduled) this.deliverSoon();
    return at;
  }

  readonly #deliver = (): void => {
    this.#scheduled = false;
    const network = this.#network;
    if (network.isCut(this.from, this.to)) {
      if (this.#closed) network.waitForHeal(this);
      return;
    }
    const batches = this.#batches;
    if (batches.length > 0) {
      this.#batches = [];
      const now = batches[0]!.dueMs === 0 ? 0 : network.env.monotonicMs();
      let done = 0;
      for (; done < batches.length && batches[done]!.dueMs <= now; done++) this.#handOver(batches[done]!);
      if (done < batches.length) this.#batches = [...batches.slice(done), ...this.#batches];
    }
    if (this.#aboveHalf && this.#unsent < (network.options.maxUnsentBytes ?? 64 * 1024 * 1024) / 2) {
      this.#aboveHalf = false;
      if (!this.#closed) this.#handlers.onDrain?.(this);
    }
    if (this.#batches.length > 0) this.deliverSoon();
    else if (this.#closing !== undefined) this.#peer.#end(this.#closing);
  };

  #handOver(batch: Batch): void {
    const peer = this.#peer;
    let from = batch.from;
    for (let i = 0; i < batch.ends.length; i++) {
      const to = batch.ends[i]!;
      this.#unsent -= to - from;
      if (!peer.#closed) {
        try {
          peer.#handlers.onFrame(batch.chunk.subarray(from, to), peer);
        } catch (error) {
          // As a process would: the failure is reported, the other frames still arrive.
          this.#network.env.spawn("onFrame", () => Promise.reject(error));
        }
      }
      from = to;
    }
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const owner of this.#owners) owner.delete(this);
    queueMicrotask(() => {
      if (this.#told) return;
      this.#told = true;
      this.#handlers?.onClose(reason, this);
    });
    // A peer that is told nothing would wait for ever.
    if (this.#closing === undefined) this.#closing = "closed by the peer";
  }
}
