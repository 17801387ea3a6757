// `npm run test:cluster [-- --full] [-- --seconds N] [-- --only TEXT]`: the faults of tests/cluster-real - three nodes with addresses of their own, out of the compiled executable -
// each phase (calm, fault, recovery) lasting N seconds: 10, or 60 with --full, which runs all cases and writes what came out into docs/reliability.md.
// Needs root, iproute2, nftables and Apache ZooKeeper (python3 and faketime for some cases); says what is missing.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

interface Phase {
  readonly acked: number;
  readonly gapMs: number;
  readonly slowestMs: number;
  readonly heldMs: number;
}

interface Outcome {
  readonly name: string;
  readonly skipped?: string;
  readonly failed?: string;
  readonly calm?: Phase;
  readonly fault?: Phase;
  readonly recovery?: Phase;
  readonly acked?: number;
  readonly unknown?: number;
  readonly refused?: number;
  readonly lost?: number;
  readonly doubled?: number;
  readonly wrong?: number;
}

const root = resolve(import.meta.dir, "..");
const { values } = parseArgs({
  options: { full: { type: "boolean", default: false }, seconds: { type: "string" }, only: { type: "string" } },
});
const seconds = values.seconds ?? (values.full ? "60" : "10");
const scratch = mkdtempSync(join(tmpdir(), "rama-test-cluster-"));
const results = join(scratch, "results");
const child = Bun.spawn([process.execPath, "test", "--timeout", "900000", "./tests/cluster-real"], {
  cwd: root,
  stdout: "inherit",
  stderr: "inherit",
  env: {
    ...process.env,
    RAMA_PHASE_SECONDS: seconds,
    RAMA_REQUIRE_ALL: "1",
    RAMA_CLUSTER_RESULTS: results,
    ...(values.full ? { RAMA_CLUSTER_FULL: "1" } : {}),
    ...(values.only === undefined ? {} : { RAMA_CLUSTER_ONLY: values.only }),
  },
});
const code = await child.exited;
const outcomes = existsSync(results) ? readFileSync(results, "utf8").trim().split("\n").map(parse) : [];
rmSync(scratch, { recursive: true });
for (const { name, skipped } of outcomes) if (skipped !== undefined) console.log(`SKIPPED: ${name}: ${skipped}`);
if (values.full && outcomes.length > 0) writeResult(outcomes);
process.exit(code);

function parse(line: string): Outcome {
  return JSON.parse(line) as Outcome;
}

/** Between the two markers of the document. */
function writeResult(all: readonly Outcome[]): void {
  const file = join(root, "docs/reliability.md");
  const text = readFileSync(file, "utf8");
  const [begin, end] = ["<!-- cluster-real: begin -->", "<!-- cluster-real: end -->"];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`docs/reliability.md has no ${begin} … ${end}`);
  const git = (...words: string[]) =>
    Bun.spawnSync(["git", ...words], { cwd: root })
      .stdout.toString()
      .trim();
  const dirty = git("status", "--porcelain", "src") === "" ? "" : " with changes";
  const when = new Date().toISOString().slice(0, 16).replace("T", " ");
  const head = `Last full run: ${when} UTC, commit ${git("rev-parse", "--short", "HEAD")}${dirty}, phases of ${seconds} s, ${cpus().length} cores.`;
  const table = [
    "| fault | acked in calm / fault / recovery | longest gap of the fault | slowest append of the fault | unknown | refused | lost | doubled |",
    "|---|---|---|---|---|---|---|---|",
    ...all.map(row),
  ];
  writeFileSync(file, `${before}${begin}\n${head}\n\n${table.join("\n")}\n${end}${after}`);
}

function row(of: Outcome): string {
  if (of.skipped !== undefined) return `| ${of.name} | *skipped: ${of.skipped}* | | | | | | |`;
  const { calm, fault, recovery } = of;
  if (calm === undefined || fault === undefined || recovery === undefined)
    return `| ${of.name} | **failed: ${(of.failed ?? "").split("\n")[0]}** | | | | | | |`;
  const held =
    Math.max(calm.heldMs, fault.heldMs, recovery.heldMs) < 1_000 ? "" : " (the machine stood still for seconds)";
  const ms = (value: number) => `${(value / 1000).toFixed(2)} s`;
  const acked = `${calm.acked} / ${fault.acked} / ${recovery.acked}`;
  const lost = (of.wrong ?? 0) > 0 ? `${of.lost}, ${of.wrong} wrong states` : `${of.lost}`;
  return `| ${of.name}${held} | ${acked} | ${ms(fault.gapMs)} | ${ms(fault.slowestMs)} | ${of.unknown} | ${of.refused} | ${lost} | ${of.doubled} |`;
}
