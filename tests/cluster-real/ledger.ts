// Records on a depot, and how often their users are counted by a stream: each acknowledged record is there once, in the order of its lane, none that was refused; each count is
// that of the records.
import { Path } from "../../src/client.ts";
import { compare, DepotReading, type Found, type LoadOn, settled } from "./depot-reading.ts";
import type { Lanes } from "./lanes.ts";

interface Event {
  readonly user: string;
  readonly lane: number;
  readonly seq: number;
}

const laneCount = 6;
const users = 23;

interface Lane {
  readonly acked: number[];
  readonly refused: number[];
}

export class Ledger {
  readonly #on: LoadOn;
  readonly #reading: DepotReading<Event>;
  readonly #lanes: readonly Lane[] = Array.from({ length: laneCount }, () => ({ acked: [], refused: [] }));

  private constructor(on: LoadOn, reading: DepotReading<Event>) {
    this.#on = on;
    this.#reading = reading;
  }

  static async open(on: LoadOn, lanes: Lanes): Promise<Ledger> {
    const ledger = new Ledger(on, await DepotReading.open<Event>(on, "*events"));
    const depot = on.manager.clusterDepot<Event>(on.module, "*events");
    for (const [lane, mine] of ledger.#lanes.entries()) {
      let seq = 0;
      lanes.run(async (append) => {
        const event = { user: `${on.tag}-user-${seq % users}`, lane, seq: seq++ };
        const outcome = await append(() => depot.append(event));
        if (outcome === "acked") mine.acked.push(event.seq);
        if (outcome === "refused") mine.refused.push(event.seq);
      });
    }
    return ledger;
  }

  async check(): Promise<Found> {
    const partitions = await this.#reading.all();
    const found = this.#lanes.map(({ acked, refused }, lane) => {
      const ofLane = partitions.map((events) => events.filter((event) => event.lane === lane).map(({ seq }) => seq));
      const ordered = ofLane.every((seqs) => seqs.every((seq, i) => i === 0 || seqs[i - 1]! < seq));
      const { lost, doubled, wrong } = compare(ofLane.flat(), acked, refused);
      return { lost, doubled, wrong: ordered ? wrong : [...wrong, `lane ${lane} is out of order`] };
    });
    return {
      lost: found.reduce((sum, { lost }) => sum + lost, 0),
      doubled: found.reduce((sum, { doubled }) => sum + doubled, 0),
      wrong: [...found.flatMap(({ wrong }) => wrong), ...(await this.#checkCounts(partitions.flat()))],
    };
  }

  async #checkCounts(events: readonly Event[]): Promise<string[]> {
    const folded = new Map<string, number>();
    for (const { user } of events) folded.set(user, (folded.get(user) ?? 0) + 1);
    const counts = this.#on.manager.clusterPState(this.#on.module, "$$counts");
    const read = async () => {
      const pairs = [...folded.keys()].map(
        async (user) => [user, await counts.selectOne<number>(Path.key(user))] as const,
      );
      return new Map(await Promise.all(pairs));
    };
    const got = await settled(read, (value) => [...folded].every(([user, count]) => value.get(user) === count));
    return [...folded]
      .filter(([user, count]) => got.get(user) !== count)
      .map(([user, count]) => `$$counts of ${user} is ${got.get(user)}, a fold over the depot gives ${count}`);
  }
}
