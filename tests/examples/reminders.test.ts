import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { RemindersModule } from "../../examples/reminders.ts";

test("a reminder is delivered once, when its time has come", async () => {
  // The clock stands still until the test moves it, and ticks come by hand: no waiting.
  await using cluster = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const module = await cluster.launchModule(RemindersModule, { tasks: 4, threads: 2 });
  const reminders = module.depot("*reminders");
  const inbox = (userId: string) => module.pstate("$$inbox").select(Path.key(userId).all());

  await reminders.append({ userId: "alice", at: 60_000, text: "water the plants" });
  await reminders.append({ userId: "alice", at: 30_000, text: "call Bob" });
  await reminders.append({ userId: "bob", at: 90_000, text: "answer Alice" });

  await cluster.advanceTime(60_000);
  await cluster.tick(RemindersModule, "*everySecond");
  expect(await inbox("alice")).toEqual([
    { text: "call Bob", deliveredAt: 60_000 },
    { text: "water the plants", deliveredAt: 60_000 },
  ]);
  expect(await inbox("bob")).toEqual([]);

  await cluster.advanceTime(30_000);
  await cluster.tick(RemindersModule, "*everySecond");
  await cluster.tick(RemindersModule, "*everySecond");
  expect(await inbox("bob")).toEqual([{ text: "answer Alice", deliveredAt: 90_000 }]);
  expect((await inbox("alice")).length).toBe(2);
});

test("what is due while the module is down comes with the first tick afterwards", async () => {
  await using cluster = await InProcessCluster.create({ clock: "simulated", manualTicks: true });
  const module = await cluster.launchModule(RemindersModule, { tasks: 4, threads: 2 });
  await module.depot("*reminders").append({ userId: "alice", at: 1000, text: "water the plants" });
  await cluster.updateModule(RemindersModule);
  await cluster.advanceTime(5000);
  await cluster.tick(RemindersModule, "*everySecond");
  expect(await module.pstate("$$inbox").select(Path.key("alice").all())).toEqual([
    { text: "water the plants", deliveredAt: 5000 },
  ]);
});
