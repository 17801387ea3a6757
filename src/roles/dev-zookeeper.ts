// The dev role's ZooKeeper: a durable server of ZooKeeper's wire protocol in one process. Wiring only; the server is `zookeeper/server.ts`.

import type { Env } from "../base/env.ts";
import type { Disk } from "../storage/disk.ts";
import type { Recovered } from "../zookeeper/recovery.ts";
import { ZookeeperServer } from "../zookeeper/server.ts";
import { socketByteServer } from "./dev-zookeeper-socket.ts";

export interface DevZookeeperOptions {
  readonly env: Env;
  readonly disk: Disk;
  /** Journal and snapshots; created when missing. The caller holds the lock of `local.dir`. */
  readonly dir: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Default 2000. Session timeouts lie between 2 and 20 ticks unless set below. */
  readonly tickTimeMs?: number;
  readonly sessionTimeoutMinMs?: number;
  readonly sessionTimeoutMaxMs?: number;
  /** Default 1000; 0 for no limit. */
  readonly connectionsPerHostMax?: number;
  /** jute.maxbuffer; default 1,048,575 as everywhere. */
  readonly packetBytesMax?: number;
  readonly containerCheckMs?: number;
  readonly snapshotEveryEntries?: number;
  readonly snapshotEveryBytes?: number;
  /** The disk has failed and the server has stopped. Default: the process's failure handler. */
  readonly onFailed?: (error: unknown) => void;
}

export interface DevZookeeper {
  readonly host: string;
  readonly port: number;
  readonly recovered: Recovered;
  /** Makes all durable, closes every connection and the port. Sessions survive and may be resumed after the next start. */
  stop(): Promise<void>;
}

/** Recovers from `dir` and listens. STORE_CORRUPT, PORT_IN_USE, BAD_CONFIG, DISK_*. */
export async function startDevZookeeper(options: DevZookeeperOptions): Promise<DevZookeeper> {
  const { env, disk, dir, host, port, tickTimeMs = 2000 } = options;
  const failed = (error: unknown) => env.spawn("devZookeeper", () => Promise.reject(error));
  const server = new ZookeeperServer({
    env,
    disk,
    dir,
    tickTimeMs,
    sessionTimeoutMinMs: options.sessionTimeoutMinMs ?? tickTimeMs * 2,
    sessionTimeoutMaxMs: options.sessionTimeoutMaxMs ?? tickTimeMs * 20,
    connectionsPerHostMax: options.connectionsPerHostMax ?? 1000,
    packetBytesMax: options.packetBytesMax ?? 0xfffff,
    containerCheckMs: options.containerCheckMs ?? 60_000,
    snapshotEveryEntries: options.snapshotEveryEntries ?? 100_000,
    snapshotEveryBytes: options.snapshotEveryBytes ?? 64 * 1024 * 1024,
    onFailed: options.onFailed ?? failed,
  });
  try {
    const listener = await socketByteServer.listen({ host, port }, (connection) => server.accept(connection));
    const stop = async () => {
      const closed = listener.close();
      await server.stop();
      await closed;
    };
    return { host, port: listener.port, recovered: server.recovered, stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
