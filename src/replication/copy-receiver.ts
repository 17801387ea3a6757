// Takes a copy of a store from a leader's connection: compares what is offered with what is there, checks each part and the whole, and says what to answer. The
// files are `store-import.ts`'s.
import { RamaError } from "../base/errors.ts";
import type { CopyAnswer, CopyMessage } from "../protocol/store-copy.ts";
import { partHash, sameHash, WholeHash } from "./copy-hash.ts";
import type { StoreImport } from "./store-import.ts";

export type Received =
  | { readonly kind: "answer"; readonly number: number; readonly answer: CopyAnswer }
  /** The copy is whole and durable. */
  | { readonly kind: "whole" };

/** Messages are to be given one after the other. */
export class CopyReceiver {
  readonly store: StoreImport;
  readonly #hashes = new Map<number, Uint8Array>();

  constructor(store: StoreImport) {
    this.store = store;
  }

  /** Rejects when the copy is to be begun again; what counts of it has stayed, then. */
  async take(message: CopyMessage): Promise<Received> {
    switch (message.kind) {
      case "begin": {
        const isResumed = await this.store.begin(message.from);
        return { kind: "answer", number: 0, answer: isResumed ? "have" : "need" };
      }
      case "offer": {
        const { number, hash, range } = message;
        const content = await this.store.present(range);
        if (content === undefined || !sameHash(partHash({ range, content }), hash))
          return { kind: "answer", number, answer: "need" };
        this.store.has(range);
        this.#hashes.set(number, hash.slice());
        return { kind: "answer", number, answer: "have" };
      }
      case "part": {
        const { number, hash, range, content } = message;
        if (!sameHash(partHash({ range, content }), hash)) return { kind: "answer", number, answer: "need" };
        await this.store.take({ range, content });
        this.#hashes.set(number, hash.slice());
        return { kind: "answer", number, answer: "taken" };
      }
      case "end":
        await this.#end(message.parts, message.hash);
        return { kind: "whole" };
    }
  }

  async #end(parts: number, wanted: Uint8Array): Promise<void> {
    const whole = new WholeHash();
    for (let number = 1; number <= parts; number++) whole.add(this.#hashes.get(number) ?? new Uint8Array(0));
    if (this.#hashes.size !== parts || !sameHash(whole.take(), wanted)) {
      await this.store.abort();
      this.store.discard();
      throw new RamaError("STORE_CORRUPT", `a copy of ${parts} parts is not what its leader has sent: begun anew`);
    }
    await this.store.finish();
  }
}
