// Generated programs that read and write PStates, three ways: compiled (over tasks, threads and workers; over LevelDB and over memory), interpreted from the same plan
// (oracles/plan-interpreter.ts), and as plain TypeScript over arrays and Maps. Reads are of PStates that nobody writes meanwhile, writes commute, so that the order of
// branches and events does not matter.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  expr,
  LoopVars,
  Ops,
  Path,
  PState,
  RamaModule,
  type Setup,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";
import { taskOf } from "../../src/base/hash.ts";
import { compileModule } from "../../src/dataflow/compile.ts";
import { defineModule } from "../../src/module/build.ts";
import { bunDisk } from "../../src/storage/disk-bun.ts";
import { levelKv } from "../../src/storage/kv-level.ts";
import { append, invoke, openHand, realWorld } from "../cluster/engine-harness.ts";
import { PlainModule } from "../oracles/plan-interpreter.ts";

type Var = `*${string}`;
type Operand = Var | number;
type Statement =
  | { kind: "bind"; out: Var; op: "PLUS" | "MINUS"; args: [Operand, Operand] }
  | { kind: "explode"; out: Var; list: number[] }
  | { kind: "keep"; less: Operand; than: Operand }
  | { kind: "if"; less: Operand; than: Operand; yes: Statement[]; no: Statement[] }
  | { kind: "loop"; index: Var; times: number; body: Statement[] }
  | { kind: "all" }
  | { kind: "read"; key: Operand; out: Var }
  | { kind: "range"; key: Operand; from: Operand; out: Var }
  | { kind: "sum" | "deep" | "set"; key: Operand; sub: Operand; value: Operand };

const tasks = 4;
interface Filled {
  readonly k: number;
  readonly sub: number;
  readonly n: number;
}
interface RecordValue {
  readonly k: number;
  readonly n: number;
}

// ---- generating

class Source {
  #vars = 0;
  constructor(readonly pick: (max: number) => number) {}
  operand(scope: readonly Var[]): Operand {
    return this.pick(4) === 0 ? this.pick(7) - 3 : scope[this.pick(scope.length)]!;
  }
  fresh(): Var {
    return `*v${this.#vars++}`;
  }
}

function statements(source: Source, scope: readonly Var[], depth: number): Statement[] {
  const list: Statement[] = [];
  const now = [...scope];
  for (let left = 2 + source.pick(4); left > 0; left--) {
    const made = statement(source, now, depth);
    list.push(made);
    if ("out" in made) now.push(made.out);
  }
  return list;
}

function statement(source: Source, now: readonly Var[], depth: number): Statement {
  const operand = () => source.operand(now);
  switch (source.pick(depth > 0 ? 11 : 9)) {
    case 0:
      return {
        kind: "bind",
        out: source.fresh(),
        op: source.pick(2) === 0 ? "PLUS" : "MINUS",
        args: [operand(), operand()],
      };
    case 1:
      return { kind: "explode", out: source.fresh(), list: Array.from({ length: 1 + source.pick(3) }, (_, i) => i) };
    case 2:
      return { kind: "keep", less: operand(), than: 3 };
    case 3:
      return source.pick(4) === 0 ? { kind: "all" } : { kind: "read", key: operand(), out: source.fresh() };
    case 4:
      return { kind: "read", key: operand(), out: source.fresh() };
    case 5:
      return { kind: "range", key: operand(), from: operand(), out: source.fresh() };
    case 6:
    case 7:
    case 8: {
      const kind = (["sum", "deep", "set"] as const)[source.pick(3)]!;
      return { kind, key: operand(), sub: operand(), value: operand() };
    }
    case 9:
      return {
        kind: "if",
        less: operand(),
        than: operand(),
        yes: statements(source, now, depth - 1),
        no: statements(source, now, depth - 1),
      };
    default: {
      const index = source.fresh();
      return { kind: "loop", index, times: source.pick(3), body: statements(source, [...now, index], depth - 1) };
    }
  }
}

const keyOf = (n: number): number => ((n % 5) + 5) % 5;

// ---- plain TypeScript

class Plain {
  readonly reads = new Map<number, number>();
  readonly deepReads = new Map<number, Map<number, number>>();
  readonly sums = new Map<number, number>();
  readonly deep = new Map<number, Map<number, number>>();
  readonly sets = new Map<number, Set<number>>();
  steps = 0;

