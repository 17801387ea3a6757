// Network, HTTP and metastore as one process of the simulated world has them: what comes in passes its gate, what goes out meets the cuts of the network.
import { RamaError } from "../base/errors.ts";
import type { Metastore, MetastoreOp, NodeValue, SessionEvent } from "../metastore/metastore.ts";
import type { MemoryMetastoreServer } from "../metastore/metastore-memory.ts";
import type { Http, HttpServer } from "../net/platform.ts";
import type { Address, Connection, ConnectionHandlers, Listener, Transport } from "../net/transport.ts";
import type { MemoryNetwork, MemoryTransport } from "../net/transport-memory.ts";
import type { SimulatedEnv } from "./env-simulated.ts";
import type { SimulatedProcess } from "./process.ts";

export class ProcessTransport implements Transport {
  readonly #process: SimulatedProcess;
  readonly #transport: MemoryTransport;

  constructor(process: SimulatedProcess, transport: MemoryTransport) {
    this.#process = process;
    this.#transport = transport;
  }

  listen(address: Address, onConnection: (connection: Connection) => ConnectionHandlers): Promise<Listener> {
    this.#process.leave();
    return this.#process.answer(
      this.#transport.listen(address, (connection) => {
        let handlers: ConnectionHandlers | undefined;
        // The system accepts; a process that is paused learns it later.
        this.#process.enter("onConnection", () => {
          handlers = onConnection(connection);
        });
        return this.#gated(() => handlers);
      }),
    );
  }

  connect(address: Address, handlers: ConnectionHandlers, timeoutMs?: number): Promise<Connection> {
    this.#process.leave();
    return this.#process.answer(
      this.#transport.connect(
        address,
        this.#gated(() => handlers),
        timeoutMs,
      ),
    );
  }

  #gated(handlers: () => ConnectionHandlers | undefined): ConnectionHandlers {
    const process = this.#process;
    return {
      onFrame: (frame, connection) => {
        const bytes = process.paused ? frame.slice() : frame;
        process.enter("onFrame", () => handlers()?.onFrame(bytes, connection));
      },
      onClose: (reason, connection) => process.enter("onClose", () => handlers()?.onClose(reason, connection)),
      onDrain: (connection) => process.enter("onDrain", () => handlers()?.onDrain?.(connection)),
    };
  }
}

/** Servers of HTTP in the world, by `host:port`. */
export type HttpServers = Map<
  string,
  { readonly process: SimulatedProcess; readonly handler: (request: Request) => Response | Promise<Response> }
>;

const httpTimeoutMs = 5_000;

export function processHttp(
  process: SimulatedProcess,
  env: SimulatedEnv,
  network: MemoryNetwork,
  servers: HttpServers,
): Http {
  const own = process.host.name;
  let lastPort = 50_000;
  return {
    serve: async ({ host, port }, handler): Promise<HttpServer> => {
      process.leave();
      let taken = port === 0 ? lastPort : port;
      while (port === 0 && servers.get(`${own}:${taken}`)?.process.alive) taken = ++lastPort;
      const key = `${own}:${taken}`;
      if (servers.get(key)?.process.alive)
        throw new RamaError("PORT_IN_USE", `port ${port} of ${host} is in use`, { host, port });
      servers.set(key, { process, handler });
      return { host: own, port: taken, close: async () => void servers.delete(key) };
    },
    fetch: (url, init) => {
      process.leave();
      const { hostname, port } = new URL(url);
      const host = hostname === "localhost" || hostname === "127.0.0.1" ? own : hostname;
      const refuse = () =>
        new RamaError("CONNECT_FAILED", `no connection to ${hostname}:${port}`, { host: hostname, port });
      const asked = (async (): Promise<Response> => {
        await env.sleep(network.options.delayMs?.(own, host) ?? 0.1);
        const server = servers.get(`${host}:${port || 80}`);
        if (network.isCut(own, host) || network.isCut(host, own) || server?.process.paused) {
          await env.sleep(httpTimeoutMs);
          throw refuse();
        }
        if (!server?.process.alive) throw refuse();
        const answer = await env.external(Promise.resolve(server.handler(new Request(url, init))));
        const bytes = await env.external(answer.arrayBuffer());
        await env.sleep(network.options.delayMs?.(host, own) ?? 0.1);
        if (network.isCut(host, own) || !server.process.alive) throw refuse();
        // Bodies of real Responses are read in turns of the real event loop.
        return { ok: answer.ok, status: answer.status, arrayBuffer: async () => bytes } as Response;
      })();
      return process.answer(asked);
    },
  };
}

export interface MetastoreWay {
  readonly env: SimulatedEnv;
  readonly network: MemoryNetwork;
  readonly server: MemoryMetastoreServer;
  /** Where the metastore is, as the network knows it. */
  readonly host: string;
  /** False in an outage. */
  readonly isUp: () => boolean;
  readonly requestTimeoutMs: number;
  readonly onExpired: () => void;
}

/**
 * A session with the metastore over the network: requests and answers take time and are lost in a cut (the outcome is unknown then), and a session that is not
 * heard of for its timeout expires, ephemerals and all, whether its process knows it or not.
 */
export class SimulatedSession implements Metastore {
  readonly #process: SimulatedProcess;
  readonly #way: MetastoreWay;
  readonly #inner: Metastore;
  readonly #timeoutMs: number;
  #lastContactMs: number;
  #comeBack: (() => void) | undefined;
  #requestDueMs = 0;
  #answerDueMs = 0;
  #closed = false;

