// A devZookeeper of ours on 127.0.0.1 with the real disk in a temporary directory, for the tests that speak its wire.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemEnv } from "../src/base/env-system.ts";
import { type DevZookeeper, type DevZookeeperOptions, startDevZookeeper } from "../src/roles/dev-zookeeper.ts";
import { bunDisk } from "../src/storage/disk-bun.ts";

export interface DevZookeeperFixture extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly server: DevZookeeper;
  /** Stops the server and starts it again on the same data and the same port. `between` may damage the files. */
  restart(between?: () => void): Promise<void>;
}

type Changes = Partial<Omit<DevZookeeperOptions, "env" | "host">>;

export async function devZookeeper(options: Changes = {}): Promise<DevZookeeperFixture> {
  const dir = mkdtempSync(join(tmpdir(), "rama-dev-zookeeper-"));
  const start = (port: number) =>
    startDevZookeeper({
      env: systemEnv({ sink: () => {} }),
      disk: bunDisk(),
      dir,
      host: "127.0.0.1",
      tickTimeMs: 500,
      ...options,
      port,
    });
  let server = await start(options.port ?? 0);
  const { host, port } = server;
  return {
    host,
    port,
    dir,
    get server() {
      return server;
    },
    restart: async (between) => {
      await server.stop();
      between?.();
      server = await start(port);
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
