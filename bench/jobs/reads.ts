// The read rows of issue 3 on bench/modules/reads.ts.
import { Path } from "../../src/client.ts";
import { rng, zipf } from "../peers/lib/common.mjs";
import { type Job, load, type Op, userName, widths } from "./job.ts";

const users = 10_000;

/** A value three levels deep, below two subindexed maps. */
export async function nestedOp(job: Job): Promise<Op> {
  const views = job.cluster.clusterPState(job.a.module, "$$views");
  const place = (user: number) => ({ user: userName(user), day: 20_000 + (user % 30), page: `/page/${user % 17}` });
  await load(job.cluster.clusterDepot(job.a.module, "*views"), Array.from({ length: users }, (_, i) => place(i)));
  const pick = zipf(users, 1, rng(3));
  return async () => {
    const { user, day, page } = place(pick());
    if ((await views.selectOne(Path.key(user, day, page))) === null) throw new Error("no value");
  };
}

export async function nested(job: Job): Promise<void> {
  const what = { name: "3-read/nested", metric: "point reads", unit: "reads/s", widths: [1, job.a.width] };
  await widths(job, what, await nestedOp(job));
}

/** 20 neighbours out of `n` in one subindexed map. */
export async function rangeOp(job: Job): Promise<Op> {
  const { n } = job.a;
  const series = job.cluster.clusterPState(job.a.module, "$$series");
  const points = function* () {
    for (let at = 0; at < n; at++) yield { series: "all", at, value: at * 2 };
  };
  await load(job.cluster.clusterDepot(job.a.module, "*points"), points());
  // What is read often is in memory, as it is in the peer's: one look at all of it before.
  const pages = Array.from({ length: Math.ceil(n / 1000) }, (_, i) => i * 1000);
  const lane = async () => {
    for (let from = pages.pop(); from !== undefined; from = pages.pop())
      await series.selectOne(Path.key("all").sortedMapRangeFrom(from, { maxAmt: 1000 }));
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  const rand = rng(3);
  return async () => {
    const from = (rand() * (n - 20)) | 0;
    const found = await series.selectOne<Map<number, number>>(Path.key("all").sortedMapRangeFrom(from, { maxAmt: 20 }));
    if (found?.size !== 20) throw new Error(`${found?.size} instead of 20`);
  };
}

export async function range(job: Job): Promise<void> {
  const what = { name: "8-range/rama", metric: "ranges of 20", unit: "reads/s", widths: [1, job.a.width] };
  await widths(job, what, await rangeOp(job));
}

/** A query that touches all tasks. */
export async function queryOp(job: Job): Promise<Op> {
  const total = job.cluster.clusterQuery(job.a.module, "total");
  return async () => {
    if (typeof (await total.invoke()) !== "number") throw new Error("no total");
  };
}

export async function query(job: Job): Promise<void> {
  const what = { name: "9-query/rama", metric: "queries of all tasks", unit: "queries/s", widths: [1] };
  await widths(job, what, await queryOp(job));
}
