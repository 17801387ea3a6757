// A devZookeeper in a process of its own, for the tests that kill it: `bun server-process.ts <dir> <port>` prints its port when it listens.

import { systemEnv } from "../../../src/base/env-system.ts";
import { startDevZookeeper } from "../../../src/roles/dev-zookeeper.ts";
import { bunDisk } from "../../../src/storage/disk-bun.ts";

const [dir = "", port = "0"] = process.argv.slice(2);
const server = await startDevZookeeper({
  env: systemEnv({ logLevel: "error", sink: (line) => console.error(line) }),
  disk: bunDisk(),
  dir,
  host: "127.0.0.1",
  port: Number(port),
  tickTimeMs: 1000,
  // Small, so that a run crosses many of them.
  snapshotEveryEntries: 2000,
});
console.log(`listening ${server.port} ${JSON.stringify(server.recovered)}`);
