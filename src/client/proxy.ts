// A proxy: a copy of one value of a PState, kept up to date by the diffs that the engine sends. Whenever it may have missed something - a number that is out of
// turn, a checksum that differs, a connection that broke, an engine that forgot it - it subscribes again and tells the callback with a ResyncDiff. After too many
// failures in a time window it gives up.
import { messageOf, RamaError } from "../base/errors.ts";
import { compareValues } from "../base/compare.ts";
import { decodeValue, encodeValue } from "../base/value-codec.ts";
import { type Diff, DestroyedDiff, ResyncDiff, UngracefulTerminationDiff } from "../paths/diff.ts";
import { applyDiff, emptyOf } from "../paths/diff-apply.ts";
import { checksumOf } from "../paths/diff-checksum.ts";
import { diffOfParts } from "../paths/diff-codec.ts";
import { encodePath } from "../paths/path-codec.ts";
import type { Steps } from "../paths/spec.ts";
import { type DiffFrame, encodeWatch } from "../protocol/proxy.ts";
import { type CallContext, type CallPlan, call } from "./call.ts";
import { CallbackQueue } from "./callback-queue.ts";
import type { EngineConnection } from "./connection.ts";
import { type PathShape, shapeOfPath } from "./path-shape.ts";
import { backOffMs, type RouteTable } from "./routing.ts";
import { ConnectionWatches, type Watching } from "./watches.ts";

/** TERMINATED: closed. TERMINATED_UNGRACEFULLY: given up after repeated failures. */
export type ProxyStatus = "ACTIVE" | "TERMINATED" | "TERMINATED_UNGRACEFULLY";

/** What it throws is logged and changes nothing. A promise that it returns is awaited before the next call. Values are shared: do not change them. */
export type ProxyCallback<T = any> = (newValue: T, diff: Diff, oldValue: T | null) => void | Promise<void>;

export interface ProxyState<T = any> {
  /** The present value, without a call over the network. */
  get(): T;
  getStatus(): ProxyStatus;
  /**
   * Ends the subscription; the callback is called once more, with a DestroyedDiff and the last value. Resolves after that call, or at once while the
   * callback runs (so that it may close its own proxy). Idempotent.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ProxyOptions<T> {
  readonly context: CallContext;
  readonly moduleName: string;
  readonly name: string;
  readonly steps: Steps;
  readonly task: (table: RouteTable) => number;
  readonly callback: ProxyCallback<T> | undefined;
}

/** Resolves after the first callback has returned. */
export async function openProxy<T>(options: ProxyOptions<T>): Promise<ProxyState<T>> {
  const proxy = new WatchedValue<T>(options);
  await proxy.start();
  return proxy;
}

const noArgs = new Uint8Array(0);

class WatchedValue<T> implements ProxyState<T>, Watching {
  readonly #options: ProxyOptions<T>;
  readonly #shape: PathShape;
  /** The value is a range: a Map or Set in the order of its keys. */
  readonly #sorted: boolean;
  readonly #callbacks: CallbackQueue<T>;
  #status: ProxyStatus = "ACTIVE";
  #value: T | null = null;
  /** Of the last diff. */
  #number = 0;
  /** The subscription that counts. */
  #subscription: { readonly watches: ConnectionWatches; readonly watch: number } | undefined;
  /** No subscription has been confirmed: one is being asked for. */
  #seeking = true;
  /** Monotonic milliseconds of the failures in the window. */
  #failures: number[] = [];

  constructor(options: ProxyOptions<T>) {
    this.#options = options;
    this.#shape = shapeOfPath(options.steps);
    const last = options.steps.at(-1)?.nav;
    this.#sorted = last === "mapRange" || last === "setRange";
    const { env } = options.context;
    this.#callbacks = new CallbackQueue(options.callback, (error) =>
      env.log.error("the callback of a proxy threw", { pstate: options.name, error: messageOf(error) }),
    );
  }

  async start(): Promise<void> {
    const { context } = this.#options;
    if (context.closed) throw new RamaError("CONNECTION_LOST", "the client was closed");
    try {
      await this.#subscribe();
    } catch (error) {
      this.#drop();
      throw error;
    }
    context.proxies.add(this);
    await this.#callbacks.drained();
  }

  get(): T {
    return this.#value as T;
  }

  getStatus(): ProxyStatus {
    return this.#status;
  }

  async close(): Promise<void> {
    if (this.#status === "ACTIVE") this.#terminate("TERMINATED", new DestroyedDiff());
    if (!this.#callbacks.calling) await this.#callbacks.drained();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #terminate(status: ProxyStatus, diff: Diff): void {
    this.#status = status;
    this.#drop();
    this.#options.context.proxies.delete(this);
    this.#callbacks.add(this.#value as T, diff, this.#value);
  }

  #drop(): void {
    const { watches, watch } = this.#subscription ?? {};
    this.#subscription = undefined;
    if (watch !== undefined) watches?.remove(watch);
  }

  // ---- subscribing

  #subscribe(): Promise<void> {
    const { context, moduleName, name, steps, task } = this.#options;
    const plan: CallPlan<void> = {
      moduleName,
      what: `a proxy of ${name}`,
      timeoutMs: context.config.get("foreign.pstate.operation.timeout.millis"),
      repeatable: true,
      task,
      send: (table, at, connection, request) => this.#send(table, at, connection, request, steps),
      read: (frame, at) => {
        const answer = decodeValue(frame, at, frame.length, context.classes) as [T, number];
        this.#resynced(answer[0], answer[1]);
      },
    };
    return call(context, plan);
  }

