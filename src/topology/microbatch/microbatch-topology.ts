// A microbatch topology on one engine. The engine of task 0 has the coordinator; every engine runs events, keeps slices and seals its groups' changes.
//
// Exactly once. All task groups of an engine share one log, and a turn of it counts as a whole. When every task is on this engine, the changes of all groups,
// the progress of all slices and the microbatch's number leave in one turn: a crash before leaves nothing, after it everything. With groups on other engines
// all write their changes to their own logs first (prepare); when all have, the microbatch is decided, and all apply (coordinator.ts). A group that restarts with
// prepared changes asks (hello), and applies or forgets them.
import type { RamaError } from "../../base/errors.ts";
import { encodeValue } from "../../base/value-codec.ts";
import type { CompiledSource, CompiledTopology } from "../../dataflow/compiled.ts";
import type { DeadLetterAction, DeadLetterChoice, DeadLetterStatus, TopologyStatus } from "../../task/engine-api.ts";
import { Event, type EventDetail, type EventRecord } from "../../task/event.ts";
import { type ArrivedEvent, noOrigin } from "../../task/event-codec.ts";
import { lowLatencyJobs } from "../../task/run-queue.ts";
import { RunContext } from "../../task/stage-context.ts";
import type { Task } from "../../task/task.ts";
import type { AppendedRecords, RuntimeHost, TopologyRuntime } from "../../task/topology-runtime.ts";
import { userError } from "../../task/user-errors.ts";
import type { BatchRun } from "../batch/batch-run.ts";
import { runBatch } from "../batch/driver.ts";
import { runLater } from "../batch/later.ts";
import { PhasePart, PhaseTree, type PhaseOwner, type RunTree, runOf } from "../batch/phase-tree.ts";
import { type RemoteOwner, type RemotePartition, RemoteSources } from "../remote/remote-sources.ts";
import { startOffsetOf } from "../start-offset.ts";
import type { DeadLetter } from "../dead-letters.ts";
import { changeLetters, failuresOf, lettersOf } from "../letter-status.ts";
import type { Attempts } from "./attempts.ts";
import { control, isControl } from "./control.ts";
import { MicrobatchLoop } from "./loop.ts";
import { Participant } from "./participant.ts";
import { depotNameOf } from "./failing-record.ts";
import { originOf, recordOf } from "./record-origin.ts";
import { explodeOn } from "./explode-run.ts";
import { MicrobatchRunner } from "./runner.ts";
import { SourceSlice } from "./slice.ts";
import { StoredProgress } from "./stored-progress.ts";

type DetailOf<K extends keyof any> = Extract<EventDetail, Record<K, unknown>>;

export class MicrobatchTopology implements TopologyRuntime, PhaseOwner, Attempts, RemoteOwner {
  readonly topology: CompiledTopology;
  readonly progress: StoredProgress;
  readonly subscribed: ReadonlySet<number>;
  /** Of the topology's name in the store. */
  readonly id: number;
  readonly numTasks: number;
  readonly allHere: boolean;
  combinerLimit = 1000;
  readonly host: RuntimeHost;
  readonly runners = new Map<number, MicrobatchRunner>();
  readonly slices: SourceSlice[] = [];
  readonly #decoders = new Map<number, CompiledSource["decode"]>();
  readonly #trees = new Map<number, PhaseTree>();
  readonly #remotes: RemoteSources;
  /** On the engine of task 0. */
  #loop: MicrobatchLoop | undefined = undefined;
  /** On other engines. */
  #participant: Participant | undefined = undefined;
  run: BatchRun | undefined = undefined;
  closed = false;
  #paused = false;

