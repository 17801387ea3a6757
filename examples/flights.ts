// Flight records into indexes that answer at once: by airport, by route, by day, and by how late.
// Records of *flights: { date: 978307260000, delay: 33, distance: 2176, origin: "LAS", destination: "PHL" }
//   date: scheduled departure, epoch milliseconds; delay: minutes, negative when early; distance: miles.
//
//   $$airports     per airport: departures, sum of delays, worst delay, miles flown
//   $$airportDays  the same counts per airport and day, in order of days: "how was LAX from the 2nd to the 5th?" reads four keys
//   $$routes       per airport and destination, in order of destinations
//   $$lateFlights  per airport every flight an hour late or more, in order of delay: the five worst are a range of five keys
//   $$days         per day: totals, and flights by hour
//
// The depot is hashed by origin, as all indexes by airport are: they are written where the record arrives. Only $$days needs a hop, to the day's own task.
// `npm run demo` of the checkout feeds it real records of 2001.
import {
  Agg,
  Block,
  CompoundAgg,
  Depot,
  PState,
  Path,
  RamaModule,
  gte,
  tuple,
  type Setup,
  type Topologies,
} from "rama";

const lateMinutes = 60;

const dayOf = (date: number): string => new Date(date).toISOString().slice(0, 10);
const hourOf = (date: number): number => new Date(date).getUTCHours();

export class FlightsModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*flights", Depot.hashBy("origin"));

    const flights = topologies.stream("flights");
    const counts = { flights: Number, delaySum: Number, worst: Number };
    flights.pstate("$$airports", PState.mapSchema(String, PState.fixedKeysSchema({ ...counts, miles: Number })));
    flights.pstate(
      "$$airportDays",
      PState.mapSchema(String, PState.mapSchema(String, PState.fixedKeysSchema(counts)).subindexed()),
    );
    flights.pstate(
      "$$routes",
      PState.mapSchema(String, PState.mapSchema(String, PState.fixedKeysSchema(counts)).subindexed()),
    );
    // The key [delay, date, destination] orders by delay first and is the flight's identity: the same record twice is one entry.
    flights.pstate("$$lateFlights", PState.mapSchema(String, PState.mapSchema(Array, Number).subindexed()));
    flights.pstate(
      "$$days",
      PState.mapSchema(
        String,
        PState.fixedKeysSchema({ ...counts, byHour: PState.mapSchema(Number, Number).subindexed() }),
      ),
    );

    const counted = { flights: Agg.count(), delaySum: Agg.sum("*delay"), worst: Agg.max("*delay") };
    flights
      .source("*flights")
      .out({ date: "*date", delay: "*delay", distance: "*distance", origin: "*origin", destination: "*destination" })
      .each(dayOf, "*date")
      .out("*day")
      .compoundAgg(
        "$$airports",
        CompoundAgg.map("*origin", CompoundAgg.fields({ ...counted, miles: Agg.sum("*distance") })),
      )
      .compoundAgg("$$airportDays", CompoundAgg.path("*origin", "*day", CompoundAgg.fields(counted)))
      .compoundAgg("$$routes", CompoundAgg.path("*origin", "*destination", CompoundAgg.fields(counted)))
      .ifTrue(
        gte("*delay", lateMinutes),
        Block.localTransform(
          "$$lateFlights",
          Path.key("*origin")
            .key(tuple("*delay", "*date", "*destination"))
            .termVal("*distance"),
        ),
      )
      .each(hourOf, "*date")
      .out("*hour")
      .hashPartition("*day")
      .compoundAgg(
        "$$days",
        CompoundAgg.map("*day", CompoundAgg.fields({ ...counted, byHour: CompoundAgg.map("*hour", Agg.count()) })),
      );
  }
}
