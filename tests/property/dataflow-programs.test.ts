// Random blocks against an interpreter of the same program: detached, and in a stream topology with partitioners strewn in. What the program shows to the
// outside must be the same multiset, for order between branches and tasks is not promised.
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  Block,
  Case,
  Depot,
  emitStream,
  expr,
  LoopVars,
  type Op,
  Ops,
  RamaModule,
  type Setup,
  type Topologies,
} from "rama";
import { InProcessCluster } from "rama/test";

type Var = `*${string}`;
type Operand = Var | number;
type Condition = { op: "lt" | "eq" | "odd"; a: Operand; b: Operand };
type Statement =
  | { kind: "bind"; out: Var; op: "PLUS" | "TIMES" | "IDENTITY"; args: Operand[] }
  | { kind: "explode"; out: Var; list: number[] }
  | { kind: "streams"; a: Var; b: Var; from: Operand; id: number }
  | { kind: "keep"; condition: Condition }
  | { kind: "show"; vars: Var[]; tag: number }
  | { kind: "if"; condition: Condition; yes: Statement[]; otherwise: Statement[] | undefined }
  | { kind: "cond"; cases: { condition: Condition | true; body: Statement[] }[] }
  | { kind: "loop"; index: Var; acc: Var; times: number; body: Statement[]; step: Operand; out: Var }
  | { kind: "atomic"; body: Statement[] }
  | { kind: "unify"; left: Statement[]; right: Statement[]; id: number }
  | { kind: "branch"; body: Statement[]; id: number }
  | { kind: "move"; to: "hash" | "direct" | "shuffle" | "global" | "all"; by: Operand };

const tasks = 4;
const names: Var[] = ["*a", "*b", "*c", "*d"];

// ---- generating: only vars in scope are used

class Source {
  ids = 0;
  constructor(readonly pick: (max: number) => number) {}
  one<T>(list: readonly T[]): T {
    return list[this.pick(list.length)]!;
  }
  operand(scope: ReadonlySet<Var>): Operand {
    return this.pick(3) === 0 ? this.pick(5) : this.one([...scope]);
  }
  condition(scope: ReadonlySet<Var>): Condition {
    return { op: this.one(["lt", "eq", "odd"] as const), a: this.operand(scope), b: this.operand(scope) };
  }
}

/** Vars that the statements bind for certain. */
function binds(list: readonly Statement[]): Set<Var> {
  const bound = new Set<Var>();
  const addCommon = (branches: Statement[][]) => {
    const [first, ...rest] = branches.map(binds);
    for (const name of first ?? []) if (rest.every((each) => each.has(name))) bound.add(name);
  };
  for (const s of list) {
    if (s.kind === "bind" || s.kind === "explode" || s.kind === "loop") bound.add(s.out);
    else if (s.kind === "streams") bound.add(s.b);
    else if (s.kind === "if") addCommon([s.yes, s.otherwise ?? []]);
    else if (s.kind === "cond") addCommon(s.cases.map(({ body }) => body));
    else if (s.kind === "unify") addCommon([s.left, s.right]);
  }
  return bound;
}

function statements(source: Source, scope: ReadonlySet<Var>, depth: number, moves: boolean): Statement[] {
  const list: Statement[] = [];
  const now = new Set(scope);
  const inner = () => statements(source, now, depth - 1, moves);
  for (let left = 1 + source.pick(4); left > 0; left--) {
    const s = statement(source, now, depth, moves, inner);
    list.push(s);
    for (const name of binds([s])) now.add(name);
  }
  return list;
}

function statement(source: Source, now: Set<Var>, depth: number, moves: boolean, inner: () => Statement[]): Statement {
  const kind = source.pick(depth > 0 ? 13 : 7);
  switch (kind) {
    case 0:
    case 1: {
      const op = source.one(["PLUS", "TIMES", "IDENTITY"] as const);
      const args = op === "IDENTITY" ? [source.operand(now)] : [source.operand(now), source.operand(now)];
      return { kind: "bind", out: source.one(names), op, args };
    }
    case 2:
      return { kind: "show", vars: [...now], tag: source.ids++ };
    case 3:
      return { kind: "explode", out: source.one(names), list: Array.from({ length: source.pick(3) + 1 }, (_, i) => i) };
    case 4:
      return moves
        ? {
            kind: "move",
            to: source.one(["hash", "direct", "shuffle", "global", "all"] as const),
            by: source.operand(now),
          }
        : { kind: "show", vars: [...now], tag: source.ids++ };
    case 5:
      return { kind: "keep", condition: source.condition(now) };
    case 6:
      return {
        kind: "streams",
        a: source.one(names),
        b: source.one(names),
        from: source.operand(now),
        id: source.ids++,
      };
    case 7:
      return {
        kind: "if",
        condition: source.condition(now),
        yes: inner(),
        otherwise: source.pick(3) === 0 ? undefined : inner(),
      };
    case 8: {
      const cases = [0, 1].map(() => ({ condition: source.condition(now) as Condition | true, body: inner() }));
      return { kind: "cond", cases: [...cases, { condition: true as const, body: inner() }].slice(source.pick(2)) };
    }
    case 9: {
      const [index, acc]: [Var, Var] = [`*i${source.ids}`, `*acc${source.ids++}`];
      const body = statements(source, new Set([...now, index, acc]), depth - 1, moves);
      const after = new Set([...now, index, acc, ...binds(body)]);
      return {
        kind: "loop",
        index,
        acc,
        times: source.pick(4),
        body,
        step: source.operand(after),
        out: source.one(names),
      };
    }
    case 10:
      return { kind: "atomic", body: inner() };
    case 11:
      return { kind: "unify", left: inner(), right: inner(), id: source.ids++ };
    default:
      return { kind: "branch", body: inner(), id: source.ids++ };
  }
}

