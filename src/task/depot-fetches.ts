// Fetches of other modules' topologies that are ahead of their depot partition: each is answered when the partition has grown, or when its time is up. What the
// consumers may still ask for is remembered for trimming: what they have said last in memory, what is at least needed with the partition (depot/consumers.ts).
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { DepotControl } from "../depot/control-entry.ts";
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

/** What trimming has to know of the consumers of a partition. */
export interface ConsumersNeed {
  /** Least offset that one may still ask for; undefined: there is none. */
  readonly from: number | undefined;
  /** What is to be noted with the partition before it is trimmed. */
  readonly news: readonly DepotControl[];
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
  readonly #note: (partition: DepotPartition, control: DepotControl) => void;

  /** `note` puts a control entry into the log. */
  constructor(env: Env, note: (partition: DepotPartition, control: DepotControl) => void) {
    this.#env = env;
    this.#note = note;
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

  /** What those need that have been heard of, in this life of the engine or before it. */
  need(partition: DepotPartition): ConsumersNeed {
    const { depot, task, consumers: noted } = partition;
    const nowMs = this.#env.monotonicMs();
    const heard = this.#heardOf(partition);
    const news: DepotControl[] = [];
    let from: number | undefined;
    for (const [id, { neededFrom, seenMs }] of heard) {
      if (nowMs - seenMs > forgetMs) {
        heard.delete(id);
        news.push({ kind: "forget", depot, task, offset: 0, id });
        continue;
      }
      if (noted.get(id) !== neededFrom) news.push({ kind: "consumer", depot, task, offset: neededFrom, id });
      from = Math.min(from ?? neededFrom, neededFrom);
    }
    return { from, news };
  }

  /** Those that are noted count as heard of when they are first asked about. */
  #heardOf(partition: DepotPartition): Map<string, Consumer> {
    let consumers = this.#consumers.get(partition);
    if (consumers === undefined) {
      const seenMs = this.#env.monotonicMs();
      consumers = new Map(
        Array.from(partition.consumers.entries(), ([id, neededFrom]) => [id, { neededFrom, seenMs }]),
      );
      this.#consumers.set(partition, consumers);
    }
    return consumers;
  }

  #heed(partition: DepotPartition, { consumer, neededFrom }: EngineFetch): void {
    if (consumer === "") return;
    if (consumer.length > consumerTextMax) throw badFrame(`a consumer's name of ${consumer.length} characters`);
    const consumers = this.#heardOf(partition);
    const isNew = !consumers.has(consumer);
    if (isNew && consumers.size >= consumersMax) return;
    consumers.set(consumer, { neededFrom, seenMs: this.#env.monotonicMs() });
    const { depot, task } = partition;
    if (isNew) this.#note(partition, { kind: "consumer", depot, task, offset: neededFrom, id: consumer });
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
