// Job 5 of bench/peers on the modules of examples/timelines.ts and examples/timelines-in-memory.ts: same users, same followers, same posts.
import { Path } from "../../src/client.ts";
import { rng } from "../peers/lib/common.mjs";
import { held } from "../peers/lib/held.mjs";
import { durability, type Job, load, type Op, until } from "./job.ts";

const users = 10_000;
const meanFollowers = 400;

function followers(): number[][] {
  const rand = rng(11);
  return Array.from({ length: users }, () => {
    const n = 50 + Math.floor(rand() * (2 * meanFollowers - 100));
    const set = new Set<number>();
    while (set.size < n) set.add((rand() * users) | 0);
    return [...set];
  });
}

const nameOf = (user: number): string => `u${user}`;

/** `post` resolves to the timeline writes that are visible with it. */
export async function prepared(job: Job): Promise<{ post: (authors: number[]) => Promise<number>; read: (user: number) => Promise<unknown> }> {
  const { cluster, a } = job;
  const inMemory = a.module === "TimelinesInMemory";
  const of = followers();
  const follows = function* () {
    for (let author = 0; author < users; author++)
      for (const follower of of[author]!) yield { follower: nameOf(follower), author: nameOf(author) };
  };
  await load(cluster.clusterDepot(a.module, "*follows"), follows());
  const counts = cluster.clusterPState(a.module, "$$follows");
  const expected = new Map<number, number>();
  for (const list of of) for (const follower of list) expected.set(follower, (expected.get(follower) ?? 0) + 1);
  // Those of one partition are taken in order: the last are the last.
  const last = of[users - 1]!;
  await until(
    "follows",
    async () => {
      await Bun.sleep(200);
      const got = await Promise.all(last.map((follower) => counts.selectOne<number>(Path.key(nameOf(follower)))));
      return got.every((count, i) => count === expected.get(last[i]!));
    },
    300_000,
  );
  const depot = cluster.clusterDepot(a.module, "*posts");
  const timeline = cluster.clusterQuery<unknown[]>(a.module, "timeline");
  const read = (user: number) => timeline.invoke(nameOf(user), 20);
  if (inMemory) await everyoneLooks(read);
  let id = 0;
  const records = (authors: number[]) => authors.map((author) => ({ author: nameOf(author), id: ++id, text: `post-${id}` }));
  const writes = (authors: number[]) => authors.reduce((sum, author) => sum + of[author]!.length, 0);
  const posts = cluster.clusterPState(a.module, "$$posts");
  const post = async (authors: number[]) => {
    const batch = records(authors);
    await load(depot, batch, 1, batch.length);
    // A post and the timelines that it goes into become visible in one microbatch.
    let open = batch;
    if (!inMemory)
      await until("posts", async () => {
        const { author, id } = open[open.length - 1]!;
        if ((await posts.selectOne(Path.key(author, id))) === null) return false;
        const texts = await Promise.all(open.map((each) => posts.selectOne(Path.key(each.author, each.id))));
        open = open.filter((_, i) => texts[i] === null);
        return open.length === 0;
      });
    return writes(authors);
  };
  return { post, read };
}

export async function fanout(job: Job): Promise<void> {
  const { a } = job;
  const { post, read } = await prepared(job);
  const name = `5-fanout/${a.module}`;
  await held({ name, seconds: a.seconds, reads: a.load, users, batch: a.batch, overlap: a.inflight, durability, post, read });
}

/** Posts of authors by chance, so many at a time. */
export async function fanoutOp(job: Job): Promise<Op> {
  const { post } = await prepared(job);
  const rand = rng(17);
  return () => post(Array.from({ length: job.a.batch }, () => (rand() * users) | 0));
}

/** Only timelines that someone looks at are in memory. */
async function everyoneLooks(read: (user: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < users) await read(next++);
  };
  await Promise.all(Array.from({ length: 32 }, lane));
}