  #send(table: RouteTable, task: number, connection: EngineConnection, request: number, steps: Steps): void {
    const { context, name } = this.#options;
    const { key, args } = this.#shape;
    const path = connection.pathNumber(key, () => encodePath(steps).shape);
    this.#drop();
    const watches = ConnectionWatches.of(connection, context.env);
    const watch = watches.add(this);
    this.#subscription = { watches, watch };
    connection.send(
      encodeWatch(context.scratch, {
        pstate: table.pstate(name).index,
        task,
        request,
        watch,
        path,
        args: args.length === 0 ? noArgs : encodeValue(args, context.classes),
      }),
    );
  }

  #resynced(value: T, queueLimit: number): void {
    if (this.#status !== "ACTIVE") {
      this.#drop();
      return;
    }
    if (this.#subscription === undefined)
      throw new RamaError("CONNECTION_LOST", "the subscription ended before it was confirmed");
    const before = this.#value;
    this.#seeking = false;
    this.#value = value;
    this.#number = 0;
    this.#callbacks.limit = queueLimit;
    this.#callbacks.add(value, new ResyncDiff(value), before);
  }

  // ---- what the engine sends

  onDiff(frame: DiffFrame, bytes: Uint8Array): void {
    if (this.#status !== "ACTIVE" || this.#seeking) return;
    const before = this.#value;
    try {
      if (frame.number !== this.#number + 1)
        throw mismatch(`diff ${frame.number} came where ${this.#number + 1} was due`);
      const diff = diffOfParts(decodeValue(bytes, frame.at, bytes.length, this.#options.context.classes));
      const changed = applyDiff(frame.from === undefined ? before : emptyOf(frame.from), diff);
      const after = this.#sorted ? inKeyOrder(changed) : changed;
      if (checksumOf(after) !== frame.checksum) throw mismatch("the checksum of a diff differs");
      this.#number = frame.number;
      this.#value = after as T;
      this.#callbacks.add(after as T, diff, before);
    } catch (error) {
      this.#failed(error);
    }
  }

  onLost(error: RamaError): void {
    this.#subscription = undefined;
    // While it seeks, the call that subscribes hears of it too.
    if (this.#status === "ACTIVE" && !this.#seeking) this.#failed(error);
  }

  #failed(error: unknown): void {
    this.#drop();
    if (this.#givesUp(error)) return;
    this.#seeking = true;
    this.#options.context.env.spawn(`proxy of ${this.#options.name}`, () => this.#seek());
  }

  async #seek(): Promise<void> {
    const { context } = this.#options;
    for (let tries = 0; this.#status === "ACTIVE"; tries++) {
      await context.env.sleep(backOffMs(context.env, tries));
      if (this.#status !== "ACTIVE") break;
      try {
        await this.#subscribe();
        return;
      } catch (error) {
        this.#drop();
        if (this.#givesUp(error)) return;
      }
    }
  }

  /** Counts a failure; true when it was one too many, or nothing is left to be done. */
  #givesUp(error: unknown): boolean {
    if (this.#status !== "ACTIVE") return true;
    const { env, config } = this.#options.context;
    const now = env.monotonicMs();
    const windowMs = 1000 * config.get<number>("foreign.proxy.failure.window.seconds");
    this.#failures = this.#failures.filter((at) => at > now - windowMs);
    this.#failures.push(now);
    if (this.#failures.length < config.get<number>("foreign.proxy.failure.window.threshold")) return false;
    env.log.warn("a proxy gave up", {
      pstate: this.#options.name,
      failures: this.#failures.length,
      error: messageOf(error),
    });
    this.#terminate("TERMINATED_UNGRACEFULLY", new UngracefulTerminationDiff());
    return true;
  }
}

function mismatch(what: string): RamaError {
  return new RamaError("BAD_FRAME", `${what}; the value is asked for anew`);
}

/** A Map or Set in the order of its keys: what a diff adds stands at the end otherwise. */
function inKeyOrder(value: unknown): unknown {
  if (value instanceof Map) {
    const entries = [...value];
    return ascends(entries.map(([key]) => key)) ? value : new Map(entries.sort(([a], [b]) => compareValues(a, b)));
  }
  if (value instanceof Set && !ascends([...value])) return new Set([...value].sort(compareValues));
  return value;
}

function ascends(keys: readonly unknown[]): boolean {
  for (let i = 1; i < keys.length; i++) if (compareValues(keys[i - 1], keys[i]) > 0) return false;
  return true;
}