  fill({ k, sub, n }: Filled): void {
    this.reads.set(k, (this.reads.get(k) ?? 0) + n);
    const inner = this.deepReads.get(k) ?? new Map<number, number>();
    this.deepReads.set(k, inner.set(sub, n));
  }

  run(list: readonly Statement[], env: ReadonlyMap<Var, number>): void {
    if (++this.steps > 4000) throw new RangeError("too much");
    const [s, ...rest] = list;
    if (s === undefined) return;
    const held = (operand: Operand) => (typeof operand === "number" ? operand : env.get(operand)!);
    const next = () => this.run(rest, env);
    const withBound = (name: Var, value: number) => this.run(rest, new Map(env).set(name, value));
    switch (s.kind) {
      case "bind": {
        const [a, b] = [held(s.args[0]), held(s.args[1])];
        return withBound(s.out, s.op === "PLUS" ? a + b : a - b);
      }
      case "explode":
        for (const each of s.list) withBound(s.out, each);
        return;
      case "keep":
        return held(s.less) < held(s.than) ? next() : undefined;
      case "if":
        // What the branches bind is not used after them.
        return this.run([...(held(s.less) < held(s.than) ? s.yes : s.no), ...rest], env);
      case "loop":
        for (let i = 0; i < s.times; i++) this.run(s.body, new Map(env).set(s.index, i));
        return next();
      case "all":
        for (let task = 0; task < tasks; task++) next();
        return;
      case "read":
        return withBound(s.out, this.reads.get(keyOf(held(s.key))) ?? 0);
      case "range": {
        const inner = this.deepReads.get(keyOf(held(s.key))) ?? new Map<number, number>();
        const found = [...inner].filter(([sub]) => sub >= held(s.from)).toSorted(([a], [b]) => a - b);
        for (const [, n] of found.slice(0, 2)) withBound(s.out, n);
        return;
      }
      case "sum": {
        const key = keyOf(held(s.key));
        this.sums.set(key, (this.sums.get(key) ?? 0) + held(s.value));
        return next();
      }
      case "deep": {
        const key = keyOf(held(s.key));
        const inner = this.deep.get(key) ?? new Map<number, number>();
        this.deep.set(key, inner.set(held(s.sub), (inner.get(held(s.sub)) ?? 0) + held(s.value)));
        return next();
      }
      case "set": {
        const key = keyOf(held(s.key));
        this.sets.set(key, (this.sets.get(key) ?? new Set()).add(held(s.value)));
        return next();
      }
    }
  }

  dump(): unknown {
    const sorted = (each: Iterable<readonly [number, number]>) => [...each].toSorted(([a], [b]) => a - b);
    return {
      sums: sorted(this.sums),
      deep: [...this.deep].toSorted(([a], [b]) => a - b).map(([k, inner]) => [k, sorted(inner)]),
      sets: [...this.sets].toSorted(([a], [b]) => a - b).map(([k, inner]) => [k, [...inner].toSorted((a, b) => a - b)]),
    };
  }
}

// ---- the same as a module

/** The `i`th program's own names. */
const named = (i: number) =>
  ({
    reads: `$$reads${i}`,
    deepReads: `$$deepReads${i}`,
    sums: `$$sums${i}`,
    deep: `$$deep${i}`,
    sets: `$$sets${i}`,
  }) as const;
type Names = ReturnType<typeof named>;

function build(block: Block, list: readonly Statement[], names: Names, id: { next: number }): Block {
  return list.reduce((each, s) => add(each, s, names, id), block);
}

