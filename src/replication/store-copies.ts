// A replica's part in copies of stores: as a leader it sends its own and keeps what belongs to it, as a follower it receives one.
import type { CopyPart } from "../protocol/replication.ts";
import type { ReplicaOptions } from "./replica-contract.ts";
import type { EntryChunk } from "./replog-tail.ts";
import { exportStore, type StoreImport } from "./store-copy.ts";

/** For which a copy's entries are kept after it has been sent: until the follower has come back and asks by entries. */
const holdMs = 60_000;

export class StoreCopies {
  readonly #options: ReplicaOptions;
  readonly #entriesFrom: (offset: number) => EntryChunk | "later" | "gone";
  readonly #held: number[] = [];
  #receiving: StoreImport | undefined;
  #parts = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReplicaOptions, entriesFrom: (offset: number) => EntryChunk | "later" | "gone") {
    this.#options = options;
    this.#entriesFrom = entriesFrom;
  }

  /** Entries from here on are part of copies that are being sent. */
  get heldFrom(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#held);
  }

  async send(send: (part: CopyPart) => Promise<void>): Promise<void> {
    const { env, group, application, store } = this.#options;
    let held = Number.POSITIVE_INFINITY;
    try {
      await exportStore({
        ...store.source,
        group,
        flush: () => application.flush(),
        entriesFrom: (offset) => {
          const chunk = this.#entriesFrom(offset);
          return typeof chunk === "string" ? undefined : chunk;
        },
        hold: (offset) => {
          held = offset;
          this.#held.push(offset);
        },
        send,
      });
    } finally {
      env.setTimer(holdMs, () => {
        const at = this.#held.indexOf(held);
        if (at >= 0) this.#held.splice(at, 1);
      });
    }
  }

  /** What is received is dealt with part by part. */
  inTurn(step: () => Promise<void>, failed: (error: unknown) => void): void {
    this.#turn = this.#turn.then(step).catch(failed);
  }

  /** `parts`: taken of this copy. `replace`: it is whole. */
  async take(
    part: CopyPart,
    epoch: number,
  ): Promise<{ readonly parts: number; readonly replace: (() => void) | undefined }> {
    if (part.kind === "begin") {
      await this.#receiving?.abort();
      this.#receiving = this.#options.store.receive(epoch);
      this.#parts = 0;
    }
    const copy = this.#receiving;
    if (copy === undefined) return { parts: this.#parts, replace: undefined };
    const isWhole = await copy.take(part);
    this.#parts++;
    if (isWhole) this.#receiving = undefined;
    return { parts: this.#parts, replace: isWhole ? () => copy.replace() : undefined };
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#receiving?.abort();
  }
}
