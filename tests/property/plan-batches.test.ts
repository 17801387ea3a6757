// Generated microbatches with batch blocks, three ways: compiled on tasks of two workers, interpreted from the same plan (oracles/plan-interpreter.ts), and as plain
// TypeScript over arrays: joins of every kind, filters, reads of PStates, groups, sub-batches with limits, aggregation into PStates, writes after it.
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  expr,
  LimitAgg,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  SubBatch,
  type Topologies,
  type ValueVar,
} from "rama";
import { InProcessCluster } from "rama/test";
import { taskOf } from "../../src/base/hash.ts";
import { defineModule } from "../../src/module/build.ts";
import { PlainModule } from "../oracles/plan-interpreter.ts";

const tasks = 4;
type Row = readonly [k: number, n: number];
const joins = ["none", "inner", "left", "right", "full"] as const;

interface Program {
  readonly join: (typeof joins)[number];
  /** The other side of the join. */
  readonly others: readonly Row[];
  readonly least: number;
  /** Adds what $$known has for the key. */
  readonly reads: boolean;
  readonly twice: boolean;
  readonly best: number;
}
interface Case {
  readonly program: Program;
  readonly known: readonly Row[];
  /** Two microbatches. */
  readonly slices: readonly (readonly Row[])[];
}

const key = fc.integer({ min: 0, max: 4 });
const rows = (maxLength: number) => fc.array(fc.tuple(key, fc.integer({ min: -5, max: 5 })), { maxLength });
const program: fc.Arbitrary<Program> = fc.record({
  join: fc.constantFrom(...joins),
  others: rows(5),
  least: fc.integer({ min: -6, max: 2 }),
  reads: fc.boolean(),
  twice: fc.boolean(),
  best: fc.integer({ min: 0, max: 3 }),
});
const cases: fc.Arbitrary<Case> = fc.record({
  program,
  known: rows(5),
  slices: fc.array(
    rows(8).filter((slice) => slice.length > 0),
    { minLength: 2, maxLength: 2 },
  ),
});

// ---- plain TypeScript

class Plain {
  readonly known = new Map<number, number>();
  readonly totals = new Map<number, number>();
  readonly groups = new Map<number, unknown>();
  best: unknown = null;

  know([k, n]: Row): void {
    this.known.set(k, n);
  }

  run(p: Program, slice: readonly Row[]): void {
    const source = p.twice
      ? slice.flatMap(([k, n]): Row[] => [
          [k, n],
          [k, n + 1],
        ])
      : slice;
    const kept = source
      .filter(([, n]) => n >= p.least)
      .map(([k, n]): Row => [k, p.reads ? n + (this.known.get(k) ?? 0) : n]);
    const joined = joinRows(kept, p);
    for (const [k, sum] of joined) this.totals.set(k, (this.totals.get(k) ?? 0) + sum);
    const keys = [...new Set(joined.map(([k]) => k))];
    const groups = keys.map((k) => {
      const own = joined.filter(([other]) => other === k).map(([, sum]) => sum);
      return [
        k,
        own.length,
        own.reduce((a, b) => a + b),
        Math.min(...own),
        [...new Set(own)].toSorted((a, b) => a - b),
      ] as const;
    });
    for (const [k, count, sum, least, set] of groups) this.groups.set(k, [count, sum, least, set]);
    const order = groups.toSorted((a, b) => b[2] - a[2] || b[0] - a[0]);
    this.best = order.slice(0, p.best).map(([k, , sum]) => [k, sum]);
  }

  dump(): unknown {
    const sorted = <T>(map: ReadonlyMap<number, T>) => [...map].toSorted(([a], [b]) => a - b);
    return { totals: sorted(this.totals), groups: sorted(this.groups), best: this.best };
  }
}

