// The simulated world: hosts with a disk, a clock and processes each, a network between them, and a metastore somewhere in it. Everything that happens is asked of
// one SimulatedEnv, so that a world is repeated from its seed. What runs in it is the product's own code; this file knows no role.
import type { LogLevel } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { MemoryMetastoreServer } from "../metastore/metastore-memory.ts";
import type { Platform } from "../net/platform.ts";
import { MemoryNetwork } from "../net/transport-memory.ts";
import { MemoryDisk } from "../storage/disk-memory.ts";
import { type MemoryKvOpener, memoryKv } from "../storage/kv-memory.ts";
import { SimulatedEnv } from "./env-simulated.ts";
import { SimulatedProcess } from "./process.ts";
import {
  type HttpServers,
  type MetastoreWay,
  ProcessTransport,
  processHttp,
  SimulatedSession,
} from "./process-network.ts";
import { ProcessDisk, ProcessKv, type StorageTimes } from "./process-storage.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly sink?: (line: string) => void;
  readonly logLevel?: LogLevel;
  /** Mean of a frame's way from host to host, ms. Default 0.3. */
  readonly networkMs?: number;
  /** Mean of a sync, ms. Default 0.8. */
  readonly syncMs?: number;
}

/** Name of the host that the metastore is on, for cuts. */
export const metastoreHost = "metastore";

/** What is wrong with a disk at present. */
export interface DiskTrouble {
  /** Share of syncs and batches that fail. */
  failing: number;
  /** Added to each sync. */
  slowMs: number;
}

export class SimulatedHost {
  readonly name: string;
  clockOffsetMs = 0;
  readonly disk: MemoryDisk;
  readonly kv: MemoryKvOpener;
  readonly trouble: DiskTrouble = { failing: 0, slowMs: 0 };
  /** By pid; those that have ended stay until the host starts again. */
  readonly processes = new Map<number, SimulatedProcess>();
  /** Something that strikes in the middle of a sync: after so many of them. */
  atSync: { left: number; readonly strike: () => void } | undefined;
  /** False while it is without power. */
  isUp = true;
  lastPid = 100;

  constructor(name: string, disk: MemoryDisk) {
    this.name = name;
    this.disk = disk;
    this.kv = memoryKv({ disk });
  }
}

/** What a role is given, and what the world needs of it. */
export interface ProcessContext {
  readonly platform: Platform;
  readonly process: SimulatedProcess;
  /** What SIGTERM asks for. Without, the process just ends. */
  onTerminate: (() => void) | undefined;
}

export interface Failure {
  readonly atMs: number;
  readonly where: string;
  readonly error: unknown;
}