// ---- the interpreter

type Env = ReadonlyMap<Var, number>;
const held = (operand: Operand, env: Env): number => (typeof operand === "number" ? operand : env.get(operand)!);
const wrap = (n: number): number => n % 1009;

function holds({ op, a, b }: Condition, env: Env): boolean {
  const [x, y] = [held(a, env), held(b, env)];
  return op === "lt" ? x < y : op === "eq" ? x === y : x % 2 === 1;
}

/** The env after a join: what every branch binds is the branch's, all else what it was before. */
function joined(before: Env, end: Env, branches: Statement[][]): Env {
  const [first, ...rest] = branches.map(binds);
  const env = new Map(before);
  for (const name of first!) if (rest.every((each) => each.has(name))) env.set(name, end.get(name)!);
  return env;
}

function interpret(list: readonly Statement[], env: Env, show: (text: string) => void, go: (env: Env) => void): void {
  const [s, ...rest] = list;
  if (s === undefined) return go(env);
  const next = (then: Env) => interpret(rest, then, show, go);
  const withBound = (name: Var, value: number) => next(new Map(env).set(name, value));
  switch (s.kind) {
    case "bind": {
      const args = s.args.map((each) => held(each, env));
      const value = s.op === "PLUS" ? args[0]! + args[1]! : s.op === "TIMES" ? wrap(args[0]! * args[1]!) : args[0]!;
      return withBound(s.out, value);
    }
    case "explode":
      for (const each of s.list) withBound(s.out, each);
      return;
    case "streams": {
      const value = held(s.from, env);
      show(`side ${s.id} ${value + 1}`);
      withBound(s.b, value);
      show(`side ${s.id} ${value + 2}`);
      return;
    }
    case "keep":
      return holds(s.condition, env) ? next(env) : undefined;
    case "show":
      show(`${s.tag} ${s.vars.map((name) => env.get(name)).join(" ")}`);
      return next(env);
    case "if": {
      const branches = [s.yes, s.otherwise ?? []];
      const body = branches[holds(s.condition, env) ? 0 : 1]!;
      return interpret(body, env, show, (end) => next(joined(env, end, branches)));
    }
    case "cond": {
      const found = s.cases.find(({ condition }) => condition === true || holds(condition, env));
      if (found === undefined) return;
      const branches = s.cases.map(({ body }) => body);
      return interpret(found.body, env, show, (end) => next(joined(env, end, branches)));
    }
    case "loop": {
      const turn = (index: number, acc: number): void => {
        if (index >= s.times) return;
        const start = new Map(env).set(s.index, index).set(s.acc, acc);
        interpret(s.body, start, show, (end) => {
          withBound(s.out, end.get(s.acc)!);
          turn(index + 1, held(s.step, end));
        });
      };
      return turn(0, 1);
    }
    case "atomic":
      interpret(s.body, env, show, () => {});
      return next(env);
    case "unify": {
      const branches = [s.left, s.right];
      for (const body of branches) interpret(body, env, show, (end) => next(joined(env, end, branches)));
      return;
    }
    case "branch":
      interpret(s.body, env, show, () => {});
      return next(env);
    case "move":
      for (let n = s.to === "all" ? tasks : 1; n > 0; n--) next(env);
      return;
  }
}

// ---- the same as a block

const timesWrapped = (a: number, b: number) => wrap(a * b);

function conditionOf({ op, a, b }: Condition) {
  return op === "lt" ? expr(Ops.LESS_THAN, a, b) : op === "eq" ? expr(Ops.EQUAL, a, b) : expr(Ops.IS_ODD, a);
}

function build(block: Block, list: readonly Statement[], show: (text: string) => void): Block {
  return list.reduce((each, s) => add(each, s, show), block);
}

