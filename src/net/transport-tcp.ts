// Connections over TCP, on node:net so that the client library runs in Node as well (no Bun.* here).
//
// What is sent during one turn of the event loop is gathered and leaves in one write from a microtask: after the handler of a received chunk has run, but
// before the loop waits again. So a lone request pays nothing for the gathering. A crowd leaves in several writes: 64 reads in flight as one lot would
// have client and server wait for each other in turn (measured: 130 k reads/s, in lots of 32 200-300 k).
import * as net from "node:net";
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { FrameGatherer, FrameSplitter } from "./frame.ts";
import type { Address, Connection, ConnectionHandlers, Listener, Transport } from "./transport.ts";

export interface TcpTransportOptions {
  /** Default 20 MB. */
  readonly maxFrameBytes?: number;
  /** Bytes given to `send` that the peer has not taken yet; above it the connection is closed. Default 64 MB. */
  readonly maxUnsentBytes?: number;
  /** Of one listener; one more is closed at once. Default 8192. */
  readonly maxConnections?: number;
}

const defaultMaxConnections = 8192;
const defaultMaxFrameBytes = 20 * 1024 * 1024;
const defaultMaxUnsentBytes = 64 * 1024 * 1024;
/**
 * Back-pressure: a peer that has called us and does not take its answers is not read from beyond this share of the limit, and closed when it has taken nothing for so long. Those that we
 * call are always read, so two that wait for each other cannot come about.
 */
const pauseShare = 1 / 16;
const stalledMs = 60_000;
/** How long a closing connection may take to send what it still holds. */
const lingerMs = 5_000;
/** Gathered bytes that are written without waiting for the end of the turn: the kernel and the peer can work meanwhile. */
const earlyFlushBytes = 32 * 1024;
/** Gathered frames after which the same is done, so that the peer works on the first of a crowd of small requests or answers while the rest is made. */
const earlyFlushFrames = 32;

/** Keep-alive finds peers whose machine or network is gone without a word. */
const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 };

export function tcpTransport(env: Env, options: TcpTransportOptions = {}): Transport {
  const limits: Limits = {
    maxFrameBytes: options.maxFrameBytes ?? defaultMaxFrameBytes,
    maxUnsentBytes: options.maxUnsentBytes ?? defaultMaxUnsentBytes,
    maxConnections: options.maxConnections ?? defaultMaxConnections,
  };
  return {
    listen: (address, onConnection) => listen(env, limits, address, onConnection),
    connect: (address, handlers, timeoutMs = 5_000) => connect(env, limits, address, handlers, timeoutMs),
  };
}

interface Limits {
  readonly maxFrameBytes: number;
  readonly maxUnsentBytes: number;
  readonly maxConnections: number;
}

function listen(
  env: Env,
  limits: Limits,
  address: Address,
  onConnection: (connection: Connection) => ConnectionHandlers,
): Promise<Listener> {
  const open = new Set<TcpConnection>();
  let full = false;
  const server = net.createServer(socketOptions, (socket) => {
    if (open.size >= limits.maxConnections) {
      if (!full) env.log.warn("connections are refused", { port: address.port, open: open.size });
      full = true;
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    full = false;
    const connection = new TcpConnection(env, limits, socket, true);
    open.add(connection);
    socket.once("close", () => open.delete(connection));
    connection.start(onConnection(connection));
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const taken = (error as { code?: string }).code === "EADDRINUSE";
      const where = `${address.host}:${address.port}`;
      const message = taken ? `port ${address.port} of ${address.host} is in use` : `${where}: ${messageOf(error)}`;
      reject(new RamaError(taken ? "PORT_IN_USE" : "CONNECT_FAILED", message, { ...address }, error));
    });
    server.listen({ host: address.host, port: address.port, backlog: 1024 }, () => {
      const bound = server.address() as net.AddressInfo;
      resolve({
        host: bound.address,
        port: bound.port,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            for (const connection of open) connection.close("the listener was closed");
          }),
      });
    });
  });
}

function connect(
  env: Env,
  limits: Limits,
  address: Address,
  handlers: ConnectionHandlers,
  timeoutMs: number,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: address.host, port: address.port, ...socketOptions });
    const failed = (why: string, cause?: unknown) => {
      timer.cancel();
      socket.destroy();
      const message = `no connection to ${address.host}:${address.port}: ${why}`;
      reject(new RamaError("CONNECT_FAILED", message, { ...address }, cause));
    };
    const onError = (error: Error) => failed(messageOf(error), error);
    const timer = env.setTimer(timeoutMs, () => failed(`no answer within ${timeoutMs} ms`));
    socket.on("error", onError);
    socket.once("connect", () => {
      timer.cancel();
      const connection = new TcpConnection(env, limits, socket, false);
      connection.start(handlers);
      socket.removeListener("error", onError);
      resolve(connection);
    });
  });
}

let lastId = 0;

class TcpConnection implements Connection {
  readonly id = ++lastId;
  readonly remote: string;
  data: unknown;
  readonly #env: Env;
  readonly #limits: Limits;
  readonly #socket: net.Socket;
  readonly #out = new FrameGatherer();
  #handlers: ConnectionHandlers | undefined;
  #closed = false;
  #closeReason: string | undefined;
  #flushScheduled = false;
  /** Frames since the last write. */
  #gathered = 0;
  #aboveHalf = false;
  #linger: Timer | undefined;
  readonly #isAccepted: boolean;
  /** While the peer is not read from: looks whether it takes anything. */
  #stalled: Timer | undefined;

