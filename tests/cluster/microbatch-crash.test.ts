// Microbatches under power cuts at random moments, from seeds: money that moves between tasks (and engines) is neither made nor lost, and every state equals a plain
// fold over the depots. Guards exactly-once over prime, process, prepare, decide and apply. Time is simulated; disk and kv lose what was not synced.
import { expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { decodeValue } from "../../src/base/value-codec.ts";
import { compileModule } from "../../src/dataflow/compile.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { defineModule } from "../../src/module/build.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, entries, openHand, type World } from "./engine-harness.ts";

const tasks = 4;

interface Transfer {
  readonly id: number;
  readonly from: string;
  readonly to: string;
  readonly amt: number;
}

/** Record by record: out of one account, into another one on another task. */
class Bank extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*transfers", Depot.random());
    const mb = topologies.microbatch("bank");
    mb.pstate("$$funds", PState.mapSchema(String, Number));
    mb.pstate("$$seen", PState.mapSchema(Number, Number));
    mb.source("*transfers")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ id: "*id", from: "*from", to: "*to", amt: "*amt" })
      .compoundAgg("$$seen", CompoundAgg.map("*id", Agg.count()))
      .hashPartition("*from")
      .localTransform("$$funds", Path.key("*from").nullToVal(0).term(Ops.MINUS, "*amt"))
      .hashPartition("*to")
      .localTransform("$$funds", Path.key("*to").nullToVal(0).term(Ops.PLUS, "*amt"));
  }
}

/** The same by batch blocks: both legs of each transfer are summed per account. */
class BatchBank extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*transfers", Depot.random());
    const mb = topologies.microbatch("bank");
    mb.pstate("$$funds", PState.mapSchema(String, Number));
    mb.pstate("$$seen", PState.mapSchema(Number, Number));
    mb.source("*transfers")
      .out("*mb")
      .batchBlock(
        Block.explodeMicrobatch("*mb")
          .out("*transfer")
          .each(
            ({ from, to, amt }: Transfer) => [
              [from, -amt],
              [to, amt],
            ],
            "*transfer",
          )
          .out("*legs")
          .each(Ops.EXPLODE, "*legs")
          .out("*leg")
          .each(Ops.EXPAND, "*leg")
          .out("*account", "*change")
          .groupBy("*account", Block.agg(Agg.sum("*change")).out("*sum"))
          .localTransform("$$funds", Path.key("*account").nullToVal(0).term(Ops.PLUS, "*sum")),
      )
      .batchBlock(
        Block.explodeMicrobatch("*mb")
          .out({ id: "*id" })
          .hashPartition("*id")
          .compoundAgg("$$seen", CompoundAgg.map("*id", Agg.count())),
      );
  }
}

const compiled = new Map<unknown, CompiledModule>();
function moduleOf(type: new () => RamaModule): CompiledModule {
  let module = compiled.get(type);
  if (module === undefined) {
    module = compileModule(defineModule(type));
    compiled.set(type, module);
  }
  return module;
}

class Scenario {
  readonly env: SimulatedEnv;
  readonly machines: World[];
  readonly engines: (Engine | undefined)[];
  readonly acked = new Map<number, number>();
  sent = 0;

  constructor(
    readonly type: new () => RamaModule,
    seed: number,
    engines: number,
    /** Longest syncs, by engine, and hops; at random below that unless both are given. */
    readonly times: { readonly syncMs?: readonly number[]; readonly hopMs?: number } = {},
  ) {
    this.env = new SimulatedEnv({ seed, onFailure: () => {} });
    this.machines = Array.from({ length: engines }, (_, i) => this.#machine(times.syncMs?.[i] ?? 2));
    this.engines = this.machines.map(() => undefined);
  }

  #machine(slowMs: number): World {
    const { env, times } = this;
    const disk = new MemoryDisk({
      syncDelay: async () => {
        await env.sleep(times.hopMs === undefined ? env.random() * slowMs : slowMs);
      },
    });
    return { env, disk, kv: memoryKv({ disk }) };
  }

