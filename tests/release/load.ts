// Load on a depot and the check that belongs to it: what was acknowledged is there, in order, once, and every count equals a fold over the depot.
import { expect } from "bun:test";
import { Path, type RamaClusterManager } from "../../src/client.ts";

export interface Event {
  readonly userId: string;
  readonly url: string;
  readonly ts: number;
}

/** Nothing was stored, or nobody knows: what a client has to live with while processes are killed. */
const passing = new Set(["APPEND_OUTCOME_UNKNOWN", "TIMEOUT", "PROCESSING_FAILED", "IN_SYNC_TOO_SMALL"]);

export interface LoadOptions {
  readonly module: string;
  readonly tasks: number;
  readonly users: number;
  /** Tells this load's records from those of others on the same depot. */
  readonly tag?: string;
  /** Records of one user come to one partition in the order of their appends. */
  readonly ordered: boolean;
}

/** Appends one after another in each of four lanes until told to stop; remembers what was acknowledged. */
export class Load {
  readonly acknowledged: Event[][] = [];
  unknown = 0;
  readonly #manager: RamaClusterManager;
  readonly #options: LoadOptions;
  #stop = false;
  #lanes: Promise<void>[] = [];

  constructor(manager: RamaClusterManager, options: LoadOptions) {
    this.#manager = manager;
    this.#options = options;
    for (let lane = 0; lane < 4; lane++) {
      const mine: Event[] = [];
      this.acknowledged.push(mine);
      this.#lanes.push(this.#run(lane, mine));
    }
  }

  async #run(lane: number, mine: Event[]): Promise<void> {
    const depot = this.#manager.clusterDepot<Event>(this.#options.module, "*events");
    for (let i = 0; !this.#stop; i++) {
      const event = { userId: `user-${i % this.#options.users}`, url: this.#lane(lane), ts: i };
      try {
        await depot.append(event);
        mine.push(event);
      } catch (error) {
        const { code } = error as { code?: string };
        if (!passing.has(code ?? "")) throw error;
        this.unknown++;
      }
    }
  }

  #lane(lane: number): string {
    return `${this.#options.tag ?? ""}lane-${lane}`;
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#lanes);
  }

  get count(): number {
    return this.acknowledged.reduce((sum, lane) => sum + lane.length, 0);
  }

  /** Resolves once `more` further appends have been acknowledged. */
  async progress(more: number): Promise<void> {
    const wanted = this.count + more;
    while (this.count < wanted) {
      await Promise.race([Bun.sleep(10), ...this.#lanes]);
    }
  }

  async check(): Promise<void> {
    const { module, tasks } = this.#options;
    const depot = this.#manager.clusterDepot<Event>(module, "*events");
    const partitions: Event[][] = [];
    for (let partition = 0; partition < tasks; partition++) {
      const { startOffset, endOffset } = await depot.getPartitionInfo(partition);
      const stored: Event[] = [];
      for (let from = startOffset; from < endOffset; from += 500)
        stored.push(...(await depot.read(partition, from, Math.min(endOffset, from + 500))));
      partitions.push(stored);
    }
    const stored = partitions.flat();
    await this.#checkCounts(stored);
    this.acknowledged.forEach((mine, lane) => {
      const ofLane = stored.filter((event) => event.url === this.#lane(lane));
      const seen = new Set(ofLane.map((event) => event.ts));
      expect(seen.size).toBe(ofLane.length);
      expect(mine.filter((event) => !seen.has(event.ts))).toEqual([]);
      if (this.#options.ordered) for (const partition of partitions) checkOrder(partition, this.#lane(lane));
    });
  }

  async #checkCounts(stored: readonly Event[]): Promise<void> {
    const counts = this.#manager.clusterPState(this.#options.module, "$$counts");
    const folded = new Map<string, number>();
    for (const { userId } of stored) folded.set(userId, (folded.get(userId) ?? 0) + 1);
    const read = async () => {
      const got = new Map<string, number>();
      for (const user of folded.keys()) got.set(user, (await counts.selectOne<number>(Path.key(user))) as number);
      return got;
    };
    // Records whose processing was cut short are taken up again by themselves.
    const deadline = performance.now() + 60_000;
    while (!Bun.deepEquals(await read(), folded) && performance.now() < deadline) await Bun.sleep(200);
    expect(await read()).toEqual(folded);
  }
}

function checkOrder(partition: readonly Event[], lane: string): void {
  const order = partition.filter((event) => event.url === lane).map((event) => event.ts);
  expect(order).toEqual([...order].sort((x, y) => x - y));
}
