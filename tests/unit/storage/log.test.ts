// Group commit, recycling, and what opening makes of a damaged log. The histories of tests/simulation/store-crash.ts hold it against crashes.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { SimulatedEnv } from "../../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";
import { openStoreLog } from "../../../src/storage/log.ts";

const segment1 = "/log/000000000001.log";
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const ascii = (letters: string) => new TextEncoder().encode(letters);

interface Setup {
  readonly segmentSizeBytes?: number;
  readonly from?: (group: number) => number;
}

/** One world: a disk, a clock, and logs opened on it. */
function world(seed = 1) {
  const env = new SimulatedEnv({ seed, logLevel: "error" });
  const disk = new MemoryDisk();
  const open = async (setup: Setup = {}) => {
    const replayed: string[] = [];
    const { log, recovery } = await openStoreLog({
      env,
      disk,
      dir: "/log",
      segmentSizeBytes: setup.segmentSizeBytes ?? 1000,
      from: setup.from ?? (() => 0),
      replay: ({ group, offset, payload }) => replayed.push(`${group}/${offset} ${text(payload)}`),
    });
    const durable: number[] = [];
    log.onDurable = (upTo) => durable.push(upTo);
    return { log, recovery, replayed, durable };
  };
  return { env, disk, open };
}

function errorOf(fn: () => unknown): RamaError {
  try {
    fn();
  } catch (error) {
    return error as RamaError;
  }
  throw new Error("nothing was thrown");
}

test("what was committed is read again, in order, from each group's offset on", async () => {
  const { open } = world();
  const { log, durable } = await open();
  log.append(1, 0, 7, 0, [ascii("a"), ascii("b")]);
  log.append(1, 1, 7, 0, [ascii("c")]);
  log.append(1, 0, 7, 1, [ascii("d")]);
  expect(log.end).toBe(3);
  log.commit(false);
  expect(durable).toEqual([3]);
  await log.close();
  expect((await open()).replayed).toEqual(["0/0 ab", "1/0 c", "0/1 d"]);
  const later = await open({ from: (group) => (group === 0 ? 1 : 0) });
  expect(later.replayed).toEqual(["1/0 c", "0/1 d"]);
  expect([...later.recovery.groups]).toEqual([
    [0, { end: 2, epoch: 7 }],
    [1, { end: 1, epoch: 7 }],
  ]);
  expect(later.log.end).toBe(3);
});

test("a small batch is synced inline when nothing else is runnable, aside otherwise", async () => {
  const { env, disk, open } = world();
  const { log, durable } = await open();
  let slowMs = 0;
  disk.options = { syncDelay: async () => void (await env.sleep(slowMs)) };
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  expect(durable).toEqual([1]);
  slowMs = 5;
  log.append(1, 0, 1, 1, [ascii("b")]);
  log.commit(true);
  expect(durable).toEqual([1]);
  await env.advance(5);
  expect(durable).toEqual([1, 2]);
  // That sync was slow: the next goes aside even though the thread is idle.
  log.append(1, 0, 1, 2, [ascii("c")]);
  log.commit(false);
  expect(durable).toEqual([1, 2]);
  await env.advance(5);
  log.append(1, 0, 1, 3, [new Uint8Array(17_000)]);
  log.commit(false);
  expect(durable).toEqual([1, 2, 3]);
  await env.advance(5);
  expect(durable).toEqual([1, 2, 3, 4]);
  expect(log.counters).toMatchObject({ inlineSyncs: 1, asyncSyncs: 3, batches: 4, entries: 4 });
});

test("one sync is in flight: what gathers meanwhile is the next batch", async () => {
  const { env, disk, open } = world();
  disk.options = { syncDelay: async () => void (await env.sleep(2)) };
  const { log, durable } = await open();
  for (let offset = 0; offset < 5; offset++) {
    log.append(1, 0, 1, offset, [ascii("x")]);
    log.commit(true);
  }
  expect(log.counters.batches).toBe(1);
  await env.advance(10);
  expect(durable).toEqual([1, 5]);
});

