// One engine: the task groups that one thread carries, over one store. Everything that reaches them comes through here - appends, reads, invokes, events of other
// engines - and becomes a job of the turn (commit-loop.ts). What topologies do with it is theirs (topology-runtime.ts).
import { Mirrors } from "../client/mirrors.ts";
import { messageOf, RamaError } from "../base/errors.ts";
import type { AckLevelName } from "../dataflow/compiled.ts";
import type { DepotPartition } from "../depot/partition.ts";
import { type PathRoot, ReadSession } from "../paths/indexed.ts";
import { AppendWait } from "./append-wait.ts";
import { CommitLoop } from "./commit-loop.ts";
import type {
  AppendReply,
  AppendToken,
  EngineAppend,
  EngineInvoke,
  EngineOptions,
  EngineRecovery,
  EngineSelect,
  EngineStatus,
} from "./engine-api.ts";
import { type EngineStore, openEngineStore } from "./engine-store.ts";
import { type ArrivedEvent, EventSender, receiveEvents, type EventReceiver, type TreeRef } from "./event-codec.ts";
import { HeldAppends } from "./held-appends.ts";
import { OptionView } from "./option-view.ts";
import { type EngineWatch, ProxyHub, type Subscription } from "./proxies.ts";
import { QueryCalls } from "./query-calls.ts";
import { clientJobs, type JobCategory, lowLatencyJobs, RunQueue } from "./run-queue.ts";
import type { ContextHost } from "./stage-context.ts";
import { StuckNote } from "./stuck-note.ts";
import type { Task } from "./task.ts";
import { TaskGlobals } from "./task-globals.ts";
import type { TaskGroup } from "./task-group.ts";
import type { QueryRuntime, RuntimeFactories, RuntimeHost, TopologyRuntime } from "./topology-runtime.ts";
import { TURN } from "../replication/entry.ts";
import { TurnEntry, turnEnds, turnGoesOn } from "./turn-entry.ts";

const nothing = (): void => {};

export class Engine implements EventReceiver {
  readonly recovered: EngineRecovery;
  readonly #options: EngineOptions;
  readonly #view: OptionView;
  readonly #store: EngineStore;
  readonly #loop: CommitLoop;
  readonly #queue: RunQueue;
  readonly #sender: EventSender;
  readonly #host: RuntimeHost;
  readonly #tasks: (Task | undefined)[] = [];
  readonly #groups: readonly TaskGroup[];
  readonly #groupOf: (TaskGroup | undefined)[] = [];
  readonly #runtimes: TopologyRuntime[] = [];
  /** By depot index. */
  readonly #subscribers: TopologyRuntime[][] = [];
  readonly #held: HeldAppends;
  readonly #calls: QueryCalls;
  readonly #globals: TaskGlobals;
  readonly #proxies: ProxyHub;
  readonly #session = new ReadSession();
  readonly #externals = new Map<number, PathRoot>();
  /** Indexes of topologies. */
  readonly #quarantined = new Set<number>();
  #refusal: RamaError | null = null;
  #failed: RamaError | null = null;
  #closing = false;

