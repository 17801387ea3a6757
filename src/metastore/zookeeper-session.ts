// One ZooKeeper session that outlives its connections, on top of node-zookeeper-client, which lacks:
//   - a read timeout: a frozen server goes unnoticed. Here a ping of our own must be answered in time, or the connection is dropped.
//   - life after EXPIRED. Here a new session is opened.
//   - a clean reconnect: it keeps half a message of the old connection and reads the new one behind it. Here a client serves for one connection; the next
//     client takes the session over by its id and password.
//   - a bound on pipelining: its cost grows with the queue. Here at most `maxInFlight` requests are out.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { unavailable } from "./watching.ts";

export interface ZookeeperStat {
  readonly version: number;
  readonly czxid: Uint8Array;
  /** 8 bytes, all zero for a persistent node. */
  readonly ephemeralOwner: Uint8Array;
}

export type ZookeeperError = (Error & { getCode(): number }) | null | undefined;

export interface ZookeeperTransaction {
  readonly ops: { version: number }[];
  create(path: string, data: Buffer, mode: number): void;
  setData(path: string, data: Buffer): void;
  remove(path: string): void;
  check(path: string): void;
  commit(callback: (error: ZookeeperError, results: readonly { err?: number }[] | undefined) => void): void;
}

/** The part of a client that we use. */
export interface ZookeeperClient {
  connect(): void;
  close(): void;
  on(event: "connected" | "disconnected" | "expired", listener: () => void): void;
  removeAllListeners(): void;
  getSessionId(): Buffer;
  getSessionPassword(): Buffer;
  getSessionTimeout(): number;
  create(path: string, data: Buffer, mode: number, callback: (error: ZookeeperError, path: string) => void): void;
  remove(path: string, version: number, callback: (error: ZookeeperError) => void): void;
  setData(
    path: string,
    data: Buffer,
    version: number,
    callback: (error: ZookeeperError, stat: ZookeeperStat) => void,
  ): void;
  getData(
    path: string,
    watcher: (() => void) | undefined,
    callback: (error: ZookeeperError, data: Buffer | undefined, stat: ZookeeperStat) => void,
  ): void;
  exists(
    path: string,
    watcher: (() => void) | undefined,
    callback: (error: ZookeeperError, stat: ZookeeperStat | null) => void,
  ): void;
  getChildren(
    path: string,
    watcher: (() => void) | undefined,
    callback: (error: ZookeeperError, children: string[], stat: ZookeeperStat) => void,
  ): void;
  transaction(): ZookeeperTransaction;
  /** Not public, but there: one per client, holds the socket and its reconnect loop. */
  readonly connectionManager: {
    connect(): void;
    zxid: Buffer;
    socket?: { destroy(): void };
    connectTimeoutHandler?: Parameters<typeof clearTimeout>[0];
  };
}

export interface ZookeeperLibrary {
  createClient(
    servers: string,
    options: { sessionTimeout: number; retries: 0; sessionId?: Buffer; sessionPassword?: Buffer },
  ): ZookeeperClient;
  readonly Exception: Readonly<
    Record<"NO_NODE" | "BAD_VERSION" | "NODE_EXISTS" | "NOT_EMPTY" | "CONNECTION_LOSS", number>
  > &
    Readonly<Record<"SESSION_EXPIRED" | "NO_CHILDREN_FOR_EPHEMERALS", number>>;
  readonly CreateMode: Readonly<
    Record<"PERSISTENT" | "EPHEMERAL" | "PERSISTENT_SEQUENTIAL" | "EPHEMERAL_SEQUENTIAL", number>
  >;
}

export interface SessionOptions {
  readonly servers: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** After a new session was opened instead of one that expired; requests wait until it has resolved. */
  readonly onRenewed: (client: ZookeeperClient) => Promise<void>;
  /** After each connection, when requests flow again. */
  readonly onConnected: () => void;
  readonly onDisconnected: () => void;
}

/** Carries a request out on a client; the callback gets what the library gives. */
export type ZookeeperSend<T> = (client: ZookeeperClient, done: (error: ZookeeperError, value: T) => void) => void;

interface Request {
  readonly send: ZookeeperSend<unknown>;
  /** May be sent again when the connection broke while it was out. */
  readonly repeatable: boolean;
  readonly resolve: (value: any) => void;
  readonly reject: (error: unknown) => void;
  timer: Timer | undefined;
  settled: boolean;
}

