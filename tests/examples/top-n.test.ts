import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { type Ranked, TopNModule } from "../../examples/top-n.ts";

test("best sellers of the shop and of each category, as totals grow over microbatches", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TopNModule, { tasks: 4, threads: 2 });
  const sales = module.depot("*sales");
  const category = (i: number) => ["kitchen", "garden", "books"][i % 3]!;
  const totals = new Map<string, number>();
  let count = 0;
  for (let round = 0; round < 4; round++) {
    const records = Array.from({ length: 60 }, (_, n) => {
      const i = (n * 7 + round * 11) % 30;
      const amount = 1 + ((i * 13 + round * 5) % 9);
      totals.set(`p${i}`, (totals.get(`p${i}`) ?? 0) + amount);
      return { product: `p${i}`, category: category(i), amount };
    });
    await sales.appendMany(records);
    count += records.length;
    await module.waitForProcessed("sales", count);
    const best = (of: (product: string) => boolean, n: number) =>
      [...totals.entries()]
        .filter(([product]) => of(product))
        .map(([, total]) => total)
        .sort((a, b) => b - a)
        .slice(0, n);
    const shop = await module.pstate<Ranked[]>("$$bestSellers").selectOne(Path.stay());
    expect(shop!.map(([, total]) => total)).toEqual(best(() => true, 10));
    for (const [product, total] of shop!) expect(totals.get(product)).toBe(total);
    const garden = await module.query<Ranked[]>("best").invoke("garden");
    expect(garden.map(([, total]) => total)).toEqual(best((product) => category(+product.slice(1)) === "garden", 5));
  }
  expect(await module.query("best").invoke("toys")).toEqual([]);
});
