// Both variants answer alike; what differs is where a timeline is and how long it may grow.
import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { kept, type Post, TimelinesModule } from "../../examples/timelines.ts";
import { TimelinesInMemory } from "../../examples/timelines-in-memory.ts";

const launch = { tasks: 4, threads: 2 };
const follows = [
  { follower: "bob", author: "ann" },
  { follower: "bob", author: "cy" },
  { follower: "dan", author: "cy" },
];
const posts: Post[] = [
  { author: "ann", id: 1, text: "a1" },
  { author: "cy", id: 2, text: "c2" },
  { author: "ann", id: 3, text: "a3" },
];
const [a1, c2, a3] = posts as [Post, Post, Post];
const many = (amount: number): Post[] =>
  Array.from({ length: amount }, (_, i) => ({ author: "cy", id: 100 + i, text: `t${i}` }));

test("a post comes into the timelines of its author's followers, newest first, page by page", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TimelinesModule, launch);
  await module.depot("*follows").appendMany(follows);
  await module.waitForProcessed("core", 3);
  for (const [i, post] of posts.entries()) {
    await module.depot("*posts").append(post);
    await module.waitForProcessed("core", 4 + i);
  }
  const timeline = (user: string, amount: number) => module.query("timeline").invoke(user, amount);
  expect(await timeline("bob", 20)).toEqual([a3, c2, a1]);
  expect(await timeline("bob", 2)).toEqual([a3, c2]);
  expect(await timeline("dan", 20)).toEqual([c2]);
  expect(await timeline("eve", 20)).toEqual([]);
});

test("a timeline keeps the newest 600 and not many more", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TimelinesModule, launch);
  await module.depot("*follows").appendMany(follows);
  await module.waitForProcessed("core", 3);
  for (let from = 0; from < 2000; from += 100) {
    await module.depot("*posts").appendMany(many(2000).slice(from, from + 100));
    await module.waitForProcessed("core", 3 + from + 100);
  }
  const posts = await module.query<Post[]>("timeline").invoke("dan", kept);
  expect(posts.map(({ id }) => id)).toEqual(Array.from({ length: kept }, (_, i) => 2099 - i));
  const pages = await module
    .pstate<Map<number, unknown[]>>("$$timelines")
    .selectOne(Path.key("dan").sortedMapRangeFrom(0));
  expect([...pages!.values()].flat().length).toBeLessThanOrEqual(900);
});

test("in memory: timelines are made when someone looks, and posts that come later are put into them", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TimelinesInMemory, launch);
  const timeline = (user: string, amount: number) => module.query<Post[]>("timeline").invoke(user, amount);
  const delivered = () => module.query<number>("delivered").invoke();
  await module.depot("*follows").appendMany(follows);
  await module.waitForProcessed("graph", 3);
  await module.depot("*posts").append(a1);
  await module.depot("*posts").append(c2);
  expect(await delivered()).toBe(0);
  expect(await timeline("bob", 20)).toEqual([c2, a1]);
  await module.depot("*posts").append(a3);
  expect(await delivered()).toBe(1);
  expect(await timeline("bob", 20)).toEqual([a3, c2, a1]);
  expect(await timeline("eve", 20)).toEqual([]);

  // Whoever follows someone new sees what that one wrote before.
  await module.depot("*follows").append({ follower: "dan", author: "ann" });
  await module.waitForProcessed("graph", 4);
  expect(await timeline("dan", 2)).toEqual([a3, c2]);
  await module.depot("*posts").appendMany(many(700));
  expect((await timeline("dan", 1000)).map(({ id }) => id)).toEqual(Array.from({ length: kept }, (_, i) => 799 - i));
});

test("in memory: after an update nothing is in memory and everything is answered", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TimelinesInMemory, launch);
  await module.depot("*follows").appendMany(follows);
  await module.waitForProcessed("graph", 3);
  for (const post of posts) await module.depot("*posts").append(post);
  const timeline = () => module.query<Post[]>("timeline").invoke("bob", 20);
  expect(await timeline()).toEqual([a3, c2, a1]);
  await module.update(TimelinesInMemory);
  expect(await timeline()).toEqual([a3, c2, a1]);
});
