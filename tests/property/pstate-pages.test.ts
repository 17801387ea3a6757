// Ranges over structures much larger than the cache, while they change: what comes from pages of the cache must be what was written, whichever nodes have left
// memory meanwhile. Guards against pages that are older than a node which is gone.
import { expect, test } from "bun:test";
import type { IndexedMap, IndexRange } from "../../src/paths/indexed.ts";
import { ReadSession } from "../../src/paths/indexed.ts";
import { leaf, map, openOne } from "../unit/pstate/one-partition.ts";

function generator(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

function expected(model: ReadonlyMap<number, string>, range: IndexRange): [number, string][] {
  const from = (range.from as number | undefined) ?? Number.NEGATIVE_INFINITY;
  const to = (range.to as number | undefined) ?? Number.POSITIVE_INFINITY;
  const all = [...model].filter(([key]) => key >= from && key < to).sort(([a], [b]) => a - b);
  const { limit } = range;
  if (limit === undefined) return all;
  return range.reverse ? all.slice(Math.max(0, all.length - limit)) : all.slice(0, limit);
}

test.each([
  { seed: 1, cacheBytes: 40_000 },
  { seed: 2, cacheBytes: 120_000 },
  { seed: 3, cacheBytes: 400_000 },
  { seed: 4, cacheBytes: 20_000_000 },
])("ranges over a map of thousands say what was written: %o", async ({ seed, cacheBytes }) => {
  const random = generator(seed);
  const schema = map(Number, leaf(String));
  let p = await openOne(schema, { cacheBytes });
  const model = new Map<number, string>();
  const write = (key: number, value: string | undefined) => {
    if (value === undefined) {
      p.own().delete(key);
      model.delete(key);
    } else {
      p.own().set(key, value);
      model.set(key, value);
    }
  };
  for (let key = 0; key < 4000; key++) write(key * 2, `first ${key}`);
  p.commit();
  await p.flush();
  p = await p.reopen();
  for (let step = 0; step < 1200; step++) {
    const what = random(10);
    const key = random(8000);
    if (what < 2) write(key, `step ${step}`);
    else if (what === 2) write(key, undefined);
    else if (what === 3) for (let i = 0; i < 40; i++) p.own().get(random(8000));
    else if (what === 4 && step % 4 === 0) await p.flush();
    else {
      const range: IndexRange = {
        ...(random(8) > 0 && { from: key, hasFrom: true }),
        ...(random(3) === 0 && { to: key + random(600), hasTo: true }),
        ...(random(20) > 0 && { limit: 1 + random(300) }),
        reverse: random(2) === 0,
      };
      p.commit();
      const session = new ReadSession();
      let found = (p.partition.external(session).get() as IndexedMap).range(range);
      for (let round = 0; session.missed; round++) {
        expect(round).toBeLessThan(200);
        await session.load();
        found = (p.partition.external(session).get() as IndexedMap).range(range);
      }
      expect({ step, range, found }).toEqual({ step, range, found: expected(model, range) });
    }
    p.commit();
  }
});
