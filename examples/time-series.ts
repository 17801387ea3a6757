// A time series with range questions: mean, least and greatest value of a sensor between any two minutes, over years as fast as over an hour.
//
//   rama deploy --action launch --jar examples/time-series.ts --module TimeSeriesModule --tasks 4 --threads 2 --workers 1
//   rama append TimeSeriesModule '*readings' '{"sensor": "roof", "at": 1767225600000, "value": 21.5}'
//   rama query TimeSeriesModule summary '"roof"' 1767225600000 1767312000000
import { Agg, CompoundAgg, Depot, Ops, Path, PState, RamaModule, record, type Setup, type Topologies } from "rama";

const grains = [
  { grain: "day", ms: 86_400_000 },
  { grain: "hour", ms: 3_600_000 },
  { grain: "minute", ms: 60_000 },
];

/** The same time in each grain: `[["day", 20454], ["hour", 490896], ["minute", 29453760]]`. */
function bucketsOf(at: number): [string, number][] {
  return grains.map(({ grain, ms }) => [grain, Math.floor(at / ms)]);
}

/** Pieces [grain, first, behind the last] that make up the time from `from` up to `to`: whole days, hours and minutes at both ends of them. */
export function piecesOf(from: number, to: number, level = 0): [string, number, number][] {
  const { grain, ms } = grains[level]!;
  const first = Math.ceil(from / ms);
  const behind = Math.floor(to / ms);
  if (level === grains.length - 1) return first < behind ? [[grain, first, behind]] : [];
  if (first >= behind) return piecesOf(from, to, level + 1);
  return [...piecesOf(from, first * ms, level + 1), [grain, first, behind], ...piecesOf(behind * ms, to, level + 1)];
}

const mean = (total: number, count: number): number | null => (count === 0 ? null : total / count);

export class TimeSeriesModule extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*readings", Depot.hashBy("sensor"));

    // sensor → grain → bucket → what its values come to. Buckets are subindexed: a range reads the buckets in it and no others.
    const values = PState.fixedKeysSchema({ count: Number, total: Number, least: Number, greatest: Number });
    const series = topologies.stream("series");
    series.pstate(
      "$$series",
      PState.mapSchema(String, PState.mapSchema(String, PState.mapSchema(Number, values).subindexed())),
    );
    series
      .source("*readings")
      .out({ sensor: "*sensor", at: "*at", value: "*value" })
      .each(bucketsOf, "*at")
      .out("*buckets")
      .each(Ops.EXPLODE, "*buckets")
      .out(["*grain", "*bucket"])
      .compoundAgg(
        "$$series",
        CompoundAgg.path(
          "*sensor",
          "*grain",
          "*bucket",
          CompoundAgg.fields({
            count: Agg.count(),
            total: Agg.sum("*value"),
            least: Agg.min("*value"),
            greatest: Agg.max("*value"),
          }),
        ),
      );

    topologies
      .query("summary", "*sensor", "*from", "*to")
      .out("*summary")
      .hashPartition("*sensor")
      .each(piecesOf, "*from", "*to")
      .out("*pieces")
      .each(Ops.EXPLODE, "*pieces")
      .out(["*grain", "*first", "*behind"])
      .localSelect("$$series", Path.key("*sensor", "*grain").sortedMapRange("*first", "*behind").mapVals())
      .out({ count: "*n", total: "*sum", least: "*min", greatest: "*max" })
      .originPartition()
      .agg(Agg.sum("*n"))
      .out("*count")
      .agg(Agg.sum("*sum"))
      .out("*total")
      .agg(Agg.min("*min"))
      .out("*least")
      .agg(Agg.max("*max"))
      .out("*greatest")
      .each(mean, "*total", "*count")
      .out("*mean")
      .each(Ops.IDENTITY, record({ count: "*count", mean: "*mean", least: "*least", greatest: "*greatest" }))
      .out("*summary");
  }
}
