// `npm run soak -- --minutes 30`: three nodes on this machine, a module with one replica and one with three, under load and random faults for two thirds of the time, then calm. Ends
// with a table of faults and processes; exit code 1 when an oracle, the memory or the descriptors say so.
//   --minutes 30   how long   --seed N   of the choices   --kinds "kill a worker,kill a node"   these faults only
import { parseArgs } from "node:util";
import { soak, type SoakResult } from "./soak/run.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string" }, seed: { type: "string" }, kinds: { type: "string" } },
});
const minutes = Number(values.minutes ?? 30);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('usage: npm run soak -- [--minutes 30] [--seed 1] [--kinds "kill a worker"]');
  process.exit(2);
}
console.log(`soak of ${minutes} minutes, seed ${seed}`);
const result = await soak({
  faultsMs: (minutes * 60_000 * 2) / 3,
  calmMs: (minutes * 60_000) / 3,
  seed,
  log: (line) => console.log(line),
  ...(values.kinds === undefined ? {} : { kinds: values.kinds.split(",") }),
});
tell(result);
process.exit(result.violations.length === 0 ? 0 : 1);

function tell({ seconds, faults, processes, loads, records, violations, logs }: SoakResult): void {
  console.log(`\n| fault | times | longest until both modules went on |\n|---|---|---|`);
  for (const { name, count, longestMs } of faults)
    console.log(`| ${name} | ${count} | ${(longestMs / 1000).toFixed(1)} s |`);
  console.log(
    "\n| process | lives | RSS in the calm, MB | peak | slope, MB/h | descriptors | peak |\n|---|---|---|---|---|---|---|",
  );
  for (const row of processes) {
    const rss = `${Math.round(row.firstRssMb)} → ${Math.round(row.lastRssMb)} | ${Math.round(row.peakRssMb)}`;
    const descriptors = `${row.firstDescriptors} → ${row.lastDescriptors} | ${row.peakDescriptors}`;
    console.log(`| ${row.name} | ${row.lives} | ${rss} | ${row.slopeMbPerHour.toFixed(0)} | ${descriptors} |`);
  }
  for (const { module, acknowledgedCount, reads, errors, updates, countedAgain } of loads) {
    const told = [...errors].map(([code, count]) => `${code} ${count}`).join(", ");
    console.log(
      `\n${module}: ${acknowledgedCount} appends acknowledged, ${reads} reads checked; ended otherwise: ${told || "none"}`,
    );
    if (updates > 0) console.log(`  ${updates} updates; ${countedAgain} records were counted again after them`);
  }
  console.log(`\n${records} records read back after ${seconds} s`);
  for (const violation of violations) console.log(`VIOLATION ${violation}`);
  if (logs !== undefined) console.log(`the logs are in ${logs}`);
  console.log(violations.length === 0 ? "all held" : `${violations.length} violations`);
}