  constructor(host: RuntimeHost, topology: CompiledTopology) {
    this.host = host;
    this.topology = topology;
    const { numTasks, numThreads } = host.context.info;
    this.numTasks = numTasks;
    this.id = host.nameId(`microbatch ${topology.name}`);
    this.#remotes = new RemoteSources(host, topology, this);
    this.progress = new StoredProgress(this.id, this.runners, this.slices, this.#remotes);
    for (const group of host.groups) {
      const transaction = group.pstates.transaction();
      const x = new RunContext(host.context, topology, transaction);
      this.runners.set(group.id, new MicrobatchRunner(this, host, group, transaction, topology, x));
    }
    this.allHere = host.groups.length === numThreads;
    for (const { stage, decode } of topology.exploded ?? []) this.#decoders.set(stage, decode);
    const subscribed = new Set<number>();
    for (const compiled of topology.sources) this.#subscribe(compiled, subscribed);
    this.subscribed = subscribed;
    this.#readOptions();
  }

  #subscribe(compiled: CompiledSource, subscribed: Set<number>): void {
    const definition = this.host.module.definition.topologies[this.topology.index]!.sources[compiled.source]!;
    if (definition.depot.kind !== "own") return;
    const { index } = definition.depot;
    const depot = this.host.module.definition.depots[index]!;
    subscribed.add(index);
    const id = this.host.nameId(`source ${this.topology.name} ${depot.name} ${definition.sourceId}`);
    const lettersId = this.host.nameId(`dead letters ${this.topology.name} ${depot.name} ${definition.sourceId}`);
    for (const group of this.host.groups) {
      for (const task of group.tasks) {
        const partitioned = depot.tickMs === undefined ? task.depots[index] !== undefined : task.id === 0;
        if (!partitioned) continue;
        this.#enter(new SourceSlice(compiled, definition, depot, task, id, lettersId));
      }
    }
  }

