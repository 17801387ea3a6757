// What no ordinary client does: resuming sessions in every way, packets that are broken, too large or in pieces, clients that do not read. The
// others must not notice.

import { expect, test } from "bun:test";
import { EVENT, ERR, OP, XID, writeAclList, writeMultiEnd, writeMultiHeader } from "../../../src/zookeeper/messages.ts";
import { devZookeeper } from "../../dev-zookeeper-fixture.ts";
import { fourLetterWord } from "../../real-zookeeper.ts";
import { openToAll, readStat, WireClient } from "../../zookeeper-wire.ts";

const text = (value: string) => Buffer.from(value);

async function monitored(port: number): Promise<Record<string, string>> {
  const lines = (await fourLetterWord("127.0.0.1", port, "mntr")).trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split("\t") as [string, string]));
}

test("a session is resumed with its password only, and keeps its nodes", async () => {
  await using server = await devZookeeper();
  using first = await WireClient.connect(server.port);
  await first.create("/mine", { flags: 1 });
  first.cut();
  using stranger = await WireClient.connect(server.port, {
    sessionId: first.sessionId,
    password: new Uint8Array(16).fill(7),
  });
  expect(stranger.sessionId).toBe(0n);
  expect(stranger.timeoutMs).toBe(0);
  await stranger.closed;
  using again = await WireClient.connect(server.port, { sessionId: first.sessionId, password: first.password });
  expect(again.sessionId).toBe(first.sessionId);
  const { body } = await again.read(OP.exists, "/mine");
  expect(readStat(body).ephemeralOwner).toBe(first.sessionId);
});

test("who resumes a session takes it from the connection that had it", async () => {
  await using server = await devZookeeper();
  using first = await WireClient.connect(server.port);
  using second = await WireClient.connect(server.port, { sessionId: first.sessionId, password: first.password });
  await first.closed;
  expect((await second.ping()).err).toBe(ERR.ok);
});

test("the timeout is kept within two to twenty ticks", async () => {
  await using server = await devZookeeper({ tickTimeMs: 500 });
  using short = await WireClient.connect(server.port, { timeoutMs: 1 });
  using middle = await WireClient.connect(server.port, { timeoutMs: 4321 });
  using long = await WireClient.connect(server.port, { timeoutMs: 1e8 });
  expect([short.timeoutMs, middle.timeoutMs, long.timeoutMs]).toEqual([1000, 4321, 10000]);
});

test("a silent session expires: its nodes go, watchers hear of it, its id is gone", async () => {
  await using server = await devZookeeper({ tickTimeMs: 50 });
  using silent = await WireClient.connect(server.port, { timeoutMs: 100 });
  await silent.create("/silent", { flags: 1 });
  using watcher = await WireClient.connect(server.port, { timeoutMs: 1000 });
  await watcher.read(OP.exists, "/silent", true);
  expect(await watcher.untilEvents(1)).toEqual([{ type: EVENT.deleted, path: "/silent" }]);
  await silent.closed;
  using again = await WireClient.connect(server.port, { sessionId: silent.sessionId, password: silent.password });
  expect(again.sessionId).toBe(0n);
});

test("pings keep a session alive", async () => {
  await using server = await devZookeeper({ tickTimeMs: 150 });
  using client = await WireClient.connect(server.port, { timeoutMs: 300 });
  using silent = await WireClient.connect(server.port, { timeoutMs: 300 });
  let over = false;
  void silent.closed.then(() => {
    over = true;
  });
  // Until a session of the same timeout has expired beside it.
  while (!over) expect((await client.ping()).xid).toBe(XID.ping);
  expect((await client.ping()).err).toBe(ERR.ok);
});

test("clients before 3.4 get no readOnly flag back", async () => {
  await using server = await devZookeeper();
  using old = await WireClient.connect(server.port, { old: true });
  using recent = await WireClient.connect(server.port);
  expect([old.connectReplyBytes, recent.connectReplyBytes]).toEqual([36, 37]);
});

test("a client that has seen a later zxid than ours is sent away", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.dial(server.port);
  await expect(client.openSession({ lastZxidSeen: 1000 })).rejects.toThrow("closed");
  await client.closed;
});

test("closing a session is answered, then the connection ends and the nodes are gone", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await client.create("/gone", { flags: 1 });
  expect((await client.closeSession()).err).toBe(ERR.ok);
  await client.closed;
  using other = await WireClient.connect(server.port);
  expect((await other.read(OP.exists, "/gone")).err).toBe(ERR.noNode);
});