test("entries that nobody committed are not written, those at close are", async () => {
  const { open } = world();
  const { log, durable } = await open();
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  log.append(1, 0, 1, 1, [ascii("b")]);
  expect(durable).toEqual([1]);
  await log.close();
  expect(errorOf(() => log.append(1, 0, 1, 2, [])).code).toBe("DISK_FAILED");
  expect((await open()).replayed).toEqual(["0/0 a", "0/1 b"]);
});

test("released segments become new ones; the directory does not grow", async () => {
  const { disk, open } = world();
  const { log } = await open({ segmentSizeBytes: 500 });
  for (let offset = 0; offset < 100; offset++) {
    log.append(1, offset % 2, 1, offset >> 1, [new Uint8Array(100)]);
    log.commit(false);
    if (offset % 10 === 9) for (const group of [0, 1]) log.release(group, offset >> 1);
  }
  expect(disk.list("/log").length).toBeLessThan(8);
  expect(log.counters.segmentsRecycled).toBeGreaterThan(10);
  await log.close();
  const again = await open({ segmentSizeBytes: 500, from: () => 49 });
  expect(again.replayed.map((line) => line.slice(0, 4))).toEqual(["0/49", "1/49"]);
});

test("a segment stays while one group needs it", async () => {
  const { open } = world();
  const { log, recovery } = await open({ segmentSizeBytes: 200 });
  expect(recovery.segments).toBe(0);
  log.append(1, 5, 1, 0, [ascii("needed")]);
  for (let offset = 0; offset < 20; offset++) {
    log.append(1, 0, 1, offset, [new Uint8Array(100)]);
    log.commit(false);
    log.release(0, offset + 1);
  }
  await log.close();
  const again = await open({ segmentSizeBytes: 200, from: (group) => (group === 0 ? 20 : 0) });
  expect(again.replayed).toEqual(["5/0 needed"]);
  again.log.release(5, 1);
  expect((await open({ from: (group) => (group === 0 ? 20 : 1) })).recovery.segments).toBe(1);
});

test("a torn batch is cut off and its bytes counted; nothing of it comes back behind the next one", async () => {
  const { disk, open } = world();
  const first = await open();
  for (let offset = 0; offset < 2; offset++) {
    first.log.append(1, 0, 1, offset, []);
    first.log.commit(false);
  }
  const before = first.log.bytes;
  for (let offset = 2; offset < 6; offset++) first.log.append(1, 0, 1, offset, []);
  first.log.commit(false);
  const written = first.log.bytes;
  // The second record of the last batch is torn; whole records stand behind it.
  const file = disk.open(segment1, "write");
  file.write(new Uint8Array(10).fill(255), before + 21 + 21 + 5);
  const second = await open();
  expect(second.replayed.length).toBe(3);
  expect(second.recovery.tornBytes).toBe(written - before - 21 - 21);
  // Records are as long as a batch record here: what is left of the torn batch would stand just behind the next one.
  second.log.append(1, 0, 1, 3, []);
  second.log.commit(false);
  expect((await open()).replayed.length).toBe(4);
});

test("each cut of the last batch leaves a log that opens, with a run of its entries", async () => {
  const { disk, open } = world();
  const { log } = await open();
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  const before = log.bytes;
  for (let offset = 1; offset < 4; offset++) log.append(1, 0, 1, offset, [ascii("b")]);
  log.commit(false);
  const whole = disk.readFile(segment1);
  for (let length = log.bytes; length >= before; length--) {
    disk.writeFile(segment1, whole.subarray(0, length));
    const { replayed, recovery } = await open();
    expect(replayed.length).toBe(1 + Math.max(0, Math.floor((length - before - 21) / 22)));
    expect(recovery.entries).toBe(replayed.length);
  }
});