const maxInFlight = 250;
const firstRetryMs = 50;
const longestRetryMs = 1_000;

export class ZookeeperSession {
  readonly #env: Env;
  readonly #library: ZookeeperLibrary;
  readonly #options: SessionOptions;
  #client: ZookeeperClient | undefined;
  /** Requests flow: the client is connected and, after an expiry, its ephemerals are back. */
  #open = false;
  #closed = false;
  #waiting: Request[] = [];
  readonly #out = new Set<Request>();
  /** What the next client takes over. */
  #session: { id: Buffer; password: Buffer; zxid: Buffer } | undefined;
  /** The session before has expired and the present one does not hold its ephemerals yet, or not all. */
  #renewalDue = false;
  #attempts = 0;
  #retryMs = firstRetryMs;
  #connectTimer: Timer | undefined;
  #pingTimer: Timer | undefined;
  #retryTimer: Timer | undefined;

  constructor(env: Env, library: ZookeeperLibrary, options: SessionOptions) {
    this.#env = env;
    this.#library = library;
    this.#options = options;
    this.#connect();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** METASTORE_UNAVAILABLE after `requestTimeoutMs`; otherwise what the library answers. */
  request<T>(repeatable: boolean, send: ZookeeperSend<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(unavailable("the session is closed"));
        return;
      }
      const request: Request = {
        send: send as ZookeeperSend<unknown>,
        repeatable,
        resolve,
        reject,
        timer: undefined,
        settled: false,
      };
      request.timer = this.#env.setTimer(this.#options.requestTimeoutMs, () => this.#expireRequest(request));
      this.#waiting.push(request);
      this.#pump();
    });
  }

  /** Ends the session at the server, so that its ephemerals go at once. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of [this.#connectTimer, this.#pingTimer, this.#retryTimer]) timer?.cancel();
    const ended = [...this.#waiting, ...this.#out];
    this.#waiting = [];
    this.#out.clear();
    for (const request of ended) this.#settle(request, () => request.reject(unavailable("the session was closed")));
    const client = this.#client;
    if (client === undefined) return;
    if (this.#open) {
      await new Promise<void>((resolve) => {
        const timer = this.#env.setTimer(this.#options.connectTimeoutMs, resolve);
        client.on("disconnected", () => {
          timer.cancel();
          resolve();
        });
        client.close();
      });
    }
    discard(client);
  }

  #connect(): void {
    if (this.#closed) return;
    const { servers, sessionTimeoutMs, connectTimeoutMs } = this.#options;
    const turn = this.#attempts++ % servers.length;
    const order = [...servers.slice(turn), ...servers.slice(0, turn)].join(",");
    const session = this.#session;
    const client = this.#library.createClient(order, {
      sessionTimeout: sessionTimeoutMs,
      retries: 0,
      ...(session === undefined ? {} : { sessionId: session.id, sessionPassword: session.password }),
    });
    // Never connect to a server that knows less than we have seen.
    if (session !== undefined) client.connectionManager.zxid = session.zxid;
    this.#client = client;
    client.on("connected", () => {
      if (this.#client === client) this.#connected(client);
    });
    client.on("disconnected", () => {
      if (this.#client === client) this.#drop("the connection was lost");
    });
    client.on("expired", () => {
      if (this.#client !== client) return;
      this.#renewalDue ||= this.#session !== undefined;
      this.#session = undefined;
      this.#drop("the session has expired");
    });
    this.#connectTimer = this.#env.setTimer(connectTimeoutMs, () =>
      this.#drop(`no answer within ${connectTimeoutMs} ms`),
    );
    client.connect();
  }

  #connected(client: ZookeeperClient): void {
    this.#connectTimer?.cancel();
    this.#retryMs = firstRetryMs;
    this.#remember(client);
    this.#pingLater(client);
    if (this.#renewalDue) this.#env.spawn("renewing a metastore session", () => this.#renew(client));
    else this.#begin();
  }

  async #renew(client: ZookeeperClient): Promise<void> {
    this.#env.log.warn("the metastore session had expired, a new one is open");
    try {
      await this.#options.onRenewed(client);
    } catch (error) {
      // The renewal is begun again on the next connection, in this session or in another one.
      if (this.#client === client) this.#drop(`renewal was interrupted: ${error}`);
      return;
    }
    if (this.#client !== client) return;
    this.#renewalDue = false;
    this.#begin();
  }

  #begin(): void {
    this.#open = true;
    this.#options.onConnected();
    this.#pump();
  }

  #remember(client: ZookeeperClient): void {
    this.#session = {
      id: client.getSessionId(),
      password: client.getSessionPassword(),
      zxid: client.connectionManager.zxid,
    };
  }

  /** A third of the session timeout after the last answer asks again; another third without an answer ends the connection. */
  #pingLater(client: ZookeeperClient): void {
    const thirdMs = Math.max(50, Math.floor(client.getSessionTimeout() / 3));
    this.#pingTimer = this.#env.setTimer(thirdMs, () => {
      if (this.#client !== client) return;
      this.#pingTimer = this.#env.setTimer(thirdMs, () => this.#drop(`the server has not answered for ${thirdMs} ms`));
      client.exists("/zookeeper", undefined, () => {
        if (this.#client !== client) return;
        this.#pingTimer?.cancel();
        this.#pingLater(client);
      });
    });
  }

  /** Gives the connection up and tries the next one. */
  #drop(why: string): void {
    const client = this.#client;
    if (client === undefined || this.#closed) return;
    this.#connectTimer?.cancel();
    this.#pingTimer?.cancel();
    this.#client = undefined;
    if (this.#session !== undefined) this.#session.zxid = client.connectionManager.zxid;
    const wasOpen = this.#open;
    this.#open = false;
    discard(client);
    this.#env.log[wasOpen ? "warn" : "debug"]("metastore connection ended", { why });
    const out = [...this.#out];
    this.#out.clear();
    const again: Request[] = [];
    for (const request of out) {
      if (request.repeatable) again.push(request);
      else
        this.#settle(request, () =>
          request.reject(unavailable(`${why}; the change may have happened`, { sent: true })),
        );
    }
    this.#waiting = [...again, ...this.#waiting];
    this.#retryTimer = this.#env.setTimer(this.#retryMs, () => this.#connect());
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
    if (wasOpen) this.#options.onDisconnected();
  }

  #pump(): void {
    const client = this.#client;
    while (this.#open && client !== undefined && this.#out.size < maxInFlight) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      this.#out.add(request);
      this.#sendOn(client, request);
    }
  }

  #sendOn(client: ZookeeperClient, request: Request): void {
    const done = (error: ZookeeperError, value: unknown) => {
      // Dropped meanwhile, or timed out.
      if (this.#client !== client || !this.#out.has(request)) return;
      const code = error?.getCode?.();
      const { CONNECTION_LOSS, SESSION_EXPIRED } = this.#library.Exception;
      // The events of the connection, which follow, decide what becomes of the request.
      if (code === CONNECTION_LOSS || code === SESSION_EXPIRED) return;
      this.#out.delete(request);
      this.#settle(request, () => (error ? request.reject(error) : request.resolve(value)));
      this.#pump();
    };
    try {
      request.send(client, done);
    } catch (error) {
      this.#out.delete(request);
      this.#settle(request, () => request.reject(new RamaError("BAD_VALUE", `${(error as Error).message}`, {}, error)));
    }
  }

  #expireRequest(request: Request): void {
    const sent = this.#out.delete(request);
    if (!sent) this.#waiting = this.#waiting.filter((other) => other !== request);
    const { servers, requestTimeoutMs } = this.#options;
    const message = `${servers.join(",")} has not answered within ${requestTimeoutMs} ms`;
    this.#settle(request, () => request.reject(unavailable(message, { servers, requestTimeoutMs, sent })));
  }

  #settle(request: Request, fn: () => void): void {
    if (request.settled) return;
    request.settled = true;
    request.timer?.cancel();
    fn();
  }
}

/** Ends a client without a word to the server: no reconnect loop, no timer, no socket is left. */
function discard(client: ZookeeperClient): void {
  const manager = client.connectionManager;
  manager.connect = () => {};
  client.removeAllListeners();
  clearTimeoutOf(manager);
  if (manager.socket !== undefined) manager.socket.destroy();
  else
    Object.defineProperty(manager, "socket", {
      // The library opens its socket a turn after `connect`: it is closed as soon as it is there.
      set: (socket: { destroy(): void }) => {
        Object.defineProperty(manager, "socket", { value: socket, writable: true });
        socket.destroy();
      },
      configurable: true,
    });
}

function clearTimeoutOf(manager: ZookeeperClient["connectionManager"]): void {
  if (manager.connectTimeoutHandler !== undefined && manager.connectTimeoutHandler !== null) {
    clearTimeout(manager.connectTimeoutHandler);
  }
}