function add(block: Block, s: Statement, show: (text: string) => void): Block {
  const body = (list: readonly Statement[]) => build(Block.create(), list, show);
  switch (s.kind) {
    case "bind":
      return block.each(s.op === "TIMES" ? timesWrapped : (Ops[s.op] as Op), ...s.args).out(s.out);
    case "explode":
      return block.each(Ops.EXPLODE, s.list).out(s.out);
    case "streams":
      return block
        .each(function* (n: number) {
          yield emitStream("side", n + 1);
          yield n;
          yield emitStream("side", n + 2);
        }, s.from)
        .outStream("side", `side${s.id}`, s.a)
        .out(s.b)
        .branch(
          `side${s.id}`,
          Block.each((n: number) => show(`side ${s.id} ${n}`), s.a),
        );
    case "keep":
      return block.keepTrue(conditionOf(s.condition));
    case "show":
      return block.each((...values: number[]) => show(`${s.tag} ${values.join(" ")}`), ...s.vars);
    case "if":
      return s.otherwise === undefined
        ? block.ifTrue(conditionOf(s.condition), body(s.yes))
        : block.ifTrue(conditionOf(s.condition), body(s.yes), body(s.otherwise));
    case "cond":
      return block.cond(
        ...s.cases.map((each) =>
          Case.create(each.condition === true ? true : conditionOf(each.condition)).macro(body(each.body)),
        ),
      );
    case "loop":
      return block
        .loopWithVars(
          LoopVars.var(s.index, 0).var(s.acc, 1),
          Block.ifTrue(
            expr(Ops.LESS_THAN, s.index, s.times),
            body(s.body).emitLoop(s.acc).continueLoop(expr(Ops.INC, s.index), s.step),
          ),
        )
        .out(s.out);
    case "atomic":
      return block.atomicBlock(body(s.body));
    case "unify":
      return build(
        build(block.anchor(`root${s.id}`), s.left, show)
          .anchor(`left${s.id}`)
          .hook(`root${s.id}`),
        s.right,
        show,
      )
        .anchor(`right${s.id}`)
        .unify(`left${s.id}`, `right${s.id}`);
    case "branch":
      return block.anchor(`at${s.id}`).branch(`at${s.id}`, body(s.body));
    case "move":
      switch (s.to) {
        case "hash":
          return block.hashPartition(s.by);
        case "direct":
          return block.directPartition(expr((n: number) => Math.abs(n) % tasks, s.by));
        case "shuffle":
          return block.shufflePartition();
        case "global":
          return block.globalPartition();
        case "all":
          return block.allPartition();
      }
  }
}

// ---- properties

/** The program of a seed, and what it shows; undefined when it shows too much to be worth running. */
function programOf(seed: readonly number[], moves: boolean): { list: Statement[]; shown: string[] } | undefined {
  let at = 0;
  const source = new Source((max) => (seed[at++ % seed.length]! + at * 7) % max);
  const list: Statement[] = [
    ...statements(source, new Set<Var>(["*a"]), 3, moves),
    { kind: "show", vars: ["*a"], tag: -1 },
  ];
  const shown: string[] = [];
  try {
    interpret(
      list,
      new Map<Var, number>([["*a", 3]]),
      (text) => {
        if (shown.push(text) > 3000) throw new RangeError("too much");
      },
      () => {},
    );
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  return { list, shown };
}

const seeds = fc.array(fc.nat(10_000), { minLength: 20, maxLength: 60 });

test("a detached block shows what the interpreter shows", async () => {
  await fc.assert(
    fc.asyncProperty(seeds, async (seed) => {
      const program = programOf(seed, false);
      if (program === undefined) return;
      const shown: string[] = [];
      await build(Block.each(Ops.IDENTITY, 3).out("*a"), program.list, (text) => void shown.push(text)).execute();
      expect(shown.sort()).toEqual(program.shown.sort());
    }),
    { numRuns: 150 },
  );
});

test("a stream topology shows the same over tasks, threads and workers, whatever moves in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(seeds, { minLength: 15, maxLength: 15 }), async (many) => {
      const programs = many.map((seed) => programOf(seed, true)).filter((each) => each !== undefined);
      const shown = programs.map((): string[] => []);
      class Programs extends RamaModule {
        define(setup: Setup, topologies: Topologies) {
          programs.forEach(({ list }, i) => {
            setup.declareDepot(`*depot${i}`, Depot.random());
            const block = topologies.stream(`s${i}`).source(`*depot${i}`).out("*a");
            build(block, list, (text) => void shown[i]!.push(text));
          });
        }
      }
      await using ipc = await InProcessCluster.create();
      const module = await ipc.launchModule(Programs, { tasks, threads: 2, workers: 2 });
      for (const [i, program] of programs.entries()) {
        await module.depot(`*depot${i}`).append(3);
        expect(shown[i]!.sort()).toEqual(program.shown.sort());
      }
    }),
    { numRuns: 8 },
  );
});
