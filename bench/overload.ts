// `npm run bench:overload`: ten times what fits, for each of several kinds of load, on a cluster out of the release. For each: what was done a second without overload and with it, memory of workers and
// clients, what clients were told, and how long until a lone append is as fast as before.
import { join, resolve } from "node:path";
import { RamaClusterManager } from "../src/client.ts";
import { measure } from "../scripts/soak/meters.ts";
import { unpackedRelease } from "../tests/release/built-release.ts";

export interface OverloadRow {
  readonly name: string;
  readonly fitsPerSecond: number;
  readonly overloadedPerSecond: number;
  readonly workerPeakMb: number;
  readonly clientPeakMb: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Until the median of ten lone appends was at most twice that before, or 1 ms more. */
  readonly calmAfterMs: number;
}

interface Load {
  readonly name: string;
  readonly depot: string;
  /** Calls that one client keeps under way: as many as fit, and too many. */
  readonly fits: Calls;
  readonly tooMany: Calls;
  readonly counts: "appends" | "reads" | "queries";
}

interface Calls {
  readonly clients: number;
  readonly appends: number;
  readonly reads: number;
  readonly queries: number;
}

const calls = (clients: number, appends: number, reads = 0, queries = 0): Calls => ({ clients, appends, reads, queries });

const loads: readonly Load[] = [
  { name: "appends", depot: "*events", counts: "appends", fits: calls(2, 1_000), tooMany: calls(4, 20_000) },
  { name: "reads", depot: "*events", counts: "reads", fits: calls(2, 0, 500), tooMany: calls(4, 0, 10_000) },
  { name: "queries", depot: "*events", counts: "queries", fits: calls(2, 0, 0, 10), tooMany: calls(4, 0, 0, 200) },
  { name: "a stream slower than its input", depot: "*slow", counts: "appends", fits: calls(1, 200), tooMany: calls(2, 20_000) },
  { name: "a microbatch slower than its input", depot: "*late", counts: "appends", fits: calls(1, 200), tooMany: calls(2, 5_000) },
];

interface Told {
  readonly done: { readonly appends: number; readonly reads: number; readonly queries: number };
  readonly errors: Readonly<Record<string, number>>;
  readonly peakMb: number;
}

const root = resolve(import.meta.dir, "..");

export async function overload(seconds: number, log: (line: string) => void): Promise<OverloadRow[]> {
  await using unpacked = unpackedRelease();
  const { cluster } = unpacked;
  await cluster.startAll();
  const file = join(root, "bench/modules/overload.ts");
  const size = ["--tasks", "4", "--threads", "2", "--workers", "1"];
  const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", file, ...size);
  if (deployed.code !== 0) throw new Error(deployed.err);
  const port = cluster.ports.conductor;
  await using manager = await RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": port });
  const rows: OverloadRow[] = [];
  for (const load of loads) {
    const lone = () => loneAppendMs(manager);
    const before = await lone();
    const fits = await run(port, load.depot, load.fits, seconds);
    await calm(lone, before);
    let peak = 0;
    const [worker] = cluster.workerPids();
    const watch = setInterval(() => {
      peak = Math.max(peak, measure(worker!)?.rssMb ?? 0);
    }, 200);
    const told = await run(port, load.depot, load.tooMany, seconds);
    const calmAfterMs = await calm(lone, before);
    clearInterval(watch);
    if (cluster.workerPids()[0] !== worker) throw new Error(`${load.name}: the worker has ended`);
    const row = {
      name: load.name,
      fitsPerSecond: Math.round(sum(fits, load) / seconds),
      overloadedPerSecond: Math.round(sum(told, load) / seconds),
      workerPeakMb: Math.round(peak),
      clientPeakMb: Math.max(...told.map(({ peakMb }) => peakMb)),
      errors: errorsOf(told),
      calmAfterMs: Math.round(calmAfterMs),
    };
    rows.push(row);
    log(JSON.stringify(row));
  }
  return rows;
}

function run(port: number, depot: string, of: Calls, seconds: number): Promise<Told[]> {
  return Promise.all(
    Array.from({ length: of.clients }, async () => {
      const numbers = [of.appends, of.reads, of.queries, seconds].map(String);
      const words = [process.execPath, join(root, "bench/overload-client.ts"), String(port), depot, ...numbers];
      const child = Bun.spawn(words, { stdout: "pipe", stderr: "inherit" });
      const text = await new Response(child.stdout).text();
      return JSON.parse(text.trim().split("\n").at(-1)!) as Told;
    }),
  );
}

const sum = (told: readonly Told[], load: Load): number => told.reduce((all, { done }) => all + done[load.counts], 0);

function errorsOf(told: readonly Told[]): Record<string, number> {
  const all: Record<string, number> = {};
  for (const { errors } of told) for (const [code, count] of Object.entries(errors)) all[code] = (all[code] ?? 0) + count;
  return all;
}

/** Median of ten, one after another. */
async function loneAppendMs(manager: RamaClusterManager): Promise<number> {
  const depot = manager.clusterDepot("OverloadModule", "*events");
  const times: number[] = [];
  for (let n = 0; n < 10; n++) {
    const began = performance.now();
    await depot.append({ userId: `lone-${n}` });
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[5]!;
}

async function calm(lone: () => Promise<number>, before: number): Promise<number> {
  const began = performance.now();
  for (;;) {
    const ms = await lone().catch(() => Number.POSITIVE_INFINITY);
    const afterMs = performance.now() - began;
    if (ms <= Math.max(2 * before, before + 1) || afterMs > 120_000) return afterMs;
    await Bun.sleep(50);
  }
}

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 10);
  const rows = await overload(seconds, (line) => console.log(line));
  console.log("\n| load | fits, 1/s | overloaded, 1/s | ratio | worker, MB | client, MB | calm after | told |\n|---|---|---|---|---|---|---|---|");
  for (const row of rows) {
    const told = Object.entries(row.errors).map(([code, count]) => `${code} ${count}`).join(", ");
    const ratio = (row.overloadedPerSecond / row.fitsPerSecond).toFixed(2);
    const memory = `${row.workerPeakMb} | ${row.clientPeakMb}`;
    console.log(
      `| ${row.name} | ${row.fitsPerSecond} | ${row.overloadedPerSecond} | ${ratio} | ${memory} | ${(row.calmAfterMs / 1000).toFixed(1)} s | ${told || "nothing"} |`,
    );
  }
  process.exit(0);
}