test("setWatches tells what has changed since and sets the rest again", async () => {
  await using server = await devZookeeper();
  using writer = await WireClient.connect(server.port);
  for (const path of ["/same", "/changed", "/gone", "/parent", "/quiet"]) await writer.create(path);
  const { zxid } = await writer.ping();
  await writer.setData("/changed", text("x"));
  await writer.delete("/gone");
  await writer.create("/parent/child");
  await writer.create("/appeared");
  using client = await WireClient.connect(server.port);
  const reply = await client.request(
    OP.setWatches2,
    (record) => {
      record.longNumber(zxid);
      record.strings(["/same", "/changed", "/gone"]);
      record.strings(["/appeared", "/absent"]);
      record.strings(["/parent", "/quiet"]);
      record.strings(["/same"]);
      record.strings(["/deep"]);
    },
    XID.setWatches,
  );
  expect(reply.xid).toBe(XID.setWatches);
  expect(client.events.splice(0)).toEqual([
    { type: EVENT.dataChanged, path: "/changed" },
    { type: EVENT.deleted, path: "/gone" },
    { type: EVENT.created, path: "/appeared" },
    { type: EVENT.childrenChanged, path: "/parent" },
  ]);
  for (let round = 0; round < 2; round++) await writer.setData("/same", text("y"));
  await writer.create("/absent");
  await writer.create("/quiet/child");
  await writer.create("/deep");
  await writer.create("/deep/er");
  expect(await client.untilEvents(6)).toEqual([
    // Persistent and one-shot on the same path: once each, and the persistent one goes on.
    { type: EVENT.dataChanged, path: "/same" },
    { type: EVENT.dataChanged, path: "/same" },
    { type: EVENT.created, path: "/absent" },
    { type: EVENT.childrenChanged, path: "/quiet" },
    { type: EVENT.created, path: "/deep" },
    { type: EVENT.created, path: "/deep/er" },
  ]);
});

test("checkWatches and removeWatches know the kinds apart", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  using other = await WireClient.connect(server.port);
  await client.create("/w");
  await client.read(OP.getData, "/w", true);
  const ask = async (who: WireClient, type: number, kind: number) =>
    (
      await who.request(type, (record) => {
        record.string("/w");
        record.int(kind);
      })
    ).err;
  expect(await ask(client, OP.checkWatches, 2)).toBe(ERR.ok);
  expect(await ask(client, OP.checkWatches, 1)).toBe(ERR.noWatcher);
  expect(await ask(other, OP.checkWatches, 3)).toBe(ERR.noWatcher);
  expect(await ask(client, OP.removeWatches, 1)).toBe(ERR.noWatcher);
  expect(await ask(client, OP.removeWatches, 3)).toBe(ERR.ok);
  expect(await ask(client, OP.removeWatches, 3)).toBe(ERR.noWatcher);
  expect(await ask(client, OP.checkWatches, 9)).toBe(ERR.badArguments);
});

test("an event goes out before the answer to the write that caused it", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await client.create("/x");
  await client.read(OP.getData, "/x", true);
  await client.setData("/x", text("1"));
  expect(client.events).toEqual([{ type: EVENT.dataChanged, path: "/x" }]);
});

test("who may not read a node hears nothing of it through a recursive watch", async () => {
  await using server = await devZookeeper();
  using owner = await WireClient.connect(server.port);
  using spy = await WireClient.connect(server.port);
  await owner.auth("digest", "owner:word");
  await spy.request(OP.addWatch, (record) => {
    record.string("/");
    record.int(1);
  });
  await owner.create("/hidden", { acl: [{ perms: 31, scheme: "auth", id: "" }] });
  await owner.setData("/hidden", text("x"));
  await owner.create("/open");
  expect(await spy.untilEvents(1)).toEqual([{ type: EVENT.created, path: "/open" }]);
});

test("auth with an unknown scheme is refused and the connection closed", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  expect((await client.auth("kerberos", "x")).err).toBe(ERR.authFailed);
  await client.closed;
});

