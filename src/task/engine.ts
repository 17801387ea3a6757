// One engine: the task groups that one thread carries, over one store. Everything that reaches them comes through here - appends, reads, invokes, events of other
// engines - and becomes a job of the turn (commit-loop.ts). What topologies do with it is theirs (topology-runtime.ts).
import { type Mirrors, openMirrors } from "../client/mirrors.ts";
import { endsWithin } from "../base/ends-within.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import { Background } from "./background.ts";
import { CommitLoop } from "./commit-loop.ts";
import type {
  DeadLetterAction,
  DeadLetterChoice,
  DeadLetterStatus,
  EngineAppend,
  EngineFetch,
  EngineInvoke,
  EngineOptions,
  EngineRecovery,
  EngineSelect,
  EngineStatus,
} from "./engine-api.ts";
import { EarlyEvents } from "./early-events.ts";
import { EngineAppends } from "./engine-appends.ts";
import { EngineCore } from "./engine-core.ts";
import { EngineQueries } from "./engine-queries.ts";
import { EngineReads } from "./engine-reads.ts";
import { changeDeadLetters } from "./engine-letters.ts";
import { statusOf, statusWithSizes } from "./engine-status.ts";
import { type EngineStore, openEngineStore } from "./engine-store.ts";
import { type ArrivedEvent, EventSender, receivedEvents, type EventReceiver, type TreeRef } from "./event-codec.ts";
import { OptionView } from "./option-view.ts";
import type { EngineWatch, Subscription } from "./proxies.ts";
import { type JobCategory, RunQueue } from "./run-queue.ts";
import type { ContextHost } from "./stage-context.ts";
import { StuckNote } from "./stuck-note.ts";
import { type TaskGlobals, taskGlobals } from "./task-globals.ts";
import type { RuntimeFactories, RuntimeHost, TopologyRuntime } from "./topology-runtime.ts";
import type { Replica } from "../replication/replica.ts";
import type { ReplicatedEngine } from "./replicated-engine.ts";
import { sealTurn } from "./turn-seal.ts";

/** An engine with replicas that closes waits so long for its last entries: it may be that nothing can be committed any more. */
const drainMs = 2_000;

export class Engine implements EventReceiver {
  readonly recovered: EngineRecovery;
  readonly #options: EngineOptions;
  readonly #store: EngineStore;
  readonly #queue: RunQueue;
  readonly #sender: EventSender;
  readonly #host: RuntimeHost;
  readonly #core: EngineCore;
  readonly #appends: EngineAppends;
  readonly #reads: EngineReads;
  readonly #queries: EngineQueries;
  readonly #globals: TaskGlobals;
  readonly #background: Background;
  readonly #early: EarlyEvents;
  /** Indexes of topologies. */
  readonly #quarantined = new Set<number>();

  /** `runtimes` comes from `topology/open-engine.ts`, which is what roles call. */
  static async open(options: EngineOptions, runtimes: RuntimeFactories): Promise<Engine> {
    const startMs = options.env.monotonicMs();
    const mirrors = await openMirrors(options.client, options.module.definition.mirrors);
    const store = await openEngineStore(options);
    try {
      const engine = new Engine(options, store, runtimes, mirrors);
      await store.recover(engine.#core.runtimes);
      if (store.replicated === undefined) {
        await engine.#start();
        await store.retireRemoved();
        store.deleteRemoved();
        engine.#background.start();
      } else await engine.#follow(store.replicated);
      Object.assign(engine.recovered, { ...store.recovered, ms: options.env.monotonicMs() - startMs });
      return engine;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(
    options: EngineOptions,
    store: EngineStore,
    runtimes: RuntimeFactories,
    mirrors: Mirrors | undefined,
  ) {
    this.#options = options;
    this.recovered = { entries: 0, tornBytes: 0, ms: 0 };
    this.#store = store;
    this.#queue = new RunQueue();
    const note = new StuckNote(options.stuckNote);
    const core = new EngineCore(options, new OptionView(options.options), store.groups);
    this.#core = core;
    core.loop = new CommitLoop({
      env: options.env,
      log: store.log,
      queue: this.#queue,
      note,
      seal: () => sealTurn(store.groups),
      durable: (upTo) => this.#durable(upTo),
      flush: () => this.#sender.flush(),
      onBroken: (error) => this.#break(error),
    });
    store.log.onFailed = (error) => this.#break(error);
    this.#sender = new EventSender((task, frame) => options.router.send(task, frame), options.classes);
    this.#appends = new EngineAppends(core);
    this.#reads = new EngineReads(core, this.#queue, (partition, control) => this.#background.note(partition, control));
    this.#queries = new EngineQueries(core, this.#sender);
    this.#early = new EarlyEvents(options.env);
    this.#globals = options.globals ?? taskGlobals(options);
    this.#globals.onThread = (fn) => this.#core.job(fn);
    this.#host = this.#makeHost(note, mirrors);
    this.#makeRuntimes(runtimes);
    this.#background = new Background(
      core,
      store,
      (partition) => this.#reads.neededElsewhere(partition),
      (error) => this.#break(error),
    );
    this.#core.view.follow(() => {
      const shares = this.#core.view.get("worker.event.category.proportions");
      if (shares !== null && typeof shares === "object")
        this.#queue.setShares(shares as Partial<Record<JobCategory, number>>);
    });
  }

