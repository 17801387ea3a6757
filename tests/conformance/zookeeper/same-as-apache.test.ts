// The strongest claim of our server: whatever a client asks, it answers like Apache ZooKeeper. Random requests, valid and not, go to both over the
// bare wire; replies, stats and events must agree. Zxids are compared by the order of the writes they name, since Apache spends one on a refusal
// too; times are not compared.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { JuteReader, JuteWriter } from "../../../src/zookeeper/jute.ts";
import { type Acl, OP, writeAclList, writeMultiEnd, writeMultiHeader } from "../../../src/zookeeper/messages.ts";
import { type DevZookeeperFixture, devZookeeper } from "../../dev-zookeeper-fixture.ts";
import { needs } from "../../needs.ts";
import { type RealZookeeper, startRealZookeeper } from "../../real-zookeeper.ts";
import { openToAll, readStat, WireClient, type WireReply } from "../../zookeeper-wire.ts";

interface Step {
  /** Which of the two sessions asks. */
  readonly who: 0 | 1;
  readonly type: number;
  readonly record: (writer: JuteWriter) => void;
  /** How the reply's body reads. */
  readonly shape: (side: Side, body: JuteReader) => unknown;
  readonly writes: boolean;
  readonly text: string;
}

const present = needs("zookeeper");
let real: RealZookeeper;
let ours: DevZookeeperFixture;

beforeAll(async () => {
  if (!present) return;
  [real, ours] = await Promise.all([startRealZookeeper(), devZookeeper()]);
}, 40000);

afterAll(async () => {
  await real?.stop();
  await ours?.[Symbol.asyncDispose]();
});

/** One server with two sessions on it. */
class Side {
  readonly clients: WireClient[];
  /** By zxid, the step that wrote it. */
  private readonly stepOf = new Map<number, number>();
  private stepCount = 0;
  private readonly firstZxid: number;

  private constructor(clients: WireClient[], firstZxid: number) {
    this.clients = clients;
    this.firstZxid = firstZxid;
  }

  static async open(port: number): Promise<Side> {
    const clients = [
      await WireClient.connect(port, { timeoutMs: 10000 }),
      await WireClient.connect(port, { timeoutMs: 10000 }),
    ];
    const { zxid } = await clients[1]!.ping();
    return new Side(clients, zxid);
  }

  async run(step: Step): Promise<unknown> {
    const client = this.clients[step.who]!;
    const reply: WireReply = await client.request(step.type, step.record);
    this.stepCount++;
    if (step.writes && reply.err === 0 && !this.stepOf.has(reply.zxid)) this.stepOf.set(reply.zxid, this.stepCount);
    const body = reply.err === 0 ? step.shape(this, reply.body) : undefined;
    // Events that this step caused reach either session before the answer to its next request.
    for (const other of this.clients) await other.ping();
    const events = this.clients.map((other) =>
      other.events.splice(0).sort((a, b) => (a.path + a.type < b.path + b.type ? -1 : 1)),
    );
    return { err: reply.err, body, left: reply.err === 0 ? reply.body.remaining : 0, events };
  }

  zxid(zxid: number): number | "before" {
    return zxid <= this.firstZxid ? "before" : (this.stepOf.get(zxid) ?? -1);
  }

  owner(owner: bigint): string {
    const session = this.clients.findIndex((client) => client.sessionId === owner);
    return session < 0 ? owner.toString(16) : `session ${session}`;
  }

  stat(reader: JuteReader): unknown {
    const { czxid, mzxid, pzxid, ephemeralOwner, ctimeMs, mtimeMs, ...rest } = readStat(reader);
    expect(ctimeMs).toBeLessThanOrEqual(mtimeMs);
    return {
      ...rest,
      czxid: this.zxid(czxid),
      mzxid: this.zxid(mzxid),
      pzxid: this.zxid(pzxid),
      owner: this.owner(ephemeralOwner),
    };
  }
}

