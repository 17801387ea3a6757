// Questions to the indexes of examples/flights.ts, in plain words. Each answer is compared with a plain fold over the same records: the demo shows what is there.
import { Path, type PStateClient } from "rama";
import type { FlightRecord } from "./flight-records.ts";

export interface Counts {
  readonly flights: number;
  readonly delaySum: number;
  readonly worst: number;
}

/** The plain fold: what the indexes must hold. */
export class Fold {
  readonly airports = new Map<string, Counts>();
  readonly routes = new Map<string, Map<string, Counts>>();
  readonly airportDays = new Map<string, Map<string, Counts>>();
  readonly days = new Map<string, Counts>();
  /** Flights by `day hour`. */
  readonly hours = new Map<string, number>();
  readonly late = new Map<string, number[]>();

  add(flight: FlightRecord): void {
    const day = new Date(flight.date).toISOString().slice(0, 10);
    count(this.airports, flight.origin, flight.delay);
    count(this.days, day, flight.delay);
    const hour = `${day} ${new Date(flight.date).getUTCHours()}`;
    this.hours.set(hour, (this.hours.get(hour) ?? 0) + 1);
    count(inner(this.routes, flight.origin), flight.destination, flight.delay);
    count(inner(this.airportDays, flight.origin), day, flight.delay);
    if (flight.delay >= 60) {
      const late = this.late.get(flight.origin);
      if (late) late.push(flight.delay);
      else this.late.set(flight.origin, [flight.delay]);
    }
  }

  /** Airports with the most departures, first the busiest. */
  busiest(amount: number): string[] {
    return [...this.airports]
      .sort((a, b) => b[1].flights - a[1].flights)
      .slice(0, amount)
      .map(([code]) => code);
  }
}

function inner(map: Map<string, Map<string, Counts>>, key: string): Map<string, Counts> {
  const found = map.get(key) ?? new Map<string, Counts>();
  map.set(key, found);
  return found;
}

function count(map: Map<string, Counts>, key: string, delay: number): void {
  const old = map.get(key);
  map.set(
    key,
    old
      ? { flights: old.flights + 1, delaySum: old.delaySum + delay, worst: Math.max(old.worst, delay) }
      : { flights: 1, delaySum: delay, worst: delay },
  );
}

export interface Question {
  readonly text: string;
  /** How it is asked, for those who read on. */
  readonly by: string;
  /** Lines of the answer, and whether the plain fold says the same. */
  ask(): Promise<{ readonly lines: readonly string[]; readonly right: boolean }>;
}

interface Cluster {
  clusterPState(module: string, pstate: string): PStateClient;
}

