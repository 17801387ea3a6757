import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster, type LaunchedModule } from "rama/test";
import { ProfilesModule } from "../../examples/profiles.ts";

const ada = { userId: "u-1", username: "ada", displayName: "Ada L." };

async function launch(cluster: InProcessCluster): Promise<LaunchedModule> {
  return cluster.launchModule(ProfilesModule, { tasks: 4, threads: 2 });
}

test("a free name is registered and the append says so", async () => {
  await using cluster = await InProcessCluster.create();
  const profiles = await launch(cluster);
  expect(await profiles.depot("*registrations").append(ada)).toEqual({
    profiles: { registered: true, userId: "u-1" },
  });
  expect(await profiles.pstate("$$profiles").selectOne(Path.key("u-1"))).toEqual({
    username: "ada",
    displayName: "Ada L.",
  });
});

test("of many who ask for one name at once exactly one gets it", async () => {
  await using cluster = await InProcessCluster.create();
  const profiles = await launch(cluster);
  const registrations = profiles.depot("*registrations");
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, i) => registrations.append({ ...ada, userId: `u-${i}` })),
  );
  const registered = outcomes.map((o) => o["profiles"] as { registered: boolean; userId?: string });
  const winners = registered.filter((o) => o.registered);
  expect(winners.length).toBe(1);
  expect(await profiles.pstate("$$owners").selectOne(Path.key("ada"))).toBe(winners[0]!.userId);
});

test("a registration that is sent again is the same registration", async () => {
  await using cluster = await InProcessCluster.create();
  const profiles = await launch(cluster);
  const registrations = profiles.depot("*registrations");
  await registrations.append(ada);
  expect(await registrations.append(ada)).toEqual({ profiles: { registered: true, userId: "u-1" } });
});

test("edits change the fields they name, and nothing for a user who does not exist", async () => {
  await using cluster = await InProcessCluster.create();
  const profiles = await launch(cluster);
  await profiles.depot("*registrations").append(ada);
  const edits = profiles.depot("*edits");
  await edits.append({ userId: "u-1", fields: { displayName: "Ada Lovelace", bio: "Analyst" } });
  await edits.append({ userId: "u-9", fields: { bio: "nobody" } });
  const all = profiles.pstate("$$profiles");
  expect(await all.selectOne(Path.key("u-1"))).toEqual({
    username: "ada",
    displayName: "Ada Lovelace",
    bio: "Analyst",
  });
  expect(await all.selectOne(Path.key("u-9"))).toBeNull();
});
