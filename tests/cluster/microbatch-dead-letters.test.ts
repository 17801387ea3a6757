// Dead letters of microbatch sources: the record that makes microbatches fail is found, wherever its failure shows, and set aside; the others are committed. Power cuts at any
// moment, on one engine or two, leave each record either processed once or set aside once. Guards the cut slices, the skipped record's place in the commit, and retries.
import { expect, test } from "bun:test";
import { Agg, Block, CompoundAgg, Depot, Path, PState, RamaModule, type Setup, type Topologies } from "rama";
import { InProcessCluster } from "rama/test";
import { compileModule } from "../../src/dataflow/compile.ts";
import type { CompiledModule } from "../../src/dataflow/compiled.ts";
import { defineModule } from "../../src/module/build.ts";
import { SimulatedEnv } from "../../src/simulation/env-simulated.ts";
import { MemoryDisk } from "../../src/storage/disk-memory.ts";
import { memoryKv } from "../../src/storage/kv-memory.ts";
import type { Engine } from "../../src/task/engine.ts";
import { append, entries, openHand, type World } from "./engine-harness.ts";

const world = { isBad: (_name: string) => true };
const check = (name: string) => {
  if (name.endsWith("!") && world.isBad(name)) throw new Error(`bad name ${name}`);
  return name;
};

/** The failure shows behind a hop, before an aggregation, or only in what an aggregation of all rows gives. */
const places = {
  "behind a hop": (mb: Block) =>
    mb
      .explodeMicrobatch("*mb")
      .out("*name")
      .hashPartition("*name")
      .each(check, "*name")
      .out("*key")
      .compoundAgg("$$n", CompoundAgg.map("*key", Agg.count())),
  "in a batch block": (mb: Block) =>
    mb.batchBlock(
      Block.explodeMicrobatch("*mb")
        .out("*name")
        .each(check, "*name")
        .out("*key")
        .groupBy("*key", Block.agg(Agg.count()).out("*n"))
        .localTransform(
          "$$n",
          Path.key("*key")
            .nullToVal(0)
            .term((old: number, n: number) => old + n, "*n"),
        ),
    ),
  "behind an aggregation": (mb: Block) =>
    mb.batchBlock(
      Block.explodeMicrobatch("*mb")
        .out("*name")
        .groupBy("*name", Block.agg(Agg.count()).out("*n"))
        .each(check, "*name")
        .out("*key")
        .localTransform(
          "$$n",
          Path.key("*key")
            .nullToVal(0)
            .term((old: number, n: number) => old + n, "*n"),
        ),
    ),
};
type Place = keyof typeof places;

function pickyModule(place: Place, deadLetterAfter: number): new () => RamaModule {
  return class Picky extends RamaModule {
    define(setup: Setup, topologies: Topologies) {
      setup.declareDepot("*names", Depot.random());
      const mb = topologies.microbatch("mb");
      mb.pstate("$$n", PState.mapSchema(String, Number));
      const source = mb.source("*names", deadLetterAfter === 0 ? {} : { deadLetterAfter }).out("*mb");
      places[place](source);
    }
  };
}

