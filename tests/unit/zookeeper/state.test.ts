// The parts that hold state, each by itself: the tree with its undo, watches, sessions, snapshots and journal files.

import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { openAcl } from "../../../src/zookeeper/acl.ts";
import { type Change, writeEntry } from "../../../src/zookeeper/changes.ts";
import { JOURNAL_MAGIC, scanJournal } from "../../../src/zookeeper/journal-file.ts";
import { JuteWriter } from "../../../src/zookeeper/jute.ts";
import { ERR, EVENT, OP, type WriteRequest } from "../../../src/zookeeper/messages.ts";
import { applyMulti, applyWrite, sequenceSuffix } from "../../../src/zookeeper/prepare.ts";
import { Sessions } from "../../../src/zookeeper/session.ts";
import { decodeSnapshot, encodeSnapshot } from "../../../src/zookeeper/snapshot.ts";
import { WATCH, type Watcher, Watches } from "../../../src/zookeeper/watches.ts";
import { CONTAINER_OWNER, ttlMsOf, ttlOwner, Znodes } from "../../../src/zookeeper/znodes.ts";

const create = (path: string, flags = 0): WriteRequest => ({
  kind: "create",
  path,
  data: null,
  acl: [...openAcl],
  flags,
  ttlMs: -1,
  op: OP.create,
});
const remove = (path: string): WriteRequest => ({ kind: "delete", path, version: -1 });

function grown(): Znodes {
  const tree = Znodes.initial();
  let zxid = 0;
  for (const request of [
    create("/a"),
    create("/a/b"),
    create("/a/e", 1),
    create("/a/s-", 2),
    remove("/a/s-0000000002"),
    create("/z"),
  ]) {
    zxid++;
    applyWrite({ tree, sessionId: 5n, ids: [], zxid, timeMs: 1000 + zxid }, request);
  }
  return tree;
}

test("a refused multi leaves every node, index and count as it was", () => {
  const tree = grown();
  const before = encodeSnapshot(6, [], tree);
  const requests: WriteRequest[] = [
    create("/a/new", 1),
    { kind: "setData", path: "/a/b", data: new Uint8Array(9), version: 0 },
    { kind: "setAcl", path: "/a/b", acl: [{ perms: 1, scheme: "world", id: "anyone" }], version: -1 },
    remove("/a/e"),
    remove("/a/b"),
    create("/a/b"),
    remove("/z"),
    remove("/a"),
  ];
  const { changes, events, results } = applyMulti({ tree, sessionId: 9n, ids: [], zxid: 7, timeMs: 2000 }, requests);
  expect([changes, events]).toEqual([[], []]);
  expect(results.map((result) => (result.type === OP.error ? result.err : "?"))).toEqual([
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    ERR.notEmpty,
  ]);
  const sizeBefore = tree.dataSizeBytes;
  expect([...tree.ephemeralsOf(5n)]).toEqual(["/a/e"]);
  expect([...tree.ephemeralsOf(9n)]).toEqual([]);
  // The order of nodes may differ, nothing else.
  const again = decodeSnapshot("again", encodeSnapshot(6, [], tree)).tree;
  const original = decodeSnapshot("original", before).tree;
  const byPath = (nodes: Znodes) =>
    [...nodes.all()]
      .map((node) => ({ ...node, children: [...(node.children ?? [])].sort() }))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  expect(byPath(again)).toEqual(byPath(original));
  expect(original.dataSizeBytes).toBe(sizeBefore);
});

test("cversion counts creations and removals, sequence numbers creations only", () => {
  const tree = grown();
  const stat = tree.statOf(tree.get("/a")!);
  expect([stat.cversion, stat.childCount, stat.pzxid]).toEqual([4, 2, 5]);
  expect(applyWrite({ tree, sessionId: 5n, ids: [], zxid: 7, timeMs: 0 }, create("/a/s-", 2)).result).toEqual({
    type: OP.create,
    path: "/a/s-0000000003",
  });
  expect([0, 12, 2147483647, -2147483648, -1].map(sequenceSuffix)).toEqual([
    "0000000000",
    "0000000012",
    "2147483647",
    "-2147483648",
    "-000000001",
  ]);
});

test("marks of containers and TTL nodes are no sessions", () => {
  expect([ttlMsOf(ttlOwner(60_000)), ttlMsOf(CONTAINER_OWNER), ttlMsOf(72057594037927936n)]).toEqual([
    60_000,
    undefined,
    undefined,
  ]);
});

class Hearing implements Watcher {
  readonly heard: string[] = [];
  notify(type: number, path: string): void {
    this.heard.push(`${type} ${path}`);
  }
}

const happened = (watches: Watches<Hearing>, kind: "created" | "deleted" | "dataChanged", path: string) =>
  watches.happened({ kind, path, acl: openAcl, parentAcl: openAcl });

