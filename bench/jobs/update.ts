// A running module is updated under a steady load: the longest time that an append, and a read, had to wait.
import { Path } from "../../src/client.ts";
import { now, once, pct, report, sleep } from "../peers/lib/common.mjs";
import { durability, type Job, load, userName } from "./job.ts";

const users = 1000;

export async function update(job: Job): Promise<void> {
  const { cluster, a } = job;
  const depot = cluster.clusterDepot(a.module, "*events");
  const counts = cluster.clusterPState(a.module, "$$counts");
  const event = (i: number) => ({ userId: userName(i % users), url: "https://example.com/shop/item/000001", ts: 0 });
  await load(depot, Array.from({ length: users }, (_, i) => event(i)));
  await once(async () => {
    const appends: number[] = [];
    const reads: number[] = [];
    let going = true;
    let failed = 0;
    const started = now();
    const appending = (async () => {
      const open = new Set<Promise<void>>();
      for (let sent = 0; going; await sleep(1)) {
        for (const due = Math.floor(((now() - started) / 1000) * a.load); sent < due; sent++) {
          const at = now();
          const one: Promise<void> = depot.append(event(sent)).then(
            () => void appends.push(now() - at),
            () => void failed++,
          );
          open.add(one);
          void one.finally(() => open.delete(one));
        }
      }
      await Promise.all(open);
    })();
    const reading = (async () => {
      for (let i = 0; going; i++) {
        const at = now();
        await counts.selectOne(Path.key(userName(i % users)));
        reads.push(now() - at);
        await sleep(1);
      }
    })();
    await sleep(a.seconds * 1000);
    const before = { appends: pct(appends, 99), reads: pct(reads, 99), n: appends.length };
    appends.length = reads.length = 0;
    const child = Bun.spawn(a.update.split(" "), { stdout: "ignore", stderr: "inherit", stdin: "ignore" });
    if ((await child.exited) !== 0) throw new Error("the update was refused");
    await sleep(a.seconds * 1000);
    going = false;
    await Promise.all([appending, reading]);
    if (failed > 0) throw new Error(`${failed} appends failed`);
    const name = "10-update/rama";
    const line = (metric: string, value: number, n: number) => report({ name, metric, value, unit: "ms", n, durability });
    line("append p99 before the update", before.appends, before.n);
    line("longest append stall", Math.max(...longest(appends)), appends.length);
    line("read p99 before the update", before.reads, before.n);
    line("longest read stall", Math.max(...longest(reads)), reads.length);
  });
}

/** In pieces: so many arguments do not fit one call of Math.max. */
function longest(all: readonly number[]): number[] {
  const maxima: number[] = [0];
  for (let i = 0; i < all.length; i += 1000) maxima.push(Math.max(...all.slice(i, i + 1000)));
  return maxima;
}
