// A depot partition: offsets, visibility, reads out of memory and files, search by time, and its formats.
import { expect, test } from "bun:test";
import { RamaError } from "../../../src/base/errors.ts";
import { appendEntryHeader, decodeAppendEntry } from "../../../src/depot/append-entry.ts";
import { decodeControlEntry, encodeControlEntry } from "../../../src/depot/control-entry.ts";
import { DedupeTable } from "../../../src/depot/dedupe.ts";
import { decodeState, encodeConsumer, encodeState, stateKey } from "../../../src/depot/depot-state.ts";
import { type DepotGroup, openDepots } from "../../../src/depot/depot-store.ts";
import { DepotPartition } from "../../../src/depot/partition.ts";
import { DepotSegments } from "../../../src/depot/segments.ts";
import { MemoryDisk } from "../../../src/storage/disk-memory.ts";
import { memoryKv } from "../../../src/storage/kv-memory.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const client = new Uint8Array(16).fill(7);

function records(...texts: string[]): Uint8Array {
  const parts = texts.flatMap((each) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, each.length, true);
    return [length, new TextEncoder().encode(each)];
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** A replog whose entries are applied when the test says so. */
function playedReplog() {
  const entries: { payload: Uint8Array; apply: () => void }[] = [];
  let applied = 0;
  return {
    entries,
    append(_kind: number, parts: readonly Uint8Array[], apply: () => void): number {
      return entries.push({ payload: new Uint8Array(Buffer.concat(parts)), apply }) - 1;
    },
    apply(count = entries.length - applied) {
      for (let i = 0; i < count; i++) entries[applied++]!.apply();
    },
  };
}

function partitionOn(disk: MemoryDisk, keptBytes = 0): DepotPartition {
  const segments = new DepotSegments({ disk, dir: "/d", segmentSizeBytes: 300 });
  segments.open(undefined);
  return new DepotPartition({ depot: 1, name: "*d", task: 3, segments, dedupe: new DedupeTable(), keptBytes });
}

const textsOf = (partition: DepotPartition, from: number, to: number, maxBytes = 1e9) =>
  partition
    .read(from, to, maxBytes)
    .map(({ offset, bytes, start, end }) => `${offset} ${new TextDecoder().decode(bytes.subarray(start, end))}`);

const nothing = () => {};

test("records have offsets at once and can be read once they are applied", () => {
  const partition = partitionOn(new MemoryDisk());
  const replog = playedReplog();
  const acked: string[] = [];
  expect(partition.append(replog, records("a", "b"), 2, null, 1000, () => acked.push("ab"))).toEqual({
    offset: 0,
    duplicate: false,
  });
  expect(partition.append(replog, records("c"), 1, null, 1000, () => acked.push("c")).offset).toBe(2);
  expect([partition.startOffset, partition.endOffset, partition.appendEnd]).toEqual([0, 0, 3]);
  expect(() => partition.read(0, 1, 10)).toThrow(expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }));
  replog.apply(1);
  expect(acked).toEqual(["ab"]);
  expect(textsOf(partition, 0, 2)).toEqual(["0 a", "1 b"]);
  replog.apply();
  expect([partition.endOffset, partition.appendEnd]).toEqual([3, 3]);
  expect(textsOf(partition, 1, 3)).toEqual(["1 b", "2 c"]);
});

test("the same token again stores nothing, and is told when the first append is applied", () => {
  const partition = partitionOn(new MemoryDisk());
  const replog = playedReplog();
  const acked: string[] = [];
  const append = (name: string) =>
    partition.append(replog, records("a"), 1, { client, seq: 4 }, 1000, () => acked.push(name));
  expect(append("first")).toEqual({ offset: 0, duplicate: false });
  expect(append("again")).toEqual({ offset: 0, duplicate: true });
  expect(append("third")).toEqual({ offset: 0, duplicate: true });
  expect({ acked, entries: replog.entries.length }).toEqual({ acked: [], entries: 1 });
  replog.apply();
  expect(acked.sort()).toEqual(["again", "first", "third"]);
  append("late");
  expect(acked).toContain("late");
  expect(partition.appendEnd).toBe(1);
});

