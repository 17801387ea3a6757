// The jobs of the benchmarks done with a running cluster, from a client process of its own. One JSON line a result, in the form of bench/peers.
//   bun bench/ours.ts --conductor 127.0.0.1:1973 --job wordcount|append|read|visible|… [--module CountModule --n 200000 --runs 5 --seconds 3 --width 64]
import { RamaClusterManager } from "../src/client.ts";
import { append, lowLoad, read, visible, wordcount } from "./jobs/counts.ts";
import { fanout } from "./jobs/fanout.ts";
import { defaults, type Job, type JobArgs } from "./jobs/job.ts";
import { nested, query, range } from "./jobs/reads.ts";
import { transfers } from "./jobs/transfers.ts";
import { update } from "./jobs/update.ts";
import { args } from "./peers/lib/common.mjs";

const jobs: Readonly<Record<string, (job: Job) => Promise<void>>> = {
  wordcount,
  append,
  read,
  visible: (job) => visible(job),
  lowLoad,
  transfers,
  nested,
  range,
  query,
  fanout,
  update,
};

const a: JobArgs = args(defaults);
const [host, port] = a.conductor.split(":");
const cluster = await RamaClusterManager.open({ "conductor.host": host!, "conductor.port": Number(port) });
await jobs[a.job]!({ cluster, a });
await cluster.close();
process.exit(0);
