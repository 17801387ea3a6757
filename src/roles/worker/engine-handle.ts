// An engine thread as the worker's main thread sees it.
import type { Env } from "../../base/env.ts";
import { RamaError } from "../../base/errors.ts";
import type { Member } from "../../replication/group-record.ts";
import type { DeadLettersAnswer, DeadLettersCall } from "../../protocol/control.ts";
import { failureOf } from "../../protocol/failure.ts";
import type { EngineStatus } from "../../task/engine-api.ts";
import type { FromEngine, OpenEngine, ProposeRecord, ToEngine } from "./thread-messages.ts";

export interface ThreadPort {
  post(message: ToEngine): void;
}

/** `onEnd` is told when the thread ends by itself or by an error that nobody caught. */
export type StartThread = (onMessage: (message: FromEngine) => void, onEnd: (reason: string) => void) => ThreadPort;

/** Engine threads as Bun's workers; `entry` is the file that starts `EngineThread`. */
export function bunThread(entry: URL | string): StartThread {
  return (onMessage, onEnd) => {
    const worker = new globalThis.Worker(entry);
    worker.addEventListener("message", (event) => onMessage((event as MessageEvent<FromEngine>).data));
    worker.addEventListener("error", (event) => onEnd((event as ErrorEvent).message));
    worker.addEventListener("close", () => onEnd("the thread ended"));
    return { post: (message) => worker.postMessage(message) };
  };
}

type Ready = Extract<FromEngine, { kind: "ready" }>;
type Loaded = Extract<FromEngine, { kind: "loaded" }>;

/** A thread that has not closed its store by then is left behind. */
const closeTimeoutMs = 8_000;
const answerTimeoutMs = 5_000;
/** Everything is read. */
const contentsTimeoutMs = 60_000;

export class EngineHandle {
  readonly stuckNote: SharedArrayBuffer;
  readonly opened: Promise<Ready>;
  /** The module is loaded and compiled; rejects with `opened`. */
  readonly prepared: Promise<void>;
  loaded: Loaded | undefined;
  ready: Ready | undefined;
  /** Called when the thread ends without having been asked to. */
  onFailed: (error: RamaError) => void = () => {};
  onPropose: (proposal: ProposeRecord) => void = () => {};
  /** False: the replica in the thread lacks entries that it once confirmed. */
  mayLead = true;
  onMayLead: () => void = () => {};
  readonly #env: Env;
  readonly #thread: ThreadPort;
  readonly #requests = new Map<number, (answer: unknown) => void>();
  #nextRequest = 1;
  #settle!: { resolve: (ready: Ready) => void; reject: (error: RamaError) => void };
  #onLoaded!: () => void;
  #onClosed: (() => void) | undefined;
  #ended = false;

  constructor(env: Env, start: StartThread, open: OpenEngine) {
    this.#env = env;
    this.stuckNote = open.stuckNote;
    this.opened = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.opened.catch(() => {});
    const loaded = new Promise<void>((resolve) => {
      this.#onLoaded = resolve;
    });
    this.prepared = Promise.race([loaded, this.opened.then(() => {})]);
    this.prepared.catch(() => {});
    this.#thread = start(
      (message) => this.#onMessage(message),
      (reason) => this.#onEnd(reason),
    );
    this.#thread.post(open);
  }

  post(message: ToEngine): void {
    if (!this.#ended) this.#thread.post(message);
  }

  /** `withContents`: with hashes of all that the groups hold. */
  status(withContents = false): Promise<EngineStatus> {
    const timeoutMs = withContents ? contentsTimeoutMs : answerTimeoutMs;
    return this.#ask((request) => ({ kind: "status", request, withContents }), timeoutMs);
  }

  deadLetters(call: DeadLettersCall): Promise<DeadLettersAnswer> {
    return this.#ask((request) => ({ kind: "deadLetters", request, call }));
  }

  /** See `Replica.resign`. TIMEOUT: not known. */
  async resign(to: Member): Promise<void> {
    const failure = await this.#ask<string | undefined>((request) => ({ kind: "resign", request, to }));
    if (failure !== undefined) throw failureOf(failure);
  }

  #ask<T>(message: (request: number) => ToEngine, timeoutMs = answerTimeoutMs): Promise<T> {
    return new Promise((resolve, reject) => {
      const request = this.#nextRequest++;
      const timer = this.#env.setTimer(timeoutMs, () => {
        this.#requests.delete(request);
        reject(new RamaError("TIMEOUT", `an engine thread did not answer within ${timeoutMs} ms`));
      });
      this.#requests.set(request, (answer) => {
        timer.cancel();
        resolve(answer as T);
      });
      this.post(message(request));
    });
  }

  #answered(request: number, answer: unknown): void {
    this.#requests.get(request)?.(answer);
    this.#requests.delete(request);
  }

  close(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#env.setTimer(closeTimeoutMs, () => {
        this.#env.log.error("an engine thread did not close its store in time", { timeoutMs: closeTimeoutMs });
        resolve();
      });
      this.#onClosed = () => {
        timer.cancel();
        resolve();
      };
      this.post({ kind: "close" });
    });
  }

  #onMessage(message: FromEngine): void {
    switch (message.kind) {
      case "loaded":
        this.loaded = message;
        this.#onLoaded();
        return;
      case "ready":
        this.ready = message;
        this.#settle.resolve(message);
        return;
      case "failed": {
        const failure = failureOf(message.failure);
        this.#ended = true;
        if (this.ready === undefined) this.#settle.reject(failure);
        else this.onFailed(failure);
        return;
      }
      case "status":
        this.#answered(message.request, message.status);
        return;
      case "deadLetters":
        this.#answered(message.request, message.answer);
        return;
      case "resigned":
        this.#answered(message.request, message.failure);
        return;
      case "mayLead":
        this.mayLead = message.mayLead;
        this.onMayLead();
        return;
      case "propose":
        this.onPropose(message);
        return;
      case "closed":
        this.#ended = true;
        this.#onClosed?.();
    }
  }

  #onEnd(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const error = new RamaError("INTERNAL", `an engine thread ended: ${reason}`);
    this.#settle.reject(error);
    if (this.#onClosed !== undefined) this.#onClosed();
    else this.onFailed(error);
  }
}
