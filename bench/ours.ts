// The jobs of bench/peers done with a running cluster, from a client process of its own. One JSON line a result, in the peers' form.
//   bun bench/ours.ts --conductor 127.0.0.1:1973 --job wordcount|append|read|visible [--n 200000 --runs 5 --seconds 3 --width 64 --load 0]
import { Path, RamaClusterManager } from "../src/client.ts";
import { args, closedLoop, median, now, pageViews, pct, repeat, report, rng, sleep, zipf } from "./peers/lib/common.mjs";

interface Event {
  readonly userId: string;
  readonly url: string;
  readonly ts: number;
}

const a = args({ conductor: "", job: "wordcount", n: 200000, runs: 5, seconds: 3, width: 64, load: 0, batch: 500, inflight: 8 });
const [host, port] = a.conductor.split(":");
const cluster = await RamaClusterManager.open({ "conductor.host": host!, "conductor.port": Number(port) });
const depot = cluster.clusterDepot<Event>("CountModule", "*events");
const counts = cluster.clusterPState("CountModule", "$$counts");
const durability = "fdatasync before every ack";

const jobs: Readonly<Record<string, () => Promise<void>>> = { wordcount, append, read, visible };
await jobs[a.job]!();
await cluster.close();
process.exit(0);

/** Each run counts under keys of its own, so that one cluster serves all runs. */
async function wordcount(): Promise<void> {
  const { json, expect } = pageViews(a.n);
  const rates: number[] = [];
  const ms = await repeat(a.runs, async (run: number) => {
    const prefix = `r${run}${Math.floor(now())}-`;
    const events: Event[] = json.map((text: string) => {
      const event = JSON.parse(text) as Event;
      return { ...event, userId: prefix + event.userId };
    });
    const started = now();
    let next = 0;
    const lane = async () => {
      while (next < events.length) {
        const from = next;
        next += a.batch;
        const { failures } = await depot.appendMany(events.slice(from, from + a.batch));
        if (failures.length > 0) throw failures[0]!.error;
      }
    };
    await Promise.all(Array.from({ length: a.inflight }, lane));
    const took = now() - started;
    const users = [...expect.keys()] as string[];
    const got = await Promise.all(users.map((user) => counts.selectOne<number>(Path.key(prefix + user))));
    users.forEach((user, i) => {
      if (got[i] !== expect.get(user)) throw new Error(`count of ${user}: expected ${expect.get(user)}, got ${got[i]}`);
    });
    return took;
  });
  for (const m of ms) rates.push(a.n / (m / 1000));
  report({ name: "1-wordcount/rama", metric: "events end to end", value: median(rates), unit: "events/s", n: a.n, durability, all: rates });
}

function eventAt(events: readonly Event[]): (i: number) => Event {
  return (i) => events[i % events.length]!;
}

async function append(): Promise<void> {
  const at = eventAt(pageViews(10000).json.map((text: string) => JSON.parse(text) as Event));
  const op = (i: number) => depot.append(at(i));
  for (const width of [1, 64, 1024]) {
    const runs = await repeat(a.runs, () => closedLoop(width, a.seconds * 1000, op));
    const rates = runs.map((run) => run.rate);
    report({ name: "2-append/rama", metric: `appends, ${width} in flight`, value: median(rates), unit: "appends/s", n: 0, durability, all: rates });
    for (const p of [50, 99]) {
      const all = runs.map((run) => pct(run.lat, p));
      report({ name: "2-append/rama", metric: `append latency p${p}, ${width} in flight`, value: median(all), unit: "ms", n: 0, durability, all });
    }
  }
}

async function read(): Promise<void> {
  const keys = 10000;
  const pick = zipf(keys, 1, rng(3));
  const user = (i: number) => `user-${String(i).padStart(5, "0")}`;
  await depot.appendMany(Array.from({ length: keys }, (_, i) => ({ userId: user(i), url: "", ts: 0 })));
  const op = async () => {
    if ((await counts.selectOne(Path.key(user(pick())))) === null) throw new Error("no value");
  };
  for (const width of [1, 64]) {
    const runs = await repeat(a.runs, () => closedLoop(width, a.seconds * 1000, op));
    const rates = runs.map((run) => run.rate);
    report({ name: "3-read/rama", metric: `point reads, ${width} in flight`, value: median(rates), unit: "reads/s", n: 0, durability, all: rates });
    for (const p of [50, 99]) {
      const all = runs.map((run) => pct(run.lat, p));
      report({ name: "3-read/rama", metric: `point read latency p${p}, ${width} in flight`, value: median(all), unit: "ms", n: 0, durability, all });
    }
  }
}

async function visible(): Promise<void> {
  const events: Event[] = pageViews(20000).json.map((text: string) => JSON.parse(text) as Event);
  let loading = a.load > 0;
  let sent = 0;
  const load = (async () => {
    const started = now();
    while (loading) {
      const due = Math.floor(((now() - started) / 1000) * a.load);
      while (sent < due) depot.append(events[sent++ % events.length]!).catch(() => {});
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
      while ((await counts.selectOne(Path.key(userId))) === null) if (now() - started > 10000) throw new Error("not visible after 10 s");
      latencies.push(now() - started);
      await acked;
    }
    return latencies;
  });
  loading = false;
  await load;
  for (const p of [50, 99]) {
    const all = runs.map((latencies: number[]) => pct(latencies, p));
    report({ name: "4-visible/rama", metric: `append to visible p${p}, ${a.load} events/s beside`, value: median(all), unit: "ms", n: 0, durability, all });
  }
}
