// A stream topology on one engine: its sources, runners and trees. What wants time (retries, catching up, timeouts, ticks) asks for a pump or a timer here.
//
// Exactly once and at least once. A turn of the engine writes PState changes of all its groups and the progress of the sources as one unit of the log
// (task/turn-entry.ts). A record whose tree starts and ends inside one turn on one engine is therefore applied exactly once over any crash: that is every
// record of a module on one engine whose code does not wait (eachAsync, invokeQuery, acked appends, yields) and does not fail. A tree that is spread over several
// turns or engines leaves marks of what it has written (applied-marks.ts): when its record runs again, after a crash, a timeout or a failure, what is marked is
// not written twice. That is exact for code which does the same with the same record; where it does not (random numbers, the clock, reads that come out
// differently) it is at least once, as in the reference. `retryAllAfter` runs records again that had succeeded: at least once.
import type { RamaError } from "../../base/errors.ts";
import type { CompiledTopology } from "../../dataflow/compiled.ts";
import type { SourceDefinition } from "../../module/definition.ts";
import type { Timer } from "../../base/env.ts";
import { AppendWait } from "../../task/append-wait.ts";
import type { DeadLetterAction, DeadLetterChoice, DeadLetterStatus, TopologyStatus } from "../../task/engine-api.ts";
import { Event } from "../../task/event.ts";
import type { ArrivedEvent } from "../../task/event-codec.ts";
import { lowLatencyJobs } from "../../task/run-queue.ts";
import { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import type { AppendedRecords, RuntimeHost, TopologyRuntime } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import { changeLetters, failuresOf, lettersOf, warnOfFullBox } from "../letter-status.ts";
import { Periods } from "../periods.ts";
import { startOffsetOf } from "../start-offset.ts";
import { type RemoteOwner, type RemotePartition, RemoteSources } from "../remote/remote-sources.ts";
import { StreamRunner } from "./batch.ts";
import { StreamLater } from "./later.ts";
import { sourceKey } from "./applied-marks.ts";
import { processedCount } from "./progress.ts";
import type { RetryDelays } from "./retry.ts";
import { SourcePartition } from "./source.ts";
import { StoredProgress } from "./stored-progress.ts";
import { RecordTree, type StreamTree, Subtree, type TreeOwner } from "./trees.ts";

/** How often open trees are looked through for their timeout. */
const sweepMs = 1000;

/** A tick is left out while so many of the same source run: user code slower than its period. */
const ticksMax = 100;

export class StreamTopology implements TopologyRuntime, TreeOwner, RemoteOwner {
  readonly topology: CompiledTopology;
  readonly progress: StoredProgress;
  readonly subscribed: ReadonlySet<number>;
  /** Stable number of its name in the store. */
  readonly id: number;
  readonly events: RuntimeHost["context"]["events"];
  paused = false;
  succeeded = 0;
  failures = 0;
  lastError: string | null = null;
  batchMax = 1000;
  fetchMax = 1000;
  retryDelays: RetryDelays = { firstMs: 50, mostMs: 5000 };
  /** What events ask for besides hops. */
  readonly later: StreamLater;
  readonly #host: RuntimeHost;
  readonly #runners = new Map<number, StreamRunner>();
  readonly #runnerByTask: (StreamRunner | undefined)[] = [];
  readonly #sources: SourcePartition[] = [];
  /** By the source's key. */
  readonly #depots = new Map<number, number>();
  /** By depot, then task. */
  readonly #sourcesOf = new Map<number, Map<number, SourcePartition[]>>();
  readonly #sourcesByTask = new Map<number, SourcePartition[]>();
  readonly #remotes: RemoteSources;
  readonly #trees = new Map<number, RecordTree>();
  #nextTree: number;
  #executingMax = 20000;
  #timeoutMs = 30000;
  #pumpQueued = false;
  #closed = false;
  #pumpTimer: Timer | undefined = undefined;
  #pumpAtMs = Number.POSITIVE_INFINITY;
  readonly #periods: Periods;

  constructor(host: RuntimeHost, topology: CompiledTopology) {
    this.#host = host;
    this.topology = topology;
    this.id = host.nameId(`topology ${topology.name}`);
    this.events = host.context.events;
    this.#remotes = new RemoteSources(host, topology, this);
    this.progress = new StoredProgress(topology.name, this.id, this.#sources, this.#runners, this.#remotes);
    this.#periods = new Periods(host.env);
    this.later = new StreamLater(host, topology, (task) => this.runnerOf(task));
    // Numbers of an earlier life of the engine must not be taken for ours.
    this.#nextTree = Math.floor(host.env.random() * 2 ** 40) * 2 ** 12;
    for (const group of host.groups) {
      const transaction = group.pstates.transaction();
      const runner = new StreamRunner(
        this,
        host,
        group,
        transaction,
        topology,
        new RunContext(host.context, topology, transaction),
      );
      this.#runners.set(group.id, runner);
      for (const task of group.tasks) this.#runnerByTask[task.id] = runner;
    }
    const subscribed = new Set<number>();
    for (const compiled of topology.sources) {
      const definition = host.module.definition.topologies[topology.index]!.sources[compiled.source]!;
      if (definition.depot.kind !== "own") continue;
      subscribed.add(definition.depot.index);
      this.#subscribe(compiled, definition, definition.depot.index);
    }
    this.subscribed = subscribed;
    this.#readOptions();
  }

  #subscribe(compiled: CompiledTopology["sources"][number], definition: SourceDefinition, index: number): void {
    const depot = this.#host.module.definition.depots[index]!;
    const id = this.#host.nameId(`source ${this.topology.name} ${depot.name} ${definition.sourceId}`);
    const lettersId = this.#host.nameId(`dead letters ${this.topology.name} ${depot.name} ${definition.sourceId}`);
    const byTask = this.#sourcesOf.get(index) ?? new Map<number, SourcePartition[]>();
    this.#sourcesOf.set(index, byTask);
    for (const group of this.#host.groups) {
      for (const task of group.tasks) {
        const partitioned = depot.tickMs === undefined ? task.depots[index] !== undefined : task.id === 0;
        if (!partitioned) continue;
        const source = new SourcePartition(this, compiled, definition, depot, task, id, lettersId);
        this.#enter(source);
        this.#depots.set(source.key, index);
        byTask.set(task.id, [...(byTask.get(task.id) ?? []), source]);
      }
    }
  }

  #enter(source: SourcePartition): void {
    const { id } = source.task;
    this.#sources.push(source);
    this.#sourcesByTask.set(id, [...(this.#sourcesByTask.get(id) ?? []), source]);
  }

  // ---- depots of others

  partitionsKnown(sourceId: number): number[] {
    return this.progress.loaded.partitions(sourceId);
  }

  addRemote(remote: RemotePartition, first: number | undefined): void {
    const { compiled, definition, name, task, id, lettersId } = remote;
    const source = new SourcePartition(this, compiled, definition, { index: -1, name }, task, id, lettersId, remote);
    this.#enter(source);
    this.progress.entered(source);
    this.#begin(source, first ?? 0);
    this.pumpSoon();
  }

  remoteGrown(): void {
    this.pumpSoon();
  }

  begun(): Promise<void> {
    return this.#remotes.begun();
  }

  #readOptions(): void {
    const { options } = this.#host;
    const name = this.topology.name;
    options.follow(() => {
      this.batchMax = options.number("topology.stream.max.events.per.batch", name);
      this.#executingMax = options.number("topology.stream.max.executing.per.task", name);
      this.#timeoutMs = options.number("topology.stream.timeout.seconds", name) * 1000;
      this.retryDelays = {
        firstMs: options.number("topology.stream.retry.backoff.millis", name),
        mostMs: options.number("topology.stream.retry.backoff.max.millis", name),
      };
      this.fetchMax = options.number("depot.max.fetch");
      const overtimeMs = options.number("worker.event.target.max.millis");
      for (const runner of this.#runners.values()) runner.x.overtimeMs = overtimeMs;
    });
  }

  /** Index of the depot whose records come by the source with that key. */
  depotOfKey(key: number): number | undefined {
    return this.#depots.get(key);
  }

  // ---- life

  start(): void {
    for (const source of this.#sources) this.#begin(source, undefined);
    this.#remotes.start();
    this.pumpSoon();
    this.#periods.every(sweepMs, () => this.#sweep());
    const checkpointMs = this.#host.options.number("topology.stream.periodic.checkpoint.seconds") * 1000;
    this.#periods.every(checkpointMs, () => {
      for (const [id, runner] of this.#runners) {
        const group = this.#host.groups.find((each) => each.id === id)!;
        if (!group.hasLazyChanges) continue;
        group.changedBy(runner);
        this.#host.loop.wake();
      }
    });
    if (this.#host.manualTicks) return;
    for (const source of this.#sources)
      if (source.isTick) this.#periods.every(source.depot.tickMs!, () => this.#tickSource(source));
  }

  #begin(source: SourcePartition, first: number | undefined): void {
    const state = this.progress.loaded.take(source.id, source.partitionId);
    source.begin(state, state === undefined ? (first ?? this.#firstOffset(source)) : 0);
    // What the log alone knew has to reach the Kv.
    if (source.remote !== undefined && state !== undefined) source.dirty = true;
    if (source.fresh) this.runnerOf(source.task).progressed(source, true);
  }

  #firstOffset(source: SourcePartition): number {
    if (source.isTick) return 0;
    const { env, options } = this.#host;
    const entriesMax = options.get("depot.max.entries.per.partition", source.depot.name);
    return startOffsetOf(source.definition.startFrom, source.partition, env.now(), entriesMax);
  }

  close(): void {
    this.#closed = true;
    this.#remotes.close();
    this.#pumpTimer?.cancel();
    this.#periods.close();
  }

  abort(): void {
    this.close();
  }

  get behind(): boolean {
    return !this.paused && this.#sources.some((source) => source.behind);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.pumpSoon();
  }

  neededFrom(depot: number, task: number): number | undefined {
    const sources = this.#sourcesOf.get(depot)?.get(task) ?? [];
    return sources.length === 0 ? undefined : Math.min(...sources.map((source) => source.neededFrom));
  }

  status(): TopologyStatus {
    let processed = 0;
    let executing = 0;
    for (const source of this.#sources) {
      processed += processedCount(source.progress.live);
      executing += source.executing;
    }
    const { failures, paused } = this;
    const { name } = this.topology;
    const lastError = this.#remotes.trouble ?? this.lastError;
    const { blocked, deadLetters } = failuresOf(this.#sources);
    return { name, kind: "stream", paused, processed, executing, failures, lastError, blocked, deadLetters };
  }

  deadLetters(): DeadLetterStatus[] {
    return lettersOf(this.topology.name, this.#sources);
  }

  changeDeadLetters(action: DeadLetterAction, choice: DeadLetterChoice): number {
    return changeLetters(this.topology.name, this.#sources, action, choice);
  }

  lettersFull(source: SourcePartition): void {
    warnOfFullBox(this.#host.env, this.topology.name, source);
  }

  afterTurn(fn: () => void): void {
    this.#host.loop.after(() =>
      this.#host.loop.push(lowLatencyJobs, {
        run: () => {
          fn();
          return undefined;
        },
      }),
    );
  }

  epochMs(): number {
    return this.#host.env.now();
  }

  // ---- records

  appended(records: AppendedRecords): void {
    for (const source of this.#sourcesOf.get(records.depot)?.get(records.task.id) ?? []) source.appended(records);
  }

  attach(task: Task, depot: number, offset: number, index: number, wait: AppendWait): void {
    for (const source of this.#sourcesOf.get(depot)?.get(task.id) ?? []) source.attach(offset, index, wait);
  }

  sourceCount(depot: number): number {
    return this.topology.sources.filter((compiled) => {
      const { depot: from } = this.#host.module.definition.topologies[this.topology.index]!.sources[compiled.source]!;
      return from.kind === "own" && from.index === depot;
    }).length;
  }

  full(task: Task, depot: number): boolean {
    return (this.#sourcesOf.get(depot)?.has(task.id) ?? false) && this.throttled(task);
  }

  throttled(task: Task): boolean {
    let executing = 0;
    for (const source of this.#sourcesByTask.get(task.id) ?? []) executing += source.executing;
    return executing >= this.#executingMax;
  }

  /** Does the first failure of a record fail its append? */
  failsAppend(depot: string): boolean {
    return this.#host.options.flag("depot.ack.failure.on.any.streaming.failure", depot);
  }

  tick(depot: number, done: (error: RamaError | null) => void): void {
    const sources = this.#sourcesOf.get(depot)?.get(0) ?? [];
    if (sources.length === 0) {
      done(null);
      return;
    }
    const after = (hook: () => void) => this.#host.loop.after(hook);
    const wait = new AppendWait(
      1,
      sources.length,
      (_error, _offset, _returns, failures) => done(failures?.get(0) ?? null),
      after,
    );
    for (const source of sources) source.tick(wait);
  }

  #tickSource(source: SourcePartition): void {
    if (this.paused || source.executing >= ticksMax) return;
    this.#host.loop.push(lowLatencyJobs, {
      run: () => {
        source.tick(undefined);
        return undefined;
      },
    });
  }

  applied(): void {
    this.pumpSoon();
  }

  /** Looks in a job of its own for records that may run and do not. */
  pumpSoon(): void {
    if (this.#pumpQueued || this.#closed || !this.#sources.some((source) => source.wantsPump)) return;
    this.#pumpQueued = true;
    this.#host.loop.push(lowLatencyJobs, {
      run: () => {
        this.#pumpQueued = false;
        this.#pump();
        return undefined;
      },
    });
  }

  #pump(): void {
    const nowMs = this.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const source of this.#sources) {
      const due = source.pump(nowMs);
      if (due !== undefined && due < nextMs) nextMs = due;
    }
    if (nextMs >= this.#pumpAtMs) return;
    this.#pumpTimer?.cancel();
    this.#pumpAtMs = nextMs;
    this.#pumpTimer = this.#host.env.setTimer(Math.max(1, Math.ceil(nextMs - nowMs)), () => {
      this.#pumpAtMs = Number.POSITIVE_INFINITY;
      this.pumpSoon();
    });
  }

  #sweep(): void {
    const beforeMs = this.nowMs() - this.#timeoutMs;
    const old = this.#sources.filter((source) => source.trees.size > 0);
    if (old.length === 0) return;
    this.#host.loop.push(lowLatencyJobs, {
      run: () => {
        for (const source of old) source.expire(beforeMs, this.#timeoutMs);
        return undefined;
      },
    });
  }

  recordFailed(source: SourcePartition, offset: number, error: RamaError): void {
    this.failures++;
    this.lastError = error.message;
    const { name } = this.topology;
    this.#host.env.log.warn("a record failed", {
      topology: name,
      depot: source.depot.name,
      task: source.partitionId,
      offset,
      error: error.message,
    });
  }

  nowMs(): number {
    return this.#host.env.monotonicMs();
  }

  runnerOf(task: Task): StreamRunner {
    return this.#runnerByTask[task.id]!;
  }

  // ---- trees (TreeOwner)

  random(): number {
    return this.#host.env.random();
  }

  register(tree: RecordTree): number {
    const id = this.#nextTree++;
    this.#trees.set(id, tree);
    return id;
  }

  unregister(tree: RecordTree): void {
    this.#trees.delete(tree.id);
  }

  subtreeEnded(tree: Subtree): void {
    const home = this.#trees.get(tree.ref.tree);
    if (home !== undefined) home.answered(tree.ack.answer, tree.returns);
    else
      this.#host.loop.after(() => this.#host.sender.ack(this.topology.index, tree.ref, tree.ack.answer, tree.returns));
  }

  subtreeFailed(tree: Subtree, error: unknown): void {
    const known = userError(error, this.topology, 0);
    const home = this.#trees.get(tree.ref.tree);
    if (home !== undefined) home.source.failed(home, known);
    else this.#host.loop.after(() => this.#host.sender.failure(this.topology.index, tree.ref, known));
  }

  event({ stage, task, ref, event, origin, vars }: ArrivedEvent): void {
    if (stage >= this.topology.stages.length) return;
    const from = { key: origin.key, task: ref.task, offset: origin.offset };
    const runner = this.runnerOf(this.#host.taskAt(task)!);
    if (runner.marks.isOutdated(from, origin.low)) return;
    const next = new Event("send", stage, task, vars);
    next.tree = new Subtree(this, ref, event, from);
    next.path = origin.path;
    runner.marks.prune(origin.key, ref.task, origin.low);
    runner.push(next);
  }

  ack(_task: number, tree: number, answer: number, returns: unknown[]): void {
    this.#trees.get(tree)?.answered(answer, returns);
  }

  failure(_task: number, tree: number, error: RamaError): void {
    const found = this.#trees.get(tree);
    if (found !== undefined && !found.dead) found.source.failed(found, error);
  }

  forget(): void {}

  peerLost(): void {
    for (const source of this.#sources) source.restartLeft();
  }

  // ---- marks of what open trees have written

  /** Another instance of the module may run other code: its records are not ours. */
  keyOf(source: SourceDefinition, depot: string): number {
    const { moduleInstanceId } = this.#host.context.info;
    return sourceKey([moduleInstanceId, this.topology.name, depot, source.sourceId]) || 1;
  }

  pruneMarks(key: number, task: number, low: number): void {
    for (const runner of this.#runners.values()) runner.marks.prune(key, task, low);
  }

  /** Commit first: the event leaves when the turn that caused it is durable. */
  leave(event: Event, tree: StreamTree): void {
    const vars = this.later.encoded.get(event)!;
    this.later.encoded.delete(event);
    const ref = tree.leave();
    const { stage, task, path } = event;
    const { key, offset } = tree.origin;
    // A dead letter runs again long after the others: 0 says that nothing is known.
    const low = tree instanceof RecordTree && tree.source.low <= offset ? tree.source.low : 0;
    const leaving = { stage, task, ref, event: ref.event, origin: { key, offset, low, path } };
    this.#host.loop.after(() => this.#host.sender.event(this.topology.index, leaving, vars));
  }
}
