// Records of one source partition that have failed and not been processed since: what `moduleStatus` tells of a topology that does not go on.
import type { RamaError } from "../base/errors.ts";

export interface FailingRecord {
  readonly offset: number;
  readonly failures: number;
  readonly error: string;
}

/** More may fail at once: some of them are enough to tell. */
const recordsMax = 100;

export class FailingRecords {
  readonly #records = new Map<number, FailingRecord>();

  failed(offset: number, failures: number, error: RamaError): void {
    if (this.#records.size >= recordsMax && !this.#records.has(offset)) return;
    this.#records.set(offset, { offset, failures, error: error.message });
  }

  forget(offset: number): void {
    if (this.#records.size > 0) this.#records.delete(offset);
  }

  /** The one that failed most often. */
  get worst(): FailingRecord | undefined {
    let worst: FailingRecord | undefined;
    for (const record of this.#records.values())
      if (worst === undefined || record.failures > worst.failures) worst = record;
    return worst;
  }
}
