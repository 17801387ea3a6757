// The module against a plain fold over the same records, and the range questions that its indexes are made for.
import { expect, test } from "bun:test";
import { Path } from "rama";
import { InProcessCluster } from "rama/test";
import { FlightsModule } from "../../examples/flights.ts";

interface Flight {
  readonly date: number;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

const airports = ["ATL", "LAX", "ORD", "SEA"];

/** Records that anyone can reckon by hand: one each 40 minutes over four days. */
function someFlights(count: number): Flight[] {
  return Array.from({ length: count }, (_, i) => ({
    date: Date.UTC(2001, 0, 1) + i * 40 * 60_000,
    delay: ((i * 37) % 211) - 10,
    distance: 200 + ((i * 13) % 50) * 10,
    origin: airports[i % 4]!,
    destination: airports[(i + 1 + (i % 3)) % 4]!,
  }));
}

const flights = someFlights(144);

async function launched(cluster: InProcessCluster) {
  const module = await cluster.launchModule(FlightsModule, { tasks: 4, threads: 2 });
  const { failures } = await module.depot<Flight>("*flights").appendMany(flights);
  expect(failures).toEqual([]);
  return module;
}

function fold(chosen: readonly Flight[]) {
  return {
    flights: chosen.length,
    delaySum: chosen.reduce((sum, flight) => sum + flight.delay, 0),
    worst: Math.max(...chosen.map((flight) => flight.delay)),
  };
}

const day = (flight: Flight): string => new Date(flight.date).toISOString().slice(0, 10);

test("every airport's and every route's counts equal a plain fold over the records", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await launched(cluster);
  for (const origin of airports) {
    const mine = flights.filter((flight) => flight.origin === origin);
    expect(await module.pstate("$$airports").selectOne(Path.key(origin))).toEqual({
      ...fold(mine),
      miles: mine.reduce((sum, flight) => sum + flight.distance, 0),
    });
    for (const destination of new Set(mine.map((flight) => flight.destination))) {
      expect(await module.pstate("$$routes").selectOne(Path.key(origin, destination))).toEqual(
        fold(mine.filter((flight) => flight.destination === destination)),
      );
    }
  }
});

test("a day has its totals and its hours", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await launched(cluster);
  const mine = flights.filter((flight) => day(flight) === "2001-01-02");
  const days = module.pstate("$$days");
  expect(await days.selectOne(Path.key("2001-01-02").subMap("flights", "delaySum", "worst"))).toEqual(fold(mine));
  const morning = await days.selectOne(Path.key("2001-01-02", "byHour").sortedMapRange(6, 9));
  const hours = [6, 7, 8].map((hour) => [
    hour,
    mine.filter((flight) => new Date(flight.date).getUTCHours() === hour).length,
  ]);
  expect([...morning]).toEqual(hours.filter(([, count]) => count !== 0));
});

test("an airport's days are read by range", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await launched(cluster);
  const days = await module
    .pstate("$$airportDays")
    .selectOne(Path.key("LAX").sortedMapRange("2001-01-02", "2001-01-04"));
  expect([...days.keys()]).toEqual(["2001-01-02", "2001-01-03"]);
  const second = flights.filter((flight) => flight.origin === "LAX" && day(flight) === "2001-01-02");
  expect(days.get("2001-01-02")).toEqual(fold(second));
});

test("the worst delays are the end of a range, and a record that comes twice is one late flight", async () => {
  await using cluster = await InProcessCluster.create();
  const module = await launched(cluster);
  const late = flights.filter((flight) => flight.origin === "ORD" && flight.delay >= 60);
  await module.depot<Flight>("*flights").append(late[0]!);
  const lateFlights = module.pstate("$$lateFlights");
  const all = await lateFlights.selectOne(Path.key("ORD").sortedMapRangeFrom([60]));
  expect(all.size).toBe(late.length);
  const worst = await lateFlights.selectOne(Path.key("ORD").sortedMapRangeToEnd(3));
  const delays = late.map((flight) => flight.delay).sort((a, b) => a - b);
  expect([...worst.keys()].map((key: unknown) => (key as number[])[0])).toEqual(delays.slice(-3));
});
