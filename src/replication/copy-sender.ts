// Sends a copy of a store over a leader's connection: some parts on their way at once, within the bandwidth that is allowed. Parts that the follower has already
// are only offered; one that arrives damaged goes again.
import type { Env } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import type { CopyAnswer, CopyMessage, CopyPart } from "../protocol/store-copy.ts";
import { partHash, WholeHash } from "./copy-hash.ts";
import type { CopyPace } from "./copy-pace.ts";

/** Parts that are on their way: some megabytes. */
const windowParts = 8;
/** A connection that damages a part so often is given up. */
const sendsMax = 5;

export interface CopySenderOptions {
  readonly env: Env;
  readonly pace: CopyPace;
  /** Of parts, per second. */
  readonly rate: () => number;
  readonly send: (message: CopyMessage) => void;
}

interface Unsettled {
  readonly part: CopyPart;
  readonly hash: Uint8Array;
  sends: number;
}

export interface CopyProgress {
  /** Of parts that the follower has. */
  readonly bytes: number;
  /** Of all, about. */
  readonly totalBytes: number;
}

export class CopySender {
  readonly #options: CopySenderOptions;
  readonly #whole = new WholeHash();
  readonly #unsettled = new Map<number, Unsettled>();
  #numbers = 0;
  #resumes: boolean | undefined;
  #bytes = 0;
  #totalBytes = 0;
  #sentBytes = 0;
  #failure: RamaError | undefined;
  /** When it last sent or heard something, on the monotonic clock. */
  #heardMs: number;
  #wake: () => void = () => {};

  constructor(options: CopySenderOptions) {
    this.#options = options;
    this.#heardMs = options.env.monotonicMs();
  }

  get progress(): CopyProgress {
    return { bytes: this.#bytes, totalBytes: Math.max(this.#totalBytes, this.#bytes) };
  }

  /** Of contents, over the connection. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** For how long the follower has owed an answer. */
  silentMs(nowMs: number): number {
    const owes = this.#unsettled.size > 0 || this.#resumes === undefined;
    return owes ? nowMs - this.#heardMs : 0;
  }

  async begin(from: number, totalBytes: number): Promise<void> {
    this.#totalBytes = totalBytes;
    this.#send({ kind: "begin", from });
    await this.#until(() => this.#resumes !== undefined);
  }

  async part(part: CopyPart): Promise<void> {
    await this.#until(() => this.#unsettled.size < windowParts);
    const hash = partHash(part);
    this.#whole.add(hash);
    const number = ++this.#numbers;
    const unsettled: Unsettled = { part, hash, sends: 0 };
    this.#unsettled.set(number, unsettled);
    if (this.#resumes === true && part.range.kind !== "entries") {
      this.#send({ kind: "offer", number, hash, size: part.content.length, range: part.range });
    } else await this.#sendPart(number, unsettled);
  }

  async end(): Promise<void> {
    await this.#until(() => this.#unsettled.size === 0);
    this.#send({ kind: "end", parts: this.#numbers, hash: this.#whole.take() });
  }

  answered(number: number, answer: CopyAnswer): void {
    this.#heardMs = this.#options.env.monotonicMs();
    if (number === 0) this.#resumes = answer === "have";
    const unsettled = this.#unsettled.get(number);
    if (unsettled !== undefined) {
      if (answer === "need") this.#sendSoon(number, unsettled);
      else {
        this.#bytes += unsettled.part.content.length;
        this.#unsettled.delete(number);
      }
    }
    this.#wake();
  }

  /** The connection is lost: whoever waits is told. */
  fail(error: RamaError): void {
    this.#failure ??= error;
    this.#wake();
  }

  #sendSoon(number: number, unsettled: Unsettled): void {
    if (unsettled.sends >= sendsMax) {
      this.fail(new RamaError("CONNECTION_LOST", `part ${number} of a copy has arrived damaged ${sendsMax} times`));
      return;
    }
    this.#options.env.spawn("part of a copy", () => this.#sendPart(number, unsettled));
  }

  async #sendPart(number: number, unsettled: Unsettled): Promise<void> {
    const { env, pace, rate } = this.#options;
    const { part, hash } = unsettled;
    const size = part.content.length;
    unsettled.sends++;
    const waitMs = pace.waitMs(size, env.monotonicMs(), rate());
    if (waitMs > 0) await env.sleep(waitMs);
    if (this.#failure !== undefined) return;
    this.#sentBytes += size;
    this.#send({ kind: "part", number, hash, size, range: part.range, content: part.content });
  }

  #send(message: CopyMessage): void {
    this.#heardMs = this.#options.env.monotonicMs();
    this.#options.send(message);
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (this.#failure === undefined && !isSo()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
