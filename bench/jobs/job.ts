// What the jobs of bench/ours.ts share.
import type { ClusterClient } from "../../src/client/cluster-client.ts";
import { closedLoop, median, pct, repeat, report } from "../peers/lib/common.mjs";

export interface JobArgs {
  /** host:port of the conductor. */
  readonly conductor: string;
  readonly job: string;
  /** Module to talk to, where a job serves several. */
  readonly module: string;
  readonly n: number;
  readonly runs: number;
  readonly seconds: number;
  /** In flight, beside 1. */
  readonly width: number;
  readonly load: number;
  readonly batch: number;
  readonly inflight: number;
  /** Command that updates the module, words separated by spaces. */
  readonly update: string;
}

export const defaults: { [K in keyof JobArgs]: JobArgs[K] } = {
  conductor: "",
  job: "wordcount",
  module: "CountModule",
  n: 200000,
  runs: 5,
  seconds: 3,
  width: 64,
  load: 0,
  batch: 500,
  inflight: 8,
  update: "",
};

export interface Job {
  readonly cluster: ClusterClient;
  readonly a: JobArgs;
}

/** One operation of a job, over and over; what it needs is there. */
export type Op = (i: number) => Promise<unknown>;

export const durability = "fdatasync before every ack";

export const userName = (i: number): string => `user-${String(i).padStart(5, "0")}`;

/** The job's operation at each width: rate, p50 and p99, one line each. */
export async function widths(
  { a }: Job,
  what: { name: string; metric: string; unit: string; widths: readonly number[] },
  op: Op,
): Promise<void> {
  const { name, metric, unit } = what;
  for (const width of what.widths) {
    const runs = await repeat(a.runs, () => closedLoop(width, a.seconds * 1000, op));
    const n = runs.reduce((sum, run) => sum + run.lat.length, 0);
    const all = runs.map((run) => run.rate);
    report({ name, metric: `${metric}, ${width} in flight`, value: median(all), unit, n, durability, all });
    for (const p of [50, 99]) {
      const late = runs.map((run) => pct(run.lat, p));
      report({ name, metric: `latency p${p}, ${width} in flight`, value: median(late), unit: "ms", n, durability, all: late });
    }
  }
}

/** Stores records in big batches, some under way at a time; stops at the first that is not stored. */
export async function load(
  depot: { appendMany(records: unknown[]): Promise<{ failures: readonly { error: unknown }[] }> },
  records: Iterable<unknown>,
  inflight = 8,
  batch = 1000,
): Promise<void> {
  const iterator = records[Symbol.iterator]();
  const lane = async () => {
    for (;;) {
      const part: unknown[] = [];
      while (part.length < batch) {
        const next = iterator.next();
        if (next.done) break;
        part.push(next.value);
      }
      if (part.length === 0) return;
      const { failures } = await depot.appendMany(part);
      if (failures.length > 0) throw failures[0]!.error;
    }
  };
  await Promise.all(Array.from({ length: inflight }, lane));
}

/** Waits until `ready` holds, asking again and again. */
export async function until(what: string, ready: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await ready())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await Bun.sleep(1);
  }
}
