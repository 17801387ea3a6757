// The turn of an engine thread. One turn: run what waits, by category, for a short time; run to the end what that started on this engine; seal what changed
// as entries of the log; commit. When the log says that the entries are durable, they are applied in order and then all goes out that had to
// wait for it: replies, hops to other engines, later events. A turn that changed nothing waits for the turns before it, since it may have read their writes.
//
// Committing is pull: while a sync is in flight turns go on and their entries gather in the log's open batch. After replies have gone out, the clients that
// got them send again within microseconds, one by one: the next turn waits for as many inputs as were answered, for a few turns of the event loop and
// 150 us at most (toolchain.md 13.2: 16 wide 8.2 -> 14.9 records per sync).
import { assert } from "../base/assert.ts";
import type { Env } from "../base/env.ts";
import type { StoreLog } from "../storage/store-contract.ts";
import { type Job, JobFifo, lowLatencyJobs, type RunQueue } from "./run-queue.ts";
import type { StuckNote } from "./stuck-note.ts";

/** New inputs are taken for so long: a multiple of what a sync of a small commit costs, far below what a reader notices. */
const inputBudgetMs = 2;
/** Trees that were started in a turn end in it, unless they take longer than this: then the turn is sealed with open trees (at-least-once). */
const treeBudgetMs = 40;
const gatherMs = 0.15;
/** Bounds gathering where the clock stands still (simulation). */
const gatherTurnsMax = 40;

export interface CommitLoopOptions {
  readonly env: Env;
  readonly log: StoreLog;
  readonly queue: RunQueue;
  readonly note: StuckNote;
  /** Appends the turn's entries to the replogs. */
  readonly seal: () => void;
  /** Tells the replogs that entries up to the log's sequence number are durable: they apply them. */
  readonly durable: (upTo: number) => void;
  /** Sends what was gathered for other engines. */
  readonly flush: () => void;
  /** Kind 3: nothing more is written. */
  readonly onBroken: (error: unknown) => void;
}

interface Waiting {
  readonly upTo: number;
  readonly hooks: (() => void)[];
  readonly replies: number;
}

export class CommitLoop {
  readonly #options: CommitLoopOptions;
  readonly #ready = new JobFifo<Job>();
  readonly #waiting = new JobFifo<Waiting>();
  #hooks: (() => void)[] = [];
  #replies = 0;
  #durable: number;
  #scheduled = false;
  #running = false;
  #stopped = false;
  /** No turn begins. */
  #held = false;
  #onHeld: (() => void) | undefined;
  #current: Job | undefined = undefined;
  #turnStartMs = 0;
  #gatherFor = 0;
  #gatherFromMs = 0;
  #gatherTurns = 0;
  /** Inputs that came since the last turn, counted by whoever pushes them. */
  #inputs = 0;
  readonly #idleWaiters: (() => void)[] = [];
  turns = 0;

  constructor(options: CommitLoopOptions) {
    this.#options = options;
    this.#durable = options.log.end;
    options.log.onDurable = (upTo) => this.#becameDurable(upTo);
  }

  /** A turn runs, or none may: whoever comes has to queue. */
  get running(): boolean {
    return this.#running || this.#held;
  }

