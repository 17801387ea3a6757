import { expect, test } from "bun:test";
import { InProcessCluster } from "rama/test";
import { WhoToFollowModule } from "../../examples/who-to-follow.ts";

test("friends' friends are suggested, most common first, without oneself and those one follows", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(WhoToFollowModule, { tasks: 4, threads: 2 });
  const follows = module.depot("*follows");
  const add = (from: string, ...names: string[]) =>
    Promise.all(names.map((to) => follows.append({ from, to, follows: true })));
  await add("ann", "bob", "cy", "dan");
  await add("bob", "eve", "fay", "ann", "cy");
  await add("cy", "eve", "gus", "ann");
  await add("dan", "eve", "fay");
  const suggest = (user: string, amount: number) => module.query("whoToFollow").invoke(user, amount);
  expect(await suggest("ann", 2)).toEqual([
    ["eve", 3],
    ["fay", 2],
  ]);
  expect(await suggest("ann", 10)).toEqual([
    ["eve", 3],
    ["fay", 2],
    ["gus", 1],
  ]);
  expect(await suggest("gus", 10)).toEqual([]);

  await follows.append({ from: "dan", to: "fay", follows: false });
  await add("ann", "eve");
  expect(await suggest("ann", 1)).toEqual([[expect.stringMatching(/^(fay|gus)$/), 1]]);
});
