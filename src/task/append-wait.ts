// An append with level ACK that waits for colocated stream topologies. Records succeed or fail in any order; the reply leaves once, when each record has done so
// for each topology, and then only after the turn in which the last of them did is durable.
import type { RamaError } from "../base/errors.ts";
import type { AppendReply } from "./engine-api.ts";

export class AppendWait {
  offset = -1;
  #remaining: number;
  #returns: (Record<string, unknown> | null)[] | null = null;
  #failures: Map<number, RamaError> | null = null;

  constructor(
    readonly count: number,
    sources: number,
    readonly reply: AppendReply,
    /** Runs its argument when what is known now is durable. */
    readonly afterTurn: (hook: () => void, replies: number) => void,
  ) {
    this.#remaining = count * sources;
  }

  /** `records` of one source succeeded and returned nothing. */
  done(records: number): void {
    this.#remaining -= records;
    if (this.#remaining === 0) this.afterTurn(() => this.reply(null, this.offset, this.#returns, this.#failures), 1);
  }

  /** One record of one source succeeded with a value for the appender (null: none). */
  doneWith(index: number, topology: string, value: unknown): void {
    if (value !== null && value !== undefined) {
      this.#returns ??= new Array(this.count).fill(null);
      this.#returns[index] ??= {};
      this.#returns[index][topology] = value;
    }
    this.done(1);
  }

  failed(index: number, error: RamaError): void {
    this.#failures ??= new Map();
    if (!this.#failures.has(index)) this.#failures.set(index, error);
    this.done(1);
  }
}
