// Fetches of other modules' topologies that are ahead of their depot partition: each is answered when the partition has grown, or when its time is up. What the
// consumers may still ask for is remembered for trimming, in memory: after a restart they say it again with their next fetch.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { DepotPartition } from "../depot/partition.ts";
import type { RecordView } from "../depot/segment-blocks.ts";
import { badFrame } from "../protocol/frame-fields.ts";
import type { EngineFetch } from "./engine-api.ts";

interface Waiting {
  readonly fetch: EngineFetch;
  readonly timer: Timer;
}

interface Consumer {
  readonly neededFrom: number;
  readonly seenMs: number;
}

/** A consumer that has not been heard of for so long holds nothing back any more: it was destroyed, or has lost the source. */
const forgetMs = 24 * 3600 * 1000;
/** Of one partition; those that come later hold nothing back. */
const consumersMax = 1000;
const consumerTextMax = 1000;

export class DepotFetches {
  readonly #env: Env;
  readonly #waiting = new Map<DepotPartition, Set<Waiting>>();
  readonly #consumers = new Map<DepotPartition, Map<string, Consumer>>();

  constructor(env: Env) {
    this.#env = env;
  }

  /** Answers at once what can be. Otherwise returns what drops the fetch without an answer. OFFSET_OUT_OF_RANGE. */
  add(partition: DepotPartition, fetch: EngineFetch): (() => void) | undefined {
    this.#heed(partition, fetch);
    if (Math.max(fetch.from, partition.startOffset) !== partition.endOffset || fetch.waitMs === 0) {
      answer(partition, fetch);
      return undefined;
    }
    const waiting: Waiting = {
      fetch,
      timer: this.#env.setTimer(fetch.waitMs, () => {
        this.#remove(partition, waiting);
        answer(partition, fetch);
      }),
    };
    const others = this.#waiting.get(partition);
    if (others === undefined) this.#waiting.set(partition, new Set([waiting]));
    else others.add(waiting);
    return () => this.#remove(partition, waiting);
  }

  /** Least offset that a consumer of the partition may still ask for; undefined: there is none. */
  neededFrom(depot: string, task: number): number | undefined {
    let least: number | undefined;
    const nowMs = this.#env.monotonicMs();
    for (const [partition, consumers] of this.#consumers) {
      if (partition.name !== depot || partition.task !== task) continue;
      for (const [name, { neededFrom, seenMs }] of consumers) {
        if (nowMs - seenMs > forgetMs) consumers.delete(name);
        else least = Math.min(least ?? neededFrom, neededFrom);
      }
    }
    return least;
  }

  #heed(partition: DepotPartition, { consumer, neededFrom }: EngineFetch): void {
    if (consumer === "") return;
    if (consumer.length > consumerTextMax) throw badFrame(`a consumer's name of ${consumer.length} characters`);
    let consumers = this.#consumers.get(partition);
    if (consumers === undefined) {
      consumers = new Map();
      this.#consumers.set(partition, consumers);
    }
    if (consumers.size >= consumersMax && !consumers.has(consumer)) return;
    consumers.set(consumer, { neededFrom, seenMs: this.#env.monotonicMs() });
  }

  /** Partitions may have grown. */
  applied(): void {
    for (const [partition, fetches] of this.#waiting) {
      for (const waiting of fetches) {
        if (partition.endOffset <= waiting.fetch.from) continue;
        this.#remove(partition, waiting);
        answer(partition, waiting.fetch);
      }
    }
  }

  reject(error: RamaError): void {
    for (const [partition, fetches] of this.#waiting) {
      for (const waiting of fetches) {
        this.#remove(partition, waiting);
        waiting.fetch.reply(error, null);
      }
    }
  }

  #remove(partition: DepotPartition, waiting: Waiting): void {
    waiting.timer.cancel();
    const fetches = this.#waiting.get(partition);
    fetches?.delete(waiting);
    if (fetches?.size === 0) this.#waiting.delete(partition);
  }
}

function answer(partition: DepotPartition, { from, to, bytes, reply }: EngineFetch): void {
  const { startOffset, endOffset } = partition;
  const first = Math.max(from, startOffset);
  const end = Math.max(first, Math.min(to, endOffset));
  let found: RecordView[];
  try {
    found = partition.read(first, end, bytes);
  } catch (error) {
    if (!(error instanceof RamaError)) throw error;
    reply(error, null);
    return;
  }
  const last = found.at(-1);
  // A view of no bytes is a tombstone.
  const records = found.filter((view) => view.start < view.end);
  reply(null, { startOffset, nextOffset: last === undefined ? end : last.offset + 1, records });
}