function add(block: Block, s: Statement, names: Names, id: { next: number }): Block {
  const body = (list: readonly Statement[]) => build(Block.create(), list, names, id);
  const at = (key: Operand): [Block, Var] => {
    const name: Var = `*key${id.next++}`;
    return [block.each(keyOf, key).out(name).hashPartition(name), name];
  };
  switch (s.kind) {
    case "bind":
      return block.each(Ops[s.op], ...s.args).out(s.out);
    case "explode":
      return block.each(Ops.EXPLODE, s.list).out(s.out);
    case "keep":
      return block.keepTrue(expr(Ops.LESS_THAN, s.less, s.than));
    case "if":
      return block.ifTrue(expr(Ops.LESS_THAN, s.less, s.than), body(s.yes), body(s.no));
    case "loop":
      return looped(block, s, body(s.body), id);
    case "all":
      return block.allPartition();
    case "read": {
      const [there, key] = at(s.key);
      return there.localSelect(names.reads, Path.key(key).nullToVal(0)).out(s.out);
    }
    case "range": {
      const [there, key] = at(s.key);
      return there
        .localSelect(names.deepReads, Path.key(key).sortedMapRangeFrom(s.from, { maxAmt: 2 }).mapVals())
        .out(s.out);
    }
    case "sum": {
      const [there, key] = at(s.key);
      return there.compoundAgg(names.sums, CompoundAgg.map(key, Agg.sum(s.value)));
    }
    case "deep": {
      const [there, key] = at(s.key);
      return there.localTransform(names.deep, Path.key(key).key(s.sub).nullToVal(0).term(Ops.PLUS, s.value));
    }
    case "set": {
      const [there, key] = at(s.key);
      return there.localTransform(names.sets, Path.key(key).voidSetElem().termVal(s.value));
    }
  }
}

/** The body runs in a branch, the code after the loop once. */
function looped(block: Block, s: Statement & { kind: "loop" }, body: Block, id: { next: number }): Block {
  const anchor = `loop${id.next++}`;
  const loop = Block.loopWithVars(
    LoopVars.var(s.index, 0),
    Block.ifTrue(expr(Ops.LESS_THAN, s.index, s.times), Block.emitLoop(s.index).continueLoop(expr(Ops.INC, s.index))),
  ).out(s.index);
  return block.anchor(anchor).branch(anchor, loop.macro(body));
}

function moduleOf(programs: readonly (readonly Statement[])[]): new () => RamaModule {
  return class Programs extends RamaModule {
    define(setup: Setup, topologies: Topologies): void {
      programs.forEach((list, i) => {
        setup.declareDepot(`*fill${i}`, Depot.random());
        setup.declareDepot(`*d${i}`, Depot.random());
        const names = named(i);
        const numbers = PState.mapSchema(Number, Number);
        const s = topologies.stream(`s${i}`);
        s.pstate(names.reads, numbers);
        s.pstate(names.deepReads, PState.mapSchema(Number, numbers.subindexed()));
        s.pstate(names.sums, numbers);
        s.pstate(names.deep, PState.mapSchema(Number, numbers.subindexed()));
        s.pstate(names.sets, PState.mapSchema(Number, PState.setSchema(Number).subindexed()));
        s.source(`*fill${i}`)
          .out({ k: "*k", sub: "*sub", n: "*n" })
          .hashPartition("*k")
          .compoundAgg(names.reads, CompoundAgg.map("*k", Agg.sum("*n")))
          .localTransform(names.deepReads, Path.key("*k").key("*sub").termVal("*n"));
        build(s.source(`*d${i}`).out({ k: "*k", n: "*n" }), list, names, { next: 0 });
        const dumped = (name: string, pstate: `$$${string}`, rest: Path) =>
          topologies
            .query(`${name}${i}`)
            .out("*r")
            .allPartition()
            .localSelect(pstate, Path.mapKeys())
            .out("*k")
            .localSelect(pstate, Path.key("*k").append(rest))
            .out("*v")
            .each(Ops.TUPLE, "*k", "*v")
            .out("*t")
            .originPartition()
            .agg(Agg.list("*t"))
            .out("*r");
        dumped("sums", names.sums, Path.stay());
        dumped("deep", names.deep, Path.sortedMapRangeFrom(-1_000_000));
        dumped("sets", names.sets, Path.sortedSetRangeFrom(-1_000_000));
      });
    }
  };
}

/** What the three dump queries of a program answer. */
async function dumpBy(i: number, ask: (query: string) => unknown): Promise<unknown> {
  const rows = async (query: string) =>
    ((await ask(`${query}${i}`)) as [number, unknown][]).toSorted(([a], [b]) => a - b);
  const spread = (list: [number, unknown][]) => list.map(([k, inner]) => [k, [...(inner as Iterable<unknown>)]]);
  return { sums: await rows("sums"), deep: spread(await rows("deep")), sets: spread(await rows("sets")) };
}

// ---- properties

interface Case {
  readonly list: Statement[];
  readonly fills: readonly Filled[];
  readonly records: readonly RecordValue[];
  readonly wanted: unknown;
}

