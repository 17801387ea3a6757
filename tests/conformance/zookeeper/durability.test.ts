// What was answered is there after any end: a stop, kill -9 under load, a power cut, a torn journal, a damaged snapshot, a full disk. What was not
// answered may or may not be there, but never half.

import { expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RamaError } from "../../../src/base/errors.ts";
import { OP, writeAclList, writeMultiEnd, writeMultiHeader } from "../../../src/zookeeper/messages.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";
import { type DevZookeeperFixture, devZookeeper } from "../../dev-zookeeper-fixture.ts";
import { fourLetterWord } from "../../real-zookeeper.ts";
import { openToAll, readStat, WireClient } from "../../zookeeper-wire.ts";

const text = (value: string) => Buffer.from(value);

/** The whole tree as a client sees it. */
async function everything(port: number): Promise<Record<string, unknown>> {
  using client = await WireClient.connect(port);
  const nodes: Record<string, unknown> = {};
  const visit = async (path: string): Promise<void> => {
    const data = await client.read(OP.getData, path);
    const acl = await client.request(OP.getAcl, (record) => record.string(path));
    const entries = acl.body.vector(12, (from) => [from.int(), from.string(), from.string()]);
    nodes[path] = { data: data.body.buffer(), stat: readStat(data.body), acl: entries };
    const { body } = await client.read(OP.getChildren, path);
    for (const child of body.strings().sort()) await visit(path === "/" ? `/${child}` : `${path}/${child}`);
  };
  await visit("/");
  await client.closeSession();
  return nodes;
}

/** Writes of every kind, through a session that stays open. */
async function fill(client: WireClient, from: number, to: number): Promise<void> {
  const replies: Promise<{ err: number }>[] = [];
  for (let i = from; i < to; i++) {
    replies.push(client.create(`/n${i}`, { data: i % 3 === 0 ? null : text(`value ${i}`) }));
    if (i % 2 === 0) replies.push(client.setData(`/n${i}`, text(`again ${i}`)));
    if (i % 5 === 0) replies.push(client.create(`/n${i}/e-`, { flags: 3 }));
    if (i % 7 === 0) replies.push(client.create(`/n${i}/s-`, { flags: 2 }));
    if (i % 11 === 0 && i % 5 !== 0 && i % 7 !== 0) replies.push(client.delete(`/n${i}`));
    if (i % 13 === 0) {
      const multi = client.request(OP.multi, (record) => {
        for (const name of ["x", "y"]) {
          writeMultiHeader(record, OP.create, -1);
          record.string(`/m${i}-${name}`);
          record.buffer(text(name));
          writeAclList(record, openToAll);
          record.int(0);
        }
        writeMultiEnd(record);
      });
      replies.push(multi);
    }
  }
  for (const reply of await Promise.all(replies)) expect(reply.err).toBe(0);
}

function newestFile(dir: string, prefix: string): string {
  const names = readdirSync(dir).filter((name) => name.startsWith(prefix));
  return join(dir, names.sort().at(-1)!);
}

/** Where the records end and the reserved zeros begin. */
function usedBytes(path: string): number {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

test("a restart keeps nodes, stats, ACLs, sequence numbers and sessions", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port, { timeoutMs: 10000 });
  await client.auth("digest", "me:word");
  await fill(client, 0, 100);
  await client.create("/secret", {
    acl: [
      { perms: 31, scheme: "digest", id: "me:B1F0AlG678y8xBYHdbLwukfCAjU=" },
      { perms: 1, scheme: "world", id: "anyone" },
    ],
  });
  const before = await everything(server.port);
  await server.restart();
  expect(server.server.recovered.entries).toBeGreaterThan(200);
  expect(server.server.recovered.tornBytes).toBe(0);
  const after = await everything(server.port);
  expect(after).toEqual(before);
  using again = await WireClient.connect(server.port, { sessionId: client.sessionId, password: client.password });
  expect(again.sessionId).toBe(client.sessionId);
  expect((await again.create("/n0/s-", { flags: 2 })).body.string()).toBe("/n0/s-0000000002");
  expect((await again.request(OP.getEphemerals, (record) => record.string("/"))).body.strings().length).toBe(20);
});

test("a session that nobody resumes after a restart expires with its nodes", async () => {
  await using server = await devZookeeper({ tickTimeMs: 100 });
  using client = await WireClient.connect(server.port, { timeoutMs: 200 });
  await client.create("/mine", { flags: 1 });
  await server.restart();
  using watcher = await WireClient.connect(server.port, { timeoutMs: 2000 });
  if ((await watcher.read(OP.exists, "/mine", true)).err === 0) await watcher.untilEvents(1);
  expect((await watcher.read(OP.exists, "/mine")).err).toBe(-101);
});

