// The real platform of a process: what every role is given by main.ts.
import { type SystemEnvOptions, systemEnv } from "../base/env-system.ts";
import { openZookeeperMetastore } from "../metastore/metastore-zookeeper.ts";
import type { Platform } from "../net/platform.ts";
import { bunProcesses } from "../net/processes-bun.ts";
import { type TcpTransportOptions, tcpTransport } from "../net/transport-tcp.ts";
import { bunDisk } from "../storage/disk-bun.ts";
import { type LevelKvOptions, levelKv } from "../storage/kv-level.ts";
import { bunHttp } from "./http-bun.ts";

export interface SystemPlatformOptions extends SystemEnvOptions {
  readonly transport?: TcpTransportOptions;
  readonly kv?: LevelKvOptions;
  /** For one connection to ZooKeeper, and for the first session. Default 5,000. */
  readonly metastoreConnectTimeoutMs?: number;
  /** How long a request to ZooKeeper may wait through an outage. Default 15,000. */
  readonly metastoreRequestTimeoutMs?: number;
}

export function systemPlatform(options: SystemPlatformOptions): Platform {
  const env = systemEnv(options);
  return {
    env,
    disk: bunDisk(),
    kv: levelKv(options.kv),
    transport: tcpTransport(env, options.transport),
    http: bunHttp(),
    processes: bunProcesses(),
    openMetastore: (session) =>
      openZookeeperMetastore(env, {
        ...session,
        connectTimeoutMs: options.metastoreConnectTimeoutMs ?? 5_000,
        requestTimeoutMs: options.metastoreRequestTimeoutMs ?? 15_000,
      }),
  };
}