test("a flipped bit with a later batch behind it is STORE_CORRUPT, and nothing is changed", async () => {
  const { disk, open } = world();
  const { log } = await open();
  for (let offset = 0; offset < 3; offset++) {
    log.append(1, 4, 1, offset, [ascii("abc")]);
    log.commit(false);
  }
  await log.close();
  const whole = disk.readFile(segment1);
  for (let at = 32; at < 32 + 2 * 45; at++) {
    const damaged = whole.slice();
    damaged[at]! ^= 0x10;
    disk.writeFile(segment1, damaged);
    const error = await open().then(
      () => undefined,
      (thrown: RamaError) => thrown,
    );
    expect(error).toMatchObject({ code: "STORE_CORRUPT", facts: { path: segment1 } });
    expect(disk.readFile(segment1)).toEqual(damaged);
  }
});

test("a segment that is missing, cut or foreign in the middle is STORE_CORRUPT", async () => {
  const { disk, open } = world();
  const { log } = await open({ segmentSizeBytes: 100 });
  for (let offset = 0; offset < 8; offset++) {
    log.append(1, 0, 1, offset, [new Uint8Array(60).fill(offset)]);
    log.commit(false);
  }
  await log.close();
  const [first, second, third] = disk.list("/log").map((name) => `/log/${name}`) as [string, string, string];
  const keep = disk.readFile(second);
  const refused = async () => {
    const error = await open().catch((thrown: RamaError) => thrown);
    expect((error as RamaError).code).toBe("STORE_CORRUPT");
  };
  disk.writeFile(second, keep.subarray(0, keep.length - 30));
  await refused();
  disk.writeFile(second, disk.readFile(third));
  await refused();
  disk.writeFile(second, new Uint8Array(0));
  await refused();
  disk.remove(second);
  await refused();
  disk.writeFile(second, keep);
  expect((await open()).replayed.length).toBe(8);
  disk.remove(first);
  await refused();
});

test("after a failed sync nothing more is accepted", async () => {
  const { disk, open } = world();
  const { log, durable } = await open();
  const failures: string[] = [];
  log.onFailed = (error) => failures.push(error.message);
  disk.options = {
    fault: (operation) => {
      if (operation === "sync") throw new RamaError("DISK_FAILED", "broken");
    },
  };
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  disk.options = {};
  log.commit(false);
  expect({ failures, durable }).toEqual({ failures: ["broken"], durable: [] });
  expect(errorOf(() => log.append(1, 0, 1, 1, [])).message).toBe("broken");
  await log.close();
});

test("a full disk makes the batch wait; it lands once when there is space", async () => {
  const { env, disk, open } = world();
  const { log, durable } = await open();
  let full = true;
  disk.options = {
    fault: (operation, path) => {
      if (full && operation === "write") throw new RamaError("DISK_FULL", "full", { path });
    },
  };
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  log.append(1, 0, 1, 1, [ascii("b")]);
  log.commit(false);
  await env.advance(2000);
  expect(durable).toEqual([]);
  full = false;
  await env.advance(500);
  expect(durable).toEqual([2]);
  await log.close();
  expect((await open()).replayed).toEqual(["0/0 a", "0/1 b"]);
});

test("a file that died while it was created is passed over", async () => {
  const { disk, open } = world();
  const { log } = await open();
  log.append(1, 0, 1, 0, [ascii("a")]);
  log.commit(false);
  await log.close();
  disk.writeFile("/log/000000000002.log", new Uint8Array(5));
  const again = await open();
  expect(again.replayed).toEqual(["0/0 a"]);
  again.log.append(1, 0, 1, 1, [ascii("b")]);
  again.log.commit(false);
  expect((await open()).replayed).toEqual(["0/0 a", "0/1 b"]);
});

