// Everything that was appended to a depot since the load began.
import type { RamaClusterManager } from "../../src/client.ts";

export interface LoadOn {
  readonly manager: RamaClusterManager;
  readonly module: string;
  readonly tasks: number;
  /** Begins the names of this load's users and groups, so that loads of other cases do not meddle. */
  readonly tag: string;
}

export interface Found {
  readonly lost: number;
  readonly doubled: number;
  /** Whatever else is not as it has to be. */
  readonly wrong: readonly string[];
}

const batch = 500;

export class DepotReading<R> {
  readonly #on: LoadOn;
  readonly #depot: string;
  readonly #from: readonly number[];

  private constructor(on: LoadOn, depot: string, from: readonly number[]) {
    this.#on = on;
    this.#depot = depot;
    this.#from = from;
  }

  static async open<R>(on: LoadOn, name: string): Promise<DepotReading<R>> {
    const depot = on.manager.clusterDepot<R>(on.module, name);
    const from: number[] = [];
    for (let task = 0; task < on.tasks; task++) from.push((await depot.getPartitionInfo(task)).endOffset);
    return new DepotReading<R>(on, name, from);
  }

  /** By partition, in the order of offsets. */
  async all(): Promise<R[][]> {
    const depot = this.#on.manager.clusterDepot<R>(this.#on.module, this.#depot);
    const partitions: R[][] = [];
    for (const [task, start] of this.#from.entries()) {
      const { endOffset } = await depot.getPartitionInfo(task);
      const records: R[] = [];
      for (let from = start; from < endOffset; from += batch)
        records.push(...(await depot.read(task, from, Math.min(endOffset, from + batch))));
      partitions.push(records);
    }
    return partitions;
  }
}

/** Reads until what is processed later has come: until `same`, for a minute at most. */
export async function settled<T>(read: () => Promise<T>, same: (value: T) => boolean): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const value = await read();
    if (same(value) || performance.now() > deadline) return value;
    await Bun.sleep(200);
  }
}

/** Compares what a lane was told with what is stored of it, by the lane's sequence numbers. */
export function compare(stored: readonly number[], acked: readonly number[], refused: readonly number[]): Found {
  const seen = new Set(stored);
  const wrong = refused.filter((seq) => seen.has(seq)).map((seq) => `record ${seq} was refused and is stored`);
  return { lost: acked.filter((seq) => !seen.has(seq)).length, doubled: stored.length - seen.size, wrong };
}
