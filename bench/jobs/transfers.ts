// Job 6 of bench/peers on the modules of bench/modules/transfers.ts: an operation ends when its outcome is durable and known to the client.
import { Path } from "../../src/client.ts";
import { rng } from "../peers/lib/common.mjs";
import { type Job, load, until, widths } from "./job.ts";

const accounts = 10_000;
const deposit = 1_000_000;

export async function transfers(job: Job): Promise<void> {
  const { cluster, a } = job;
  const depot = cluster.clusterDepot(a.module, "*transfers");
  const funds = cluster.clusterPState(a.module, "$$funds");
  const sum = async () => {
    const all = await Promise.all(Array.from({ length: accounts }, (_, user) => funds.selectOne<number>(Path.key(user))));
    return all.reduce<number>((total, each) => total + (each ?? 0), 0);
  };
  const whole = (await sum()) + accounts * deposit;
  const deposits = Array.from({ length: accounts }, (_, user) => ({ user, amount: deposit }));
  await load(cluster.clusterDepot(a.module, "*deposits"), deposits);
  await until("deposits", async () => (await sum()) === whole);
  const rand = rng(5);
  const pair = () => {
    const from = (rand() * accounts) | 0;
    const to = (rand() * accounts) | 0;
    return { from, to: to === from ? (from + 1) % accounts : to, amount: 1 + ((rand() * 10) | 0) };
  };
  // Ids of each client process are its own.
  let id = process.pid * 100_000_000;
  const what = { name: `6-transfer/${a.module}`, metric: "transfers", unit: "transfers/s", widths: [a.width] };
  if (a.module === "StreamTransfers") await widths(job, what, () => depot.append({ id: ++id, ...pair() }));
  else {
    const client = `client-${process.pid}`;
    const waiting = new Map<number, (done: boolean) => void>();
    const mailbox = await cluster.clusterPState(a.module, "$$mailboxes").proxy<[number, boolean][] | null>(Path.key(client), (outcomes) => {
      for (const [each, done] of outcomes ?? []) {
        waiting.get(each)?.(done);
        waiting.delete(each);
      }
    });
    await widths(job, what, () => {
      const transfer = { id: ++id, ...pair(), client };
      const outcome = new Promise<boolean>((resolve) => waiting.set(transfer.id, resolve));
      return Promise.all([outcome, depot.append(transfer)]);
    });
    await mailbox.close();
  }
  if ((await sum()) !== whole) throw new Error("the sum has changed");
}