  #enter(slice: SourceSlice): void {
    const runner = this.#runnerOf(slice.task);
    this.slices.push(slice);
    runner.slices.push(slice);
    slice.onPassedOver = (record) => runner.passedOver(slice, record);
    slice.letters.onChanged = (retried) => this.#lettersChanged(slice, runner, retried);
  }

  // ---- depots of others

  partitionsKnown(sourceId: number): number[] {
    return this.progress.partitions(sourceId);
  }

  addRemote(remote: RemotePartition, first: number | undefined): void {
    const { compiled, definition, name, task, id, lettersId } = remote;
    const slice = new SourceSlice(compiled, definition, { index: -1, name }, task, id, lettersId, remote);
    this.#enter(slice);
    this.progress.entered(slice);
    this.#begin(slice, first);
    this.host.loop.wake();
  }

  remoteGrown(): void {
    for (const runner of this.runners.values()) runner.remoteGrown();
    this.applied();
  }

  begun(): Promise<void> {
    return this.#remotes.begun();
  }

  #readOptions(): void {
    const { options } = this.host;
    const { name } = this.topology;
    options.follow(() => {
      this.combinerLimit = options.number("topology.combiner.limit", name);
      const overtimeMs = options.number("worker.event.target.max.millis");
      for (const runner of this.runners.values()) runner.x.overtimeMs = overtimeMs;
    });
  }

  recordsMaxOf(slice: SourceSlice): number {
    return this.host.options.number("depot.microbatch.max.records", slice.depot.name);
  }

  isHere(task: number): boolean {
    return this.host.taskAt(task) !== undefined;
  }

  #runnerOf(task: Task): MicrobatchRunner {
    return this.runners.get(task.group)!;
  }

  // ---- life

  start(): void {
    for (const slice of this.slices) this.#begin(slice, undefined);
    this.#remotes.start();
    if (this.runners.has(0)) this.#loop = new MicrobatchLoop(this, this.#paused);
    else this.#participant = new Participant(this);
  }

  #begin(slice: SourceSlice, first: number | undefined): void {
    const known = this.progress.take(slice);
    slice.begin(known, known === undefined ? (first ?? this.#firstOffset(slice)) : 0, this.host.env.monotonicMs());
    this.#runnerOf(slice.task).begun(slice);
    // What the log alone knew has to reach the Kv.
    if (slice.remote !== undefined && known !== undefined) slice.dirty = true;
    if (slice.fresh) this.#runnerOf(slice.task).markFresh(slice);
  }

  #firstOffset({ isTick, depot, task, definition }: SourceSlice): number {
    if (isTick) return 0;
    const { env, options } = this.host;
    const entriesMax = options.get("depot.max.entries.per.partition", depot.name);
    return startOffsetOf(definition.startFrom, task.depots[depot.index]!, env.now(), entriesMax);
  }

  job(fn: () => void, category = lowLatencyJobs): void {
    this.host.loop.push(category, {
      run: () => {
        if (!this.closed) fn();
        return undefined;
      },
    });
  }

  /** Nothing of the attempt counts any more. */
  dropRun(): void {
    const run = this.run;
    this.run = undefined;
    for (const tree of [...this.#trees.values()]) {
      tree.dead = true;
      this.#trees.delete(tree.ref.tree);
    }
    if (run === undefined) return;
    for (const runner of this.runners.values()) runner.transaction.rollbackTo(0);
  }

  runs(run: BatchRun): boolean {
    return this.run === run;
  }

  // ---- groups of other engines

  tell(group: number, stage: number, vars: unknown[]): void {
    const ref = { task: 0, tree: 0 };
    const head = { stage, task: group, ref, event: 0, origin: noOrigin };
    this.host.sender.event(this.topology.index, head, encodeValue(vars));
    this.host.loop.wake();
  }

  #control(arrived: ArrivedEvent): void {
    const { stage, task, vars } = arrived;
    if (!isControl(stage, vars)) return;
    if (stage === control.explode) this.#explodeArrived(arrived);
    else if (this.#loop !== undefined) this.#loop.told(stage, vars);
    else this.#participant?.told(stage, task, vars);
  }

  /** Source blocks begin on task 0. */
  process(run: BatchRun, done: (error: unknown) => void): void {
    const tree = new PhaseTree(this, run, 0, done);
    for (const { stage } of this.topology.sources) this.dispatch(new Event("send", stage, 0, [null]), tree);
    tree.ended();
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
    if (this.#loop === undefined) this.#participant?.announce();
    else if (this.#loop.idle) this.#loop.pumpSoon();
  }

  peerLost(): void {
    this.#loop?.peerLost();
    this.#participant?.peerLost();
  }

  tick(depot: number, done: (error: RamaError | null) => void): void {
    for (const slice of this.slices) if (slice.isTick && slice.depot.index === depot) slice.ticked++;
    this.#loop?.pumpSoon();
    done(null);
  }

  // ---- trees (PhaseOwner)

  random(): number {
    return this.host.env.random();
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
    else this.host.sender.ack(this.topology.index, part.ref, part.ack.answer, []);
  }

  partFailed(part: PhasePart, error: unknown): void {
    const known = userError(error, this.topology, 0);
    const home = this.#trees.get(part.ref.tree);
    if (home !== undefined) home.abort(known);
    else this.host.sender.failure(this.topology.index, part.ref, known);
    this.host.loop.wake();
  }

  // ---- dead letters

  #lettersChanged(slice: SourceSlice, runner: MicrobatchRunner, retried: DeadLetter | undefined): void {
    runner.lettersChanged();
    if (retried === undefined) return;
    const letters = [{ source: slice.compiled.source, task: slice.partitionId, offset: retried.offset }];
    this.host.loop.after(() => (this.#loop ?? this.#participant)?.lettersRetried(letters));
  }

  deadLetters(): DeadLetterStatus[] {
    return lettersOf(this.topology.name, this.slices);
  }

  changeDeadLetters(action: DeadLetterAction, choice: DeadLetterChoice): number {
    return changeLetters(this.topology.name, this.slices, action, choice);
  }

  depotOf(source: number): string {
    return depotNameOf(this.host.module.definition, this.topology, source);
  }

  #part(arrived: ArrivedEvent): PhasePart | undefined {
    const run = this.run;
    if (run === undefined || runOf(arrived.ref.tree) !== run.number) return undefined;
    return new PhasePart(this, run, arrived.ref, arrived.event);
  }

  event(arrived: ArrivedEvent): void {
    const { stage, task, vars } = arrived;
    if (stage >= control.prime) return this.#control(arrived);
    if (stage >= this.topology.stages.length) return;
    const part = this.#part(arrived);
    if (part === undefined) return;
    const event = new Event("send", stage, task, vars);
    event.tree = part;
    event.record = recordOf(arrived.origin);
    this.#runnerOf(this.host.taskAt(task)!).push(event);
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
    const task = this.host.taskAt(event.task);
    if (task === undefined) {
      this.#leave(event.stage, event.task, event.vars, tree, event.record);
      return;
    }
    tree.born();
    event.tree = tree;
    this.#runnerOf(task).push(event);
  }

  #leave(stage: number, task: number, vars: unknown[], tree: RunTree, record?: EventRecord | null): void {
    const encoded = encodeValue(vars, this.host.classes);
    const ref = tree.leave();
    const leaving = { stage, task, ref, event: ref.event, origin: originOf(record) };
    this.host.sender.event(this.topology.index, leaving, encoded);
    this.host.loop.wake();
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
        const task = this.host.taskAt(event.task)!;
        runLater(
          {
            host: this.host,
            topology: this.topology,
            push: (next) => this.#runnerOf(task).push(next),
            ownWrites: (pstate) =>
              this.host.module.definition.pstates[pstate]!.topology === this.topology.index
                ? this.#runnerOf(task).transaction
                : undefined,
            job: (fn) => this.job(fn),
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
      const task = this.host.taskAt(id);
      if (task === undefined) this.#leave(control.explode, id, [event.stage, event.vars, source, temporary], tree);
      else {
        tree.born();
        this.#explodeHere(task, tree, event.stage, event.vars, source, temporary);
      }
    }
  }

  /** Global depots and tick depots have one partition, on task 0. */
  #isSingle(source: number): boolean {
    const { definition } = this.host.module;
    const { depot } = definition.topologies[this.topology.index]!.sources[source]!;
    return depot.kind === "own" && definition.depots[depot.index]!.global;
  }

  #explodeArrived(arrived: ArrivedEvent): void {
    const part = this.#part(arrived);
    const [stage, vars, source, temporary] = arrived.vars as [number, unknown[], number, number];
    const task = this.host.taskAt(arrived.task);
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
    explodeOn(this.#runnerOf(task), { task, tree, stage, vars, source, temporary, decode: this.#decoders.get(stage) });
  }

  // ---- control from outside

  pause(): void {
    this.#paused = true;
    this.#loop?.pause(true);
  }

  resume(): void {
    this.#paused = false;
    this.#loop?.pause(false);
  }

  get behind(): boolean {
    return this.#loop?.behind ?? false;
  }

  neededFrom(depot: number, task: number): number | undefined {
    const slices = this.slices.filter((slice) => slice.depot.index === depot && slice.task.id === task);
    return slices.length === 0 ? undefined : Math.min(...slices.map(({ durable }) => durable.next));
  }

  get restoring(): boolean {
    return [...this.runners.values()].some((runner) => runner.restoring);
  }

  /** The engine of task 0 counts for all. */
  status(): TopologyStatus {
    let executing = 0;
    if (this.run !== undefined) for (const slice of this.slices) executing += slice.size;
    if (executing === 0 && this.#loop?.isSettled === false) executing = 1;
    return {
      name: this.topology.name,
      kind: "microbatch",
      paused: this.#paused,
      processed: this.#loop?.processed ?? 0,
      executing,
      failures: this.#loop?.failures ?? 0,
      lastError: this.#remotes.trouble ?? this.#loop?.lastError ?? null,
      ...failuresOf(this.slices),
      blocked: this.#loop?.blocked ?? null,
    };
  }

  /** What a microbatch under way has written is not committed: it runs again from the same slices. */
  close(): void {
    this.abort();
    this.dropRun();
  }

  abort(): void {
    this.closed = true;
    this.#remotes.close();
    this.#loop?.close();
    this.#participant?.close();
  }
}
