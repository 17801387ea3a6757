// What a waiting worker does before it gets its stores: an engine of its own, which leaves nothing behind.
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemEnv } from "../../src/base/env-system.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import { tcpTransport } from "../../src/net/transport-tcp.ts";
import { rehearse } from "../../src/roles/worker/rehearsal.ts";
import { bunDisk } from "../../src/storage/disk-bun.ts";
import { levelKv } from "../../src/storage/kv-level.ts";

test("a rehearsal runs a real engine over a real store and leaves nothing of it, nor minds what a killed one left", async () => {
  const home = mkdtempSync(join(tmpdir(), "rama-rehearsal-"));
  try {
    const env = systemEnv({ sink: () => {}, logLevel: "error" });
    const disk = bunDisk();
    let opens = 0;
    const level = levelKv();
    const kv = {
      open: (dir: string) => {
        opens++;
        return level.open(dir);
      },
    };
    const dir = join(home, "rehearsal");
    disk.mkdir(join(dir, "log"));
    disk.writeFile(join(dir, "log/000000000001.log"), new Uint8Array(100).fill(7));
    const platform = { env, disk, kv, transport: tcpTransport(env) };
    await rehearse({ platform, dir, release: "0.1.0", config: configOf({}, "test") });
    expect(opens).toBe(2);
    expect(existsSync(dir)).toBe(false);
    expect(readdirSync(home)).toEqual([]);
  } finally {
    rmSync(home, { recursive: true });
  }
}, 20_000);