  /** `runtimes` comes from `topology/open-engine.ts`, which is what roles call. */
  static async open(options: EngineOptions, runtimes: RuntimeFactories): Promise<Engine> {
    const startMs = options.env.monotonicMs();
    const mirrors = await openMirrors(options);
    const store = await openEngineStore(options);
    try {
      const engine = new Engine(options, store, runtimes, mirrors);
      await store.recover(engine.#runtimes);
      await engine.#start();
      await store.retireRemoved();
      store.deleteRemoved();
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
    this.#view = new OptionView(options.options);
    this.#queue = new RunQueue();
    const note = new StuckNote(options.stuckNote);
    this.#groups = store.groups;
    for (const group of this.#groups) {
      for (const task of group.tasks) {
        this.#tasks[task.id] = task;
        this.#groupOf[task.id] = group;
      }
    }
    this.#loop = new CommitLoop({
      env: options.env,
      log: store.log,
      queue: this.#queue,
      note,
      seal: () => this.#seal(),
      durable: (upTo) => this.#durable(upTo),
      flush: () => this.#sender.flush(),
      onBroken: (error) => this.#break(error),
    });
    store.log.onFailed = (error) => this.#break(error);
    this.#sender = new EventSender((task, frame) => options.router.send(task, frame), options.classes);
    this.#held = new HeldAppends(options.env, () => this.#view.number("replication.depot.append.timeout.millis"));
    this.#calls = new QueryCalls(options.env, () => this.#view.number("topology.query.timeout.millis"));
    this.#globals = this.#makeGlobals();
    this.#proxies = this.#makeProxies();
    this.#host = this.#makeHost(note, mirrors);
    this.#makeRuntimes(runtimes);
    this.#view.follow(() => {
      const shares = this.#view.get("worker.event.category.proportions");
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
      options: this.#view,
      loop: this.#loop,
      sender: this.#sender,
      context,
      classes,
      manualTicks: this.#options.manualTicks ?? false,
      groups: this.#groups,
      mirrors,
      taskAt: (id) => this.#tasks[id],
      groupOf: (task) => this.#groupOf[task.id]!,
      invoke: (invoke, fromTask) => this.#invoke(invoke, fromTask),
      appendRecord: (task, depot, record, level, reply) => this.#appendRecord(task, depot, record, level, reply),
      nameId: (name) => this.#store.names.idOf(name),
    };
  }

  #makeGlobals(): TaskGlobals {
    const { env, module, info, clusterRetriever, instanceTag } = this.#options;
    return new TaskGlobals({
      env,
      definition: module.definition,
      info,
      tasksOfGroup: (group) => this.#groups.find((each) => each.id === group)!.tasks.map((task) => task.id),
      clusterRetriever,
      replicaId: instanceTag,
      onThread: (fn) => this.#job(fn),
    });
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
      this.#runtimes.push(make(this.#host, topology));
    }
    for (const { index } of module.definition.depots) {
      this.#subscribers[index] = this.#runtimes.filter((runtime) => runtime.subscribed.has(index));
    }
  }

  async #start(): Promise<void> {
    for (const group of this.#groups) for (const task of group.tasks) await this.#globals.prepare(task);
    await this.#store.names.save();
    this.#store.startFlushing(this.#runtimes, (error) => this.#break(error));
    for (const name of this.#options.quarantined ?? []) this.#quarantine(name);
    for (const runtime of this.#runtimes) runtime.start();
    // Where new sources begin is durable before anyone can append.
    this.#loop.wake();
    await this.drained();
  }

  // ---- appends

  append(append: EngineAppend): void {
    const error = this.#failed ?? this.#refusal ?? this.#appendError(append.depot, append.task);
    if (error !== null) {
      append.reply(error, -1, null, null);
      return;
    }
    this.#loop.push(clientJobs, { run: () => this.#take(append) }, 1);
    if (append.level === "none") append.reply(null, -1, null, null);
  }

  #appendError(depot: number, task: number): RamaError | null {
    const definition = this.#options.module.definition.depots[depot];
    if (definition === undefined) return new RamaError("UNKNOWN_OBJECT", `the module has no depot ${depot}`, { depot });
    if (this.#closing) return new RamaError("MOVED", "this engine is closing", { task });
    const { name } = definition;
    if (definition.tickMs !== undefined || definition.partitioning.kind === "disallow") {
      return new RamaError("NOT_APPENDABLE", `${name} takes no appends from clients`, { depot: name });
    }
    return this.#partitionError(name, task, (found) => found.depots[depot]);
  }

  #partitionError(name: string, task: number, find: (task: Task) => unknown): RamaError | null {
    const found = this.#tasks[task];
    if (found === undefined) {
      if (task >= 0 && task < this.#options.info.numTasks)
        return new RamaError("MOVED", `task ${task} is not here`, { task });
      return new RamaError("BAD_PARTITION", `${name} has no partition ${task}`, { object: name, task });
    }
    return find(found) === undefined
      ? new RamaError("BAD_PARTITION", `${name} has no partition ${task}`, { object: name, task })
      : null;
  }

  #take(append: EngineAppend): undefined {
    const { depot, task } = append;
    if (!this.#held.has(depot, task) && this.#mayStore(append)) this.#storeAppend(append);
    else this.#held.hold(append);
    return undefined;
  }

  readonly #mayStore = (append: EngineAppend): boolean => {
    if (append.level !== "ack") return true;
    const task = this.#tasks[append.task]!;
    return !this.#subscribers[append.depot]!.some((runtime) => runtime.full(task, append.depot));
  };

  readonly #storeAppend = (append: EngineAppend): void => {
    const { depot, task, token, records, count, level, reply } = append;
    this.#storeRecords(this.#tasks[task]!, depot, records, count, token, level, level === "none" ? nothing : reply);
  };

  #appendRecord(task: Task, depot: number, record: Uint8Array, level: AckLevelName, reply: AppendReply): void {
    const { name } = this.#options.module.definition.depots[depot]!;
    const missing = this.#partitionError(name, task.id, (found) => found.depots[depot]);
    if (missing !== null) {
      reply(missing, -1, null, null);
      return;
    }
    const bytes = new Uint8Array(4 + record.length);
    new DataView(bytes.buffer).setUint32(0, record.length, true);
    bytes.set(record, 4);
    this.#storeRecords(task, depot, bytes, 1, null, level, reply);
  }

  #storeRecords(
    task: Task,
    depot: number,
    bytes: Uint8Array,
    count: number,
    token: AppendToken | null,
    level: AckLevelName,
    reply: AppendReply,
  ): void {
    const subscribers = this.#subscribers[depot]!;
    const { replog } = this.#groupOf[task.id]!;
    let stored: { offset: number; duplicate: boolean };
    try {
      stored = task.depots[depot]!.append(replog, bytes, count, token, this.#options.env.now(), nothing);
    } catch (error) {
      if (!(error instanceof RamaError)) throw error;
      reply(error, -1, null, null);
      return;
    }
    const { offset, duplicate } = stored;
    const wait = level === "ack" ? this.#waitFor(depot, count, offset, reply) : undefined;
    if (!duplicate) {
      this.#options.events?.appended(this.#options.module.definition.depots[depot]!.name, task.id, offset, count);
      for (let i = 0; i < subscribers.length; i++)
        subscribers[i]!.appended({ depot, task, offset, bytes, count, wait });
    } else if (wait !== undefined) {
      for (const runtime of subscribers)
        for (let i = 0; i < count; i++) runtime.attach(task, depot, offset + i, i, wait);
    }
    if (wait === undefined && reply !== nothing) this.#loop.after(() => reply(null, offset, null, null), 1);
  }

  #waitFor(depot: number, count: number, offset: number, reply: AppendReply): AppendWait | undefined {
    let sources = 0;
    for (const runtime of this.#subscribers[depot]!) sources += runtime.sourceCount(depot);
    if (sources === 0) return undefined;
    const wait = new AppendWait(count, sources, reply, this.#afterTurn);
    wait.offset = offset;
    return wait;
  }

  readonly #afterTurn = (hook: () => void, replies: number): void => this.#loop.after(hook, replies);

  // ---- reads

  partitionInfo(depot: number, task: number): { startOffset: number; endOffset: number } {
    const { startOffset, endOffset } = this.#depotPartition(depot, task);
    return { startOffset, endOffset };
  }

  /** Records of [from, to), encoded; as many as one answer should hold. OFFSET_OUT_OF_RANGE. */
  readDepot(depot: number, task: number, from: number, to: number): Uint8Array[] {
    const views = this.#depotPartition(depot, task).read(from, to, 16 * 1024 * 1024);
    return views.map(({ bytes, start, end }) => bytes.subarray(start, end));
  }

  #depotPartition(depot: number, task: number): DepotPartition {
    const definition = this.#options.module.definition.depots[depot];
    if (definition === undefined) throw new RamaError("UNKNOWN_OBJECT", `the module has no depot ${depot}`, { depot });
    const error = this.#partitionError(definition.name, task, (found) => found.depots[depot]);
    if (error !== null) throw error;
    return this.#tasks[task]!.depots[depot]!;
  }

  /** At once when nothing waits; in the clients' share of the thread otherwise. */
  select(select: EngineSelect): void {
    if (!this.#loop.running && this.#queue.length === 0) this.#selectNow(select);
    else {
      this.#loop.push(clientJobs, {
        run: () => {
          this.#selectNow(select);
          return undefined;
        },
      });
    }
  }

  #selectNow(select: EngineSelect): void {
    const definition = this.#options.module.definition.pstates[select.pstate];
    const error =
      definition === undefined
        ? new RamaError("UNKNOWN_OBJECT", `the module has no PState ${select.pstate}`, { pstate: select.pstate })
        : this.#partitionError(definition.name, select.task, (found) => found.pstates[select.pstate]);
    if (error !== null) {
      select.reply(error, []);
      return;
    }
    let rows: unknown[];
    try {
      rows = select.select(this.#external(select.pstate, select.task), this.#session);
    } catch (thrown) {
      if (!this.#session.missed) {
        select.reply(readError(thrown, definition!.name), []);
        return;
      }
      rows = [];
    }
    if (!this.#session.missed) select.reply(null, rows);
    else {
      const loading = this.#session.load();
      this.#options.env.spawn("select", () => this.#selectLater(select, definition!.name, loading));
    }
  }

  #external(pstate: number, task: number): PathRoot {
    const key = pstate * 65536 + task;
    let root = this.#externals.get(key);
    if (root === undefined) {
      root = this.#tasks[task]!.pstates[pstate]!.external(this.#session);
      this.#externals.set(key, root);
    }
    return root;
  }

  // ---- proxies

  /** Tells the sink what the path navigates to, then each change of it, until the subscription is closed. */
  watch(watch: EngineWatch): Subscription {
    return this.#proxies.open(watch);
  }

  #makeProxies(): ProxyHub {
    const { definition } = this.#options.module;
    return new ProxyHub({
      env: this.#options.env,
      partition: (pstate, task) => {
        const name = definition.pstates[pstate]?.name ?? `PState ${pstate}`;
        return (
          this.#partitionError(name, task, (found) => found.pstates[pstate]) ?? this.#tasks[task]!.pstates[pstate]!
        );
      },
      select: (select) => this.select(select),
      selectNow: (select) => this.#selectNow(select),
      push: (job) => {
        this.#loop.push(clientJobs, {
          run: () => {
            job();
            return undefined;
          },
        });
      },
      limit: () => this.#view.number("pstate.proxy.limit"),
      queueLimit: (pstate) => this.#view.number("pstate.reactivity.queue.limit", definition.pstates[pstate]!.name),
    });
  }

  async #selectLater(select: EngineSelect, name: string, loading: Promise<void>): Promise<void> {
    const session = new ReadSession();
    const root = this.#tasks[select.task]!.pstates[select.pstate]!.external(session);
    try {
      await loading;
      for (;;) {
        let rows: unknown[] = [];
        try {
          rows = select.select(root, session);
        } catch (thrown) {
          if (!session.missed) throw thrown;
        }
        if (!session.missed) return select.reply(null, rows);
        await session.load();
      }
    } catch (error) {
      select.reply(readError(error, name), []);
    }
  }

  // ---- queries

  invokeQuery(invoke: EngineInvoke): void {
    this.#invoke(invoke, undefined);
  }

  #invoke(invoke: EngineInvoke, fromTask: number | undefined): void {
    const runtime = this.#runtimes[invoke.query];
    const local = fromTask ?? this.#groups[0]!.tasks[0]!.id;
    const tasks = this.#options.info.numTasks;
    let error = this.#failed;
    if (runtime?.topology.kind !== "query") {
      error = new RamaError("UNKNOWN_OBJECT", `the module has no query ${invoke.query}`, { query: invoke.query });
    }
    if (error !== null) {
      invoke.reply(error, undefined);
      return;
    }
    const start = invoke.task ?? this.#calls.startTask(runtime!.topology, invoke.args, tasks, local);
    const task = this.#tasks[start];
    if (task !== undefined) (runtime as QueryRuntime).invokeHere(task, invoke.args, invoke.reply);
    else if (!(start >= 0 && start < tasks)) {
      invoke.reply(new RamaError("BAD_PARTITION", `there is no task ${start}`, { task: start }), undefined);
    } else {
      const call = this.#calls.add(invoke.reply);
      this.#sender.call(invoke.query, start, local, call, invoke.args);
      this.#loop.wake();
    }
  }

  // ---- other engines

  /** Events from another engine, addressed to `task` of this one. BAD_FRAME. */
  deliver(task: number, frame: Uint8Array): void {
    if (this.#failed !== null || this.#tasks[task] === undefined) return;
    this.#job(() => receiveEvents(task, frame, this.#options.classes, this));
  }

  event(topology: number, arrived: ArrivedEvent): void {
    if (this.#tasks[arrived.task] === undefined || this.#quarantined.has(topology)) return;
    this.#runtimes[topology]?.event(arrived);
  }

  ack(topology: number, task: number, tree: number, answer: number, returns: unknown[]): void {
    this.#runtimes[topology]?.ack(task, tree, answer, returns);
  }

  failure(topology: number, task: number, tree: number, error: RamaError): void {
    this.#runtimes[topology]?.failure(task, tree, error);
  }

  call(query: number, task: number, callerTask: number, call: number, args: unknown[]): void {
    this.#invoke(
      { query, args, task, reply: (error, value) => this.#sendResult(callerTask, call, error, value) },
      undefined,
    );
  }

  #sendResult(callerTask: number, call: number, error: RamaError | null, value: unknown): void {
    try {
      this.#sender.result(callerTask, call, error, value);
    } catch (unsendable) {
      if (!(unsendable instanceof RamaError)) throw unsendable;
      this.#sender.result(callerTask, call, unsendable, undefined);
    }
    this.#loop.wake();
  }

  result(call: number, error: RamaError | null, value: unknown): void {
    this.#calls.answer(call, error, value);
  }

  forget(topology: number, ref: TreeRef): void {
    this.#runtimes[topology]?.forget(ref);
  }

  /** The connection to another engine broke, or it began anew: records with events elsewhere run again soon instead of at their timeout. */
  peerLost(): void {
    if (this.#failed !== null || this.#closing) return;
    this.#job(() => {
      for (const runtime of this.#runtimes) runtime.peerLost?.();
    });
  }

  #job(fn: () => void): void {
    this.#loop.push(lowLatencyJobs, {
      run: () => {
        fn();
        return undefined;
      },
    });
  }

  // ---- the turn

  /** One entry per group that changed; the last one of them makes the turn count. */
  #seal(): void {
    if (!this.#groups.some((group) => group.hasChanges)) return;
    for (const group of this.#groups) group.prepare();
    const sealed: { group: TaskGroup; entry: TurnEntry }[] = [];
    for (const group of this.#groups) {
      const entry = new TurnEntry();
      for (const sealer of group.takeChanged()) sealer.seal(entry);
      if (!entry.empty) sealed.push({ group, entry });
    }
    const last = sealed.at(-1)?.group;
    for (const { group, entry } of sealed) {
      const { parts, applies } = entry;
      parts[0] = group === last ? turnEnds : turnGoesOn(last!.id, last!.replog.end);
      group.replog.append(TURN, parts, () => {
        for (let k = 0; k < applies.length; k++) applies[k]!();
      });
    }
  }

  #durable(upTo: number): void {
    for (const group of this.#groups) group.replog.durableUpTo(upTo);
    for (const runtime of this.#runtimes) runtime.applied();
    if (!this.#held.empty) this.#job(() => this.#held.release(this.#mayStore, this.#storeAppend));
  }

  // ---- life

  /** Resolves when nothing runs and all that was sealed is durable and applied. */
  async drained(): Promise<void> {
    await new Promise<void>((resolve) => this.#loop.whenIdle(resolve));
    if (this.#failed !== null) throw this.#failed;
  }

  /** One tick of a tick depot: `done` when stream topologies have finished with it. */
  tick(depot: number, done: (error: RamaError | null) => void): void {
    this.#job(() => {
      let left = this.#subscribers[depot]!.length;
      if (left === 0) done(null);
      let first: RamaError | null = null;
      for (const runtime of this.#subscribers[depot]!) {
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
    const runtime = this.#runtimes.find(({ topology }) => topology.name === name);
    if (runtime === undefined || runtime.topology.kind === "query") return;
    this.#quarantined.add(runtime.topology.index);
    runtime.pause();
  }

  #named(name: string): TopologyRuntime {
    const found = this.#runtimes.find((runtime) => runtime.topology.name === name);
    if (found === undefined)
      throw new RamaError("UNKNOWN_OBJECT", `the module has no topology ${name}`, { topology: name });
    return found;
  }

  /** A dynamic option of the module, or of one of its objects. In effect at once. */
  setOption(name: string, value: unknown, object?: string): void {
    this.#view.set(name, object, value);
  }

  /** Appends of clients are refused with this error until it is null again (a full disk); reads go on. */
  refuseAppends(error: RamaError | null): void {
    this.#refusal = error;
  }

  status(): EngineStatus {
    const { definition } = this.#options.module;
    const depots = this.#groups.flatMap((group) =>
      group.tasks.flatMap((task) =>
        definition.depots.flatMap(({ name, index }) => {
          const partition = task.depots[index];
          if (partition === undefined) return [];
          const { startOffset, endOffset, bytes } = partition;
          return [{ name, task: task.id, startOffset, endOffset, bytes }];
        }),
      ),
    );
    return {
      groups: this.#groups.map(({ id, replog }) => ({
        group: id,
        end: replog.end,
        durable: replog.durable,
        applied: replog.applied,
      })),
      depots,
      pstates: definition.pstates.map(({ name }) => ({ name, entries: this.#entries(name) })),
      topologies: this.#runtimes.map((runtime) => runtime.status()),
      logBytes: this.#store.log.bytes,
      failed: this.#failed?.message ?? null,
    };
  }

  /** Asks the files, too. */
  async statusWithSizes(): Promise<EngineStatus> {
    const status = this.status();
    const pstates = status.pstates.map(async (pstate) => {
      const id = this.#store.names.idOf(`pstate ${pstate.name}`);
      let bytes = 0;
      for (const group of this.#groups) bytes += await group.pstates.approximateBytes(id);
      return { ...pstate, bytes };
    });
    return { ...status, pstates: await Promise.all(pstates) };
  }

  #entries(pstate: string): number {
    let entries = 0;
    for (const group of this.#groups) {
      for (const each of group.pstates.status()) if (each.name === pstate) entries += each.entries;
    }
    return entries;
  }

  #break(error: unknown): void {
    if (this.#failed !== null) return;
    this.#failed =
      error instanceof RamaError
        ? error
        : new RamaError("INTERNAL", `the engine stopped: ${messageOf(error)}`, {}, error);
    this.#loop.stop();
    this.#options.env.log.error("engine stopped; nothing more is written", {
      engine: this.#options.instanceTag,
      error: messageOf(error),
    });
    this.#held.rejectAll(this.#failed);
    this.#options.onBroken?.(this.#failed);
  }

  /** Drained, and no record that could run is left (those that wait for a retry, a promise or another engine may be). */
  async settled(): Promise<void> {
    do await this.drained();
    while (this.#runtimes.some((runtime) => runtime.behind));
  }

  /** Stops as a killed process does: nothing is ended, flushed or answered. For tests and simulation; a process is really killed. */
  abort(): void {
    this.#failed ??= new RamaError("MODULE_NOT_RUNNING", "the engine was killed");
    this.#closing = true;
    this.#loop.stop();
    for (const runtime of this.#runtimes) runtime.abort();
    this.#calls.abort();
    this.#store.abort();
  }

  /** No new work, what runs ends, everything is flushed. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#held.rejectAll(new RamaError("MOVED", "this engine is closing"));
    for (const runtime of this.#runtimes) runtime.close();
    try {
      if (this.#failed === null) await this.drained();
    } finally {
      this.#loop.stop();
      this.#calls.close();
      await this.#globals.close();
      await this.#store.close();
    }
  }
}

/** Their routes are known before anything runs. */
async function openMirrors({ client, module }: EngineOptions): Promise<Mirrors | undefined> {
  const { mirrors } = module.definition;
  if (client === undefined || mirrors.length === 0) return undefined;
  const opened = new Mirrors(client, mirrors);
  await opened.open();
  return opened;
}

function readError(error: unknown, pstate: string): RamaError {
  if (error instanceof RamaError) return error;
  return new RamaError("USER_CODE_FAILED", `reading ${pstate}: ${messageOf(error)}`, { pstate }, error);
}
