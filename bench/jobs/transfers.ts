// Job 6 of bench/peers on the modules of bench/modules/transfers.ts: an operation ends when its outcome is durable and known to the client.
import { Path } from "../../src/client.ts";
import { rng } from "../peers/lib/common.mjs";
import { type Job, load, type Op, until, widths } from "./job.ts";

const accounts = 10_000;
const deposit = 1_000_000;

async function sum({ cluster, a }: Job): Promise<number> {
  const funds = cluster.clusterPState(a.module, "$$funds");
  const users = Array.from({ length: accounts }, (_, user) => user);
  const all = await Promise.all(users.map((user) => funds.selectOne<number>(Path.key(user))));
  return all.reduce<number>((total, each) => total + (each ?? 0), 0);
}

export async function transferOp(job: Job): Promise<Op> {
  const { cluster, a } = job;
  const depot = cluster.clusterDepot(a.module, "*transfers");
  const whole = (await sum(job)) + accounts * deposit;
  const deposits = Array.from({ length: accounts }, (_, user) => ({ user, amount: deposit }));
  await load(cluster.clusterDepot(a.module, "*deposits"), deposits);
  await until("deposits", async () => (await sum(job)) === whole);
  const rand = rng(5);
  // Ids of each client process are its own.
  let id = process.pid * 100_000_000;
  const transfer = () => {
    const from = (rand() * accounts) | 0;
    const to = (rand() * accounts) | 0;
    return { id: ++id, from, to: to === from ? (from + 1) % accounts : to, amount: 1 + ((rand() * 10) | 0) };
  };
  if (a.module === "StreamTransfers") return () => depot.append(transfer());
  const client = `client-${process.pid}`;
  const waiting = new Map<number, (done: boolean) => void>();
  const mailboxes = cluster.clusterPState(a.module, "$$mailboxes");
  await mailboxes.proxy<[number, boolean][] | null>(Path.key(client), (outcomes) => {
    for (const [each, done] of outcomes ?? []) {
      waiting.get(each)?.(done);
      waiting.delete(each);
    }
  });
  return () => {
    const record = { ...transfer(), client };
    const outcome = new Promise<boolean>((resolve) => waiting.set(record.id, resolve));
    return Promise.all([outcome, depot.append(record)]);
  };
}

export async function transfers(job: Job): Promise<void> {
  const op = await transferOp(job);
  const before = await sum(job);
  const name = `6-transfer/${job.a.module}`;
  await widths(job, { name, metric: "transfers", unit: "transfers/s", widths: [job.a.width] }, op);
  if ((await sum(job)) !== before) throw new Error("the sum has changed");
}