/** Key and sum of both sides, null counting as 0. */
function joinRows(left: readonly Row[], { join, others }: Program): Row[] {
  if (join === "none") return [...left];
  const found: Row[] = [];
  for (const [k, n] of left) {
    const partners = others.filter(([other]) => other === k);
    for (const [, m] of partners) found.push([k, n + m]);
    if (partners.length === 0 && (join === "left" || join === "full")) found.push([k, n]);
  }
  if (join === "right" || join === "full")
    for (const [k, m] of others) if (!left.some(([other]) => other === k)) found.push([k, m]);
  return found;
}

// ---- the same as a module

/** Rows `*k`, `*sum`. */
function joinedBlock(p: Program, known: `$$${string}`): Block {
  const side = (name: string, optional: boolean): ValueVar => `${optional ? "**" : "*"}${name}` as ValueVar;
  const left = side("n", p.join === "right" || p.join === "full");
  const right = side("m", p.join === "left" || p.join === "full");
  let block = Block.explodeMicrobatch("*mb").out({ k: "*k", n: "*___n0" });
  if (p.twice)
    block = block
      .each(function* (n: number) {
        yield n;
        yield n + 1;
      }, "*___n0")
      .out("*___n1");
  else block = block.each(Ops.IDENTITY, "*___n0").out("*___n1");
  block = block.keepTrue(expr(Ops.GREATER_THAN_OR_EQUAL, "*___n1", p.least));
  if (p.reads)
    block = block
      .hashPartition("*k")
      .localSelect(known, Path.key("*k").nullToVal(0))
      .out("*___known")
      .each(Ops.PLUS, "*___n1", "*___known")
      .out(left);
  else block = block.each(Ops.IDENTITY, "*___n1").out(left);
  if (p.join === "none") return block.each(Ops.IDENTITY, left).out("*sum");
  return block
    .freshBatchSource()
    .each(Ops.EXPLODE, p.others)
    .out("*___other")
    .each(Ops.EXPAND, "*___other")
    .out("*k", right)
    .each((n: number | null, m: number | null) => (n ?? 0) + (m ?? 0), left, right)
    .out("*sum");
}

function moduleOf(programs: readonly Program[]): new () => RamaModule {
  return class Batches extends RamaModule {
    define(setup: Setup, topologies: Topologies): void {
      programs.forEach((p, i) => {
        setup.declareDepot(`*d${i}`, Depot.hashBy("k"));
        setup.declareDepot(`*known${i}`, Depot.hashBy(Ops.FIRST));
        const s = topologies.stream(`s${i}`);
        s.pstate(`$$known${i}`, PState.mapSchema(Number, Number));
        s.source(`*known${i}`).out(["*k", "*n"]).localTransform(`$$known${i}`, Path.key("*k").termVal("*n"));
        const mb = topologies.microbatch(`mb${i}`);
        mb.pstate(`$$totals${i}`, PState.mapSchema(Number, Number));
        mb.pstate(`$$groups${i}`, PState.mapSchema(Number, Array));
        mb.pstate(`$$best${i}`, Array).global();
        mb.pstate(`$$runs${i}`, Number).global().initialValue(0);
        const joined = () => joinedBlock(p, `$$known${i}`);
        mb.source(`*d${i}`)
          .out("*mb")
          .agg(`$$runs${i}`, Agg.count())
          .batchBlock(
            joined()
              .hashPartition("*k")
              .compoundAgg(`$$totals${i}`, CompoundAgg.map("*k", Agg.sum("*sum"))),
          )
          .batchBlock(
            joined()
              .groupBy(
                "*k",
                Block.agg(Agg.count())
                  .out("*count")
                  .agg(Agg.sum("*sum"))
                  .out("*total")
                  .agg(Agg.min("*sum"))
                  .out("*least")
                  .agg(Agg.set("*sum"))
                  .out("*set"),
              )
              .each((set: Set<number>) => [...set].toSorted((a, b) => a - b), "*set")
              .out("*values")
              .localTransform(
                `$$groups${i}`,
                Path.key("*k").termVal(expr(Ops.TUPLE, "*count", "*total", "*least", "*values")),
              ),
          )
          .batchBlock(
            Block.subBatch(
              new SubBatch(joined().groupBy("*k", Block.agg(Agg.sum("*sum")).out("*total")), "*k", "*total"),
            )
              .out("*k", "*total")
              .globalPartition()
              .limitAgg(LimitAgg.create(p.best, "*k", "*total").sort("*total", "*k").reverse())
              .each(Ops.TUPLE, "*k", "*total")
              .out("*pair")
              .materialize("*pair")
              .out("$$pairs"),
          )
          .batchBlock(
            Block.explodeMaterialized("$$pairs")
              .out("*pair")
              .globalPartition()
              .agg(Agg.list("*pair"))
              .out("*best")
              .localTransform(`$$best${i}`, Path.termVal("*best")),
          );
      });
    }
  };
}