test("containers go when their last child has gone, TTL nodes when their time is over", async () => {
  await using server = await devZookeeper({ containerCheckMs: 20 });
  using client = await WireClient.connect(server.port);
  const makeTtl = (path: string, ttlMs: number) =>
    client.request(OP.createTtl, (record) => {
      record.string(path);
      record.buffer(null);
      writeAclList(record, openToAll);
      record.int(5);
      record.longNumber(ttlMs);
    });
  const makeContainer = (path: string) =>
    client.request(OP.createContainer, (record) => {
      record.string(path);
      record.buffer(null);
      writeAclList(record, openToAll);
      record.int(4);
    });
  for (const path of ["/short", "/cont"]) await client.read(OP.exists, path, true);
  await makeContainer("/never-used");
  await makeContainer("/cont");
  await client.create("/cont/child");
  await makeTtl("/long", 3_600_000);
  await makeTtl("/short", 1);
  await client.untilEvents(2);
  for (const path of ["/short", "/cont"]) await client.read(OP.exists, path, true);
  await client.delete("/cont/child");
  const events = await client.untilEvents(4);
  expect(events.slice(2).sort((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
    { type: EVENT.deleted, path: "/cont" },
    { type: EVENT.deleted, path: "/short" },
  ]);
  const { body } = await client.read(OP.getChildren, "/");
  expect(body.strings().sort()).toEqual(["long", "never-used", "zookeeper"]);
});

test("a broken record is a marshalling error and the connection goes on", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  const cases: [string, number, Uint8Array][] = [
    ["nothing at all", OP.create, new Uint8Array(0)],
    ["a length beyond the packet", OP.getData, new Uint8Array([0x7f, 0xff, 0xff, 0xff, 1])],
    ["a negative length", OP.getData, new Uint8Array([0xff, 0xff, 0xff, 0xf0, 1])],
    [
      "a vector of two thousand million",
      OP.setWatches,
      new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
    ],
    ["a multi without an end", OP.multi, new Uint8Array([0, 0, 0, 2, 0, 0, 0, 0, 0])],
    ["a multi with a read in it", OP.multi, new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0])],
  ];
  for (const [label, type, bytes] of cases) {
    const { err } = await client.request(type, (record) => record.raw(bytes));
    expect([label, err]).toEqual([label, ERR.marshallingError]);
  }
  expect((await client.ping()).err).toBe(ERR.ok);
});

test("an unknown op is refused and the connection closed", async () => {
  await using server = await devZookeeper();
  for (const type of [999, -10, 20]) {
    using client = await WireClient.connect(server.port);
    expect((await client.request(type)).err).toBe(ERR.unimplemented);
    await client.closed;
  }
});

test("what is no packet closes its connection and harms nobody else", async () => {
  await using server = await devZookeeper();
  using bystander = await WireClient.connect(server.port);
  let state = 12345;
  const noise = (length: number) =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state >> 16;
    });
  const cases: Uint8Array[] = [
    new Uint8Array([0xff, 0xff, 0xff, 0xff]),
    new Uint8Array([0x7f, 0xff, 0xff, 0xff, 1, 2, 3]),
    new Uint8Array([0, 0, 0, 0]),
    new Uint8Array([0, 0, 0, 3, 1, 2, 3]),
    text("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ...Array.from({ length: 30 }, (_, i) => Buffer.concat([new Uint8Array([0, 0, 0, 40]), noise(40 + i)])),
    ...Array.from({ length: 30 }, (_, i) => noise(64 + i * 10)),
  ];
  for (const bytes of cases) {
    using client = await WireClient.dial(server.port);
    client.sendBytes(bytes);
    client.socket.end();
    await client.closed;
  }
  for (const payload of [new Uint8Array(0), new Uint8Array([0, 0, 0, 1]), new Uint8Array(7)]) {
    using client = await WireClient.connect(server.port);
    client.sendPacket(payload);
    await client.closed;
  }
  expect((await bystander.create("/fine")).err).toBe(ERR.ok);
});

test("random records never get more than an error", async () => {
  await using server = await devZookeeper();
  let state = 99;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const types = Object.values(OP).filter(
    (type) => type !== OP.closeSession && type !== OP.auth && type !== OP.error && type !== OP.sasl,
  );
  using client = await WireClient.connect(server.port);
  for (let round = 0; round < 2000; round++) {
    const type = types[random(types.length)]!;
    const length = random(60);
    const { err } = await client.request(type, (record) => {
      // Small numbers make lengths and counts that are plausible.
      for (let i = 0; i < length; i++) record.bool(false);
      for (let i = 0; i < random(6); i++) record.int(random(3) === 0 ? random(2 ** 31) : random(12));
      record.raw(Uint8Array.from({ length: random(40) }, () => (random(4) === 0 ? 47 : random(256))));
    });
    expect(err).toBeLessThanOrEqual(0);
  }
  expect((await client.create("/fine")).err).toBe(ERR.ok);
});

test("jute.maxbuffer is the longest packet that is taken", async () => {
  await using server = await devZookeeper({ packetBytesMax: 10_000 });
  using client = await WireClient.connect(server.port);
  // xid, type, path, ACL, flags and the lengths take 49 bytes of the packet.
  expect((await client.create("/a", { data: new Uint8Array(10_000 - 49) })).err).toBe(ERR.ok);
  await expect(client.create("/b", { data: new Uint8Array(10_000 - 48) })).rejects.toThrow("closed");
  using other = await WireClient.connect(server.port);
  expect((await other.read(OP.exists, "/b")).err).toBe(ERR.noNode);
});

