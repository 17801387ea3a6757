// `npm run demo [-- --rows N] [--keep]`: from this checkout to answers, the way a person would go: build the release, unpack it, start the three daemons from the
// executable, deploy examples/flights.ts, feed it real flight records through the client library, ask questions, stop all in order.
// Everything lies in one temporary folder and on free ports; whatever happens, nothing is left running, unless --keep says so.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { RamaClusterManager } from "rama";
import { createPrint } from "../src/cli/print.ts";
import { DemoCluster } from "./demo/cluster.ts";
import { airportNames, type FlightRecord, flightRecords, rowCount } from "./demo/flight-records.ts";
import { Fold, questions } from "./demo/questions.ts";

const root = resolve(import.meta.dir, "..");
const module = "FlightsModule";
const defaultRows = 300_000;
/** Records in one call, and calls under way: enough to keep every task busy, little enough to stay bounded. */
const chunkRecords = 1_000;
const chunksInFlight = 12;

const print = createPrint(
  {
    write: (text) => void process.stdout.write(text),
    isTty: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 80,
  },
  {
    write: (text) => void process.stdout.write(text),
    isTty: process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined,
    columns: process.stdout.columns ?? 80,
  },
);
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const grouped = (n: number): string => Math.round(n).toLocaleString("en-US");

class Interrupted extends Error {}

interface Options {
  readonly rows: number;
  readonly keep: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({ options: { rows: { type: "string" }, keep: { type: "boolean" } }, strict: true });
  const rows = values.rows === undefined ? defaultRows : Number(values.rows);
  if (!Number.isInteger(rows) || rows < 1) throw new Error(`--rows takes a whole number ≥ 1, got "${values.rows}"`);
  return { rows: Math.min(rows, rowCount(root)), keep: values.keep === true };
}

/** Says what is done, then how long it took. */
async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  process.stdout.write(`${what} … `);
  const started = performance.now();
  const result = await work();
  process.stdout.write(`${seconds(performance.now() - started)}\n`);
  return result;
}

/** Builds the tarball of this machine and unpacks it; the folder of the unpacked release. */
async function unpackedRelease(folder: string): Promise<string> {
  const build = join(folder, "build");
  const child = Bun.spawn([process.execPath, join(root, "scripts/build-release.ts"), "--out", build], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`the release does not build (npm run release)\n${out}${err}`);
  const archive = /^(\S+\.tar\.gz)\b/m.exec(out)?.[1];
  if (archive === undefined) throw new Error(`the build names no archive:\n${out}`);
  const tar = Bun.spawn(["tar", "xzf", archive, "-C", folder], { stdout: "ignore", stderr: "pipe" });
  const tarSaid = await new Response(tar.stderr).text();
  if ((await tar.exited) !== 0) throw new Error(`${archive} cannot be unpacked: ${tarSaid}`);
  rmSync(build, { recursive: true });
  return join(folder, readdirSync(folder)[0]!);
}

async function feed(cluster: RamaClusterManager, rows: number, fold: Fold, stopped: () => boolean): Promise<void> {
  const depot = cluster.clusterDepot<FlightRecord>(module, "*flights");
  const progress = print.progress(`feeding ${grouped(rows)} flights`, rows);
  const started = performance.now();
  const rate = (done: number) => `${grouped(done / Math.max(0.001, (performance.now() - started) / 1000))} events/s`;
  const underWay = new Set<Promise<void>>();
  let done = 0;
  let failure: unknown;
  const send = async (records: FlightRecord[]): Promise<void> => {
    try {
      const { failures } = await depot.appendMany(records);
      if (failures[0]) throw failures[0].error;
      done += records.length;
      progress.update(done, rate(done));
    } catch (error) {
      failure ??= error;
    }
  };
  for await (const records of flightRecords(root, rows)) {
    for (let from = 0; from < records.length; from += chunkRecords) {
      if (stopped()) throw new Interrupted();
      if (failure) throw failure;
      const chunk = records.slice(from, from + chunkRecords);
      for (const record of chunk) fold.add(record);
      const call = send(chunk).finally(() => underWay.delete(call));
      underWay.add(call);
      if (underWay.size >= chunksInFlight) await Promise.race(underWay);
    }
  }
  await Promise.all(underWay);
  if (failure) throw failure;
  progress.end(
    `fed ${grouped(done)} flights in ${seconds(performance.now() - started)}: ${rate(done)}, each on disk and in every index before its append was acknowledged`,
  );
}