const small = fc.integer({ min: 0, max: 4 });
const number = fc.integer({ min: -4, max: 4 });
const cases = fc
  .tuple(
    fc.array(fc.nat(10_000), { minLength: 20, maxLength: 60 }),
    fc.array(fc.record({ k: small, sub: number, n: number }), { maxLength: 8 }),
    fc.array(fc.record({ k: small, n: number }), { minLength: 1, maxLength: 4 }),
  )
  .map(([seed, fills, records]): Case | undefined => {
    let at = 0;
    const source = new Source((max) => (seed[at++ % seed.length]! + at * 7) % max);
    const list = statements(source, ["*k", "*n"], 2);
    const plain = new Plain();
    for (const each of fills) plain.fill(each);
    try {
      for (const { k, n } of records) {
        plain.run(
          list,
          new Map<Var, number>([
            ["*k", k],
            ["*n", n],
          ]),
        );
      }
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
    return { list, fills, records, wanted: plain.dump() };
  });
const several = (length: number) =>
  fc
    .array(cases, { minLength: length, maxLength: length })
    .map((all) => all.filter((each): each is Case => each !== undefined));

/** Depots and topologies by their place in the definition. */
async function interpreted(module: PlainModule, all: readonly Case[]): Promise<unknown[]> {
  const topology = (name: string) => module.definition.topologies.findIndex((each) => each.name === name);
  const dumps: unknown[] = [];
  for (const [i, { fills, records }] of all.entries()) {
    for (const fill of fills) module.record(topology(`s${i}`), 0, fill, 1);
    for (const [at, record] of records.entries()) module.record(topology(`s${i}`), 1, record, at % tasks);
    dumps.push(await dumpBy(i, (query) => module.query(topology(query), [])[0]));
  }
  return dumps;
}

test("compiled on a cluster of two workers, interpreted and plain give the same", async () => {
  await fc.assert(
    fc.asyncProperty(several(10), async (all) => {
      const type = moduleOf(all.map(({ list }) => list));
      const wanted = all.map((each) => each.wanted);
      expect(await interpreted(new PlainModule(defineModule(type), tasks), all)).toEqual(wanted);
      await using ipc = await InProcessCluster.create();
      const handle = await ipc.launchModule(type, { tasks, threads: 2, workers: 2 });
      for (const [i, { fills, records }] of all.entries()) {
        for (const fill of fills) await handle.depot(`*fill${i}`).append(fill);
        for (const record of records) await handle.depot(`*d${i}`).append(record);
        expect(await dumpBy(i, (query) => handle.query(query).invoke())).toEqual(wanted[i]);
      }
    }),
    { numRuns: 8 },
  );
}, 60_000);

test("over LevelDB and a real disk, opened again, the same as over memory", async () => {
  const root = mkdtempSync(join(tmpdir(), "rama-plans-"));
  let runs = 0;
  try {
    await fc.assert(
      fc.asyncProperty(several(6), async (all) => {
        const module = compileModule(defineModule(moduleOf(all.map(({ list }) => list))));
        const { definition } = module;
        const depot = (name: string) => definition.depots.findIndex((each) => each.name === name);
        const query = (name: string) => definition.topologies.findIndex((each) => each.name === name);
        const memory = realWorld();
        const disk = { env: memory.env, disk: bunDisk(), kv: levelKv() };
        const dumps: unknown[][] = [];
        for (const [world, dir] of [
          [memory, "/engine"],
          [disk as unknown as typeof memory, join(root, String(runs++))],
        ] as const) {
          let engine = await openHand(world, module, { tasks, dir });
          for (const [i, { fills, records }] of all.entries()) {
            for (const fill of fills)
              await append(engine, taskOf(fill.k, tasks), [fill], { depot: depot(`*fill${i}`) });
            for (const [at, record] of records.entries())
              await append(engine, at % tasks, [record], { depot: depot(`*d${i}`) });
          }
          await engine.close();
          engine = await openHand(world, module, { tasks, dir });
          const found: unknown[] = [];
          for (const i of all.keys()) found.push(await dumpBy(i, (name) => invoke(engine, query(name), [])));
          dumps.push(found);
          await engine.close();
        }
        expect(dumps).toEqual([all.map((each) => each.wanted), all.map((each) => each.wanted)]);
      }),
      { numRuns: 5 },
    );
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}, 60_000);