export function questions(
  cluster: Cluster,
  restUrl: string,
  fold: Fold,
  names: ReadonlyMap<string, string>,
): Question[] {
  const module = "FlightsModule";
  const named = (code: string) => (names.has(code) ? `${names.get(code)} (${code})` : code);
  const [first = "ORD", second = first, third = second] = fold.busiest(3);
  const days = [...fold.days.keys()].sort();
  const [from, to] = [days[1] ?? days[0]!, days[4] ?? "2001-12-31"];
  const wholeDay = days[Math.min(1, days.length - 1)]!;
  return [
    {
      text: `How many flights left ${named(first)}, and how late were they?`,
      by: `$$airports  Path.key("${first}")`,
      async ask() {
        const counts = await cluster.clusterPState(module, "$$airports").selectOne<Counts>(Path.key(first));
        return { lines: [describe(counts)], right: same(counts, fold.airports.get(first)) };
      },
    },
    {
      text: `Where do most flights from ${named(second)} go?`,
      by: `$$routes  Path.key("${second}").all()`,
      async ask() {
        const rows = await cluster.clusterPState(module, "$$routes").select<[string, Counts]>(Path.key(second).all());
        const expected = fold.routes.get(second);
        const top = rows.toSorted((a, b) => b[1].flights - a[1].flights).slice(0, 3);
        return {
          lines: top.map(([destination, counts]) => `${named(destination)}: ${describe(counts)}`),
          right: rows.length === expected?.size && rows.every(([to, counts]) => same(counts, expected.get(to))),
        };
      },
    },
    {
      text: `How did ${named(third)} do day by day, from ${from} to before ${to}?`,
      by: `$$airportDays  Path.key("${third}").sortedMapRange("${from}", "${to}")`,
      async ask() {
        const path = Path.key(third).sortedMapRange(from, to);
        const range = await cluster.clusterPState(module, "$$airportDays").selectOne<Map<string, Counts>>(path);
        const expected = [...(fold.airportDays.get(third) ?? [])].filter(([day]) => day >= from && day < to);
        return {
          lines: [...range].map(([day, counts]) => `${day}: ${describe(counts)}`),
          right: range.size === expected.length && expected.every(([day, counts]) => same(range.get(day), counts)),
        };
      },
    },
    {
      text: `Which were the three worst delays at ${named(first)}?`,
      by: `$$lateFlights  Path.key("${first}").sortedMapRangeToEnd(3)`,
      async ask() {
        const path = Path.key(first).sortedMapRangeToEnd(3);
        const range = await cluster
          .clusterPState(module, "$$lateFlights")
          .selectOne<Map<[number, number, string], number>>(path);
        const worst = (fold.late.get(first) ?? []).sort((a, b) => b - a).slice(0, 3);
        const rows = [...range.keys()].reverse();
        return {
          lines: rows.map(
            ([delay, date, destination]) => `${duration(delay)} late to ${named(destination)}, ${minute(date)}`,
          ),
          right: JSON.stringify(rows.map(([delay]) => delay)) === JSON.stringify(worst),
        };
      },
    },
    {
      text: `How many flights were there in the whole country on ${wholeDay}?`,
      by: `REST: POST ${restUrl}/rest/${module}/pstate/$$days/selectOne  ["${wholeDay}", ["subMap", "flights", "delaySum", "worst"]]`,
      async ask() {
        const response = await fetch(`${restUrl}/rest/${module}/pstate/${encodeURIComponent("$$days")}/selectOne`, {
          method: "POST",
          body: JSON.stringify([wholeDay, ["subMap", "flights", "delaySum", "worst"]]),
        });
        const text = await response.text();
        if (!response.ok) throw new Error(`REST answered ${response.status}: ${text}`);
        const counts = JSON.parse(text) as Counts;
        return { lines: [describe(counts)], right: same(counts, fold.days.get(wholeDay)) };
      },
    },
    {
      text: `And between six and nine in the morning of that day, hour by hour?`,
      by: `$$days  Path.key("${wholeDay}", "byHour").sortedMapRange(6, 9)`,
      async ask() {
        const path = Path.key(wholeDay, "byHour").sortedMapRange(6, 9);
        const hours = await cluster.clusterPState(module, "$$days").selectOne<Map<number, number>>(path);
        return {
          lines: [...hours].map(
            ([hour, amount]) => `${String(hour).padStart(2, "0")} h: ${amount.toLocaleString("en-US")} flights`,
          ),
          right: [6, 7, 8].every((hour) => hours.get(hour) === fold.hours.get(`${wholeDay} ${hour}`)),
        };
      },
    },
  ];
}

function same(a: Counts | null | undefined, b: Counts | undefined): boolean {
  return a?.flights === b?.flights && a?.delaySum === b?.delaySum && a?.worst === b?.worst;
}

function describe(counts: Counts | null): string {
  if (counts === null) return "none";
  const mean = counts.delaySum / counts.flights;
  const punctual = mean >= 0 ? `${mean.toFixed(1)} minutes late` : `${(-mean).toFixed(1)} minutes early`;
  return `${counts.flights.toLocaleString("en-US")} flights, on average ${punctual}, at worst ${duration(counts.worst)} late`;
}

function duration(minutes: number): string {
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function minute(date: number): string {
  return new Date(date).toISOString().slice(0, 16).replace("T", " ");
}