test("one-shot watches hear once, persistent ones always, recursive ones of everything below but not of children as such", () => {
  const watches = new Watches<Hearing>();
  const [once, persistent, recursive] = [new Hearing(), new Hearing(), new Hearing()];
  watches.add(once, "/a", WATCH.data);
  watches.add(once, "/a", WATCH.child);
  watches.add(persistent, "/a", WATCH.persistent);
  watches.add(recursive, "/", WATCH.recursive);
  happened(watches, "created", "/a");
  happened(watches, "created", "/a/b");
  happened(watches, "dataChanged", "/a");
  happened(watches, "deleted", "/a/b");
  happened(watches, "deleted", "/a");
  expect(once.heard).toEqual([`${EVENT.created} /a`, `${EVENT.childrenChanged} /a`]);
  expect(persistent.heard).toEqual([
    `${EVENT.created} /a`,
    `${EVENT.childrenChanged} /a`,
    `${EVENT.dataChanged} /a`,
    `${EVENT.childrenChanged} /a`,
    `${EVENT.deleted} /a`,
  ]);
  expect(recursive.heard).toEqual([
    `${EVENT.created} /a`,
    `${EVENT.created} /a/b`,
    `${EVENT.dataChanged} /a`,
    `${EVENT.deleted} /a/b`,
    `${EVENT.deleted} /a`,
  ]);
  watches.removeWatcher(persistent);
  watches.removeWatcher(recursive);
  expect(watches.counts()).toEqual({ watchers: 0, paths: 0, watches: 0 });
});

test("a data and a child watch of one client hear of a removal once", () => {
  const watches = new Watches<Hearing>();
  const client = new Hearing();
  watches.add(client, "/a", WATCH.data | WATCH.child);
  happened(watches, "deleted", "/a");
  expect(client.heard).toEqual([`${EVENT.deleted} /a`]);
});

test("sessions expire by silence, resume by password, and ids never repeat", () => {
  const sessions = new Sessions({ timeoutMinMs: 100, timeoutMaxMs: 1000 });
  const id = sessions.nextId(5_000_000);
  const password = new Uint8Array(16).fill(1);
  sessions.opened(id, 200, password, 0);
  expect([sessions.expired(199), sessions.expired(200)]).toEqual([[], [id]]);
  expect(sessions.resume(id, new Uint8Array(16), 100, 150)).toBeUndefined();
  expect(sessions.resume(id, null, 100, 150)).toBeUndefined();
  expect(sessions.resume(id, password, 50, 150)?.timeoutMs).toBe(100);
  expect(sessions.expired(249)).toEqual([]);
  sessions.extendAll(1000);
  expect(sessions.expired(1249)).toEqual([]);
  expect(sessions.expired(1250)).toEqual([id]);
  // A clock that went back must not repeat an id.
  expect(sessions.nextId(4_000_000)).toBe(id + 1n);
});

test("a snapshot gives back the same tree, and a changed byte anywhere is noticed", () => {
  const tree = grown();
  const session = { id: 5n, timeoutMs: 4000, password: new Uint8Array(16).fill(3) };
  const bytes = encodeSnapshot(6, [session], tree);
  const state = decodeSnapshot("s", bytes);
  expect([state.zxid, [...state.sessions.values()]]).toEqual([6, [session]]);
  expect([...state.tree.all()]).toEqual([...tree.all()]);
  for (let at = 0; at < bytes.length; at += 7) {
    const changed = bytes.slice();
    changed[at]! ^= 0x10;
    expect(() => decodeSnapshot("s", changed)).toThrow(RamaError);
  }
});

function journalOf(entries: { zxid: number; durableZxid: number; changes: Change[] }[]): {
  bytes: Uint8Array;
  ends: number[];
} {
  const writer = new JuteWriter();
  writer.raw(JOURNAL_MAGIC);
  const ends: number[] = [];
  for (const entry of entries) {
    const payload = new JuteWriter();
    writeEntry(payload, { ...entry, timeMs: 1 });
    writer.int(payload.length);
    writer.int(Bun.hash.crc32(payload.peek()) | 0);
    writer.raw(payload.copy());
    ends.push(writer.length);
  }
  return { bytes: writer.copy(), ends };
}

test("every cut of a journal gives the whole records before it", () => {
  const { bytes, ends } = journalOf(
    [1, 2, 3].map((zxid) => ({ zxid, durableZxid: 0, changes: [{ kind: "closeSession", id: 7n }] })),
  );
  for (let length = 0; length <= bytes.length; length++) {
    const zxids: number[] = [];
    const scanned = scanJournal("j", bytes.slice(0, length), true, (entry) => zxids.push(entry.zxid));
    expect(zxids).toEqual([1, 2, 3].filter((_, i) => ends[i]! <= length));
    expect(scanned.entries).toBe(zxids.length);
  }
});

test("damage that a later record's sync rules out is corruption; without such a record it is a torn tail", () => {
  const change: Change = { kind: "closeSession", id: 7n };
  const damaged = (durableZxid: number) => {
    const { bytes, ends } = journalOf(
      [1, 2, 3].map((zxid) => ({ zxid, durableZxid: zxid === 3 ? durableZxid : 0, changes: [change] })),
    );
    bytes[ends[0]! + 20]! ^= 1;
    return bytes;
  };
  expect(scanJournal("j", damaged(1), true, () => {}).entries).toBe(1);
  expect(() => scanJournal("j", damaged(2), true, () => {})).toThrow("later records rely on it");
  expect(() => scanJournal("j", damaged(1), false, () => {})).toThrow(RamaError);
  expect(() => scanJournal("j", Buffer.from("something else entirely"), true, () => {})).toThrow("no journal");
});
