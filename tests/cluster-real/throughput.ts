// `npm run bench:replicas [-- --rounds 5 --seconds 2 --widths 1,64,1024]`: acknowledged appends per second of one client, with one replica and with three, on three machines (network
// namespaces) of this one, taking turns; and what an append costs the workers in CPU, which a busy machine does not change. Prints a table for docs/reliability.md.
import { readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { until } from "../release/built-release.ts";
import { RealCluster } from "./nodes.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    widths: { type: "string", default: "1,64,1024" },
    factors: { type: "string", default: "1,3" },
  },
});
const factors = values.factors.split(",").map(Number);
const widths = values.widths.split(",").map(Number);
const microsPerTick = 10_000;

const source = (name: string) => `
import { Agg, CompoundAgg, Depot, PState, RamaModule } from "rama";
export class ${name} extends RamaModule {
  define(setup, topologies) {
    setup.declareDepot("*events", Depot.hashBy("userId"));
    const counts = topologies.stream("counts");
    counts.pstate("$$counts", PState.mapSchema(String, Number));
    counts.source("*events").out({ userId: "*userId" }).compoundAgg("$$counts", CompoundAgg.map("*userId", Agg.count()));
  }
}`;

interface Round {
  readonly rate: number;
  readonly p50Ms: number;
  /** Of the busiest worker, and of all others together. */
  readonly busiestUs: number;
  readonly othersUs: number;
}

await using cluster = await RealCluster.start(3);
const manager = await cluster.client();
const workers = new Map<number, readonly number[]>();
for (const factor of factors) workers.set(factor, await launch(factor));
const rounds = new Map<string, Round[]>();
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const width of widths) {
    for (const factor of factors) {
      const measured = await measure(factor, width);
      // The first one warms up.
      if (round > 0) rounds.set(`${factor} ${width}`, [...(rounds.get(`${factor} ${width}`) ?? []), measured]);
    }
  }
}
console.log(`\nload of the machine ${loadavg()[0]!.toFixed(1)}\n`);
console.log("| appends in flight | factor | acked / s | p50 | CPU per append: busiest worker | the others together |");
console.log("|---|---|---|---|---|---|");
for (const width of widths) {
  for (const factor of factors) {
    const of = (pick: (round: Round) => number) => median(rounds.get(`${factor} ${width}`)!.map(pick));
    const cpu = `${of((r) => r.busiestUs).toFixed(0)} us | ${of((r) => r.othersUs).toFixed(0)} us`;
    console.log(
      `| ${width} | ${factor} | ${Math.round(of((r) => r.rate))} | ${of((r) => r.p50Ms).toFixed(1)} ms | ${cpu} |`,
    );
  }
  const ratio = (pick: (round: Round) => number) =>
    (median(rounds.get(`3 ${width}`)!.map(pick)) / median(rounds.get(`1 ${width}`)!.map(pick))).toFixed(2);
  if (factors.includes(1) && factors.includes(3))
    console.log(`| ${width} | ratio | ${ratio((r) => r.rate)} | ${ratio((r) => r.p50Ms)} | | |`);
}

function pidsOf(): number[] {
  return cluster.nodes.flatMap((node) => node.workerPids());
}

/** Pids of its workers. */
async function launch(factor: number): Promise<readonly number[]> {
  const before = new Set(pidsOf());
  const name = `Replicas${factor}`;
  writeFileSync(join(cluster.conductor.home, `${name}.ts`), source(name));
  const size = ["--tasks", "4", "--threads", "2", "--workers", "1", "--replicationFactor", String(factor)];
  const { code, err } = await cluster.rama("deploy", "--action", "launch", "--jar", `${name}.ts`, ...size);
  if (code !== 0) throw new Error(err);
  await until("all replicas in sync", async () => {
    const { out } = await cluster.rama("taskGroupsStatus", name, "--json");
    // With one replica there is no such set.
    return factor === 1 || (JSON.parse(out) as { inSync: boolean }[]).every(({ inSync }) => inSync);
  });
  return pidsOf().filter((pid) => !before.has(pid));
}

function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * microsPerTick;
}

async function measure(factor: number, width: number): Promise<Round> {
  const depot = manager.clusterDepot(`Replicas${factor}`, "*events");
  const pids = workers.get(factor)!;
  const before = pids.map(cpuUs);
  const took: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + Number(values.seconds) * 1000;
  let seq = 0;
  const lane = async () => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      const userId = `user-${seq++ % 10_000}`;
      await depot.append({ userId, url: "https://example.com/shop/item/000001", ts: 1_700_000_000_000 });
      const doneMs = performance.now();
      took.push(doneMs - nowMs);
      nowMs = doneMs;
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  const seconds = (performance.now() - startMs) / 1000;
  const used = pids.map((pid, i) => (cpuUs(pid) - before[i]!) / took.length).sort((x, y) => y - x);
  const othersUs = used.slice(1).reduce((sum, us) => sum + us, 0);
  return { rate: took.length / seconds, p50Ms: median(took), busiestUs: used[0]!, othersUs };
}

function median(sample: readonly number[]): number {
  return [...sample].sort((x, y) => x - y)[sample.length >> 1] ?? Number.NaN;
}
