// A task group's view of its store's log: positions, and what happens when entries have become durable. A pure state machine. With several replicas its log is a
// `Replica` (replica.ts), to which durable means: on the disks of every in-sync one.
//
// Positions count entries; each is the offset of the first entry that has not got there: applied ≤ committed ≤ durable ≤ end.
import { assert } from "../base/assert.ts";
import type { StoreLog } from "../storage/store-contract.ts";

/** What a replog needs of the log. */
export interface ReplogLog extends Pick<StoreLog, "append" | "end"> {
  readonly overloaded?: boolean;
}

export interface GroupReplogOptions {
  readonly group: number;
  readonly log: ReplogLog;
  readonly epoch: number;
  /** Offset of the next entry. Everything below has been applied. */
  readonly end: number;
}

export class GroupReplog {
  readonly group: number;
  #epoch: number;
  /** Called when `applied` has moved, once per `durableUpTo`. */
  onAdvance: () => void = () => {};
  readonly #log: ReplogLog;
  #end: number;
  #durable: number;
  #committed: number;
  #applied: number;
  /** Of the entries [applied, end), oldest first, from `#head` on: their numbers in the physical log and what applies them. */
  #numbers: number[] = [];
  #applies: (() => void)[] = [];
  #head = 0;
  #applying = false;

  constructor(options: GroupReplogOptions) {
    this.group = options.group;
    this.#epoch = options.epoch;
    this.#log = options.log;
    this.#end = options.end;
    this.#durable = options.end;
    this.#committed = options.end;
    this.#applied = options.end;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get end(): number {
    return this.#end;
  }

  /** A follower has applied everything below `applied`; its log may go further, which is not of interest here. */
  followed(applied: number): void {
    assert(this.#head === this.#numbers.length, `replog of group ${this.group}: it follows with entries of its own`);
    this.#end = this.#durable = this.#committed = this.#applied = applied;
    this.onAdvance();
  }

  /** The replica leads from now on; everything below `end` is applied. */
  leads(epoch: number, end: number): void {
    assert(this.#applied === end, `replog of group ${this.group}: leads with ${this.#applied} of ${end} applied`);
    this.#epoch = epoch;
  }

  /** Entries below are on this replica's disk. */
  get durable(): number {
    return this.#durable;
  }

  /** Entries below are on the disks of every in-sync replica. */
  get committed(): number {
    return this.#committed;
  }

  /** Entries below are visible. */
  get applied(): number {
    return this.#applied;
  }

  /** The log holds so much that no disk has taken: no more appends of clients now. */
  get overloaded(): boolean {
    return this.#log.overloaded === true;
  }

  /** Gives the entry its offset and puts it into the log's open batch. `onApply` is called once, in the order of offsets, when it is committed. */
  append(kind: number, parts: readonly Uint8Array[], onApply: () => void): number {
    const offset = this.#end;
    this.#log.append(kind, this.group, this.#epoch, offset, parts);
    this.#end = offset + 1;
    this.#numbers.push(this.#log.end);
    this.#applies.push(onApply);
    return offset;
  }

  /** The log is durable up to and with its entry number `logNumber`. Applies what that commits; nothing when it concerns other groups only. */
  durableUpTo(logNumber: number): void {
    const numbers = this.#numbers;
    let at = this.#head + (this.#durable - this.#applied);
    while (at < numbers.length && numbers[at]! <= logNumber) at++;
    this.#durable = this.#applied + (at - this.#head);
    this.#committed = this.#durable;
    this.#apply();
  }

  #apply(): void {
    // An entry's effect may append further entries; it never makes any durable.
    assert(!this.#applying, `replog of group ${this.group}: applied from within an apply`);
    if (this.#applied === this.#committed) return;
    this.#applying = true;
    try {
      while (this.#applied < this.#committed) {
        const apply = this.#applies[this.#head]!;
        this.#head++;
        this.#applied++;
        apply();
      }
    } finally {
      this.#applying = false;
    }
    this.#trim();
    this.#check();
    this.onAdvance();
  }

  #trim(): void {
    if (this.#head < this.#numbers.length && this.#head < 1024) return;
    this.#numbers = this.#numbers.slice(this.#head);
    this.#applies = this.#applies.slice(this.#head);
    this.#head = 0;
  }

  #check(): void {
    const positions = `replog of group ${this.group}: applied ${this.#applied}, committed ${this.#committed}, durable ${this.#durable}, end ${this.#end}`;
    assert(this.#applied <= this.#committed, positions);
    assert(this.#committed <= this.#durable, positions);
    assert(this.#durable <= this.#end, positions);
    assert(this.#numbers.length - this.#head === this.#end - this.#applied, positions);
  }
}
