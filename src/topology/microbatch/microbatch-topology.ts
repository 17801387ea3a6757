// A microbatch topology on one engine. The engine of task 0 has the coordinator; every engine runs events, keeps slices and seals its groups' changes.
//
// Exactly once. All task groups of an engine share one log, and a turn of it counts as a whole. When every task is on this engine, the changes of all groups,
// the progress of all slices and the microbatch's number leave in one turn: a crash before leaves nothing, after it everything. With groups on other engines
// those write their changes to their own logs first (prepare), then the turn of task 0's engine that holds its own changes and the number is the decision;
// a group that restarts with prepared changes asks (hello), and applies or forgets them.
import type { RamaError } from "../../base/errors.ts";
import { RamaError as Failure } from "../../base/errors.ts";
import type { Timer } from "../../base/env.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { ByteReader } from "../../base/value-bytes.ts";
import type { CompiledSource, CompiledTopology } from "../../dataflow/compiled.ts";
import type { TopologyStatus } from "../../task/engine-api.ts";
import { Event, type EventDetail } from "../../task/event.ts";
import { type ArrivedEvent, noOrigin } from "../../task/event-codec.ts";
import { flexLatencyJobs, lowLatencyJobs } from "../../task/run-queue.ts";
import { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import type { AppendedRecords, ProgressOwner, RuntimeHost, TopologyRuntime } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import { BatchRun } from "../batch/batch-run.ts";
import { runBatch } from "../batch/driver.ts";
import { PhasePart, PhaseTree, type PhaseOwner, type RunTree, runOf } from "../batch/phase-tree.ts";
import { runLater } from "../batch/later.ts";
import { defaultRetryDelays, retryDelayMs } from "../stream/retry.ts";
import { startOffsetOf } from "../stream/stream-topology.ts";
import { control } from "./control.ts";
import { Coordinator } from "./coordinator.ts";
import { decodeGroup, decodeSlice } from "./progress.ts";
import { ExplodeRun, MicrobatchRunner } from "./runner.ts";
import { SourceSlice } from "./slice.ts";

/** How often a group that waits for the coordinator speaks again. */
const helloMs = 250;

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export class MicrobatchTopology implements TopologyRuntime, ProgressOwner, PhaseOwner {
  readonly topology: CompiledTopology;
  readonly subscribed: ReadonlySet<number>;
  /** Of the topology's name in the store. */
  readonly id: number;
  readonly numTasks: number;
  readonly allHere: boolean;
  combinerLimit = 1000;
  readonly #host: RuntimeHost;
  readonly #runners = new Map<number, MicrobatchRunner>();
  readonly #slices: SourceSlice[] = [];
  readonly #decoders = new Map<number, CompiledSource["decode"]>();
  readonly #trees = new Map<number, PhaseTree>();
  /** Its effects outside of the store are told apart by the microbatch's number: slices are durable before it runs. */
  readonly #hasOutsideEffects: boolean;
  #coordinator: Coordinator | undefined = undefined;
  /** The attempt that runs here. */
  #run: BatchRun | undefined = undefined;
  #nextRun: number;
  readonly #dataElsewhere = new Set<number>();
  /** Groups of other engines: what is visible there. */
  readonly #elsewhere = new Map<number, { readonly committed: number; readonly processed: number }>();
  /** Records that are visible everywhere. */
  #processedTotal = 0;
  #failures = 0;
  #lastError: string | null = null;
  #pumpQueued = false;
  #timer: Timer | undefined = undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  readonly #timers = new Set<Timer>();
  #closed = false;
  #paused = false;
  /** Groups here whose coordinator (elsewhere) has not answered yet. */
  readonly #strangers = new Set<number>();
  readonly #announced = new Set<number>();
  #phaseTimeoutMs = 60_000;
  #idleMs = 60_000;
  #forceDelayMs = 0;

  constructor(host: RuntimeHost, topology: CompiledTopology) {
    this.#host = host;
    this.topology = topology;
    const { numTasks, numThreads } = host.context.info;
    this.numTasks = numTasks;
    this.id = host.nameId(`microbatch ${topology.name}`);
    this.#nextRun = Math.floor(host.env.random() * 2 ** 39);
    this.#hasOutsideEffects = /x\.(awaitPromise|appendToDepot)\(/.test(topology.sourceText);
    for (const group of host.groups) {
      const transaction = group.pstates.transaction();
      const x = new RunContext(host.context, topology, transaction);
      this.#runners.set(group.id, new MicrobatchRunner(this, host, group, transaction, topology, x));
    }
    this.allHere = host.groups.length === numThreads;
    for (const { stage, decode } of topology.exploded ?? []) this.#decoders.set(stage, decode);
    const subscribed = new Set<number>();
    for (const compiled of topology.sources) this.#subscribe(compiled, subscribed);
    this.subscribed = subscribed;
    this.#readOptions();
  }

  #subscribe(compiled: CompiledSource, subscribed: Set<number>): void {
    const definition = this.#host.module.definition.topologies[this.topology.index]!.sources[compiled.source]!;
    if (definition.depot.kind !== "own") return;
    const { index } = definition.depot;
    const depot = this.#host.module.definition.depots[index]!;
    subscribed.add(index);
    const id = this.#host.nameId(`source ${this.topology.name} ${depot.name} ${definition.sourceId}`);
    for (const group of this.#host.groups) {
      for (const task of group.tasks) {
        const partitioned = depot.tickMs === undefined ? task.depots[index] !== undefined : task.id === 0;
        if (!partitioned) continue;
        const slice = new SourceSlice(compiled, definition, depot, task, id);
        this.#slices.push(slice);
        this.#runners.get(group.id)!.slices.push(slice);
      }
    }
  }

  #readOptions(): void {
    const { options } = this.#host;
    const { name } = this.topology;
    options.follow(() => {
      this.combinerLimit = options.number("topology.combiner.limit", name);
      this.#phaseTimeoutMs = options.number("topology.microbatch.phase.timeout.seconds", name) * 1000;
      this.#idleMs = options.number("topology.microbatch.empty.sleep.time.millis", name);
      this.#forceDelayMs = options.number("topology.microbatch.force.delay.millis", name);
      const overtimeMs = options.number("worker.event.target.max.millis");
      for (const runner of this.#runners.values()) runner.x.overtimeMs = overtimeMs;
    });
  }

  recordsMaxOf(slice: SourceSlice): number {
    return this.#host.options.number("depot.microbatch.max.records", slice.depot.name);
  }

  isHere(task: number): boolean {
    return this.#host.taskAt(task) !== undefined;
  }

  #runnerOf(task: Task): MicrobatchRunner {
    return this.#runners.get(task.group)!;
  }

  // ---- progress on disk

  get progress(): ProgressOwner {
    return this;
  }

  readonly #loadedSlices = new Map<SourceSlice, Uint8Array>();

  loadProgress(sourceId: number, task: number, state: Uint8Array): void {
    if (sourceId === this.id) {
      const runner = this.#runners.get(task);
      if (runner !== undefined) runner.durable = runner.state = decodeGroup(state);
      return;
    }
    const slice = this.#slices.find((each) => each.id === sourceId && each.task.id === task);
    if (slice !== undefined) this.#loadedSlices.set(slice, state);
  }

  replayProgress(sourceId: number, task: number, reader: ByteReader): void {
    const state = reader.bytes.slice(reader.pos, reader.end);
    this.loadProgress(sourceId, task, state);
    const runner = this.#runners.get(task);
    if (sourceId === this.id && runner !== undefined) runner.dirty = true;
    for (const slice of this.#slices) if (slice.id === sourceId && slice.task.id === task) slice.dirty = true;
  }

  collectProgress(group: number): { sourceId: number; task: number; state: Uint8Array }[] {
    const runner = this.#runners.get(group);
    return runner === undefined ? [] : runner.collectProgress();
  }

  progressLost(): void {
    for (const runner of this.#runners.values()) runner.dirty = true;
    for (const slice of this.#slices) slice.dirty = true;
  }

  loadMarks(): void {}
  collectMarks(): undefined {}

  // ---- life

  start(): void {
    const nowMs = this.#host.env.monotonicMs();
    for (const slice of this.#slices) {
      const state = this.#loadedSlices.get(slice);
      slice.begin(
        state === undefined ? undefined : decodeSlice(state),
        state === undefined ? this.#firstOffset(slice) : 0,
        nowMs,
      );
      if (slice.fresh) this.#runnerOf(slice.task).markFresh(slice);
    }
    this.#loadedSlices.clear();
    const first = this.#runners.get(0);
    if (first !== undefined) {
      const others: number[] = [];
      for (let group = 0; group < this.#host.context.info.numThreads; group++) {
        if (!this.#runners.has(group)) others.push(group);
      }
      this.#coordinator = new Coordinator({
        others,
        committed: first.state.committed,
        retryDelayMs: (failures) => retryDelayMs(failures, defaultRetryDelays),
      });
      this.#coordinator.paused = this.#paused;
      this.#countProcessed();
      for (const runner of this.#runners.values()) {
        const { prepared } = runner.state;
        if (prepared !== undefined && prepared.id <= first.state.committed) runner.apply(prepared.id);
      }
      this.#pumpSoon();
      return;
    }
    for (const group of this.#runners.keys()) this.#strangers.add(group);
    this.#hello();
  }

  #firstOffset(slice: SourceSlice): number {
    if (slice.isTick) return 0;
    return startOffsetOf(slice.definition.startFrom, slice.partition, this.#host.env.now());
  }

  #job(fn: () => void, category = lowLatencyJobs): void {
    this.#host.loop.push(category, {
      run: () => {
        if (!this.#closed) fn();
        return undefined;
      },
    });
  }

  // ---- the coordinator's loop

  #pumpSoon(): void {
    if (this.#pumpQueued || this.#closed || this.#coordinator === undefined) return;
    this.#pumpQueued = true;
    this.#job(() => {
      this.#pumpQueued = false;
      this.#pump();
    }, flexLatencyJobs);
  }

  #pump(): void {
    const coordinator = this.#coordinator!;
    const nowMs = this.#host.env.monotonicMs();
    if (coordinator.phase !== "idle") {
      const overMs = coordinator.sinceMs + this.#phaseTimeoutMs;
      if (coordinator.phase !== "decide" && nowMs >= overMs) {
        this.#attemptFailed(this.#timedOut(coordinator.phase));
      } else this.#wakeAt(overMs);
      return;
    }
    const { manualTicks } = this.#host;
    const work = this.#dataElsewhere.size > 0 || this.#slices.some((slice) => slice.waits(nowMs, manualTicks));
    const next = coordinator.mayBegin(nowMs, { work, forceDelayMs: this.#forceDelayMs, idleMs: this.#idleMs });
    if (next === true) this.#begin(nowMs);
    else if (next !== undefined) this.#wakeAt(Math.min(next, this.#nextTickMs()));
  }

  #nextTickMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#host.manualTicks) return next;
    for (const slice of this.#slices) if (slice.isTick) next = Math.min(next, slice.tickedMs + slice.depot.tickMs!);
    return next;
  }

  #wakeAt(ms: number): void {
    if (ms >= this.#timerAtMs || this.#closed) return;
    this.#timer?.cancel();
    this.#timerAtMs = ms;
    const { env } = this.#host;
    this.#timer = env.setTimer(Math.max(1, Math.ceil(ms - env.monotonicMs())), () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#pumpSoon();
    });
  }

  #timedOut(phase: string): RamaError {
    const { name } = this.topology;
    return new Failure(
      "TIMEOUT",
      `${name}: phase ${phase} of the microbatch took longer than ${this.#phaseTimeoutMs} ms`,
      {
        topology: name,
        phase,
      },
    );
  }

  #begin(nowMs: number): void {
    const coordinator = this.#coordinator!;
    coordinator.begin(nowMs);
    this.#run = new BatchRun(this.#nextRun++, nowMs);
    const { id } = coordinator;
    for (const runner of this.#runners.values()) runner.prime(id);
    this.#dataElsewhere.clear();
    for (const group of this.#others()) this.#tell(group, control.prime, [id, this.#run.number]);
    this.#primed(undefined);
    this.#wakeAt(nowMs + this.#phaseTimeoutMs);
  }

  *#others(): Iterable<number> {
    for (let group = 0; group < this.#host.context.info.numThreads; group++) {
      if (!this.#runners.has(group)) yield group;
    }
  }

  #primed(group: number | undefined): void {
    if (!this.#coordinator!.done("prime", group)) return;
    const run = this.#run!;
    const go = () => {
      if (this.#run === run && !this.#closed) this.#process();
    };
    if (this.#hasOutsideEffects) this.#host.loop.after(() => this.#job(go));
    else go();
  }

  #process(): void {
    const nowMs = this.#host.env.monotonicMs();
    this.#coordinator!.process(nowMs);
    const run = this.#run!;
    const tree = new PhaseTree(this, run, 0, (error) => {
      if (this.#run !== run) return;
      if (error === null) this.#processed();
      else this.#attemptFailed(userError(error, this.topology, 0));
    });
    for (const { stage } of this.topology.sources) this.dispatch(new Event("send", stage, 0, [null]), tree);
    tree.ended();
  }

  #processed(): void {
    const coordinator = this.#coordinator!;
    const run = this.#run!;
    coordinator.prepare(this.#host.env.monotonicMs());
    for (const group of this.#others()) this.#tell(group, control.prepare, [coordinator.id, run.number]);
    this.#prepared(undefined);
  }

  #prepared(group: number | undefined): void {
    const coordinator = this.#coordinator!;
    if (!coordinator.done("prepare", group)) return;
    const { id } = coordinator;
    coordinator.decide(this.#host.env.monotonicMs());
    for (const runner of this.#runners.values()) runner.commit(id);
    this.#run = undefined;
    this.#host.loop.after(() => this.#decided(id));
  }

  #decided(id: number): void {
    if (this.#closed) return;
    this.#coordinator!.decided(this.#host.env.monotonicMs());
    this.#countProcessed();
    for (const group of this.#others()) this.#tell(group, control.apply, [id]);
    this.#pumpSoon();
  }

  #attemptFailed(error: RamaError): void {
    const coordinator = this.#coordinator!;
    const { id } = coordinator;
    const nowMs = this.#host.env.monotonicMs();
    if (!coordinator.failed(nowMs)) return;
    this.#failures++;
    this.#lastError = error.message;
    this.#host.env.log.warn("a microbatch failed; it runs again", {
      topology: this.topology.name,
      microbatch: id,
      failures: coordinator.failures,
      error: error.message,
    });
    const run = this.#run;
    this.#dropRun();
    if (run !== undefined) for (const group of this.#others()) this.#tell(group, control.drop, [run.number]);
    this.#pumpSoon();
  }

  /** Nothing of the attempt counts any more. */
  #dropRun(): void {
    const run = this.#run;
    this.#run = undefined;
    for (const tree of [...this.#trees.values()]) {
      tree.dead = true;
      this.#trees.delete(tree.ref.tree);
    }
    if (run === undefined) return;
    for (const runner of this.#runners.values()) runner.transaction.rollbackTo(0);
  }

  runs(run: BatchRun): boolean {
    return this.#run === run;
  }

  // ---- groups of other engines

  #tell(group: number, stage: number, vars: unknown[]): void {
    const ref = { task: 0, tree: 0 };
    const head = { stage, task: group, ref, event: 0, origin: noOrigin };
    this.#host.sender.event(this.topology.index, head, encodeValue(vars));
    this.#host.loop.wake();
  }

  #hello(): void {
    if (this.#closed || this.#strangers.size === 0) return;
    for (const group of this.#strangers) {
      this.#tell(0, control.hello, [group, this.#runners.get(group)!.state.prepared?.id ?? 0]);
    }
    const timer = this.#host.env.setTimer(helloMs, () => {
      this.#timers.delete(timer);
      this.#job(() => this.#hello());
    });
    this.#timers.add(timer);
  }

  #control(arrived: ArrivedEvent): void {
    const { stage, task, vars } = arrived;
    const runner = this.#runners.get(task);
    const coordinator = this.#coordinator;
    switch (stage) {
      case control.explode:
        return this.#explodeArrived(arrived);
      case control.prime: {
        const [id, run] = vars as [number, number];
        this.#strangers.delete(task);
        this.#announced.delete(task);
        if (this.#run?.number !== run) {
          this.#dropRun();
          this.#run = new BatchRun(run, this.#host.env.monotonicMs());
        }
        // It may come twice; what has been written since must stay.
        if (runner !== undefined && runner.primedRun !== run) {
          runner.prime(id);
          runner.primedRun = run;
        }
        this.#tell(0, control.primed, [run, task, ...(runner?.visible ?? [0, 0])]);
        return;
      }
      case control.prepare: {
        const [id, run] = vars as [number, number];
        if (this.#run?.number !== run || runner === undefined) return;
        runner.prepareChanges(id);
        this.#host.loop.after(() => this.#tell(0, control.prepared, [run, task]));
        return;
      }
      case control.apply:
        runner?.apply(vars[0] as number);
        if (runner !== undefined) {
          this.#host.loop.after(() => this.#tell(0, control.applied, [task, ...runner.visible]));
        }
        this.#announce();
        return;
      case control.welcome:
        this.#strangers.delete(task);
        return;
      case control.drop:
        if (this.#run?.number === vars[0]) this.#dropRun();
        return;
      default:
        if (coordinator !== undefined) this.#told(coordinator, stage, vars);
    }
  }

  /** From another engine's group to the coordinator. */
  #told(coordinator: Coordinator, stage: number, vars: readonly unknown[]): void {
    if (stage === control.primed || stage === control.prepared) {
      const [run, group, committed, processed] = vars as [number, number, number, number];
      if (this.#run?.number !== run) return;
      if (stage === control.prepared) this.#prepared(group);
      else {
        this.#visibleElsewhere(group, committed, processed);
        this.#primed(group);
      }
    } else if (stage === control.applied) {
      const [group, committed, processed] = vars as [number, number, number];
      this.#visibleElsewhere(group, committed, processed);
    } else if (stage === control.data) {
      this.#dataElsewhere.add(vars[0] as number);
      this.#pumpSoon();
    } else if (stage === control.hello) {
      const [group, prepared] = vars as [number, number];
      if (prepared > 0 && prepared <= coordinator.committed) this.#tell(group, control.apply, [prepared]);
      // While a decision is on its way to the disk nobody knows what to answer: the group asks again.
      if (coordinator.phase === "decide") return;
      this.#tell(group, control.welcome, []);
      const name = this.topology.name;
      if (coordinator.phase === "prime") this.#tell(group, control.prime, [coordinator.id, this.#run!.number]);
      else this.#attemptFailed(new Failure("CONNECTION_LOST", `${name}: task group ${group} has restarted`, { group }));
      this.#dataElsewhere.add(group);
      this.#pumpSoon();
    }
  }

  #visibleElsewhere(group: number, committed: number, processed: number): void {
    const before = this.#elsewhere.get(group);
    if (before !== undefined && before.committed > committed) return;
    this.#elsewhere.set(group, { committed, processed });
    this.#countProcessed();
  }

  /** While a microbatch is visible on some groups only, the count stays. */
  #countProcessed(): void {
    const { committed } = this.#coordinator!;
    let total = 0;
    for (const group of this.#others()) {
      const there = this.#elsewhere.get(group);
      if (there === undefined || there.committed < committed) return;
      total += there.processed;
    }
    for (const runner of this.#runners.values()) total += runner.visible[1];
    this.#processedTotal = total;
  }

  /** Tells the coordinator elsewhere that records wait here. */
  #announce(): void {
    if (this.#coordinator !== undefined || this.#closed) return;
    const nowMs = this.#host.env.monotonicMs();
    for (const [group, runner] of this.#runners) {
      if (this.#announced.has(group) || !runner.slices.some((slice) => slice.waits(nowMs, true))) continue;
      this.#announced.add(group);
      this.#tell(0, control.data, [group]);
    }
  }

  // ---- records come

  appended(_records: AppendedRecords): void {}

  attach(): void {}

  sourceCount(): number {
    return 0;
  }

  full(): boolean {
    return false;
  }

  /** Entries are applied: partitions may have grown. */
  applied(): void {
    if (this.#coordinator === undefined) this.#announce();
    else if (this.#coordinator.phase === "idle") this.#pumpSoon();
  }

  tick(depot: number, done: (error: RamaError | null) => void): void {
    for (const slice of this.#slices) if (slice.isTick && slice.depot.index === depot) slice.ticked = true;
    this.#pumpSoon();
    done(null);
  }

  // ---- trees (PhaseOwner)

  random(): number {
    return this.#host.env.random();
  }

  phaseBegan(tree: PhaseTree): void {
    this.#trees.set(tree.ref.tree, tree);
  }

  phaseEnded(tree: PhaseTree): void {
    this.#trees.delete(tree.ref.tree);
  }

  partEnded(part: PhasePart): void {
    const home = this.#trees.get(part.ref.tree);
    if (home !== undefined) home.answered(part.ack.answer);
    else this.#host.sender.ack(this.topology.index, part.ref, part.ack.answer, []);
  }

  partFailed(part: PhasePart, error: unknown): void {
    const known = userError(error, this.topology, 0);
    const home = this.#trees.get(part.ref.tree);
    if (home !== undefined) home.abort(known);
    else this.#host.sender.failure(this.topology.index, part.ref, known);
    this.#host.loop.wake();
  }

  #part(arrived: ArrivedEvent): PhasePart | undefined {
    const run = this.#run;
    if (run === undefined || runOf(arrived.ref.tree) !== run.number) return undefined;
    return new PhasePart(this, run, arrived.ref, arrived.event);
  }

  event(arrived: ArrivedEvent): void {
    const { stage, task, vars } = arrived;
    if (stage >= control.prime) return this.#control(arrived);
    const part = this.#part(arrived);
    if (part === undefined) return;
    const event = new Event("send", stage, task, vars);
    event.tree = part;
    this.#runnerOf(this.#host.taskAt(task)!).push(event);
  }

  ack(_task: number, tree: number, answer: number): void {
    this.#trees.get(tree)?.answered(answer);
  }

  failure(_task: number, tree: number, error: RamaError): void {
    this.#trees.get(tree)?.abort(error);
  }

  forget(): void {}

  // ---- what events ask for

  /** Takes an event to its task, as one of the tree. */
  dispatch(event: Event, tree: RunTree): void {
    const task = this.#host.taskAt(event.task);
    if (task === undefined) {
      this.#leave(event.stage, event.task, event.vars, tree);
      return;
    }
    tree.born();
    event.tree = tree;
    this.#runnerOf(task).push(event);
  }

  #leave(stage: number, task: number, vars: unknown[], tree: RunTree): void {
    const encoded = encodeValue(vars, this.#host.classes);
    const ref = tree.leave();
    this.#host.sender.event(this.topology.index, { stage, task, ref, event: ref.event, origin: noOrigin }, encoded);
    this.#host.loop.wake();
  }

  consequence(event: Event, tree: RunTree): void {
    switch (event.kind) {
      case "send":
        this.dispatch(event, tree);
        return;
      case "explode":
        this.#explode(event, tree);
        return;
      case "batch":
        tree.born();
        runBatch(this, event, tree);
        return;
      default: {
        const task = this.#host.taskAt(event.task)!;
        runLater(
          {
            host: this.#host,
            topology: this.topology,
            push: (next) => this.#runnerOf(task).push(next),
            rootOf: (pstate, session) => {
              const owned = this.#host.module.definition.pstates[pstate]!.topology === this.topology.index;
              const partition = task.pstates[pstate]!;
              return owned ? partition.owner(this.#runnerOf(task).transaction, session) : partition.external(session);
            },
            job: (fn) => this.#job(fn),
          },
          event,
          tree,
          task,
        );
      }
    }
  }

  #explode(event: Event, tree: RunTree): void {
    const detail = event.detail as DetailOf<"source"> | DetailOf<"temporary">;
    const source = "source" in detail ? detail.source : -1;
    const temporary = "temporary" in detail ? detail.temporary : -1;
    for (let id = 0; id < this.numTasks; id++) {
      if (source >= 0 && id > 0 && this.#isSingle(source)) break;
      const task = this.#host.taskAt(id);
      if (task === undefined) this.#leave(control.explode, id, [event.stage, event.vars, source, temporary], tree);
      else {
        tree.born();
        this.#explodeHere(task, tree, event.stage, event.vars, source, temporary);
      }
    }
  }

  /** Global depots and tick depots have one partition, on task 0. */
  #isSingle(source: number): boolean {
    const { definition } = this.#host.module;
    const { depot } = definition.topologies[this.topology.index]!.sources[source]!;
    return depot.kind !== "own" || definition.depots[depot.index]!.global;
  }

  #explodeArrived(arrived: ArrivedEvent): void {
    const part = this.#part(arrived);
    const [stage, vars, source, temporary] = arrived.vars as [number, unknown[], number, number];
    const task = this.#host.taskAt(arrived.task);
    if (part !== undefined && task !== undefined) this.#explodeHere(task, part, stage, vars, source, temporary);
  }

  #explodeHere(
    task: Task,
    tree: RunTree,
    stage: number,
    vars: readonly unknown[],
    source: number,
    temporary: number,
  ): void {
    const runner = this.#runnerOf(task);
    if (source < 0) {
      const rows = tree.run.kept(temporary, task.id);
      if (rows.length === 0) tree.ended();
      else runner.push(new ExplodeRun(tree, stage, vars, task, undefined, rows, undefined));
      return;
    }
    const slice = runner.slices.find((each) => each.compiled.source === source && each.task === task);
    if (slice === undefined || slice.size === 0) tree.ended();
    else runner.push(new ExplodeRun(tree, stage, vars, task, slice, [], this.#decoders.get(stage)!));
  }

  // ---- control from outside

  pause(): void {
    this.#paused = true;
    if (this.#coordinator !== undefined) this.#coordinator.paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#coordinator === undefined) return;
    this.#coordinator.paused = false;
    this.#pumpSoon();
  }

  get behind(): boolean {
    const coordinator = this.#coordinator;
    if (coordinator === undefined || coordinator.paused || coordinator.failures > 0) return false;
    return coordinator.phase !== "idle" || this.#slices.some((slice) => !slice.isTick && slice.waits(0, true));
  }

  status(): TopologyStatus {
    let executing = 0;
    if (this.#run !== undefined) for (const slice of this.#slices) executing += slice.size;
    if (executing === 0 && this.#coordinator !== undefined && this.#coordinator.phase !== "idle") executing = 1;
    return {
      name: this.topology.name,
      kind: "microbatch",
      paused: this.#paused,
      // The engine of task 0 counts for all.
      processed: this.#processedTotal,
      executing,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const timer of this.#timers) timer.cancel();
    // What a microbatch under way has written is not committed: it runs again from the same slices.
    this.#dropRun();
  }

  abort(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const timer of this.#timers) timer.cancel();
  }
}
