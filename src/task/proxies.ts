// The subscriptions of proxies on one engine. Applying writes only marks those whose top-level key was touched; a job in the clients' share of the thread then
// reads each marked place anew, after the replies have left, and sends the difference from what the subscriber has. So a subscriber that reads slowly, or a
// place that changes often, costs one value and no queue: what happened since the last diff comes as one.
import type { Env, Timer } from "../base/env.ts";
import { RamaError } from "../base/errors.ts";
import { NewValueDiff } from "../paths/diff.ts";
import { checksumOf } from "../paths/diff-checksum.ts";
import { type Change, changeOf } from "../paths/diff-compare.ts";
import type { PathRoot, ReadSession } from "../paths/indexed.ts";
import type { PStatePartition } from "../pstate/contract.ts";
import type { Watcher } from "../pstate/watch.ts";
import type { EngineSelect } from "./engine-api.ts";

export interface EngineWatch {
  readonly pstate: number;
  readonly task: number;
  readonly select: (root: PathRoot, session: ReadSession) => unknown[];
  /** The top-level key below which the path stays; undefined when it may go anywhere. */
  readonly place: { readonly key: unknown } | undefined;
  /** The whole value is sent with each change. */
  readonly coarse: boolean;
  readonly sink: WatchSink;
}

/** Who is told. `started` or `ended` comes first, `ended` at most once and last; not within the call of `watch`, if the engine is busy. */
export interface WatchSink {
  /** False: what was sent before has not left yet. Nothing is sent until it is true again. */
  readonly ready: boolean;
  started(value: unknown, queueLimit: number): void;
  changed(change: Change, checksum: number): void;
  ended(error: RamaError): void;
}

export interface ProxyHubOptions {
  readonly env: Env;
  /** The partition, or why there is none. */
  readonly partition: (pstate: number, task: number) => PStatePartition | RamaError;
  /** A read when the thread comes to it; now. */
  readonly select: (select: EngineSelect) => void;
  readonly selectNow: (select: EngineSelect) => void;
  /** Runs `job` as one of the clients' jobs. */
  readonly push: (job: () => void) => void;
  /** Most proxies of this engine; most diffs that wait for a callback of the PState's proxies. */
  readonly limit: () => number;
  readonly queueLimit: (pstate: number) => number;
}

/** Longest run of reads in one job. */
const jobMs = 2;
/** How often subscribers that are slow are looked at again. */
const slowMs = 20;

export class ProxyHub {
  readonly options: ProxyHubOptions;
  #count = 0;
  #marked: Subscription[] = [];
  #next = 0;
  #scheduled = false;
  #slow: Subscription[] = [];
  #slowTimer: Timer | undefined;

  constructor(options: ProxyHubOptions) {
    this.options = options;
  }

  /** Subscriptions that are open. */
  get count(): number {
    return this.#count;
  }

  /** The sink is told of UNKNOWN_OBJECT, MOVED, OVERLOADED, NOT_EXACTLY_ONE, STRUCTURE_NOT_A_VALUE and what else reading throws. */
  open(watch: EngineWatch): Subscription {
    const { partition, limit, select } = this.options;
    const found = partition(watch.pstate, watch.task);
    const most = limit();
    if (found instanceof RamaError) watch.sink.ended(found);
    else if (this.#count >= most) {
      const message = `${this.#count} proxies are open on this engine; pstate.proxy.limit is ${most}`;
      watch.sink.ended(new RamaError("OVERLOADED", message, { limit: most }));
    } else {
      const subscription = new Subscription(this, watch, found);
      this.#count++;
      found.watch(subscription, watch.place);
      select(subscription);
      return subscription;
    }
    return new Subscription(this, watch, undefined);
  }

  closed(): void {
    this.#count--;
  }

  mark(subscription: Subscription): void {
    this.#marked.push(subscription);
    this.#schedule();
  }

  /** Nothing leaves for it now: it keeps its mark and is looked at again soon. */
  later(subscription: Subscription): void {
    this.#slow.push(subscription);
    this.#slowTimer ??= this.options.env.setTimer(slowMs, () => {
      this.#slowTimer = undefined;
      for (const slow of this.#slow.splice(0)) this.mark(slow);
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.options.push(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    const { env, selectNow } = this.options;
    const untilMs = env.monotonicMs() + jobMs;
    const marked = this.#marked;
    while (this.#next < marked.length) {
      const subscription = marked[this.#next++]!;
      if (subscription.takeMark()) selectNow(subscription);
      if ((this.#next & 15) === 0 && env.monotonicMs() > untilMs) break;
    }
    if (this.#next < marked.length) {
      this.#schedule();
      return;
    }
    this.#marked = [];
    this.#next = 0;
  };
}

/** One proxy's subscription. It is its own read: `reply` gets what the path navigates to. */
export class Subscription implements Watcher, EngineSelect {
  readonly pstate: number;
  readonly task: number;
  readonly select: (root: PathRoot, session: ReadSession) => unknown[];
  readonly #hub: ProxyHub;
  readonly #watch: EngineWatch;
  /** undefined once closed. */
  #partition: PStatePartition | undefined;
  /** What the subscriber has. */
  #value: unknown;
  #started = false;
  #marked = false;
  /** A read is on its way; a mark that comes meanwhile waits for it. */
  #reading = true;

  constructor(hub: ProxyHub, watch: EngineWatch, partition: PStatePartition | undefined) {
    this.#hub = hub;
    this.#watch = watch;
    this.#partition = partition;
    this.pstate = watch.pstate;
    this.task = watch.task;
    this.select = watch.select;
  }

  touched(): void {
    if (this.#marked || this.#partition === undefined) return;
    this.#marked = true;
    if (!this.#reading) this.#hub.mark(this);
  }

  /** Whether it is to be read now. */
  takeMark(): boolean {
    if (this.#partition === undefined || !this.#marked || this.#reading) return false;
    if (!this.#watch.sink.ready) {
      this.#hub.later(this);
      return false;
    }
    this.#marked = false;
    this.#reading = true;
    return true;
  }

  reply(error: RamaError | null, rows: unknown[]): void {
    this.#reading = false;
    if (this.#partition === undefined) return;
    if (error !== null) this.#end(error);
    else if (rows.length !== 1) this.#end(notOne(rows.length));
    else if (this.#started) this.#compare(rows[0]);
    else {
      this.#started = true;
      this.#value = rows[0];
      this.#watch.sink.started(rows[0], this.#hub.options.queueLimit(this.pstate));
    }
    if (this.#marked) this.#hub.mark(this);
  }

  #compare(value: unknown): void {
    const change = changeOf(this.#value, value);
    this.#value = value;
    if (change === undefined) return;
    const told = this.#watch.coarse ? { diff: new NewValueDiff(value) } : change;
    this.#watch.sink.changed(told, checksumOf(value));
  }

  #end(error: RamaError): void {
    this.close();
    this.#watch.sink.ended(error);
  }

  /** Idempotent; the sink hears nothing more. */
  close(): void {
    if (this.#partition === undefined) return;
    this.#partition.unwatch(this, this.#watch.place);
    this.#partition = undefined;
    this.#value = undefined;
    this.#hub.closed();
  }
}

function notOne(count: number): RamaError {
  return new RamaError(
    "NOT_EXACTLY_ONE",
    `a proxy's path navigates to exactly one value at all times; here to ${count}`,
    {
      count,
    },
  );
}
