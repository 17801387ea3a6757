import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { systemEnv } from "../../src/base/env-system.ts";
import type { RamaError } from "../../src/base/errors.ts";
import { MemoryMetastoreServer } from "../../src/metastore/metastore-memory.ts";
import { openZookeeperMetastore } from "../../src/metastore/metastore-zookeeper.ts";
import { startDevZookeeper } from "../../src/roles/dev-zookeeper.ts";
import { bunDisk } from "../../src/storage/disk-bun.ts";
import { needs } from "../needs.ts";
import { startRealZookeeper } from "../real-zookeeper.ts";
import { metastoreSuite } from "./metastore.ts";

const env = systemEnv({ sink: () => {} });
const sleep = (ms: number) => env.sleep(ms);

metastoreSuite({
  name: "memory",
  timeoutMs: 5_000,
  async start() {
    const server = new MemoryMetastoreServer(env);
    return {
      open: async (root) => server.session(root),
      expire: async (session) => server.expire(session, 5),
      freeze: async () => server.setReachable(false),
      resume: async () => server.setReachable(true),
      restart: async () => {
        server.setReachable(false);
        server.setReachable(true);
      },
      stop: async () => {},
    };
  },
});

const sessionTimeoutMs = 2_000;

metastoreSuite({
  name: "Apache ZooKeeper",
  skip: !needs("zookeeper"),
  timeoutMs: 60_000,
  async start() {
    const zookeeper = await startRealZookeeper();
    const servers = [`${zookeeper.host}:${zookeeper.port}`];
    return {
      open: (root) => openZookeeperMetastore(env, { servers, root, sessionTimeoutMs, connectTimeoutMs: 5_000 }),
      async expire() {
        // The server ends every session that has not been heard of for longer than its timeout.
        zookeeper.freeze();
        await sleep(sessionTimeoutMs * 2);
        zookeeper.resume();
      },
      freeze: async () => zookeeper.freeze(),
      async resume() {
        // Long enough that our own ping gives the connection up; the library on its own would not notice.
        await sleep(sessionTimeoutMs * 0.8);
        zookeeper.resume();
      },
      restart: () => zookeeper.restart(),
      stop: () => zookeeper.stop(),
    };
  },
});

metastoreSuite({
  name: "devZookeeper",
  timeoutMs: 60_000,
  async start() {
    const dir = mkdtempSync(`${tmpdir()}/rama-dev-zookeeper-`);
    const options = { env, disk: bunDisk(), dir, host: "127.0.0.1", tickTimeMs: 500, sessionTimeoutMinMs: 1_000 };
    let server = await startDevZookeeper({ ...options, port: 0 });
    const line = await pausableLine(server.port);
    const servers = [`127.0.0.1:${line.port}`];
    return {
      open: (root) => openZookeeperMetastore(env, { servers, root, sessionTimeoutMs, connectTimeoutMs: 5_000 }),
      async expire() {
        line.pause();
        await sleep(sessionTimeoutMs * 2);
        line.resume();
      },
      freeze: async () => line.pause(),
      async resume() {
        await sleep(sessionTimeoutMs * 0.8);
        line.resume();
      },
      async restart() {
        const { port } = server;
        await server.stop();
        server = await startDevZookeeper({ ...options, port });
      },
      async stop() {
        await line.close();
        await server.stop();
        rmSync(dir, { recursive: true });
      },
    };
  },
});

/** Forwards connections to `port`; while it is paused nothing passes, in any direction. */
async function pausableLine(port: number) {
  const sockets = new Set<net.Socket>();
  let paused = false;
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk) => to.write(chunk));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
      if (paused) from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    pause() {
      paused = true;
      for (const socket of sockets) socket.pause();
    },
    resume() {
      paused = false;
      for (const socket of sockets) socket.resume();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe("the ZooKeeper metastore", () => {
  test("without a server, opening ends with METASTORE_UNAVAILABLE", async () => {
    const opening = openZookeeperMetastore(env, {
      servers: ["127.0.0.1:1"],
      root: "/x",
      sessionTimeoutMs: 2_000,
      connectTimeoutMs: 300,
    });
    const error = await opening.catch((e: RamaError) => e);
    expect((error as RamaError).code).toBe("METASTORE_UNAVAILABLE");
  });
});
