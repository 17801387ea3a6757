// Dead letters of one stream source in one depot partition: setting records aside, running them again (source.ts runs them), forgetting them.
import type { RamaError } from "../../base/errors.ts";
import { type DeadLetter, DeadLetterBox, letterOf } from "../dead-letters.ts";
import { FailingRecords } from "../failing-records.ts";
import type { RecordView } from "./record-batch.ts";
import { retryDelayMs } from "./retry.ts";
import type { SourcePartition } from "./source.ts";

export class SourceLetters extends DeadLetterBox {
  readonly failing = new FailingRecords();
  readonly #source: SourcePartition;

  constructor(source: SourcePartition, id: number) {
    super(id, source.partitionId);
    this.#source = source;
  }

  /** In one turn: the letter is there, the record is passed. */
  setAside(offset: number, failures: number, error: RamaError): void {
    const source = this.#source;
    const { topology } = source;
    const view = source.recordAt(offset);
    if (view === undefined && source.remote !== undefined) {
      // It is fetched, fails once more, and is here then.
      source.runAgain(offset, failures, topology.nowMs() + topology.retryDelays.firstMs);
      topology.pumpSoon();
      return;
    }
    if (view === undefined || view === null) {
      source.gone(offset);
      return;
    }
    const record = view.bytes.slice(view.start, view.end);
    if (!this.has(offset) && !this.takes(record.length)) {
      topology.lettersFull(source);
      source.runAgain(offset, failures, topology.nowMs() + retryDelayMs(failures, topology.retryDelays));
      topology.pumpSoon();
      return;
    }
    this.put(letterOf(offset, record, error, failures, topology.epochMs()));
    source.progress.closed(offset);
    this.failing.forget(offset);
    const failure = source.failure(error, offset);
    for (const { wait, index } of source.takeWaiters(offset) ?? []) wait.failed(index, failure);
    this.#changed();
  }

  /** The record runs again; the letter goes when that has succeeded. False when it is under way already. */
  retry(letter: DeadLetter): boolean {
    if (letter.retrying) return false;
    this.put({ ...letter, retrying: true });
    this.#changed();
    this.#source.runAgain(letter.offset, 0, 0);
    this.#source.topology.pumpSoon();
    return true;
  }

  drop(letter: DeadLetter): boolean {
    if (letter.retrying || !this.remove(letter.offset)) return false;
    this.#changed();
    return true;
  }

  #changed(): void {
    this.#source.topology.runnerOf(this.#source.task).progressed(this.#source, true);
  }

  processed(offset: number): void {
    this.failing.forget(offset);
    if (this.size > 0) this.remove(offset);
  }

  // ---- `retryAllAfter` comes past records again that have been set aside since

  /** How many of the records come first that are letters. */
  ahead(views: readonly RecordView[]): number {
    if (this.size === 0) return 0;
    let count = 0;
    while (count < views.length && this.has(views[count]!.offset)) count++;
    return count;
  }

  /** The records before the first letter. */
  before(views: readonly RecordView[]): readonly RecordView[] {
    if (this.size === 0) return views;
    const end = views.findIndex((view) => this.has(view.offset));
    return end < 0 ? views : views.slice(0, end);
  }
}