test("reads go through files and memory as one, in any slices", () => {
  const partition = partitionOn(new MemoryDisk(), 100);
  const replog = playedReplog();
  const all: string[] = [];
  for (let i = 0; i < 60; i++) {
    const texts = Array.from({ length: 1 + (i % 3) }, (_, k) => `record ${i}.${k}${"x".repeat((i * 7) % 40)}`);
    for (const text of texts) all.push(`${all.length} ${text}`);
    partition.append(replog, records(...texts), texts.length, null, 1000 + (i >> 2), nothing);
    replog.apply();
    if (i % 10 === 5) partition.copy();
  }
  expect(partition.segments.end).toBeLessThan(all.length);
  for (let from = 0; from <= all.length; from += 3) {
    for (const length of [0, 1, 7, 200]) {
      const to = Math.min(all.length, from + length);
      expect(textsOf(partition, from, to)).toEqual(all.slice(from, to));
    }
  }
  // At least one record, and no more than fit.
  expect(textsOf(partition, 5, 50, 1)).toEqual(all.slice(5, 6));
  const some = textsOf(partition, 5, 50, 100);
  expect(some).toEqual(all.slice(5, 5 + some.length));
  expect(some.length).toBeGreaterThan(1);
  for (const [from, to] of [
    [-1, 2],
    [0, all.length + 1],
    [3, 2],
    [Number.NaN, 2],
  ] as const) {
    expect(() => partition.read(from, to, 10)).toThrow(expect.objectContaining({ code: "OFFSET_OUT_OF_RANGE" }));
  }
});

test("times never fall and are found, in memory and in files", () => {
  const partition = partitionOn(new MemoryDisk());
  const replog = playedReplog();
  const times = [1000, 1000, 1005, 990, 1010, 1010, 1200];
  for (const [i, time] of times.entries()) {
    partition.append(replog, records("x".repeat(100)), 1, null, time, nothing);
    replog.apply();
    if (i === 4) partition.copy();
  }
  const kept = times.map((_, i) => partition.appendTimeOf(i));
  expect(kept).toEqual([1000, 1000, 1005, 1005, 1010, 1010, 1200]);
  for (const ms of [0, 1000, 1001, 1005, 1006, 1010, 1100, 1200, 1201]) {
    const found = kept.findIndex((time) => time >= ms);
    expect(partition.offsetAfterTimestamp(ms)).toBe(found < 0 ? times.length : found);
  }
  expect(() => partition.appendTimeOf(7)).toThrow(RamaError);
});

test("a replayed entry that the files hold counts for its token only; a gap is STORE_CORRUPT", () => {
  const partition = partitionOn(new MemoryDisk());
  const replog = playedReplog();
  partition.append(replog, records("a"), 1, { client, seq: 0 }, 1000, nothing);
  partition.append(replog, records("b"), 1, { client, seq: 1 }, 1000, nothing);
  const [first, second] = replog.entries.map((entry) => decodeAppendEntry(entry.payload));
  const again = partitionOn(new MemoryDisk());
  again.applyEntry(first!);
  again.applyEntry(first!);
  again.applyEntry(second!);
  expect(textsOf(again, 0, 2)).toEqual(["0 a", "1 b"]);
  expect(again.append(replog, records("a"), 1, { client, seq: 0 }, 1000, nothing).duplicate).toBe(true);
  const gap = { ...second!, offset: 5 };
  expect(() => again.applyEntry(gap)).toThrow(expect.objectContaining({ code: "STORE_CORRUPT" }));
});

async function opened(
  disk: MemoryDisk,
  kv = memoryKv(),
): Promise<{ group: DepotGroup; write: () => Promise<void>; close: () => Promise<void> }> {
  const store = await kv.open("/kv");
  const depots = [
    { index: 0, name: "*d", global: false },
    { index: 1, name: "*tick", global: true, tickMs: 10 },
  ];
  const group = await openDepots({ disk, kv: store, dir: "/depots", tasks: [1, 3], depots, segmentSizeBytes: 300 });
  return { group, write: () => store.batch(group.collect().ops, { sync: true }), close: () => store.close() };
}

