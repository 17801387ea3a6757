// Jobs 1 to 4 of bench/peers, on the modules of bench/modules/count.ts and microbatch-count.ts.
import { Path } from "../../src/client.ts";
import { median, now, pageViews, pct, repeat, report, rng, sleep, zipf } from "../peers/lib/common.mjs";
import { durability, type Job, load, until, userName, widths } from "./job.ts";

interface Event {
  readonly userId: string;
  readonly url: string;
  readonly ts: number;
}

const objects = ({ cluster, a }: Job) => ({
  depot: cluster.clusterDepot<Event>(a.module, "*events"),
  counts: cluster.clusterPState(a.module, "$$counts"),
});

const events = (n: number): Event[] => pageViews(n).json.map((text) => JSON.parse(text) as Event);

/**
 * Until a reader sees all counts: those of the events that may have been under way last, a few of them first, since asking for all again and again would be most of
 * what the worker does. As with the peers, all counts are compared after the clock has stopped. Each run counts under keys of its own, so that one cluster serves all runs.
 */
export async function wordcount(job: Job): Promise<void> {
  const { a } = job;
  const { depot, counts } = objects(job);
  const { json, expect } = pageViews(a.n);
  const ms = await repeat(a.runs, async (run) => {
    const prefix = `r${run}${Math.floor(now())}-`;
    const all = json.map((text) => JSON.parse(text.replace('"userId":"', `"userId":"${prefix}`)) as Event);
    const unlike = async (users: readonly string[]) => {
      const got = await Promise.all(users.map((user) => counts.selectOne<number>(Path.key(prefix + user))));
      return users.find((user, i) => got[i] !== expect.get(user));
    };
    const last = [...new Set(all.slice(-a.inflight * a.batch).map(({ userId }) => userId.slice(prefix.length)))];
    const started = now();
    await load(depot as never, all, a.inflight, a.batch);
    await until("counts", async () => (await unlike(last.slice(-8))) === undefined);
    await until("counts", async () => (await unlike(last)) === undefined);
    const took = now() - started;
    const wrong = await unlike([...expect.keys()]);
    if (wrong !== undefined) throw new Error(`the count of ${wrong} is not ${expect.get(wrong)}`);
    return took;
  });
  const rates = ms.map((m) => a.n / (m / 1000));
  const name = `1-wordcount/${a.module}`;
  report({ name, metric: "events end to end", value: median(rates), unit: "events/s", n: a.n, durability, all: rates });
}

export async function append(job: Job): Promise<void> {
  const all = events(10_000);
  const { depot } = objects(job);
  const what = { name: "2-append/rama", metric: "appends", unit: "appends/s", widths: [1, job.a.width] };
  await widths(job, what, (i) => depot.append(all[i % all.length]!));
}

export async function read(job: Job): Promise<void> {
  const { depot, counts } = objects(job);
  const keys = 10_000;
  const pick = zipf(keys, 1, rng(3));
  await load(depot as never, Array.from({ length: keys }, (_, i) => ({ userId: userName(i), url: "", ts: 0 })));
  const what = { name: "3-read/rama", metric: "point reads", unit: "reads/s", widths: [1, job.a.width] };
  await widths(job, what, async () => {
    if ((await counts.selectOne(Path.key(userName(pick())))) === null) throw new Error("no value");
  });
}

/** One probe at a time: from the append to the moment at which a read finds it; `load` events a second beside, `pause` ms between probes. */
export async function visible(job: Job, pause = 0): Promise<void> {
  const { a } = job;
  const { depot, counts } = objects(job);
  const all = events(20_000);
  let loading = a.load > 0;
  let sent = 0;
  const beside = (async () => {
    const started = now();
    while (loading) {
      const due = Math.floor(((now() - started) / 1000) * a.load);
      while (sent < due) depot.append(all[sent++ % all.length]!).catch(() => {});
      await sleep(2);
    }
  })();
  const tag = `probe-${Math.floor(now() * 1000)}-`;
  let probe = 0;
  const runs = await repeat(a.runs, async () => {
    const latencies: number[] = [];
    const end = now() + a.seconds * 1000;
    while (now() < end) {
      const userId = tag + probe++;
      const started = now();
      const acked = depot.append({ userId, url: "https://example.com/shop/item/000001", ts: 1700000000000 });
      while ((await counts.selectOne(Path.key(userId))) === null)
        if (now() - started > 10000) throw new Error("not visible after 10 s");
      latencies.push(now() - started);
      await acked;
      if (pause > 0) await sleep(pause * Math.random());
    }
    return latencies;
  });
  loading = false;
  await beside;
  for (const p of [50, 99]) {
    const late = runs.map((latencies) => pct(latencies, p));
    const metric = `append to visible p${p}, ${a.load} events/s beside`;
    report({ name: `4-visible/${a.module}`, metric, value: median(late), unit: "ms", n: probe, durability, all: late });
  }
}

/** As `visible`, with time between the probes in which nothing happens. */
export const lowLoad = (job: Job): Promise<void> => visible(job, 20);

