// The buffer between a partition elsewhere and the sources that read it: nothing is lost or told twice, whatever the other side does; memory is bounded.
import { expect, test } from "bun:test";
import { systemEnv } from "../../../src/base/env-system.ts";
import type { Fetched } from "../../../src/protocol/depot-read.ts";
import { type Feed, RemoteLog } from "../../../src/topology/remote/remote-log.ts";
import { waitFor } from "../../../src/testing/wait-for.ts";

const env = systemEnv({ logLevel: "error", sink: () => {} });

/** A partition whose records are one byte, and what has been asked of it. */
class Partition implements Feed {
  start = 0;
  end = 0;
  recordBytes = 1;
  readonly gone = new Set<number>();
  readonly asked: [from: number, to: number | undefined][] = [];
  failures = 0;
  #waiting: (() => void)[] = [];

  async positions() {
    return { startOffset: this.start, endOffset: this.end };
  }

  async offsetAfterTimestamp() {
    return this.end;
  }

  grow(end: number): void {
    this.end = end;
    for (const go of this.#waiting.splice(0)) go();
  }

  async fetch(from: number, to?: number): Promise<Fetched> {
    this.asked.push([from, to]);
    if (this.failures > 0) {
      this.failures--;
      throw new Error("out of reach");
    }
    const first = Math.max(from, this.start);
    if (to === undefined && first >= this.end) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const end = Math.min(to ?? this.end, this.end, first + 100);
    const records = [];
    for (let offset = first; offset < end; offset++) {
      const bytes = new Uint8Array(this.recordBytes);
      if (!this.gone.has(offset)) records.push({ offset, bytes, start: 0, end: bytes.length });
    }
    return { startOffset: this.start, nextOffset: end, records };
  }
}

function open(partition: Partition) {
  const troubles: (string | null)[] = [];
  const log = new RemoteLog({
    env,
    feed: partition,
    name: "partition 0 of *d",
    grown: () => {},
    troubled: (trouble) => troubles.push(trouble),
  });
  return { log, troubles };
}

const until = (what: string, done: () => boolean) =>
  waitFor(done, { env, timeoutMs: 5000, what, present: () => "not yet" });

/** Reads on until `to`, as a source does. */
async function readTo(log: RemoteLog, from: number, to: number): Promise<number[]> {
  const offsets: number[] = [];
  let next = from;
  while (next < to) {
    await until(`records from ${next}`, () => log.readableTo(next) > next);
    if (next < log.startOffset) next = log.startOffset;
    const views = log.read(next, Math.min(to, log.readableTo(next)), 1_000_000);
    for (const { offset } of views) offsets.push(offset);
    next = log.readableTo(next);
    log.release(next);
  }
  return offsets;
}

async function single(log: RemoteLog, offset: number) {
  let found = log.one(offset);
  await until(`record ${offset}`, () => {
    found = log.one(offset);
    return found !== undefined;
  });
  return found;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

test("all records come in order, each once, as the partition grows", async () => {
  const partition = new Partition();
  partition.grow(250);
  const { log } = open(partition);
  log.seek(5);
  expect(await readTo(log, 5, 250)).toEqual(range(5, 250));
  partition.grow(300);
  expect(await readTo(log, 250, 300)).toEqual(range(250, 300));
  log.close();
});

test("records that are gone are passed", async () => {
  const partition = new Partition();
  for (const offset of range(0, 100)) partition.gone.add(offset);
  partition.gone.add(150);
  partition.grow(160);
  const { log } = open(partition);
  log.seek(0);
  expect(await readTo(log, 0, 160)).toEqual(range(100, 160).filter((offset) => offset !== 150));
  log.close();
});

test("trimmed records are told by the start offset", async () => {
  const partition = new Partition();
  partition.start = 40;
  partition.grow(60);
  const { log } = open(partition);
  log.seek(10);
  await until("the first records", () => log.readableTo(10) === 60);
  expect(log.startOffset).toBe(40);
  expect(log.read(40, 60, 1_000_000).map(({ offset }) => offset)).toEqual(range(40, 60));
  log.close();
});

test("what was left behind can be read again: retryAllAfter", async () => {
  const partition = new Partition();
  partition.grow(50);
  const { log } = open(partition);
  log.seek(0);
  await readTo(log, 0, 50);
  expect(log.readableTo(20)).toBe(20);
  expect(await readTo(log, 20, 50)).toEqual(range(20, 50));
  log.close();
});

test("a single record is fetched by itself; one that is gone is null", async () => {
  const partition = new Partition();
  partition.gone.add(8);
  partition.grow(50);
  const { log } = open(partition);
  log.seek(40);
  expect(log.one(7)).toBe(undefined);
  expect(log.one(8)).toBe(undefined);
  expect((await single(log, 7))?.offset).toBe(7);
  expect(await single(log, 8)).toBe(null);
  expect(partition.asked).toContainEqual([7, 8]);
  await until("the buffer", () => log.readableTo(40) === 50);
  expect(log.one(45)?.offset).toBe(45);
  log.close();
});

test("no more than the buffer holds is fetched ahead, unless it is needed", async () => {
  const partition = new Partition();
  partition.recordBytes = 50_000;
  partition.grow(1000);
  const { log } = open(partition);
  log.seek(0);
  await until("a full buffer", () => log.readableTo(0) >= 100);
  const asked = partition.asked.length;
  await new Promise<void>((resolve) => env.nextTurn(resolve));
  expect(log.readableTo(0)).toBe(100);
  expect(partition.asked.length).toBe(asked);
  log.need(150);
  await until("what is needed", () => log.readableTo(0) >= 150);
  log.release(120);
  expect(log.read(120, 130, 1_000_000).map(({ offset }) => offset)).toEqual(range(120, 130));
  log.close();
});

test("trouble is told, tried again, and told to be over", async () => {
  const partition = new Partition();
  partition.failures = 2;
  partition.grow(3);
  const { log, troubles } = open(partition);
  log.seek(0);
  expect(await readTo(log, 0, 3)).toEqual([0, 1, 2]);
  expect(troubles).toEqual([
    "partition 0 of *d cannot be read: out of reach",
    "partition 0 of *d cannot be read: out of reach",
    null,
  ]);
  log.close();
});