test("after a sync and a flush the partition opens as it was; what lies behind is cut off", async () => {
  const disk = new MemoryDisk();
  const kv = memoryKv();
  const { group, write, close } = await opened(disk, kv);
  expect(group.partition(0, 2)).toBeUndefined();
  expect(group.partition(1, 1)).toBeUndefined();
  const partition = group.partition(0, 3)!;
  const replog = playedReplog();
  for (let i = 0; i < 20; i++) partition.append(replog, records(`record ${i}`), 1, { client, seq: i }, 1000, nothing);
  replog.apply(15);
  await group.sync();
  await write();
  replog.apply();
  group.copy();
  group.close();
  await close();
  const again = await opened(disk, kv);
  const found = again.group.partition(0, 3)!;
  expect([found.startOffset, found.endOffset]).toEqual([0, 15]);
  expect(textsOf(found, 13, 15)).toEqual(["13 record 13", "14 record 14"]);
  expect(found.append(replog, records("x"), 1, { client, seq: 14 }, 1000, nothing)).toEqual({
    offset: 14,
    duplicate: true,
  });
  for (const { payload } of replog.entries) again.group.applyEntry(payload);
  expect(textsOf(found, 0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => `${i} record ${i}`));
});

test("a depot file that is missing, short or damaged is STORE_CORRUPT with its path", async () => {
  const disk = new MemoryDisk();
  const kv = memoryKv();
  const { group, write, close } = await opened(disk, kv);
  const replog = playedReplog();
  for (let i = 0; i < 30; i++)
    group.partition(0, 1)!.append(replog, records(`record ${i}`), 1, null, 1000 + i, nothing);
  replog.apply();
  await group.sync();
  await write();
  group.close();
  await close();
  const dir = "/depots/0/1";
  const paths = disk.list(dir).map((name) => `${dir}/${name}`);
  expect(paths.length).toBeGreaterThan(2);
  const corrupt = async (path: string, bytes: Uint8Array, from: number) => {
    const before = disk.readFile(path);
    disk.writeFile(path, bytes);
    const store = await kv.open("/kv");
    try {
      const depots = [{ index: 0, name: "*d", global: false }];
      const read = await openDepots({ disk, kv: store, dir: "/depots", tasks: [1], depots, segmentSizeBytes: 300 });
      read.partition(0, 1)!.read(from, from + 1, 10);
      throw new Error("it was not noticed");
    } catch (error) {
      expect(error).toMatchObject({ code: "STORE_CORRUPT", facts: { path } });
    } finally {
      await store.close();
      disk.writeFile(path, before);
    }
  };
  const last = disk.readFile(paths.at(-1)!);
  await corrupt(paths.at(-1)!, last.subarray(0, last.length - 1), 0);
  const flipped = last.slice();
  flipped[last.length - 1]! ^= 1;
  await corrupt(paths.at(-1)!, flipped, 0);
  const first = disk.readFile(paths[0]!);
  const damaged = first.slice();
  damaged[60]! ^= 1;
  await corrupt(paths[0]!, damaged, 0);
  await corrupt(paths[0]!, first.subarray(0, first.length - 40), 0);
});

const goldenEntry =
  "010101000300000001000000000000000000e8030000000007070707070707070707070707070707090000000000020000006162";
const goldenFile =
  "52414d414445503100000000000000000000000000000000000000008731b88a16000000ffc8a84300000000000001000000e80300000000020000006162";
const goldenState = "01000000000000050000000000010100000000000000000000003e0000000000200000000000";

const plain = { generation: 0, migration: undefined };

function goldenBytes() {
  const header = appendEntryHeader({
    depot: 1,
    task: 3,
    count: 1,
    offset: 0,
    appendMs: 1000,
    token: { client, seq: 9 },
  });
  const entry = new Uint8Array([...header, ...records("ab")]);
  const disk = new MemoryDisk();
  const partition = partitionOn(disk);
  partition.applyEntry(decodeAppendEntry(entry));
  partition.copy();
  const file = disk.readFile("/d/0000000000000000.depot");
  const state = encodeState({ ...plain, start: 0, evictedMs: 5, mark: partition.segments.mark });
  return { entry: hex(entry), file: hex(file), state: hex(state) };
}

test("version 1: entry, file and state are these bytes", () => {
  expect(goldenBytes()).toEqual({ entry: goldenEntry, file: goldenFile, state: goldenState });
  expect(hex(stateKey(1, 3))).toBe("440100010000000300");
});

