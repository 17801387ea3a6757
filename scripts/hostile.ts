// `npm run hostile -- --frames 2000000`: hostile bytes at every port of a cluster out of the release, beside good clients. Ends with what each port got and what became of the processes;
// exit code 1 when one of them ended, grew without bound, or a good client lost something.
import { parseArgs } from "node:util";
import { hostile } from "./hostile/run.ts";

const { values } = parseArgs({ options: { frames: { type: "string" }, seed: { type: "string" } } });
const frames = Number(values.frames ?? 200_000);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
console.log(`${frames} hostile frames, seed ${seed}`);
const { seconds, ports, processes, appends, slowestAppendMs, violations } = await hostile({
  frames,
  seed,
  log: (line) => console.log(line),
});
console.log(
  "\n| port | connections | frames | MB | answers | closed by the port | as |\n|---|---|---|---|---|---|---|",
);
for (const [name, { connections, frames: sent, bytes, answers, closedByThem, reasons }] of ports) {
  const as = [...reasons].map(([code, count]) => `${code} ${count}`).join(", ");
  console.log(
    `| ${name} | ${connections} | ${sent} | ${(bytes / 1e6).toFixed(1)} | ${answers} | ${closedByThem} | ${as} |`,
  );
}
console.log(
  "\n| process | RSS before, MB | peak | after | descriptors before | peak | after |\n|---|---|---|---|---|---|---|",
);
for (const row of processes) {
  const rss = [row.rssBeforeMb, row.rssPeakMb, row.rssAfterMb].map(Math.round).join(" | ");
  console.log(`| ${row.name} | ${rss} | ${row.descriptorsBefore} | ${row.descriptorsPeak} | ${row.descriptorsAfter} |`);
}
console.log(`\n${seconds} s; ${appends} good appends beside it, the slowest ${Math.round(slowestAppendMs)} ms`);
for (const violation of violations) console.log(`VIOLATION ${violation}`);
console.log(violations.length === 0 ? "all held" : `${violations.length} violations`);
process.exit(violations.length === 0 ? 0 : 1);