  engineOf(task: number): Engine {
    return this.engines[task % this.engines.length]!;
  }

  async open(): Promise<void> {
    const { env, engines } = this;
    const router = {
      send: (task: number, frame: Uint8Array) => {
        env.setTimer(this.times.hopMs ?? env.random() * 2, () => engines[task % engines.length]?.deliver(task, frame));
      },
    };
    const set = { "topology.microbatch.phase.timeout.seconds": 0.3, "depot.microbatch.max.records": 7 };
    for (const [i, world] of this.machines.entries()) {
      if (engines[i] !== undefined) continue;
      const groups = engines.length === 1 ? [0, 1] : [i];
      const opening = openHand(world, moduleOf(this.type), { tasks, threads: 2, groups, router, set }).then(
        (engine) => {
          engines[i] = engine;
        },
      );
      await env.complete(opening);
      // As a router says that reaches the engine again; not always, so that timeouts do their work too.
      if (env.random() < 0.5) for (const engine of engines) engine?.peerLost();
    }
  }

  async live(): Promise<void> {
    const { env } = this;
    for (let step = 0; step < 40; step++) {
      this.append(1);
      if (env.random() < 0.6) await env.advance(env.random() * 4);
      if (this.engines.length === 1 && step % 8 === 0) await this.#conserved();
    }
  }

  /** `pad`: bytes that each record has besides, on task 0. */
  append(batches: number, pad = 0): void {
    const { env } = this;
    for (let i = 0; i < batches; i++) {
      const task = pad > 0 ? 0 : Math.floor(env.random() * tasks);
      const values = Array.from({ length: 1 + Math.floor(env.random() * 4) }, (): Transfer => {
        const account = () => `a${Math.floor(env.random() * 6)}`;
        const amt = 1 + Math.floor(env.random() * 100);
        return { id: this.sent++, from: account(), to: account(), amt, ...(pad > 0 ? { pad: "x".repeat(pad) } : {}) };
      });
      append(this.engineOf(task), task, values).then(
        ({ offset }) => {
          for (const [i, { id }] of values.entries()) this.acked.set(id, offset + i);
        },
        () => {},
      );
    }
  }

  /** On one engine all groups become visible in one moment. */
  async #conserved(): Promise<void> {
    expect(sum(await this.#state(0))).toBe(0);
  }

  async #state(pstate: number): Promise<Record<string, number>> {
    const all: Record<string, number> = {};
    // Asked for at once, so that they are read in one moment.
    const reads = Array.from({ length: tasks }, (_, task) => entries(this.engineOf(task), task, pstate));
    for (const found of await this.env.complete(Promise.all(reads))) {
      for (const [key, n] of Object.entries(found)) all[key] = (all[key] ?? 0) + (n as number);
    }
    return all;
  }

  /** Funds that readers of that engine see. */
  async fundsOn(i: number): Promise<unknown[]> {
    const mine = Array.from({ length: tasks }, (_, task) => task).filter((task) => task % this.engines.length === i);
    return this.env.complete(Promise.all(mine.map((task) => entries(this.engines[i]!, task))));
  }

  cut(i: number, random: () => number = () => this.env.random()): void {
    const { machines, engines } = this;
    machines[i]!.disk.powerCut(random);
    machines[i]!.kv.powerCut(random);
    engines[i]!.abort();
    engines[i] = undefined;
  }

