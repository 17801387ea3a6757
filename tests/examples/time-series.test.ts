import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { piecesOf, TimeSeriesModule } from "../../examples/time-series.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

test("a long time is made of few pieces, as coarse as they can be", () => {
  expect(piecesOf(day - 2 * minute, 3 * day + hour + minute)).toEqual([
    ["minute", 1438, 1440],
    ["day", 1, 3],
    ["hour", 72, 73],
    ["minute", 73 * 60, 73 * 60 + 1],
  ]);
  expect(piecesOf(5 * minute, 5 * minute)).toEqual([]);
  expect(piecesOf(5 * minute, 8 * minute)).toEqual([["minute", 5, 8]]);
});

test("mean, least and greatest value between two minutes, whatever lies between", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await cluster.launchModule(TimeSeriesModule, { tasks: 4, threads: 2 });
  const readings = module.depot("*readings");
  // One value an hour over four days: its hour's number.
  await Promise.all(
    Array.from({ length: 96 }, (_, n) => readings.append({ sensor: "roof", at: n * hour + 30 * minute, value: n })),
  );
  await readings.append({ sensor: "cellar", at: 0, value: -5 });
  const summary = (sensor: string, from: number, to: number) => module.query("summary").invoke(sensor, from, to);

  expect(await summary("roof", 0, 4 * day)).toEqual({ count: 96, mean: 47.5, least: 0, greatest: 95 });
  expect(await summary("roof", 10 * hour, 60 * hour)).toEqual({ count: 50, mean: 34.5, least: 10, greatest: 59 });
  expect(await summary("roof", 10 * hour + 31 * minute, 60 * hour + 30 * minute)).toEqual({
    count: 49,
    mean: 35,
    least: 11,
    greatest: 59,
  });
  expect(await summary("cellar", 0, minute)).toEqual({ count: 1, mean: -5, least: -5, greatest: -5 });
  expect(await summary("nobody", 0, day)).toEqual({ count: 0, mean: null, least: null, greatest: null });

  const days = module.pstate("$$series").selectOne(Path.key("roof", "day").sortedMapRange(1, 3));
  expect([...(await days).keys()]).toEqual([1, 2]);
});