/** A small generator of its own (mulberry32), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const pathPool = ["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/e/f/g", "/h", "/a/é☃", "/e/s-", "/h/s-"];
const oddPaths = [
  "/",
  "/zookeeper",
  "/zookeeper/config",
  "/zookeeper/quota",
  "a",
  "//",
  "/a//b",
  "/a/./b",
  "/a/../b",
  "/a/",
  "/a/\u0001",
  "/x/y/z",
  "/\ud83d\ude00",
];
const aclPool: Acl[][] = [
  openToAll,
  openToAll,
  openToAll,
  [{ perms: 31, scheme: "digest", id: "user:tpUq/4Pn5A64fVZyQ0gOJ8ZWqkY=" }],
  [{ perms: 1, scheme: "world", id: "anyone" }],
  [{ perms: 31, scheme: "auth", id: "" }],
  [{ perms: 31, scheme: "ip", id: "127.0.0.1" }],
  [{ perms: 31, scheme: "ip", id: "10.0.0.0/8" }],
  [{ perms: 31, scheme: "nonsense", id: "x" }],
  [{ perms: 31, scheme: "world", id: "someone" }],
  [{ perms: 31, scheme: "digest", id: "a:b:c" }],
  [],
];

function steps(seed: number, count: number): Step[] {
  const next = generator(seed);
  const pick = <T>(pool: readonly T[]): T => pool[next(pool.length)]!;
  const path = () => (next(12) === 0 ? pick(oddPaths) : pick(pathPool));
  const data = () => (next(6) === 0 ? null : Buffer.from("x".repeat(next(4))));
  const version = () => (next(2) === 0 ? -1 : next(3));
  const who = () => next(2) as 0 | 1;
  const none = () => undefined;

  function write(inMulti: boolean): Omit<Step, "who"> {
    const at = path();
    switch (next(inMulti ? 7 : 9)) {
      case 0:
      case 1:
      case 2: {
        const type = pick([OP.create, OP.create, OP.create2, OP.createContainer, OP.createTtl]);
        const flags =
          type === OP.createContainer ? 4 : type === OP.createTtl ? pick([5, 6]) : pick([0, 0, 0, 1, 2, 3, 9]);
        const [bytes, acl, ttl] = [data(), next(4) === 0 ? pick(aclPool) : openToAll, pick([100000, 0, -5])];
        const record = (writer: JuteWriter) => {
          writer.string(at);
          writer.buffer(bytes);
          writeAclList(writer, acl);
          writer.int(flags);
          if (type === OP.createTtl) writer.longNumber(ttl);
        };
        const shape = (side: Side, body: JuteReader) => [body.string(), type === OP.create ? null : side.stat(body)];
        return { type, record, shape, writes: true, text: `create ${type} ${at} flags ${flags}` };
      }
      case 3:
      case 4: {
        const [bytes, expected] = [data(), version()];
        const record = (writer: JuteWriter) => {
          writer.string(at);
          writer.buffer(bytes);
          writer.int(expected);
        };
        return {
          type: OP.setData,
          record,
          shape: (side, body) => side.stat(body),
          writes: true,
          text: `set ${at} ${expected}`,
        };
      }
      case 5: {
        const expected = version();
        const record = (writer: JuteWriter) => {
          writer.string(at);
          writer.int(expected);
        };
        return { type: OP.delete, record, shape: none, writes: true, text: `delete ${at} ${expected}` };
      }
      case 6: {
        const expected = version();
        const record = (writer: JuteWriter) => {
          writer.string(at);
          writer.int(expected);
        };
        if (!inMulti) return { type: OP.delete, record, shape: none, writes: true, text: `delete ${at} ${expected}` };
        return { type: OP.check, record, shape: none, writes: false, text: `check ${at} ${expected}` };
      }
      default: {
        const [acl, expected] = [pick(aclPool), version()];
        const record = (writer: JuteWriter) => {
          writer.string(at);
          writeAclList(writer, acl);
          writer.int(expected);
        };
        return { type: OP.setAcl, record, shape: (side, body) => side.stat(body), writes: true, text: `setAcl ${at}` };
      }
    }
  }

  function multi(): Omit<Step, "who"> {
    const parts = Array.from({ length: 1 + next(4) }, () => write(true));
    const record = (writer: JuteWriter) => {
      for (const part of parts) {
        writeMultiHeader(writer, part.type, -1);
        part.record(writer);
      }
      writeMultiEnd(writer);
    };
    const text = `multi [${parts.map((part) => part.text).join("; ")}]`;
    return { type: OP.multi, record, shape: multiResults, writes: true, text };
  }

  function read(): Omit<Step, "who"> {
    const at = path();
    const watch = next(2) === 0;
    const withWatch = (writer: JuteWriter) => {
      writer.string(at);
      writer.bool(watch);
    };
    const pathOnly = (writer: JuteWriter) => writer.string(at);
    const text = (name: string) => `${name} ${at}${watch ? " watch" : ""}`;
    switch (next(9)) {
      case 0:
        return {
          type: OP.exists,
          record: withWatch,
          shape: (side, body) => side.stat(body),
          writes: false,
          text: text("exists"),
        };
      case 1:
      case 2: {
        const shape = (side: Side, body: JuteReader) => [body.buffer(), side.stat(body)];
        return { type: OP.getData, record: withWatch, shape, writes: false, text: text("get") };
      }
      case 3:
        return {
          type: OP.getChildren,
          record: withWatch,
          shape: (_, body) => body.strings().sort(),
          writes: false,
          text: text("ls"),
        };
      case 4: {
        const shape = (side: Side, body: JuteReader) => [body.strings().sort(), side.stat(body)];
        return { type: OP.getChildren2, record: withWatch, shape, writes: false, text: text("ls2") };
      }
      case 5: {
        const acl = (body: JuteReader) => body.vector(12, (from) => [from.int(), from.string(), from.string()]);
        return {
          type: OP.getAcl,
          record: pathOnly,
          shape: (side, body) => [acl(body), side.stat(body)],
          writes: false,
          text: text("getAcl"),
        };
      }
      case 6:
        return {
          type: OP.getEphemerals,
          record: pathOnly,
          shape: (_, body) => body.strings().sort(),
          writes: false,
          text: text("ephemerals"),
        };
      case 7:
        return {
          type: OP.getAllChildrenNumber,
          record: pathOnly,
          shape: (_, body) => body.int(),
          writes: false,
          text: text("count"),
        };
      default: {
        const other = path();
        const record = (writer: JuteWriter) => {
          writeMultiHeader(writer, OP.getData, -1);
          withWatch(writer);
          writeMultiHeader(writer, OP.getChildren, -1);
          writer.string(other);
          writer.bool(false);
          writeMultiEnd(writer);
        };
        return { type: OP.multiRead, record, shape: multiResults, writes: false, text: `multiRead ${at} ${other}` };
      }
    }
  }

  function watch(): Omit<Step, "who"> {
    const at = pick(pathPool);
    const mode = next(2);
    if (next(3) > 0) {
      const record = (writer: JuteWriter) => {
        // Apache 3.8 lets a later watch of one kind replace an earlier one of another kind on the same path (ZOOKEEPER-4466); ours keeps both. So
        // the kinds get names of their own, where one-shot watches never are.
        writer.string(mode === 0 ? "/h" : "/e");
        writer.int(mode);
      };
      return { type: OP.addWatch, record, shape: (_, body) => body.int(), writes: false, text: `addWatch ${mode}` };
    }
    // On those two, also, Apache 3.8 takes a persistent watch for a one-shot one of either kind; ours, like 3.9, does not.
    const kind = at === "/h" || at === "/e" ? 3 : 1 + next(3);
    // Not checkWatches: Apache 3.8 says yes when any client watches the path.
    const type = OP.removeWatches;
    const record = (writer: JuteWriter) => {
      writer.string(at);
      writer.int(kind);
    };
    return {
      type,
      record,
      shape: none,
      writes: false,
      text: `removeWatches ${at} ${kind}`,
    };
  }

  return Array.from({ length: count }, () => {
    const roll = next(20);
    if (roll < 9) return { who: who(), ...write(false) };
    if (roll < 11) return { who: who(), ...multi() };
    if (roll < 18) return { who: 0, ...read() };
    // Session 1 holds the persistent watches, session 0 the one-shot ones; see `watch`.
    return { who: 1, ...watch() };
  });
}

function multiResults(side: Side, body: JuteReader): unknown {
  const results: unknown[] = [];
  for (;;) {
    const [type, done, err] = [body.int(), body.bool(), body.int()];
    if (done) return results;
    results.push([type, err, multiResult(side, type, body)]);
  }
}

function multiResult(side: Side, type: number, body: JuteReader): unknown {
  switch (type) {
    case OP.create:
      return body.string();
    case OP.create2:
      return [body.string(), side.stat(body)];
    case OP.setData:
      return side.stat(body);
    case OP.error:
      return body.int();
    case OP.getData:
      return [body.buffer(), side.stat(body)];
    case OP.getChildren:
      return body.strings().sort();
    default:
      return undefined;
  }
}

for (const seed of [1, 2, 3]) {
  test.skipIf(!present)(
    `random requests get the answers and events that Apache gives (seed ${seed})`,
    async () => {
      const [theirs, mine] = await Promise.all([Side.open(real.port), Side.open(ours.port)]);
      const done: string[] = [];
      for (const side of [theirs, mine]) await side.clients[0]!.auth("digest", "user:password");
      for (const step of steps(seed, 1500)) {
        done.push(`${step.who}: ${step.text}`);
        const [expected, answer] = await Promise.all([theirs.run(step), mine.run(step)]);
        if (!Bun.deepEquals(answer, expected)) console.error(`after\n  ${done.slice(-25).join("\n  ")}`);
        expect(answer).toEqual(expected);
      }
      for (const side of [theirs, mine]) {
        for (const client of side.clients) await client.closeSession();
        await clear(side === theirs ? real.port : ours.port);
      }
    },
    120000,
  );
}

/** Removes what a run has left, so that the next one starts from the same tree. */
async function clear(port: number): Promise<void> {
  using client = await WireClient.connect(port);
  await client.auth("digest", "user:password");
  const remove = async (path: string): Promise<void> => {
    const { err, body } = await client.read(OP.getChildren, path);
    if (err === 0) for (const child of body.strings()) await remove(`${path}/${child}`);
    await client.delete(path);
  };
  for (const top of ["/a", "/e", "/h"]) await remove(top);
  await client.closeSession();
}
