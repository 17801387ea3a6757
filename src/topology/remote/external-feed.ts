// A partition of an external depot as a source: asks the author's object, checks what it says, encodes records as depots hold them, so that everything behind
// is the same as for any other source.
import type { Env } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { ClassRegistry } from "../../base/values.ts";
import type { Fetched, FetchedRecord } from "../../protocol/depot-read.ts";
import type { ExternalDepot, ExternalRecord } from "../../task/external-depot.ts";
import type { Feed } from "./remote-log.ts";

export interface ExternalFeedOptions {
  readonly env: Env;
  readonly depot: ExternalDepot;
  /** Var of the depot, for messages. */
  readonly name: string;
  readonly partition: number;
  readonly classes: ClassRegistry | undefined;
  /** Microbatches: only whole ranges are asked for. */
  readonly ranged: boolean;
}

/** Pauses between looks at a partition that has nothing new. */
const idleFirstMs = 10;
const idleMostMs = 250;
/** Of one range. */
const rangeMax = 1000;
/** One fetch ends after so long even if nothing has come. */
const waitMs = 5000;

export class ExternalFeed implements Feed {
  readonly #options: ExternalFeedOptions;

  constructor(options: ExternalFeedOptions) {
    this.#options = options;
  }

  async positions(): Promise<{ readonly startOffset: number; readonly endOffset: number }> {
    const { depot, partition } = this.#options;
    const startOffset = await this.#start();
    const endOffset = this.#offset("endOffset", await depot.endOffset(partition));
    return { startOffset, endOffset: Math.max(startOffset, endOffset) };
  }

  async #start(): Promise<number> {
    const { depot, partition } = this.#options;
    return depot.startOffset === undefined ? 0 : this.#offset("startOffset", await depot.startOffset(partition));
  }

  async offsetAfterTimestamp(ms: number): Promise<number> {
    const { depot, partition } = this.#options;
    const found = await depot.offsetAfterTimestampMillis(partition, ms);
    if (found === null || found === undefined) return this.#offset("endOffset", await depot.endOffset(partition));
    return this.#offset("offsetAfterTimestampMillis", found);
  }

  async fetch(from: number, to?: number): Promise<Fetched> {
    const { env, depot, partition, ranged } = this.#options;
    const startOffset = await this.#start();
    const first = Math.max(from, startOffset);
    if (to !== undefined) return this.#range(startOffset, first, Math.max(first, to));
    const deadlineMs = env.monotonicMs() + waitMs;
    for (let pauseMs = idleFirstMs; env.monotonicMs() < deadlineMs; pauseMs = Math.min(idleMostMs, pauseMs * 2)) {
      if (ranged) {
        const end = this.#offset("endOffset", await depot.endOffset(partition));
        if (end > first) return this.#range(startOffset, first, Math.min(end, first + rangeMax));
      } else {
        const records = this.#checked(await depot.fetchFrom(partition, first), first, Number.POSITIVE_INFINITY);
        if (records.length > 0) return { startOffset, nextOffset: records.at(-1)!.offset + 1, records };
      }
      await env.sleep(pauseMs);
    }
    return { startOffset, nextOffset: first, records: [] };
  }

  /** All of [from, to), in as many calls as the object likes. */
  async #range(startOffset: number, from: number, to: number): Promise<Fetched> {
    const { depot, partition } = this.#options;
    const records: FetchedRecord[] = [];
    for (let next = from; next < to; ) {
      const some = this.#checked(await depot.fetchFrom(partition, next, to), next, to);
      if (some.length === 0) break;
      for (const record of some) records.push(record);
      next = some.at(-1)!.offset + 1;
    }
    return { startOffset, nextOffset: to, records };
  }

  #checked(given: readonly ExternalRecord[], from: number, to: number): FetchedRecord[] {
    if (!Array.isArray(given)) throw this.#bad(`fetchFrom gives no array of records but ${String(given)}`);
    let next = from;
    return given.map((record: ExternalRecord) => {
      if (!Array.isArray(record)) throw this.#bad("a record is no array [offset, key, data]");
      const [given, key, data] = record;
      const offset = this.#offset("a record", given);
      if (offset < next || offset >= to)
        throw this.#bad(`a record of [${from}, ${to}) has the offset ${offset}, where ${next} was the least`);
      next = offset + 1;
      const bytes = encodeValue([offset, key ?? null, data ?? null], this.#options.classes);
      return { offset, bytes, start: 0, end: bytes.length };
    });
  }

  #offset(what: string, value: unknown): number {
    const offset = typeof value === "bigint" ? Number(value) : value;
    if (typeof offset === "number" && Number.isSafeInteger(offset) && offset >= 0) return offset;
    throw this.#bad(`${what} gives ${String(value)}, which is no offset`);
  }

  #bad(what: string): RamaError {
    const { name, partition } = this.#options;
    return new RamaError("USER_CODE_FAILED", `${name}, partition ${partition}: ${what}`, { object: name, partition });
  }
}
