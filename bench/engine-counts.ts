// Counts per user through one engine without sockets: batches of 250 records, real disk, an fsync before every acknowledgement. Prints events per second.
//   npx bun bench/engine-counts.ts [events] [tasks] [groups] [hop]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemEnv } from "../src/base/env-system.ts";
import { taskOf } from "../src/base/hash.ts";
import { bunDisk } from "../src/storage/disk-bun.ts";
import { levelKv } from "../src/storage/kv-level.ts";
import { openEngine } from "../src/topology/open-engine.ts";
import { count, handModule, recordsOf, stage } from "../tests/cluster/engine-harness.ts";

const [events = "200000", tasks = "4", groups = "2", hop = ""] = process.argv.slice(2);
const batch = 250;
const inFlight = 16;
const users = 10_000;

const module = handModule({
  depots: [{}],
  pstates: [{ topology: 0 }],
  topologies: [
    {
      name: "counts",
      sources: [{ on: 0 }],
      stages:
        hop === "hop"
          ? [
              stage("hop", (x, [{ user }]) => x.send(1, taskOf(user, x.numTasks), [user])),
              stage("count", (x, [user]) => count(x, 0, user)),
            ]
          : [stage("count", (x, [{ user }]) => count(x, 0, user))],
    },
  ],
});

const dir = mkdtempSync(join(tmpdir(), "rama-engine-"));
const env = systemEnv({ sink: (line) => console.error(line), logLevel: "warn" });
const engine = await openEngine({
  env,
  disk: bunDisk(),
  kv: levelKv(),
  dir,
  module,
  info: { moduleName: "bench", moduleInstanceId: "1", numTasks: +tasks, numThreads: +groups, numWorkers: 1 },
  groups: Array.from({ length: +groups }, (_, group) => group),
  router: { send: () => {} },
  options: { get: () => undefined },
  instanceTag: "bench",
});

const frames: { task: number; bytes: Uint8Array }[] = [];
const open = new Map<number, unknown[]>();
for (let i = 0; i < +events; i++) {
  const user = `user${Math.floor(env.random() * users)}`;
  const task = taskOf(user, +tasks);
  const records = open.get(task) ?? [];
  records.push({ user, page: `/page/${i % 100}`, at: 1_700_000_000_000 + i });
  open.set(task, records);
  if (records.length < batch) continue;
  frames.push({ task, bytes: recordsOf(records) });
  open.delete(task);
}

async function run(): Promise<number> {
  const startMs = performance.now();
  let next = 0;
  let done = 0;
  await new Promise<void>((resolve) => {
    const go = () => {
      const frame = frames[next++];
      if (frame === undefined) return;
      engine.append({
        depot: 0,
        task: frame.task,
        token: null,
        records: frame.bytes,
        count: batch,
        level: "ack",
        reply: () => {
          if (++done === frames.length) resolve();
          else go();
        },
      });
    };
    for (let i = 0; i < inFlight; i++) go();
  });
  return (frames.length * batch) / ((performance.now() - startMs) / 1000);
}

const rates: number[] = [];
const cpu = process.cpuUsage();
for (let i = 0; i < 5; i++) rates.push(Math.round(await run()));
const { user, system } = process.cpuUsage(cpu);
const cpuUs = ((user + system) / (5 * frames.length * batch)).toFixed(2);
console.log(`${frames.length * batch} events, ${tasks} tasks, ${groups} groups${hop && ", each hops"}: ${rates.join(" ")} events/s, ${cpuUs} us CPU each`);

// One record at a time: what an acknowledgement costs.
const single = recordsOf([{ user: "user1", page: "/", at: 1 }]);
const waits: number[] = [];
for (let i = 0; i < 2000; i++) {
  const startMs = performance.now();
  await new Promise<void>((resolve) => {
    engine.append({ depot: 0, task: 0, token: null, records: single, count: 1, level: "ack", reply: () => resolve() });
  });
  waits.push(performance.now() - startMs);
}
waits.sort((a, b) => a - b);
console.log(`one at a time: p50 ${waits[1000]!.toFixed(3)} ms, p99 ${waits[1980]!.toFixed(3)} ms`);
await engine.close();
rmSync(dir, { recursive: true });
