// Load on one soak module and its oracles. While it runs: what was acknowledged is counted at once, and the accounts of a group hold 0 together at every read. In the end:
// every acknowledged record is in the depot once and in call order, none that was refused is, and every state is a fold over the depots.
import { Path, type RamaClusterManager, RamaError } from "../../src/client.ts";
import { soakTasks } from "./module.ts";

const eventLanes = 4;
const transferLanes = 2;
const users = 200;
const accountsPerGroup = 10;
const groups = 6;
/** Between two appends of a lane. */
const thinkMs = 5;
const readRecords = 500;
/** Nothing of the append is stored. */
const refusals = new Set(["DISK_FULL", "OVERLOADED"]);
/** What callers have to live with while processes die. */
const passing = new Set([
  ...refusals,
  "APPEND_OUTCOME_UNKNOWN",
  "TIMEOUT",
  "PROCESSING_FAILED",
  "IN_SYNC_TOO_SMALL",
  "CONNECTION_LOST",
  "CONNECT_FAILED",
  "MODULE_NOT_RUNNING",
  "MOVED",
]);

const unknown = 0;
const acknowledged = 1;
const refused = 2;

/** What became of each append of a lane, a byte each. */
class Outcomes {
  #bytes = new Uint8Array(1024);
  length = 0;

  push(outcome: number): void {
    if (this.length === this.#bytes.length) {
      const grown = new Uint8Array(2 * this.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.length++] = outcome;
  }

  at(index: number): number {
    return this.#bytes[index]!;
  }
}

interface Event {
  readonly userId: string;
  readonly lane: number;
  readonly n: number;
}

interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly group: string;
  readonly amount: number;
  readonly lane: number;
  readonly n: number;
}

export class SoakLoad {
  readonly module: string;
  readonly errors = new Map<string, number>();
  /** What must not be; one line each. */
  readonly violations: string[] = [];
  acknowledgedCount = 0;
  reads = 0;
  /** Records that are open while the module is updated are processed at least once (docs/processing-guarantees.md): from then on a count may be higher than its fold. */
  updates = 0;
  /** By how much, all keys together. */
  countedAgain = 0;
  readonly #manager: RamaClusterManager;
  readonly #random: () => number;
  readonly #events = Array.from({ length: eventLanes }, () => new Outcomes());
  readonly #transfers = Array.from({ length: transferLanes }, () => new Outcomes());
  readonly #acknowledgedOf = new Map<string, number>();
  readonly #lanes: Promise<void>[];
  #stop = false;

