// CPU per operation of the two sides of an engine port, for telling whether a change pays: wall-clock rates of a shared machine do not.
// An engine behind TCP in a process of its own, one client here. Prints client and server CPU microseconds per operation, median of the rounds.
//   bun bench/cpu.ts [--job read|append|wordcount|nested|range|query|transfers|fanout] [--module …] [--width 64] [--rounds 7] [--seconds 1]        and with --profile-server DIR a CPU profile of the engine
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemEnv } from "../src/base/env-system.ts";
import { ClassRegistry } from "../src/base/values.ts";
import { ClientCore } from "../src/client/client-core.ts";
import type { ClusterClient } from "../src/client/cluster-client.ts";
import { configOf } from "../src/config/rama-yaml.ts";
import { compileModule } from "../src/dataflow/compile.ts";
import type { RamaModule } from "../src/module/module.ts";
import { defineModule } from "../src/module/build.ts";
import { tcpTransport } from "../src/net/transport-tcp.ts";
import { Path } from "../src/paths/path.ts";
import { type GroupAddress, moduleRoutes, objectTable } from "../src/protocol/routes.ts";
import { DynamicOptions } from "../src/roles/worker/dynamic-options.ts";
import { EngineHost } from "../src/roles/worker/engine-host.ts";
import { bunDisk } from "../src/storage/disk-bun.ts";
import { levelKv } from "../src/storage/kv-level.ts";
import { defaults, type JobArgs, type Op, userName } from "./jobs/job.ts";
import { fanoutOp } from "./jobs/fanout.ts";
import { nestedOp, queryOp, rangeOp } from "./jobs/reads.ts";
import { transferOp } from "./jobs/transfers.ts";
import { TimelinesInMemory } from "../examples/timelines-in-memory.ts";
import { TimelinesModule } from "../examples/timelines.ts";
import { CountModule } from "./modules/count.ts";
import { MicrobatchCountModule } from "./modules/microbatch-count.ts";
import { ReadsModule } from "./modules/reads.ts";
import { MicrobatchTransfers, StreamTransfers } from "./modules/transfers.ts";

const { values } = parseArgs({
  options: {
    job: { type: "string", default: "read" },
    module: { type: "string" },
    width: { type: "string", default: "64" },
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "1" },
    "profile-server": { type: "string" },
    server: { type: "boolean", default: false },
  },
});
const users = 10_000;
const env = systemEnv({ sink: (line) => console.error(line), logLevel: "warn" });
const types: readonly (new () => RamaModule)[] = [
  CountModule,
  MicrobatchCountModule,
  ReadsModule,
  StreamTransfers,
  MicrobatchTransfers,
  TimelinesModule,
  TimelinesInMemory,
];
const moduleOf: Readonly<Record<string, string>> = {
  nested: "ReadsModule",
  range: "ReadsModule",
  query: "ReadsModule",
  transfers: "StreamTransfers",
  fanout: "TimelinesModule",
};
const moduleName = values.module ?? moduleOf[values.job] ?? "CountModule";
const info = { moduleName, moduleInstanceId: "1", numTasks: 4, numThreads: 2, numWorkers: 1 };
const config = configOf({}, "bench");
if (values.server) await serve();
else await measure();

async function serve(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "rama-cpu-"));
  const module = compileModule(defineModule(types.find(({ name }) => name === moduleName)!));
  const host = await EngineHost.open({
    env,
    disk: bunDisk(),
    kv: levelKv(),
    dir,
    transport: tcpTransport(env),
    address: { host: "127.0.0.1", port: 0 },
    module,
    classes: new ClassRegistry(),
    info,
    groups: [0, 1],
    options: new DynamicOptions(module.definition.launchOptions, []),
    instanceTag: "bench",
    release: "bench",
    recordBytesMax: config.get("limit.record.bytes"),
    answerBytesMax: config.get("limit.answer.bytes"),
    addressOf: () => undefined,
  });
  process.send!({ routes: moduleRoutes(info, objectTable(module), [host.address, host.address] as GroupAddress[], 1) });
  // Whoever measures is gone: nobody will tell it to end.
  process.on("disconnect", () => process.exit(1));
  process.on("message", async (message) => {
    if (message === "cpu") process.send!({ cpu: process.cpuUsage() });
    else {
      await host.close();
      rmSync(dir, { recursive: true });
      process.exit(0);
    }
  });
}

