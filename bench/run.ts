// `npm run bench [-- --only wordcount,append,read,visible,start] [--runs 5] [--seconds 3]`: our cluster and the peers in one run, alternating, and their ratios.
// Needs redis-server (Debian) and the peers' packages (`npm run bench:setup`). Prints every JSON line and at the end a table for docs/performance.md.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { release } from "../src/base/release.ts";
import { type LocalCluster, localCluster } from "../scripts/local-cluster.ts";

interface Result {
  readonly name: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  readonly min?: number;
  readonly max?: number;
}

const root = resolve(import.meta.dir, "..");
const { values } = parseArgs({
  options: { only: { type: "string" }, runs: { type: "string", default: "5" }, seconds: { type: "string", default: "3" }, n: { type: "string", default: "200000" } },
});
const only = values.only?.split(",");
const wanted = (job: string) => only === undefined || only.includes(job);
const bun = process.execPath;

const home = unpackRelease();
const cluster = localCluster({ home });
const rows: { row: string; ours: string; peer: string; ratio: string }[] = [];
try {
  await startFigures();
  const conductor = `127.0.0.1:${cluster.ports.conductor}`;
  const common = ["--runs", values.runs, "--seconds", values.seconds];
  if (wanted("wordcount")) {
    const [ours, peer, sqlite] = [
      await ourJob(conductor, "wordcount", ["--n", values.n, ...common]),
      await peerJob("1-wordcount.mjs", ["--stack", "redis-always", "--n", values.n, "--runs", values.runs]),
      await peerJob("1-wordcount.mjs", ["--stack", "sqlite", "--n", values.n, "--runs", values.runs]),
    ];
    compare("counts per user, events/s, against Redis always + worker", ours[0]!, peer[0]!);
    compare("counts per user, events/s, against SQLite in process", ours[0]!, sqlite[0]!);
  }
  if (wanted("append")) {
    const ours = await ourJob(conductor, "append", common);
    for (const width of [64, 1024]) {
      const peer = await peerJob("2-append.mjs", ["--stack", "redis-always", "--width", String(width), ...common]);
      if (width === 64) compare("one acked append at a time, p50 ms", pick(ours, "latency p50, 1 in"), pick(peer, "latency p50, 1 in"));
      compare(`acked appends/s, ${width} in flight`, pick(ours, `appends, ${width} in`), pick(peer, `appends, ${width} in`));
    }
  }
  if (wanted("read")) {
    const ours = await ourJob(conductor, "read", common);
    const peer = await peerJob("3-read.mjs", ["--stack", "redis", ...common]);
    compare("point reads/s, 64 in flight", pick(ours, "point reads, 64"), pick(peer, "point reads, 64"));
    compare("point read p50 ms, 1 in flight", pick(ours, "latency p50, 1 in"), pick(peer, "latency p50, 1 in"));
  }
  if (wanted("visible")) {
    for (const load of ["0", "1000"]) {
      const ours = await ourJob(conductor, "visible", ["--load", load, ...common]);
      const peer = await peerJob("4-visible.mjs", ["--stack", "redis-always", "--load", load, ...common]);
      const p = load === "0" ? "p50" : "p99";
      compare(`append to visible, ${p} ms, ${load} events/s beside`, pick(ours, `visible ${p}`), pick(peer, `visible ${p}`));
    }
  }
} finally {
  await cluster.end();
  rmSync(home, { recursive: true, force: true });
}
console.log("\n| job | ours | peer | ratio |\n|---|---|---|---|");
for (const { row, ours, peer, ratio } of rows) console.log(`| ${row} | ${ours} | ${peer} | ${ratio} |`);
process.exit(0);

/** Cold start of help, cluster to ready, module to running, memory at rest. */
async function startFigures(): Promise<void> {
  const help: number[] = [];
  for (let i = 0; i < 11; i++) help.push(await timed(() => cluster.rama("help")));
  const ready = await timed(() => cluster.startAll());
  const module = join(root, "bench/count-module.ts");
  const launch = await timed(async () => {
    const deployed = await cluster.rama("deploy", "--action", "launch", "--jar", module, "--module", "CountModule", "--tasks", "4", "--threads", "2", "--workers", "1");
    if (deployed.code !== 0) throw new Error(deployed.err);
  });
  await Bun.sleep(3000);
  figure("cold start of `rama help`, ms", Math.round(help.sort((x, y) => x - y)[5]!));
  figure("devZookeeper + conductor + supervisor to ready, ms", Math.round(ready));
  figure("launch of a module to running (whole `rama deploy`), ms", Math.round(launch));
  figure("memory at rest, PSS of all processes, MB", Math.round(pssBytes(cluster) / 1e6));
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function pssBytes(local: LocalCluster): number {
  const pids = [...local.workerPids(), local.pid("devZookeeper"), local.pid("conductor"), local.pid("supervisor")];
  return pids.reduce<number>((sum, pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return sum + Number(/^Pss:\s+(\d+)/m.exec(rollup)![1]) * 1024;
  }, 0);
}

function unpackRelease(): string {
  const archive = join(root, `release/dist/rama-${release}-${process.platform}-${process.arch}.tar.gz`);
  if (!existsSync(archive)) throw new Error("build the release first: npm run release");
  const dir = mkdtempSync(join(process.env["BENCH_DIR"] ?? tmpdir(), "rama-bench-"));
  const done = Bun.spawnSync(["tar", "xzf", archive, "-C", dir, "--strip-components", "1"]);
  if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  writeFileSync(join(dir, "rama.yaml"), "");
  return dir;
}

async function ourJob(conductor: string, job: string, more: readonly string[]): Promise<Result[]> {
  return results([bun, join(root, "bench/ours.ts"), "--conductor", conductor, "--job", job, ...more], root);
}

async function peerJob(script: string, more: readonly string[]): Promise<Result[]> {
  return results([bun, script, ...more], join(root, "bench/peers"));
}

async function results(command: readonly string[], cwd: string): Promise<Result[]> {
  const child = Bun.spawn([...command], { cwd, stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
  process.stdout.write(text);
  return text.trim().split("\n").map((line) => JSON.parse(line) as Result);
}

function pick(all: readonly Result[], part: string): Result {
  const found = all.find((result) => result.metric.includes(part));
  if (!found) throw new Error(`no result "${part}"`);
  return found;
}

function compare(row: string, ours: Result, peer: Result): void {
  const show = (r: Result) => `${r.value.toLocaleString("en-US")}${r.min === undefined ? "" : ` [${r.min.toLocaleString("en-US")}..${r.max!.toLocaleString("en-US")}]`}`;
  rows.push({ row, ours: show(ours), peer: show(peer), ratio: (ours.value / peer.value).toFixed(2) });
}

function figure(row: string, value: number): void {
  rows.push({ row, ours: String(value), peer: "", ratio: "" });
  console.log(JSON.stringify({ name: row, value }));
}