  #makeHost(note: StuckNote, mirrors: Mirrors | undefined): RuntimeHost {
    const { env, module, info, classes, print } = this.#options;
    const log = env.log.child(info.moduleName);
    const context: ContextHost = {
      definition: module.definition,
      info,
      note,
      events: this.#options.events,
      mirrors,
      random: () => env.random(),
      nowMs: () => env.now(),
      monotonicMs: () => env.monotonicMs(),
      print: print ?? ((line) => log.info(line)),
    };
    return {
      env,
      module,
      options: this.#core.view,
      loop: this.#core.loop,
      sender: this.#sender,
      context,
      classes,
      manualTicks: this.#options.manualTicks ?? false,
      groups: this.#core.groups,
      mirrors,
      taskAt: (id) => this.#core.tasks[id],
      groupOf: (task) => this.#core.groupOf[task.id]!,
      invoke: (invoke, fromTask) => this.#queries.invoke(invoke, fromTask),
      appendRecord: (task, depot, record, level, reply) =>
        this.#appends.appendRecord(task, depot, record, level, reply),
      nameId: (name) => this.#store.names.idOf(name),
    };
  }

  #makeRuntimes(runtimes: RuntimeFactories): void {
    const { module } = this.#options;
    for (const topology of module.topologies) {
      const make = runtimes[topology.kind];
      if (make === undefined) {
        throw new RamaError("BAD_MODULE", `${topology.name}: this engine runs no ${topology.kind} topologies`, {
          topology: topology.name,
        });
      }
      this.#core.runtimes.push(make(this.#host, topology));
    }
    for (const { index } of module.definition.depots) {
      this.#core.subscribers[index] = this.#core.runtimes.filter((runtime) => runtime.subscribed.has(index));
    }
  }

  /** One of several replicas: entries are applied as they come until this one leads. */
  async #follow(replicated: ReplicatedEngine): Promise<void> {
    this.#core.leads = false;
    await this.#store.names.save();
    this.#store.startFlushing(this.#core.runtimes, (error) => this.#break(error));
    await this.#store.retireRemoved();
    this.#store.deleteRemoved();
    replicated.attach(this.#core.groups[0]!, this.#core.runtimes, {
      lead: () => this.#options.env.spawn("a replica begins to lead", () => this.#lead()),
      flush: () => this.#store.flush(true),
      refuse: (error) => {
        this.#core.stalled = error;
      },
      hold: () => this.#core.loop.hold(),
      goOn: () => this.#core.loop.goOn(),
    });
  }

  async #lead(): Promise<void> {
    try {
      await this.#prepare();
      if (this.#core.closing) return;
      await this.#begin();
      this.#background.start();
      this.#core.leads = !this.#core.closing;
      for (const { task, frame } of this.#early.take()) this.deliver(task, frame);
    } catch (error) {
      if (!this.#core.closing) this.#break(error);
    }
  }

  async #prepare(): Promise<void> {
    for (const group of this.#core.groups) for (const task of group.tasks) await this.#globals.give(task);
    await this.#store.names.save();
  }

  async #start(): Promise<void> {
    await this.#prepare();
    this.#store.startFlushing(this.#core.runtimes, (error) => this.#break(error));
    await this.#begin();
  }

  async #begin(): Promise<void> {
    for (const name of this.#options.quarantined ?? []) this.#quarantine(name);
    for (const runtime of this.#core.runtimes)
      if (this.#options.paused?.includes(runtime.topology.name)) runtime.pause();
    this.#background.begin();
    for (const runtime of this.#core.runtimes) runtime.start();
    this.#core.loop.wake();
    await Promise.all(this.#core.runtimes.map((runtime) => runtime.begun?.()));
    // Where new sources begin is durable before anyone can append.
    this.#core.loop.wake();
    await this.drained();
  }

  // ---- appends and reads

  append(append: EngineAppend): void {
    this.#appends.append(append);
  }

  partitionInfo(depot: number, task: number): { startOffset: number; endOffset: number } {
    return this.#reads.partitionInfo(depot, task);
  }

  /** Records of [from, to), encoded; as many as one answer should hold. OFFSET_OUT_OF_RANGE. */
  readDepot(depot: number, task: number, from: number, to: number): Uint8Array[] {
    return this.#reads.readDepot(depot, task, from, to);
  }

  fetchDepot(depot: number, task: number, fetch: EngineFetch): (() => void) | undefined {
    return this.#reads.fetchDepot(depot, task, fetch);
  }

  offsetAt(depot: number, task: number, ms: number): number {
    return this.#reads.offsetAt(depot, task, ms);
  }

  /** At once when nothing waits; in the clients' share of the thread otherwise. */
  select(select: EngineSelect): void {
    this.#reads.select(select);
  }

  /** Tells the sink what the path navigates to, then each change of it, until the subscription is closed. */
  watch(watch: EngineWatch): Subscription {
    return this.#reads.watch(watch);
  }

  // ---- queries

  invokeQuery(invoke: EngineInvoke): void {
    this.#queries.invoke(invoke, undefined);
  }

  // ---- other engines

  /** Events from another engine, addressed to `task` of this one. BAD_FRAME. */
  deliver(task: number, frame: Uint8Array): void {
    if (this.#core.failed !== null || this.#core.tasks[task] === undefined) return;
    if (!this.#core.leads) {
      this.#early.keep(task, frame);
      return;
    }
    const { classes, env } = this.#options;
    this.#core.job(() => {
      const bad = receivedEvents(task, frame, classes, this);
      if (bad !== null) env.log.warn("a frame of events is dropped", { task, why: bad.message });
    });
  }

  event(topology: number, arrived: ArrivedEvent): void {
    if (this.#core.tasks[arrived.task] === undefined || this.#quarantined.has(topology)) return;
    if (arrived.ref.task >= this.#options.info.numTasks) return;
    this.#core.runtimes[topology]?.event(arrived);
  }

  ack(topology: number, task: number, tree: number, answer: number, returns: unknown[]): void {
    this.#core.runtimes[topology]?.ack(task, tree, answer, returns);
  }

  failure(topology: number, task: number, tree: number, error: RamaError): void {
    this.#core.runtimes[topology]?.failure(task, tree, error);
  }

  call(query: number, task: number, callerTask: number, call: number, args: unknown[]): void {
    if (callerTask >= this.#options.info.numTasks) return;
    this.#queries.called(query, task, callerTask, call, args);
  }

  result(call: number, error: RamaError | null, value: unknown): void {
    this.#queries.answered(call, error, value);
  }

  forget(topology: number, ref: TreeRef): void {
    this.#core.runtimes[topology]?.forget(ref);
  }

  /** The engine that has these tasks went away: queries that wait for it fail at once. */
  peerGone(tasks: ReadonlySet<number>): void {
    this.#queries.peerGone(tasks);
  }

  /** The connection to another engine broke, or it began anew: records with events elsewhere run again soon instead of at their timeout. */
  peerLost(): void {
    if (this.#core.failed !== null || this.#core.closing || !this.#core.leads) return;
    this.#core.job(() => {
      for (const runtime of this.#core.runtimes) runtime.peerLost?.();
    });
  }

  // ---- the turn

  #durable(upTo: number): void {
    for (const group of this.#core.groups) group.replog.durableUpTo(upTo);
    for (const runtime of this.#core.runtimes) runtime.applied();
    this.#appends.applied();
    this.#reads.applied();
  }

  // ---- life

  /** Resolves when nothing runs and all that was sealed is durable and applied. */
  async drained(): Promise<void> {
    await new Promise<void>((resolve) => this.#core.loop.whenIdle(resolve));
    if (this.#core.failed !== null) throw this.#core.failed;
  }

  /** One tick of a tick depot: `done` when stream topologies have finished with it. */
  tick(depot: number, done: (error: RamaError | null) => void): void {
    this.#core.job(() => {
      let left = this.#core.subscribers[depot]!.length;
      if (left === 0) done(null);
      let first: RamaError | null = null;
      for (const runtime of this.#core.subscribers[depot]!) {
        runtime.tick(depot, (error) => {
          first ??= error;
          if (--left === 0) done(first);
        });
      }
    });
  }

  pauseTopology(name: string): void {
    this.#named(name).pause();
  }

  resumeTopology(name: string): void {
    const runtime = this.#named(name);
    this.#quarantined.delete(runtime.topology.index);
    runtime.resume();
  }

  #quarantine(name: string): void {
    const runtime = this.#core.runtimes.find(({ topology }) => topology.name === name);
    if (runtime === undefined || runtime.topology.kind === "query") return;
    this.#quarantined.add(runtime.topology.index);
    runtime.pause();
  }

  #named(name: string): TopologyRuntime {
    const found = this.#core.runtimes.find((runtime) => runtime.topology.name === name);
    if (found === undefined)
      throw new RamaError("UNKNOWN_OBJECT", `the module has no topology ${name}`, { topology: name });
    return found;
  }

  /** Records that topologies have set aside. */
  deadLetters(): DeadLetterStatus[] {
    return this.#core.runtimes.flatMap((runtime) => runtime.deadLetters?.() ?? []);
  }

  /** Resolves with how many were found, once that is durable. A retry has begun then; it ends later. */
  changeDeadLetters(action: DeadLetterAction, choice: DeadLetterChoice): Promise<number> {
    return changeDeadLetters(this.#core, action, choice);
  }

  /** A dynamic option of the module, or of one of its objects. In effect at once. */
  setOption(name: string, value: unknown, object?: string): void {
    this.#core.view.set(name, object, value);
  }

  /** Appends of clients are refused with this error until it is null again (a full disk); reads go on. */
  refuseAppends(error: RamaError | null): void {
    this.#core.refusal = error;
  }

  status(): EngineStatus {
    return statusOf(this.#core, this.#store, this.#background.migrations());
  }

  /** Asks the files, too. `withContents`: with a hash of all that each group holds, for the comparison of replicas. */
  statusWithSizes(withContents = false): Promise<EngineStatus> {
    return statusWithSizes(this.#core, this.#store, this.#background.migrations(), withContents);
  }

  #break(error: unknown): void {
    if (this.#core.failed !== null) return;
    this.#core.failed =
      error instanceof RamaError
        ? error
        : new RamaError("INTERNAL", `the engine stopped: ${messageOf(error)}`, {}, error);
    this.#core.loop.stop();
    this.#options.env.log.error("engine stopped; nothing more is written", {
      engine: this.#options.instanceTag,
      error: messageOf(error),
    });
    this.#appends.rejectHeld(this.#core.failed);
    this.#reads.rejectFetches(this.#core.failed);
    this.#options.onBroken?.(this.#core.failed);
  }

  /** Drained, and no record that could run is left (those that wait for a retry, a promise or another engine may be). */
  async settled(): Promise<void> {
    do await this.drained();
    while (this.#core.runtimes.some((runtime) => runtime.behind));
  }

  /** Stops as a killed process does: nothing is ended, flushed or answered. For tests and simulation; a process is really killed. */
  abort(): void {
    this.#core.failed ??= new RamaError("MODULE_NOT_RUNNING", "the engine was killed");
    this.#core.closing = true;
    this.#core.loop.stop();
    this.#background.stop();
    for (const runtime of this.#core.runtimes) runtime.abort();
    this.#queries.abort();
    this.#store.abort();
  }

  /** False: another replica leads, or this one has not begun to. */
  get serves(): boolean {
    return this.#core.leads && this.#core.failed === null;
  }

  /** The engine's part in the replication of its group; undefined: it has no other replica. */
  get replica(): Replica | undefined {
    return this.#store.replicated?.replica;
  }

  /** Another replica leads: what runs is dropped and what it wrote is void. What is applied is flushed, and the store is closed. */
  async depose(): Promise<void> {
    const { group } = this.#core.groups[0]!.replog;
    this.#core.failed ??= new RamaError("MOVED", `task group ${group} is led by another replica`, { group });
    if (this.#core.closing) return;
    this.#core.closing = true;
    this.#core.loop.stop();
    this.#background.stop();
    this.#appends.rejectHeld(this.#core.failed);
    for (const runtime of this.#core.runtimes) runtime.abort();
    this.#queries.close();
    await this.#globals.close();
    await this.#store.close();
  }

  async #drainedOrLate(): Promise<void> {
    if (this.#store.replicated === undefined) await this.drained();
    else if (this.#core.leads) await endsWithin(this.#options.env, this.drained(), drainMs);
  }

  /** Ahead of `close`, while reads go on and whatever runs runs on: what is applied by now is flushed. Nothing is lost when it fails. */
  settle(): Promise<void> {
    return this.#store.settle();
  }

  /** No new work, what runs ends, everything is flushed. */
  async close(): Promise<void> {
    if (this.#core.closing) return;
    this.#core.closing = true;
    const closing = new RamaError("MOVED", "this engine is closing");
    this.#appends.rejectHeld(closing);
    this.#reads.rejectFetches(closing);
    for (const runtime of this.#core.runtimes) runtime.close();
    await this.#background.close();
    try {
      if (this.#core.failed === null) await this.#drainedOrLate();
    } finally {
      this.#core.loop.stop();
      this.#queries.close();
      await this.#globals.close();
      await this.#store.close();
    }
  }
}
