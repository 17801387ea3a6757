// One client process of `bench/overload.ts`: keeps so many appends, reads and queries under way for so long, waiting a moment only after it was told OVERLOADED. One JSON line at its end.
//   bun bench/overload-client.ts PORT DEPOT APPENDS READS QUERIES SECONDS
import { Path, RamaClusterManager, RamaError } from "../src/client.ts";

const [port, depotName, ...numbers] = process.argv.slice(2);
const [appends, reads, queries, seconds] = numbers.map(Number) as [number, number, number, number];
const manager = await RamaClusterManager.open({ "conductor.host": "localhost", "conductor.port": Number(port) });
const module = "OverloadModule";
const depot = manager.clusterDepot(module, depotName!);
const counts = manager.clusterPState(module, "$$counts");
const total = manager.clusterQuery(module, "total");
const done = { appends: 0, reads: 0, queries: 0 };
const errors: Record<string, number> = {};
let peakMb = 0;
const until = performance.now() + seconds * 1000;
const over = (): boolean => performance.now() >= until;
const text = "x".repeat(100);

async function lane(kind: keyof typeof done, call: (n: number) => Promise<unknown>): Promise<void> {
  for (let n = 0; !over(); n++) {
    try {
      await call(n);
      done[kind]++;
    } catch (error) {
      const code = error instanceof RamaError ? error.code : String(error);
      errors[`${kind} ${code}`] = (errors[`${kind} ${code}`] ?? 0) + 1;
      await Bun.sleep(20 + Math.random() * 80);
    }
  }
}

const lanes = [
  ...Array.from({ length: appends }, (_, i) =>
    lane("appends", (n) => depot.append({ userId: `user-${(i * 31 + n) % 5000}`, n, text })),
  ),
  ...Array.from({ length: reads }, (_, i) => lane("reads", (n) => counts.selectOne(Path.key(`user-${(i + n) % 5000}`)))),
  ...Array.from({ length: queries }, () => lane("queries", () => total.invoke())),
];
const watch = setInterval(() => {
  peakMb = Math.max(peakMb, process.memoryUsage.rss() / 1e6);
}, 200);
await Promise.race([Promise.all(lanes), Bun.sleep(seconds * 1000 + 25_000)]);
clearInterval(watch);
console.log(JSON.stringify({ done, errors, peakMb: Math.round(peakMb) }));
process.exit(0);