test("a torn last record is cut off, wherever it is torn", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await fill(client, 0, 5);
  await client.create("/last", { data: text("the record that gets torn") });
  client.cut();
  let whole = new Uint8Array(0);
  let journal = "";
  await server.restart(() => {
    journal = newestFile(server.dir, "journal-");
    whole = readFileSync(journal).slice(0, usedBytes(journal));
  });
  const lengths = [1, 2, 5, 9, 20, 30].map((cut) => whole.length - cut);
  for (const length of lengths) {
    await server.restart(() => {
      writeFileSync(journal, whole);
      truncateSync(journal, length);
    });
    expect(server.server.recovered.tornBytes).toBeGreaterThan(0);
    using reader = await WireClient.connect(server.port);
    expect((await reader.read(OP.exists, "/last")).err).toBe(-101);
    expect((await reader.read(OP.exists, "/n4")).err).toBe(0);
    expect((await reader.create("/after")).err).toBe(0);
  }
});

test("garbage behind the last record is cut off and written over", async () => {
  await using server = await devZookeeper();
  using client = await WireClient.connect(server.port);
  await fill(client, 0, 20);
  const before = await everything(server.port);
  await server.restart(() => {
    const journal = newestFile(server.dir, "journal-");
    // The last record may itself end in zeros: these belong to it.
    truncateSync(journal, usedBytes(journal) + 16);
    appendFileSync(journal, new Uint8Array(500).fill(0xab));
  });
  expect(server.server.recovered.tornBytes).toBeGreaterThanOrEqual(500);
  expect(await everything(server.port)).toEqual(before);
  await server.restart();
  expect(server.server.recovered.tornBytes).toBe(0);
});

test("damage amid what was answered for is no torn tail: the server refuses to start and touches nothing", async () => {
  const server = await devZookeeper();
  try {
    using client = await WireClient.connect(server.port);
    for (let i = 0; i < 10; i++) await client.create(`/n${i}`, { data: text("answered") });
    let damaged = new Uint8Array(0);
    let journal = "";
    const start = server.restart(() => {
      journal = newestFile(server.dir, "journal-");
      damaged = readFileSync(journal);
      damaged[Math.floor(usedBytes(journal) / 2)]! ^= 0x55;
      writeFileSync(journal, damaged);
    });
    const error = await start.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(RamaError);
    expect((error as RamaError).code).toBe("STORE_CORRUPT");
    expect(new Uint8Array(readFileSync(journal))).toEqual(new Uint8Array(damaged));
  } finally {
    rmSync(server.dir, { recursive: true, force: true });
  }
});

test("snapshots replace the journal before them, and a damaged one is replaced by the one before", async () => {
  await using server = await devZookeeper({ snapshotEveryEntries: 100 });
  using client = await WireClient.connect(server.port, { timeoutMs: 10000 });
  for (let round = 0; round < 10; round++) await fill(client, round * 40, round * 40 + 40);
  const before = await everything(server.port);
  const names = readdirSync(server.dir);
  expect(names.filter((name) => name.startsWith("snapshot-")).length).toBe(2);
  expect(names.filter((name) => name.startsWith("journal-")).length).toBeLessThanOrEqual(3);
  await server.restart();
  expect(server.server.recovered.snapshotZxid).toBeGreaterThan(300);
  expect(server.server.recovered.entries).toBeLessThan(200);
  expect(await everything(server.port)).toEqual(before);
  await server.restart(() => {
    const snapshot = newestFile(server.dir, "snapshot-");
    const bytes = readFileSync(snapshot);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(snapshot, bytes);
  });
  expect(await everything(server.port)).toEqual(before);
});

