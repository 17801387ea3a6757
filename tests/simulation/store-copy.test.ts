// Copies of a leader's store on simulated disks: parts that are damaged on the way, copies that break off - by a lost connection, by a power cut at the follower -
// and go on, a whole that is not what was sent, the bandwidth. In the end the follower's files and keys are the leader's.
import { expect, test } from "bun:test";
import { RamaError } from "../../src/base/errors.ts";
import { type CopyMessage, decodeCopy, encodeCopy } from "../../src/protocol/store-copy.ts";
import { CopyPace } from "../../src/replication/copy-pace.ts";
import { CopyReceiver } from "../../src/replication/copy-receiver.ts";
import { CopySender } from "../../src/replication/copy-sender.ts";
import { exportStore, KEYS_END } from "../../src/replication/store-export.ts";
import { StoreImport } from "../../src/replication/store-import.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import type { Kv } from "../../src/storage/kv.ts";
import { positionsOp } from "../../src/storage/store.ts";
import { MemoryWorld } from "../../src/testing/platform-memory.ts";

const keyOf = (i: number): Uint8Array => new TextEncoder().encode(`k${String(i).padStart(5, "0")}`);
const filled = (i: number, size = 400): Uint8Array => new Uint8Array(size).fill(i & 0xff);
const filePath = "depots/0/0/1.depot";

class Copying {
  readonly env = new SimulatedEnv({ seed: 7, logLevel: "error" });
  readonly world = new MemoryWorld({ env: this.env });
  readonly leader = this.world.host("leader");
  readonly follower = this.world.host("follower");
  kv!: Kv;
  sent = 0;
  /** What becomes of a frame on its way; undefined: the connection is lost. */
  onWay: (frame: Uint8Array, message: CopyMessage) => Uint8Array | undefined = (frame) => frame;
  rate = Number.POSITIVE_INFINITY;

  async prepare(): Promise<void> {
    const { disk, kv } = this.leader;
    this.kv = await kv.open("/store/kv");
    const ops = Array.from({ length: 5_000 }, (_, i) => ({ type: "put" as const, key: keyOf(i), value: filled(i) }));
    await this.kv.batch([...ops, positionsOp(0, { applied: 10, depotsSynced: 10 })], { sync: true });
    disk.mkdir("/store/depots/0/0");
    const bytes = new Uint8Array(3_000_000).map((_, i) => i % 251);
    disk.writeFile(`/store/${filePath}`, bytes);
  }

  /** One attempt; resolves when the copy is whole. */
  async attempt(): Promise<StoreImport> {
    const { env } = this;
    const { disk, kv } = this.follower;
    const store = new StoreImport({ env, disk, kv, dir: "/store", group: 0, epoch: 1 });
    const receiver = new CopyReceiver(store);
    let turn: Promise<void> = Promise.resolve();
    let whole = false;
    let lost = new RamaError("CONNECTION_LOST", "cut");
    const sender: CopySender = new CopySender({
      env,
      pace: new CopyPace(),
      rate: () => this.rate,
      send: (message) => {
        const frame = this.onWay(encodeCopy(1, message), message);
        if (frame === undefined) {
          sender.fail(lost);
          return;
        }
        turn = turn.then(async () => {
          await env.sleep(1);
          try {
            const received = await receiver.take(decodeCopy(frame).message);
            if (received.kind === "whole") whole = true;
            else sender.answered(received.number, received.answer);
          } catch (error) {
            lost = error as RamaError;
            sender.fail(lost);
          }
        });
      },
    });
    try {
      await exportStore({
        ...{ disk: this.leader.disk, kv: this.kv, dir: "/store", group: 0 },
        flush: async () => {},
        entriesFrom: () => undefined,
        hold: () => {},
        begin: (from, total) => sender.begin(from, total),
        send: (part) => sender.part(part),
        end: () => sender.end(),
      });
      await turn;
      if (!whole) throw lost;
    } catch (error) {
      await turn;
      await store.abort();
      throw error;
    } finally {
      this.sent = sender.sentBytes;
    }
    return store;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return this.env.complete(work());
  }

