// Migrations of depots: every reader gets the new records at once, removed ones are tombstones, new appends are mapped too, files are rewritten, offsets stay.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Helpers, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";

const size = { tasks: 4, threads: 2, workers: 2 };

type Define = (setup: Setup, topologies: Topologies) => void;

function version(define: Define): RamaModule {
  class Migrating extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      define(setup, topologies);
    }
  }
  return new Migrating();
}

/** A stream and a microbatch topology note how often they saw which record; a later version has more of them. */
const noting = (migration?: [string, (record: any) => unknown], ...topologies: string[]): RamaModule =>
  version((setup, declared) => {
    const depot = setup.declareDepot("*words", Depot.hashBy(Ops.IDENTITY));
    if (migration !== undefined) depot.migration(...migration);
    const s = declared.stream("stream");
    s.pstate("$$stream", PState.mapSchema(Object, Number));
    s.source("*words").out("*w").compoundAgg("$$stream", CompoundAgg.map("*w", Agg.count()));
    const mb = declared.microbatch("mb");
    mb.pstate("$$mb", PState.mapSchema(Object, Number));
    mb.source("*words")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out("*w")
      .compoundAgg("$$mb", CompoundAgg.map("*w", Agg.count()));
    for (const name of topologies) {
      const again = declared.stream(name);
      again.pstate(`$$${name}`, PState.mapSchema(Object, Number));
      again
        .source("*words", { startFromBeginning: true })
        .out("*w")
        .compoundAgg(`$$${name}`, CompoundAgg.map("*w", Agg.count()));
    }
  });

async function everything(m: any, pstate: string): Promise<Record<string, number>> {
  const all: Record<string, number> = {};
  for (const key of Helpers.genHashingIndexKeys(size.tasks)) {
    for (const [word, n] of await m.pstate(pstate).select(key, Path.all())) all[word] = (all[word] ?? 0) + n;
  }
  return all;
}

async function records(m: any): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let partition = 0; partition < size.tasks; partition++) {
    const { startOffset, endOffset } = await m.depot("*words").getPartitionInfo(partition);
    found.push(...(await m.depot("*words").read(partition, startOffset, endOffset)));
  }
  return found.sort();
}

/** Not idempotent: a record that went through it twice is seen. */
const loud = (word: string) => (word.startsWith("b") ? Depot.TOMBSTONE : `${word}!`);

test("old records and new appends are mapped once, removed ones are passed over, and the migration ends", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(noting(), size);
  const depot = m.depot("*words");
  for (let i = 0; i < 60; i++) await depot.append(`${"abc"[i % 3]}${i}`);
  const kept = Array.from({ length: 60 }, (_, i) => `${"abc"[i % 3]}${i}`).filter((word) => !word.startsWith("b"));
  await m.waitForProcessed("mb", 60);
  await m.update(noting(["loud", loud], "again"));
  expect(await records(m)).toEqual(kept.map((word) => `${word}!`).sort());
  await m.waitForProcessed("again", 60);
  expect(await everything(m, "$$again")).toEqual(Object.fromEntries(kept.map((word) => [`${word}!`, 1])));

  expect(await depot.append("new")).toEqual({});
  expect(await depot.append("bad")).toEqual({});
  await m.waitForProcessed("mb", 62);
  expect((await everything(m, "$$stream"))["new!"]).toBe(1);
  expect((await everything(m, "$$mb"))["new!"]).toBe(1);
  expect(Object.keys(await everything(m, "$$stream")).filter((word) => word.startsWith("bad"))).toEqual([]);
  let total = 0;
  for (let partition = 0; partition < size.tasks; partition++)
    total += (await depot.getPartitionInfo(partition)).endOffset;
  expect(total).toBe(62);

  await m.update(noting(["loud", loud], "again"));
  await ipc.waitForMigrations(m.name);
  const wanted = [...kept.map((word) => `${word}!`), "new!"].sort();
  expect(await records(m)).toEqual(wanted);
  await m.update(noting(undefined, "again", "after"));
  expect(await records(m)).toEqual(wanted);
  await m.waitForProcessed("after", 62);
  expect(await everything(m, "$$after")).toEqual(Object.fromEntries(wanted.map((word) => [word, 1])));
  expect(await depot.append("plain")).toEqual({});
  expect((await records(m)).includes("plain")).toBe(true);
}, 30_000);

test("an append that the migration cannot map is refused and not stored; old records that it cannot map hold their readers until an update mends it", async () => {
  await using ipc = await InProcessCluster.create();
  const m = await ipc.launchModule(noting(), size);
  const depot = m.depot("*words");
  await depot.append("old");
  const picky = (record: unknown) => {
    if (record === "old" || record === "odd") throw new Error(`no ${record}`);
    return record;
  };
  await m.update(noting(["picky", picky], "again"));
  await expect(depot.append("odd")).rejects.toMatchObject({ code: "USER_CODE_FAILED" });
  const { endOffset } = await depot.getPartitionInfo(await partitionOf(m, "old"));
  await expect(depot.read(await partitionOf(m, "old"), 0, endOffset)).rejects.toThrow("migration picky threw: no old");
  await expect(m.update(noting(undefined, "again"))).rejects.toThrow("still running");
  await m.update(noting(["mended", (record) => `${record}?`], "again"));
  await m.waitForProcessed("again", 1);
  expect(await everything(m, "$$again")).toEqual({ "old?": 1 });
  await ipc.waitForMigrations(m.name);
  await m.update(noting(undefined, "again"));
  expect(await records(m)).toEqual(["old?"]);
}, 30_000);

async function partitionOf(m: any, _word: string): Promise<number> {
  for (let partition = 0; partition < size.tasks; partition++)
    if ((await m.depot("*words").getPartitionInfo(partition)).endOffset > 0) return partition;
  throw new Error("no partition has records");
}