  constructor(process: SimulatedProcess, way: MetastoreWay, root: string, timeoutMs: number) {
    this.#process = process;
    this.#way = way;
    this.#inner = way.server.session(root);
    this.#timeoutMs = timeoutMs;
    this.#lastContactMs = way.env.monotonicMs();
    this.#watchOver();
  }

  /** The process, as in the lines of its log. */
  get owner(): string {
    const { host, name, pid } = this.#process;
    return `${host.name}/${name}.${pid}`;
  }

  get(path: string): Promise<NodeValue | undefined> {
    return this.#ask(() => this.#inner.get(path));
  }

  children(path: string): Promise<string[]> {
    return this.#ask(() => this.#inner.children(path));
  }

  create(path: string, data: Uint8Array, options?: { ephemeral?: boolean; sequential?: boolean }): Promise<string> {
    return this.#ask(() => this.#inner.create(path, data, options));
  }

  set(path: string, data: Uint8Array, expectedVersion?: number): Promise<number> {
    return this.#ask(() => this.#inner.set(path, data, expectedVersion));
  }

  remove(path: string, expectedVersion?: number): Promise<void> {
    return this.#ask(() => this.#inner.remove(path, expectedVersion));
  }

  multi(ops: readonly MetastoreOp[]): Promise<void> {
    return this.#ask(() => this.#inner.multi(ops));
  }

  watch(path: string, signal: AbortSignal): AsyncIterable<NodeValue | undefined> {
    this.#process.leave();
    return this.#arriving(this.#inner.watch(path, signal), () => this.#inner.get(path));
  }

  watchChildren(path: string, signal: AbortSignal): AsyncIterable<string[]> {
    this.#process.leave();
    return this.#arriving(this.#inner.watchChildren(path, signal), () => this.#inner.children(path));
  }

  onSession(listener: (event: SessionEvent) => void): () => void {
    return this.#inner.onSession((event) => this.#process.enter("onSession", () => listener(event)));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#process.leave();
    this.#closed = true;
    await this.#process.answer(this.#inner.close());
  }

  /** The session is expired by the server, although it could reach it. */
  expire(): void {
    if (this.#closed || this.#comeBack !== undefined || !this.#process.alive) return;
    this.#comeBack = this.#way.server.expireUntil(this.#inner);
    this.#way.onExpired();
  }

  get #isReachable(): boolean {
    const { network, host, isUp } = this.#way;
    const own = this.#process.host.name;
    return isUp() && !network.isCut(own, host) && !network.isCut(host, own);
  }

  /** Pings, as the server sees them. */
  #watchOver(): void {
    const { env, server, isUp } = this.#way;
    env.setTimer(this.#timeoutMs / 3, () => {
      if (this.#closed) return;
      const now = env.monotonicMs();
      // Sessions do not end while the whole ensemble is away.
      if (!isUp()) this.#lastContactMs = now;
      if (this.#process.alive && !this.#process.paused && this.#isReachable) {
        this.#lastContactMs = now;
        this.#comeBack?.();
        this.#comeBack = undefined;
      } else if (now - this.#lastContactMs > this.#timeoutMs) {
        if (!this.#process.alive) {
          server.kill(this.#inner);
          return;
        }
        this.expire();
      }
      this.#watchOver();
    });
  }

  #ask<T>(request: () => Promise<T>): Promise<T> {
    this.#process.leave();
    const { env, requestTimeoutMs } = this.#way;
    const deadlineMs = env.monotonicMs() + requestTimeoutMs;
    const asked = (async (): Promise<T> => {
      this.#requestDueMs = Math.max(this.#requestDueMs, env.monotonicMs() + this.#travelMs());
      await env.sleep(this.#requestDueMs - env.monotonicMs());
      await this.#untilReachable(deadlineMs);
      const answer = await request();
      this.#answerDueMs = Math.max(this.#answerDueMs, env.monotonicMs() + this.#travelMs());
      await env.sleep(this.#answerDueMs - env.monotonicMs());
      if (!this.#isReachable) {
        await env.sleep(Math.max(0, deadlineMs - env.monotonicMs()));
        throw unavailable("the connection broke before the answer came", { sent: true });
      }
      return answer;
    })();
    return this.#process.answer(asked);
  }

  async *#arriving<T>(source: AsyncIterable<T>, readAgain: () => Promise<T>): AsyncGenerator<T> {
    const { env } = this.#way;
    const iterator = source[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await this.#process.answer(iterator.next());
      if (done) return;
      let arrived = value;
      const coming = (async () => {
        await env.sleep(this.#travelMs());
        if (this.#isReachable) return;
        await this.#untilReachable(Number.POSITIVE_INFINITY);
        arrived = await readAgain();
      })();
      await this.#process.answer(coming);
      yield arrived;
    }
  }

  async #untilReachable(deadlineMs: number): Promise<void> {
    const { env } = this.#way;
    while (!this.#isReachable || this.#comeBack !== undefined) {
      if (env.monotonicMs() >= deadlineMs) throw unavailable("no metastore answers", { sent: false });
      if (!this.#process.alive) await new Promise(() => {});
      await env.sleep(20);
    }
  }

  #travelMs(): number {
    const { network, host } = this.#way;
    return network.options.delayMs?.(this.#process.host.name, host) ?? 0.1;
  }
}

function unavailable(why: string, facts: Record<string, unknown>): RamaError {
  return new RamaError("METASTORE_UNAVAILABLE", why, facts);
}