test("of the last batch any sectors may be missing: what opens is a run of its entries, never an error", async () => {
  const { env, disk, open } = world(7);
  // Two rounds of segments, so that the batch lies over a recycled one's content in half of the cases.
  for (let round = 0; round < 40; round++) {
    disk.removeTree("/log");
    const { log } = await open({ segmentSizeBytes: 3000 });
    const batches = 1 + Math.floor(env.random() * 12);
    let offset = 0;
    let durable = 0;
    for (let batch = 0; batch < batches; batch++) {
      durable = offset;
      for (let i = Math.floor(env.random() * 12); i >= 0; i--)
        log.append(1, 0, 1, offset++, [new Uint8Array(i * 20).fill(i)]);
      log.release(0, durable);
      if (batch < batches - 1) log.commit(false);
    }
    const name = () => disk.list("/log").findLast((each) => each.endsWith(".log"));
    const before = name() === undefined ? new Uint8Array(0) : disk.readFile(`/log/${name()}`);
    const nameBefore = name();
    log.commit(false);
    const path = `/log/${name()}`;
    const after = disk.readFile(path);
    // Another file: a recycled one held something before; a new one zeros.
    const old = name() === nameBefore ? before : new Uint8Array(after.length);
    const mixed = after.slice();
    for (let sector = 0; sector < mixed.length; sector += 128) {
      if (env.random() < 0.5) continue;
      mixed.fill(0, sector, sector + 128);
      mixed.set(old.subarray(sector, Math.min(sector + 128, mixed.length)), sector);
    }
    disk.writeFile(path, mixed);
    const again = await open({ segmentSizeBytes: 3000, from: () => durable });
    const end = again.recovery.groups.get(0)?.end ?? durable;
    expect(end >= durable && end <= offset).toBe(true);
    expect(again.replayed.length).toBe(Math.max(0, end - durable));
  }
});

test("a damaged header is a file that was never used only when there is at most one batch in it", async () => {
  for (const batches of [1, 2]) {
    const { disk, open } = world();
    const { log } = await open();
    for (let offset = 0; offset < batches; offset++) {
      log.append(1, 0, 1, offset, [ascii("a")]);
      log.commit(false);
    }
    const bytes = disk.readFile(segment1);
    bytes[9]! ^= 1;
    disk.writeFile(segment1, bytes);
    if (batches === 1) expect((await open()).recovery).toMatchObject({ entries: 0, segments: 0 });
    else await expect(open()).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  }
});

test("a released segment goes only when the one behind it holds something durable", async () => {
  const { env, disk, open } = world();
  const { log } = await open({ segmentSizeBytes: 100 });
  log.append(1, 0, 1, 0, [new Uint8Array(100)]);
  log.commit(false);
  disk.options = { syncDelay: async () => void (await env.sleep(5)) };
  log.append(1, 0, 1, 1, [ascii("b")]);
  log.commit(true);
  log.release(0, 1);
  expect(disk.list("/log")).toEqual(["000000000001.log", "000000000002.log"]);
  await env.advance(5);
  expect(disk.list("/log")).toEqual(["000000000001.log.spare", "000000000002.log"]);
});

test("a segment that is begun leaves the next open nothing of what was released to read, and goes on where the log was", async () => {
  const { disk, open } = world();
  const { log } = await open({ segmentSizeBytes: 10_000 });
  log.append(1, 0, 1, 0, [new Uint8Array(100)]);
  log.append(1, 1, 1, 0, [ascii("kept")]);
  log.commit(false);
  log.release(0, 1);
  log.beginSegment(1000);
  expect(disk.list("/log")).toEqual(["000000000001.log"]);
  log.beginSegment(100);
  expect(disk.list("/log")).toEqual(["000000000001.log", "000000000002.log"]);
  log.release(1, 1);
  expect(disk.list("/log")).toEqual(["000000000001.log.spare", "000000000002.log"]);
  disk.powerCut(() => 0);
  const again = await open({ from: () => 1 });
  expect([again.replayed, again.recovery.segments]).toEqual([[], 1]);
  again.log.append(1, 0, 1, 1, [ascii("next")]);
  again.log.commit(false);
  await again.log.close();
  expect((await open({ from: () => 1 })).replayed).toEqual(["0/1 next"]);
});

test("no segment is begun while a batch is open or in flight", async () => {
  const { env, disk, open } = world();
  const { log } = await open();
  disk.options = { syncDelay: async () => void (await env.sleep(5)) };
  log.append(1, 0, 1, 0, [new Uint8Array(100)]);
  log.beginSegment(0);
  log.commit(true);
  log.beginSegment(0);
  expect(disk.list("/log")).toEqual(["000000000001.log"]);
  await env.advance(5);
  log.beginSegment(0);
  expect(disk.list("/log")).toEqual(["000000000001.log", "000000000002.log"]);
});