export class SimulatedWorld {
  readonly env: SimulatedEnv;
  readonly network: MemoryNetwork;
  readonly metastoreServer: MemoryMetastoreServer;
  /** What nobody awaited, in processes that lived. */
  readonly failures: Failure[] = [];
  /** How often each kind of fault, and of what follows from one, has come. */
  readonly counters: Record<string, number> = {};
  readonly sessions = new Set<SimulatedSession>();
  metastoreIsUp = true;
  /** Called after each end of a process. */
  onProcessEnd: (process: SimulatedProcess) => void = () => {};
  readonly #options: WorldOptions;
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #contexts = new Map<SimulatedProcess, ProcessContext & { readonly end: () => void }>();
  #births = 0;
  readonly #http: HttpServers = new Map();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.env = new SimulatedEnv({
      seed: options.seed,
      turnMs: 0.005,
      logLevel: options.logLevel ?? "info",
      ...(options.sink === undefined ? {} : { sink: options.sink }),
      onFailure: (where, error) => this.#failed(where, error),
    });
    const { env } = this;
    const mean = options.networkMs ?? 0.3;
    this.network = new MemoryNetwork(env, {
      delayMs: (from, to) => (from === to ? 0.02 + env.random() * 0.05 : mean * (0.2 + env.random() * 1.6)),
    });
    this.metastoreServer = new MemoryMetastoreServer(env);
  }

  count(what: string): void {
    this.counters[what] = (this.counters[what] ?? 0) + 1;
  }

  host(name: string): SimulatedHost {
    let host = this.#hosts.get(name);
    if (host === undefined) {
      const disk = new MemoryDisk();
      const made = new SimulatedHost(name, disk);
      disk.options = {
        fault: (operation, path) => {
          if (operation === "sync" || operation === "syncDir") this.#mayFail(made, path);
        },
        syncDelay: async () => {
          const ms = this.#syncMs(made);
          this.#beginsSync(made, ms * this.env.random());
          await this.env.sleep(ms);
        },
      };
      host = made;
      this.#hosts.set(name, host);
    }
    return host;
  }

  get hosts(): readonly SimulatedHost[] {
    return [...this.#hosts.values()];
  }

  /** A process on a host; its main function begins a moment later. When main rejects, the process has ended with an error. */
  start(
    hostName: string,
    name: string,
    main: (context: ProcessContext) => Promise<void>,
    startMs = 1 + this.env.random() * 20,
  ): SimulatedProcess {
    const host = this.host(hostName);
    const pid = ++host.lastPid;
    const process = new SimulatedProcess({
      env: this.env,
      host,
      name,
      pid,
      birth: `b${++this.#births}`,
      onFailure: ({ name: where }, what, error) => this.#failed(`${where}: ${what}`, error),
      onEnd: () => this.#ended(host, process),
    });
    host.processes.set(pid, process);
    const context = this.#contextOf(host, process);
    this.#contexts.set(process, context);
    this.env.setTimer(startMs, () =>
      process.enter("main", () => {
        main(context).then(undefined, (error: unknown) => {
          if (!process.alive) return;
          process.log.warn("the process ends with an error", { error });
          process.kill();
        });
      }),
    );
    return process;
  }

  signal(process: SimulatedProcess, signal: "SIGTERM" | "SIGKILL"): void {
    if (!process.alive) return;
    const context = this.#contexts.get(process);
    if (signal === "SIGKILL" || context?.onTerminate === undefined) process.kill();
    else process.enter("SIGTERM", context.onTerminate);
  }

  /** The host loses power: its processes are gone, and of its disk what was not synced. */
  powerCut(name: string): void {
    const host = this.host(name);
    host.isUp = false;
    for (const process of host.processes.values()) process.kill();
    host.disk.powerCut(() => this.env.random(), 0.3);
    host.kv.powerCut(() => this.env.random());
  }

  /** Pids begin anew, as in a container: those in files of former processes may be taken. */
  powerOn(name: string): void {
    const host = this.host(name);
    host.processes.clear();
    host.lastPid = 100 + Math.floor(this.env.random() * 6);
    host.isUp = true;
  }

  #failed(where: string, error: unknown): void {
    this.failures.push({ atMs: this.env.monotonicMs(), where, error });
  }

  #ended(host: SimulatedHost, process: SimulatedProcess): void {
    this.#contexts.get(process)?.end();
    this.#contexts.delete(process);
    void host;
    this.onProcessEnd(process);
  }

  #contextOf(host: SimulatedHost, process: SimulatedProcess): ProcessContext & { readonly end: () => void } {
    const { env, network } = this;
    const times: StorageTimes = {
      syncMs: () => {
        this.#beginsSync(host, 0);
        return this.#syncMs(host);
      },
      kvFault: (dir) => {
        this.#mayFail(host, dir);
        const { freeBytes } = host.disk.space(dir);
        if (freeBytes === 0) throw new RamaError("DISK_FULL", `${dir}: no space is left`, { path: dir });
      },
    };
    const transport = network.transport(host.name);
    const kv = new ProcessKv(process, host.kv, env, times);
    const way: MetastoreWay = {
      env,
      network,
      server: this.metastoreServer,
      host: metastoreHost,
      isUp: () => this.metastoreIsUp,
      requestTimeoutMs: 10_000,
      onExpired: () => this.count("metastore session expired"),
    };
    const sessions: SimulatedSession[] = [];
    const platform: Platform = {
      env: process,
      disk: new ProcessDisk(process, host.disk, env, times),
      kv,
      transport: new ProcessTransport(process, transport),
      http: processHttp(process, env, network, this.#http),
      processes: {
        start() {
          throw new RamaError("INTERNAL", "a simulated role starts its processes by the world", {});
        },
        birth: (pid) => {
          process.leave();
          const other = host.processes.get(pid);
          return other?.alive ? other.birth : undefined;
        },
        signal: (pid, signal) => {
          process.leave();
          const other = host.processes.get(pid);
          if (other === undefined || !other.alive) return;
          if (signal === "SIGKILL" && !other.name.startsWith("worker")) {
            this.#failed(
              `${process.name}: kills ${other.name} (pid ${pid})`,
              new Error("an innocent process is killed"),
            );
          }
          this.signal(other, signal);
        },
      },
      openMetastore: async ({ root, sessionTimeoutMs }) => {
        process.leave();
        const session = new SimulatedSession(process, way, root, sessionTimeoutMs);
        sessions.push(session);
        this.sessions.add(session);
        // As the first session of a real client: not before the server answers.
        await session.children("/");
        return session;
      },
    };
    const end = (): void => {
      transport.abandon(() => env.random() < 0.5);
      kv.end();
      for (const session of sessions) this.sessions.delete(session);
    };
    return { platform, process, onTerminate: undefined, end };
  }

  #syncMs(host: SimulatedHost): number {
    const mean = this.#options.syncMs ?? 0.8;
    const drawn = this.env.random();
    return mean * (0.3 + drawn) + (drawn > 0.98 ? mean * 5 : 0) + host.trouble.slowMs * this.env.random();
  }

  #beginsSync(host: SimulatedHost, strikesInMs: number): void {
    const { atSync } = host;
    if (atSync === undefined || --atSync.left > 0) return;
    host.atSync = undefined;
    if (strikesInMs === 0) atSync.strike();
    else this.env.setTimer(strikesInMs, atSync.strike);
  }

  #mayFail(host: SimulatedHost, path: string): void {
    if (host.trouble.failing === 0 || this.env.random() >= host.trouble.failing) return;
    this.count("failed sync");
    throw new RamaError("DISK_FAILED", `${path}: input/output error`, { path });
  }
}
