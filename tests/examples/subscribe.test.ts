// The example as its reader would use it: the view that is told of changes only shows the board at all times.
import { expect, test } from "bun:test";
import { InProcessCluster } from "rama/test";
import { follow, LiveBoard } from "../../examples/subscribe.ts";

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resolve) => setImmediate(resolve));
}

test("a view follows its board card by card, and no other board", async () => {
  await using ipc = await InProcessCluster.create();
  const module = await ipc.launchModule(LiveBoard, { tasks: 4, threads: 2 });
  const cards = module.depot("*cards");
  await cards.append({ board: "launch", card: "c1", text: "Write" });
  const log: string[] = [];
  const shown = new Map<string, string>();
  const view = await follow(module.pstate("$$boards"), "launch", {
    set(card, text) {
      log.push(`set ${card}`);
      shown.set(card, text);
    },
    remove(card) {
      log.push(`remove ${card}`);
      shown.delete(card);
    },
    reset(all) {
      log.push(`reset ${all.size}`);
      shown.clear();
      for (const [card, text] of all) shown.set(card, text);
    },
  });
  expect(log).toEqual(["reset 1"]);
  const changes = [
    { board: "launch", card: "c2", text: "Test" },
    { board: "other", card: "c1", text: "Unseen" },
    { board: "launch", card: "c1", text: "Rewrite" },
    { board: "launch", card: "c2" },
  ];
  for (const change of changes) {
    const seen = log.length;
    await cards.append(change);
    await until(() => change.board === "other" || log.length > seen);
  }
  expect(log).toEqual(["reset 1", "set c2", "set c1", "remove c2"]);
  expect(shown).toEqual(new Map([["c1", "Rewrite"]]));
  expect(view.get()).toEqual(shown);
  await view.close();
  await cards.append({ board: "launch", card: "c3", text: "Too late" });
  expect(shown.has("c3")).toBe(false);
});
