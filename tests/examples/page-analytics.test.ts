import { expect, test } from "bun:test";
import { Ops, Path } from "rama";
import { InProcessCluster } from "rama/test";
import { PageAnalyticsModule } from "../../examples/page-analytics.ts";

const at = (day: number, hour = 12): number => Date.UTC(2024, 4, day, hour);

async function siteWithVisits(cluster: InProcessCluster) {
  const site = await cluster.launchModule(PageAnalyticsModule, { tasks: 4, threads: 2 });
  await site.depot("*visits").appendMany([
    { visitor: "ada", page: "/", durationMs: 1000, at: at(1, 9) },
    { visitor: "ada", page: "/docs", durationMs: 5000, at: at(1, 10) },
    { visitor: "ada", page: "/docs", durationMs: 3000, at: at(2) },
    { visitor: "bob", page: "/docs", durationMs: 500, at: at(4) },
  ]);
  return site;
}

test("a page has its visits, their time, and its number of different visitors", async () => {
  await using cluster = await InProcessCluster.create();
  const site = await siteWithVisits(cluster);
  const totals = await site.pstate("$$pages").selectOne(Path.key("/docs").subMap("visits", "durationMs"));
  expect(totals).toEqual({ visits: 3, durationMs: 8500 });
  expect(await site.pstate("$$visitors").selectOne(Path.key("/docs").view(Ops.SIZE))).toBe(2);
});

test("a range of days touches only the days inside it", async () => {
  await using cluster = await InProcessCluster.create();
  const site = await siteWithVisits(cluster);
  const days = await site
    .pstate("$$pages")
    .selectOne(Path.key("/docs", "byDay").sortedMapRange("2024-05-01", "2024-05-03"));
  expect(days).toEqual(
    new Map([
      ["2024-05-01", 1],
      ["2024-05-02", 1],
    ]),
  );
});

test("a visitor's last two steps come in order of time", async () => {
  await using cluster = await InProcessCluster.create();
  const site = await siteWithVisits(cluster);
  const steps = await site.pstate("$$history").selectOne(Path.key("ada").sortedMapRangeToEnd(2));
  expect([...steps]).toEqual([
    [at(1, 10), "/docs"],
    [at(2), "/docs"],
  ]);
});