for (const place of Object.keys(places) as Place[]) {
  test(`the record that fails ${place} is found and set aside; it is processed when its code is mended`, async () => {
    world.isBad = () => true;
    await using ipc = await InProcessCluster.create();
    const module = await ipc.launchModule(pickyModule(place, 2), { tasks: 4, threads: 2, workers: 2 });
    await module.pause("mb");
    const depot = module.depot("*names");
    const names = Array.from({ length: 40 }, (_, i) => (i === 17 || i === 31 ? `n${i}!` : `n${i}`));
    for (const name of names) await depot.append(name, "appendAck");
    await module.resume("mb");
    await module.waitForProcessed("mb", names.length);
    const letters = module.deadLetters();
    expect(letters.map(({ record }) => record).sort()).toEqual(["n17!", "n31!"]);
    for (const { topology, depot, failures, error, record } of letters) {
      expect({ topology, depot, retrying: false }).toMatchObject({ topology: "mb", depot: "*names" });
      expect(failures).toBeGreaterThanOrEqual(2);
      expect(error).toContain(`bad name ${record}`);
    }
    const n = module.pstate("$$n");
    const counts = await Promise.all(names.map((name) => n.selectOne<number | null>(Path.key(name))));
    expect(counts.filter((count) => count === 1)).toHaveLength(38);
    // A retry that fails leaves the letter where it is; others can be dropped.
    const [first, second] = letters.sort((a, b) => String(a.record).localeCompare(String(b.record)));
    const { depot: name, partition, offset } = first!;
    expect(await module.retryDeadLetters({ depot: name, partition, offset })).toBe(1);
    await waitUntil(() => module.deadLetters().every(({ retrying }) => !retrying));
    expect(module.deadLetters()).toHaveLength(2);
    expect(await module.dropDeadLetters({ partition: second!.partition, offset: second!.offset })).toBe(1);
    world.isBad = () => false;
    expect(await module.retryDeadLetters()).toBe(1);
    await waitUntil(() => module.deadLetters().length === 0);
    expect(await n.selectOne(Path.key("n17!"))).toBe(1);
    expect(await n.selectOne(Path.key("n31!"))).toBeNull();
  });
}

