// Far catch-up: a replica that lacks more than its leader's log keeps gets a copy of the leader's store and goes on from there by entries. This is a replica's part in it:
// as a leader it sends its own store and keeps what belongs to it, as a follower it receives one.
import { messageOf } from "../base/errors.ts";
import type { CopyMessage } from "../protocol/store-copy.ts";
import { CopyPace } from "./copy-pace.ts";
import { CopyReceiver, type Received } from "./copy-receiver.ts";
import { CopySender } from "./copy-sender.ts";
import type { ReplicaOptions } from "./replica-contract.ts";
import type { EntryChunk } from "./replog-tail.ts";
import { exportStore } from "./store-export.ts";

/** For which a copy's entries are kept after it has been sent: until the follower has come back and asks by entries. */
const holdMs = 60_000;

export class StoreCopies {
  readonly #options: ReplicaOptions;
  readonly #entriesFrom: (offset: number) => EntryChunk | "later" | "gone";
  readonly #held: number[] = [];
  /** All copies of this store share the bandwidth. */
  readonly #pace = new CopyPace();
  #receiving: CopyReceiver | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReplicaOptions, entriesFrom: (offset: number) => EntryChunk | "later" | "gone") {
    this.#options = options;
    this.#entriesFrom = entriesFrom;
  }

  /** Entries from here on are part of copies that are being sent. */
  get heldFrom(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#held);
  }

  sender(send: (message: CopyMessage) => void): CopySender {
    const { env, copyRate = () => Number.POSITIVE_INFINITY } = this.#options;
    return new CopySender({ env, pace: this.#pace, rate: copyRate, send });
  }

  async send(sender: CopySender): Promise<void> {
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
        begin: (from, totalBytes) => sender.begin(from, totalBytes),
        send: (part) => sender.part(part),
        end: () => sender.end(),
      });
    } finally {
      env.setTimer(holdMs, () => {
        const at = this.#held.indexOf(held);
        if (at >= 0) this.#held.splice(at, 1);
      });
    }
  }

  /** What is received is dealt with message by message. */
  inTurn(step: () => Promise<void>, failed: (error: unknown) => void): void {
    const { env, group } = this.#options;
    this.#turn = this.#turn.then(step).catch((error: unknown) => {
      env.log.warn("a copy of the leader's store breaks off here", { group, error: messageOf(error) });
      failed(error);
    });
  }

  /** undefined: of a copy that nobody has begun. */
  async take(message: CopyMessage, epoch: number): Promise<(Received & { readonly replace: () => void }) | undefined> {
    if (message.kind === "begin") {
      await this.#receiving?.store.abort();
      this.#receiving = new CopyReceiver(this.#options.store.receive(epoch));
    }
    const copy = this.#receiving;
    if (copy === undefined) return undefined;
    try {
      const received = await copy.take(message);
      if (received.kind === "whole") this.#receiving = undefined;
      return { ...received, replace: () => copy.store.replace() };
    } catch (error) {
      this.#receiving = undefined;
      await copy.store.abort();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#receiving?.store.abort();
  }
}
