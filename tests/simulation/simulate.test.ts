// `simulate` of `rama/test`, as an author uses it: a module, a program, invariants, a seed.
import { expect, test } from "bun:test";
import { Agg, CompoundAgg, Depot, Path, PState, RamaError, RamaModule, type Setup, type Topologies } from "rama";
import { simulate } from "rama/test";

class Votes extends RamaModule {
  define(setup: Setup, topologies: Topologies) {
    setup.declareDepot("*votes", Depot.hashBy("party"));
    const stream = topologies.stream("count");
    stream.pstate("$$votes", PState.mapSchema(String, Number));
    stream.source("*votes").out({ party: "*party" }).compoundAgg("$$votes", CompoundAgg.map("*party", Agg.count()));
  }
}

/** Votes of one party, by programs that count what was acknowledged and what may be in. */
function election(seed: number, weigh: (votes: number) => number = (votes) => votes) {
  let [acknowledged, possible, seen] = [0, 0, 0];
  return simulate({
    seed,
    modules: [{ module: Votes, tasks: 2, threads: 2, workers: 2 }],
    faults: ["kill worker", "power cut", "lost connections", "kill client", "slow syncs", "kill conductor"],
    faultsMs: 6_000,
    async load(client, { random, sleep, isOver }) {
      const votes = client.clusterDepot(Votes, "*votes");
      while (!isOver()) {
        possible++;
        try {
          await votes.append({ party: "blue" });
          acknowledged++;
        } catch (error) {
          // Stored it may be, or not: both are allowed for.
          if (!(error instanceof RamaError)) throw error;
        }
        await sleep(random() * 40);
      }
    },
    async always(client) {
      const least = Math.max(seen, acknowledged);
      const count = weigh((await client.clusterPState(Votes, "$$votes").selectOne<number>(Path.key("blue"))) ?? 0);
      if (count < least) throw new Error(`${count} votes, ${least} before`);
      seen = count;
    },
    async afterwards(client) {
      const count = await client.clusterPState(Votes, "$$votes").selectOne<number>(Path.key("blue"));
      if (count < acknowledged || count > possible) throw new Error(`${count}, not in [${acknowledged}, ${possible}]`);
    },
  });
}

test("an author's invariants hold under faults, and a seed gives the same run again", async () => {
  const first = await election(5);
  expect(first.counters).not.toEqual({});
  expect((await election(5)).traceHash).toBe(first.traceHash);
}, 60_000);

test("a broken invariant is told with the seed", async () => {
  await expect(election(6, (votes) => Math.min(votes, 20))).rejects.toThrow(/^seed 6: 20 votes, \d+ before$/);
}, 60_000);
