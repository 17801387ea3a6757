// An engine process is killed under load, again and again, while one client appends and never hears of it: every record lands once, in order, and is
// counted once. Guards the client's tokens against the engine's dedupe table and the recovery of both.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemEnv } from "../../src/base/env-system.ts";
import { ClientCore } from "../../src/client/client-core.ts";
import { configOf } from "../../src/config/rama-yaml.ts";
import { tcpTransport } from "../../src/net/transport-tcp.ts";
import { Path } from "../../src/paths/path.ts";
import { moduleRoutes, objectTable } from "../../src/protocol/routes.ts";
import { countsInfo, countsModule } from "./fixtures/engine-process.ts";

const dir = mkdtempSync(join(tmpdir(), "rama-kill-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function startEngine(port: number): Promise<{ port: number; kill: () => Promise<unknown> }> {
  const file = join(import.meta.dir, "fixtures/engine-process.ts");
  const child = Bun.spawn([process.execPath, file, dir, String(port)], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  return {
    port: Number(new TextDecoder().decode(value)),
    kill: () => {
      child.kill("SIGKILL");
      return child.exited;
    },
  };
}

test("records appended while the engine is killed and started again are stored and counted once, in order", async () => {
  let engine = await startEngine(0);
  const { port } = engine;
  const env = systemEnv({ sink: () => {} });
  const address = { host: "127.0.0.1", port };
  const core = new ClientCore({
    env,
    transport: tcpTransport(env),
    config: configOf({}, "test"),
    release: "0.1.0",
    fetchRoutes: async () => moduleRoutes(countsInfo, objectTable(countsModule), [address, address], 1),
  });
  const events = core.depot("HandModule", "*events");
  const counts = core.pstate<number>("HandModule", "$$counts");

  const users = 8;
  let stop = false;
  const acknowledged = await (async () => {
    const writers = Array.from({ length: users }, async (_, user) => {
      let n = 0;
      while (!stop) {
        const batch = Array.from({ length: 5 }, (_unused, i) => events.append({ user: `u${user}`, n: n + i }));
        await Promise.all(batch);
        n += 5;
      }
      return n;
    });
    for (let round = 0; round < 4; round++) {
      await env.sleep(150);
      await engine.kill();
      engine = await startEngine(port);
    }
    await env.sleep(100);
    stop = true;
    return Promise.all(writers);
  })();

  for (let user = 0; user < users; user++) {
    expect(await counts.selectOne(Path.key(`u${user}`))).toBe(acknowledged[user]!);
  }
  const seen = new Map<string, number[]>();
  for (let task = 0; task < countsInfo.numTasks; task++) {
    const { startOffset, endOffset } = await events.getPartitionInfo(task);
    for (const { user, n } of await events.read(task, startOffset, endOffset)) {
      seen.set(user, [...(seen.get(user) ?? []), n]);
    }
  }
  for (let user = 0; user < users; user++) {
    expect(seen.get(`u${user}`)).toEqual(Array.from({ length: acknowledged[user]! }, (_, n) => n));
  }
  expect(Math.min(...acknowledged)).toBeGreaterThan(0);
  await core.close();
  await engine.kill();
}, 60_000);