async function ask(cluster: RamaClusterManager, restUrl: string, fold: Fold): Promise<boolean> {
  let allRight = true;
  for (const question of questions(cluster, restUrl, fold, airportNames(root))) {
    const started = performance.now();
    const { lines, right } = await question.ask();
    const ms = performance.now() - started;
    print.out(`\n${question.text}   ${ms.toFixed(1)} ms\n    ${question.by}`);
    for (const line of lines) print.out(`  ${line}`);
    if (lines.length === 0) print.out("  nothing");
    if (!right) print.out("  NOT what a plain count over the same records says");
    allRight &&= right;
  }
  print.out(allRight ? "\nEvery answer equals a plain count over the same records." : "");
  return allRight;
}

function sayHowToGoOn(cluster: DemoCluster, folder: string): void {
  const { supervisor, conductor, devZookeeper } = Object.fromEntries(cluster.pids) as Record<string, number>;
  print.out(`
The cluster goes on. From another terminal:
  cd ${cluster.dir}
  ./rama moduleStatus ${module}
  ./rama select ${module} '$$airports' '["ORD"]'
  ./rama append ${module} '*flights' '{"date": 1000000000000, "delay": 75, "distance": 733, "origin": "LGA", "destination": "ORD"}'
Stop it (the module and its data first, then the daemons), and clean up:
  ./rama destroy ${module} && kill ${supervisor} ${conductor} ${devZookeeper}
  rm -r ${folder}`);
}

async function demo({ rows, keep }: Options): Promise<number> {
  let interrupted = false;
  let cluster: DemoCluster | undefined;
  const onSignal = (): void => {
    // The second one ends at once.
    if (interrupted) {
      cluster?.kill();
      process.exit(130);
    }
    interrupted = true;
    process.stdout.write("\nstopping …\n");
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const folder = mkdtempSync(join(tmpdir(), "rama-demo-"));
  const check = (): void => {
    if (interrupted) throw new Interrupted();
  };
  let kept = false;
  try {
    const dir = await step("building the release for this machine and unpacking it", () => unpackedRelease(folder));
    check();
    cluster = new DemoCluster(dir);
    const running = cluster;
    await step("starting devZookeeper, conductor and supervisor", () => running.start());
    check();
    await step(
      `./rama deploy --action launch --jar examples/flights.ts --module ${module} --tasks 8 --threads 4 --workers 1`,
      () =>
        running.rama(
          ...["deploy", "--action", "launch", "--jar", "examples/flights.ts", "--module", module],
          ...["--tasks", "8", "--threads", "4", "--workers", "1"],
        ),
    );
    check();
    const fold = new Fold();
    let right: boolean;
    {
      await using client = await RamaClusterManager.open({
        "conductor.host": "localhost",
        "conductor.port": running.conductorPort,
      });
      await feed(client, rows, fold, () => interrupted);
      right = await ask(client, running.restUrl, fold);
    }
    check();
    print.out(`\nREST: ${running.restUrl}/rest/${module}/…   Cluster UI: ${running.uiUrl}`);
    if (keep) {
      kept = true;
      sayHowToGoOn(running, folder);
    } else {
      await step("stopping in order", () => running.stop([module]));
    }
    return right ? 0 : 1;
  } catch (error) {
    // Ctrl-C reaches a build or a command that is under way too, which then fails.
    if (interrupted || error instanceof Interrupted) {
      await cluster?.stop(await launched(cluster)).catch(() => cluster?.kill());
      return 130;
    }
    print.error(error instanceof Error ? error.message : String(error));
    const tails = cluster?.logTails();
    if (tails) print.note(`\nThe ends of the logs:\n${tails}`);
    return 1;
  } finally {
    if (!kept) {
      cluster?.kill();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function launched(cluster: DemoCluster): Promise<string[]> {
  if (!existsSync(join(cluster.dir, "local-rama-data/supervisor"))) return [];
  const modules = JSON.parse(await cluster.rama("moduleStatus", "--json")) as readonly { readonly name: string }[];
  return modules.map(({ name }) => name);
}

const started = performance.now();
const code = await demo(readOptions());
print.out(
  code === 0
    ? `done in ${seconds(performance.now() - started)}`
    : `ended with ${code} after ${seconds(performance.now() - started)}`,
);
process.exit(code);
