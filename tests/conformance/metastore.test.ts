import { describe, expect, test } from "bun:test";
import { systemEnv } from "../../src/base/env-system.ts";
import type { RamaError } from "../../src/base/errors.ts";
import { MemoryMetastoreServer } from "../../src/metastore/metastore-memory.ts";
import { openZookeeperMetastore } from "../../src/metastore/metastore-zookeeper.ts";
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