test("after kill -9 under load every answered write is there, again and again", async () => {
  const dir = mkdtempSync(join(tmpdir(), "rama-dev-zookeeper-kill-"));
  const bun = process.execPath;
  const script = join(import.meta.dir, "server-process.ts");
  let port = 0;
  const start = async () => {
    const child = Bun.spawn([bun, script, dir, String(port)], { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    let line = "";
    while (!line.includes("\n")) line += new TextDecoder().decode((await reader.read()).value);
    port = Number(line.split(" ")[1]);
    return child;
  };
  const answered = new Set<string>();
  const lastVersion = { known: 0, sent: 0 };
  let child: Awaited<ReturnType<typeof start>> | undefined;
  try {
    for (let life = 0; life < 4; life++) {
      const started = await start();
      child = started;
      const client = await WireClient.connect(port);
      if (life === 0) await client.create("/counter");
      const there = await Promise.all([...answered].map((path) => client.read(OP.getData, path)));
      expect(there.map((reply) => Buffer.from(reply.body.buffer() ?? []).toString())).toEqual([...answered]);
      const version = readStat((await client.read(OP.exists, "/counter")).body).version;
      expect(version).toBeGreaterThanOrEqual(lastVersion.known);
      expect(version).toBeLessThanOrEqual(lastVersion.sent);
      lastVersion.known = lastVersion.sent = version;
      // Writers go on until the server is gone; it is killed in the middle of it.
      let count = 0;
      const writer = async (id: number): Promise<void> => {
        for (let i = 0; ; i++) {
          const path = `/w${life}-${id}-${i}`;
          lastVersion.sent++;
          const [created, set] = [client.create(path, { data: text(path) }), client.setData("/counter", text(path))];
          set.catch(() => {});
          if ((await created).err === 0) answered.add(path);
          lastVersion.known = Math.max(lastVersion.known, readStat((await set).body).version);
          if (++count === 2000 + life * 777) started.kill("SIGKILL");
        }
      };
      await Promise.allSettled(Array.from({ length: 50 }, (_, id) => writer(id)));
      await started.exited;
      expect(count).toBeGreaterThanOrEqual(2000);
    }
  } finally {
    child?.kill("SIGKILL");
    await child?.exited;
    rmSync(dir, { recursive: true, force: true });
  }
}, 60000);

test("a power cut loses nothing that was answered", async () => {
  let state = 7;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const disk = new MemoryDisk();
  const answered: string[] = [];
  let server: DevZookeeperFixture | undefined;
  for (let life = 0; life < 10; life++) {
    server = await devZookeeper({ disk, dir: "/zookeeper", snapshotEveryEntries: 70 });
    const client = await WireClient.connect(server.port);
    for (const path of answered) expect([path, (await client.read(OP.exists, path)).err]).toEqual([path, 0]);
    const writes = Array.from({ length: 60 }, async (_, i) => {
      const path = `/l${life}-${i}`;
      if ((await client.create(path)).err === 0) answered.push(path);
    });
    await writes[Math.floor(random() * writes.length)];
    disk.powerCut(random);
    await Promise.allSettled([server.server.stop(), ...writes]);
  }
  expect(answered.length).toBeGreaterThan(200);
  await server?.[Symbol.asyncDispose]();
});

test("a full disk makes writes wait, not fail; they are answered when there is room again", async () => {
  let full = false;
  let hit = () => {};
  const refused = new Promise<void>((resolve) => {
    hit = resolve;
  });
  const disk = new MemoryDisk({
    fault: (operation, path) => {
      if (!full || operation !== "write") return;
      hit();
      throw new RamaError("DISK_FULL", `${path}: no space`, { path });
    },
  });
  await using server = await devZookeeper({ disk, dir: "/zookeeper" });
  using client = await WireClient.connect(server.port, { timeoutMs: 10000 });
  using other = await WireClient.connect(server.port, { timeoutMs: 10000 });
  await client.create("/before");
  full = true;
  let answered = 0;
  const count = <T>(reply: T) => {
    answered++;
    return reply;
  };
  const write = client.create("/waits").then(count);
  await refused;
  // A read that saw the write must not tell of it before it is durable.
  const read = other.read(OP.exists, "/waits").then(count);
  await fourLetterWord("127.0.0.1", server.port, "ruok");
  expect(answered).toBe(0);
  full = false;
  expect([(await write).err, (await read).err]).toEqual([0, 0]);
}, 10000);

test("a server stops although its disk is full", async () => {
  let full = false;
  let hit = () => {};
  const refused = new Promise<void>((resolve) => {
    hit = resolve;
  });
  const disk = new MemoryDisk({
    fault: (operation, path) => {
      if (!full || operation !== "write") return;
      hit();
      throw new RamaError("DISK_FULL", `${path}: no space`, { path });
    },
  });
  const server = await devZookeeper({ disk, dir: "/zookeeper" });
  using client = await WireClient.connect(server.port);
  full = true;
  const write = client.create("/unanswered").then(
    () => "answered",
    () => "closed",
  );
  await refused;
  await server[Symbol.asyncDispose]();
  expect(await write).toBe("closed");
});

test("a disk that fails stops the server and answers nothing more", async () => {
  let broken = false;
  const disk = new MemoryDisk({
    fault: (operation, path) => {
      if (broken && operation === "sync") throw new RamaError("DISK_FAILED", `${path}: input/output error`, { path });
    },
  });
  const failures: unknown[] = [];
  await using server = await devZookeeper({ disk, dir: "/zookeeper", onFailed: (error) => failures.push(error) });
  using client = await WireClient.connect(server.port);
  broken = true;
  await expect(client.create("/lost")).rejects.toThrow("closed");
  await client.closed;
  expect(failures.map((error) => (error as RamaError).code)).toEqual(["DISK_FAILED"]);
});

test("a port that is taken is said so, and the data directory is left as it was", async () => {
  await using first = await devZookeeper();
  await expect(devZookeeper({ port: first.port })).rejects.toMatchObject({ code: "PORT_IN_USE" });
});
