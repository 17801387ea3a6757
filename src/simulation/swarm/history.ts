// What the clients of a run have asked for and been told, and the checks against it that hold at every moment: what was read once may not be taken back, and what was
// acknowledged is there to be read.
import { RamaError } from "../../base/errors.ts";
import type { SimEvent, Transfer } from "./modules.ts";

/** A promise of the product has been broken. */
export class Violation extends Error {}

/** What should come to be does not. */
export class Stalled extends Violation {}

export type Outcome =
  /** Not told yet: it may be in. */
  | "open"
  | "stored"
  /** Stored, and its stream topologies are done. */
  | "processed"
  | "not stored"
  | "unknown";

export interface Append<R> {
  readonly record: R;
  readonly depot: "*events" | "*transfers";
  readonly client: number;
  /** Position in the calls of this client. */
  readonly call: number;
  outcome: Outcome;
}

export class History {
  readonly appends = new Map<number, Append<SimEvent> | Append<Transfer>>();
  /** By key: events that are processed by now, and the highest count that anybody has read. */
  readonly #processed = new Map<string, number>();
  readonly #counted = new Map<string, number>();
  /** By `depot/partition`: ids by offset, as they were read; and the highest end that was told. */
  readonly #read = new Map<string, number[]>();
  readonly #ends = new Map<string, number>();
  #ids = 0;
  readonly codes: Record<string, number> = {};

  nextId(): number {
    return ++this.#ids;
  }

  begun(append: Append<SimEvent> | Append<Transfer>): void {
    this.appends.set(append.record.id, append);
  }

  ended(append: Append<SimEvent> | Append<Transfer>, level: "ack" | "appendAck", error: unknown): void {
    if (error === undefined) {
      append.outcome = level === "ack" ? "processed" : "stored";
      if (level === "ack" && "key" in append.record) {
        increase(this.#processed, append.record.key);
        increase(this.#processed, "total");
      }
      return;
    }
    if (!(error instanceof RamaError)) throw error;
    this.codes[error.code] = (this.codes[error.code] ?? 0) + 1;
    append.outcome = outcomeOf(error);
  }

  /** What a count that is asked for now must reach. */
  leastCount(key: string): number {
    return Math.max(this.#processed.get(key) ?? 0, this.#counted.get(key) ?? 0);
  }

  counted(key: string, count: number, least: number): void {
    if (count < least)
      throw new Violation(`count of ${key} is ${count}; ${least} had been acknowledged or read before`);
    if (count > (this.#counted.get(key) ?? 0)) this.#counted.set(key, count);
  }

  leastEnd(partition: string): number {
    return this.#ends.get(partition) ?? 0;
  }

  told(partition: string, start: number, end: number, least: number): void {
    if (start !== 0) throw new Violation(`${partition} begins at ${start}, though nothing was trimmed`);
    if (end < least) throw new Violation(`${partition} ends at ${end}, ended at ${least} before`);
    if (end > this.leastEnd(partition)) this.#ends.set(partition, end);
  }

  /** Offsets [from, from + ids) were read. */
  depotRead(partition: string, from: number, ids: readonly number[]): void {
    let known = this.#read.get(partition);
    if (known === undefined) {
      known = [];
      this.#read.set(partition, known);
    }
    ids.forEach((id, i) => {
      const before = known[from + i];
      if (before !== undefined && before !== id)
        throw new Violation(`${partition}: offset ${from + i} held record ${before}, now ${id}`);
      known[from + i] = id;
      const append = this.appends.get(id);
      if (append === undefined) throw new Violation(`${partition}: record ${id} was never appended`);
    });
    const end = from + ids.length;
    if (end > this.leastEnd(partition)) this.#ends.set(partition, end);
  }

  /** The log of a depot, as it is after all: by partition, ids in offset order. */
  checkLog(depot: Append<unknown>["depot"], partitions: readonly (readonly number[])[]): void {
    const place = new Map<number, string>();
    partitions.forEach((ids, partition) => {
      this.depotRead(`${depot}/${partition}`, 0, ids);
      if (ids.length < this.leastEnd(`${depot}/${partition}`))
        throw new Violation(
          `${depot}/${partition} has ${ids.length} records, had ${this.leastEnd(`${depot}/${partition}`)}`,
        );
      const last = new Map<number, number>();
      ids.forEach((id, offset) => {
        const other = place.get(id);
        if (other !== undefined)
          throw new Violation(`${depot}: record ${id} is at ${other} and at ${partition}:${offset}`);
        place.set(id, `${partition}:${offset}`);
        const { client, call } = this.appends.get(id)!;
        const before = last.get(client);
        if (before !== undefined && before > call)
          throw new Violation(
            `${depot}/${partition}: record ${id}, call ${call} of client ${client}, stands after its call ${before}`,
          );
        last.set(client, call);
      });
    });
    for (const append of this.appends.values()) {
      if (append.depot !== depot) continue;
      const { id } = append.record;
      const isThere = place.has(id);
      const { outcome } = append;
      if ((outcome === "stored" || outcome === "processed") && !isThere)
        throw new Violation(`${depot}: acknowledged record ${id} of client ${append.client} is lost`);
      if (outcome === "not stored" && isThere)
        throw new Violation(`${depot}: record ${id} is at ${place.get(id)}, though its append was told to be refused`);
    }
  }
}

function increase(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function outcomeOf(error: RamaError): Outcome {
  if (error.code === "PROCESSING_FAILED" || error.facts["stored"] === true) return "stored";
  return error.code === "APPEND_OUTCOME_UNKNOWN" ? "unknown" : "not stored";
}
