// One request that is answered (everything but appends): sent at once when routes and connection are there, else as soon as they are; sent again after route
// trouble where that is safe, until its time is up.
import type { Env, Timer } from "../base/env.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { ClassRegistry } from "../base/values.ts";
import type { Config } from "../config/rama-yaml.ts";
import type { FrameWriter } from "../protocol/frame-fields.ts";
import type { EngineConnection, PendingRequest } from "./connection.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import { backOffMs, isRouteTrouble, type RouteTable, type Routing } from "./routing.ts";

/** What all requests of a client share. */
export interface CallContext {
  readonly env: Env;
  readonly routing: Routing;
  readonly pool: ConnectionPool;
  readonly classes: ClassRegistry;
  /** For frames that are sent before anything else is written. */
  readonly scratch: FrameWriter;
  readonly config: Config;
  /** Those that are not closed yet. */
  readonly proxies: Set<{ close(): Promise<void> }>;
  /** True after close: nothing is tried again. */
  closed: boolean;
}

export interface CallPlan<T> {
  readonly moduleName: string;
  /** What is asked, for the message of a timeout. */
  readonly what: string;
  readonly timeoutMs: number;
  /** True for reads. False: once sent, a lost connection ends the call. */
  readonly repeatable: boolean;
  /** The task to ask; throws what the caller did wrong. */
  task(table: RouteTable): number;
  /** Sends the frame. */
  send(table: RouteTable, task: number, connection: EngineConnection, request: number): void;
  /** The answer's body starts at `at`. */
  read(frame: Uint8Array, at: number): T;
}

export function call<T>(context: CallContext, plan: CallPlan<T>): Promise<T> {
  return new Promise((resolve, reject) => new Call(context, plan, resolve, reject).attempt());
}

class Call<T> implements PendingRequest {
  readonly deadline: number;
  readonly #context: CallContext;
  readonly #plan: CallPlan<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  #table: RouteTable | undefined;
  #tries = 0;
  #timer: Timer | undefined;
  #retry: Timer | undefined;
  #lastTrouble: RamaError | undefined;
  #settled = false;

  constructor(context: CallContext, plan: CallPlan<T>, resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.#context = context;
    this.#plan = plan;
    this.#resolve = resolve;
    this.#reject = reject;
    this.deadline = context.env.monotonicMs() + plan.timeoutMs;
  }

  attempt(): void {
    if (this.#settled) return;
    const table = this.#context.routing.cached(this.#plan.moduleName);
    if (table === undefined) {
      this.#waitFor(this.#context.routing.get(this.#plan.moduleName));
      return;
    }
    this.#table = table;
    try {
      const task = this.#plan.task(table);
      const connection = this.#context.pool.to(table, task);
      if (connection.state !== "open") {
        this.#waitFor(connection.opened);
        return;
      }
      this.#plan.send(table, task, connection, connection.request(this));
    } catch (error) {
      const { routing } = this.#context;
      if (error instanceof RamaError && error.code === "MODULE_NOT_RUNNING") this.#again(error);
      else if (routing.mayRecheck(table, error)) this.#waitFor(routing.recheck(this.#plan.moduleName, table, error));
      else this.#fail(error);
    }
  }

  onAnswer(frame: Uint8Array, at: number): void {
    if (this.#settled) return;
    try {
      const value = this.#plan.read(frame, at);
      this.#settle();
      this.#resolve(value);
    } catch (error) {
      this.#fail(error);
    }
  }

  onAppended(): void {
    this.#fail(new RamaError("BAD_FRAME", "an append's answer came to another request"));
  }

  onFailure(error: RamaError): void {
    if (this.#settled) return;
    if (error.code === "TIMEOUT" && error.facts["host"] !== undefined) this.#timedOut();
    else if (isRouteTrouble(error) && (this.#plan.repeatable || error.code !== "CONNECTION_LOST")) this.#again(error);
    else this.#fail(error);
  }

  #waitFor(promise: Promise<unknown>): void {
    this.#startTimer();
    promise.then(
      () => this.attempt(),
      (error: unknown) => {
        if (error instanceof RamaError && isRouteTrouble(error)) this.#again(error);
        else this.#fail(error);
      },
    );
  }

  /** Tries again, after a wait, with fresh routes. */
  #again(trouble: RamaError): void {
    if (this.#settled) return;
    if (this.#context.closed) {
      this.#fail(trouble);
      return;
    }
    this.#lastTrouble = trouble;
    this.#startTimer();
    const { env, routing } = this.#context;
    const stale = this.#table;
    this.#retry = env.setTimer(backOffMs(env, this.#tries++), () => {
      if (!this.#settled) this.#waitFor(routing.refresh(this.#plan.moduleName, stale));
    });
  }

  #startTimer(): void {
    const { env } = this.#context;
    this.#timer ??= env.setTimer(Math.max(0, this.deadline - env.monotonicMs()), () => this.#timedOut());
  }

  #timedOut(): void {
    const { what, moduleName, timeoutMs } = this.#plan;
    const why = this.#lastTrouble === undefined ? "" : `; last trouble: ${messageOf(this.#lastTrouble)}`;
    this.#fail(
      new RamaError(
        "TIMEOUT",
        `${what} of ${moduleName} had no answer within ${timeoutMs} ms${why}`,
        { module: moduleName, timeoutMs },
        this.#lastTrouble,
      ),
    );
  }

  #fail(error: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#timer?.cancel();
    this.#retry?.cancel();
  }
}
