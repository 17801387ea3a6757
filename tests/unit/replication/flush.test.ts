// When a flush happens, what is in its batch, and what becomes of a failed one. Crashes between its steps: tests/simulation/store-crash.ts.
import { expect, test } from "bun:test";
import { StoreFlusher } from "../../../src/replication/flush.ts";
import { GroupReplog } from "../../../src/replication/replog.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import type { KvOp } from "../../../src/storage/kv.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";
import { openStore } from "../../../src/storage/store.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";

const key = (n: number) => Uint8Array.of(0x58, n);

/** Changes that wait to be flushed, with a note of what became of them. */
class Changes {
  pending: KvOp[] = [];
  readonly ends: string[] = [];
  unflushedBytes = 0;

  add(n: number, value: number): void {
    this.pending.push({ type: "put", key: key(n), value: Uint8Array.of(value) });
  }

  collect() {
    const ops = this.pending;
    this.pending = [];
    return {
      ops,
      done: () => this.ends.push(`done ${ops.length}`),
      failed: () => {
        this.ends.push(`failed ${ops.length}`);
        this.pending = [...ops, ...this.pending];
      },
    };
  }
}

async function setup(options: { fail?: () => boolean; groups?: number } = {}) {
  const env = new SimulatedEnv({ seed: 1 });
  const disk = new MemoryDisk();
  const kv = memoryKv({
    fault: () => {
      if (options.fail?.()) throw new Error("no batch today");
    },
  });
  const opened = await openStore({ env, disk, kv, dir: "/s" });
  const store = await opened.recover(() => {});
  const failures: string[] = [];
  const flusher = new StoreFlusher({
    env,
    kv: store.kv,
    log: store.log,
    onFailed: (error) => failures.push((error as Error).message),
  });
  const groups = Array.from({ length: options.groups ?? 1 }, (_, group) => {
    const replog = new GroupReplog({ group, log: store.log, epoch: 1, end: 0 });
    const pstates = new Changes();
    const progress = new Changes();
    flusher.add(group, { replog, pstates, progress: () => progress.collect() }, opened.positions(group));
    return { replog, pstates, progress };
  });
  store.log.onDurable = (upTo) => {
    for (const { replog } of groups) replog.durableUpTo(upTo);
  };
  const append = (group: number, n: number, value: number) => {
    const { replog, pstates } = groups[group]!;
    replog.append(3, [Uint8Array.of(n)], () => pstates.add(n, value));
    store.log.commit(false);
  };
  return { env, disk, kv, store, flusher, groups, failures, append };
}

test("what is applied is flushed after half a second, once, and an idle store rests", async () => {
  const { env, store, flusher, groups, append } = await setup();
  append(0, 1, 11);
  append(0, 2, 22);
  await env.advance(400);
  expect(flusher.flushes).toBe(0);
  await env.advance(200);
  expect({ flushes: flusher.flushes, ends: groups[0]!.pstates.ends }).toEqual({ flushes: 1, ends: ["done 2"] });
  expect(store.kv.getSync(key(2))).toEqual(Uint8Array.of(22));
  await env.advance(60_000);
  expect(flusher.flushes).toBe(1);
  append(0, 3, 33);
  await env.advance(600);
  expect(flusher.flushes).toBe(2);
});

test("8 MB of changes are not waited with", async () => {
  const { env, flusher, groups, append } = await setup();
  groups[0]!.pstates.unflushedBytes = 8 * 1024 * 1024;
  append(0, 1, 1);
  await env.advance(1);
  expect(flusher.flushes).toBe(1);
  expect(flusher.unflushed()).toBe(8 * 1024 * 1024);
});

test("each group's applied offset goes with its changes", async () => {
  const { env, disk, kv, flusher, groups, store, append } = await setup({ groups: 3 });
  append(0, 1, 1);
  append(0, 2, 2);
  append(2, 3, 3);
  groups[2]!.progress.add(9, 9);
  await env.complete(flusher.flushNow());
  await store.log.close();
  await store.kv.close();
  const again = await openStore({ env, disk, kv, dir: "/s" });
  expect([0, 1, 2].map((group) => again.positions(group).applied)).toEqual([2, 0, 1]);
  expect(again.kv.getSync(key(9))).toEqual(Uint8Array.of(9));
  // Without a sync of the depots the log keeps its entries; what is in the Kv is told.
  const replayed: string[] = [];
  const { recovery } = await again.recover(({ group, offset }, applied) =>
    replayed.push(`${group}/${offset} ${applied}`),
  );
  expect(replayed).toEqual(["0/0 true", "0/1 true", "2/0 true"]);
  expect(recovery.groups.get(2)).toEqual({ end: 1, epoch: 1 });
});

test("after a close nothing is left to replay", async () => {
  const { env, disk, kv, flusher, store, append } = await setup();
  append(0, 1, 1);
  await env.complete(flusher.close());
  await store.log.close();
  await store.kv.close();
  const again = await openStore({ env, disk, kv, dir: "/s" });
  const { recovery, groupEnd } = await again.recover(() => {
    throw new Error("an entry");
  });
  expect({ entries: recovery.entries, end: groupEnd(0), unknown: groupEnd(7) }).toEqual({
    entries: 0,
    end: 1,
    unknown: 0,
  });
});

test("a failed batch releases nothing: its changes come again, and the owner is told", async () => {
  let fail = true;
  const { env, flusher, groups, failures, append } = await setup({ fail: () => fail });
  append(0, 1, 1);
  await env.advance(600);
  expect({ failures, ends: groups[0]!.pstates.ends }).toEqual({ failures: ["no batch today"], ends: ["failed 1"] });
  await expect(env.complete(flusher.flushNow())).rejects.toThrow("no batch today");
  await env.advance(10);
  fail = false;
  await env.complete(flusher.flushNow());
  expect(groups[0]!.pstates.ends.at(-1)).toBe("done 1");
});

test("a store of another version is not opened, and one whose log has lost entries is STORE_CORRUPT", async () => {
  const { env, disk, kv, flusher, store, append } = await setup();
  append(0, 1, 1);
  await env.complete(flusher.flushNow());
  await store.log.close();
  await store.kv.close();
  const log = disk.readFile("/s/log/000000000001.log");
  for (const name of disk.list("/s/log")) disk.remove(`/s/log/${name}`);
  const opened = await openStore({ env, disk, kv, dir: "/s" });
  await expect(opened.recover(() => {})).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  await opened.kv.close();
  disk.writeFile("/s/log/000000000001.log", log);
  disk.writeFile("/s/format", new TextEncoder().encode("rama store 99\n"));
  await expect(openStore({ env, disk, kv, dir: "/s" })).rejects.toMatchObject({ code: "WRONG_VERSION" });
  await env.advance(1);
  disk.writeFile("/s/format", new TextEncoder().encode("rama store 1\n"));
  const whole = await openStore({ env, disk, kv, dir: "/s" });
  expect((await whole.recover(() => {})).groupEnd(0)).toBe(1);
});
