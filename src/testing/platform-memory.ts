// The platform of in-process clusters: one world in memory, and a platform in it for each role. The clock is the real one unless another Env is given
// (`simulation/`). Nothing of it survives the process.
import { systemEnv } from "../base/env-system.ts";
import type { Env, LogLevel } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { type MemoryMetastoreOptions, MemoryMetastoreServer } from "../metastore/metastore-memory.ts";
import type { Metastore } from "../metastore/metastore.ts";
import type { Http, HttpServer, Platform, Processes } from "../net/platform.ts";
import { MemoryNetwork, type MemoryNetworkOptions, type MemoryTransport } from "../net/transport-memory.ts";
import { MemoryDisk, type MemoryDiskOptions } from "../storage/disk-memory.ts";
import { type MemoryKvOpener, memoryKv } from "../storage/kv-memory.ts";

export interface MemoryWorldOptions {
  /** Default: the real clock, with a log that goes nowhere unless `sink` is given. */
  readonly env?: Env;
  readonly sink?: (line: string) => void;
  readonly logLevel?: LogLevel;
  /** Something that nobody awaits has thrown: a test should fail then. */
  readonly onFailure?: (name: string, error: unknown) => void;
  readonly network?: MemoryNetworkOptions;
  readonly disk?: MemoryDiskOptions;
  readonly metastore?: MemoryMetastoreOptions;
  /** How processes are started, for a cluster that plays them in this process. Default: every start is an error. */
  readonly processes?: Processes;
}

type Handler = (request: Request) => Response | Promise<Response>;

export interface MemoryPlatform extends Platform {
  readonly host: string;
  readonly transport: MemoryTransport;
  readonly disk: MemoryDisk;
  readonly kv: MemoryKvOpener;
  readonly world: MemoryWorld;
  /** Metastore sessions that the role has opened. */
  readonly sessions: readonly Metastore[];
  /** The role ends as by SIGKILL: connections are lost, listeners go, metastore sessions are dead and their ephemerals gone. Its files stay. */
  kill(): void;
}

/** What the hosts of one cluster share. Each host has a disk of its own. */
export class MemoryWorld {
  readonly env: Env;
  readonly network: MemoryNetwork;
  readonly metastoreServer: MemoryMetastoreServer;
  readonly #options: MemoryWorldOptions;
  readonly #hosts = new Map<string, { disk: MemoryDisk; kv: MemoryKvOpener }>();
  readonly #http = new Map<string, Handler>();
  #lastHttpPort = 8_000;

  constructor(options: MemoryWorldOptions = {}) {
    this.#options = options;
    this.env =
      options.env ??
      systemEnv({
        sink: options.sink ?? (() => {}),
        ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
        ...(options.onFailure === undefined ? {} : { onFailure: options.onFailure }),
      });
    this.network = new MemoryNetwork(this.env, options.network);
    this.metastoreServer = new MemoryMetastoreServer(this.env, options.metastore);
  }

  /** The disk and stores of a host; the same at each call. */
  host(name: string): { readonly disk: MemoryDisk; readonly kv: MemoryKvOpener } {
    let host = this.#hosts.get(name);
    if (host === undefined) {
      const disk = new MemoryDisk(this.#options.disk);
      host = { disk, kv: memoryKv({ disk }) };
      this.#hosts.set(name, host);
    }
    return host;
  }

  /** A platform for one role on a host; several roles may share the host, its disk and its stores. */
  platform(hostName = "localhost"): MemoryPlatform {
    const { disk, kv } = this.host(hostName);
    const transport = this.network.transport(hostName);
    const sessions: Metastore[] = [];
    const served: string[] = [];
    return {
      host: hostName,
      world: this,
      sessions,
      env: this.env,
      disk,
      kv,
      transport,
      http: this.#httpOf(hostName, served),
      processes: this.#options.processes ?? noProcesses,
      openMetastore: async ({ root }) => {
        const session = this.metastoreServer.session(root);
        sessions.push(session);
        return session;
      },
      kill: () => {
        transport.shutDown();
        for (const session of sessions) this.metastoreServer.kill(session);
        for (const key of served) this.#http.delete(key);
      },
    };
  }

  /** The power of a host is cut: what was not synced is lost, all its stores and files are dead. Kill its roles as well. */
  powerCut(hostName: string, random: () => number = () => this.env.random()): void {
    const { disk, kv } = this.host(hostName);
    disk.powerCut(random);
    kv.powerCut(random);
  }

  #httpOf(hostName: string, served: string[]): Http {
    return {
      serve: async ({ host, port }, handler): Promise<HttpServer> => {
        const taken = port === 0 ? ++this.#lastHttpPort : port;
        const key = `${hostName}:${taken}`;
        if (this.#http.has(key))
          throw new RamaError("PORT_IN_USE", `port ${port} of ${host} is in use`, { host, port });
        this.#http.set(key, handler);
        served.push(key);
        return { host: hostName, port: taken, close: async () => void this.#http.delete(key) };
      },
      fetch: async (url, init) => {
        const { hostname, port } = new URL(url);
        const host = hostname === "127.0.0.1" || hostname === "localhost" ? hostName : hostname;
        const handler = this.#http.get(`${host}:${port || 80}`);
        if (handler === undefined || this.network.isCut(hostName, host)) {
          throw new RamaError("CONNECT_FAILED", `no connection to ${hostname}:${port}`, { host: hostname, port });
        }
        return handler(new Request(url, init));
      },
    };
  }
}

const noProcesses: Processes = {
  start() {
    throw new RamaError("INTERNAL", "there are no processes in memory: give the world some");
  },
  birth: () => undefined,
  signal() {},
};

/** A world with one host, for tests that need no second. */
export function memoryPlatform(
  options: MemoryWorldOptions = {},
): MemoryPlatform & { readonly network: MemoryNetwork; readonly metastoreServer: MemoryMetastoreServer } {
  const world = new MemoryWorld(options);
  return { ...world.platform(), network: world.network, metastoreServer: world.metastoreServer };
}