test("version 1: bytes of earlier times are read", () => {
  expect(decodeAppendEntry(unhex(goldenEntry))).toEqual({
    depot: 1,
    task: 3,
    count: 1,
    offset: 0,
    appendMs: 1000,
    token: { client, seq: 9 },
    records: records("ab"),
  });
  const state = decodeState(unhex(goldenState));
  expect(state).toEqual({ ...plain, start: 0, evictedMs: 5, mark: { end: 1, file: 0, length: 62, lastBlock: 32 } });
  const disk = new MemoryDisk();
  disk.mkdir("/d");
  disk.writeFile("/d/0000000000000000.depot", unhex(goldenFile));
  const segments = new DepotSegments({ disk, dir: "/d" });
  segments.open(state.mark);
  const partition = new DepotPartition({ depot: 1, name: "*d", task: 3, segments, dedupe: new DedupeTable() });
  expect(textsOf(partition, 0, 1)).toEqual(["0 ab"]);
  expect(partition.appendTimeOf(0)).toBe(1000);
  for (const damaged of ["02", goldenEntry.slice(0, 20)]) {
    expect(() => decodeAppendEntry(unhex(damaged))).toThrow(expect.objectContaining({ code: "STORE_CORRUPT" }));
  }
});

test("a full disk keeps records in memory; they are in the files once there is space, each once", () => {
  const disk = new MemoryDisk();
  const partition = partitionOn(disk, 0);
  const replog = playedReplog();
  const append = (i: number) => {
    partition.append(replog, records(`record ${i} ${"x".repeat(60)}`), 1, null, 1000 + i, nothing);
    replog.apply();
  };
  const texts = () => textsOf(partition, 0, partition.endOffset).map((line) => line.slice(0, 12).trim());
  for (let i = 0; i < 3; i++) append(i);
  expect(partition.copy()).toBe(true);
  for (let i = 3; i < 12; i++) append(i);
  const whole = texts();
  // Each operation on the way fails once.
  for (let failing = 1; failing < 12; failing++) {
    let operations = 0;
    disk.options = {
      fault: (operation, path) => {
        if (operation !== "syncDir" && ++operations === failing) throw new RamaError("DISK_FULL", "full", { path });
      },
    };
    const copied = partition.copy();
    disk.options = {};
    expect(texts()).toEqual(whole);
    if (copied) break;
  }
  expect(partition.uncopiedBytes).toBe(0);
  const again = new DepotSegments({ disk, dir: "/d", segmentSizeBytes: 300 });
  again.open(partition.segments.mark);
  const views: { offset: number }[] = [];
  again.read(0, 12, 1e9, views as never);
  expect(views.map((view) => view.offset)).toEqual(Array.from({ length: 12 }, (_, i) => i));
});

test("a log that does not keep up refuses appends, and stores nothing of them", () => {
  const partition = partitionOn(new MemoryDisk());
  const replog = { ...playedReplog(), overloaded: true };
  const append = () => partition.append(replog, records("a"), 1, { client, seq: 0 }, 1000, nothing);
  expect(append).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
  replog.overloaded = false;
  expect(append()).toEqual({ offset: 0, duplicate: false });
});

test("version 2 of the state, and control entries, are these bytes", () => {
  const mark = { end: 9, file: 4, length: 100, lastBlock: 32 };
  const state = { start: 5, evictedMs: 6, mark, generation: 2, migration: { id: "up", boundary: 7, generation: 1 } };
  const golden =
    "02050000000000060000000000010900000000000400000000006400000000002000000000000200000001070000000000010000007570";
  expect(hex(encodeState(state))).toBe(golden);
  expect(decodeState(unhex(golden))).toEqual(state);
  const rewritten = { ...state, migration: undefined };
  expect(decodeState(encodeState(rewritten))).toEqual(rewritten);
  const control = { kind: "migrate", depot: 1, task: 3, offset: 5, id: "up" } as const;
  const entry = "01020100030000000500000000007570";
  expect(hex(encodeControlEntry(control))).toBe(entry);
  expect(decodeControlEntry(unhex(entry))).toEqual(control);
  const trim = { kind: "trim", depot: 1, task: 3, offset: 5, id: "" } as const;
  expect(decodeControlEntry(encodeControlEntry(trim))).toEqual(trim);
  const consumer = { kind: "consumer", depot: 1, task: 3, offset: 5, id: "b" } as const;
  expect(hex(encodeControlEntry(consumer))).toBe("010301000300000005000000000062");
  expect(decodeControlEntry(encodeControlEntry(consumer))).toEqual(consumer);
  expect(hex(encodeControlEntry({ ...consumer, kind: "forget" })).slice(0, 4)).toBe("0104");
  expect(hex(encodeConsumer(5))).toBe("01050000000000");
  for (const damaged of ["02", "0109010003000000050000000000", "0101"])
    expect(() => decodeControlEntry(unhex(damaged))).toThrow(expect.objectContaining({ code: "STORE_CORRUPT" }));
});