async function waitUntil(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error("not so within 10 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// ---- power cuts

const tasks = 4;
const compiled = new Map<Place, CompiledModule>();
function moduleOf(place: Place): CompiledModule {
  let module = compiled.get(place);
  if (module === undefined) {
    module = compileModule(defineModule(pickyModule(place, 2)));
    compiled.set(place, module);
  }
  return module;
}

test("without dead letters the status names the record in the end, even where its failure shows behind an aggregation only", async () => {
  world.isBad = () => true;
  const env = new SimulatedEnv({ seed: 1, onFailure: () => {} });
  const disk = new MemoryDisk();
  const module = compileModule(defineModule(pickyModule("behind an aggregation", 0)));
  const opening = openHand({ env, disk, kv: memoryKv({ disk }) }, module, { tasks, threads: 2 });
  const engine = await env.complete(opening);
  const names = Array.from({ length: 20 }, (_, i) => (i === 13 ? `n${i}!` : `n${i}`));
  await env.complete(append(engine, 2, names, { level: "appendAck" }));
  const status = () => engine.status().topologies[0]!;
  for (let waited = 0; status().blocked === null; waited += 100) {
    if (waited > 60_000) throw new Error("the status names no record");
    await env.advance(100);
  }
  expect(status()).toMatchObject({
    blocked: { depot: "*names", partition: 2, offset: 13 },
    processed: 13,
    deadLetters: 0,
  });
  expect(status().blocked!.error).toContain("bad name n13!");
  world.isBad = () => false;
  for (let waited = 0; status().processed < 20; waited += 100) {
    if (waited > 60_000) throw new Error("it does not go on");
    await env.advance(100);
  }
  expect(status().blocked).toBeNull();
  await env.complete(engine.close());
});

class Scenario {
  readonly env: SimulatedEnv;
  readonly machines: World[];
  readonly engines: (Engine | undefined)[];
  sent = 0;

  constructor(
    readonly place: Place,
    seed: number,
    engines: number,
  ) {
    const env = new SimulatedEnv({ seed, onFailure: () => {} });
    this.env = env;
    this.machines = Array.from({ length: engines }, () => {
      const disk = new MemoryDisk({ syncDelay: async () => void (await env.sleep(env.random() * 2)) });
      return { env, disk, kv: memoryKv({ disk }) };
    });
    this.engines = this.machines.map(() => undefined);
  }

  engineOf(task: number): Engine {
    return this.engines[task % this.engines.length]!;
  }

  get letters() {
    return this.engines.flatMap((engine) => engine!.deadLetters());
  }

  async open(): Promise<void> {
    const { env, engines } = this;
    const router = {
      send: (task: number, frame: Uint8Array) => {
        env.setTimer(env.random() * 2, () => engines[task % engines.length]?.deliver(task, frame));
      },
    };
    const set = { "topology.microbatch.phase.timeout.seconds": 0.3, "depot.microbatch.max.records": 7 };
    for (const [i, machine] of this.machines.entries()) {
      if (engines[i] !== undefined) continue;
      const groups = engines.length === 1 ? [0, 1] : [i];
      const opening = openHand(machine, moduleOf(this.place), { tasks, threads: 2, groups, router, set }).then(
        (engine) => {
          engines[i] = engine;
        },
      );
      await env.complete(opening);
      if (env.random() < 0.5) for (const engine of engines) engine?.peerLost();
    }
  }

  async live(): Promise<void> {
    const { env } = this;
    for (let step = 0; step < 30; step++) {
      const task = Math.floor(env.random() * tasks);
      const values = Array.from({ length: 1 + Math.floor(env.random() * 4) }, () => {
        return `w${this.sent++}${env.random() < 0.2 ? "!" : ""}`;
      });
      append(this.engineOf(task), task, values, { level: "appendAck" }).catch(() => {});
      if (env.random() < 0.6) await env.advance(env.random() * 20);
      if (env.random() < 0.2) {
        const mended = env.random() < 0.5;
        world.isBad = () => !mended;
        this.engineOf(task).changeDeadLetters("retry", env.random() < 0.5 ? {} : { partition: task });
      }
    }
  }

  cut(i: number): void {
    const { env, machines, engines } = this;
    machines[i]!.disk.powerCut(() => env.random());
    machines[i]!.kv.powerCut(() => env.random());
    engines[i]!.abort();
    engines[i] = undefined;
  }

  async check(): Promise<void> {
    await this.env.advance(50);
    let stored = 0;
    for (let task = 0; task < tasks; task++) stored += this.engineOf(task).partitionInfo(0, task).endOffset;
    const processed = () => this.engines.reduce((all, engine) => all + engine!.status().topologies[0]!.processed, 0);
    const isDone = () => processed() === stored && this.letters.every(({ retrying }) => !retrying);
    for (let waited = 0; !isDone(); waited += 50) {
      if (waited > 120_000) throw new Error(`${processed()} of ${stored} have come to an end`);
      await this.env.advance(50);
    }
    await this.env.advance(200);
    const counts: Record<string, unknown> = {};
    for (let task = 0; task < tasks; task++)
      Object.assign(counts, await this.env.complete(entries(this.engineOf(task), task)));
    expect(Object.values(counts).every((n) => n === 1)).toBe(true);
    expect(Object.keys(counts).length + this.letters.length).toBe(stored);
  }

  async mend(): Promise<void> {
    world.isBad = () => false;
    for (const engine of this.engines) await this.env.complete(engine!.changeDeadLetters("retry", {}));
    await this.check();
    expect(this.letters).toEqual([]);
  }
}

async function survive(place: Place, seed: number, engines: number): Promise<void> {
  world.isBad = () => true;
  const scenario = new Scenario(place, seed, engines);
  const { env } = scenario;
  for (let life = 0; life < 4; life++) {
    await scenario.open();
    if (env.random() < 0.3) await scenario.check();
    await scenario.live();
    const both = engines === 1 || env.random() < 0.3;
    for (let i = 0; i < engines; i++) if (both || i === life % engines) scenario.cut(i);
    world.isBad = () => true;
    if (env.random() < 0.5) await env.advance(env.random() * 500);
  }
  await scenario.open();
  await scenario.check();
  await scenario.mend();
  for (const engine of scenario.engines) await env.complete(engine!.close());
}

for (const [at, place] of (Object.keys(places) as Place[]).entries()) {
  for (let seed = 1; seed <= 5; seed++) {
    for (const engines of [1, 2]) {
      test(
        `failures ${place}: processed once or set aside once over power cuts of ${engines} engines (seed ${seed})`,
        () => survive(place, 1000 * at + 10 * seed + engines, engines),
        30_000,
      );
    }
  }
}