  constructor(env: Env, limits: Limits, socket: net.Socket, isAccepted: boolean) {
    this.#isAccepted = isAccepted;
    this.#env = env;
    this.#limits = limits;
    this.#socket = socket;
    this.remote = `${socket.remoteAddress}:${socket.remotePort}`;
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    const splitter = new FrameSplitter(this.#limits.maxFrameBytes, (frame) => {
      try {
        handlers.onFrame(frame, this);
      } catch (error) {
        // One bad frame is reported like any other failure; it does not end the process, and the frames after it still count.
        this.#env.spawn("onFrame", () => Promise.reject(error));
      }
      return !this.#closed;
    });
    this.#socket.on("data", (chunk: Uint8Array) => {
      if (this.#closed) return;
      // Not as a Buffer: `slice` of a frame must be a copy.
      const tooLarge = splitter.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (tooLarge !== undefined) this.#refuse(tooLarge);
    });
    this.#socket.on("error", (error) => this.#end(messageOf(error), true));
    this.#socket.on("end", () => this.#end("closed by the peer", false));
    if (this.#isAccepted) this.#socket.on("drain", () => this.#resume());
    this.#socket.on("close", () => {
      this.#linger?.cancel();
      this.#stalled?.cancel();
      this.#end("connection closed", true);
    });
  }

  send(frame: Uint8Array): void {
    if (this.#closed) return;
    if (frame.length > this.#limits.maxFrameBytes) this.#refuse(frame.length);
    else {
      this.#out.add(frame);
      this.#schedule();
    }
  }

  sendParts(parts: readonly Uint8Array[]): void {
    if (this.#closed) return;
    let length = 0;
    for (const part of parts) length += part.length;
    if (length > this.#limits.maxFrameBytes) this.#refuse(length);
    else {
      this.#out.addParts(parts);
      this.#schedule();
    }
  }

  flush(): void {
    if (!this.#closed) this.#write();
  }

  get unsentBytes(): number {
    return this.#out.bytes + this.#socket.writableLength;
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(reason = "closed"): void {
    this.#end(reason, false);
  }

  #schedule(): void {
    if (this.#out.bytes >= earlyFlushBytes || ++this.#gathered >= earlyFlushFrames) this.#write();
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      queueMicrotask(this.#onTurnEnd);
    }
  }

  readonly #onTurnEnd = (): void => {
    this.#flushScheduled = false;
    if (!this.#closed) this.#write();
  };

  #write(): void {
    const socket = this.#socket;
    const chunks = this.#out.take();
    this.#gathered = 0;
    if (chunks.length === 0) return;
    if (chunks.length === 1) socket.write(chunks[0]!);
    else {
      socket.cork();
      for (const chunk of chunks) socket.write(chunk);
      socket.uncork();
    }
    const unsent = socket.writableLength;
    if (unsent > this.#limits.maxUnsentBytes) {
      this.#endUnread(`more than ${this.#limits.maxUnsentBytes} bytes wait for a peer that does not read`);
      return;
    }
    if (this.#isAccepted && unsent > this.#limits.maxUnsentBytes * pauseShare) this.#pause(unsent);
    if (unsent > this.#limits.maxUnsentBytes / 2 && !this.#aboveHalf) {
      this.#aboveHalf = true;
      socket.once("drain", () => {
        this.#aboveHalf = false;
        if (!this.#closed) this.#handlers?.onDrain?.(this);
      });
    }
  }

  #pause(unsent: number): void {
    if (this.#stalled !== undefined) return;
    this.#socket.pause();
    this.#watchStalled(unsent);
  }

  #watchStalled(before: number): void {
    this.#stalled = this.#env.setTimer(stalledMs, () => {
      const unsent = this.#socket.writableLength;
      if (unsent >= before)
        this.#endUnread(`the peer has read nothing for ${stalledMs / 1000} s; ${unsent} bytes wait for it`);
      else this.#watchStalled(unsent);
    });
  }

  #resume(): void {
    if (this.#stalled === undefined) return;
    this.#stalled.cancel();
    this.#stalled = undefined;
    if (!this.#closed) this.#socket.resume();
  }

  #endUnread(why: string): void {
    this.#env.log.warn("a connection is closed", { remote: this.remote, why });
    this.#end(why, true);
  }

  #refuse(length: number): void {
    const limit = this.#limits.maxFrameBytes;
    this.#stalled?.cancel();
    this.#end(`FRAME_TOO_LARGE: a frame of ${length} bytes, at most ${limit} are allowed`, false);
  }

  /** `broken`: nothing more can or should be sent. Otherwise what was gathered still leaves. */
  #end(reason: string, broken: boolean): void {
    if (!this.#closed) {
      if (!broken) this.#write();
      this.#closed = true;
      this.#closeReason ??= reason;
      queueMicrotask(this.#tellClosed);
      if (!broken) {
        this.#socket.end();
        this.#linger = this.#env.setTimer(lingerMs, () => this.#socket.destroy());
      }
    }
    if (broken) this.#socket.destroy();
  }

  readonly #tellClosed = (): void => {
    this.#handlers?.onClose(this.#closeReason ?? "closed", this);
  };
}
