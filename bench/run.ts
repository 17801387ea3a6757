// `npm run bench [-- --only transfer,fanout,… --runs 5 --seconds 3 --hold 60]`: our cluster and the peers in one run, taking turns, and their ratios.
// Rows: start, and those of bench/rows.ts. Needs redis-server and PostgreSQL (Debian), the peers' packages (`npm run bench:setup`) and `npm run release`.
// Prints every JSON line and at the end a table for docs/performance.md.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type LocalCluster, localCluster } from "../scripts/local-cluster.ts";
import { release } from "../src/base/release.ts";
import { type Bench, rows } from "./rows.ts";
import type { Result } from "./turns.ts";

const root = resolve(import.meta.dir, "..");
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    runs: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    n: { type: "string", default: "200000" },
    hold: { type: "string", default: "60" },
  },
});
const wanted = values.only?.split(",") ?? ["start", ...Object.keys(rows)];
for (const row of wanted)
  if (row !== "start" && rows[row] === undefined) throw new Error(`rows: start ${Object.keys(rows).join(" ")}`);

const home = unpackRelease();
const cluster = localCluster({ home });
const table: { row: string; ours: string; peer: string; ratio: string }[] = [];
const running = new Set<string>();
try {
  if (wanted.includes("start")) await startFigures();
  else await cluster.startAll();
  const bench: Bench = {
    conductor: `127.0.0.1:${cluster.ports.conductor}`,
    executable: cluster.executable,
    common: ["--runs", values.runs, "--seconds", values.seconds],
    runs: values.runs,
    n: values.n,
    hold: values.hold,
    deploy,
    destroy,
    compare,
    figure,
  };
  for (const row of wanted) {
    const started = performance.now();
    await rows[row]?.(bench);
    console.error(`${row}: ${Math.round((performance.now() - started) / 1000)} s`);
  }
} finally {
  await cluster.end();
  rmSync(home, { recursive: true, force: true });
  console.log("\n| job | ours | peer | ratio |\n|---|---|---|---|");
  for (const { row, ours, peer, ratio } of table) console.log(`| ${row} | ${ours} | ${peer} | ${ratio} |`);
}
process.exit(0);

/** Cold start of help, cluster to ready, module to running, memory at rest. */
async function startFigures(): Promise<void> {
  const help: number[] = [];
  for (let i = 0; i < 11; i++) help.push(await timed(() => cluster.rama("help")));
  const ready = await timed(() => cluster.startAll());
  const launch = await timed(() => deploy("bench/modules/count.ts", "CountModule"));
  await Bun.sleep(3000);
  figure("cold start of `rama help`, ms", Math.round(help.sort((x, y) => x - y)[5]!));
  figure("devZookeeper + conductor + supervisor to ready, ms", Math.round(ready));
  figure("launch of a module to running (whole `rama deploy`), ms", Math.round(launch));
  figure("memory at rest, PSS of all processes, MB", Math.round(pssBytes(cluster) / 1e6));
}

async function deploy(file: string, module: string, tasks = 4): Promise<void> {
  if (running.has(module)) return;
  running.add(module);
  const size = ["--tasks", String(tasks), "--threads", "2", "--workers", "1"];
  await rama("deploy", "--action", "launch", "--jar", join(root, file), "--module", module, ...size);
}

async function destroy(module: string): Promise<void> {
  running.delete(module);
  await rama("destroy", module);
}

async function rama(...words: string[]): Promise<void> {
  const { code, out, err } = await cluster.rama(...words);
  if (code !== 0) throw new Error(`rama ${words.join(" ")}: ${err || out}`);
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

function compare(row: string, ours: Result, peer: Result): void {
  table.push({ row, ours: shown(ours), peer: shown(peer), ratio: (ours.value / peer.value).toFixed(2) });
}

function shown({ value, min, max }: Result): string {
  const text = (n: number) => n.toLocaleString("en-US");
  return min === undefined ? text(value) : `${text(value)} [${text(min)}..${text(max!)}]`;
}

function figure(row: string, value: number): void {
  table.push({ row, ours: String(value), peer: "", ratio: "" });
  console.log(JSON.stringify({ name: row, value }));
}