test("compiled, interpreted and plain give the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(cases, { minLength: 5, maxLength: 5 }), async (all) => {
      const type = moduleOf(all.map((each) => each.program));
      const wanted = all.map(({ program: p, known, slices }) => {
        const plain = new Plain();
        plain.run(p, []);
        for (const row of known) plain.know(row);
        return slices.map((slice) => {
          plain.run(p, slice);
          return plain.dump();
        });
      });
      const definition = defineModule(type);
      const module = new PlainModule(definition, tasks);
      const topology = (name: string) => definition.topologies.findIndex((each) => each.name === name);
      const sorted = <T>(entries: Iterable<readonly [number, T]>) => [...entries].toSorted(([a], [b]) => a - b);
      for (const [i, { known, slices }] of all.entries()) {
        module.microbatch(topology(`mb${i}`), 0, []);
        for (const row of known) module.record(topology(`s${i}`), 0, row, taskOf(row[0], tasks));
        for (const [at, slice] of slices.entries()) {
          const byTask = Array.from({ length: tasks }, (_, task) =>
            slice.filter(([k]) => taskOf(k, tasks) === task).map(([k, n]) => ({ k, n })),
          );
          module.microbatch(topology(`mb${i}`), 0, byTask);
          expect({
            totals: sorted(module.entries(`$$totals${i}`) as [number, number][]),
            groups: sorted(module.entries(`$$groups${i}`) as [number, unknown][]),
            best: module.value(`$$best${i}`),
          }).toEqual(wanted[i]![at] as never);
        }
      }
      await using ipc = await InProcessCluster.create();
      const handle = await ipc.launchModule(type, { tasks, threads: 2, workers: 2 });
      for (const [i, { program: p, known, slices }] of all.entries()) {
        const value = async (name: string, path = Path.stay()) => handle.pstate(`$$${name}${i}`).selectOne(path);
        const plain = new Plain();
        // Right and full joins have rows in empty microbatches too; how many of them there were is counted while nothing runs.
        let runs = 0;
        const catchUp = async () => {
          await handle.pause(`mb${i}`);
          for (const now = (await value("runs")) as number; runs < now; runs++) plain.run(p, []);
        };
        let processed = 0;
        await catchUp();
        for (const row of known) {
          plain.know(row);
          await handle.depot(`*known${i}`).append(row);
        }
        for (const slice of slices) {
          for (const [k, n] of slice) await handle.depot(`*d${i}`).append({ k, n });
          await handle.resume(`mb${i}`);
          processed += slice.length;
          await handle.waitForProcessed(`mb${i}`, processed);
          runs++;
          plain.run(p, slice);
          await catchUp();
          const { totals, groups, best } = plain.dump() as {
            totals: Row[];
            groups: [number, unknown][];
            best: unknown;
          };
          for (const [k, total] of totals) expect([k, await value("totals", Path.key(k))]).toEqual([k, total]);
          for (const [k, group] of groups) expect([k, await value("groups", Path.key(k))]).toEqual([k, group]);
          expect(await value("best")).toEqual(best);
        }
      }
    }),
    { numRuns: 6 },
  );
}, 60_000);