  async isSame(): Promise<void> {
    const copied = await this.follower.kv.open("/store/kv");
    const all = { gte: new Uint8Array(0), lt: KEYS_END };
    const text = (entries: readonly { key: Uint8Array; value: Uint8Array }[]) =>
      Bun.hash(
        entries.map(({ key, value }) => `${Buffer.from(key).toString("hex")}=${value.length}:${value[0]}`).join(),
      );
    expect(text(await copied.range(all))).toBe(text(await this.kv.range(all)));
    await copied.close();
    const { disk } = this.follower;
    expect(Buffer.compare(disk.readFile(`/store/${filePath}`), this.leader.disk.readFile(`/store/${filePath}`))).toBe(
      0,
    );
    expect(disk.exists("/store.copy")).toBe(false);
  }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return (error as RamaError).code;
  }
}

/** Loses the connection at the n-th message. */
const cutAt = (n: number) => {
  let left = n;
  return (frame: Uint8Array) => (--left < 0 ? undefined : frame);
};

test("a copy that breaks off goes on with the parts that it has, though the store has changed meanwhile", async () => {
  const copying = new Copying();
  await copying.run(async () => {
    await copying.prepare();
    copying.onWay = cutAt(9);
    expect(await codeOf(copying.attempt())).toBe("CONNECTION_LOST");
    expect(copying.sent).toBeGreaterThan(2_000_000);
    // One value, some keys more and some gone; none of them where the cut was.
    const changes = [10, 11, 12].map((i) => ({ type: "put" as const, key: keyOf(i), value: filled(i + 1, 500) }));
    await copying.kv.batch([...changes, { type: "del", key: keyOf(20) }], { sync: true });
    copying.onWay = (frame) => frame;
    (await copying.attempt()).replace();
    expect(copying.sent).toBeLessThan(3_300_000);
    await copying.isSame();
  });
});

test("what a follower has taken before its power was cut counts as far as its disk has it", async () => {
  for (let n = 2; n < 14; n += 3) {
    const copying = new Copying();
    await copying.run(async () => {
      await copying.prepare();
      copying.onWay = cutAt(n);
      await codeOf(copying.attempt());
      copying.world.powerCut("follower");
      copying.onWay = (frame) => frame;
      (await copying.attempt()).replace();
      await copying.isSame();
    });
  }
});

test("a part that is damaged on its way is sent again, and a damaged head ends the connection", async () => {
  const copying = new Copying();
  await copying.run(async () => {
    await copying.prepare();
    let damaged = 0;
    copying.onWay = (frame, message) => {
      if (message.kind !== "part" || message.number !== 3 || damaged++ > 0) return frame;
      const flipped = frame.slice();
      flipped[flipped.length - 100]! ^= 0x10;
      return flipped;
    };
    (await copying.attempt()).replace();
    expect(damaged).toBe(2);
    await copying.isSame();
    copying.onWay = (frame, message) => {
      if (message.kind !== "part" || message.number !== 3) return frame;
      const flipped = frame.slice();
      flipped[12]! ^= 1;
      return flipped;
    };
    expect(await codeOf(copying.attempt())).toBe("BAD_FRAME");
    // A line that damages every part.
    copying.onWay = (frame, message) => {
      if (message.kind !== "part") return frame;
      const flipped = frame.slice();
      flipped[flipped.length - 1]! ^= 1;
      return flipped;
    };
    expect(await codeOf(copying.attempt())).toBe("CONNECTION_LOST");
  });
});

test("a whole that is not what was sent is refused, and begun anew", async () => {
  const copying = new Copying();
  await copying.run(async () => {
    await copying.prepare();
    copying.onWay = (frame, message) =>
      message.kind === "end" ? encodeCopy(1, { ...message, hash: message.hash.map((byte) => byte ^ 1) }) : frame;
    expect(await codeOf(copying.attempt())).toBe("STORE_CORRUPT");
    expect(copying.follower.disk.exists("/store.copy")).toBe(false);
    copying.onWay = (frame) => frame;
    (await copying.attempt()).replace();
    await copying.isSame();
  });
});

test("a copy keeps to its bandwidth", async () => {
  const copying = new Copying();
  await copying.run(async () => {
    await copying.prepare();
    copying.rate = 1_000_000;
    const startMs = copying.env.monotonicMs();
    (await copying.attempt()).replace();
    const seconds = (copying.env.monotonicMs() - startMs) / 1_000;
    expect(copying.sent).toBeGreaterThan(5_000_000);
    expect(seconds).toBeGreaterThan((copying.sent - 600_000) / 1_000_000);
    expect(seconds).toBeLessThan(copying.sent / 1_000_000 + 2);
    await copying.isSame();
  });
});
