// One microbatch after another: does what the coordinator decides, on the engine of task 0. New records wake it at once; it sleeps only when there is nothing to do.
import type { RamaError } from "../../base/errors.ts";
import { RamaError as Failure } from "../../base/errors.ts";
import type { Timer } from "../../base/env.ts";
import { flexLatencyJobs } from "../../task/run-queue.ts";
import type { EventRecord } from "../../task/event.ts";
import { failedByHook } from "../../task/event-hook.ts";
import { userError } from "../../task/user-errors.ts";
import { BatchRun } from "../batch/batch-run.ts";
import { defaultRetryDelays, retryDelayMs } from "../stream/retry.ts";
import type { Attempts } from "./attempts.ts";
import { control } from "./control.ts";
import { Coordinator, type CoordinatorPhase, type GroupPosition, ownGroups } from "./coordinator.ts";
import { FailingRecord } from "./failing-record.ts";
import { Gathering } from "./gathering.ts";
import type { PrimedSpan, PrimePlan } from "./prime-plan.ts";

type PrimedVars = [
  run: number,
  group: number,
  committed: number,
  processed: number,
  spans: PrimedSpan[],
  letters: EventRecord[],
];

/** How often the others are asked by a coordinator that does not know what was decided. */
const askMs = 250;

export class MicrobatchLoop {
  failures = 0;
  lastError: string | null = null;
  /** Records that are visible everywhere. */
  processed = 0;
  /** The last microbatch that is visible everywhere. */
  #visible = 0;
  readonly #at: Attempts;
  readonly #coordinator: Coordinator;
  readonly #others: readonly number[];
  /** Effects outside of the store are told apart by the microbatch's number: slices are durable before it runs. */
  readonly #hasOutsideEffects: boolean;
  #nextRun: number;
  readonly #dataElsewhere = new Set<number>();
  /** Groups of other engines: what is visible there. */
  readonly #elsewhere = new Map<number, { readonly committed: number; readonly processed: number }>();
  #pumpQueued = false;
  #timer: Timer | undefined = undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #phaseTimeoutMs = 60_000;
  #idleMs = 60_000;
  #forceDelayMs = 0;
  readonly #trouble: FailingRecord;
  readonly #gathering = new Gathering();
  #beganMs = 0;
  /** Of the attempt that runs. */
  #plan: PrimePlan | null = null;
  readonly #spans: PrimedSpan[] = [];