  constructor(manager: RamaClusterManager, module: string, random: () => number) {
    this.#manager = manager;
    this.module = module;
    this.#random = random;
    this.#lanes = [
      ...this.#events.map((outcomes, lane) => this.#append<Event>("*events", outcomes, (n) => this.#event(lane, n))),
      ...this.#transfers.map((outcomes, lane) =>
        this.#append<Transfer>("*transfers", outcomes, (n) => this.#transfer(lane, n)),
      ),
      this.#read(),
    ];
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#lanes);
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #event(lane: number, n: number): Event {
    return { userId: `user-${this.#pick(users)}`, lane, n };
  }

  #transfer(lane: number, n: number): Transfer {
    const group = `g${this.#pick(groups)}`;
    const account = () => `${group}-${this.#pick(accountsPerGroup)}`;
    return { from: account(), to: account(), group, amount: this.#pick(100), lane, n };
  }

  async #append<R extends Event | Transfer>(name: string, outcomes: Outcomes, next: (n: number) => R): Promise<void> {
    const depot = this.#manager.clusterDepot<R>(this.module, name);
    for (let n = 0; !this.#stop; n++) {
      const record = next(n);
      try {
        await depot.append(record);
        outcomes.push(acknowledged);
        this.acknowledgedCount++;
        if ("userId" in record)
          this.#acknowledgedOf.set(record.userId, (this.#acknowledgedOf.get(record.userId) ?? 0) + 1);
      } catch (error) {
        outcomes.push(refusals.has(this.#passed(error, `append to ${name}`)) ? refused : unknown);
      }
      await Bun.sleep(thinkMs);
    }
  }

  async #read(): Promise<void> {
    const counts = this.#manager.clusterPState(this.module, "$$counts");
    const bank = this.#manager.clusterPState(this.module, "$$groups");
    while (!this.#stop) {
      const user = `user-${this.#pick(users)}`;
      const group = `g${this.#pick(groups)}`;
      try {
        const least = this.#acknowledgedOf.get(user) ?? 0;
        const count = (await counts.selectOne<number | null>(Path.key(user))) ?? 0;
        if (count < least) this.#violated(`count of ${user} is ${count}; ${least} had been acknowledged`);
        const total = sumOf(await bank.selectOne(Path.key(group)));
        if (total !== 0) this.#violated(`the accounts of ${group} hold ${total} together`);
        this.reads++;
      } catch (error) {
        this.#passed(error, "a read");
      }
      await Bun.sleep(thinkMs);
    }
  }

  #passed(error: unknown, what: string): string {
    const code = error instanceof RamaError ? error.code : String(error);
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    if (!passing.has(code)) this.#violated(`${what} ended with ${String(error)}`);
    return code;
  }

  #violated(what: string): void {
    if (this.violations.length < 100) this.violations.push(`${this.module}: ${what}`);
  }

  /** After `end`. Resolves once the states are what the depots fold to; what is not so by then is a violation. */
  async check(patienceMs = 120_000): Promise<{ records: number }> {
    const counts = new Map<string, number>();
    const funds = new Map<string, number>();
    const events = await this.#checkDepot<Event>("*events", this.#events, ({ userId }) => {
      counts.set(userId, (counts.get(userId) ?? 0) + 1);
    });
    const transfers = await this.#checkDepot<Transfer>("*transfers", this.#transfers, ({ from, to, amount }) => {
      funds.set(from, (funds.get(from) ?? 0) - amount);
      funds.set(to, (funds.get(to) ?? 0) + amount);
    });
    await this.#checkState("$$counts", counts, patienceMs);
    await this.#checkState("$$funds", funds, patienceMs);
    return { records: events + transfers };
  }

  async #checkDepot<R extends Event | Transfer>(
    name: string,
    lanes: readonly Outcomes[],
    fold: (record: R) => void,
  ): Promise<number> {
    const depot = this.#manager.clusterDepot<R>(this.module, name);
    const seen = lanes.map((outcomes) => new Uint8Array(outcomes.length));
    let records = 0;
    for (let partition = 0; partition < soakTasks; partition++) {
      const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
      const lastOf = lanes.map(() => -1);
      for (let from = startOffset; from < endOffset; ) {
        const read = await depot.read(partition, from, Math.min(endOffset, from + readRecords));
        from += read.length;
        records += read.length;
        for (const record of read) {
          fold(record);
          const { lane, n } = record;
          if (n >= lanes[lane]!.length) this.#violated(`${name}: record ${lane}:${n} was never sent`);
          if (seen[lane]![n]!++ > 0) this.#violated(`${name}: record ${lane}:${n} is there twice`);
          const outcome = lanes[lane]!.at(n);
          if (outcome === refused) this.#violated(`${name}: record ${lane}:${n} was told to be refused and is there`);
          if (outcome !== acknowledged) continue;
          if (n < lastOf[lane]!) this.#violated(`${name}/${partition}: ${lane}:${n} is behind ${lastOf[lane]}`);
          lastOf[lane] = n;
        }
      }
    }
    for (const [lane, outcomes] of lanes.entries())
      for (let n = 0; n < outcomes.length; n++)
        if (outcomes.at(n) === acknowledged && seen[lane]![n] === 0)
          this.#violated(`${name}: record ${lane}:${n} was acknowledged and is not there`);
    return records;
  }

  async #checkState(name: string, folded: ReadonlyMap<string, number>, patienceMs: number): Promise<void> {
    const state = this.#manager.clusterPState(this.module, name);
    const deadline = performance.now() + patienceMs;
    for (const [key, wanted] of folded) {
      let got = await state.selectOne<number | null>(Path.key(key));
      const isRight = (): boolean => got === wanted || (name === "$$counts" && this.updates > 0 && (got ?? 0) > wanted);
      while (!isRight() && performance.now() < deadline) {
        await Bun.sleep(200);
        got = await state.selectOne<number | null>(Path.key(key));
      }
      if (isRight()) this.countedAgain += (got ?? 0) - wanted;
      else this.#violated(`${name} at ${key} is ${got}; a fold over the depot gives ${wanted}`);
    }
  }
}

function sumOf(accounts: unknown): number {
  if (accounts === null || accounts === undefined) return 0;
  const values = accounts instanceof Map ? accounts.values() : Object.values(accounts);
  return [...(values as Iterable<number>)].reduce((sum, each) => sum + each, 0);
}