async function measure(): Promise<void> {
  const profile = values["profile-server"];
  const flags = profile === undefined ? [] : ["--cpu-prof", "--cpu-prof-md", "--cpu-prof-dir", profile];
  let answer: (message: any) => void = () => {};
  const next = () => new Promise<any>((resolve) => (answer = resolve));
  const ready = next();
  const child = Bun.spawn([process.execPath, ...flags, import.meta.path, "--server", "--module", moduleName], {
    stdout: "inherit",
    stderr: "inherit",
    ipc: (message) => answer(message),
  });
  const { routes } = await ready;
  const core = new ClientCore({ env, transport: tcpTransport(env), config, release: "bench", fetchRoutes: async () => routes });
  const { per, op } = await operation(core);
  let turn = 0;
  const rounds: { client: number; server: number; rate: number }[] = [];
  for (let round = 0; round < Number(values.rounds) + 1; round++) {
    const serverCpu = async () => {
      const cpu = next();
      child.send("cpu");
      const used = (await cpu).cpu;
      return used.user + used.system;
    };
    const before = await serverCpu();
    const own = process.cpuUsage();
    const startMs = performance.now();
    const endMs = startMs + Number(values.seconds) * 1000;
    let done = 0;
    const lane = async () => {
      while (performance.now() < endMs) {
        const result = await op(turn++);
        done += typeof result === "number" ? result : per;
      }
    };
    await Promise.all(Array.from({ length: Number(values.width) }, lane));
    const seconds = (performance.now() - startMs) / 1000;
    const used = process.cpuUsage(own);
    const server = (await serverCpu()) - before;
    if (round > 0) rounds.push({ client: (used.user + used.system) / done, server: server / done, rate: done / seconds });
  }
  const median = (pick: (round: (typeof rounds)[number]) => number) => rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1]!;
  console.log(
    `${values.job} ${values.width}: client ${median((r) => r.client).toFixed(2)} us, server ${median((r) => r.server).toFixed(2)} us, ${Math.round(median((r) => r.rate))}/s`,
  );
  const exited = child.exited;
  child.send("end");
  await exited;
  await core.close();
  process.exit(0);
}

async function operation(core: ClientCore): Promise<{ per: number; op: Op }> {
  const cluster = {
    clusterDepot: (module: string, name: string) => core.depot(module, name),
    clusterPState: (module: string, name: string) => core.pstate(module, name),
    clusterQuery: (module: string, name: string) => core.query(module, name),
  } as unknown as ClusterClient;
  const a: JobArgs = { ...defaults, module: moduleName, batch: 100, n: Number(process.env["BENCH_N"] ?? 1_000_000) };
  const made = { nested: nestedOp, range: rangeOp, query: queryOp, transfers: transferOp, fanout: fanoutOp }[values.job];
  if (made !== undefined) return { per: 1, op: await made({ cluster, a }) };
  const depot = core.depot(moduleName, "*events");
  const counts = core.pstate(moduleName, "$$counts");
  const any = () => userName(Math.floor(env.random() * users));
  const event = (userId: string) => ({ userId, url: "https://example.com/shop/item/000001", ts: 1_700_000_000_000 });
  await depot.appendMany(Array.from({ length: users }, (_, i) => event(userName(i))));
  const events = Array.from({ length: 4096 }, () => event(any()));
  const jobs: Readonly<Record<string, { per: number; op: Op }>> = {
    read: { per: 1, op: () => counts.selectOne(Path.key(any())) },
    append: { per: 1, op: (i) => depot.append(events[i & 4095]!) },
    wordcount: { per: 500, op: (i) => depot.appendMany(events.slice((i % 8) * 500, (i % 8) * 500 + 500)) },
  };
  return jobs[values.job]!;
}