  /** After recovery. */
  constructor(at: Attempts, paused: boolean) {
    this.#at = at;
    const { host, topology, runners } = at;
    const groups = Array.from({ length: host.context.info.numThreads }, (_, group) => group);
    this.#others = groups.filter((group) => !runners.has(group));
    this.#hasOutsideEffects = /x\.(awaitPromise|appendToDepot)\(/.test(topology.sourceText);
    this.#nextRun = Math.floor(host.env.random() * 2 ** 39);
    const { committed } = runners.get(0)!.state;
    this.#visible = committed;
    this.#coordinator = new Coordinator({
      others: this.#others,
      committed,
      retryDelayMs: (failures) => retryDelayMs(failures, defaultRetryDelays),
    });
    this.#coordinator.paused = paused;
    this.#trouble = new FailingRecord(host.module.definition, topology);
    for (const runner of runners.values()) {
      this.#trouble.retryLetters(runner.retried);
      const { prepared } = runner.state;
      if (prepared !== undefined && prepared.id <= committed) runner.apply(prepared.id);
    }
    this.#countProcessed();
    this.#readOptions();
    const { prepared } = runners.get(0)!.state;
    if (prepared?.id === committed + 1 && this.#others.length > 0) {
      this.#coordinator.recover(prepared.run, host.env.monotonicMs());
      this.#askOthers();
    }
    this.pumpSoon();
  }

  /** Until all have answered: was the microbatch decided that is prepared here? */
  #askOthers(): void {
    if (this.#at.closed || this.#coordinator.phase !== "recover") return;
    for (const group of this.#coordinator.waiting) this.#at.tell(group, control.ask, []);
    this.#at.host.env.setTimer(askMs, () => this.#at.job(() => this.#askOthers()));
  }

  #readOptions(): void {
    const { host, topology } = this.#at;
    const { options } = host;
    options.follow(() => {
      this.#phaseTimeoutMs = options.number("topology.microbatch.phase.timeout.seconds", topology.name) * 1000;
      this.#idleMs = options.number("topology.microbatch.empty.sleep.time.millis", topology.name);
      this.#forceDelayMs = options.number("topology.microbatch.force.delay.millis", topology.name);
      this.#gathering.maxMs = options.number("topology.microbatch.gather.max.millis", topology.name);
    });
  }

  get idle(): boolean {
    return this.#coordinator.phase === "idle";
  }

  /** Nothing runs, and what has been decided is visible everywhere. */
  get isSettled(): boolean {
    return this.idle && this.#visible === this.#coordinator.committed;
  }

  /** Records may run and do not yet. */
  get behind(): boolean {
    const { paused, failures, phase } = this.#coordinator;
    if (paused || failures > 0 || phase === "recover") return false;
    return phase !== "idle" || this.#at.slices.some((slice) => !slice.isTick && slice.waits(0, true));
  }

  pause(paused: boolean): void {
    this.#coordinator.paused = paused;
    if (!paused) this.pumpSoon();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** The record whose failure holds the topology up, where it is known. */
  get blocked() {
    return this.#trouble.blocked;
  }

  /** Each runs in a microbatch of its own. */
  lettersRetried(letters: readonly EventRecord[]): void {
    this.#trouble.retryLetters(letters);
    this.pumpSoon();
  }

  // ---- when

  pumpSoon(): void {
    if (this.#pumpQueued || this.#at.closed) return;
    this.#pumpQueued = true;
    this.#at.job(() => {
      this.#pumpQueued = false;
      this.#pump();
    }, flexLatencyJobs);
  }

  #pump(): void {
    const coordinator = this.#coordinator;
    const { env, manualTicks } = this.#at.host;
    const nowMs = env.monotonicMs();
    if (coordinator.phase !== "idle") {
      const overMs = coordinator.sinceMs + this.#phaseTimeoutMs;
      if (coordinator.phase === "recover") return;
      if (coordinator.phase !== "decide" && nowMs >= overMs) this.#failed(this.#timedOut(coordinator.phase));
      else this.#wakeAt(overMs);
      return;
    }
    const work =
      this.#trouble.wantsAttempt ||
      this.#dataElsewhere.size > 0 ||
      this.#at.slices.some((slice) => slice.waits(nowMs, manualTicks));
    const next = coordinator.mayBegin(nowMs, { work, forceDelayMs: this.#forceDelayMs, idleMs: this.#idleMs });
    if (next !== true) {
      if (next !== undefined) this.#wakeAt(Math.min(next, this.#nextTickMs()));
      return;
    }
    const gathersUntil = this.#gathersUntil(nowMs);
    if (gathersUntil === undefined) this.#begin(nowMs);
    else this.#wakeAt(gathersUntil);
  }

  #gathersUntil(nowMs: number): number | undefined {
    let waiting = 0;
    let full = this.#trouble.wantsAttempt;
    for (const slice of this.#at.slices) {
      if (slice.isTick) continue;
      const size = slice.readableTo(slice.next) - slice.next;
      waiting += size;
      full ||= size >= this.#at.recordsMaxOf(slice);
    }
    return this.#gathering.waitsUntil(nowMs, waiting, full);
  }

  #nextTickMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#at.host.manualTicks) return next;
    for (const slice of this.#at.slices) {
      if (slice.isTick) next = Math.min(next, slice.tickedMs + slice.depot.tickMs!);
    }
    return next;
  }

  #wakeAt(ms: number): void {
    if (ms >= this.#timerAtMs || this.#at.closed) return;
    this.#timer?.cancel();
    this.#timerAtMs = ms;
    const { env } = this.#at.host;
    this.#timer = env.setTimer(Math.max(1, Math.ceil(ms - env.monotonicMs())), () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.pumpSoon();
    });
  }

  #timedOut(phase: string): RamaError {
    const { name } = this.#at.topology;
    const message = `${name}: phase ${phase} of the microbatch took longer than ${this.#phaseTimeoutMs} ms`;
    return new Failure("TIMEOUT", message, { topology: name, phase });
  }

  // ---- the steps

  #begin(nowMs: number): void {
    const coordinator = this.#coordinator;
    coordinator.begin(nowMs);
    this.#beganMs = nowMs;
    if (this.#hookFails("prime")) return;
    const run = new BatchRun(this.#nextRun++, nowMs);
    this.#at.run = run;
    const { id } = coordinator;
    this.#plan = this.#trouble.plan();
    this.#spans.length = 0;
    for (const runner of this.#at.runners.values()) {
      runner.prime(id, this.#plan);
      this.#spans.push(...runner.primed);
    }
    this.#dataElsewhere.clear();
    for (const group of this.#others) this.#tellPrime(group, id, run);
    this.#primed(undefined);
    this.#wakeAt(nowMs + this.#phaseTimeoutMs);
  }

  #tellPrime(group: number, id: number, run: BatchRun): void {
    this.#at.tell(group, control.prime, [id, run.number, this.#plan]);
  }

  #primed(group: number | undefined): void {
    if (!this.#coordinator.done("prime", group)) return;
    const run = this.#at.run!;
    const go = () => {
      // A group may answer twice.
      const waits = this.#at.run === run && this.#coordinator.phase === "prime";
      if (waits && !this.#at.closed) this.#process(run);
    };
    const appliesLate = [...this.#at.runners.values()].some((runner) => runner.appliesLate);
    if (this.#hasOutsideEffects || appliesLate) this.#at.host.loop.after(() => this.#at.job(go));
    else go();
  }

  #process(run: BatchRun): void {
    this.#coordinator.process(this.#nowMs());
    if (this.#hookFails("process")) return;
    this.#at.process(run, (error) => {
      if (this.#at.run !== run) return;
      if (error === null) this.#processed(run);
      else this.#failed(userError(error, this.#at.topology, 0), true);
    });
  }

  #processed(run: BatchRun): void {
    const coordinator = this.#coordinator;
    const { id } = coordinator;
    if (this.#others.length === 0) {
      if (this.#hookFails("prepare") || this.#hookFails("decide")) return;
      coordinator.decide(this.#nowMs());
      for (const runner of this.#at.runners.values()) runner.commit(id);
      this.#at.run = undefined;
      this.#at.host.loop.after(() => {
        if (this.#at.closed) return;
        coordinator.decided(this.#nowMs());
        this.#decided(id);
      });
      return;
    }
    coordinator.prepare(this.#nowMs());
    if (this.#hookFails("prepare")) return;
    for (const group of this.#others) this.#at.tell(group, control.prepare, [id, run.number]);
    for (const runner of this.#at.runners.values()) runner.prepareChanges(id, run.number);
    this.#at.host.loop.after(() =>
      this.#at.job(() => {
        if (this.#at.run === run) this.#prepared(ownGroups);
      }),
    );
  }

  #prepared(group: number): void {
    const coordinator = this.#coordinator;
    if (!coordinator.done("prepare", group)) return;
    if (this.#hookFails("decide")) return;
    const { id } = coordinator;
    coordinator.allPrepared(this.#nowMs());
    this.#at.run = undefined;
    this.#applyEverywhere(id);
  }

  #applyEverywhere(id: number): void {
    for (const runner of this.#at.runners.values()) runner.apply(id);
    this.#at.host.loop.after(() => this.#countProcessed());
    this.#decided(id);
  }

  #decided(id: number): void {
    this.#trouble.committed();
    const records = this.#spans.reduce((sum, [, , from, to]) => sum + to - from, 0);
    const nowMs = this.#nowMs();
    this.#gathering.ended(records, nowMs - this.#beganMs, nowMs);
    this.#countProcessed();
    for (const group of this.#others) this.#at.tell(group, control.apply, [id]);
    this.pumpSoon();
  }

  /** The event hook of a test looks at each step; the decision itself cannot fail, only the way there. */
  #hookFails(phase: Exclude<CoordinatorPhase, "idle" | "recover">): boolean {
    const { events } = this.#at.host.context;
    if (!events?.on) return false;
    const { topology } = this.#at;
    const attempt = { topology: topology.name, taskId: 0, phase, microbatchId: this.#coordinator.id };
    if (!events.tell("microbatch-attempt", attempt)) return false;
    this.#failed(userError(failedByHook("microbatch-attempt"), topology, 0));
    return true;
  }

  #failed(error: RamaError, isOfUser = false): void {
    const coordinator = this.#coordinator;
    const { id } = coordinator;
    if (!coordinator.failed(this.#nowMs())) return;
    if (isOfUser && this.#trouble.failed(error, this.#spans)) coordinator.retryAtOnce();
    this.failures++;
    this.lastError = error.message;
    this.#at.host.env.log.warn("a microbatch failed; it runs again", {
      topology: this.#at.topology.name,
      microbatch: id,
      failures: coordinator.failures,
      error: error.message,
    });
    const { run } = this.#at;
    this.#at.dropRun();
    if (run !== undefined) for (const group of this.#others) this.#at.tell(group, control.drop, [run.number]);
    this.pumpSoon();
  }

  #nowMs(): number {
    return this.#at.host.env.monotonicMs();
  }

  // ---- what groups of other engines say

  told(stage: number, vars: readonly unknown[]): void {
    switch (stage) {
      case control.primed: {
        const [run, group, committed, processed, spans, letters] = vars as PrimedVars;
        if (this.#at.run?.number !== run) return;
        for (const span of spans) if (!this.#knows(span)) this.#spans.push(span);
        this.#trouble.retryLetters(letters);
        this.#visibleElsewhere(group, committed, processed);
        this.#primed(group);
        return;
      }
      case control.prepared: {
        const [run, group] = vars as [number, number];
        if (this.#at.run?.number === run) this.#prepared(group);
        return;
      }
      case control.applied: {
        const [group, committed, processed] = vars as [number, number, number];
        this.#visibleElsewhere(group, committed, processed);
        return;
      }
      case control.data:
        this.#dataElsewhere.add(vars[0] as number);
        this.pumpSoon();
        return;
      case control.letters:
        this.lettersRetried(vars[0] as EventRecord[]);
        return;
      case control.hello:
        this.#helloOf(vars as [number, number, number, number]);
    }
  }

  #helloOf([group, committed, prepared, run]: [number, number, number, number]): void {
    this.#hello(group, { committed, prepared, run });
  }

  /** A group may answer twice. */
  #knows([source, task]: PrimedSpan): boolean {
    return this.#spans.some((known) => known[0] === source && known[1] === task);
  }

  /** A group that has (re)started, or been asked: what it had of the running attempt is gone, but for what it has prepared. */
  #hello(group: number, position: GroupPosition): void {
    const coordinator = this.#coordinator;
    const { name } = this.#at.topology;
    if (coordinator.phase === "recover") {
      const { id } = coordinator;
      this.#at.tell(group, control.welcome, []);
      const outcome = coordinator.answered(group, position, this.#nowMs());
      if (outcome === "committed") this.#applyEverywhere(id);
      this.pumpSoon();
      return;
    }
    if (position.prepared > 0 && position.prepared <= coordinator.committed)
      this.#at.tell(group, control.apply, [position.prepared]);
    // While a decision is on its way to the disk nobody knows what to answer: the group asks again.
    if (coordinator.phase === "decide") return;
    this.#at.tell(group, control.welcome, []);
    const run = this.#at.run;
    if (coordinator.phase === "prime") this.#tellPrime(group, coordinator.id, run!);
    else if (coordinator.phase === "prepare" && position.prepared === coordinator.id && position.run === run?.number)
      this.#prepared(group);
    else
      this.#failed(
        new Failure("CONNECTION_LOST", `${name}: task group ${group} has restarted, or was out of reach`, { group }),
      );
    this.#dataElsewhere.add(group);
    this.pumpSoon();
  }

  /** What was on its way to other engines, or from them, may be lost: the attempt would only run into its timeout. */
  peerLost(): void {
    if (this.#others.length === 0) return;
    const { name } = this.#at.topology;
    this.#failed(new Failure("CONNECTION_LOST", `${name}: another engine was out of reach`));
    const { committed, phase } = this.#coordinator;
    if (phase !== "idle") return;
    for (const group of this.#others) {
      if ((this.#elsewhere.get(group)?.committed ?? 0) < committed) this.#at.tell(group, control.apply, [committed]);
    }
    this.pumpSoon();
  }

  #visibleElsewhere(group: number, committed: number, processed: number): void {
    const before = this.#elsewhere.get(group);
    if (before !== undefined && before.committed > committed) return;
    this.#elsewhere.set(group, { committed, processed });
    this.#countProcessed();
  }

  /** While a microbatch is visible on some groups only, the count stays. */
  #countProcessed(): void {
    const { committed } = this.#coordinator;
    let total = 0;
    for (const group of this.#others) {
      const there = this.#elsewhere.get(group);
      if (there === undefined || there.committed < committed) return;
      total += there.processed;
    }
    for (const runner of this.#at.runners.values()) {
      const [visible, processed] = runner.visible;
      if (visible < committed) return;
      total += processed;
    }
    this.processed = total;
    this.#visible = committed;
  }
}
