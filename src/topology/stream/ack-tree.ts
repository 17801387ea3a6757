// When is a record's event tree done? Constant memory per record, as an XOR: every event that leaves for another engine gets a random number; its birth
// and its end both XOR that number into the tree's value, in any order, and the value is zero again exactly when all that was born has ended (but for one
// chance in 2^53). Events that stay on one engine are only counted, in the tree itself on the record's engine and in a *subtree* elsewhere: a subtree is
// one arrived event with all that it causes on that engine, and answers once, with the XOR of its own number and of the numbers that left it.
// Pure: the caller sends, stores and waits.

/** Numbers of 53 bits as two parts, since XOR is a 32-bit operation here. */
export interface AckValue {
  high: number;
  low: number;
}

const lowSpan = 0x1_0000_0000;

export function randomAck(random: () => number): number {
  // Zero would be no mark at all.
  return Math.floor(random() * (2 ** 53 - 1)) + 1;
}

export function xorInto(value: AckValue, id: number): void {
  value.high ^= Math.floor(id / lowSpan);
  value.low ^= id % lowSpan;
}

export function ackNumber(value: AckValue): number {
  return value.high * lowSpan + (value.low >>> 0);
}

/** Progress of what one record caused, on its start engine (`received` 0) or on another one (a subtree). */
export class AckTree {
  /** Local events that have not ended, the first one included. */
  #local = 1;
  readonly #value: AckValue = { high: 0, low: 0 };
  #failed = false;

  constructor(received = 0) {
    if (received !== 0) xorInto(this.#value, received);
  }

  get failed(): boolean {
    return this.#failed;
  }

  get localEvents(): number {
    return this.#local;
  }

  /** An event was born that stays on this engine. */
  born(): void {
    this.#local++;
  }

  /** An event leaves for another engine under the number `id`. */
  left(id: number): void {
    xorInto(this.#value, id);
  }

  /** A local event has ended. True when no local one remains. */
  ended(): boolean {
    this.#local--;
    return this.#local === 0;
  }

  /** The answer of a subtree elsewhere. */
  acked(value: number): void {
    xorInto(this.#value, value);
  }

  /** True once: the first failure counts. */
  fail(): boolean {
    if (this.#failed) return false;
    this.#failed = true;
    return true;
  }

  /** Root: all events everywhere have ended. */
  get complete(): boolean {
    return this.#local === 0 && this.#value.high === 0 && this.#value.low === 0 && !this.#failed;
  }

  /** What a subtree answers when its local events have ended. */
  get answer(): number {
    return ackNumber(this.#value);
  }
}