  async check(): Promise<void> {
    // What was on its way to an engine that lives arrives first.
    await this.env.advance(50);
    const records: Transfer[] = [];
    for (let task = 0; task < tasks; task++) {
      const engine = this.engineOf(task);
      const { startOffset, endOffset } = engine.partitionInfo(0, task);
      for (let offset = startOffset; offset < endOffset; ) {
        for (const bytes of engine.readDepot(0, task, offset, endOffset)) {
          records.push(decodeValue(bytes) as Transfer);
          offset++;
        }
      }
    }
    const ids = new Set(records.map(({ id }) => id));
    expect(ids.size).toBe(records.length);
    for (const id of this.acked.keys()) expect(ids.has(id)).toBe(true);
    const processed = () => this.engines.reduce((all, engine) => all + engine!.status().topologies[0]!.processed, 0);
    for (let waited = 0; processed() < records.length; waited += 50) {
      if (waited > 60_000) throw new Error(`${processed()} of ${records.length} are processed`);
      await this.env.advance(50);
    }
    const funds: Record<string, number> = {};
    for (const { from, to, amt } of records) {
      funds[from] = (funds[from] ?? 0) - amt;
      funds[to] = (funds[to] ?? 0) + amt;
    }
    expect(processed()).toBe(records.length);
    expect(await this.#state(0)).toEqual(funds);
    expect(await this.#state(1)).toEqual(Object.fromEntries(records.map(({ id }) => [`${id}`, 1])));
  }

  async close(): Promise<void> {
    for (const engine of this.engines) await this.env.complete(engine!.close());
  }
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((all, each) => all + each, 0);
}

async function survive(type: new () => RamaModule, seed: number, engines: number): Promise<void> {
  const scenario = new Scenario(type, seed, engines);
  const { env } = scenario;
  for (let life = 0; life < 4; life++) {
    await scenario.open();
    if (env.random() < 0.3) await scenario.check();
    await scenario.live();
    const both = engines === 1 || env.random() < 0.3;
    for (let i = 0; i < engines; i++) if (both || i === life % engines) scenario.cut(i);
    if (env.random() < 0.5) await env.advance(env.random() * 500);
  }
  await scenario.open();
  await scenario.check();
  expect(scenario.acked.size).toBeGreaterThan(0);
  await scenario.close();
}

/** The coordinator dies between the moments when others and when itself know of a decision. */
async function coordinatorDies(seed: number): Promise<void> {
  const scenario = new Scenario(Bank, seed, 2, { syncMs: [10, 2] });
  const { env } = scenario;
  for (let life = 0; life < 25; life++) {
    await scenario.open();
    if (life % 2 === 0) scenario.append(1, 20_000);
    for (let step = 10 + env.random() * 40; step > 0; step--) {
      scenario.append(1);
      await env.advance(env.random() * 4);
    }
    scenario.cut(0);
    if (env.random() < 0.2) scenario.cut(1);
  }
  await scenario.open();
  await scenario.check();
  await scenario.close();
}

test("a coordinator that dies when others have applied, and it has not, finds that it was decided", async () => {
  const scenario = new Scenario(Bank, 1, 2, { syncMs: [8, 0.1], hopMs: 0.1 });
  const { env } = scenario;
  let open = 0;
  for (let life = 0; life < 12; life++) {
    await scenario.open();
    // The log waits for a big commit apart, finds it slow, and goes on doing so for small ones.
    scenario.append(1, 20_000);
    // All comes to its end first.
    await scenario.check();
    const before = JSON.stringify(await scenario.fundsOn(1));
    scenario.append(4);
    for (let waited = 0; JSON.stringify(await scenario.fundsOn(1)) === before; waited += 0.25) {
      if (waited > 2000) break;
      await env.advance(0.25);
    }
    if (scenario.engines[0]!.status().topologies[0]!.processed < scenario.sent) open++;
    scenario.cut(0, () => 0);
  }
  expect(open).toBeGreaterThan(6);
  await scenario.open();
  await scenario.check();
  await scenario.close();
});

for (let seed = 1; seed <= 8; seed++) {
  test(
    `transfers are exact when the coordinator is cut off again and again (seed ${seed})`,
    () => coordinatorDies(seed),
    30_000,
  );
}

for (const [name, type] of [
  ["record by record", Bank],
  ["by batch blocks", BatchBank],
] as const) {
  for (let seed = 1; seed <= 8; seed++) {
    test(
      `transfers ${name} are exact over power cuts of the engine (seed ${seed})`,
      () => survive(type, seed, 1),
      30_000,
    );
    test(
      `transfers ${name} are exact when either of two engines is cut off (seed ${seed})`,
      () => survive(type, 100 + seed, 2),
      30_000,
    );
  }
}