  /** Nothing runs and everything that was sealed is durable. */
  get idle(): boolean {
    const { queue, log } = this.#options;
    if (this.#running || this.#scheduled || this.#durable < log.end) return false;
    return this.#waiting.length === 0 && this.#ready.length === 0 && queue.length === 0;
  }

  /** Calls `fn` once it is idle, or stopped. */
  whenIdle(fn: () => void): void {
    if (this.idle || this.#stopped) fn();
    else this.#idleWaiters.push(fn);
  }

  #checkIdle(): void {
    if (this.#idleWaiters.length === 0 || !(this.idle || this.#stopped)) return;
    for (const fn of this.#idleWaiters.splice(0)) fn();
  }

  push(category: number, job: Job, inputs = 0): void {
    this.#options.queue.push(category, job);
    this.#inputs += inputs;
    this.wake();
  }

  /** A runner whose events belong to the turn that runs (or to the next one, when none runs). */
  ready(job: Job): void {
    this.#ready.push(job);
    this.wake();
  }

  /** Runs once everything up to the end of this turn is durable and applied, in order. `replies`: how many clients it answers. */
  after(hook: () => void, replies = 0): void {
    this.#hooks.push(hook);
    this.#replies += replies;
    this.wake();
  }

  wake(): void {
    if (this.#scheduled || this.#running || this.#stopped || this.#held) return;
    this.#scheduled = true;
    this.#options.env.nextTurn(this.#tick);
  }

  stop(): void {
    this.#stopped = true;
    this.#onHeld?.();
    this.#checkIdle();
  }

  /** No turn begins any more; what is sealed becomes durable and is answered. Resolves when none runs. */
  hold(): Promise<void> {
    this.#held = true;
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  goOn(): void {
    this.#held = false;
    this.#onHeld = undefined;
    this.wake();
  }

  readonly #tick = (): void => {
    this.#scheduled = false;
    if (this.#stopped || this.#running || this.#held) return;
    if (this.#gathers()) {
      this.wake();
      return;
    }
    this.#running = true;
    this.#turnStartMs = this.#options.env.monotonicMs();
    this.#options.note.turnBegins();
    this.#guarded();
  };

  #gathers(): boolean {
    if (this.#gatherFor === 0) return false;
    const { env } = this.#options;
    if (
      this.#inputs < this.#gatherFor &&
      ++this.#gatherTurns <= gatherTurnsMax &&
      env.monotonicMs() - this.#gatherFromMs < gatherMs
    )
      return true;
    this.#gatherFor = 0;
    return false;
  }

  #guarded(): void {
    try {
      if (this.#work()) this.#finish();
    } catch (error) {
      this.#stopped = true;
      this.#running = false;
      this.#options.onBroken(error);
    }
  }

  /** False when a job waits for the disk: the turn goes on when it is there. */
  #work(): boolean {
    const { env, queue } = this.#options;
    let before = this.#turnStartMs;
    let category = this.#current === undefined ? queue.pick() : -1;
    while (category >= 0) {
      if (!this.#run(queue.take(category))) return false;
      const now = env.monotonicMs();
      queue.charge(category, now - before);
      before = now;
      if (now - this.#turnStartMs > inputBudgetMs) break;
      category = queue.pick();
    }
    let rounds = 0;
    for (;;) {
      const job = this.#current ?? this.#ready.shift();
      if (job === undefined) break;
      if (!this.#run(job)) return false;
      if ((++rounds & 7) === 0 && env.monotonicMs() - this.#turnStartMs > treeBudgetMs) break;
    }
    if (rounds > 0) queue.charge(lowLatencyJobs, env.monotonicMs() - before);
    return true;
  }

  #run(job: Job): boolean {
    this.#current = undefined;
    const suspended = job.run();
    if (suspended === undefined) return true;
    this.#current = job;
    const resume = () => {
      if (!this.#stopped) this.#guarded();
    };
    suspended.then(resume, resume);
    return false;
  }

  #finish(): void {
    const { log, seal, note } = this.#options;
    this.turns++;
    this.#inputs = 0;
    seal();
    if (this.#hooks.length > 0) {
      this.#waiting.push({ upTo: log.end, hooks: this.#hooks, replies: this.#replies });
      this.#hooks = [];
      this.#replies = 0;
    }
    note.turnEnds();
    this.#running = false;
    this.#onHeld?.();
    if (log.end > this.#durable) log.commit(this.#options.queue.length > 0 || this.#ready.length > 0);
    this.#release();
    this.#options.flush();
    if (this.#options.queue.length > 0 || this.#ready.length > 0 || this.#hooks.length > 0) this.wake();
    this.#checkIdle();
  }

  #becameDurable(upTo: number): void {
    assert(upTo >= this.#durable, `log: durable went back from ${this.#durable} to ${upTo}`);
    if (this.#stopped) return;
    try {
      this.#durable = upTo;
      this.#options.durable(upTo);
      this.#release();
      if (this.#running) return;
      this.#options.flush();
      this.#checkIdle();
    } catch (error) {
      this.#stopped = true;
      this.#options.onBroken(error);
    }
  }

  /** Runs what waited for entries that are durable now. */
  #release(): void {
    let replies = 0;
    for (
      let next = this.#waiting.peek();
      next !== undefined && next.upTo <= this.#durable;
      next = this.#waiting.peek()
    ) {
      this.#waiting.shift();
      replies += next.replies;
      for (const hook of next.hooks) hook();
    }
    if (replies <= 1) return;
    this.#gatherFor = replies;
    this.#gatherTurns = 0;
    this.#gatherFromMs = this.#options.env.monotonicMs();
  }
}
