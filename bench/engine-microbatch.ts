// Microbatches through one engine without sockets, on a real disk: counts per user (record by record, and as one batch block), transfers between two accounts,
// and how long after its append a record is visible. Prints rates and percentiles.
//   npx bun bench/engine-microbatch.ts [events] [tasks] [groups] [part of a module name]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agg, Block, CompoundAgg, Depot, Ops, Path, PState, RamaModule, type Setup, type Topologies } from "../src/index.ts";
import { systemEnv } from "../src/base/env-system.ts";
import { taskOf } from "../src/base/hash.ts";
import { compileModule } from "../src/dataflow/compile.ts";
import { defineModule } from "../src/module/build.ts";
import { bunDisk } from "../src/storage/disk-bun.ts";
import { levelKv } from "../src/storage/kv-level.ts";
import { openEngine } from "../src/topology/open-engine.ts";
import { recordsOf } from "../tests/cluster/engine-harness.ts";

const [events = "200000", tasks = "4", groups = "2", only = ""] = process.argv.slice(2);
const batch = 250;
const users = 10_000;

class Counts extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*events", Depot.hashBy("user"));
    setup.setLaunchDepotDynamicOption("*events", "depot.microbatch.max.records", 10_000);
    const mb = topologies.microbatch("mb");
    mb.pstate("$$counts", PState.mapSchema(String, Number));
    mb.source("*events").out("*mb").explodeMicrobatch("*mb").out({ user: "*user" }).compoundAgg("$$counts", CompoundAgg.map("*user", Agg.count()));
  }
}

class BatchCounts extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*events", Depot.random());
    setup.setLaunchDepotDynamicOption("*events", "depot.microbatch.max.records", 10_000);
    const mb = topologies.microbatch("mb");
    mb.pstate("$$counts", PState.mapSchema(String, Number));
    mb.source("*events")
      .out("*mb")
      .batchBlock(Block.explodeMicrobatch("*mb").out({ user: "*user" }).hashPartition("*user").compoundAgg("$$counts", CompoundAgg.map("*user", Agg.count())));
  }
}

class Transfers extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*events", Depot.random());
    setup.setLaunchDepotDynamicOption("*events", "depot.microbatch.max.records", 10_000);
    const mb = topologies.microbatch("mb");
    mb.pstate("$$funds", PState.mapSchema(String, Number));
    mb.source("*events")
      .out("*mb")
      .explodeMicrobatch("*mb")
      .out({ user: "*from", to: "*to" })
      .hashPartition("*from")
      .localTransform("$$funds", Path.key("*from").nullToVal(1000).term(Ops.MINUS, 1))
      .hashPartition("*to")
      .localTransform("$$funds", Path.key("*to").nullToVal(1000).term(Ops.PLUS, 1));
  }
}

async function measure(type: new () => RamaModule): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "rama-engine-"));
  const env = systemEnv({ sink: (line) => console.error(line), logLevel: "warn" });
  const module = compileModule(defineModule(type));
  const options = new Map(module.definition.launchOptions.map(({ name, value }) => [name, value]));
  const engine = await openEngine({
    env,
    disk: bunDisk(),
    kv: levelKv(),
    dir,
    module,
    info: { moduleName: "bench", moduleInstanceId: "1", numTasks: +tasks, numThreads: +groups, numWorkers: 1 },
    groups: Array.from({ length: +groups }, (_, group) => group),
    router: { send: () => {} },
    options: { get: (name) => options.get(name) },
    instanceTag: "bench",
  });
  const frames: { task: number; bytes: Uint8Array }[] = [];
  const open = new Map<number, unknown[]>();
  const user = () => `user${Math.floor(env.random() * users)}`;
  for (let i = 0; i < +events; i++) {
    const from = user();
    const task = taskOf(from, +tasks);
    const records = open.get(task) ?? [];
    records.push({ user: from, to: user(), page: `/page/${i % 100}`, at: 1_700_000_000_000 + i });
    open.set(task, records);
    if (records.length < batch) continue;
    frames.push({ task, bytes: recordsOf(records) });
    open.delete(task);
  }
  const processed = () => engine.status().topologies[0]!.processed;
  // Asking costs CPU time: bulk runs ask every 2 ms, single records all the time.
  const until = async (count: number, everyMs?: number) => {
    while (processed() < count)
      await new Promise<unknown>((resolve) => (everyMs === undefined ? setImmediate(resolve) : setTimeout(resolve, everyMs)));
  };
  const run = async (inFlight: number) => {
    const startMs = performance.now();
    const before = processed();
    let next = 0;
    const go = () => {
      const frame = frames[next++];
      if (frame === undefined) return;
      engine.append({ depot: 0, task: frame.task, token: null, records: frame.bytes, count: batch, level: "ack", reply: go });
    };
    for (let i = 0; i < inFlight; i++) go();
    await until(before + frames.length * batch, 2);
    return (frames.length * batch) / ((performance.now() - startMs) / 1000);
  };
  const rates: number[] = [];
  const cpu = process.cpuUsage();
  for (let i = 0; i < 5; i++) rates.push(Math.round(await run(16)));
  const used = process.cpuUsage(cpu);
  const cpuUs = ((used.user + used.system) / (5 * frames.length * batch)).toFixed(2);
  console.log(`${type.name}: ${rates.join(" ")} events/s, ${cpuUs} us CPU each`);

  const single = recordsOf([{ user: "user1", to: "user2", page: "/", at: 1 }]);
  const waits: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const startMs = performance.now();
    const before = processed();
    engine.append({ depot: 0, task: 0, token: null, records: single, count: 1, level: "none", reply: () => {} });
    await until(before + 1);
    waits.push(performance.now() - startMs);
  }
  waits.sort((a, b) => a - b);
  console.log(`${type.name}: append to visible p50 ${waits[500]!.toFixed(3)} ms, p99 ${waits[990]!.toFixed(3)} ms`);

  // 16 wide, one record each, until it is visible.
  const fromMs = performance.now();
  let done = 0;
  const width = 16;
  const before = processed();
  while (performance.now() - fromMs < 2000) {
    for (let i = 0; i < width; i++)
      engine.append({ depot: 0, task: i % +tasks, token: null, records: single, count: 1, level: "none", reply: () => {} });
    done += width;
    await until(before + done);
  }
  console.log(`${type.name}: ${width} in flight until visible: ${Math.round(done / ((performance.now() - fromMs) / 1000))}/s`);
  await engine.close();
  rmSync(dir, { recursive: true });
}

for (const type of [Counts, BatchCounts, Transfers]) if (type.name.includes(only)) await measure(type);
