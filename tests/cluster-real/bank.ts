// Transfers between the accounts of a group, processed by microbatches: a group's accounts hold 0 together at every read, and in the end what a plain fold over the depot gives.
import { Path, RamaError } from "../../src/client.ts";
import { compare, DepotReading, type Found, type LoadOn, settled } from "./depot-reading.ts";
import type { Lanes } from "./lanes.ts";

interface Transfer {
  readonly group: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
  readonly seq: number;
}

type Accounts = ReadonlyMap<string, number>;

const groups = 4;
const accounts = 5;
const readEveryMs = 20;

interface Lane {
  readonly acked: number[];
  readonly refused: number[];
}

export class Bank {
  readonly #on: LoadOn;
  readonly #reading: DepotReading<Transfer>;
  readonly #lanes: readonly Lane[] = Array.from({ length: groups }, () => ({ acked: [], refused: [] }));
  readonly #wrong: string[] = [];
  #stop = false;
  #reader: Promise<void> = Promise.resolve();
  reads = 0;

  private constructor(on: LoadOn, reading: DepotReading<Transfer>) {
    this.#on = on;
    this.#reading = reading;
  }

  static async open(on: LoadOn, lanes: Lanes): Promise<Bank> {
    const bank = new Bank(on, await DepotReading.open<Transfer>(on, "*transfers"));
    const depot = on.manager.clusterDepot<Transfer>(on.module, "*transfers");
    for (const [lane, mine] of bank.#lanes.entries()) {
      let seq = 0;
      lanes.run(async (append) => {
        const [from, to] = [`a${seq % accounts}`, `a${(seq * 7 + 1) % accounts}`];
        const transfer = { group: bank.#group(lane), from, to, amount: 1 + (seq % 9), seq: seq++ };
        const outcome = await append(() => depot.append(transfer));
        if (outcome === "acked") mine.acked.push(transfer.seq);
        if (outcome === "refused") mine.refused.push(transfer.seq);
      });
    }
    bank.#reader = bank.#read();
    return bank;
  }

  #group(lane: number): string {
    return `${this.#on.tag}-group-${lane}`;
  }

  async #accounts(lane: number): Promise<Accounts> {
    const funds = this.#on.manager.clusterPState(this.#on.module, "$$funds");
    return (await funds.selectOne<Accounts>(Path.key(this.#group(lane)))) ?? new Map();
  }

  /** All the time, through every fault. */
  async #read(): Promise<void> {
    for (let lane = 0; !this.#stop; lane = (lane + 1) % groups) {
      try {
        const total = sum([...(await this.#accounts(lane)).values()]);
        this.reads++;
        if (total !== 0) this.#wrong.push(`the accounts of ${this.#group(lane)} held ${total} together`);
      } catch (error) {
        // Nobody leads there at the moment.
        if (!(error instanceof RamaError)) throw error;
      }
      await Bun.sleep(readEveryMs);
    }
  }

  async check(): Promise<Found> {
    this.#stop = true;
    await this.#reader;
    const transfers = (await this.#reading.all()).flat();
    const found: Found[] = [];
    for (const [lane, { acked, refused }] of this.#lanes.entries()) {
      const ofLane = transfers.filter(({ group }) => group === this.#group(lane));
      found.push(
        compare(
          ofLane.map(({ seq }) => seq),
          acked,
          refused,
        ),
      );
      const folded = new Map<string, number>();
      for (const { from, to, amount } of ofLane) {
        folded.set(from, (folded.get(from) ?? 0) - amount);
        folded.set(to, (folded.get(to) ?? 0) + amount);
      }
      const got = await settled(
        () => this.#accounts(lane),
        (value) => same(value, folded),
      );
      if (!same(got, folded))
        this.#wrong.push(
          `${this.#group(lane)} is ${JSON.stringify([...got])}, a fold gives ${JSON.stringify([...folded])}`,
        );
    }
    if (this.reads === 0) this.#wrong.push("the bank was never read");
    return {
      lost: sum(found.map(({ lost }) => lost)),
      doubled: sum(found.map(({ doubled }) => doubled)),
      wrong: [...found.flatMap(({ wrong }) => wrong), ...this.#wrong],
    };
  }
}

function same(read: Accounts, folded: Accounts): boolean {
  return read.size === folded.size && [...folded].every(([account, money]) => read.get(account) === money);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