test("packets may come in pieces of any size", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  const packet = (xid: number, path: string) => {
    const payload = Buffer.concat([
      new Uint8Array([0, 0, 0, xid, 0, 0, 0, OP.exists, 0, 0, 0, path.length]),
      text(path),
      new Uint8Array(1),
    ]);
    return Buffer.concat([new Uint8Array([0, 0, 0, payload.length]), payload]);
  };
  const bytes = Buffer.concat([packet(1, "/zookeeper"), packet(2, "/absent"), packet(3, "/")]);
  const replies = [client.nextPayload(), client.nextPayload(), client.nextPayload()];
  for (const byte of bytes) {
    client.sendBytes(new Uint8Array([byte]));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const seen = await Promise.all(replies);
  expect(seen.map((payload) => [payload[3], new DataView(payload.buffer, payload.byteOffset).getInt32(12)])).toEqual([
    [1, ERR.ok],
    [2, ERR.noNode],
    [3, ERR.ok],
  ]);
});

test("requests that come together share a sync and are answered in order", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await client.create("/p");
  const before = Number((await monitored(server.port))["zk_cnt_fsynctime"]);
  const replies = await Promise.all(Array.from({ length: 2000 }, (_, i) => client.setData("/p", text(String(i)))));
  expect(replies.map((reply) => readStat(reply.body).version)).toEqual(Array.from({ length: 2000 }, (_, i) => i + 1));
  const syncs = Number((await monitored(server.port))["zk_cnt_fsynctime"]) - before;
  expect(syncs).toBeGreaterThan(0);
  expect(syncs).toBeLessThan(200);
});

test("a client that does not read is not read from, and gets everything later", async () => {
  await using server = await devZookeeper();
  using writer = await WireClient.connect(server.port);
  const data = new Uint8Array(900_000).fill(1);
  await writer.create("/big", { data });
  using slow = await WireClient.connect(server.port);
  slow.socket.pause();
  const replies = Array.from({ length: 60 }, () => slow.read(OP.getData, "/big"));
  // Meanwhile the others are served.
  for (let i = 0; i < 50; i++) expect((await writer.setData("/big", data)).err).toBe(ERR.ok);
  slow.socket.resume();
  for (const reply of await Promise.all(replies)) expect(reply.body.buffer()?.length).toBe(900_000);
}, 20000);

test("one host gets so many connections and no more", async () => {
  await using server = await devZookeeper({ connectionsPerHostMax: 3 });
  const clients = [
    await WireClient.connect(server.port),
    await WireClient.connect(server.port),
    await WireClient.connect(server.port),
  ];
  using fourth = await WireClient.dial(server.port);
  await fourth.closed;
  for (const client of clients) expect((await client.ping()).err).toBe(ERR.ok);
  clients[0]!.cut();
  await clients[0]!.closed;
  // Its place is free once the server has seen the end; until then the newcomer is turned away.
  let sessionId = 0n;
  while (sessionId === 0n) {
    const next = await WireClient.dial(server.port);
    await next.openSession().catch(() => {});
    sessionId = next.sessionId;
    clients.push(next);
  }
  for (const client of clients) client.cut();
});

test("a refused multi changes nothing and says which op was to blame", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await client.create("/m", { data: text("old") });
  const before = readStat((await client.read(OP.exists, "/m")).body);
  const { err, body } = await client.request(OP.multi, (record) => {
    writeMultiHeader(record, OP.setData, -1);
    record.string("/m");
    record.buffer(text("new"));
    record.int(0);
    writeMultiHeader(record, OP.create, -1);
    record.string("/m/child");
    record.buffer(null);
    writeAclList(record, openToAll);
    record.int(1);
    writeMultiHeader(record, OP.delete, -1);
    record.string("/m/child");
    record.int(-1);
    writeMultiHeader(record, OP.check, -1);
    record.string("/m");
    record.int(17);
    writeMultiHeader(record, OP.delete, -1);
    record.string("/m");
    record.int(-1);
    writeMultiEnd(record);
  });
  const errors: number[] = [];
  for (let type = body.int(); !body.bool(); type = body.int()) {
    expect(type).toBe(OP.error);
    errors.push(body.int());
    expect(body.int()).toBe(errors.at(-1)!);
  }
  expect(err).toBe(ERR.ok);
  expect(errors).toEqual([ERR.ok, ERR.ok, ERR.ok, ERR.badVersion, ERR.runtimeInconsistency]);
  const after = await client.read(OP.getData, "/m");
  expect(after.body.buffer()).toEqual(new Uint8Array(text("old")));
  expect(readStat(after.body)).toEqual(before);
  expect((await client.request(OP.getEphemerals, (record) => record.string("/"))).body.strings()).toEqual([]);
});
