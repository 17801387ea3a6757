// The world in memory: hosts have disks of their own, roles can be killed and the power cut.
import { expect, test } from "bun:test";
import type { RamaError } from "../../../src/base/errors.ts";
import { MemoryWorld } from "../../../src/testing/platform-memory.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const quiet = { onFrame() {}, onClose() {} };

test("roles of one host share its disk and stores, other hosts have their own", async () => {
  const world = new MemoryWorld();
  const [one, same, other] = [world.platform("a"), world.platform("a"), world.platform("b")];
  one.disk.mkdir("/d");
  one.disk.writeFile("/d/f", bytes("x"));
  expect(same.disk.exists("/d/f")).toBe(true);
  expect(other.disk.exists("/d/f")).toBe(false);
  const kv = await one.kv.open("/d/kv");
  const locked = await same.kv.open("/d/kv").catch((e: RamaError) => e.code);
  expect(locked).toBe("STORE_LOCKED");
  await kv.close();
  await (await other.kv.open("/d/kv")).close();
});

test("a killed role loses its listeners, connections, sessions and HTTP, but not its files", async () => {
  const world = new MemoryWorld();
  const [role, client] = [world.platform("a"), world.platform("b")];
  const listener = await role.transport.listen({ host: "a", port: 0 }, () => quiet);
  const http = await role.http.serve({ host: "a", port: 0 }, () => new Response("ok"));
  const session = await role.openMetastore({ servers: [], root: "/r", sessionTimeoutMs: 1 });
  await session.create("/me", bytes(""), { ephemeral: true });
  role.disk.mkdir("/d");
  role.disk.writeFile("/d/f", bytes("x"));
  expect(await (await client.http.fetch(`http://a:${http.port}/`)).text()).toBe("ok");
  const closed = Promise.withResolvers<string>();
  await client.transport.connect({ host: "a", port: listener.port }, { ...quiet, onClose: closed.resolve });
  role.kill();
  expect(await closed.promise).toBe("the process ended");
  expect(await client.http.fetch(`http://a:${http.port}/`).catch((e: RamaError) => e.code)).toBe("CONNECT_FAILED");
  const watcher = await client.openMetastore({ servers: [], root: "/r", sessionTimeoutMs: 1 });
  expect(await watcher.get("/me")).toBeUndefined();
  expect(world.platform("a").disk.exists("/d/f")).toBe(true);
});

test("a power cut loses what was not synced, on one host only", async () => {
  const world = new MemoryWorld();
  const [one, other] = [world.platform("a"), world.platform("b")];
  for (const { disk, kv } of [one, other]) {
    const store = await kv.open("/kv");
    await store.batch([{ type: "put", key: bytes("k"), value: bytes("v") }], { sync: false });
    await store.close();
    disk.open("/f", "create").write(bytes("x"), 0);
  }
  world.powerCut("a", () => 0);
  expect([one.disk.exists("/f"), other.disk.exists("/f")]).toEqual([false, true]);
  expect((await one.kv.open("/kv")).getSync(bytes("k"))).toBeUndefined();
  expect((await other.kv.open("/kv")).getSync(bytes("k"))).toBeDefined();
});
