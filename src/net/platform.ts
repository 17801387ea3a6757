// All that touches the world, handed in by a role: real in `roles/`, memory in `testing/`, simulated in `simulation/`.
import type { Env } from "../base/env.ts";
import type { Metastore } from "../metastore/metastore.ts";
import type { Disk } from "../storage/disk.ts";
import type { KvOpener } from "../storage/kv.ts";
import type { Transport } from "./transport.ts";

export interface ChildProcess {
  readonly pid: number;
}

export interface Processes {
  /** Starts a detached process whose stdout and stderr go to `outFile`; it outlives its parent. */
  start(options: {
    readonly command: readonly string[];
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
    readonly outFile: string;
  }): ChildProcess;
  /**
   * Tells the process from another one that has its pid later, after a restart of the machine or container above all. undefined: no process has the pid now.
   * "": there is one, and the system does not tell.
   */
  birth(pid: number): string | undefined;
  /** "SIGTERM" asks, "SIGKILL" ends. No-op for a process that is gone. */
  signal(pid: number, signal: "SIGTERM" | "SIGKILL"): void;
}

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface Http {
  serve(
    address: { host: string; port: number },
    handler: (request: Request) => Response | Promise<Response>,
  ): Promise<HttpServer>;
  fetch(url: string, init?: RequestInit): Promise<Response>;
}

export interface Platform {
  readonly env: Env;
  readonly disk: Disk;
  readonly kv: KvOpener;
  readonly transport: Transport;
  readonly http: Http;
  readonly processes: Processes;
  /** Opens a session. `servers` are `host:port`. */
  openMetastore(options: {
    readonly servers: readonly string[];
    readonly root: string;
    readonly sessionTimeoutMs: number;
  }): Promise<Metastore>;
}
