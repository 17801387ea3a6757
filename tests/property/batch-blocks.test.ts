// Generated batch blocks give what the same computation over plain arrays gives: joins of every kind, groups, limits, sub-batches; detached, and spread over the
// tasks of two engines.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Agg, Block, LimitAgg, Ops, RamaModule, type Setup, SubBatch, type Topologies, type ValueVar } from "rama";
import { InProcessCluster } from "rama/test";

type Row = readonly [key: unknown, value: number];

const key = fc.oneof(fc.constantFrom("a", "b", "c", null), fc.integer({ min: 0, max: 3 }), fc.constant([1, "x"]));
const rows = fc.array(fc.tuple(key, fc.integer({ min: -5, max: 5 })), { maxLength: 12 });
const joins = ["inner", "left", "right", "full"] as const;
type Join = (typeof joins)[number];

const text = (value: unknown) => JSON.stringify(value);

/** [key, value of the left or null, value of the right or null] */
function joined(left: readonly Row[], right: readonly Row[], kind: Join): unknown[][] {
  const found: unknown[][] = [];
  for (const [k, v] of left) {
    const partners = right.filter(([other]) => text(other) === text(k));
    for (const [, w] of partners) found.push([k, v, w]);
    if (partners.length === 0 && (kind === "left" || kind === "full")) found.push([k, v, null]);
  }
  if (kind === "right" || kind === "full") {
    for (const [k, w] of right) if (!left.some(([other]) => text(other) === text(k))) found.push([k, null, w]);
  }
  return found;
}

/** Sum of both sides and count per key. */
function grouped(found: readonly unknown[][]): unknown[][] {
  const groups = new Map<string, unknown[]>();
  for (const [k, v, w] of found) {
    const group = groups.get(text(k)) ?? [k, 0, 0];
    groups.set(text(k), [
      k,
      (group[1] as number) + ((v as number) ?? 0) + ((w as number) ?? 0),
      (group[2] as number) + 1,
    ]);
  }
  return [...groups.values()];
}

const sorted = (list: readonly unknown[][]) => list.map(text).toSorted();

/** The vars of the optional side are unground. */
function sides(kind: Join): { v: ValueVar; w: ValueVar } {
  return {
    v: kind === "right" || kind === "full" ? "**v" : "*v",
    w: kind === "left" || kind === "full" ? "**w" : "*w",
  };
}

function source(list: readonly Row[] | ValueVar, value: ValueVar, n: number): Block {
  const row = `*___row${n}` as ValueVar;
  return Block.each(Ops.EXPLODE, list).out(row).each(Ops.EXPAND, row).out("*k", value);
}

function joinBlock(left: readonly Row[] | ValueVar, right: readonly Row[] | ValueVar, kind: Join): Block {
  const { v, w } = sides(kind);
  return source(left, v, 0)
    .freshBatchSource()
    .macro(source(right, w, 1))
    .each(Ops.TUPLE, v, w)
    .out("*pair");
}

const totals = Block.agg(Agg.sum("*both")).out("*sum").agg(Agg.count()).out("*count");

function groupBlock(left: readonly Row[] | ValueVar, right: readonly Row[] | ValueVar, kind: Join): Block {
  return joinBlock(left, right, kind)
    .each(([v, w]: (number | null)[]) => (v ?? 0) + (w ?? 0), "*pair")
    .out("*both")
    .groupBy("*k", totals);
}

async function collect(block: Block, ...vars: ValueVar[]): Promise<unknown[][]> {
  const seen: unknown[][] = [];
  await Block.batchBlock(block.each((...row: unknown[]) => void seen.push(row), ...vars)).execute();
  return seen;
}

test("joins of every kind, detached", () =>
  fc.assert(
    fc.asyncProperty(rows, rows, fc.constantFrom(...joins), async (left, right, kind) => {
      const found = await collect(joinBlock(left, right, kind), "*k", "*pair");
      expect(sorted(found.map(([k, pair]) => [k, ...(pair as unknown[])]))).toEqual(sorted(joined(left, right, kind)));
    }),
    { numRuns: 150 },
  ));

test("groups over joins, and their best by a limit, detached", () =>
  fc.assert(
    fc.asyncProperty(
      rows,
      rows,
      fc.constantFrom(...joins),
      fc.integer({ min: 0, max: 4 }),
      async (left, right, kind, n) => {
        const wanted = grouped(joined(left, right, kind));
        const found = await collect(groupBlock(left, right, kind), "*k", "*sum", "*count");
        expect(sorted(found)).toEqual(sorted(wanted));
        const limited = Block.subBatch(new SubBatch(groupBlock(left, right, kind), "*k", "*sum", "*count"))
          .out("*k", "*sum", "*count")
          .limitAgg(LimitAgg.create(n, "*sum").sort("*sum").reverse().indexVar("*rank"));
        const best = wanted.map((row) => row[1] as number).toSorted((a, b) => b - a);
        expect(await collect(limited, "*rank", "*sum")).toEqual(best.slice(0, n).map((sum, rank) => [rank, sum]));
      },
    ),
    { numRuns: 100 },
  ));

class Joining extends RamaModule {
  define(_setup: Setup, topologies: Topologies) {
    for (const kind of joins) {
      topologies
        .query(kind, "*left", "*right")
        .out("*r")
        .subBatch(new SubBatch(groupBlock("*left", "*right", kind), "*k", "*sum", "*count"))
        .out("*k", "*sum", "*count")
        .each(Ops.TUPLE, "*k", "*sum", "*count")
        .out("*row")
        .originPartition()
        .agg(Agg.list("*row"))
        .out("*r");
    }
  }
}

test("groups over joins, over the tasks of two engines", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(Joining, { tasks: 8, threads: 4, workers: 2 });
  await fc.assert(
    fc.asyncProperty(rows, rows, fc.constantFrom(...joins), async (left, right, kind) => {
      const found = (await module.query(kind).invoke(left, right)) as unknown[][];
      expect(sorted(found)).toEqual(sorted(grouped(joined(left, right, kind))));
    }),
    { numRuns: 150 },
  );
});
